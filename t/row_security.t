# Row-level security on the table of hits, which COPY can't write to then: batches
# are written by INSERT.

use lib 't/lib';
use Hype::Test;
use Hype::Fault;

my $pg = cluster();
my ($link) = fault_links($pg);
my $nginx = fault_nginx(pg => $pg, workers => 1, database => 'timeout=10s');

sub burst
{
    my ($next, $count) = @_;

    my %outcome;
    $outcome{ $_->header('X-Outcome') }++ for $nginx->visits(
        count => $count, connections => 32, path => "/ref/$link/?next=/$next",
        headers => sub { (Referer => 'http://example/caf%C3%A9',
                          'User-Agent' => "a\\b,{}\"' \xff") });
    return join ' ', map { "$_=$outcome{$_}" } sort keys %outcome;
}

is(burst('before', 100), 'hit=100', 'without it');

$pg->exec(<<'END');
alter table hype.referral_hit enable row level security;
create policy write on hype.referral_hit for insert to hype_nginx
    with check (next is distinct from '/forbidden');
END

is(burst('one', 1), 'hit=1', 'one hit');
is(burst('many', 1000), 'hit=1000', 'many hits');
is($pg->hits("next = '/many'"), 1000, 'are in the table');
is($pg->value(<<'END'), 1, 'as they are without it');
select count(distinct (referral_link_id, authenticated, bot, ip, user_agent,
                       http_referer))
from hype.referral_hit where next in ('/before', '/one', '/many')
END

my ($first) = $pg->text(q(select host(ip), user_agent, http_referer, user_id
                          from hype.referral_hit where next = '/many' limit 1));
is($first, "127.0.0.1|a\\b,{}\"' \xef\xbf\xbd|http://example/caf%C3%A9|\n",
   'column by column') or diag($first);

$pg->stop;
is(burst('late', 300), 'spooled=300', 'in the spool');
$pg->start;
is_soon { $pg->hits("next = '/late'") } 300, 'and read from it';

# what the policy refuses is set aside

my $rejected = $nginx->dir . '/hype_spool/rejected.records';
my $good = $nginx->visits_start(count => 200, connections => 20,
                                path => "/ref/$link/?next=/good");
is(burst('forbidden', 2), 'dropped=2', 'what the policy forbids');
is(grep({ $_->header('X-Outcome') eq 'hit' } $good->wait), 200,
   'others are written');
is(() = set_aside($rejected) =~ /^INSERT INTO/mg, 2, 'is set aside');
is($pg->hits("next = '/forbidden'"), 0, 'and not in the table');

# once it is off, COPY is back with the next connection

$pg->exec('drop policy write on hype.referral_hit;
           alter table hype.referral_hit disable row level security');
$pg->terminate;
is_soon { burst('after', 1) } 'hit=1', 'without it again';
is(burst('after', 500), 'hit=500', 'all goes on');

$nginx->quit;
$pg->stop;

done_testing();
