package Hype::Bench::Rows;

# The rows of the table.  Each returns its pairs, ours and what it is compared
# with, in the unit it names; the figure is their ratio.

use strict;
use warnings;

use Carp qw(croak);
use File::Path qw(make_path remove_tree);
use Time::HiRes qw(sleep time);

use Hype::Bench qw(alternate cpu_since cpu_times load median nginx pairs
                   postgres rows_client size);
use Hype::Bench::Fill qw(filled);
use Hype::Bench::Growth ();
use Hype::Bench::Instructions ();
use Hype::Status ();
use Hype::Util qw(read_file temp_dir wait_until);

# In the order of the table: name, what, against, goal ("<" or ">"), function

our @rows = (
    ['commit', 'committed hits a second, 64 connections',
     'nginx "return 302" with "add_header Set-Cookie"', '>', 0.5,
     'hits/s', sub { commit(64) }],
    ['commit256', 'the same, 256 connections',
     'nginx "return 302" with "add_header Set-Cookie"', '>', 0.5,
     'hits/s', sub { commit(256) }],
    ['commit1000', 'the same, 1,000 connections',
     'nginx "return 302" with "add_header Set-Cookie"', '>', 0.5,
     'hits/s', sub { commit(1000) }],
    ['worker', 'worker CPU a hit, "commit"',
     'nginx "return 302" with "add_header Set-Cookie"', '<', 1.5,
     'µs', \&worker],
    ['spool', 'worker CPU a hit, "spool"',
     'the same with a buffered access_log of the same fields', '<', 1.3,
     'µs', \&spool],
    ['postgres', 'PostgreSQL CPU a hit at full load',
     'COPY of the same rows in the same batches from C', '<', 1.2,
     'µs', \&postgres_cpu],
    ['latency', 'median latency of one visit at a time',
     'a libpq client that commits the row, plus nginx "return 302"', '<', 1.3,
     'µs', \&latency],
    ['p99', 'p99 at half of the full load',
     'the median there', '<', 5,
     'µs', \&p99],
    ['other', 'instructions of a request without a referral',
     'the same without the module', '<', 1.01,
     '', \&other],
    ['inline', '"?ref=" inline, hits a second, 64 connections',
     'nginx "return 302" with "add_header Set-Cookie"', '>', 0.45,
     'hits/s', \&inline],
    ['links', 'worker CPU of a look-up, many links cached',
     'with 1,000 links cached', '<', 1.2,
     'µs', \&links],
    ['zone', 'bytes of zone a link',
     '256', '<', 1,
     'bytes', \&zone],
    ['table', 'hits a second into a large table',
     'into an empty one', '>', 0.8,
     'hits/s', \&table],
    ['wal', 'WAL a hit, into a large table right after a checkpoint',
     'into an empty one', '<', 1.1,
     'bytes', \&Hype::Bench::Growth::wal_ratio],
    ['wal_bytes', 'WAL a hit, into a large table right after a checkpoint',
     '450', '<', 1,
     'bytes', \&Hype::Bench::Growth::wal_bytes],
    ['append', 'PostgreSQL CPU a hit, into a large table right after a'
     . ' checkpoint', 'into an empty one', '<', 1.1,
     'µs', \&Hype::Bench::Growth::append_cpu],
    ['report_link', 'report of the busiest link, over many hits',
     'over few', '<', 1.5,
     'ms', Hype::Bench::Growth::report('link')],
    ['report_week', 'report of a week by day, over many hits',
     'over few', '<', 1.5,
     'ms', Hype::Bench::Growth::report('week')],
    ['report_top', 'report of the ten busiest links, over many hits',
     'over few', '<', 1.5,
     'ms', Hype::Bench::Growth::report('top')],
    ['report', 'the slowest of these reports, over many hits',
     'reading all of these hits', '<', 0.02,
     'ms', \&Hype::Bench::Growth::slowest_report],
    ['claim', '"hype.claim()" of a visitor with many hits',
     'with ten', '<', 3,
     'ms', \&Hype::Bench::Growth::claim],
    ['confirm', '"hype.confirm()" of a user with many hits',
     'with ten', '<', 3,
     'ms', \&Hype::Bench::Growth::confirm],
    ['backlog', 'backlog of spooled hits, drained a second',
     'COPY of the same rows in batches of 1,000 from C', '>', 0.7,
     'hits/s', \&backlog],
    ['live', 'p99 of live visits while the backlog drains',
     'p99 when all is quiet', '<', 2,
     'µs', \&live],
    ['unknown', 'unknown identifiers a second, 64 connections',
     'nginx "return 302" with "add_header Set-Cookie"', '>', 0.5,
     'visits/s', \&unknown],
    ['memory', 'memory of a worker after many hits',
     'after 100,000', '<', 1.02,
     'kB', \&memory],
);

