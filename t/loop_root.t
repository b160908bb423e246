# One visit is one hit, and comes to an end, where referral links are at the root, or
# are what a visit without a hit falls back to.

use lib 't/lib';
use Hype::Test;

my $pg = database();

my $nginx = nginx(pg => $pg, http => <<'HTTP', server => 'location /ref/ { hype_ref; }');
absolute_redirect off;

server {
    listen 127.0.0.1:%%PORT%%;
    server_name go.example;
    location / { hype_ref; }
}

server {
    listen 127.0.0.1:%%PORT%%;
    server_name short.example;
    location / { hype_ref; hype_fallback /house; }
}

server {
    listen 127.0.0.1:%%PORT%%;
    server_name both.example;
    location / { hype_ref; hype_fallback /ref/house; }
    location /ref/ { hype_ref; }
}

server {
    listen 127.0.0.1:%%PORT%%;
    server_name gone.example;
    location / { hype_ref; hype_fallback /ref/gone; }
    location /ref/ { hype_ref; }
}

server {
    listen 127.0.0.1:%%PORT%%;
    server_name each.example;
    location /a/ { hype_ref; hype_fallback /b/house; }
    location /b/ { hype_ref; hype_fallback /a/house; }
    location / { return 404; }
}

server {
    listen 127.0.0.1:%%PORT%%;
    server_name spelt.example;
    location /coded/ { hype_ref; hype_fallback /coded/%78; }
    location /slashes/ { hype_ref; hype_fallback /slashes//x; }
    location /dots/ { hype_ref; hype_fallback /dots/y/../x; }
    location /umlaut/ { hype_ref; hype_fallback "/umlaut/größe"; }
    location /blank/ { hype_ref; hype_fallback "/blank/our house"; }
    location /any/ { hype_ref; hype_fallback "/any/$request_id"; }
    location / { return 404; }
}
HTTP

$pg->link('house', destination => '/house');
$pg->link('plain');

my $r = $nginx->get('/nobody', Host => 'go.example');
is($r->location, '/', 'links at the root: the default');

$r = $nginx->get('/nobody', Host => 'short.example');
is($r->location, '/house', 'and with a fallback');
is($nginx->get('/house', Host => 'short.example')->status, 404,
   '- which is not followed from itself');


# Links at the root, and "/" with them: every visit comes to an end, with one hit

$pg->exec("update hype.referral_link set disabled = false, destination = null
           where identifier = 'house'");
wait_until { $nginx->get('/ref/house'); $pg->hits } 10, 'the change';

for my $case (
    ['go.example', '/', 0],
    ['go.example', '/nobody', 0],
    ['go.example', '/plain', 1],
    ['short.example', '/', 1],
    ['short.example', '/nobody', 1],
    ['short.example', '/house', 1],
    ['both.example', '/', 1],
    ['both.example', '/ref/nobody', 0],
    ['both.example', '/ref/gone', 0],
    ['gone.example', '/', 0],
    ['gone.example', '/ref/gone', 0],
    ['both.example', '/ref/house', 1],
    ['each.example', '/a/nobody', 0],
    ['each.example', '/b/house', 1],
    map { ['spelt.example', "/$_/nobody", 0] }
        qw(coded slashes dots umlaut blank any),
) {
    my ($host, $path, $hits) = @$case;
    my $next = $path;

    $pg->exec('truncate hype.referral_hit');

    for (1 .. 10) {
        $r = $nginx->get($next, Host => $host);
        last if $r->status != 302;
        $next = $r->location;
    }

    is($r->status, 404, "$host$path ends");
    is($pg->hits, $hits, "- hits: $hits");
}

done_testing();
