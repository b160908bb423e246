# ?ref= on any URL: what is left of the URL, byte for byte, wherever it goes: a
# redirect, the application, the hit.

use lib 't/lib';
use Hype::Test;

my $pg = database();
$pg->link('abc123', user_id => 'alice');
$pg->link('other', user_id => 'bob');
$pg->link('closed', disabled => 't');
$pg->link('past', expires => '2020-01-01');

my $nginx = nginx(pg => $pg, http => <<'END', server => <<'END');
server {
    listen unix:%%DIR%%/app.sock;
    return 200 "$request_uri|$http_x_args";
}
END
absolute_redirect off;

location /ref/ {
    hype_ref;
}

location /redirect {
    hype_ref_param ref;
}

location /direct {
    hype_ref_param ref mode=direct;
}

location /inline {
    hype_ref_param ref mode=inline;
    proxy_set_header X-Args $is_args$args;
    proxy_pass http://unix:%%DIR%%/app.sock:;
}

location /two {
    hype_ref_param ref invite mode=direct;
}

location / {
    hype_ref_param ref mode=direct;
}
END


# the query as it comes, what remains of it, the link (abc123)

my @queries = (
    ['ref=abc123', ''],
    ['ref=abc123&a=1', 'a=1'],
    ['a=1&ref=abc123', 'a=1'],
    ['a=1&ref=abc123&b=2', 'a=1&b=2'],
    ['b=2&a=1&b=3&ref=abc123&b=2&a=0', 'b=2&a=1&b=3&b=2&a=0'],
    ['a;b&ref=abc123&c;d=1;', 'a;b&c;d=1;'],
    ['a=1;ref=other&ref=abc123', 'a=1;ref=other'],
    ['a=&b&=c&ref=abc123&=&d==', 'a=&b&=c&=&d=='],
    ['&&ref=abc123&&', '&&&'],
    ['a&&ref=abc123', 'a&'],
    ['ref=abc123&&a', '&a'],
    ['q=%41%2f%2F%26&ref=abc123&r=a+b%20c', 'q=%41%2f%2F%26&r=a+b%20c'],
    ['q=%zz&ref=abc123&p=%&o=%4', 'q=%zz&p=%&o=%4'],
    ["q=\xc3\xa9\xff&ref=abc123&\xe2\x82\xac", "q=\xc3\xa9\xff&\xe2\x82\xac"],
    ['q=%C3%A9%FF%00&ref=abc123', 'q=%C3%A9%FF%00'],
    ['xref=1&ref=abc123&refx=2&ref.=3&-ref=4', 'xref=1&refx=2&ref.=3&-ref=4'],
    ['REF=other&ref=abc123&Ref=other', 'REF=other&Ref=other'],
    ['r%65f=other&ref=abc123&%72ef', 'r%65f=other&%72ef'],
    ['a=?&ref=abc123&?&b=/', 'a=?&?&b=/'],
    ['a=<>"{}|^`\'[]@:!$*,~&ref=abc123', 'a=<>"{}|^`\'[]@:!$*,~'],
    ['next=//evil.example&ref=abc123', 'next=//evil.example'],
    ['next=/x%3Fref%3Dother&ref=abc123', 'next=/x%3Fref%3Dother'],
    ['ref=other&a=1&ref=nobody&ref=abc123', 'a=1'],
    ['ref&ref=&ref=abc123', ''],
    ['ref=abc123&a=1&ref=other', 'a=1', 'other'],
    ['ref=abc%31%32%33&a=1', 'a=1'],
    ['ref=%61bc123', ''],
    [join('&', map({ "k$_=v$_" } 1 .. 300), 'ref=abc123'),
     join('&', map { "k$_=v$_" } 1 .. 300)],
);

for (@queries) {
    my ($query, $left, $identifier) = @$_;

    $identifier //= 'abc123';
    $left = "?$left" if $left ne '';
    my $name = length $query > 60 ? substr($query, 0, 57) . '...' : $query;
    $name =~ s/([^ -~])/sprintf '\x%02x', ord $1/ge;

    subtest $name => sub {
        my $r = $nginx->get("/redirect/a%20b/c?$query");
        my $url = "/redirect/a%20b/c$left";

        is($r->status, 302, 'redirect');
        is($r->location, "/ref/$identifier?next=" . escape($url), '- to /ref/');
        is($nginx->get($r->location)->location, as_uri($url), '- and on');
        is(last_hit(), "$identifier|" . stored($url), '- the hit');

        $url = "/direct/a%20b/c$left";
        $r = $nginx->get("/direct/a%20b/c?$query");
        is($r->location, as_uri($url), 'direct');
        is(last_hit(), "$identifier|" . stored($url), '- the hit');

        $url = "/inline/a%20b/c$left";
        $r = $nginx->get("/inline/a%20b/c?$query");
        is($r->body, "$url|$left", 'inline: what the application sees');
        is(last_hit(), "$identifier|" . stored($url), '- the hit');
    };
}


# a URL that would be too long for nginx as an argument of another

for my $length (2600, 2710 .. 2740, 7500) {
    my $query = '/' x $length;
    my $r = $nginx->get("/redirect?$query&ref=abc123");

    if ($r->location =~ m{^/ref/}) {
        $r = $nginx->get($r->location);
    }

    is($r->location, "/redirect?$query", "redirect: $length bytes");
    is(last_hit(), 'abc123|' . substr("/redirect?$query", 0, 2048), '- the hit');
}


# queries that name no good link

