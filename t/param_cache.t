# ?ref= with mode=inline in front of proxy_cache: the page is shared, the code is
# not in its key, every visitor gets a hit and a cookie of their own, and nobody
# else stores that.

use lib 't/lib';
use Hype::Test;
use Hype::Stored;

my $pg = database();
$pg->link('abc123', user_id => 'alice');
$pg->link('other', user_id => 'bob');

my $nginx = nginx(pg => $pg, workers => 2, http => <<'END', server => <<'END');
proxy_cache_path %%DIR%%/pages keys_zone=pages:1m;
log_format origin $request_uri;


map $request_uri $mapped {
    default mapped;
}

map $upstream_http_x_vary $answered {
    default answered;
}

server {
    listen unix:%%DIR%%/origin.sock;
    access_log %%DIR%%/logs/origin.log origin;

    location / {
        add_header Cache-Control "public, max-age=600";
        return 200 "$request_uri $request_id";
    }

    location /own-cookie/ {
        add_header Set-Cookie "session=1; Path=/";
        add_header Cache-Control "public, max-age=600";
        return 200 "cookie $request_id";
    }
}
END
absolute_redirect off;
hype_ref_param ref mode=inline;

proxy_cache pages;
proxy_cache_valid any 10m;
proxy_http_version 1.1;
add_header X-Cache $upstream_cache_status always;
add_header X-Referrer $hype_referrer always;

location / {
    proxy_pass http://unix:%%DIR%%/origin.sock:;
}

location /key/ {
    proxy_cache_key $request_uri;
    proxy_pass http://unix:%%DIR%%/origin.sock:;
}

location /key-args/ {
    proxy_cache_key $uri$is_args$args;
    proxy_pass http://unix:%%DIR%%/origin.sock:;
}

location /key-used/ {
    if ($request_uri = /elsewhere) {
        return 400;
    }

    if ($mapped = nothing) {
        return 400;
    }

    proxy_cache_key $host$request_uri;
    proxy_pass http://unix:%%DIR%%/origin.sock:;
}

location /key-arg/ {
    proxy_cache_key $uri$arg_ref$cookie_session;
    proxy_pass http://unix:%%DIR%%/origin.sock:;
}

location /uri/ {
    proxy_pass http://unix:%%DIR%%/origin.sock:/uri/;
}

location /variable/ {
    set $origin http://unix:%%DIR%%/origin.sock:;
    proxy_pass $origin;
}

location /expires/ {
    expires 1h;
    proxy_pass http://unix:%%DIR%%/origin.sock:;
}

location /expires-max/ {
    expires max;
    proxy_pass http://unix:%%DIR%%/origin.sock:;
}

location /added/ {
    add_header Cache-Control "public, s-maxage=600" always;
    add_header CDN-Cache-Control "max-age=60" always;
    add_header X-Cache $upstream_cache_status always;
    add_header X-Referrer $hype_referrer always;
    expires 10d;
    proxy_pass http://unix:%%DIR%%/origin.sock:;
}

location /own-cookie/ {
    proxy_ignore_headers Set-Cookie;
    proxy_pass http://unix:%%DIR%%/origin.sock:;
}

location /user/ {
    hype_user $http_x_user;
    proxy_pass http://unix:%%DIR%%/origin.sock:;
}
END

my $uuid = qr/^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;


# whatever the key is made of

for my $path (qw(/ /key/ /key-args/ /key-used/ /key-arg/ /uri/ /variable/
                 /expires/ /added/ /own-cookie/ /user/))
{
    my $page = "${path}page?a=1&b=2";

    my $stored = stored($nginx);
    my $first = $nginx->get("${path}page?a=1&ref=abc123&b=2");
    wait_until { stored($nginx) > $stored } 10, 'the page to be stored';

    my $second = $nginx->get("${path}page?ref=other&a=1&b=2");
    my $nobody = $nginx->get("${path}page?a=1&b=2");
    my $third = $nginx->get("${path}page?a=1&b=2&ref=abc123");

    is($first->status, 200, "$path: a first visitor gets the page");
    is($first->header('X-Cache'), 'MISS', '- from the application');
    is($second->body, $first->body, '- the second the same');
    is($second->header('X-Cache'), 'HIT', '- from the cache');
    is($third->body, $first->body, '- the third, too');
    is($nobody->body, $first->body, '- and who came by no link');

    my @visitors = map { $_->cookie('hype_visitor') } $first, $second, $third;
    like($_, $uuid, '- a cookie for each') for @visitors;
    isnt($visitors[0], $visitors[1], '- of their own');
    isnt($visitors[1], $visitors[2], '- all of them');
    is($nobody->cookie('hype_visitor'), undef, '- none for who came by no link');

    for ($first, $second, $third) {
        is(join('|', $_->header('Cache-Control')), 'private', '- private');
        is(join('|', $_->header('CDN-Cache-Control')), '', '- for a CDN, too');
    }

    like(join('|', $nobody->header('Cache-Control')), qr/public|max-age/,
         '- where it is not ours, it may be stored');
    is($second->header('X-Referrer'), 'bob', '- $hype_referrer is this visitor\'s');

    is($pg->text('select l.identifier, h.visitor, h.next
                  from hype.referral_hit h
                  join hype.referral_link l on l.id = h.referral_link_id
                  order by l.identifier, h.visitor'),
       join('', map({ "abc123|$_|$page\n" } sort @visitors[0, 2]),
            "other|$visitors[1]|$page\n"), '- a hit for each');

    is(origin(), "$page\n", '- the application was asked once, without the code');
    stored_is_clean($nginx, $path, @visitors);
    $pg->exec('truncate hype.referral_hit');
}


# a page that was stored by a visitor of a link serves a known user

my $stored = stored($nginx);
$nginx->get('/user/page2?ref=abc123');
wait_until { stored($nginx) > $stored } 10, 'the page to be stored';
my $r = $nginx->get('/user/page2', 'X-User' => 42,
                 Cookie => 'hype_visitor=019e7d9c-3f6a-4f4e-8d5b-0123456789ab');
is($r->header('X-Cache'), 'HIT', 'a claim on a page from the cache');
is($r->cookie('hype_visitor'), '', '- the cookie is cleared');
is(join('|', $r->header('Cache-Control')), 'private', '- private');
stored_is_clean($nginx, 'claim', '019e7d9c-3f6a-4f4e-8d5b-0123456789ab');


# many at a time, and a page that is fetched once for all of them

$pg->exec('truncate hype.referral_hit');
origin();

my @answers = $nginx->visits(count => 200, connections => 20,
                             path => '/key/many?ref=abc123');
my %visitors = map { $_->cookie('hype_visitor') => 1 } @answers;

is(scalar(keys %visitors), 200, '200 visitors at a time: a cookie for each');
is($pg->text('select count(*), count(distinct visitor) from hype.referral_hit'),
   "200|200\n", '- a hit for each');
cmp_ok(length(origin()) / length("/key/many\n"), '<=', 20,
       '- and the cache at work');
stored_is_clean($nginx, 'many', keys %visitors);

done_testing();


# What the origin was asked for since the last time.

sub origin
{
    my $file = $nginx->dir . '/logs/origin.log';
    my $text = read_file($file);

    open my $fh, '+<', $file or die $!;
    truncate $fh, 0;
    close $fh;

    return $text;
}
