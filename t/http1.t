# HTTP/1.0 and HTTP/1.1: keep-alive, pipelines, bodies, slashes.

use lib 't/lib';
use Hype::Test;

my $pg = database();
$pg->link('abc');
$pg->link('to', destination => '/welcome');

my $nginx = nginx(pg => $pg, database => 'timeout=30s',
                  http => <<'HTTP', server => <<'SERVER');
absolute_redirect off;

server {
    listen 127.0.0.1:%%PORT%%;
    server_name slashes;
    merge_slashes off;

    location /ref/ {
        hype_ref;
        add_header Outcome $hype_outcome;
    }
}
HTTP

location /ref/ {
    hype_ref;
}

location / {
    return 200 "page";
}
SERVER

my $visitor = '0b5c8f5a-7f8e-4b0a-9d7e-2f4f5a6b7c8d';

sub rows
{
    my ($columns) = @_;

    return $pg->text("delete from hype.referral_hit returning $columns");
}

# HTTP/1.0

my $r = $nginx->raw("GET /ref/abc?next=/x HTTP/1.0\r\n\r\n");

is($r->status, 302, 'HTTP/1.0');
is($r->location, '/x', 'its target');
ok($r->cookie('hype_visitor'), 'its cookie');
is($r->header('Connection'), 'close', 'the connection is closed');
is(rows('next'), "/x\n", 'its hit');

$r = $nginx->raw("GET /ref/abc HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");

is($r->header('Connection'), 'keep-alive', 'or is not');
is(rows('1'), "1\n", 'with a hit, too');

# Many requests on a connection

sub get
{
    my ($path, $rest) = @_;

    return "GET $path HTTP/1.1\r\nHost: localhost\r\n" . ($rest // "\r\n");
}

my $socket = $nginx->open;
my @names = map { "/$_" } 1 .. 10;

for my $name (@names) {
    print $socket get("/ref/abc?next=$name");
    is(http_read($socket)->location, $name, "keep-alive: $name");
}

is(rows('next'), join('', map { "$_\n" } @names), 'their hits');

$socket = $nginx->open;
print $socket join '', map { get("/ref/abc?next=$_") } @names;
is_deeply([map { http_read($socket)->location } @names], \@names,
          'pipelined: answers in order');
is(rows('next'), join('', map { "$_\n" } @names), 'their hits');

$socket = $nginx->open;
print $socket get('/ref/abc') . get('/page') . get('/ref/unknown')
            . "HEAD /ref/to HTTP/1.1\r\nHost: localhost\r\n\r\n" . get('/ref/to');
is(join(' ', map { my $answer = http_read($socket,
                                          method => $_ == 3 ? 'HEAD' : 'GET');
                   $answer->status . ($answer->location // '') } 0 .. 4),
   '302/ 200 302/ 302/welcome 302/welcome', 'pipelined: all kinds');
is(rows('1'), "1\n1\n", 'two hits');

# A body is skipped

for my $case (
    ["Content-Length: 5\r\n\r\nhello" => 'of a length'],
    ["Content-Length: 0\r\n\r\n" => 'of no length'],
    ["Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n" => 'in chunks'],
    ["Content-Length: 100000\r\n\r\n" . 'x' x 100000 => 'a large one'],
    ["Content-Length: 24\r\n\r\nGET /ref/abc HTTP/1.1\r\n " => 'that looks so'],
) {
    my ($rest, $name) = @$case;

    my $socket = $nginx->open;
    print $socket get('/ref/abc?next=/1', $rest) . get('/ref/abc?next=/2');

    is_deeply([map { http_read($socket)->location } 1, 2], ['/1', '/2'],
              "a body $name");
    is(rows('next'), "/1\n/2\n", '... two hits');
}

$socket = $nginx->open;
print $socket get('/ref/abc', "Content-Length: 5\r\nExpect: 100-continue\r\n\r\n");
is(http_read($socket)->status, 100, 'a body that is announced');
print $socket 'hello';
is(http_read($socket)->status, 302, '... and sent');
is(rows('1'), "1\n", '... one hit');

$socket = $nginx->open;
print $socket get('/ref/abc', "Content-Length: 10\r\n\r\nhe");
is(http_read($socket)->status, 302, 'a body that is late');
print $socket 'llohello' . get('/page');
is(http_read($socket)->body, 'page', '... is skipped as well');
is(rows('1'), "1\n", '... one hit');

# A body that comes while its hit is written is read once it has been

{
    my $dbh = $pg->connect;
    $dbh->begin_work;
    $dbh->do('lock table hype.referral_hit');

    my $socket = $nginx->open;
    print $socket get('/ref/abc?next=/1', "Content-Length: 30000\r\n\r\n");
    wait_until { $pg->value('select count(*) from pg_locks where not granted '
                            . "and relation = 'hype.referral_hit'::regclass") } 20,
        'the hit to wait';
    print $socket 'x' x 30000, get('/page');
    my $answers = $nginx->get('/page')->status;
    $dbh->rollback;

    is($answers, 200, 'a body that comes in the meantime: others are answered');
    is(http_read($socket)->location, '/1', '... the redirect');
    is(http_read($socket)->body, 'page', '... and the next request');
    is(rows('1'), "1\n", '... one hit');
}

$socket = $nginx->open;
print $socket get('/ref/abc', "Transfer-Encoding: chunked\r\n\r\nxyz\r\n");
is(http_read($socket)->status, 400, 'a body that is none');
is(rows('1'), '', '... no hit');

# In pieces

$socket = $nginx->open;
print $socket $_ for split /(?<=e)/, get('/ref/abc?next=/x',
    "Cookie: hype_visitor=$visitor\r\n\r\n");
is(http_read($socket)->location, '/x', 'a request in pieces');
is(rows('visitor'), "$visitor\n", '... its hit');

# merge_slashes off

for my $case (
    ['/ref/abc' => '302 hit'],
    ['/ref/abc/' => '302 hit'],
    ['/ref/abc//' => '302 unknown'],
    ['/ref//abc' => '302 unknown'],
    ['/ref/abc/x//../' => '302 unknown'],
    ['//ref/abc' => '404 '],
) {
    my $r = $nginx->get($case->[0], Host => 'slashes');
    is($r->status . ' ' . ($r->header('Outcome') // ''), $case->[1],
       "merge_slashes off: $case->[0]");
}

is(rows('1'), "1\n1\n", '... two hits');
is($nginx->get('/ref/abc?next=//evil.example', Host => 'slashes')->location, '/',
   '... no other host');
is($nginx->get('/ref/abc?next=/x//y', Host => 'slashes')->location, '/x//y',
   '... a next as it is');

done_testing();
