# ?ref= with mode=inline: nobody but the visitor may store the page, whatever the
# application says, and whatever its status is; nginx's own cache has no cookie.

use lib 't/lib';
use Hype::Test;
use Hype::Stored;

my $pg = database();
$pg->link('abc123', user_id => 'alice');
$pg->link('other', user_id => 'bob');

my $nginx = nginx(pg => $pg, workers => 2, http => <<'END', server => <<'END');
proxy_cache_path %%DIR%%/pages keys_zone=pages:1m;

server {
    listen unix:%%DIR%%/origin.sock;

    location /said/ {
        add_header Cache-Control $http_x_said always;
        add_header CDN-Cache-Control "max-age=60" always;
        add_header Cloudflare-CDN-Cache-Control "max-age=60" always;
        add_header Surrogate-Control "max-age=60" always;
        add_header Edge-Control "!no-store, max-age=60" always;
        add_header X-Other "kept, max-age=60" always;
        return 200 "said";
    }

    location /two/ {
        add_header Cache-Control public;
        add_header Cache-Control "s-maxage=60, No-Store";
        add_header Cache-Control no-transform;
        return 200 "two";
    }

    location /status/ {
        add_header Cache-Control "public, max-age=600" always;

        location /status/404 { return 404 "gone $request_id"; }
        location /status/500 { return 500 "broken $request_id"; }
        location /status/301 { return 301 /elsewhere; }
        location /status/204 { return 204; }
    }

    location /file/ {
        alias %%DIR%%/html/;
        add_header Cache-Control "public, max-age=600";
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

location / {
    proxy_pass http://unix:%%DIR%%/origin.sock:;
}

location /said/ {
    proxy_cache off;
    add_header X-Accel-Expires 60 always;
    proxy_pass http://unix:%%DIR%%/origin.sock:;
}

location /error-page/ {
    proxy_cache_key $request_uri;
    proxy_intercept_errors on;
    error_page 404 500 /sorry.html;
    proxy_pass http://unix:%%DIR%%/origin.sock:/status/;
}

location = /sorry.html {
    internal;
    add_header Cache-Control "public, max-age=600" always;
}

location /own-cookie/ {
    proxy_ignore_headers Set-Cookie;
    proxy_pass http://unix:%%DIR%%/origin.sock:;
}

location /local/ {
    alias %%DIR%%/html/;
    expires 1h;
}
END

my $uuid = qr/^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;

write_file($nginx->dir . '/html/sorry.html', "sorry\n");
chmod 0644, $nginx->dir . '/html/sorry.html';


# what others may store: whatever the application said

for (
    ['public, max-age=600', 'private'],
    ['max-age=600', 'private'],
    ['s-maxage=600, stale-while-revalidate=60', 'private'],
    ['private', 'private'],
    ['private, max-age=60', 'private'],
    ['public="no-store"', 'private, no-store'],
    ['no-store', 'private, no-store'],
    ['No-Store, max-age=0', 'private, no-store'],
    ['no-cache', 'private, no-cache'],
    ['no-cache, no-store, must-revalidate', 'private, no-cache, no-store'],
    ['max-age=0, must-revalidate', 'private'],
    ['', 'private'],
    [',', 'private'],
) {
    my ($said, $expected) = @$_;

    my $r = $nginx->get('/said/?ref=abc123', 'X-Said' => $said);

    is(join('|', $r->header('Cache-Control')), $expected,
       "the application says \"$said\"");
    is(join('|', map { $r->header($_) } qw(CDN-Cache-Control
            Cloudflare-CDN-Cache-Control Surrogate-Control Edge-Control
            X-Accel-Expires)), '',
       '- nothing is left for CDNs');
    is($r->header('X-Other'), 'kept, max-age=60', '- other headers are kept');
}

my $r = $nginx->get('/two/?ref=abc123');
is(join('|', $r->header('Cache-Control')), 'private, no-store',
   'several Cache-Control lines');

$r = $nginx->get('/said/', 'X-Said' => 'public');
is(join('|', $r->header('Cache-Control')), 'public',
   'without a hit the application\'s word stays');
is($r->header('Surrogate-Control'), 'max-age=60', '- to CDNs, too');


# other answers than 200

$pg->exec('truncate hype.referral_hit');

for (
    ['/status/404', 404, qr/^gone/],
    ['/status/500', 500, qr/^broken/],
    ['/status/301', 301, qr/301/],
    ['/status/204', 204, qr/^$/],
    ['/error-page/404', 404, qr/^sorry/],
    ['/error-page/500', 500, qr/^sorry/],
    ['/local/nothing', 404, qr/404/],
    ['/local/index.html', 200, qr/^it works/],
) {
    my ($path, $status, $body) = @$_;

    my @answers = map { $nginx->get("$path?ref=$_") } 'abc123', 'other';

    for (@answers) {
        is($_->status, $status, $path);
        like($_->body, $body, '- its body');
        like($_->cookie('hype_visitor'), $uuid, '- a cookie');
        is(join('|', $_->header('Cache-Control')), 'private', '- private');
    }

    isnt($answers[0]->cookie('hype_visitor'), $answers[1]->cookie('hype_visitor'),
         '- of their own');
    is($pg->text('delete from hype.referral_hit returning next'),
       "$path\n$path\n", '- one hit each');
    stored_is_clean($nginx, $path);
}

for my $path ('/file/index.html', '/local/index.html') {
    $r = $nginx->get("$path?ref=abc123");
    my $etag = $r->header('ETag');
    my $date = $r->header('Last-Modified');

    for (
        [304, 'If-None-Match' => $etag],
        [304, 'If-Modified-Since' => $date],
        [206, Range => 'bytes=0-3'],
        [416, Range => 'bytes=1000-'],
        [412, 'If-Match' => '"other"'],
    ) {
        my ($status, @header) = @$_;
        $r = $nginx->get("$path?ref=abc123", @header);

        is($r->status, $status, "$path: $status");
        like($r->cookie('hype_visitor'), $uuid, '- a cookie');
        is(join('|', $r->header('Cache-Control')), 'private', '- private');
    }

    is($pg->text('select count(*) from hype.referral_hit'), "6\n", '- hits');
    stored_is_clean($nginx, $path);
    $pg->exec('truncate hype.referral_hit');
}


# the application's own cookie stays, in its place

$r = $nginx->get('/own-cookie/x?ref=abc123');
is(($r->header('Set-Cookie'))[0], 'session=1; Path=/',
   'the application\'s own cookie');
is(scalar(my @cookies = $r->header('Set-Cookie')), 2, '- and ours');

done_testing();
