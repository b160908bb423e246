# The examples of examples/, with visitors, and with a real PgBouncer and standby.
# Those that need an application's framework are in t/apps.

use lib 't/lib';
use Hype::Test;
use Hype::Example;

my $uuid = qr/^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

# The application that the examples pass requests to: it says what it is asked.

my $app = nginx(module => 0, server => <<'END');
location / {
    add_header X-Hype-User $arg_user;
    add_header X-Asked $request_uri;
    add_header Cache-Control max-age=600;
    return 200 "$host$request_uri";
}
END

my $pass = 'proxy_pass http://127.0.0.1:';
my @app = ("${pass}8080" => $pass . $app->port);


subtest 'a static site, from a cache' => sub {
    my $pg = database();
    $pg->link('abc123', user_id => 'alice');

    my $nginx = nginx(pg => $pg, http => example('static', @app));
    my $ask = sub {
        my ($path, @headers) = @_;

        return $nginx->get($path, Host => 'www.example.com', @headers);
    };

    my $r = $ask->('/page?a=1&ref=abc123&b=2');
    is($r->body, '127.0.0.1/page?a=1&b=2', 'the page, at once');
    is($r->header('X-Cache'), 'MISS', '- not in the cache');
    like($r->cookie('hype_visitor'), $uuid, '- with a cookie');
    is($r->header('Cache-Control'), 'private', '- for nobody else');
    is($pg->hits, 1, '- and a hit');

    $r = $ask->('/page?a=1&b=2');
    is($r->header('X-Cache'), 'HIT', 'somebody else gets it from the cache');
    is($r->cookie('hype_visitor'), undef, '- without a cookie');
    is($r->header('Cache-Control'), 'max-age=600', '- for other caches, too');
    is($pg->hits, 1, '- no hit');

    $r = $ask->('/page?ref=abc123&a=1&b=2');
    is($r->header('X-Cache'), 'HIT', 'the next one, by a link, from the cache');
    like($r->cookie('hype_visitor'), $uuid, '- with a cookie');
    is($pg->hits, 2, '- and a hit');

    is($ask->('/ref/abc123/?next=/page')->location,
       'http://www.example.com:' . $nginx->port . '/page', 'the link itself');
};


subtest 'behind PgBouncer' => sub {
    my $pg = database();
    $pg->link('abc123');

    my %settings = example_file('pgbouncer/pgbouncer.ini')
                   =~ /^(\w+) = (.*)$/mg;
    is($settings{pool_mode}, 'transaction', 'transaction pooling');

    # what is the machine's
    delete @settings{qw(app listen_addr listen_port auth_type auth_file)};

    my $pool = pgbouncer($pg, %settings);
    my $nginx = nginx(pg => $pool, log_level => 'info',
        http => example('pgbouncer', @app,
            "host=127.0.0.1 port=6432 dbname=app user=hype_nginx\n"
            . '               passfile=/etc/nginx/hype.pgpass' => '%%DB%%'));

    is($nginx->get('/ref/abc123/?next=/x')->status, 302, 'a visit');
    is($pg->hits, 1, '- is a hit');
    is(scalar(grep { $_->status == 302 }
              $nginx->visits(count => 200, path => '/ref/abc123/')), 200,
       'many visits');
    is($pg->hits, 201, '- are as many hits');
    like($nginx->error_log, qr/through a pooler/, 'nginx has noticed the pooler');

    is($nginx->get('/ref/new/')->status, 302, 'a link that is not there yet');
    is($pg->hits, 201, '- is no hit');
    $pg->link('new');
    wait_until { $nginx->get('/ref/new/'); $pg->hits > 201 } 30,
        'a new link to be seen';
    pass('a new link is seen after a while');
};


