# Links as the workers see them: changes, and what the database is asked for.

use lib 't/lib';
use Hype::Test;
use Hype::Fault;
use Hype::Status;
use Hype::Workers;
use List::Util qw(sum);

my $pg = cluster(config => "log_statement = 'all'");
my $server = worker_server();

my $nginx = nginx(pg => $pg, workers => 4, http => <<"END");
hype_zone hype:1m valid=1h unknown=1h;
$server
END

ask_workers($pg, $nginx);


# Asks all workers until the database is not asked any more: each of them forgets
# a link when it hears that it was made.

sub warm
{
    my (@identifiers) = @_;

    my ($before, $rounds) = (0, 0);

    wait_until {
        all(\&outcome, $_) for @identifiers;
        my $queries = queries_of_each();
        my $n = sum map { $queries->{$_} // 0 } @identifiers;
        $rounds = $n == $before ? $rounds + 1 : 0;
        $before = $n;
        $n && $rounds == 3;
    } 60, 'the cache to be warm';
}


# Changes

$pg->link('abc', destination => '/one', user_id => 'anna');
is(all(\&outcome, 'abc'), 'hit', 'a new link is known to all workers');
is(all(\&outcome, 'new'), 'unknown', 'another one is not');

for my $round (1 .. 8) {
    acts(q(update hype.referral_link set disabled = true where identifier = 'abc'),
         \&outcome, 'abc', 'disabled', "disabling it acts everywhere ($round)");
    acts(q(update hype.referral_link set disabled = false where identifier = 'abc'),
         \&outcome, 'abc', 'hit', "enabling it, too ($round)");
    acts("update hype.referral_link set destination = '/$round' where identifier = 'abc'",
         \&location, 'abc', "/$round", "and another destination ($round)");
}

acts(q(update hype.referral_link set user_id = 'otto' where identifier = 'abc'),
     sub { scalar ask(@_)->header('X-Referrer') }, 'abc', 'otto',
     'and another owner');
acts(q(insert into hype.referral_link (identifier) values ('new')),
     \&outcome, 'new', 'hit', 'a link that was unknown is made');
acts(q(select hype.create_link(identifier => 'made')), \&outcome, 'made', 'hit',
     'another one by hype.create_link()');
acts(q(update hype.referral_link set identifier = 'renamed' where identifier = 'new'),
     \&outcome, 'renamed', 'hit', 'it is renamed');
is_soon { all(\&outcome, 'new') } 'unknown', 'and its old name is unknown';
acts(q(delete from hype.referral_link where identifier = 'renamed'),
     \&outcome, 'renamed', 'unknown', 'it is deleted');
acts(q(begin; update hype.referral_link set disabled = true where identifier = 'abc';
       update hype.referral_link set disabled = false, destination = '/end'
       where identifier = 'abc'; commit),
     \&location, 'abc', '/end', 'several changes in a transaction');

# Those of more than 1000 links are told as one

$pg->exec(q(insert into hype.referral_link (identifier, destination)
            select 'bulk' || n, '/before' from generate_series(1, 3000) n));
is(all(\&location, 'bulk1'), '/before', 'many links');
is(all(\&location, 'bulk3000'), '/before', 'to the last of them');
acts(q(update hype.referral_link set destination = '/after' where identifier like 'bulk%'),
     \&location, 'bulk1', '/after', 'are changed at once');
is_soon { all(\&location, 'bulk3000') } '/after', 'to the last of them';
acts(q(delete from hype.referral_link where identifier like 'bulk%'),
     \&outcome, 'bulk1', 'unknown', 'or deleted');

# Anybody who can connect may send that: nginx looks all up once a second at most

is(all(\&location, 'abc'), '/end', 'a link');
{
    my $misses = status($nginx)->{cache}{misses};
    my $begin = time;

    while (time - $begin < 2) {
        $pg->exec('notify hype_link');
        all(\&location, 'abc');
    }

    $misses = status($nginx)->{cache}{misses} - $misses;
    cmp_ok($misses, '<=', 4 * (2 + time - $begin),
           'a flood of notifications has few looked up again');
}

my @times = act_times();
diag(sprintf 'changes act on 4 workers after %.1f ms in the median, %.1f at most',
     $times[@times / 2], $times[-1]);
cmp_ok($times[@times / 2], '<', 100, 'changes act within 100 ms');
cmp_ok($times[-1], '<', 100 + 1000 * $Hype::Fault::slack, 'all of them, soon');

# Time passes

$pg->exec(q(insert into hype.referral_link (identifier, expires)
            values ('short', now() + interval '3 s')));
is(all(\&outcome, 'short'), 'hit', 'a link that expires');
is_soon { all(\&outcome, 'short') } 'expired', 'does so without a word';

# What the database is asked for

$pg->link('asked');
warm('asked');
my $n = queries('asked');
all(\&outcome, 'asked') for 1 .. 10;
is(queries('asked'), $n, 'a link that is known is not asked for again');
all(\&outcome, 'unknown-1') for 1 .. 5;
is(queries('unknown-1'), 1, 'and once for one that is unknown');

my @answers = $nginx->visits(count => 400, connections => 64,
                             path => '/ref/at-once/');
is(grep({ $_->header('X-Outcome') eq 'unknown' } @answers), 400,
   'many ask for the same unknown one at once');
is(queries('at-once'), 1, 'the database is asked once');

# A flood of unknown identifiers: links stay where they are

my @links = map { "stay-$_" } 1 .. 200;
$pg->exec(join ';', map { "insert into hype.referral_link (identifier) values ('$_')" } @links);
warm(@links);
my $before = queries_of_each();

my $memory = sub {
    my $sum = 0;
    $sum += read_file("/proc/$_/status") =~ /^RssAnon:\s+(\d+)/m ? $1 : 0
        for $nginx->workers;
    return $sum / 1024;
};

$nginx->visits(count => 1000, connections => 32, path => sub { "/ref/warm-$_[0]/" });
my $size = $memory->();

@answers = $nginx->visits(count => 8000, connections => 32,
                          path => sub { "/ref/flood-$_[0]-" . int(rand 1e9) . '/' });
is(grep({ $_->header('X-Outcome') eq 'unknown' } @answers), 8000,
   'a flood of unknown identifiers');

SKIP: {
    skip 'AddressSanitizer keeps what is freed', 1 if $ENV{HYPE_LEAKS};
    cmp_ok($memory->() - $size, '<', 8, 'memory stays bounded (MB)');
}

is(all(\&outcome, $_), 'hit') || last for @links;
my $after = queries_of_each();
is(grep({ $after->{$_} > $before->{$_} } @links), 0,
   'none of the links is asked for again');

$nginx->quit;

done_testing();
