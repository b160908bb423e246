# Links as the workers see them: changes, validity, what is unknown, and what
# the database is asked for.

use lib 't/lib';
use Hype::Test;
use Hype::Fault;
use Hype::Status;
use List::Util qw(sum);

my $pg = cluster(config => "log_statement = 'all'");
my $proxy = proxy($pg);

# Each worker listens on a socket of its own, so that connections are spread.

my $server = <<'END';
server {
    listen 127.0.0.1:%%PORT%% reuseport;
    absolute_redirect off;
    keepalive_requests 1000000;
    add_header X-Outcome $hype_outcome;
    add_header X-Referrer $hype_referrer;
    add_header X-Worker $pid;
    location /ref/ { hype_ref; }
    location = /status { hype_status; }
}
END

my $nginx = nginx(pg => $pg, workers => 4, http => <<"END");
hype_zone hype:1m valid=1h unknown=1h;
$server
END

my @workers = connections($nginx);


# A connection to each worker.

sub connections
{
    my ($nginx) = @_;

    my %connections;

    wait_until {
        my $connection = $nginx->open;
        my $worker = ask($connection, 'none')->header('X-Worker');
        $connections{$worker} //= $connection;
        keys %connections == $nginx->{workers};
    } 20, 'a connection to each worker';

    return values %connections;
}


sub ask
{
    my ($connection, $identifier) = @_;

    print $connection "GET /ref/$identifier/ HTTP/1.1\r\nHost: localhost\r\n"
        . "Connection: keep-alive\r\n\r\n";
    return http_read($connection);
}


sub outcome { scalar ask(@_)->header('X-Outcome') }
sub location { ask(@_)->location }


# What all workers say, if it is the same; else all of it.

sub all
{
    my ($what, $identifier) = @_;

    my %answers = map { $what->($_, $identifier) => 1 } @workers;
    return join ', ', sort keys %answers;
}


# Milliseconds until each worker says something, after a statement; the longest

my @times;

sub acts
{
    my ($sql, $what, $identifier, $expected, $name) = @_;

    $pg->exec($sql);
    my $begin = time;
    my %left = map { $_ => $workers[$_] } 0 .. $#workers;

    while (%left && time - $begin < 5) {
        for my $n (keys %left) {
            next if $what->($left{$n}, $identifier) ne $expected;
            delete $left{$n};
        }
    }

    my $took = 1000 * (time - $begin);
    push @times, $took;

    local $Test::Builder::Level = $Test::Builder::Level + 1;
    return is(scalar(keys %left), 0, $name);
}


# The queries that ask for an identifier

sub queries
{
    my ($identifier) = @_;

    my $log = $pg->log;
    my $n = 0;

    while ($log =~ /LOG:  execute .* FROM hype\.referral_link WHERE identifier = ANY.*\n.*DETAIL:  [Pp]arameters: (.*)/g) {
        my $parameters = $1;
        $n++ if $parameters =~ /[{,"]\Q$identifier\E[,"}]/;
    }

    return $n;
}


# Asks all workers until the database is not asked any more: each of them forgets
# a link when it hears that it was made.

sub warm
{
    my (@identifiers) = @_;

    my ($before, $rounds) = (0, 0);

    wait_until {
        all(\&outcome, $_) for @identifiers;
        my $n = sum map { queries($_) } @identifiers;
        $rounds = $n == $before ? $rounds + 1 : 0;
        $before = $n;
        $n && $rounds == 3;
    } 20, 'the cache to be warm';
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
is(all(\&outcome, 'new'), 'unknown', 'and its old name is unknown');
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
    my $end = time + 2;

    while (time < $end) {
        $pg->exec('notify hype_link');
        all(\&location, 'abc');
    }

    cmp_ok(status($nginx)->{cache}{misses} - $misses, '<=', 4 * 4,
           'a flood of notifications has few looked up again');
}

@times = sort { $a <=> $b } @times;
diag(sprintf 'changes act on 4 workers after %.1f ms in the median, %.1f at most',
     $times[@times / 2], $times[-1]);
cmp_ok($times[@times / 2], '<', 100, 'changes act within 100 ms');
cmp_ok($times[-1], '<', 100 + 1000 * $Hype::Fault::slack, 'all of them, soon');

# Time passes

$pg->exec(q(insert into hype.referral_link (identifier, expires)
            values ('short', now() + interval '1 s')));
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
my %before = map { $_ => queries($_) } @links;

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
is(grep({ queries($_) > $before{$_} } @links), 0, 'none of the links is asked for again');

# Validity

$nginx->restart(http => <<"END");
hype_zone hype:1m valid=400ms unknown=400ms;
$server
END

@workers = connections($nginx);
$pg->link('valid');
all(\&outcome, 'valid');
$n = queries('valid');
is_soon { all(\&outcome, 'valid'); queries('valid') > $n ? 1 : 0 } 1,
    'a link is valid for so long, however often it is used', 2;

# Without LISTEN, behind a pooler, validity is what makes changes act

my $pool = pgbouncer($pg);
my $pooled = nginx(pg => $pool, workers => 4, http => <<"END");
hype_zone hype:1m valid=500ms unknown=500ms;
$server
END

@workers = connections($pooled);
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

@workers = connections($away);
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

@workers = connections($away);
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
