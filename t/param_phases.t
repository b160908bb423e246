# ?ref= on any URL, among all else that nginx does with a request: one hit each,
# none for a request that was refused.

use lib 't/lib';
use Hype::Test;

my $pg = database();
$pg->link('abc123', user_id => 'alice');

my $h2_port = free_port();
my $h2 = Hype::Nginx->listen_http2($h2_port);

my %servers = map { $_ => free_port() } qw(redirect direct inline);

# the same in each mode; %s is the directive's mode

my $locations = <<'END';
    listen 127.0.0.1:%PORT%;
    absolute_redirect off;
    hype_ref_param ref mode=%MODE%;

    location /ref/ {
        hype_ref;
    }

    location = /page.html {
    }

    location /dir/ {
    }

    location /deny/ {
        deny all;
    }

    location /deny-page/ {
        deny all;
        error_page 403 /page.html;
    }

    location /deny-page-200/ {
        deny all;
        error_page 403 =200 /page.html;
    }

    location /deny-recursive/ {
        recursive_error_pages on;
        deny all;
        error_page 403 /page.html;
    }

    location /any/ {
        satisfy any;
        deny all;
        auth_basic hype;
        auth_basic_user_file %%DIR%%/users;
        try_files /page.html =404;
    }

    location /any-allow/ {
        satisfy any;
        allow 127.0.0.1;
        deny all;
        auth_basic hype;
        auth_basic_user_file %%DIR%%/users;
        try_files /page.html =404;
    }

    location /auth/ {
        auth_request /check;
        auth_request_set $user $upstream_http_x_user;
        hype_user $user;
        try_files /page.html =404;
    }

    location = /check {
        internal;
        proxy_pass_request_body off;
        proxy_pass http://unix:%%DIR%%/app.sock:/check;
    }

    location /limit/ {
        limit_req zone=one;
        try_files /page.html =404;
    }

    location /limit-page/ {
        limit_req zone=one;
        error_page 503 /page.html;
        try_files /page.html =404;
    }

    location /limit-delay/ {
        limit_req zone=ten burst=10;
        try_files /page.html =404;
    }

    location /try/ {
        try_files /nowhere $uri/nowhere /page.html =404;
    }

    location /try-redirect/ {
        try_files /nowhere /page.html?seen=$args;
    }

    location /try-named/ {
        try_files /nowhere @app;
    }

    location /static/ {
        error_page 405 = /page.html;
        try_files /page.html =404;
    }

    location /missing/ {
    }

    location /missing-page/ {
        error_page 404 /page.html;
    }

    location /missing-ok/ {
        error_page 404 =200 /page.html;
    }

    location /missing-app/ {
        error_page 404 = @app;
    }

    location /control-flow/ {
        error_page 418 = @app;
        return 418;
    }

    location /control-flow-uri/ {
        error_page 418 = /app/;
        return 418;
    }

    location /rewrite/ {
        rewrite ^ /app/ last;
    }

    location /rewrite-break/ {
        rewrite ^ /page.html break;
    }

    location /return/ {
        return 301 https://localhost$request_uri;
    }

    location ~ ^/captures/(\w+)/ {
        hype_bot $bot;
        hype_no_hit $no_hit;
        proxy_pass http://unix:%%DIR%%/app.sock:/app/$1?$args;
    }

    location /accel/ {
        proxy_pass http://unix:%%DIR%%/app.sock:/accel;
    }

    location /mirror/ {
        mirror /copy;
        proxy_pass http://unix:%%DIR%%/app.sock:;
    }

    location = /copy {
        internal;
        proxy_pass http://unix:%%DIR%%/copy.sock:$request_uri;
    }

    location /internal/ {
        internal;
        alias %%DIR%%/html/;
    }

    location /body/ {
        client_body_buffer_size 1k;
        proxy_pass http://unix:%%DIR%%/app.sock:/;
    }

    location /app/ {
        proxy_pass http://unix:%%DIR%%/app.sock:;
    }

    location @app {
        proxy_pass http://unix:%%DIR%%/app.sock:;
    }
END

my $text = join '', map {
    my $mode = $_;
    my $server = $locations =~ s/%MODE%/$mode/r =~ s/%PORT%/$servers{$mode}/r;
    "server {\n$server}\n";
} sort keys %servers;

my $nginx = nginx(pg => $pg, workers => 2, start => 0, http => <<"END");
map \$http_user_agent \$bot {
    "~*(bot)" 1;
}

map \$http_user_agent \$no_hit {
    "~*(monitor)" 1;
}

limit_req_zone \$arg_who zone=one:1m rate=1r/m;
limit_req_zone \$arg_who zone=ten:1m rate=10r/s;

log_format uri \$request_uri;

server {
    listen unix:%%DIR%%/copy.sock;
    access_log %%DIR%%/logs/copy.log uri;
    return 204;
}

