# Requests that nobody sees are no hits: HEAD, prefetches, hype_no_hit.

use lib 't/lib';
use Hype::Test;

my $pg = database();
$pg->link('abc', destination => '/welcome');

my $nginx = nginx(pg => $pg, http => <<'HTTP', server => <<'SERVER');
absolute_redirect off;
add_header Outcome $hype_outcome;

map $http_user_agent $monitor {
    ~*pingdom  1;
    default    0;
}
HTTP

location /ref/ {
    hype_ref;
}

location /quiet/ {
    hype_ref;
    hype_no_hit $arg_quiet $monitor $http_dnt;
}

location /always/ {
    hype_ref;
    hype_no_hit yes;
}

hype_no_hit $arg_server;

location /inherits/ {
    hype_ref;
}
SERVER

sub outcome
{
    my ($expected, $name, $method, $path, @headers) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    my $cookie = '0b5c8f5a-7f8e-4b0a-9d7e-2f4f5a6b7c8d';
    my $r = $nginx->request($method, $path, @headers,
                            Cookie => "hype_visitor=$cookie");
    my $hits = $pg->value('with d as (delete from hype.referral_hit returning 1)
                           select count(*) from d');

    is_deeply(
        [$r->status, $r->location, $r->header('Cache-Control'),
         $r->header('Outcome'), $hits, $r->cookie('hype_visitor') // ''],
        [302, '/welcome', 'no-store', $expected,
         $expected eq 'hit' ? (1, $cookie) : (0, '')], $name);
}

outcome('hit', 'GET', 'GET', '/ref/abc');
outcome('skipped', 'HEAD', 'HEAD', '/ref/abc');

# Libraries, Safari, what was before it, Firefox.  (Sec-Purpose: purpose.t)

for my $case (
    ['X-Sec-Purpose' => 'prefetch'],
    ['x-sec-purpose' => 'Prefetch;prerender'],
    ['Purpose' => 'prefetch'],
    ['Purpose' => 'Prefetch'],
    ['Purpose' => 'preview'],
    ['X-Purpose' => 'preview'],
    ['X-Purpose' => 'prefetch'],
    ['X-Moz' => 'prefetch'],
    ['x-moz' => 'prefetch'],
) {
    outcome('skipped', "$case->[0]: $case->[1]", 'GET', '/ref/abc', @$case);
}

for my $case (
    ['Sec-Purpose' => ''],
    ['Purpose' => 'login'],
    ['X-Moz' => '1'],
    ['Sec-Fetch-Mode' => 'navigate'],
    ['Sec-Fetch-Purpose' => 'prefetch'],
    ['X-Sec-Purpose' => 'login'],
    ['Purpose' => 'prefetching, un-prefetch'],
    ['Purposes' => 'prefetch'],
    ['User-Agent' => 'prefetch'],
    ['DNT' => '1'],
) {
    outcome('hit', "$case->[0]: $case->[1]", 'GET', '/ref/abc', @$case);
}

outcome('skipped', 'one of many headers', 'GET', '/ref/abc',
        (map { ("X-$_" => 'x') } 1 .. 50), 'X-Sec-Purpose' => 'prefetch',
        (map { ("Y-$_" => 'y') } 1 .. 50));

# As proxy_no_cache: any value that is neither empty nor "0"

outcome('hit', 'no value', 'GET', '/quiet/abc');
outcome('hit', 'an empty one', 'GET', '/quiet/abc?quiet=');
outcome('hit', '"0"', 'GET', '/quiet/abc?quiet=0');
outcome('skipped', '"1"', 'GET', '/quiet/abc?quiet=1');
outcome('skipped', 'any', 'GET', '/quiet/abc?quiet=no');
outcome('skipped', '"00"', 'GET', '/quiet/abc?quiet=00');
outcome('skipped', 'the second', 'GET', '/quiet/abc?quiet=0',
        'User-Agent' => 'Pingdom');
outcome('skipped', 'the third', 'GET', '/quiet/abc', 'DNT' => '1');
outcome('skipped', 'without a variable', 'GET', '/always/abc');

outcome('skipped', 'of the server', 'GET', '/inherits/abc?server=1');
outcome('hit', 'overridden in the location', 'GET', '/quiet/abc?server=1');

# What is no link at all stays so

for my $path ('/ref/unknown', '/always/unknown') {
    is($nginx->request('HEAD', $path)->header('Outcome'), 'unknown', $path);
}

is($nginx->request('HEAD', '/ref/abc?next=/x')->location, '/x',
   'next is followed');

done_testing();
