# A synchronous standby that stays away: what only the primary has is not
# committed, even if the wait for the standby is cancelled.

use lib 't/lib';
use Hype::Test;
use Hype::Fault;

my $pg = cluster(config => "wal_level = replica\nmax_wal_senders = 2");
my ($link) = fault_links($pg);
my $nginx = fault_nginx(pg => $pg, workers => 1, database => 'timeout=500ms');

is_soon { $nginx->get("/ref/$link/")->header('X-Outcome') } 'hit', 'a hit';
is_soon { scalar(my @files = spool_files($nginx)) } 0, 'the spool is empty';

$pg->exec("alter system set synchronous_standby_names = 'nobody'");
$pg->exec('select pg_reload_conf()');
is_soon { $nginx->get("/ref/$link/")->header('X-Outcome') } 'spooled',
    'there is no standby';

my $cancelled = q(select count(*) from pg_stat_activity
                  where application_name = 'nginx hype' and query ~ 'replay'
                    and wait_event = 'SyncRep');

is($nginx->get("/ref/$link/?next=/late")->header('X-Outcome'), 'spooled',
   'a hit is not committed');
is_soon { $pg->value($cancelled) } 1, 'the wait is cancelled, and begins anew', 20;
cmp_ok(scalar(my @files = spool_files($nginx)), '>', 0,
       'the spool still has the hit');

$pg->exec('alter system reset synchronous_standby_names');
$pg->exec('select pg_reload_conf()');
is_soon { scalar(my @files = spool_files($nginx)) } 0,
    'until it is committed', 30;
is($pg->hits("next = '/late'"), 1, 'once');

$nginx->quit;

done_testing();
