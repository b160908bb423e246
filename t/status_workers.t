# What hype_status says of the moment: it is right while requests wait, while old
# workers leave, and after a worker was killed.

use lib 't/lib';
use Hype::Test;
use Hype::Status;
use List::Util qw(sum0);

my $pg = cluster();
my $nginx = nginx(pg => $pg, workers => 1, database => 'timeout=60s',
    server => status_server() . 'location /ref/ { hype_ref; }');

$pg->link('a');

my $locker = $pg->connect;
my @clients;


sub lock_hits
{
    $locker->begin_work;
    $locker->do('lock table hype.referral_hit in access exclusive mode');
}


# A visitor who waits

sub visit
{
    my $socket = $nginx->open;

    print {$socket} "GET /ref/a HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    push @clients, $socket;
}


sub answered
{
    return join ' ', map { http_read($_)->status } splice @clients;
}


sub waiting { return status($nginx)->{queue}{waiting} }


# Until those who wait do so for their hits, and not for the link

sub queued
{
    my ($name) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    is_soon {
        my $queue = status($nginx)->{queue};
        $queue->{records} - $queue->{waiting};
    } 0, $name;
}


sub pids { return join ' ', sort map { $_->{pid} } @{ status($nginx)->{workers} } }


# A batch that waits, and those who wait for the next one

$nginx->get('/ref/a');
my $before = status($nginx)->{batches};

lock_hits();
visit();
is_soon { waiting() } 1, 'one waits';
wait_until {
    $pg->value("select count(*) from pg_stat_activity
                where usename = 'hype_nginx' and wait_event_type = 'Lock'
                  and query !~ 'derive'")
} 10, 'the batch to wait';
visit() for 1 .. 6;
is_soon { waiting() } 7, 'seven wait';
queued('their records are in the queue');

my $s = status($nginx);
is($s->{queue}{records}, 7, 'all of them');
cmp_ok($s->{queue}{bytes}, '>', 7 * 50, 'with their bytes');

# beside it that of the derivation may be

cmp_ok($s->{database}{connections}{busy}, '>=', 1, 'a connection is busy');
is($s->{database}{state}, 'up', 'the database is up');
is($s->{batches}{count}, $before->{count}, 'nothing is committed');

my $start = time;
wait_until { time - $start > 1.2 } 5, 'a moment';
$locker->commit;

is(answered(), join(' ', (302) x 7), 'all are answered');
$s = status($nginx);
is_deeply($s->{queue}, { records => 0, bytes => 0, waiting => 0 }, 'nobody waits');

my $after = $s->{batches};
is($after->{count} - $before->{count}, 2, 'two batches');
is_deeply([map { $after->{size}{count}[$_] - $before->{size}{count}[$_] } 0 .. 3],
          [1, 1, 1, 2], 'of one record and of six');

my ($second) = grep { $after->{commit}{le}[$_] == 1 } 0 .. 13;
is($after->{commit}{count}[-1] - $after->{commit}{count}[$second]
   - ($before->{commit}{count}[-1] - $before->{commit}{count}[$second]), 1,
   'one of them took longer than 1 s');
cmp_ok($after->{commit}{sum} - $before->{commit}{sum}, '>', 1.2,
       'as the sum of times says');


# A worker that leaves

my ($old) = $nginx->workers;

lock_hits();
visit();
is_soon { waiting() } 1, 'one waits';
$nginx->reload;

my ($new) = $nginx->workers;
is(pids(), join(' ', sort $old, $new), 'after a reload there are two workers');
is(waiting(), 1, 'and one waits, for the old one');
visit();
is_soon { waiting() } 2, 'another one for the new one';

$locker->commit;
is(answered(), '302 302', 'both are answered');
is_soon { pids() } $new, 'and the old worker has left';
is(waiting(), 0, 'nobody waits');


# One that is killed while it leaves

lock_hits();
visit();
is_soon { waiting() } 1, 'one waits';
$nginx->reload;
push @{ $nginx->{allow} }, qr/worker process $new exited on signal 9/;
kill 'KILL', $new;
is_soon { pids() } join(' ', $nginx->workers), 'a leaving worker is killed';
is(waiting(), 0, 'and nobody waits');
is(answered(), '0', 'nor gets an answer');
$locker->commit;


# Workers that are killed in the midst of it

$nginx->reload(workers => 4);
is_soon { scalar split ' ', pids() } 4, 'four workers';
$nginx->get('/ref/a') for 1 .. 20;
my $hits = status($nginx)->{outcomes}{hit};

lock_hits();

my $made = 0;
my @busy;

# a worker that has nothing else to do may take many of them

wait_until {
    visit();
    $made++;
    @busy = sort { $b->{waiting} <=> $a->{waiting} } @{ status($nginx)->{workers} };
    $made >= 40 && $busy[1]{waiting};
} 30, 'visitors of two workers';

is_soon { waiting() } $made, 'many wait';
queued('all for their hits');

for my $worker (map { $_->{pid} } @busy[1, 3]) {
    $nginx->kill_worker($worker);

    my @workers = @{ status($nginx)->{workers} };
    my ($killed) = grep { $_->{pid} == $worker } @workers;
    is($killed, undef, 'a worker was killed');
    is(scalar @workers, 4, 'and replaced');
    is(waiting(), sum0(map { $_->{waiting} } @workers),
       'those who wait are those of the others');
    queued('and their records');
}

my $left = waiting();
cmp_ok($left, '<', $made, 'fewer than before');
cmp_ok($left, '>', 0, 'but some');
$locker->commit;
is(scalar(grep { $_ == 302 } split ' ', answered()), $left, 'they are answered');
is(waiting(), 0, 'nobody waits');
is(status($nginx)->{outcomes}{hit}, $hits + $left, 'no count was lost');

$nginx->quit;

done_testing();
