# What a directive's "map" with regular expressions matches leaves the location's
# $1 alone: a user, also when the application's X-Accel-Redirect leads to another
# location, and all else that comes before the last use of it.

use lib 't/lib';
use Hype::Test;

my $pg = database();
$pg->link('plain');

my $nginx = nginx(pg => $pg, http => <<'HTTP', server => <<'SERVER');
map $upstream_http_x_user $uid {
    default   "";
    ~^u(.*)$  $1;
}

map $http_user_agent $nothing {
    default     "";
    ~^(.)(.*)$  "";
}

map $http_user_agent $other_host {
    default     "";
    ~^(.)(.*)$  $1.example;
}

map $uri $last {
    default     "";
    ~^(.*)/(.*)$  $2;
}

server {
    listen 127.0.0.1:%%PORT%%;
    server_name app;

    location / {
        add_header X-Accel-Redirect /files/mine;
        add_header X-User usecret;
        return 200 app;
    }
}
HTTP
location / {
    proxy_pass http://127.0.0.1:%%PORT%%;
    proxy_set_header Host app;
}

absolute_redirect off;

location ~ ^/destination/(.*)/(.*)$ {
    hype_ref $2;
    hype_destination $nothing;
    hype_fallback /$1/$2;
}

location ~ ^/hosts/(.*)/(.*)$ {
    hype_ref $2;
    hype_next_hosts $other_host;
    hype_fallback /$1/$2;
}

location ~ ^/identifier/(.*)/(.*)$ {
    hype_ref $last;
    hype_fallback /$1/$2;
}

location ~ ^/predicates/(.*)/(.*)$ {
    hype_ref $2;
    hype_no_hit $nothing;
    hype_no_cookie $nothing;
    hype_bot $nothing;
    hype_fallback /$1/$2;
}

location ~ ^/files/(.*)$ {
    internal;
    hype_user $uid;
    alias %%DIR%%/store/$1;
}
SERVER

for my $path (qw(destination hosts identifier predicates)) {
    is($nginx->get("/$path/one/plain?next=http://y.example/",
                   'User-Agent' => 'xyz')->location,
       '/one/plain', "hype_fallback behind a map of another directive: $path");
}

my $dir = $nginx->dir . '/store';

mkdir $dir or die $!;
write_file("$dir/$_", "$_\n") for qw(mine secret);
chmod 0755, $dir;
chmod 0644, glob "$dir/*";

is($nginx->get('/a')->body, "mine\n", 'the file that the application named');

done_testing();
