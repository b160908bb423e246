# ?ref= on any URL, among all else that nginx does with a request that it serves:
# one hit each.

use lib 't/lib';
use Hype::Test;

my $pg = database();
$pg->link('abc123', user_id => 'alice');

my %servers = map { $_ => free_port() } qw(redirect direct inline);

# the same in each mode; %MODE% is that of the directive

my $locations = <<'END';
    listen 127.0.0.1:%PORT%;
    absolute_redirect off;
    hype_ref_param ref mode=%MODE%;

    location /ref/ { hype_ref; }

    location = /page.html { }

    location /dir/ { }

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

    location /missing/ { }

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
map \$http_user_agent \$bot { "~*(bot)" 1; }

map \$http_user_agent \$no_hit { "~*(monitor)" 1; }

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
