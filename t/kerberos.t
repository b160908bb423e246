# A Kerberos ticket, and a KDC that does not answer: libpq waits for it while it
# connects, the worker must not.  "gssencmode" says whether it is asked.

use lib 't/lib';
use Hype::Test;
use Hype::Shim;

my $shim = Hype::Shim->new or plan skip_all => 'no library to preload';
my $pg = cluster();
my $made = 0;

$pg->link('abc');
$shim->set('gss_acquire_cred 0 -1');


sub with
{
    my ($mode, %o) = @_;

    my $conninfo = $pg->conninfo(tcp => 1, gssencmode => $mode);
    my $parameters = delete $o{parameters} // 'connect_timeout=60s';

    return $shim->around(sub {
        nginx(workers => 1, http => qq(hype_database "$conninfo" $parameters;),
              server => <<'END', %o);
    location /ref/ { hype_ref; add_header X-Outcome $hype_outcome always; }
    location = /other { return 204; }
END
    });
}


# Asks for a hit, and meanwhile for something else: what became of the hit, and how
# many of the latter had no answer

sub visit
{
    my ($nginx) = @_;

    my $visits = $nginx->visits_start(count => 1, path => '/ref/abc/');
    my $silent = 0;

    do {
        $silent++ if $nginx->get('/other')->status != 204;
    } while $visits->running;

    my ($answer) = $visits->wait;
    $made++;
    return ($answer->header('X-Outcome'), $silent);
}


# By default it is not asked

my $nginx = with(undef, parameters => 'timeout=10s');
my ($outcome, $silent) = visit($nginx);

is($outcome, 'hit', 'a hit, without Kerberos');
is($silent, 0, 'and other requests are answered');
$nginx->quit;

# It is, in a thread

$nginx = with('prefer');
($outcome, $silent) = visit($nginx);

is($outcome, 'spooled', 'prefer: a hit waits for no KDC');
is($silent, 0, '- nor do other requests');
$shim->set;
is_soon { $pg->hits } $made, '- the hit is written later', 20;

$pg->terminate;
is_soon { (visit($nginx))[0] } 'hit', '- and so is one when the KDC answers';
$nginx->quit;

# The environment may ask for it, too

$shim->set('gss_acquire_cred 0 -1');

{
    local $ENV{PGGSSENCMODE} = 'prefer';
    $nginx = with();
}

($outcome, $silent) = visit($nginx);
is($outcome, 'spooled', 'PGGSSENCMODE: a hit waits for no KDC');
is($silent, 0, '- nor do other requests');
$shim->set;
is_soon { $pg->hits } $made, '- the hit is written later', 20;
$nginx->quit;

# A connection that comes too late is closed, and the worker can leave

$shim->set('gss_acquire_cred 0 -1');
$nginx = with('prefer', parameters => 'connect_timeout=500ms');
visit($nginx);
is_soon { $nginx->error_log =~ /no connection to PostgreSQL: timed out/ ? 1 : 0 }
    1, 'too late';
$shim->set;
is_soon { $pg->hits } $made, '- but one of the next attempts takes over', 20;
$nginx->quit;
is_soon { $pg->value(<<'END') } 0, 'no session is left';
select count(*) from pg_stat_activity where usename = 'hype_nginx'
END

done_testing();