subtest 'a replica pair' => sub {
    my $primary = cluster(config => <<'END');
wal_level = replica
max_wal_senders = 5
hot_standby = on
END

    $primary->link('abc123');

    my $standby = $primary->standby;
    my (undef, $said) = $standby->psql('-c', 'select hype.events_after(0)');

    like($said, qr/hype\.events_after: this is a standby/,
         'events are not read from a standby');

    wait_until {
        $primary->value("select count(*) from pg_stat_replication
                         where state = 'streaming'")
    } 30, 'the standby to stream';

    my ($setting) = example_file('replicas/nginx.conf')
                    =~ /^#\s+(synchronous_standby_names = .*)/m;
    $primary->exec("alter system set $setting");
    $primary->reload;
    wait_until {
        $primary->value("select count(*) from pg_stat_replication
                         where sync_state = 'sync'")
    } 30, 'the standby to be synchronous';

    # as the example says, over TCP with the password in a file

    my $dir = temp_dir('pgpass');
    my $user = server_user() // getpwuid $>;
    write_file("$dir/hype.pgpass", "*:*:*:hype_nginx:$primary->{password}\n");
    chmod 0755, $dir;
    chmod 0600, "$dir/hype.pgpass";
    chown((getpwnam $user)[2, 3], "$dir/hype.pgpass");

    my $nginx = nginx(pg => $primary, http => example('replicas', @app,
        'host=db1.example.com,db2.example.com port=5432,5432'
            => 'host=127.0.0.1,127.0.0.1 port='
               . join(',', map { $_->port } $primary, $standby),
        'dbname=app' => 'dbname=' . $primary->dbname,
        '/etc/nginx/hype.pgpass' => "$dir/hype.pgpass"));

    my ($sent, %answered) = (0);
    my $visit = sub {
        my $next = '/' . ++$sent;
        $answered{$next} = 1
            if $nginx->get("/ref/abc123/?next=$next")->status == 302;
    };

    $visit->() for 1 .. 20;
    is($primary->hits, 20, 'hits are with the primary');

    $primary->stop('kill');
    $visit->() for 1 .. 20;
    is(keys %answered, 40, 'visitors are redirected while it is gone');

    $standby->value('select pg_promote()');
    $standby->exec('alter system reset synchronous_standby_names');
    $standby->reload;
    $visit->() for 1 .. 20;

    is_soon { $standby->hits } 60, 'the standby has them all', 60;
    is($standby->value('select count(distinct next) from hype.referral_hit'), 60,
       '- each once');
};


subtest 'several sites' => sub {
    my $pg = database();
    my %site = (shop => 'shop.example.com', blog => 'blog.example.org');
    my %link;

    my ($status, $output) = $pg->psql('-At', '-f', 'examples/sites/links.sql');
    is($status, 0, 'the links are made') or diag($output);
    @link{qw(shop blog)} = $output =~ /^(shop-\w+|blog-\w+)$/mg;
    like($output, qr/^blog\|1\|0\|0\nshop\|1\|0\|0$/m, '- and counted');

    my $nginx = nginx(pg => $pg, http => example('sites', @app,
        "${pass}8081" => $pass . $app->port));
    my $ask = sub {
        my ($site, $path, @headers) = @_;

        return $nginx->get($path, Host => $site{$site}, @headers);
    };

    my $port = $nginx->port;
    my $r = $ask->('shop', "/ref/$link{shop}/");
    my $visitor = $r->cookie('shop_visitor');
    is($r->location, "http://shop.example.com:$port/offers", 'the shop\'s link');
    like($visitor, $uuid, '- sets the shop\'s cookie');

    $r = $ask->('blog', "/ref/$link{blog}/?next=/post",
                Cookie => "shop_visitor=$visitor");
    is($r->location, "http://blog.example.org:$port/post", 'the blog\'s link');
    isnt($r->cookie('blog_visitor'), $visitor, '- has visitors of its own');

    $r = $ask->('blog', "/post?from=$link{blog}&a=1");
    is($r->body, '127.0.0.1/post?a=1', 'the blog\'s argument');
    like($r->cookie_attributes('blog_visitor'), qr/^Max-Age=2592000;/,
         '- and its cookie, for 30 days');

    is($ask->('shop', "/x?ref=$link{shop}")->location,
       "http://shop.example.com:$port/ref/$link{shop}?next=%2Fx",
       'the shop\'s argument');
    is($ask->('shop', "/ref/$link{shop}/?next=https://pay.example.com/x")->location,
       'https://pay.example.com/x', 'the shop may lead to its other host');
    is($ask->('blog', "/ref/$link{blog}/?next=https://pay.example.com/x")->location,
       "http://blog.example.org:$port/", '- the blog may not');
    is($pg->hits, 5, 'each is a hit, but for the one that is redirected to it');

    $pg->exec('delete from hype.referral_hit');

    for my $case ([shop => "/ref/$link{blog}/"], [blog => "/ref/$link{shop}/"],
                  [blog => "/post?from=$link{shop}"])
    {
        $r = $ask->(@$case);
        isnt($r->status, 404, "@$case goes on");
        is($r->header('Set-Cookie'), undef, '- without a cookie');
    }

    is($pg->hits, 0, 'links of another site are no hits');

    $ask->('shop', "/ref/$link{shop}/", Cookie => "shop_visitor=$visitor");
    $ask->('shop', '/account', Cookie => "shop_visitor=$visitor");
    $r = $ask->('shop', '/account?user=42', Cookie => "shop_visitor=$visitor");
    is($r->cookie('shop_visitor'), '', 'a user of the shop');
    is($r->header('X-Hype-User'), undef, '- whose number is kept back');
    is_soon { $pg->value('select user_id from hype.referral_hit') } 'shop:42',
        '- is the shop\'s';
    is($pg->value('select user_id from hype.visitor_claim'), 'shop:42',
       '- and nobody else has been claimed');
};


subtest 'consent' => sub {
    my $pg = database();
    $pg->link('abc123');

    my $nginx = nginx(pg => $pg, http => example('consent', @app));
    my @row = ("select visitor is not null, ip, user_agent
                from hype.referral_hit where next = ?");
    my @consent = (Cookie => 'consent=yes');
    my @gpc = ('Sec-GPC' => 1);
    my $visit = sub {
        my ($next, @headers) = @_;

        return $nginx->get("/ref/abc123/?next=$next", @headers);
    };

    my $r = $visit->('/nothing-said');
    like($r->location, qr{/nothing-said$}, 'who has said nothing is redirected');
    is($r->header('Set-Cookie'), undef, '- without a cookie');
    is($pg->text(@row, '/nothing-said'), "f|127.0.0.0|\n",
       '- and counts, of a network');

    $r = $visit->('/yes', @consent);
    like($r->cookie('hype_visitor'), $uuid, 'consent: a cookie');
    is($pg->text(@row, '/yes'), "t|127.0.0.0|\n", '- and a visitor');
    my $visitor = $r->cookie('hype_visitor');

    for my $case (['/gpc', @gpc], ['/gpc-and-yes', @gpc, @consent]) {
        my ($next) = @$case;
        $r = $visit->(@$case);
        like($r->location, qr{\Q$next\E$}, "$next is redirected");
        is($r->header('Set-Cookie'), undef, '- without a cookie');
        is($pg->text(@row, $next), '', '- and without a hit');
    }

    $r = $visit->('/no', Cookie => 'consent=no');
    is($r->header('Set-Cookie'), undef, 'no consent: no cookie');

    $r = $nginx->get('/consent/withdraw',
                     Cookie => "consent=yes; hype_visitor=$visitor");
    is($r->cookie('hype_visitor'), '', 'consent withdrawn: the cookie goes');
    is($r->cookie('consent'), '', '- and so does the consent');
};


done_testing();
