# Which identifiers a referral link's URL can have.

use lib 't/lib';
use Hype::Test;

my $long = 'x' x 64;
my @links = ('a', 'abc', 'ABC', 'a_b', 'a.b', 'a~b', 'a-b', '_', '~', '-',
             '0', '..x', '...', 'AZaz09_.~-', $long);

my $pg = database();
$pg->link($_) for @links;

my $nginx = nginx(pg => $pg, http => <<'HTTP', server => <<'SERVER');
map $uri $code {
    ~^/map/(?<c>[^/]+)  $c;
}

add_header Outcome $hype_outcome always;
add_header Identifier $hype_identifier always;
absolute_redirect off;
HTTP

location /ref/ {
    hype_ref;
}

location /s {
    hype_ref;
}

location /nested/ {
    location /nested/deeper/ {
        hype_ref;
    }
}

location /left/ {
    rewrite ^/left/(.*)$ /other/$1 break;
    hype_ref;
}

location /left-for-shorter/ {
    rewrite ^ / break;
    hype_ref;
}

location ~ ^/re/(.*)$ {
    hype_ref $1;
}

location ~ ^/named/(?<id>[a-z]+)/(?<rest>.*) {
    hype_ref $id;
}

location = /exact {
    hype_ref $arg_code;
}

location = /fixed {
    hype_ref abc;
}

location /map/ {
    hype_ref $code;
}

location /mixed/ {
    hype_ref a${arg_code}c;
}

location @named {
    hype_ref $arg_code;
}

location /to-named/ {
    try_files /nonexistent @named;
}
SERVER

# What makes a hit, on which link

my @hits = (
    (map { ["/ref/$_/" => $_], ["/ref/$_" => $_] } @links),

    ['/ref/%61%62%63/' => 'abc'],
    ['/ref/a%2Eb' => 'a.b'],
    ['/ref/a%7eb' => 'a~b'],
    ['/ref/abc%2F' => 'abc'],
    ['/ref//abc' => 'abc'],
    ['//ref///abc//' => 'abc'],
    ['/x/../ref/./abc/.' => 'abc'],
    ['/ref/abc/?' => 'abc'],
    ['/ref/abc?x=/y/' => 'abc'],
    ['/ref/abc?abc' => 'abc'],
    ['/s/abc' => 'abc'],
    ['http://localhost/ref/abc' => 'abc'],

    ['/sabc' => 'abc'],
    ['/s-' => '-'],
    ['/nested/deeper/abc' => 'abc'],
    ['/re/abc' => 'abc'],
    ['/re/abc/' => 'abc'],
    ['/named/abc/x/y' => 'abc'],
    ['/exact?code=abc' => 'abc'],
    ['/exact?x=1&code=abc/' => 'abc'],
    ['/fixed' => 'abc'],
    ['/map/abc/x' => 'abc'],
    ['/mixed/?code=b' => 'abc'],
    ['/to-named/x?code=abc' => 'abc'],
);

# What is unknown, or can't be known

my @misses = (
    '/ref/', '/ref/?abc', '/ref/%2F',
    "/ref/${long}x", "/ref/${long}x/", '/ref/' . 'x' x 2000,
    '/ref/Abc', '/ref/aBC', '/ref/b', '/ref/ab', '/ref/abcd',
    '/ref/abc/def', '/ref/abc/abc', '/ref/abc%2Fabc', '/ref/a%252Eb',
    (map { sprintf '/ref/ab%%%02Xc', $_ }
         grep { chr !~ m{[A-Za-z0-9_.~/-]} } 1 .. 255),
    (map { "/ref/a${_}b" } split //, q#+@:,;=*'()$!&[]\^`{|}"<>#),
    '/ref/%C3%A4', "/ref/\xc3\xa4",
    '/ref/abc%20', '/ref/%20abc', '/ref/abc%0A', '/ref/abc%0D%0A',
    '/nested/deeper/', '/left/abc', '/left-for-shorter/abc',
    '/re/', '/re/abc/x', '/exact', '/exact?code=',
    '/exact?code=a%2Db', '/map/', '/mixed/', '/to-named/x',
);

for my $case (@hits) {
    my ($path, $identifier) = @$case;
    my $r = $nginx->get($path);

    is($r->status . ' ' . ($r->header('Outcome') // ''), '302 hit', $path);
    is($r->header('Identifier'), $identifier, '$hype_identifier');
}

my %expected;
$expected{$_->[1]}++ for @hits;

is_deeply(
    { map { @$_ } $pg->query(
        'select identifier, count(*) from hype.referral_hit
         join hype.referral_link l on l.id = referral_link_id group by 1') },
    \%expected, 'each hit is one of the right link');

for my $path (@misses) {
    my $r = $nginx->get($path);

    is($r->status . ' ' . ($r->header('Outcome') // ''), '302 unknown', $path);
}

is($nginx->get('/ref')->header('Outcome'), undef, '/ref is another URL');
is($nginx->get('/ref/a%00b')->status, 400, 'nginx refuses %00 in a path');
is($pg->hits, scalar @hits, 'no hits but those');

done_testing();
