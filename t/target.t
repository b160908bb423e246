# Where a referral link leads without a "next": its destination, else
# hype_fallback, with arguments that are passed on.

use lib 't/lib';
use Hype::Test;

my $pg = database();
$pg->link('plain');
$pg->link('path', destination => '/welcome');
$pg->link('url', destination => 'https://shop.example/x');
$pg->link('query', destination => '/welcome?plan=pro&x=%20y');
$pg->link('fragment', destination => '/welcome#pricing');
$pg->link('both', destination => 'http://shop.example:8080/?plan=pro#top');
$pg->link('bare', destination => 'https://shop.example');
$pg->link('bytes', destination => "/w\xc3\xa4lcome%2F");
$pg->link('raw', destination => '/"<>\\^`{|}%#a#b');
$pg->link('empty-query', destination => '/w?');
$pg->link('empty-argument', destination => '/w?x&#top');
$pg->link('path-and', destination => '/w&');
$pg->link('app', destination => 'myapp://open/x');
$pg->link('disabled', destination => '/welcome', disabled => 't');
$pg->link('expired', destination => '/welcome', expires => '2020-01-01');
$pg->link('disabled-plain', disabled => 't');

my $nginx = nginx(pg => $pg, http => <<'HTTP', server => <<'SERVER');
absolute_redirect off;

map $arg_lang $start {
    de       /de/;
    control  "/x\r\nSet-Cookie: a=b";
    default  "";
}
HTTP

location /ref/ {
    hype_ref;
}

location /args/ {
    hype_ref;
    hype_forward_args on;
    hype_fallback /home?from=ref#top;
}

location /args-plain/ {
    hype_ref;
    hype_forward_args on;
}

location /goto/ {
    hype_ref;
    hype_forward_args on;
    hype_next_param goto;
}

location /uri/ {
    hype_ref;
    hype_fallback /home;
}

location /url/ {
    hype_ref;
    hype_fallback https://shop.example/?x=y;
}

location /variables/ {
    hype_ref;
    hype_fallback /not-found/$hype_identifier?because=$hype_outcome;
}

location /map/ {
    hype_ref;
    hype_fallback $start;
}
SERVER

sub goes
{
    my ($path, $to, $name) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my $r = $nginx->get($path);

    is_deeply([$r->status, $r->header('Location')], [302, $to],
              $name // $path);
}

# The link's own, byte for byte

goes('/ref/path', '/welcome', 'a path');
goes('/ref/url/', 'https://shop.example/x', 'a URL');
goes('/ref/query', '/welcome?plan=pro&x=%20y', 'with a query');
goes('/ref/fragment', '/welcome#pricing', 'with a fragment');
goes('/ref/both', 'http://shop.example:8080/?plan=pro#top', 'with all');
goes('/ref/bytes', '/w%C3%A4lcome%2F', 'with other bytes');
goes('/ref/raw', '/%22%3C%3E%5C%5E%60%7B%7C%7D%25#a%23b',
     'with bytes that may not stand in a URI');
goes('/ref/app', 'myapp://open/x', 'of another scheme');
goes('/ref/disabled', '/welcome', 'of a disabled link');
goes('/ref/expired', '/welcome', 'of an expired link');
goes('/ref/path?a=b', '/welcome', 'arguments are not passed on');

# The fallback

goes('/ref/plain', '/', 'the default');
goes('/ref/unknown', '/', 'the default for an unknown link');
goes('/uri/plain', '/home', 'a URI');
goes('/uri/unknown', '/home', 'a URI for an unknown link');
goes('/uri/disabled-plain', '/home', 'a URI for a disabled link');
goes('/uri/path', '/welcome', 'not instead of a destination');
goes('/url/plain', 'https://shop.example/?x=y', 'a URL');
goes('/variables/unknown', '/not-found/unknown?because=unknown', 'variables');
goes('/variables/disabled-plain',
     '/not-found/disabled-plain?because=disabled', 'variables of the link');
goes('/variables/plain', '/not-found/plain?because=hit', '... with a hit');
goes('/map/plain?lang=de', '/de/', 'a variable alone');
goes('/map/plain', '/', 'an empty one is the default');
goes('/map/plain?lang=control', '/', 'nor does it add a line');

# hype_forward_args

goes('/args/path?a=b', '/welcome?a=b');
goes('/args/path', '/welcome', 'none');
goes('/args/path?', '/welcome', 'an empty query');
goes('/args/url?a=b', 'https://shop.example/x?a=b');
goes('/args/query?a=b', '/welcome?plan=pro&x=%20y&a=b');
goes('/args/fragment?a=b', '/welcome?a=b#pricing');
goes('/args/both?a=b', 'http://shop.example:8080/?plan=pro&a=b#top');
goes('/args/bare?a=b', 'https://shop.example?a=b');
goes('/args/disabled?a=b', '/welcome?a=b', 'with a disabled link');
goes('/args/plain?a=b', '/home?from=ref&a=b#top', 'to the fallback');
goes('/args/unknown?a=b', '/home?from=ref&a=b#top', '... of an unknown link');
goes('/args-plain/plain?a=b', '/?a=b', '... that is the default');

goes('/args/empty-query?a=b', '/w?a=b', 'behind a "?" at the end');
goes('/args/empty-argument?a=b', '/w?x&a=b#top', 'behind a "&" at the end');
goes('/args/path-and?a=b', '/w&?a=b', '"&" of a path is another one');

goes('/args/path?a=%2f%20&&b&=c&a=+&;d', '/welcome?a=%2f%20&&b&=c&a=+&;d',
     'byte for byte');
goes("/args/path?a=\xc3\xa4\xff%0d%0a|%", '/welcome?a=%C3%A4%FF%0d%0a%7C%25',
     'encoded, if they may not stand in a URI');
goes('/args/path?a=b#c', '/welcome?a=b', 'no fragment of the request');
goes('/args/path?utm_source=x&ref=y&Next=z', '/welcome?utm_source=x&ref=y&Next=z',
     'whatever their names are');
goes('/args/path?a=//evil.example', '/welcome?a=//evil.example',
     'or what is in them');

goes('/args/path?next=/x&a=b', '/x', 'not to an explicit next');
goes('/args/path?a=b&next=//evil.example', '/welcome?a=b',
     'but if that was not followed');
goes('/args/path?next=//x&a=b&next=//y&c', '/welcome?a=b&c',
     'without it, however often it is there');
goes('/args/path?next=&a=b', '/welcome?a=b', 'or empty');
goes('/args/path?a=b&next', '/welcome?a=b', 'or without a value');
goes('/args/path?next=//x', '/welcome', 'with nothing else');
goes('/args/query?next=//x', '/welcome?plan=pro&x=%20y',
     'with nothing else, behind a query');
goes('/goto/path?goto=//x&next=/y', '/welcome?next=/y', 'by another name');

goes('/uri/plain?a=b', '/home', 'off by default');

# Too long for one buffer

my $long = 'a=' . 'x' x 6000;
goes("/args/query?$long", "/welcome?plan=pro&x=%20y&$long", 'long arguments');

done_testing();
