# Referral links over HTTP/2.

use lib 't/lib';
use Hype::Test;

my $pg = database();
$pg->link('abc');

my $port = free_port();
my $listen = Hype::Nginx->listen_http2($port);

my $nginx = nginx(pg => $pg, http => <<"HTTP");
absolute_redirect off;

server {
    $listen
    server_name localhost;

    location /ref/ {
        hype_ref;
        hype_user \$arg_user;
    }
}
HTTP

my $visitor = '0b5c8f5a-7f8e-4b0a-9d7e-2f4f5a6b7c8d';

sub rows
{
    my ($columns) = @_;

    return $pg->text("delete from hype.referral_hit returning $columns");
}

sub get
{
    my ($path, @options) = @_;

    return curl('--http2-prior-knowledge', @options,
                "http://127.0.0.1:$port$path");
}

my $r = get('/ref/abc?next=/x', '-A', 'agent', '-e', 'http://from.example/');

like($r->status_line, qr{^HTTP/2 302}, 'a redirect');
is($r->location, '/x', 'its target');
is_deeply([$r->header('Cache-Control')], ['no-store'], 'not to be stored');
is(rows('visitor, user_agent, http_referer, next'),
   $r->cookie('hype_visitor') . "|agent|http://from.example/|/x\n", 'its hit');

is(get('/ref/abc', '-b', "hype_visitor=$visitor")->cookie('hype_visitor'),
   $visitor, 'a cookie that is there');
is(get('/ref/abc', '-H', 'Cookie: a=b', '-H', "Cookie: hype_visitor=$visitor",
       '-H', 'Cookie: c=d')->cookie('hype_visitor'),
   $visitor, 'one of many headers');
is(rows('visitor'), "$visitor\n$visitor\n", 'is the visitor of the hit');

$r = get('/ref/abc?user=42', '-b', "hype_visitor=$visitor");

like($r->header('Set-Cookie'), qr/^hype_visitor=; Max-Age=0; /,
     'a cookie is cleared');
is(rows('user_id, authenticated'), "42|t\n", 'for a known user');

is(get('/ref/abc', '-I')->status, 302, 'HEAD');
is(get('/ref/abc', '-H', 'Sec-Purpose: prefetch')->status, 503, 'a prefetch');
is(get('/ref/unknown')->status, 302, 'an unknown link');
is(rows('1'), '', 'are no hits');

$r = get('/ref/abc', '-X', 'DELETE');

is($r->status, 405, 'DELETE');
is($r->header('Allow'), 'GET, HEAD', 'is told what is allowed');


# Many at once, with a body: RFC 9113, 4.1 and 6.2; RFC 7541, appendix A

sub frame
{
    my ($type, $flags, $stream, $payload) = @_;

    return substr(pack('N', length $payload), 1)
           . pack('CCN', $type, $flags, $stream) . $payload;
}

my $count = 100;
my $socket = http_open($port);

print $socket "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" . frame(4, 0, 0, ''), map {
    my $path = "/ref/abc?next=/$_";
    frame(1, 4, 2 * $_ - 1,
          "\x82\x86\x04" . chr(length $path) . "$path\x01\x09localhost")
        . frame(0, 1, 2 * $_ - 1, 'hello')
} 1 .. $count;

my ($bytes, %headers, %ended) = ('');

while (keys %ended < $count) {
    sysread $socket, $bytes, 65536, length $bytes or last;

    while (length $bytes >= 9) {
        my ($high, $low, $type, $flags, $stream) = unpack 'CnCCN', $bytes;
        my $length = 9 + ($high << 16) + $low;

        last if length $bytes < $length;
        substr $bytes, 0, $length, '';

        $headers{$stream}++ if $type == 1;
        $ended{$stream}++ if $type <= 1 && $flags & 1;
    }
}

is(keys %ended, $count, 'many at once: all are answered');
is(grep({ $_ == 1 } values %headers), $count, 'each once');
is($pg->value('select count(distinct next) from hype.referral_hit'), $count,
   'each is a hit');
is($pg->value('select count(distinct visitor) from hype.referral_hit'), $count,
   'of another visitor');

done_testing();