server {
    listen unix:%%DIR%%/app.sock;

    location /check {
        if (\$http_authorization != "Bearer good") {
            return 403;
        }
        add_header X-User 42;
        return 204;
    }

    location /accel {
        add_header X-Accel-Redirect /internal/page.html;
        return 204;
    }

    location / {
        return 200 "app \$request_uri";
    }
}

server {
    $h2
    hype_ref_param ref mode=direct;

    location /inline/ {
        hype_ref_param ref mode=inline;
        proxy_pass http://unix:%%DIR%%/app.sock:;
    }
}

$text
END

my $html = $nginx->dir . '/html';
mkdir "$html/dir";
write_file("$html/page.html", "the page\n");
write_file("$html/dir/index.html", "the index\n");
write_file($nginx->dir . '/users', "joe:{PLAIN}secret\n");
chmod 0644, $nginx->dir . '/users';

$nginx->start;

my $basic = 'Basic am9lOnNlY3JldA==';


# requests that nginx refuses: no hit, and no other answer than without ?ref=

for my $mode (sort keys %servers) {
    for (
        ['deny' => '/deny/', 403],
        ['deny with an error_page' => '/deny-page/', 403],
        ['the same as 200' => '/deny-page-200/', 200],
        ['the same with recursive_error_pages' => '/deny-recursive/', 403],
        ['auth_request' => '/auth/', 403],
        ['satisfy any, nothing satisfied' => '/any/', 401],
    ) {
        my ($name, $path, $status) = @$_;

        my $r = get($mode, "$path?a=1&ref=abc123");
        is($r->status, $status, "$mode: refused by $name");
        is($r->cookie('hype_visitor'), undef, '- no cookie');
        is(hits(), '', '- no hit');
    }

    for my $path ('/limit/', '/limit-page/') {
        get($mode, "$path?who=$mode$path");
        my $r = get($mode, "$path?who=$mode$path&ref=abc123");
        is($r->status, 503, "$mode: refused by limit_req, $path");
        is($r->cookie('hype_visitor'), undef, '- no cookie');
        is(hits(), '', '- no hit');
    }
}


# nor does an error_page make one of another method

for my $mode (sort keys %servers) {
    my $r = http_request($servers{$mode}, 'POST', '/static/?ref=abc123');
    is($r->body, "the page\n", "$mode: POST that an error_page makes GET");
    is($r->cookie('hype_visitor'), undef, '- no cookie');
    is(hits(), '', '- no hit');
}


# and those that it does not

my @served = (
    ['a file' => '/page.html', 'the page'],
    ['index' => '/dir/', 'the index'],
    ['satisfy any, by address' => '/any-allow/', 'the page'],
    ['satisfy any, by password' => '/any/', 'the page', [Authorization => $basic]],
    ['auth_request' => '/auth/', 'the page', [Authorization => 'Bearer good']],
    ['limit_req' => '/limit/', 'the page'],
    ['limit_req with a delay' => '/limit-delay/', 'the page'],
    ['try_files' => '/try/', 'the page'],
    ['try_files to a URI' => '/try-redirect/', 'the page'],
    ['try_files to a named location' => '/try-named/', 'app /try-named/?%s'],
    ['nothing there' => '/missing/', qr/404 Not Found/],
    ['nothing there, with an error_page' => '/missing-page/', 'the page'],
    ['the same as 200' => '/missing-ok/', 'the page'],
    ['error_page to a named location' => '/missing-app/', 'app /missing-app/?%s'],
    ['return to a named location' => '/control-flow/', 'app /control-flow/?%s'],
    ['return to a URI' => '/control-flow-uri/', 'app /app/'],
    ['rewrite' => '/rewrite/', 'app /app/?%s'],
    ['rewrite, break' => '/rewrite-break/', 'the page'],
    ['captures' => '/captures/this/', 'app /app/this?%s',
     ['User-Agent' => 'Robot']],
    ['a mirror' => '/mirror/', 'app /mirror/?%s'],
    ['X-Accel-Redirect' => '/accel/', 'the page'],
);

my $n = 0;

