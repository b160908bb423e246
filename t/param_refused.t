# ?ref= on any URL: a request that nginx refuses makes no hit, and gets no other
# answer than without it.

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

    location = /page.html {
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

    location /static/ {
        error_page 405 = /page.html;
        try_files /page.html =404;
    }
END

my $text = join '', map {
    my $mode = $_;
    my $server = $locations =~ s/%MODE%/$mode/r =~ s/%PORT%/$servers{$mode}/r;
    "server {\n$server}\n";
} sort keys %servers;

my $nginx = nginx(pg => $pg, workers => 2, start => 0, http => <<"END");
limit_req_zone \$arg_who zone=one:1m rate=1r/m;

server {
    listen unix:%%DIR%%/app.sock;

    location /check {
        if (\$http_authorization != "Bearer good") {
            return 403;
        }
        add_header X-User 42;
        return 204;
    }
}

$text
END

write_file($nginx->dir . '/html/page.html', "the page\n");
write_file($nginx->dir . '/users', "joe:{PLAIN}secret\n");
chmod 0644, $nginx->dir . '/users';

$nginx->start;


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
