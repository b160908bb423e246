# What the configuration may have: nginx -t passes, with PostgreSQL away, and
# says nothing.

use lib 't/lib';
use Hype::Test;
use Hype::Conf;

my $database = 'hype_database "host=/nonexistent";';


# hype_database

for my $text (
    'hype_database "";',
    'hype_database dbname=x;',
    'hype_database "host=/nonexistent dbname=x user=y";',
    'hype_database "host=192.0.2.1 port=5432 dbname=x";',
    'hype_database "host=no-such-host.invalid dbname=x";',
    'hype_database "host=a.invalid,b.invalid target_session_attrs=read-write";',
    'hype_database "host=a.invalid,b.invalid port=5432,5433";',
    'hype_database "host=a.invalid,b.invalid port=,5433";',
    'hype_database "host=a.invalid hostaddr=192.0.2.1 sslmode=verify-full";',
    'hype_database "host=a.invalid,/nonexistent hostaddr=2001:db8::1, port=,1";',
    'hype_database "hostaddr=\'\' host=a.invalid";',
    'hype_database "host=x.invalid channel_binding=require gssencmode=disable '
        . 'keepalives=0 tcp_user_timeout=2000 connect_timeout=-1";',
    'hype_database "hostaddr=2001:db8::1";',
    'hype_database "host=@abstract";',
    'hype_database postgresql://user@192.0.2.1:5432/x?sslmode=require;',
    'hype_database "postgres:///x?host=/nonexistent";',
    'hype_database "host=x.invalid password=\'a b\'";',
    'hype_database "application_name=\'my site\' options=\'-c work_mem=8MB\'";',
    'hype_database "" connections=1 connect_timeout=500ms timeout=1m;',
    'hype_database "" timeout=250ms connections=100;',
    'hype_database "" connect_timeout=2;',
) {
    right($text, http => $text, server => 'location /ref/ { hype_ref; }');
}


# Directives of http

for my $text (
    'hype_zone hype:32k;',
    'hype_zone hype:8m;',
    'hype_zone links:1M valid=1h unknown=500ms;',
    'hype_zone links:1m unknown=0 valid=0;',
    'hype_zone my_links-2:16384k valid=1d2h;',
    'limit_req_zone $uri zone=other:1m rate=1r/s; hype_zone hype:1m;',
    'hype_zone hype:1m; hype_spool off;',

    'hype_spool off;',
    'hype_spool spool;',
    'hype_spool spool/;',
    'hype_spool %%DIR%%/spool max_size=100m;',
    'hype_spool spool max_size=64k sync=off;',
    'hype_spool spool sync=always;',
    'hype_spool spool sync=100ms max_size=2g;',
    'hype_spool "my spool";',
) {
    right($text, http => "$database $text");
}


# Directives of http, server and location

my @everywhere = (
    'hype_durability commit;',
    'hype_durability spool;',

    'hype_next_param goto;',
    'hype_next_param return_to;',
    'hype_next_param x-y.z~;',

    'hype_next_hosts example.com;',
    'hype_next_hosts example.com .example.org Shop.Example:8443 192.0.2.1 [::1]'
        . ' [2001:db8::1]:8080 localhost .localhost a-b.c1;',
    'hype_next_hosts $host .$host www.$host:8443 $arg_host;',
    'hype_next_hosts "";',

    'hype_destination /;',
    'hype_destination off;',
    'hype_destination "";',
    'hype_destination https://shop.example/;',
    'hype_destination myapp://open;',
    'hype_destination $uri;',
    'hype_destination /$hype_identifier?was=$hype_destination;',
    'hype_code off;',
    'hype_code "";',
    'hype_code $upstream_http_x_code;',
    'hype_hit_param hit;',
    'hype_hit_param h.1_~-;',
    'hype_hit_param off;',
    'hype_keep_args utm_source;',
    'hype_keep_args utm_source utm_campaign sub;',
    'hype_keep_args off;',
    'hype_fallback /;',
    'hype_fallback /welcome?x=y#z;',
    'hype_fallback https://shop.example/;',
    'hype_fallback HTTP://shop.example;',
    'hype_fallback $uri;',
    'hype_fallback $scheme://$host/x;',
    'hype_fallback /not-found/$hype_identifier;',
    'hype_fallback =400;',
    'hype_fallback =404;',
    'hype_fallback =410;',
    'hype_fallback =444;',
    'hype_fallback =503;',
    'hype_fallback =599;',

    'hype_forward_args on;',
    'hype_forward_args off;',

    'hype_cookie visitor;',
    'hype_cookie __Host-visitor secure;',
    'hype_cookie v domain=example.com path=/x max_age=30d samesite=strict secure'
        . ' nohttponly;',
    'hype_cookie v samesite=none;',
    'hype_cookie v samesite=none secure;',
    'hype_cookie v samesite=off nosecure httponly;',
    'hype_cookie v domain=.$host path=$uri max_age=1;',
    'hype_cookie v legacy=V;',
    'hype_cookie v secure legacy=__Host-w samesite=strict;',
    'hype_cookie __Host-v secure path=/;',
    'hype_cookie __Host-v samesite=none;',
    'hype_cookie __Secure-v secure domain=x.example path=/x;',

    'hype_user $remote_user;',
    'hype_user $upstream_http_x_hype_user;',
    'hype_user "";',
    'hype_user user-$arg_x;',

    'hype_no_hit 1;',
    'hype_no_hit $arg_a $arg_b$arg_c;',
    'hype_no_hit $arg_a; hype_no_hit $arg_b;',
    'hype_no_cookie $cookie_no;',
    'hype_no_cookie $http_sec_gpc $http_dnt;',
    'hype_bot $http_user_agent;',
    'hype_bot "";',

    'hype_ip full;',
    'hype_ip masked;',
    'hype_ip off;',
);