for my $mode (sort keys %servers) {
    for (@served) {
        my ($name, $path, $body, $headers) = @$_;

        my $left = 'who=' . ++$n;
        my $answer = ref $body ? $body : qr/\A\Q@{[$body =~ s{%s}{$left}r]}\E\n?\z/;
        my $url = "$path?$left";
        my $r = get($mode, "$path?ref=abc123&$left", @{ $headers // [] });

        if ($mode eq 'redirect') {
            is($r->location, '/ref/abc123?next=' . $path =~ s{/}{%2F}gr
                             . '%3F' . $left =~ s/=/%3D/r, "redirect: $name");
            $r = get($mode, $r->location);
        }

        if ($mode eq 'inline') {
            like($r->body, $answer, "inline: $name");
        } else {
            is($r->status, 302, "$mode: $name");
            is($r->location, $url, '- the URL without the parameter');
        }

        like($r->cookie('hype_visitor') // ($name eq 'auth_request' ? '-' x 36 : ''),
             qr/^[-0-9a-f]{36}$/, '- a cookie');
        is(scalar(() = $r->header('Set-Cookie')) <= 1, 1, '- not two');
        is(hits(), $url, '- one hit');
    }

    my $r = get($mode, '/return/?ref=abc123&a');
    is($r->location, 'https://localhost/return/?ref=abc123&a',
       "$mode: \"return\" comes first");
    is(hits(), '', '- no hit');
}


# a mirror sees what the application sees

is_soon {
    join '', sort grep { s/\d+/n/ } split /^/,
        read_file($nginx->dir . '/logs/copy.log');
} "/mirror/?who=n\n", 'a mirror gets no parameter either, and one copy';


# who the user is, is known by then

get('direct', '/auth/?ref=abc123', Authorization => 'Bearer good');
is($pg->text('delete from hype.referral_hit
              returning user_id, authenticated, visitor'), "42|t|\n",
   'the user of auth_request_set');


# a request with a body

my $socket = http_open($servers{inline});
print {$socket} "GET /body/?ref=abc123&a HTTP/1.1\r\nHost: localhost\r\n"
                . "Connection: close\r\nContent-Length: 5000\r\n\r\n";
is_soon { $pg->hits } 1, 'inline: the hit does not wait for a body';
print {$socket} 'b' x 5000;
is(http_read($socket)->body, 'app /?a', 'and the body is passed on');
is(hits(), '/body/?a', '- one hit');


# several requests at once on a connection

print {$socket = http_open($servers{inline})} map {
    "GET $_ HTTP/1.1\r\nHost: localhost\r\n\r\n"
} '/app/?ref=abc123&1', '/app/?2', '/app/?ref=nobody&3', '/app/?ref=abc123&4',
  '/app/?5';

is(join(' ', map { http_read($socket)->body } 1 .. 5),
   'app /app/?1 app /app/?2 app /app/?ref=nobody&3 app /app/?4 app /app/?5',
   'pipelined requests');
is(hits(), '/app/?1|/app/?4', '- two hits');


# visitors who do not wait for the answer

for my $mode ('direct', 'inline') {
    my @sockets = map { http_open($servers{$mode}) } 1 .. 20;

    print {$_} "GET /app/?ref=abc123 HTTP/1.1\r\nHost: localhost\r\n\r\n"
        for @sockets;
    close $_ for @sockets;
    is_soon { $pg->hits } 20, "$mode: visitors who are gone: a hit each";
    hits();
}


# HTTP/2

my @h2 = ('--http2-prior-knowledge', '-H', 'Cookie: a=b', '-H',
          'Cookie: hype_visitor=019e7d9c-3f6a-4f4e-8d5b-0123456789ab');

my $r = curl(@h2, "http://127.0.0.1:$h2_port/a//b?a=%41&ref=abc123&b=;");
is($r->status, 302, 'HTTP/2: direct');
like($r->location, qr{^http://127.0.0.1:$h2_port/a//b\?a=%41&b=;$}, '- where to');
is($r->cookie('hype_visitor'), '019e7d9c-3f6a-4f4e-8d5b-0123456789ab',
   '- the cookie');
is(hits(), '/a//b?a=%41&b=;', '- one hit');

$r = curl(@h2, "http://127.0.0.1:$h2_port/inline/a//b?a=%41&ref=abc123&b=;");
is($r->body, 'app /inline/a//b?a=%41&b=;', 'HTTP/2: inline');
is($r->cookie('hype_visitor'), '019e7d9c-3f6a-4f4e-8d5b-0123456789ab',
   '- the cookie');
is(scalar $r->header('Cache-Control'), 'private', '- private');
is(hits(), '/inline/a//b?a=%41&b=;', '- one hit');

my ($status, $output) = run(command => [
    'curl', '-sS', '--http2-prior-knowledge', '--parallel', '--parallel-immediate',
    map { ('-o', '/dev/null', "http://127.0.0.1:$h2_port/inline/$_?ref=abc123") }
    1 .. 50]);
is($status, 0, 'HTTP/2: many streams') or diag($output);
is($pg->text('select count(*), count(distinct next), count(distinct visitor)
              from hype.referral_hit'), "50|50|50\n", '- a hit each');

done_testing();


sub get
{
    my ($mode, $path, @headers) = @_;

    return http_get($servers{$mode}, $path, @headers);
}


# what their URLs were; the next ones are alone

sub hits
{
    return join '|', sort map { $_->[0] } $pg->query(
        'delete from hype.referral_hit returning next');
}
