# Links as the workers see them when they do not hear of changes: how long they
# are valid, behind a pooler, and while the database is away.

use lib 't/lib';
use Hype::Test;
use Hype::Fault;
use Hype::Workers;

my $pg = cluster(config => "log_statement = 'all'");
my $proxy = proxy($pg);
my $server = worker_server();

# Validity

my $nginx = nginx(pg => $pg, workers => 4, http => <<"END");
hype_zone hype:1m valid=400ms unknown=400ms;
$server
END

ask_workers($pg, $nginx);
$pg->link('valid');
all(\&outcome, 'valid');
my $n = queries('valid');
is_soon { all(\&outcome, 'valid'); queries('valid') > $n ? 1 : 0 } 1,
    'a link is valid for so long, however often it is used', 2;

# Without LISTEN, behind a pooler, validity is what makes changes act

my $pool = pgbouncer($pg);
my $pooled = nginx(pg => $pool, workers => 4, http => <<"END");
hype_zone hype:1m valid=500ms unknown=500ms;
$server
END

ask_workers($pg, $pooled);
$pg->link('pooled', destination => '/before');
is(all(\&outcome, 'pooled'), 'hit', 'a link behind PgBouncer');
acts(q(update hype.referral_link set destination = '/after' where identifier = 'pooled'),
     \&location, 'pooled', '/after', 'a change acts when validity is over');
all(\&outcome, 'pooled');
$n = queries('pooled');
all(\&outcome, 'pooled') for 1 .. 10;
cmp_ok(queries('pooled') - $n, '<=', 2, 'the cache is used');
like($pooled->error_log, qr/through a pooler/, 'the log says so');
$pooled->quit;

# The database is away

my $away = nginx(pg => $proxy, workers => 4, http => <<"END");
hype_zone hype:1m valid=300ms unknown=1h;
$server
END

ask_workers($pg, $away);
$pg->link('stale', destination => '/stale');
$pg->link('off', disabled => 't');
$pg->link('cold', destination => '/cold');
$pg->link('cold-off', disabled => 't');
all(\&outcome, $_) for qw(stale off nothing);

$proxy->refuse;
$proxy->cut;
is_soon { all(\&outcome, 'stale') } 'spooled', 'the database is away';
is(all(\&location, 'stale'), '/stale', 'a link is served stale');
is(all(\&outcome, 'off'), 'disabled', 'one that is disabled stays so');
sleep 0.4;
is(all(\&location, 'stale'), '/stale', 'also when it is not valid any more');
is(all(\&outcome, 'nothing'), 'unknown', 'what was unknown is, still');

my %want = (cold => 4, 'cold-off' => 0, 'never' => 0);
is(all(\&outcome, $_), 'spooled', "$_ is spooled, as nothing is known of it")
    for sort keys %want;
is(all(\&location, 'cold'), '/', 'its visitors go to the fallback');

# ... a change meanwhile, which nobody hears of

$pg->exec(q(update hype.referral_link set destination = '/fresh' where identifier = 'stale'));
$proxy->admit;

is_soon { all(\&outcome, 'stale') } 'hit', 'the database is back';
is(all(\&location, 'stale'), '/fresh', 'what has changed meanwhile is seen');

is_soon {
    $pg->value('select count(*) from hype.referral_hit h join hype.referral_link l'
               . q( on l.id = h.referral_link_id where identifier = 'cold'))
} 8, 'hits of links that were not known arrive';
is_soon { scalar(my @files = spool_files($away)) } 0, 'the spool is empty';
is($pg->value('select count(*) from hype.referral_hit h join hype.referral_link l'
              . q( on l.id = h.referral_link_id where identifier = 'cold-off')), 0,
   'but none of a link that was disabled');
# A listener that is lost: between that and the next one changes go unheard

$away->restart(http => <<"END");
hype_zone hype:1m valid=1h unknown=1h;
$server
END

ask_workers($pg, $away);
is(all(\&location, 'stale'), '/fresh', 'a valid link');

for my $round (1 .. 10) {
    $proxy->cut;
    acts("update hype.referral_link set destination = '/round-$round'"
         . q( where identifier = 'stale'),
         \&location, 'stale', "/round-$round",
         "a change while connections are lost ($round)");
}

$away->quit;
$nginx->quit;

done_testing();
