# hype_destination: a target by rule, after a safe next and before the link's own.

use lib 't/lib';
use Hype::Test;

my $pg = database();
$pg->link('plain');
$pg->link('path', destination => '/welcome');
$pg->link('off', destination => '/welcome', disabled => 't');

my $nginx = nginx(pg => $pg, http => <<'HTTP', server => <<'SERVER');
absolute_redirect off;

geo $arg_ip $country {
    default       "";
    192.0.2.0/24  DE;
}

map $country $by_country {
    DE       https://example.de$hype_destination;
    default  "";
}

map $http_user_agent $by_device {
    ~iPhone   https://apps.example/ios;
    default   "";
}

map $arg_case $any {
    control   "/x\r\nSet-Cookie: a=b";
    bytes     '/ä "x"';
    fragment  /x?a=b#c;
    loop      /rule/plain;
    loop-next /rule/plain?next=/there;
    param     /page?ref=plain&a=b;
    app       myapp://open;
    default   "";
}

hype_destination $by_country;

server {
    listen 127.0.0.1:%%PORT%%;
    server_name overrides;

    hype_destination /static;

    location /ref/ { hype_ref; }
    location /empty/ { hype_ref; hype_destination ""; }
    location /off/ { hype_ref; hype_destination off; }
}
HTTP
add_header Own $hype_destination;
add_header Outcome $hype_outcome;

location /ref/ { hype_ref; hype_next_hosts shop.example; }
location /device/ { hype_ref; hype_destination $by_device; }
location /rule/ { hype_ref; hype_destination $any; hype_fallback /home; }
location /forward/ { hype_ref; hype_destination $any; hype_forward_args on; }
location /both/ {
    hype_ref;
    hype_destination /new/$hype_identifier?was=$hype_destination;
}
location /code/ { hype_ref; hype_destination /x; hype_fallback =404; }
location /page { hype_ref_param ref mode=direct; }
location /inline { hype_ref_param ref mode=inline; try_files /none /page.txt; }
SERVER

sub goes
{
    my ($path, $to, $name, @headers) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my $r = $nginx->get($path, @headers);

    is($r->header('Location') // $r->status, $to, $name // $path);
    return $r;
}

# The order of targets

goes('/ref/path?ip=192.0.2.1', 'https://example.de/welcome', 'a value');
goes('/ref/plain?ip=192.0.2.1', 'https://example.de', 'of a link without one');
goes('/ref/path', '/welcome', 'none: the link\'s own');
goes('/ref/plain', '/', 'else the fallback');
goes('/ref/path?ip=192.0.2.1&next=/n', '/n', 'after a safe next');
goes('/ref/path?ip=192.0.2.1&next=https://shop.example/', 'https://shop.example/',
     'also on another host');
goes('/ref/path?ip=192.0.2.1&next=//evil.example', 'https://example.de/welcome',
     'not after one that is not safe');
goes('/ref/unknown?ip=192.0.2.1', 'https://example.de', 'with an unknown link');
goes('/ref/off?ip=192.0.2.1', 'https://example.de/welcome', 'with a disabled one');
goes('/code/plain', '/x', 'with a code as the fallback');
goes('/code/unknown', 404, 'which links have that are unknown');
goes('/ref/path', '/static', 'a server\'s own', Host => 'overrides');
goes('/empty/path', '/welcome', 'empty', Host => 'overrides');
goes('/off/path', '/welcome', 'off', Host => 'overrides');
goes('/device/path', 'https://apps.example/ios', 'by device',
     'User-Agent' => 'Mozilla/5.0 (iPhone)');
goes('/device/path', '/welcome', 'by another', 'User-Agent' => 'Mozilla/5.0');

# What it may have

my $r = goes('/both/path', '/new/path?was=/welcome', 'variables');
is($r->header('Own'), '/welcome', '$hype_destination elsewhere');
is($r->header('Outcome'), 'hit', 'with a hit');
goes('/both/plain', '/new/plain?was=', 'a link without a destination');
is($nginx->get('/page')->header('Own'), undef, 'no link at all');

$r = goes('/rule/path?case=control', '/x%0D%0ASet-Cookie:%20a=b',
          'control bytes are encoded');
unlike($r->header('Set-Cookie') // '', qr/a=b/, 'and add no line');
goes('/rule/path?case=bytes', '/%C3%A4%20%22x%22', 'as are others');
goes('/rule/path?case=fragment', '/x?a=b#c', 'a fragment');
goes('/rule/path?case=app', 'myapp://open', 'an app');
goes('/forward/path?case=fragment&d=e', '/x?a=b&case=fragment&d=e#c',
     'arguments are passed on');
goes('/forward/path?d=e', '/welcome?d=e', 'also to the link\'s own');

# Loops

my $hits = $pg->hits;
goes('/rule/path?case=loop', '/welcome', 'a referral link is not followed');
goes('/rule/plain?case=loop', '/home', 'as no other target is');
goes('/rule/path?case=loop-next', '/there', 'but where it leads');
goes('/rule/path?case=param', '/page?a=b', 'nor one on any URL');
is($pg->hits, $hits + 4, 'each visit is a hit');

# It is for links, not for pages

goes('/page?ref=path&ip=192.0.2.1', '/page?ip=192.0.2.1', '"?ref=" stays on its page');

done_testing();
