# Requests that nginx refuses before it looks for a location, and whose error
# page is one with a directive of ours: the page, and nothing else.

use lib 't/lib';
use Hype::Test;

my $pg = database();
$pg->link('abc');

my $visitor = '0b5c8f5a-7f8e-4b0a-9d7e-2f4f5a6b7c8d';
my $cookie = "hype_visitor=$visitor";
my $codes = '400 404 405 414 494 501 505';
my %ports = map { $_ => free_port() } qw(redirect direct inline link kept h2);

sub server
{
    my ($port, $text, $page) = @_;

    return "server {\n$text\nerror_page $codes $page;\n"
        . "hype_user \$arg_user;\n"
        . "location /ref/ { hype_ref; hype_confirm \$arg_event; }\n"
        . "location = /page { hype_confirm \$arg_event; }\n}\n";
}

my $listen = Hype::Nginx->listen_http2($ports{h2});

# the level matters: to log a line at "info", nginx makes up for a missing one

my $nginx = nginx(pg => $pg, log_level => 'error', http => join '',
    (map {
        server($_, "listen 127.0.0.1:$ports{$_}; hype_ref_param ref mode=$_;",
               '= /page?ref=abc&user=42&event=signup')
    } qw(redirect direct inline)),
    server('link', "listen 127.0.0.1:$ports{link};",
           '= /ref/abc?user=42&event=signup'),
    server('kept', "listen 127.0.0.1:$ports{kept}; hype_ref_param ref;",
           '/page?ref=abc&user=42&event=signup'),
    server('h2', "$listen hype_ref_param ref;",
           '= /page?ref=abc&user=42&event=signup'));

write_file($nginx->dir . '/html/page', "the page\n");

my @refused = (
    ['no request at all' => "\x16\x03\x01\r\n\r\n"],
    ['no URL' => "GET\r\n\r\n"],
    ['a control character' => "GET  /\x01 HTTP/1.1\r\n\r\n"],
    ['a method of other bytes' => "G\xff /?ref=abc HTTP/1.1\r\n\r\n"],
    ['an unknown version' => "GET /?ref=abc HTTP/9.9\r\n\r\n"],
    ['a bad escape' => "GET /%zz?ref=abc HTTP/1.1\r\nHost: localhost\r\n\r\n"],
    ['above the root' => "GET /../?ref=abc HTTP/1.1\r\nHost: localhost\r\n\r\n"],
    ['no path' => "GET http://?ref=abc HTTP/1.1\r\nHost: localhost\r\n\r\n"],
    ['a bad host' => "GET /?ref=abc HTTP/1.1\r\nCookie: $cookie\r\nHost: a b/\\\r\n\r\n"],
    ['no host' => "GET /?ref=abc HTTP/1.1\r\nCookie: $cookie\r\n\r\n"],
    ['two lengths' => "GET /?ref=abc HTTP/1.1\r\nHost: a\r\nCookie: $cookie\r\n"
        . "Content-Length: x\r\n\r\n"],
    ['a bad encoding' => "GET /?ref=abc HTTP/1.1\r\nHost: a\r\nCookie: $cookie\r\n"
        . "Transfer-Encoding: x\r\n\r\n"],
    ['TRACE' => "TRACE /?ref=abc HTTP/1.1\r\nHost: a\r\nCookie: $cookie\r\n\r\n"],
    ['a long line' => 'GET /?ref=abc' . 'x' x 40000 . " HTTP/1.1\r\n\r\n"],
    ['a long header' => "GET /?ref=abc HTTP/1.1\r\nHost: a\r\nCookie: $cookie\r\n"
        . 'X: ' . 'y' x 40000 . "\r\n\r\n"],
);

http_get($ports{link}, '/ref/abc', Cookie => $cookie);
is($pg->hits, 1, 'a hit, to be claimed and confirmed');

my ($worker) = $nginx->workers;

for my $server (qw(redirect direct inline kept link)) {
    for (@refused) {
        my ($name, $bytes) = @$_;

        my $r = http_raw($ports{$server}, $bytes);

        if ($server eq 'link') {
            is($r->status, 400, "$server: $name");
            unlike($r->head, qr/^Location:/m, '- leads nowhere');

        } else {
            like($r->status, $server eq 'kept' ? qr/^[45]\d\d$/ : qr/^200$/,
                 "$server: $name");
            is($r->body, "the page\n", '- the error page');
        }

        is($r->cookie('hype_visitor'), undef, '- no cookie');
    }
}



# HTTP/2: RFC 7541, 6.2.2

sub frame
{
    my ($type, $flags, $payload) = @_;

    return substr(pack('N', length $payload), 1)
           . pack('CCN', $type, $flags, $type == 1) . $payload;
}

sub headers { return join '', map { "\0" . pack 'C/aC/a', @$_ } @_ }

my @get = ([':method' => 'GET'], [':scheme' => 'http']);

for (
    ['a path without a slash' => [':path' => 'x']],
    ['the same with a method' => @get, [':path' => '?ref=abc']],
    ['no path' => @get],
    ['an empty path' => @get, [':path' => '']],
    ['no method' => [':path' => '/?ref=abc']],
    ['a control character' => @get, [':path' => "/\x01?ref=abc"]],
    ['a bad host' => @get, [':path' => '/?ref=abc'], [':authority' => 'a b/']],
    ['a header in upper case' => @get, [':path' => '/?ref=abc'], [X => 'y']],
) {
    my ($name, @headers) = @$_;

    my $socket = http_open($ports{h2});
    print $socket "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" . frame(4, 0, '')
        . frame(1, 5, headers(@headers));

    # HEADERS, RST_STREAM or GOAWAY

    my ($bytes, $type) = ('', 4);

    while ($type !~ /^[137]$/) {
        sysread $socket, $bytes, 65536, length $bytes or last;

        while (length $bytes >= 9 && $type !~ /^[137]$/) {
            (my ($high, $low), $type) = unpack 'CnC', $bytes;
            my $length = 9 + ($high << 16) + $low;
            last if length $bytes < $length;
            substr $bytes, 0, $length, '';
        }
    }

    like($type, qr/^[137]$/, "HTTP/2: $name");
}

is($pg->hits, 1, 'no hits');


# What claims and confirms there were comes to the database in its order

http_get($ports{link}, '/page?user=7&event=buy', Cookie => $cookie);

is_soon {
    $pg->text('select user_id, event from hype.confirmed_referral')
} "7|buy\n", 'no claims, and no confirms';

is_deeply([$nginx->workers], [$worker], 'the worker lives');
unlike($nginx->error_log, qr/signal/, 'and always did');

done_testing();
