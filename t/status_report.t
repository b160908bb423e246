# Reports: what the views say, read by a role of their own, in no visitor's way.

use lib 't/lib';
use Hype::Test;
use Hype::Status;

my $pg = cluster(config => "log_statement = 'all'");
my $nginx = nginx(pg => $pg, database => 'timeout=2s', server => <<'END');
    location /ref/ { hype_ref; hype_bot $arg_bot; }
    location = /status { hype_status html reports=1h; }
    location = /soon { hype_status html reports=1ms; }
    location = /off { hype_status html; }
END

my $queries = 0;

sub report { return $nginx->get(($_[0] // '/status') . '?report') }
sub queries { my $n = () = $pg->log =~ /LOG: .*SET LOCAL ROLE hype_report/g; $n }

$pg->link('a', label => qq(<b>"\xc3\xa4\\\n), user_id => "o'hara");
$pg->link('b');
$nginx->get('/ref/a') for 1 .. 5;
$nginx->get('/ref/b');
$nginx->get('/ref/b?bot=1') for 1 .. 2;


# By default nginx may not

is(report('/off')->status, 404, 'there are no reports, unless they are asked for');
is(queries(), 0, 'nor queries for them');

my $start = time;
my $answer = report();
is($answer->status, 503, 'nor can they be had if the role is not granted');
is($answer->header('Retry-After'), 1, 'which may be mended');
like($nginx->error_log, qr/\[error\].* hype: PostgreSQL can't report: ERROR:  permission denied to set role "hype_report"$/m,
     'the log tells of it');
is($nginx->get('/ref/a')->status, 302, 'hits are none the worse');
is(status($nginx, '/status?json')->{database}{state}, 'up', 'the database is up');

for (1 .. 20) {
    is(report()->status, 503, 'each time') if $_ == 1;
    report();
}

my $lines = () = $nginx->error_log =~ /permission denied/g;
cmp_ok($lines, '<=', 1 + (time - $start) / 10, 'but told of once in ten seconds');

$pg->exec('grant hype_report to hype_nginx');
is_soon { report()->status } 200, 'until it is granted';


# What it says

$pg->query(q(select * from hype.confirm('signup', user_id => 'u',
             visitor => (select visitor from hype.referral_hit
                         join hype.referral_link l on l.id = referral_link_id
                         where identifier = 'a' limit 1))));

is_soon { report('/soon')->status } 200, 'a new one';
my $report = json(report('/soon'));
my $day = $pg->value(q(select (now() at time zone 'utc')::date));

is_deeply($report->{days}, [{ day => $day, hits => 7, visitors => 7, bots => 2 }],
          'hits by day');
is(scalar @{ $report->{links} }, 2, 'top links');

my ($a, $b) = @{ $report->{links} };
is_deeply([@$a{qw(identifier label user_id hits visitors confirmed)}],
          ['a', qq(<b>"\x{e4}\\\n), "o'hara", 6, 6, 1], 'the first');
cmp_ok(abs($a->{conversion_rate} - 1 / 6), '<', 0.001, 'its conversion rate');
is_deeply([@$b{qw(identifier label hits visitors linked_users confirmed)}],
          ['b', undef, 1, 1, 0, 0], 'the second');
is_deeply([@{ $report->{funnel} }{qw(hits visitors confirmed)}], [7, 7, 1],
          'the funnel');
cmp_ok($report->{age}, '<', 10, 'how old it is');
is(report()->header('Cache-Control'), 'no-store', 'nobody else stores it');


# It is kept

$queries = queries();
$nginx->get('/ref/a') for 1 .. 3;
is(json(report())->{funnel}{hits}, 7, 'the same for as long as it says');
is(queries(), $queries, 'without a query');

my $first = json(report())->{age};
wait_until { json(report())->{age} > $first } 20, 'it to grow older';

is(json(report('/soon'))->{funnel}{hits}, 10, 'anew after that');


# One query for all who wait; who waits does so no longer than "timeout", and has
# the last one then

my $locker = $pg->connect;
$locker->begin_work;
$locker->do('lock table hype.link_total in access exclusive mode');

$queries = queries();
my @clients = map { $nginx->open } 1 .. 10;
$start = time;
print {$_} "GET /soon?report HTTP/1.1\r\nHost: localhost\r\n\r\n" for @clients;

wait_until { queries() > $queries } 10, 'a report to be asked for';
my $visit = $nginx->get('/ref/a');
is($visit->status, 302, 'meanwhile visitors');
is($pg->hits, 13, 'leave their hit');

my @answers = map { http_read($_) } @clients;
cmp_ok(time - $start, '<', 2 + ($ENV{HYPE_SLACK} // 1.5), 'all have an answer');
is((grep { $_->status != 200 } @answers), 0, 'each of them');
is((grep { json($_)->{funnel}{hits} != 10 } @answers), 0, 'the last report');
is(queries(), $queries + 1, 'and there was one query');

$locker->rollback;
is_soon { json(report('/soon'))->{funnel}{hits} } 11, 'then there is a new one';
$pg->terminate;
is_soon { report('/soon')->status } 200, 'also when its connection was cut';


# Without a database

$pg->stop;
$answer = report('/soon');
is($answer->status, 200, 'without a database the last one');
is(json($answer)->{funnel}{hits}, 11, 'as it was');
is($nginx->get('/ref/a')->status, 302, 'and visitors as ever');

$nginx->restart;
$start = time;
is(report()->status, 503, 'or none');
cmp_ok(time - $start, '<', 2 + ($ENV{HYPE_SLACK} // 1.5), 'soon');
is($nginx->request('HEAD', '/status?report')->status, 503, 'HEAD, too');

$pg->start;
is_soon { report()->status } 200, 'and again when it is back';


# Who has gone, and who sends what nobody asked for

$pg->freeze;
my $gone = $nginx->open;
print {$gone} "GET /soon?report HTTP/1.1\r\nHost: localhost\r\n\r\n";
wait_until { status($nginx, '/status?json')->{queue}{waiting} == 1 } 20, 'one to wait';
close $gone;
is_soon { status($nginx, '/status?json')->{queue}{waiting} } 0, 'nobody waits any more';
$pg->thaw;

$answer = $nginx->raw("GET /soon?report HTTP/1.1\r\nHost: localhost\r\n"
                      . "Content-Length: 100000\r\n\r\n" . 'x' x 100_000
                      . "GET /off?report HTTP/1.1\r\nHost: localhost\r\n"
                      . "Connection: close\r\n\r\n");
is($answer->status, 200, 'a body is left out');

$nginx->quit;

done_testing();
