# Redirects are as nginx makes them: absolute_redirect and its relatives.

use lib 't/lib';
use Hype::Test;

my $pg = database();
$pg->link('abc');
$pg->link('path', destination => '/welcome?x#y');
$pg->link('url', destination => 'https://shop.example/');
$pg->link('host', destination => '//shop.example/x');

my $nginx = nginx(pg => $pg, http => <<'HTTP', server => <<'SERVER');
server {
    listen 127.0.0.1:%%PORT%%;
    server_name www.example.com example.com;

    location /ref/ {
        hype_ref;
    }

    location /named/ {
        hype_ref;
        server_name_in_redirect on;
    }

    location /no-port/ {
        hype_ref;
        port_in_redirect off;
    }

    location /relative/ {
        hype_ref;
        absolute_redirect off;
        server_name_in_redirect on;
    }

    location /own/ {
        hype_ref;
        hype_next_hosts example.com;
        absolute_redirect off;
    }
}
HTTP

location /ref/ {
    hype_ref;
}

location /relative/ {
    hype_ref;
    absolute_redirect off;
}

location /return/ {
    return 302 $arg_next;
}
SERVER

my $port = $nginx->port;

sub goes
{
    my ($path, $to, $name, @headers) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my $r = $nginx->get($path, @headers);

    is_deeply([$r->status, $r->header('Location')], [302, $to], $name);
}

my @host = (Host => 'example.com');

goes('/ref/abc', "http://localhost:$port/", 'absolute by default');
goes('/ref/abc', "http://example.com:$port/", 'with the host asked for', @host);
goes('/ref/abc', "http://example.com:$port/", '... in lower case, less its port',
     Host => 'EXAMPLE.com:80');
goes('/ref/path', "http://localhost:$port/welcome?x#y", 'a destination');
goes('/ref/abc?next=/x?y%23z', "http://localhost:$port/x?y#z", 'a next');
goes('/ref/url', 'https://shop.example/', 'a URL stays as it is');

goes('/relative/abc', '/', 'absolute_redirect off');
goes('/relative/path', '/welcome?x#y', '... a destination');
goes('/relative/abc?next=/x?y%23z', '/x?y#z', '... a next');
goes('/relative/url', 'https://shop.example/', '... a URL');
goes('/relative/abc', '/', '... before server_name_in_redirect', @host);

goes('/named/abc', "http://www.example.com:$port/",
     'server_name_in_redirect on', @host);
goes('/no-port/abc', 'http://example.com/', 'port_in_redirect off', @host);

# a host without a scheme is no path of this host

goes('/ref/host', 'http://shop.example/x', '"//host/path"');
goes('/named/host', 'http://shop.example/x', '- server_name_in_redirect', @host);
goes('/relative/host', '//shop.example/x', '- absolute_redirect off');

# the same host, said in full
goes('/own/abc?next=http://example.com/x', 'http://example.com/x',
     'a URL of the host itself', @host);

# What follows is as nginx's own "return" has it, which encodes nothing

for my $next ('/x', '/x%20y', "/\xc3\xa4", '/x?y=http://z', '/x//y') {
    my $ours = $nginx->get("/ref/abc?next=" . $next =~ s/%/%25/gr)->location;

    is($ours, as_uri($nginx->get("/return/?next=$next")->location),
       "as \"return\", but a valid URI: $next");
}

my $r = $nginx->raw("GET /ref/abc HTTP/1.0\r\n\r\n");

is($r->status, 302, 'HTTP/1.0 without a host');
is($r->location, "http://127.0.0.1:$port/", 'has the address');

$r = $nginx->get('/ref/abc');

like($r->body, qr/<title>302 Found<\/title>/, 'a page for old browsers');
is($r->header('Content-Type'), 'text/html', '... in HTML');
like($r->status_line, qr{^HTTP/1\.1 302 (?:Moved Temporarily|Found)$},     # Angie
     'the status line');

done_testing();