our $ref = 'location /ref/ { hype_ref; }';
our $status = 'location = /metrics { hype_status prometheus; }';
our $return = <<'END';
location /ref/ {
    add_header Set-Cookie "hype_visitor=59c92952-80d7-4c67-9fba-fed0433eeb29; Max-Age=31536000; Path=/; SameSite=Lax; HttpOnly" always;
    return 302 /welcome;
}
END

our %logged = (
    http => 'log_format hit \'$msec $remote_addr $http_user_agent'
            . ' $http_referer $cookie_hype_visitor $uri $arg_next\';',
    server => 'access_log %%DIR%%/logs/hits.log hit buffer=64k flush=1s;'
              . $return);

my %shared;


# Full load: both servers once, for all rows that look at it.

sub full
{
    my ($connections) = @_;

    return @{ $shared{"full $connections"} //= [_full($connections)] };
}


sub _full
{
    my ($connections) = @_;

    my @visits = ('-c', $connections, '/ref/b0000000/');
    my $pg = postgres()->fresh('hype_bench');
    my $ours = nginx(database => $pg->conninfo, server => $ref);
    my $theirs = nginx(server => $return);

    warm($ours, @visits);

    my @runs = alternate(
        sub { $pg->empty; hits($pg, $ours, @visits) },
        sub { load($theirs, '-t', size('seconds'), @visits) });

    $_->stop for $ours, $theirs;
    return @runs;
}


# Hits that all have to be in the table, with PostgreSQL's CPU time of each.

sub hits
{
    my ($pg, $nginx, @arguments) = @_;

    my $had = $pg->hits;
    my $before = $pg->cpu_times;
    my $run = load($nginx, '-t', size('seconds'), @arguments);

    $run->{postgres} = $pg->cpu_since($before) / $run->{visits};

    my $made = $pg->hits - $had;
    croak "$run->{visits} visits made $made hits" if $made != $run->{visits};

    return $run;
}


sub warm
{
    my ($nginx, @arguments) = @_;

    load($nginx, '-t', 0.5, @arguments);
}


sub commit
{
    my ($connections) = @_;

    return pairs(sub { $_->{rate} }, sub { $_->{rate} }, full($connections));
}


sub worker
{
    return pairs(sub { $_->{worker} }, sub { $_->{worker} }, full(64));
}


# With all it takes until the hits are in the table.

sub spool
{
    my $pg = postgres()->fresh('hype_bench');
    my $ours = nginx(database => $pg->conninfo,
                     server => "hype_durability spool; $ref");
    my $theirs = nginx(%logged);

    warm($ours, '/ref/b0000000/');
    drained($pg, $ours);

    my @runs = alternate(
        sub {
            $pg->empty;
            my $before = cpu_times($ours->workers);
            my $run = load($ours, '-t', size('seconds'), '/ref/b0000000/');

            wait_until { $pg->hits == $run->{visits} } 60, 'the spool to drain';
            $run->{whole} = cpu_since($before) / $run->{visits};
            return $run;
        },
        sub {
            truncate $theirs->dir . '/logs/hits.log', 0;
            load($theirs, '-t', size('seconds'), '/ref/b0000000/');
        });

    $_->stop for $ours, $theirs;
    return pairs(sub { $_->{whole} }, sub { $_->{worker} }, @runs);
}


sub drained
{
    my ($pg, $nginx) = @_;

    wait_until {
        my @files = glob $nginx->dir . '/hype_spool/*.spool';
        !@files;
    } 600, 'the spool to drain';
}


# Against as many rows in as many transactions.

sub postgres_cpu
{
    my $pg = postgres()->fresh('hype_bench');
    my $ours = nginx(database => $pg->conninfo, server => "$ref $status");
    my $batch;

    warm($ours, '/ref/b0000000/');

    my @runs = alternate(
        sub {
            my @before = batches($ours);
            my $run = hits($pg->empty, $ours, '/ref/b0000000/');
            my @after = batches($ours);

            $batch = sprintf '%.0f', ($after[1] - $before[1])
                                     / ($after[0] - $before[0]);
            return $run;
        },
        sub {
            rows_client($pg->empty, '-t', size('seconds'), '-b', $batch,
                        'copy');
        });

    $ours->stop;
    return pairs(sub { $_->{postgres} }, sub { $_->{postgres} }, @runs);
}


# How many there have been, and how many records in them.

sub batches
{
    my ($nginx) = @_;

    my $metrics = Hype::Status::metrics($nginx);
    return map { $metrics->{"hype_batch_records_$_"} } qw(count sum);
}


sub latency
{
    my $pg = postgres()->fresh('hype_bench');
    my $ours = nginx(database => $pg->conninfo, server => $ref);
    my $theirs = nginx(server => $return);

    warm($ours, '-c', 1, '/ref/b0000000/');

    my @runs = alternate(
        sub {
            $pg->empty;
            load($ours, '-c', 1, '-t', size('seconds'), '/ref/b0000000/');
        },
        sub {
            my $answer = load($theirs, '-c', 1, '-t', size('seconds') / 3,
                              '/ref/b0000000/');
            my $row = rows_client($pg->empty, '-t', size('seconds'),
                                  'commit');

            return { p50 => $answer->{p50} + $row->{p50} };
        });

    $_->stop for $ours, $theirs;
    return pairs(sub { $_->{p50} }, sub { $_->{p50} }, @runs);
}


sub p99
{
    my $pg = postgres()->fresh('hype_bench');
    my $ours = nginx(database => $pg->conninfo, server => $ref);
    my $rate = median(map { $_->[0]{rate} } full(64)) / 2;

    warm($ours, '/ref/b0000000/');

    my @runs = map {
        $pg->empty;
        load($ours, '-c', 512, '-r', $rate, '-t', size('seconds') + 1,
             '/ref/b0000000/');
    } 1 .. size('pairs');

    $ours->stop;
    return map { [$_->{p99}, $_->{p50}] } @runs;
}


sub other
{
    return Hype::Bench::Instructions::pairs();
}


sub inline
{
    my $pg = postgres()->fresh('hype_bench');
    my $ours = nginx(database => $pg->conninfo, server => <<'END');
        location / {
            hype_ref_param ref mode=inline;
            empty_gif;
        }
END
    my $theirs = nginx(server => $return);

    warm($ours, '/page?ref=b0000000&a=1');

    my @runs = alternate(
        sub { $pg->empty; hits($pg, $ours, '/page?ref=b0000000&a=1') },
        sub { load($theirs, '-t', size('seconds'), '/ref/b0000000/') });

    $_->stop for $ours, $theirs;
    return pairs(sub { $_->{rate} }, sub { $_->{rate} }, @runs);
}


# HEAD finds the link and records nothing.

sub links
{
    my $links = size('links');
    my $zone = int($links / 4000) + 8;
    my $pg = postgres()->fresh('hype_links', $links);
    my %o = (database => $pg->conninfo, server => $ref);

    my $many = nginx(%o, http => "hype_zone hype:${zone}m valid=1d;");
    my $few = nginx(%o, http => "hype_zone hype:${zone}m valid=1d;");

    load($many, '-I', '-s', '-n', $links, '-l', $links, '/ref/%/');
    load($few, '-I', '-s', '-n', 1000, '-l', 1000, '/ref/%/');

    my @runs = alternate(
        sub {
            load($many, '-I', '-t', size('seconds'), '-l', $links, '/ref/%/')
        },
        sub {
            load($few, '-I', '-t', size('seconds'), '-l', 1000, '/ref/%/')
        });

    $_->stop for $many, $few;
    # what one worker has loaded before another one listens, that one asks for
    # once more

    my $found = found($pg);
    croak "links were asked for $found times" if $found > $links * 1.1 + 2000;

    return pairs(sub { $_->{worker} }, sub { $_->{worker} }, @runs);
}


# Links that PostgreSQL was asked for by connections that have ended.

sub found
{
    my ($pg) = @_;

    wait_until {
        !$pg->value("select count(*) from pg_stat_activity"
                    . " where usename = 'hype_nginx'")
    } 10, 'connections to end';

    return $pg->value("select coalesce(sum(idx_tup_fetch), 0)"
                      . " from pg_stat_all_tables"
                      . " where schemaname = 'hype'"
                      . " and relname = 'referral_link'");
}


# The smallest zone, in steps of 8 bytes a link, in which all stay.

sub zone
{
    my $links = 10_000;
    my $pg = postgres()->fresh('hype_links', $links);

    my ($low, $high) = (0, 64);
    my $had = found($pg);

    while ($high - $low > 1) {
        my $step = int(($low + $high) / 2);
        my $bytes = int(64 * 1024 + $links * 256 * $step / 32);
        my $nginx = nginx(database => $pg->conninfo, server => $ref,
                          http => "hype_zone hype:$bytes valid=1d;");

        load($nginx, '-I', '-s', '-n', $links, '-l', $links, '/ref/%/')
            for 1, 2;
        $nginx->stop;

        (found($pg) - $had < $links * 1.1 ? $high : $low) = $step;
        $had = found($pg);
    }

    return [256 * $high / 32, 256];
}


sub table
{
    my $large = filled(size('table'));
    my $empty = postgres()->fresh('hype_bench');

    my %nginx = map {
        $_->[0] => nginx(database => $_->[1]->conninfo, server => $ref)
    } ['large', $large], ['empty', $empty];

    warm($_, '/ref/b0000000/') for values %nginx;

    my @runs = alternate(
        sub { load($nginx{large}, '-t', size('seconds'), '/ref/b0000000/') },
        sub {
            $empty->empty;
            load($nginx{empty}, '-t', size('seconds'), '/ref/b0000000/')
        });

    $_->stop for values %nginx;

    return pairs(sub { $_->{rate} }, sub { $_->{rate} }, @runs);
}


# The spool of an nginx whose database is away, made once, and then drained
# again and again, while a visitor comes now and then.

sub drain
{
    return @{ $shared{drain} //= [_drain()] };
}


sub _drain
{
    my $hits = size('backlog');
    my $pg = postgres()->fresh('hype_bench');
    my $kept = spooled($pg, $hits);

    my @runs = alternate(
        sub { flushed($pg->empty); drain_once($pg, $kept, $hits) },
        sub {
            flushed($pg->empty);
            rows_client($pg, '-n', $hits, 'copy');
        });

    remove_tree($kept);
    return @runs;
}


# What was written before is not written to the disk meanwhile.

sub flushed
{
    my ($pg) = @_;

    $pg->exec('checkpoint');
    system('sync') == 0 or croak 'sync';
}


sub spooled
{
    my ($pg, $hits) = @_;

    my $away = $pg->conninfo(host => temp_dir('away'));
    my $nginx = nginx(database => $away, server => $ref,
                      http => 'hype_spool %%DIR%%/hype_spool max_size=1g;',
                      main => 'error_log logs/error.log crit;');
    my $dir = temp_dir('spool');

    load($nginx, '-n', $hits, '/ref/b0000000/');
    $nginx->stop;

    system('cp', '-a', $nginx->dir . '/hype_spool', $dir) == 0 or croak 'cp';
    return "$dir/hype_spool";
}


sub drain_once
{
    my ($pg, $kept, $hits) = @_;

    # visits have a connection of their own while another one drains

    my $nginx = nginx(database => $pg->conninfo, connections => 3,
                      server => $ref,
                      http => 'hype_spool %%DIR%%/hype_spool max_size=1g;');
    my $rate = 200;

    warm($nginx, '-c', 16, '-r', $rate, '/ref/b0000000/');
    my $quiet = load($nginx, '-c', 16, '-r', $rate, '-t', size('seconds'),
                     '/ref/b0000000/');
    my $had = $pg->hits;
    my $before = cpu_times($nginx->workers);
    my $begun = time;

    system('cp', '-a', glob("$kept/*"), $nginx->dir . '/hype_spool') == 0
        or croak 'cp';

    my $live = load($nginx, '-c', 16, '-r', $rate, '-t', size('seconds'),
                    '/ref/b0000000/');

    drained($pg, $nginx);
    my $seconds = time - $begun;

    $nginx->stop;

    my $made = $pg->hits - $had;
    croak "$hits hits in the spool, $made in the table"
        if $made != $hits + $live->{visits};

    return { rate => $hits / $seconds, live => $live, quiet => $quiet };
}


sub backlog
{
    return pairs(sub { $_->{rate} }, sub { $_->{rows_rate} }, drain());
}


sub live
{
    return map { [$_->[0]{live}{p99}, $_->[0]{quiet}{p99}] } drain();
}


sub unknown
{
    my $pg = postgres()->fresh('hype_bench');
    my $ours = nginx(database => $pg->conninfo, server => $ref);
    my $theirs = nginx(server => $return);

    warm($ours, '/ref/%/');

    my @runs = alternate(
        sub { load($ours, '-t', size('seconds'), '/ref/%/') },
        sub { load($theirs, '-t', size('seconds'), '/ref/b0000000/') });

    croak 'unknown identifiers made hits' if $pg->hits;

    $_->stop for $ours, $theirs;
    return pairs(sub { $_->{rate} }, sub { $_->{rate} }, @runs);
}


# What the worker has for itself: shared memory, such as the zone, apart.

sub memory
{
    my $hits = size('hits');
    my $pg = postgres()->fresh('hype_bench');
    my $nginx = nginx(database => $pg->conninfo, server => $ref, workers => 1);
    my @sizes;

    for my $n (100_000, $hits - 100_000) {
        load($nginx, '-n', $n, '/ref/b0000000/');
        push @sizes, private_memory($nginx->workers);
    }

    $nginx->stop;
    $pg->empty;

    return [reverse @sizes];
}


sub private_memory
{
    my ($pid) = @_;

    return read_file("/proc/$pid/status") =~ /^RssAnon:\s+(\d+)/m ? $1 : croak;
}


1;
