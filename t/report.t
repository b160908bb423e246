# "?report" with arguments: each viewer gets the report that is asked for, is
# told what is wrong with the question, or why there is no answer.

use lib 't/lib';
use Hype::Test;
use Hype::Status;
use IO::Socket::INET ();

my $pg = cluster(config => "log_statement = 'all'");
my $nginx = nginx(pg => $pg, database => 'timeout=8s', server => <<'END');
    location /go/ { hype_ref; }
    location /ref/ { hype_ref $arg_id; }
    location = /status { hype_status html reports=1h; }
    location = /soon { hype_status html reports=1ms; }
END

sub report { return $nginx->get(($_[1] // '/status') . '?report' . ($_[0] // '')) }

sub asked
{
    my @asked = $pg->log =~ /parameters: \$1 = '(\{.*\})'$/img;
    return @asked;
}

$pg->link($_, user_id => $_ eq 'b' ? 'bob' : 'alice', label => "Label $_")
    for 'a' .. 'e';
$nginx->get('/go/a') for 1 .. 3;
$nginx->get('/go/b');


# What to do, and for whom

my $answer;
is_soon { $answer = report(); json($answer)->{problem} } 'grant',
    'without the grant it says so';
is($answer->status, 503, 'as a failure');
is($answer->header('Content-Type'), 'application/json', 'in JSON');
is(json($answer)->{statement}, 'GRANT hype_report TO hype_nginx;',
   'with the statement that mends it');

$pg->exec(json($answer)->{statement});
is_soon { report()->status } 200, 'which does';
is_soon { json(report('', '/soon'))->{funnel}{hits} } 4, 'hits';

my $r = json(report());
is_deeply([@$r{qw(path param)}], ['/go/', ''], 'where links are');
ok(!exists $r->{problem}, 'no problem');


# Arguments

sub links { join '', map { $_->{identifier} } @{ json(report($_[0]))->{links} } }

is(links('&sort=identifier&order=desc&size=2'), 'ed', 'ordered');
is(links('&sort=identifier&size=2&page=2'), 'cd', 'a page');
is(links('&search=BOB&zone=Europe%2FBerlin'), 'b', 'found by the owner');
is(links('&search=Label+c'), 'c', 'or the label');
is(links('&search=Label%20c&from=&until='), 'c', 'without empty arguments');
is(json(report('&by=owner'))->{owners}[0]{user_id}, 'alice', 'owners');
is(json(report('&from=2020-01-01&until=2020-01-31'))->{funnel}{hits}, 0,
   'of a time');
is(links(q{&search='%3B+DROP+TABLE+hype.referral_link%3B--}), '',
   'hostile text is text');
is(links('&search=%5C%22%7B%7D'), '', 'also for JSON');
is($pg->value('select count(*) from hype.referral_link'), 5, 'nothing is lost');

my @bad = (
    '&sort=hits;drop' => 'sort is "hits;drop", not the name of a column',
    '&page=-1' => 'page is "-1", not a number from 1 to 999999',
    '&from=2026-02-30' => 'from or until is no day',
    '&zone=Nowhere' => 'there is no time zone "Nowhere"',
    '&serch=a' => 'unknown argument "serch"',
    '&%22%5C=%3Cb%3E' => 'unknown argument ""\\"',
    '&search=%FF' => 'an argument is neither UTF-8 nor free of control '
        . 'characters',
    '&search=a%00' => 'an argument is neither UTF-8 nor free of control '
        . 'characters',
    '&search=%ED%A0%80' => 'an argument is neither UTF-8 nor free of control '
        . 'characters',
    '&search=' . 'a' x 2048 => 'the arguments are too long',
);

while (my ($query, $message) = splice @bad, 0, 2) {
    $answer = report($query);
    is($answer->status, 400, substr "bad: $query", 0, 40);
    is(json($answer)->{message}, $message, 'and what is wrong');
}

is(report("&search=\xc3\xa4")->status, 200, 'bytes that are not escaped');
unlike($nginx->error_log, qr/can't report: (?!.*permission denied)/,
       'nothing of that is an error');
is($nginx->get('/status?reports')->header('Content-Type'),
   'text/html; charset=utf-8', 'nor is another word a report');


# Each is kept

my $n = asked();
report('&search=kept') for 1 .. 3;
is(scalar(asked()), $n + 1, 'the same question is asked once');
report("&search=other$_") for 1 .. 130;
is(scalar(asked()), $n + 131, 'others are, too');
report('&search=other130');
is(scalar(asked()), $n + 131, 'the last ones are kept');
report('&search=kept');
is(scalar(asked()), $n + 132, 'not all of them');


# Large ones

$pg->exec(q(insert into hype.referral_link (identifier, label)
            select 'many' || i, repeat('x', 190)
            from generate_series(1, 12000) i));

my @sizes = map { length report("&part=rows&size=5000&page=$_&sort=identifier"
                                . "&search=$_") ? 1 : 0 } 1 .. 12;
is("@sizes", '1 ' x 11 . 1, 'many large ones');
my %found;

for my $page (1 .. 3) {
    my $r = json(report("&part=rows&size=5000&sort=identifier&page=$page"));
    $found{$_->{identifier}}++ for @{ $r->{links} };
    is($r->{total}, 12_005, 'of all') if $page == 1;
}

is(scalar(keys %found), 12_005, 'all rows, in pages');
is((grep { $_ > 1 } values %found), 0, 'none twice');


# One viewer asks for more than can be had: another one is served all the same

sub ask
{
    my ($from, $search) = @_;

    my $socket = IO::Socket::INET->new(
        PeerAddr => '127.0.0.1', PeerPort => $nginx->port,
        LocalAddr => $from) or die "connect: $@";
    print {$socket} "GET /status?report&search=$search HTTP/1.1\r\n"
        . "Host: localhost\r\n\r\n";
    return $socket;
}

my $locker = $pg->connect;
$locker->begin_work;
$locker->do('lock table hype.link_total in access exclusive mode');

my @greedy = ask('127.0.0.1', 'greedy1');
wait_until { grep { /greedy1/ } asked() } 10, 'the first to be asked for';
push @greedy, map { ask('127.0.0.1', "greedy$_") } 2 .. 5;
wait_until { status($nginx, '/status?json')->{queue}{waiting} == 5 } 5,
    'all to wait';
push @greedy, ask('127.0.0.1', 'greedy6');
is(json(http_read(pop @greedy))->{problem}, 'busy',
   'one viewer has a few at a time');

my $other = ask('127.0.0.2', 'other');
wait_until { status($nginx, '/status?json')->{queue}{waiting} == 6 } 5,
    'the other one to wait';
is($nginx->get('/go/a')->status, 302, 'visitors do not');
$locker->rollback;

is_soon { scalar grep { /greedy5/ } asked() } 1, 'all are asked for', 20;
my @order = grep { /greedy|"other"/ } asked();
like($order[1], qr/"other"/, 'the other viewer\'s is the second');
is_soon { report('&search=greedy6')->status } 200, 'what was too much comes later';


http_read($_) for @greedy, $other;


# Why there is none

is(report('', '/soon')->status, 200, 'a report');

sub problem_is
{
    my ($problem, $name) = @_;

    is_soon { json(report("&search=$problem"))->{problem} } $problem, $name;
    like(json(report("&search=$problem"))->{message}, qr/^[a-z].*[a-z0-9]$/i,
         'in words');
}

my $sql = q(create or replace function hype.report(arguments jsonb default '{}')
    returns jsonb language plpgsql stable as
    'begin raise exception using errcode = %s, message = %s; end');

$pg->exec(sprintf $sql, q(''57014''), q(''canceled''));
problem_is('slow', 'it takes too long');
$pg->exec(sprintf $sql, q(''XX000''), q(''secret SQL''));
problem_is('failed', 'something else');
unlike(report('&search=failed')->body, qr/secret/, 'without what PostgreSQL says');

is(json(report('', '/soon'))->{problem}, 'failed', 'an old report says so, too');
cmp_ok(json(report('', '/soon'))->{funnel}{hits}, '>=', 4, 'and is shown');

$pg->exec('drop function hype.report(jsonb)');
problem_is('schema', 'the schema is older');

$pg->psql('-qf', 'sql/hype.sql');
is_soon { report('&search=again')->status } 200, 'until it is installed again';

$pg->stop;
problem_is('away', 'the database is away');
is_soon { json(report('', '/soon'))->{problem} } 'away', 'with an old report, too';
is(report('', '/soon')->status, 200, 'which is there');
$pg->start;
is_soon { report('&search=back')->status } 200, 'it is back';
is_soon { json(report('', '/soon'))->{problem} // '' } '', 'without a problem';

# Behind a pooler each transaction may have another session

my $pooled = nginx(pg => pgbouncer($pg, pool_mode => 'transaction'),
                   server => 'location = /status { hype_status html reports=1ms; }');

is_soon { $pooled->get('/status?report&search=a')->status } 200,
    'behind a pooler';
is($pooled->get('/status?report&page=x')->status, 400, 'also what is wrong');
is($pooled->get('/status?report&search=b')->status, 200, 'and what follows');

$_->quit for $nginx, $pooled;

done_testing();
