# No cache stores a referral link's redirect: Cache-Control: no-store, once.

use lib 't/lib';
use Hype::Test;

my $pg = database();
$pg->link('abc');
$pg->link('disabled', disabled => 't');

my $nginx = nginx(pg => $pg, http => <<'HTTP', server => <<'SERVER');
proxy_cache_path %%DIR%%/cache keys_zone=cache:1m;
HTTP

location /ref/ {
    hype_ref;
}

location /user/ {
    hype_ref;
    hype_user 42;
}

location /expires/ {
    hype_ref;
    expires 1h;
}

location /expires-max/ {
    hype_ref;
    expires max;
}

location /expires-epoch/ {
    hype_ref;
    expires epoch;
}

location /public/ {
    hype_ref;
    add_header Cache-Control public;
}

location /always/ {
    hype_ref;
    add_header Cache-Control "public, max-age=3600" always;
}

location /both/ {
    hype_ref;
    expires 1h;
    add_header Cache-Control public;
    add_header Cache-Control s-maxage=60;
}

location /same/ {
    hype_ref;
    add_header Cache-Control no-store;
}

location /cdn/ {
    hype_ref;
    add_header CDN-Cache-Control "public, max-age=60";
    add_header Surrogate-Control max-age=60;
}

location /not-found/ {
    hype_ref;
    hype_fallback =404;
    add_header Cache-Control public always;
}

location / {
    proxy_pass http://127.0.0.1:%%PORT%%/ref/;
    proxy_cache cache;
    proxy_cache_valid any 1h;
    proxy_cache_key $uri;
}
SERVER

for my $path (qw(/ref/abc /user/abc /expires/abc /expires-max/abc
                 /expires-epoch/abc /public/abc /always/abc /both/abc /same/abc
                 /cdn/abc /ref/unknown /expires/unknown /both/disabled
                 /ref/a+b))
{
    for my $method (qw(GET HEAD)) {
        my $r = $nginx->request($method, $path);

        is($r->status, 302, "$method $path");
        is_deeply([$r->header('Cache-Control')], ['no-store'],
                  '... is not to be stored');
        is(grep({ /^(?:cdn|surrogate)/i } map { $_->[0] } @{ $r->headers }), 0,
           '... by a CDN either');
    }
}

is_deeply([$nginx->get('/not-found/unknown')->header('Cache-Control')],
          ['public'], 'an error is as the configuration has it');

# nginx's own cache in front: as many hits, and as many visitors, as requests

$pg->exec('delete from hype.referral_hit');

my %visitors = map { $nginx->get('/abc')->cookie('hype_visitor') => 1 } 1 .. 3;

is(keys %visitors, 3, 'a proxy cache does not hand out the cookie again');
is($pg->hits, 3, 'nor swallow hits');

done_testing();
