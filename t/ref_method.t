# Referral links are for GET and HEAD; anything else is 405.

use lib 't/lib';
use Hype::Test;

my $pg = database();
$pg->link('abc123');

my $nginx = nginx(pg => $pg, server => <<'END');
location /ref/ {
    hype_ref;
}

location /no-fallback/ {
    hype_ref;
    hype_fallback =404;
}

location /page/ {
    hype_ref;
    error_page 405 /sorry;
}

location = /sorry {
    return 200 "sorry";
}
END

for my $method (qw(POST PUT DELETE OPTIONS PATCH PROPFIND MKCOL COPY LOCK FOO
                   G-E_T GETS HEADER))
{
    my $r = $nginx->request($method, '/ref/abc123/');

    is($r->status, 405, "$method is not allowed");
    is_deeply([$r->header('Allow')], ['GET, HEAD'], 'and told what is');
    is_deeply([$r->header('Set-Cookie')], [], 'without a cookie');
}

for my $path ('/ref/unknown', '/ref/', '/ref/a+b', '/no-fallback/unknown') {
    is($nginx->request('POST', $path)->status, 405, "nor is it for $path");
}

my $socket = $nginx->open;
print $socket "POST /ref/abc123 HTTP/1.1\r\nHost: localhost\r\n"
            . "Content-Length: 5\r\n\r\nhello"
            . "GET /ref/abc123 HTTP/1.1\r\nHost: localhost\r\n\r\n";

is(http_read($socket)->status, 405, 'a body is skipped');
is(http_read($socket)->status, 302, 'the next request is found behind it');

is($pg->hits, 1, 'nothing else has made a hit');

my $r = $nginx->request('POST', '/page/abc123');

is($r->status, 405, 'with a page of its own');
is($r->body, 'sorry', 'that is shown');
is_deeply([$r->header('Allow')], ['GET, HEAD'], 'the methods are told as well');

is($nginx->request('get', '/ref/abc123')->status, 400,
   'methods are case-sensitive');

done_testing();
