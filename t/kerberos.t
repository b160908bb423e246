# A Kerberos ticket, and a KDC that does not answer: libpq waits for it while it
# connects, the worker must not.  "gssencmode" says whether it is asked.

use lib 't/lib';
use Hype::Test;
use Hype::Shim;

my $shim = Hype::Shim->new or plan skip_all => 'no library to preload';
my $pg = cluster();
my $delay = 3;
my $made = 0;

$pg->link('abc');
$shim->set('gss_acquire_cred 0 ' . $delay * 1000);


sub with
{
    my ($mode, %o) = @_;

    my $conninfo = $pg->conninfo(tcp => 1, gssencmode => $mode);
    my $parameters = delete $o{parameters} // 'connect_timeout=10s';

    return $shim->around(sub {
        nginx(workers => 1, http => qq(hype_database "$conninfo" $parameters;),
              server => <<'END', %o);
    location /ref/ { hype_ref; add_header X-Outcome $hype_outcome always; }
    location = /other { return 204; }
END
    });
}


# Asks for a hit, and meanwhile for something else: seconds for the latter, and
# what became of the hit

sub visit
{
    my ($nginx) = @_;

    my $visits = $nginx->visits_start(count => 1, path => '/ref/abc/');
    my $slowest = 0;

    do {
        my $begin = time;
        $nginx->get('/other');
        $slowest = time - $begin if time - $begin > $slowest;
    } while $visits->running;

    my ($answer) = $visits->wait;
    $made++;
    return ($slowest, $answer->header('X-Outcome'));
}


# By default it is not asked

my $nginx = with();
my ($slowest, $outcome) = visit($nginx);

is($outcome, 'hit', 'a hit, without Kerberos');
cmp_ok($slowest, '<', $delay / 2, 'and other requests are answered');
$nginx->quit;

# It is, in a thread

$nginx = with('prefer');
($slowest, $outcome) = visit($nginx);

is($outcome, 'spooled', 'prefer: a hit waits for no KDC');
cmp_ok($slowest, '<', $delay / 2, '- nor do other requests');
is_soon { $pg->hits } $made, '- the hit is written later', 20;

$shim->set;
$pg->terminate;
is_soon { (visit($nginx))[1] } 'hit', '- and so is one when the KDC answers';
$nginx->quit;

# The environment may ask for it, too

$shim->set('gss_acquire_cred 0 ' . $delay * 1000);

{
    local $ENV{PGGSSENCMODE} = 'prefer';
    $nginx = with();
}

($slowest, $outcome) = visit($nginx);
is($outcome, 'spooled', 'PGGSSENCMODE: a hit waits for no KDC');
cmp_ok($slowest, '<', $delay / 2, '- nor do other requests');
is_soon { $pg->hits } $made, '- the hit is written later', 20;
$nginx->quit;

# A connection that comes too late is closed, and the worker can leave

$shim->set('gss_acquire_cred 0 1500');
$nginx = with('prefer', parameters => 'connect_timeout=500ms');
visit($nginx);
is_soon { $nginx->error_log =~ /no connection to PostgreSQL: timed out/ ? 1 : 0 }
    1, 'too late';
is_soon { $pg->hits } $made, '- but one of the next attempts takes over', 20;
$nginx->quit;
is_soon { $pg->value(<<'END') } 0, 'no session is left';
select count(*) from pg_stat_activity where usename = 'hype_nginx'
END

done_testing();
