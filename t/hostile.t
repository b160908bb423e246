# Whatever clients send: no 5xx, and rows that are well-formed.

use lib 't/lib';
use Hype::Test;
use Hype::Fault;

my $pg = database();
my ($link) = fault_links($pg);

my $nginx = fault_nginx(pg => $pg, workers => 2, database => 'timeout=5s',
                        http => 'underscores_in_headers on;', server => <<'END');
large_client_header_buffers 8 64k;

location /direct/ {
    hype_ref_param ref mode=direct;
    alias %%DIR%%/html/;
}

location /inline/ {
    hype_ref_param ref mode=inline;
    try_files /none /index.html;
}

location /redirect/ {
    hype_ref_param ref;
    alias %%DIR%%/html/;
}
END

my $rejected = $nginx->dir . '/hype_spool/rejected.records';
my %sent;


# Sends a request's bytes; what comes may be anything but an answer 5xx, except
# for those of nginx itself to methods and versions that it does not know

sub hostile
{
    my ($name, $bytes) = @_;

    my $socket = $nginx->open;
    local $SIG{PIPE} = 'IGNORE';
    print $socket $bytes;
    shutdown $socket, 1 if $bytes !~ /\r\n\r\n/;
    my $answer = http_read($socket);

    $sent{$name}++;
    my $status = $answer->status;
    my @lines = split /\r\n/, $answer->head;

    # a line end in the request line makes it one of HTTP/0.9, without headers
    @lines = () if ($lines[0] // '') !~ m{^HTTP/};
    shift @lines;

    if ($status == 500 || $status > 501 && $status != 505 || $answer->error && $answer->error eq 'timed out'
        || grep { !/^[A-Za-z-]+: [^\0-\x08\x0a-\x1f\x7f]*$/ } @lines)
    {
        fail("$name: $status " . ($answer->error // ''));
        diag(explain([$bytes, $answer->head]));
    }

    return $answer;
}


sub get
{
    my ($name, $target, @headers) = @_;

    my $headers = '';
    while (my ($key, $value) = splice @headers, 0, 2) {
        $headers .= "$key: $value\r\n";
    }

    return hostile($name, "GET $target HTTP/1.1\r\nHost: localhost\r\n"
        . "Connection: close\r\n$headers\r\n");
}


sub rows
{
    return $pg->value('select count(*) from hype.referral_hit');
}


sub escaped { join '', map { sprintf '%%%02x', ord } split //, $_[0] }

# Each byte, as it is and escaped, at each place

my @places = (
    ['User-Agent', sub { ["/ref/$link/", 'User-Agent' => "a$_[0]b"] }],
    ['Referer', sub { ["/ref/$link/", Referer => "a$_[0]b"] }],
    ['Cookie', sub { ["/ref/$link/", Cookie => "hype_visitor=$_[0]; a=b$_[0]"] }],
    ['cookie\'s name', sub { ["/ref/$link/", Cookie => "$_[0]hype_visitor=a"] }],
    ['Purpose', sub { ["/ref/$link/", Purpose => $_[0]] }],
    ['Host', sub { ["/ref/$link/", Host => "a$_[0]b"] }],
    ['a header\'s name', sub { ["/ref/$link/", "X$_[0]Y" => 1] }],
    ['identifier', sub { ["/ref/$_[0]/"] }],
    ['identifier\'s end', sub { ["/ref/$link$_[0]"] }],
    ['next', sub { ["/ref/$link/?next=$_[0]"] }],
    ['next\'s path', sub { ["/ref/$link/?next=/$_[0]/a"] }],
    ['another argument', sub { ["/ref/$link/?$_[0]=$_[0]&next=/a"] }],
    ['ref', sub { ["/direct/?ref=$_[0]"] }],
    ['URL of ref, direct', sub { ["/direct/$_[0]?a=$_[0]&ref=$link"] }],
    ['URL of ref, inline', sub { ["/inline/$_[0]?a=$_[0]&ref=$link"] }],
    ['URL of ref, redirect', sub { ["/redirect/$_[0]?a=$_[0]&ref=$link"] }],
    ['user', sub { ["/in?user=$_[0]", Cookie => 'hype_visitor='
                    . '11111111-2222-4333-8444-555555555555'] }],
    ['buyer', sub { ["/buy?user=$_[0]"] }],
);

for my $place (@places) {
    my ($name, $request) = @$place;

    for my $byte (map { chr } 0 .. 255) {
        get($name, @{ $request->($byte) });
        get($name, @{ $request->(escaped($byte)) });
    }

    is($sent{$name}, 512, "all bytes in $name");
}

# What is stored of them

$pg->exec('delete from hype.referral_hit');
my $all = join '', map { chr } 1 .. 9, 11, 12, 14 .. 255;
get('stored', "/ref/$link/?next=/" . escaped(join '', map { chr } 0 .. 255),
    'User-Agent' => $all, Referer => $all);
is_soon { rows() } 1, 'all bytes at once are a hit';
my ($row) = $pg->query(q(select convert_to(next, 'UTF8') = convert_to(next, 'UTF8'),
    length(next), length(user_agent), length(http_referer) from hype.referral_hit));
is($row->[0], 't', 'in text that PostgreSQL takes');
cmp_ok($row->[1], '>=', 250, 'nothing of next is cut off');
is($row->[2], length $all, 'nor of User-Agent');

# Whole sequences of UTF-8 stay, what is none is replaced

my $utf8 = "\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80";
$pg->exec('delete from hype.referral_hit');
get('utf-8', "/ref/$link/?next=/" . escaped($utf8), 'User-Agent' => $utf8,
    Referer => "a\xc3b\xe2\x82c\xed\xa0\x80d\xf4\x90\x80\x80e\xc0\xaf");
is_soon { rows() } 1, 'UTF-8';
($row) = $pg->query(q(select encode(convert_to(next, 'UTF8'), 'hex'),
    encode(convert_to(user_agent, 'UTF8'), 'hex'), http_referer from hype.referral_hit));
is($row->[0], unpack('H*', "/$utf8"), 'next as it was');
is($row->[1], unpack('H*', $utf8), 'User-Agent, too');
like($row->[2], qr/^a.+b.+c.+d.+e.+$/s, 'what is none is replaced');

# Lengths

for my $length (64, 65, 1000, 8000, 30_000, 60_000) {
    my $long = 'x' x $length;

    get("identifier of $length bytes", "/ref/$long/");
    get("next of $length bytes", "/ref/$link/?next=/$long");
    get("next of $length escaped bytes", "/ref/$link/?next=/" . '%ff' x ($length / 3));
    get("cookie of $length bytes", "/ref/$link/", Cookie => "hype_visitor=$long");
    get("User-Agent of $length bytes", "/ref/$link/", 'User-Agent' => $long);
    get("User-Agent of $length bytes", "/ref/$link/", 'User-Agent' => "\xff" x $length);
    get("ref of $length bytes", "/direct/?ref=$long");
    get("ref before $length bytes", "/redirect/?ref=$link&a=$long");
    get("ref before $length bytes", "/redirect/?ref=$link&a=" . '%00' x ($length / 3));
    get("user of $length bytes", "/in?user=$long", Cookie =>
        'hype_visitor=11111111-2222-4333-8444-555555555556');
}

pass('long identifiers, arguments, cookies, headers');

for my $n (100, 1000, 5000) {
    get("$n cookies", "/ref/$link/", Cookie => join '; ', map { "c$_=$_" } 1 .. $n);
    get("$n cookies of ours", "/ref/$link/",
        Cookie => 'hype_visitor=; ' x ($n / 10));
    get("$n Cookie headers", "/ref/$link/", map { (Cookie => "a=$_") } 1 .. $n / 10);
    get("$n arguments", "/ref/$link/?" . 'a=1&' x $n);
    get("$n nexts", "/ref/$link/?" . 'next=/a&' x ($n / 2));
    get("$n refs", "/direct/?" . "ref=$link&" x ($n / 2));
    get("$n separators", "/direct/?" . '&' x $n . "ref=$link");
}

pass('thousands of cookies and arguments');

# Other people's cookies: the hit is that visitor's, nothing else changes

my $visitor = '01234567-89ab-4cde-8f01-23456789abcd';
$pg->exec('delete from hype.referral_hit');

for my $cookie ($visitor, uc $visitor, "$visitor; hype_visitor=bad",
                "bad; hype_visitor=$visitor", qq("$visitor"), "{$visitor}",
                $visitor =~ tr/-//dr, "$visitor-", " $visitor ",
                '00000000-0000-0000-0000-000000000000', "' or 1=1 --")
{
    my $r = get('visitor', "/ref/$link/", Cookie => "hype_visitor=$cookie");
    like($r->cookie('hype_visitor'), qr/^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/,
         "a cookie $cookie");
}

is_soon { rows() } 11, 'is a hit each';

# Header injection

for my $crlf ("%0d%0aSet-Cookie:%20a=b", '%0aX: y', '%0d%0a%0d%0a<html>',
              "%e5%98%8a%e5%98%8dX:%20y")
{
    for my $target ("/ref/$link/?next=/a$crlf", "/ref/$link/?next=$crlf",
                    "/ref/a$crlf/", "/direct/$crlf?ref=$link",
                    "/direct/?a=$crlf&ref=$link", "/redirect/?ref=$link&b=$crlf",
                    "/redirect/$crlf/?ref=$link")
    {
        my $r = get('injection', $target);
        unlike($r->head, qr/^(?:X:|Set-Cookie: a|<html)/mi, "no header by $target");
    }
}

# Methods, versions, bodies, and what looks like a second request

my @shapes = (
    "GET /ref/$link/ HTTP/1.0\r\n\r\n",
    "GET /ref/$link/\r\n",
    "GET  /ref/$link/  HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET /ref/$link/ HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    "GET http://other/ref/$link/?next=/a HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET //ref//$link// HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET /x/../ref/./$link/%2e/ HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET /ref/$link/#f?next=/a HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET /ref/$link/?next=/a#f HTTP/1.1\r\nHost: a\r\n\r\n",
    "POST /ref/$link/ HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc",
    "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n",
    "CONNECT /ref/$link/ HTTP/1.1\r\nHost: a\r\n\r\n",
    "BREW /ref/$link/ HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET /ref/$link/ HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nabcde",
    "GET /ref/$link/ HTTP/1.1\r\nHost: a\r\nContent-Length: 0005\r\n\r\nabcde",
    "GET /ref/$link/ HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n",
    "GET /ref/$link/ HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nabcdef",
    "GET /ref/$link/ HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    "GET /ref/$link/ HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\nGET /ref/$link/?next=/smuggled HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET /ref/$link/ HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n",
    "GET /ref/$link/ HTTP/1.1\r\nHost: a\r\nTransfer-Encoding : chunked\r\n\r\n",
    "GET /ref/$link/ HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\nabc",
    "GET /ref/$link/ HTTP/1.1\r\nHost: a\r\nUser-Agent: a\r\n b\r\n\r\n",
    "GET /ref/$link/ HTTP/1.1\nHost: a\nConnection: close\n\n",
    "GET /ref/$link/ HTTP/1.1\r\nHost: a\r\nRange: bytes=0-1\r\nIf-Modified-Since: x\r\nIf-Match: *\r\n\r\n",
    "GET /ref/$link/ HTTP/1.1\r\nHost: a\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n",
    "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" . "\0" x 100,
    "GET /ref/$link/ HTTP/1.1\r\nHost: a\r\nX: " . 'y' x 100_000 . "\r\n\r\n",
);

for my $n (0 .. $#shapes) {
    my $r = hostile("shape $n", $shapes[$n]);
    cmp_ok($r->status, '<', 502, "shape $n: " . ($shapes[$n] =~ /^([\x20-\x7e]{0,40})/)[0]
           . ' is answered ' . $r->status);
}


# A request with a body that does not come at once, while its hit is written

my $socket = $nginx->open;
print $socket "GET /ref/$link/?next=/body HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc";
is(http_read($socket)->status, 302, 'a body that comes late');
print $socket "defghij";
print $socket "GET /ref/$link/?next=/behind HTTP/1.1\r\nHost: a\r\n\r\n";
is(http_read($socket)->status, 302, 'the next request is read behind it');
is_soon { $pg->hits("next in ('/body', '/behind')") } 2, 'both are hits';

# Noise

srand 1;
my @tokens = ("/ref/$link/", '/direct/', '?', '&', '=', 'ref', 'next', $link, '/',
              '//', '%', '%2f', '%00', '%0d%0a', '\\', ':', '@', '#', "\xff", '..',
              'http:', 'a', '%e2%82', ';', '+', '%25');

get('noise', join('', '/', map { $tokens[rand @tokens] } 1 .. 1 + rand 12),
    Cookie => join('', map { (@tokens, 'hype_visitor=')[rand @tokens + 1] } 1 .. rand 8))
    for 1 .. 1500;
is($sent{noise}, 1500, 'noise');

# All that is stored is what a table can have, and every worker lives

ok(!-e $rejected, 'nothing was refused') or diag(set_aside($rejected));
is_soon { scalar(my @files = spool_files($nginx)) } 0, 'nothing is left in the spool';
is($pg->hits('referral_link_id <> (select id from hype.referral_link)'), 0,
   'each hit has the link');
unlike($nginx->error_log, qr/exited on signal/, 'no worker has died');

$nginx->quit;

done_testing();
