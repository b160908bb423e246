# What the configuration may have, but deserves a warning of nginx -t.

use lib 't/lib';
use Hype::Test;
use Hype::Conf;

my $database = 'hype_database "host=/nonexistent";';


for my $variable (qw($http_x_user $arg_user $cookie_user ${HTTP_X_USER} x$arg_a)) {
    warned("hype_user $variable", qr/^"hype_user \Q$variable\E" is set by the client/,
           http => "$database hype_user \"$variable\";");
}

for my $host ("db.invalid", "192.0.2.1", "/nonexistent,db.invalid") {
    my $last = (split /,/, $host)[-1];
    warned("host=$host", qr/^"hype_database" has no "sslmode" for host "$last"/,
           http => qq{hype_database "host=$host";});
}

for my $conninfo (qw(host=/nonexistent host=127.0.0.1 host=localhost host=::1),
                  'host=192.0.2.1 sslmode=prefer') {
    my ($status, $output) = test_config(
        http => qq{hype_database "$conninfo";});
    unlike($output, qr/\[warn\]/, "\"$conninfo\" has none");
}

my $ref_param = qr/^"hype_ref_param" redirects to "\/ref\/", but the server in \S+:\d+ has no location/;

for my $locations ('', 'location /referral/ { hype_ref; }', 'location = /ref/ { return 204; }') {
    warned("hype_ref_param and \"$locations\"", $ref_param, http => $database,
           server => "hype_ref_param ref; $locations");
}

for my $to ('', 'to=/r/') {
    my $path = $to ? '/r/' : '/ref/';
    warned("hype_links $to", qr/^"hype_links" shows links that lead to "$path", but the server in \S+:\d+ has no location/,
           http => $database, server => "hype_user \$uri; location /l { hype_links $to; }");
}

right("hype_ref_param and \"$_\"", http => $database, server => $_) for
    'hype_ref_param ref; location /ref/ { hype_ref; }',
    'hype_ref_param ref; location /ref { hype_ref; }',
    'hype_ref_param ref; location / { location /ref/ { hype_ref; } }',
    'hype_ref_param ref; location ~ ^/ref/(.*) { hype_ref $1; }',
    'hype_ref_param ref to=/r/; location /r/ { hype_ref; }',
    'hype_ref_param ref to=/$host/;',
    'hype_ref_param ref mode=inline;',
    'location /ref/ { hype_ref; if ($arg_x) { return 403; } }';

done_testing();
