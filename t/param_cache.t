# ?ref= with mode=inline in front of proxy_cache: the page is shared, the code is
# not in its key, every visitor gets a hit and a cookie of their own, and nobody
# else stores that.

use lib 't/lib';
use Hype::Test;

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

location /said/ {
    proxy_cache off;
    add_header X-Accel-Expires 60 always;
    proxy_pass http://unix:%%DIR%%/origin.sock:;
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

location /user/ {
    hype_user $http_x_user;
    proxy_pass http://unix:%%DIR%%/origin.sock:;
}

location /local/ {
    alias %%DIR%%/html/;
    expires 1h;
}
END

my $cache = $nginx->dir . '/pages';
my $uuid = qr/^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;

write_file($nginx->dir . '/html/sorry.html', "sorry\n");
chmod 0644, $nginx->dir . '/html/sorry.html';


# whatever the key is made of

for my $path (qw(/ /key/ /key-args/ /key-used/ /key-arg/ /uri/ /variable/
                 /expires/ /added/ /own-cookie/ /user/))
{
    my $page = "${path}page?a=1&b=2";

    my $stored = stored();
    my $first = $nginx->get("${path}page?a=1&ref=abc123&b=2");
    wait_until { stored() > $stored } 10, 'the page to be stored';

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
    stored_is_clean($path, @visitors);
    $pg->exec('truncate hype.referral_hit');
}


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
    stored_is_clean($path);
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
    stored_is_clean($path);
    $pg->exec('truncate hype.referral_hit');
}


# the application's own cookie stays, in its place

$r = $nginx->get('/own-cookie/x?ref=abc123');
is(($r->header('Set-Cookie'))[0], 'session=1; Path=/',
   'the application\'s own cookie');
is(scalar(my @cookies = $r->header('Set-Cookie')), 2, '- and ours');


# a page that was stored by a visitor of a link serves a known user

my $stored = stored();
$nginx->get('/user/page2?ref=abc123');
wait_until { stored() > $stored } 10, 'the page to be stored';
$r = $nginx->get('/user/page2', 'X-User' => 42,
                 Cookie => 'hype_visitor=019e7d9c-3f6a-4f4e-8d5b-0123456789ab');
is($r->header('X-Cache'), 'HIT', 'a claim on a page from the cache');
is($r->cookie('hype_visitor'), '', '- the cookie is cleared');
is(join('|', $r->header('Cache-Control')), 'private', '- private');
stored_is_clean('claim', '019e7d9c-3f6a-4f4e-8d5b-0123456789ab');


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
stored_is_clean('many', keys %visitors);

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


# The cache's files; nginx has written a page some time after it has sent it.

sub stored
{
    return grep { !/\.\d+$/ }
           split /\n/, (run(command => ['find', $cache, '-type', 'f']))[1];
}


# No file of the cache has any of our bytes in it.

sub stored_is_clean
{
    my ($name, @visitors) = @_;

    my @files = stored();
    my $bytes = join '', map { read_file($_) } @files;

    ok(@files > 0, "$name: it is stored");

    my @found = grep { $bytes =~ /\Q$_/i } 'hype_visitor', 'private',
        'abc123', 'ref=', 'other', @visitors;
    is("@found", '', '- with nothing of ours');
}
