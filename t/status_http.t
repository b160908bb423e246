# hype_status html: the page and what it asks for, each under the location's URL.

use lib 't/lib';
use Hype::Test;
use Hype::Status;

my $pg = database();
my $nginx = nginx(pg => $pg, server => <<'END');
    location = /status { hype_status html; }
    location = /json { hype_status json; }
    location = /metrics { hype_status prometheus; }
    location /if/ {
        hype_status html;
        if ($arg_nothing) { return 404; }
        if ($request_method) { set $x y; }
    }
    location = /closed { hype_status; deny all; }
    location = /open { hype_status; allow 127.0.0.1; deny all; }
    location = /cached { hype_status; expires 1h; }
END

sub type { return scalar $_[0]->header('Content-Type') }

# The page is a part of the module

for my $case (['', 'text/html', 'html'], ['?css', 'text/css', 'css'],
              ['?js', 'text/javascript', 'js'], ['?anything', 'text/html', 'html']) {
    my ($args, $type, $part) = @$case;
    my $answer = $nginx->get("/status$args");

    is($answer->status, 200, "/status$args");
    is(type($answer), "$type; charset=utf-8", 'has its type');
    is($answer->body, join('', map { read_file($_) }
                                   glob source_dir() . "/html/*.$part"),
       "and is that of html/*.$part");
    is($answer->header('Cache-Control'), 'no-store', 'nobody stores it');
    is($answer->header('X-Content-Type-Options'), 'nosniff', 'nor guesses what it is');
}

my $page = $nginx->get('/status');
is($page->header('Content-Security-Policy'),
   q(default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; )
   . q(img-src 'self' data:; base-uri 'none'; form-action 'none'; )
   . q(frame-ancestors 'none'), 'the page may load what is its own');
unlike($page->body, qr/<style|<script(?![^>]*src=)|\son\w+=|style=/,
       'and has nothing in it that this forbids');

# Data

is(type($nginx->get('/status?json')), 'application/json', 'JSON');
is(status($nginx, '/status?json')->{outcomes}{hit}, 0, 'with its numbers');
is(type($nginx->get('/status?prometheus')),
   'text/plain; version=0.0.4; charset=utf-8', q(Prometheus' text));
is(metrics($nginx, '/status?prometheus')->{'hype_requests_total{outcome="hit"}'}, 0,
   'with its numbers');
is($nginx->get('/status?report')->status, 404, 'no reports');
is(type($nginx->get('/json?prometheus')), 'application/json', 'JSON only');
is(type($nginx->get('/metrics?json')),
   'text/plain; version=0.0.4; charset=utf-8', q(Prometheus' text only));
is(type($nginx->get('/if/x?js')), 'text/javascript; charset=utf-8', 'with an "if"');

# Methods

for my $path ('/status', '/status?css', '/json', '/metrics') {
    my $head = $nginx->request('HEAD', $path);

    is($head->status, 200, "HEAD $path");
    is($head->body, '', 'has no body');
    is($head->header('Content-Length') > 0, 1, 'but its length');

    my $post = $nginx->request('POST', $path);
    is($post->status, 405, "POST $path");
    is($post->header('Allow'), 'GET, HEAD', 'what is allowed');
}

# Who may see it

is($nginx->get('/closed')->status, 403, 'deny');
is($nginx->get('/open')->status, 200, 'allow');

# A small zone

$nginx->reload(http => 'hype_zone other:32k;');
is(status($nginx, '/json')->{cache}{size}, 32768, 'the smallest zone');
$pg->link("link$_", destination => '/' . 'x' x 200) for 1 .. 200;
$nginx->reload(http => 'hype_zone other:32k;', server => status_server()
               . 'location /ref/ { hype_ref; }');
$nginx->get("/ref/nobody$_") for 1 .. 40;
$nginx->get("/ref/link$_") for 1 .. 200;

my $s = status($nginx);
is($s->{outcomes}{hit}, 200, 'many links in it');
cmp_ok($s->{cache}{evictions}, '>', 100, 'make room for others');
cmp_ok($s->{cache}{unknown_evictions}, '>', 10, 'so do unknown identifiers');
is($s->{cache}{links} + $s->{cache}{evictions} >= 200, 1, 'none is lost count of');
cmp_ok(scalar @{ $s->{links} }, '<=', 20, 'the list of links is short');
is((grep { $_->{hits} != 1 || $_->{identifier} !~ /^link\d+$/ } @{ $s->{links} }), 0,
   'and right');

# Of many links those with many hits

$nginx->reload(http => 'hype_zone large:8m;');

for my $round (1 .. 3) {
    $nginx->get("/ref/link$_") for 1 .. 30 * $round;
}

$nginx->get('/ref/link90') for 1 .. 5;
$s = status($nginx);

is(scalar @{ $s->{links} }, 20, 'twenty links');
is_deeply($s->{links}[0], { identifier => 'link90', hits => 6 }, 'the first one');
is((grep { $_->{hits} != 3 || $_->{identifier} !~ /^link(?:[12]?\d|30)$/ }
    @{ $s->{links} }[1 .. 19]), 0, 'and those behind it');

done_testing();