for my $query (
    'ref', 'ref=', 'ref=&a=1', 'a=1&ref', 'ref=nobody', 'ref=closed', 'ref=past',
    'ref=ABC123', 'ref=abc123%20', 'ref=abc123+', 'ref=+abc123', 'ref=abc123%00',
    'ref=abc123/', 'ref=abc123%2f', 'ref=../abc123', 'ref=abc123=', 'ref==abc123',
    'ref=abc123;', 'ref=abc%31', "ref=abc\xc3\xa9", 'ref=%', 'ref=%61%',
    'ref=' . 'a' x 65, 'ref=' . 'a' x 4000, 'ref=abc123&ref=nobody',
    'ref=abc123&a&ref=', 'ref=abc123&ref=closed', 'ref=abc123&ref', 'REF=abc123',
    'xref=abc123', 'refx=abc123', 'a=ref=abc123', 'a=1;ref=abc123', '?ref=abc123',
    ' ref=abc123' =~ s/ /%20/r, 'ref%3Dabc123', 'a%26ref=abc123', 'r%65f=abc123',
    '', '&', '&&', '=', '?',
) {
    my $name = length $query > 60 ? substr($query, 0, 57) . '...' : $query;
    $name =~ s/([^ -~])/sprintf '\x%02x', ord $1/ge;

    my $r = $nginx->get("/inline?$query");
    is($r->body, "/inline?$query|" . ($query eq '' ? '' : "?$query"),
       "untouched: \"$name\"");
    is($r->status . ($r->cookie('hype_visitor') // ''), '200', '- no cookie');

    for my $mode ('redirect', 'direct') {
        $r = $nginx->get("/$mode?$query");
        is($r->status . ($r->location // ''), '404', "- $mode");
    }
}

is($pg->hits, 0, 'none of them is a hit');


# several names

for (
    ['ref=abc123&invite=other', '/two', 'other'],
    ['invite=other&ref=abc123', '/two', 'abc123'],
    ['a=1&invite=other&b=2&ref=nobody&invite=abc123', '/two?a=1&b=2', 'abc123'],
    ['invite=abc123&inviter=1', '/two?inviter=1', 'abc123'],
) {
    my ($query, $url, $identifier) = @$_;

    is($nginx->get("/two?$query")->location, $url, "two names: $query");
    is(last_hit(), "$identifier|$url", '- the last one counts');
}

is($nginx->get('/two?ref=abc123&invite=nobody')->status, 404,
   'two names: the last one counts, unknown as it is');


# paths; a redirect never leaves the site

for (
    ['//evil.example/', '/evil.example/'],
    ['///evil.example', '/evil.example'],
    ['////evil.example/x', '/evil.example/x'],
    ['/\evil.example', '/evil.example'],
    ['/\/evil.example', '/evil.example'],
    ['/\\\\evil.example', '/evil.example'],
    ['//\evil.example//x', '/evil.example//x'],
    ['//', '/'],
    ['/%5Cevil.example', '/%5Cevil.example'],
    ['/%2Fevil.example', '/%2Fevil.example'],
    ['/%09/evil.example', '/%09/evil.example'],
    ['/http://evil.example', '/http://evil.example'],
    ['/@evil.example', '/@evil.example'],
    ['/a//b\\\\c', '/a//b\\\\c'],
    ["/caf\xc3\xa9%20\xff", "/caf\xc3\xa9%20\xff"],
    ['/a%0d%0aSet-Cookie:%20b=c', '/a%0d%0aSet-Cookie:%20b=c'],
) {
    my ($path, $url) = @$_;

    my $r = $nginx->get("$path?ref=abc123");
    is($r->status, 302, "path: $path");
    is($r->location, as_uri($url), '- stays on the site');
    is($nginx->get("$path?a&ref=abc123&b=//c")->location,
       as_uri("$url?a&b=//c"), '- with arguments');
}

last_hit();

for my $path ('//inline', '/inline//a', '/inline/\\b', '//inline/..//inline/%2f') {
    is($nginx->get("$path?ref=abc123&a")->body, "$path?a|?a",
       "path: $path is passed on as it came");
    is(last_hit(), "abc123|$path?a", '- the hit');
}

is($nginx->raw("GET http://localhost?ref=abc123 HTTP/1.1\r\nHost: localhost\r\n"
               . "Connection: close\r\n\r\n")->location, '/',
   'a URL without a path');
is($nginx->raw("GET http://evil.example/x?ref=abc123&a HTTP/1.0\r\n"
               . "Connection: close\r\n\r\n")->location, '/x?a',
   'an absolute URL');
is($nginx->raw("GET /x?ref=abc123#part HTTP/1.0\r\n\r\n")->location, '/x#part',
   'a fragment');
is($nginx->raw("GET /x#?ref=abc123 HTTP/1.0\r\n\r\n")->status, 404,
   'a fragment alone');
is($nginx->raw("GET /x?a#?ref=abc123 HTTP/1.0\r\n\r\n")->status, 404,
   'a fragment that looks like a query');

done_testing();


sub escape
{
    my ($url) = @_;

    return $url =~ s/([^A-Za-z0-9._~-])/sprintf '%%%02X', ord $1/ger;
}


# as PostgreSQL has it: valid UTF-8 without controls, where U+FFFD stands for
# what is not

sub stored
{
    my ($url) = @_;

    my $text = $url;
    $text =~ s/\xff/\xef\xbf\xbd/g;
    return substr $text, 0, 2048;
}


# takes it out, so that the next one is alone

sub last_hit
{
    return $pg->text(<<'END') =~ s/\n$//r;
with hit as (delete from hype.referral_hit returning *)
select l.identifier, hit.next
from hit
join hype.referral_link l on l.id = hit.referral_link_id
END
}