for my $text (@everywhere) {
    right($text, http => "$database $text", server => <<"END");
$text
location / {
    $text
    location /ref/ { hype_ref; $text }
}
END
}

# hype_ref

for my $text (
    'location /ref/ { hype_ref; }',
    'location ^~ /ref/ { hype_ref; }',
    'location / { hype_ref; }',
    'location /ref { hype_ref; }',
    'location /a/ { location /a/ref/ { hype_ref; } }',
    'location /a/ { hype_ref; } location /b/ { hype_ref; }',
    'location ~ ^/ref/(.*)$ { hype_ref $1; }',
    'location ~ ^/ref/(?<id>[^/]+) { hype_ref $id; }',
    'location = /go { hype_ref $arg_code; }',
    'location = /go { hype_ref abc; }',
    'location @ref { hype_ref $arg_code; }',
    'location /ref/ { hype_ref $arg_code; }',
    'location /ref/ { hype_ref; if ($arg_x) { return 403; } }',
    'location /ref/ { hype_ref; limit_except GET { deny all; } }',
    'location /ref/ { hype_ref; internal; }',
) {
    right($text, http => $database, server => $text);
}

# hype_links

for my $text (
    'hype_user $uri; location /links { hype_links; }',
    'location /links { hype_links json; hype_user $uri; }',
    'location /links { hype_user $uri; hype_links create=off html; }',
    'location ~ ^/links { hype_user ""; hype_links html create=on to=/ref/; }',
    'hype_user $uri; location = /l { hype_links to=/$host/ref/; }',
    'hype_user $uri; location @links { hype_links html; }',
    'hype_user $uri; location /l { hype_links; if ($arg_x) { return 403; } }',
    'hype_user $uri; location /l { hype_links; location /l/m { hype_ref; } }',
) {
    right($text, http => $database, server => "$text location /ref/ { hype_ref; }");
}

# What needs no database goes without one

for my $text (
    'hype_zone hype:1m; hype_spool off;',
    'hype_user $remote_user; hype_cookie v; hype_ip masked; hype_bot 1;',
    'hype_ref_param off;',
    'add_header Outcome "$hype_outcome $hype_visitor $hype_user $hype_hit'
        . ' $hype_identifier $hype_referrer";',
) {
    right("$text without hype_database", http => $text);
}

# nginx -t does not wait for anybody

my $begin = time;
right('a black hole', http => 'hype_database "host=192.0.2.1 connect_timeout=60";');
cmp_ok(time - $begin, '<', 5, '... at once');

# The smallest zone has room for what it needs

my $pg = database();
$pg->exec("insert into hype.referral_link (identifier)
           select 'link' || n from generate_series(1, 500) n");

my $small = nginx(pg => $pg, http => 'hype_zone hype:32k;',
                  server => 'location /ref/ { hype_ref; }');

my @answers = $small->visits(count => 1500, connections => 8, path => sub {
    my ($i) = @_;
    return $i % 3 ? '/ref/link' . (1 + $i % 500) : "/ref/unknown$i";
});

is(grep({ $_->status == 302 } @answers), 1500, 'the smallest zone will do');
is($pg->hits, 1000, 'for all hits');

# The spool's folder is made, for the user of the workers

my $user = server_user();
my $uid = defined $user ? (getpwnam $user)[2] : $>;

sub owner
{
    my ($dir) = @_;

    return -d $dir ? (stat $dir)[4] : 'no folder';
}

my $dir = $small->dir;

is(owner("$dir/hype_spool"), $uid, 'the default');

$small->restart(http => 'hype_spool here;');
is(owner("$dir/here"), $uid, 'a path under the prefix');

$small->restart(http => "hype_spool $dir/there/;");
is(owner("$dir/there"), $uid, 'a whole path');

my $off = nginx(pg => $pg, http => 'hype_spool off;', server => '');
is(owner($off->dir . '/hype_spool'), 'no folder', 'none');

done_testing();
