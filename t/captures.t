# A user by a "map" with regular expressions leaves the location's $1 alone, also
# when the application's X-Accel-Redirect leads to another location.

use lib 't/lib';
use Hype::Test;

my $pg = cluster();

my $nginx = nginx(pg => $pg, http => <<'HTTP', server => <<'SERVER');
map $upstream_http_x_user $uid {
    default   "";
    ~^u(.*)$  $1;
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

location ~ ^/files/(.*)$ {
    internal;
    hype_user $uid;
    alias %%DIR%%/store/$1;
}
SERVER

my $dir = $nginx->dir . '/store';

mkdir $dir or die $!;
write_file("$dir/$_", "$_\n") for qw(mine secret);
chmod 0755, $dir;
chmod 0644, glob "$dir/*";

is($nginx->get('/a')->body, "mine\n", 'the file that the application named');

done_testing();
