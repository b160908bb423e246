# Referral links over HTTP/3: visits, visitors, users, many at once, clients that
# go away, and reloads.

use lib 't/lib';
use Hype::Test;
use Hype::HTTP3;
use Hype::Status;

plan(skip_all => $_) for Hype::HTTP3::missing();

my $pg = database();
$pg->link('abc', user_id => 'alice', destination => '/welcome');

my $port = free_port();
my $listen = Hype::HTTP3::listen_http3($port);
my $nginx = nginx(pg => $pg, database => 'timeout=10s', http => <<"HTTP",
server {
    $listen
    server_name localhost;
    keepalive_timeout 5s;

    location /ref/ {
        hype_ref;
        absolute_redirect off;
        hype_user \$arg_user;
    }

    location /page {
        hype_ref_param ref mode=inline;
        hype_user \$arg_user;
        add_header Arguments "\$args";
        try_files /index.html =404;
    }

    location /direct {
        absolute_redirect off;
        hype_ref_param ref mode=direct;
    }

    location = /links {
        hype_user alice;
        hype_links to=/ref/;
    }
}
HTTP
    server => 'location = /status { hype_status; }');

my $visitor = '0b5c8f5a-7f8e-4b0a-9d7e-2f4f5a6b7c8d';
my $client = Hype::HTTP3->new($port);

makes_hits();
claims();
answers_many();
forgets_nobody();
is_reloaded();
SKIP: { is_visited_by_curl() }

done_testing();


sub makes_hits
{
    my $r = $client->get('/ref/abc?next=/x', 'User-Agent' => 'agent',
                         Referer => 'http://from.example/');

    is($r->status_line, 'HTTP/3 302', 'a redirect');
    is($r->location, '/x', '... its target');
    is_deeply([$r->header('Cache-Control')], ['no-store'], '... not to be stored');
    is(rows('visitor, user_agent, http_referer, next, host(ip)'),
       $r->cookie('hype_visitor') . "|agent|http://from.example/|/x|127.0.0.1\n",
       '... its hit');

    is($client->get('/ref/abc', Cookie => "hype_visitor=$visitor")
       ->cookie('hype_visitor'), $visitor, 'a cookie that is there');
    is($client->get('/ref/abc', Cookie => 'a=b', Cookie => "hype_visitor=$visitor",
                    Cookie => 'c=d')->cookie('hype_visitor'),
       $visitor, '... one of many fields');
    is(rows('visitor'), "$visitor\n$visitor\n", '... is the visitor of the hit');

    $r = $client->get('/page?a=b&ref=abc&c', Cookie => "hype_visitor=$visitor");
    is($r->body, "it works\n", 'an argument of a page');
    is($r->header('Arguments'), 'a=b&c', '... is taken out');
    is(rows('visitor'), "$visitor\n", '... its hit');

    $r = $client->get('/direct?a=b&ref=abc');
    is($r->location, '/direct?a=b', 'an argument, with a redirect');
    is(rows('visitor'), $r->cookie('hype_visitor') . "\n", '... its hit');

    is($client->request('HEAD', '/ref/abc')->status, 302, 'HEAD');
    is($client->get('/ref/abc', 'Sec-Purpose' => 'prefetch')->status, 503,
       'a prefetch');
    is($client->get('/ref/unknown')->status, 302, 'an unknown link');
    is(rows('1'), '', '... are no hits');

    $r = $client->request('POST', '/ref/abc', 'body');
    is($r->status, 405, 'POST');
    is($r->header('Allow'), 'GET, HEAD', '... is told what is allowed');
    is($client->request('GET', '/ref/abc', 'x' x 50_000)->status, 302, 'a body');
    is(rows('1'), "1\n", '... is skipped: one hit');

    like($client->get('/links')->body,
         qr{"url": ?"https://localhost:$port/ref/abc/"}, 'the owner\'s link');
}


sub claims
{
    my $cookie = $client->get('/ref/abc')->cookie('hype_visitor');
    my $r = $client->get('/page?user=42', Cookie => "hype_visitor=$cookie");

    like($r->header('Set-Cookie'), qr/^hype_visitor=; Max-Age=0; /,
         'a user: the cookie is cleared');
    is_deeply([$r->header('Cache-Control')], ['private'], '... for him alone');
    is_soon { $pg->hits("user_id = '42'") } 1, '... the visitor is claimed';
    is(status($nginx)->{claims}, 1, '... once');

    is($client->get('/ref/abc?user=43')->status, 302, 'a link, followed by a user');
    is($pg->hits("user_id = '43' and authenticated"), 1, '... a hit of his');
}


sub answers_many
{
    $pg->exec('truncate hype.referral_hit');

    my @answers = $client->all(map { ['GET', "/ref/abc?next=/$_"] } 1 .. 100);

    is_deeply([map { $_->location } @answers], [map { "/$_" } 1 .. 100],
              'many at once: each is answered');
    is($pg->value('select count(distinct next) from hype.referral_hit'), 100,
       '... each is a hit');
    is($pg->value('select count(distinct visitor) from hype.referral_hit'), 100,
       '... of another visitor');
}


# Clients that go away while their hits are written

sub forgets_nobody
{
    for my $leave (qw(cancel close vanish)) {
        $pg->exec('truncate hype.referral_hit');
        $client->connect;

        locked(sub {
            $client->send(map { ['GET', "/ref/abc?next=/$_"] } 1 .. 20);
            wait_until { status($nginx)->{queue}{waiting} == 20 } 10,
                'requests to wait';
            $client->do($leave);
            $nginx->get('/status');
        });

        is_soon { $pg->hits } 20, "a client leaves ($leave): all of its hits";
        is($pg->value('select count(distinct next) from hype.referral_hit'), 20,
           '... once each');

        $client->connect;
        is($client->get('/ref/abc')->status, 302, '... others are answered');
    }
}


# A connection is closed when it has nothing to do, or, where what the client has
# to say of that gets to the new worker, by its timeout; what it has under way is
# answered before.

sub is_reloaded
{
    $pg->exec('truncate hype.referral_hit');
    $client->connect;
    is($client->get('/ref/abc?next=/1')->location, '/1', 'before a reload');
    $nginx->reload;
    isnt($client->do('closed', 30), undef, '... the connection is closed');
    is_soon { scalar(my @left = $nginx->leaving) } 0, '... the old worker has left',
            30;

    $client->connect;
    is($client->get('/ref/abc?next=/2')->location, '/2', 'after it');

    locked(sub {
        $client->send(map { ['GET', "/ref/abc?next=/under-way-$_"] } 1 .. 20);
        wait_until { status($nginx)->{queue}{waiting} == 20 } 10,
            'requests to wait';
        $nginx->reload;
        is(scalar(my @leaving = $nginx->leaving), 1,
           'a reload with requests under way: the old worker waits for them');
    });

    is(grep({ $_->status == 302 } $client->answers), 20, '... they are answered');
    is($pg->hits("next like '/under-way-%'"), 20, '... with a hit each');
    is_soon { scalar(my @left = $nginx->leaving) } 0,
            '... the old worker leaves', 30;

    $client->connect;
    is($client->get('/ref/abc')->status, 302, '... the new one answers');
}


sub is_visited_by_curl
{
    skip 'this curl has no HTTP/3', 2
        if (run(command => ['curl', '-V']))[1] !~ /\bHTTP3\b/;

    $pg->exec('truncate hype.referral_hit');
    my $r = curl('-k', '--http3-only', "https://localhost:$port/ref/abc",
                 '--resolve', "localhost:$port:127.0.0.1");
    like($r->status_line, qr{^HTTP/3 302}, 'curl');
    is(rows('visitor'), $r->cookie('hype_visitor') . "\n", '... its hit');
}


# While code runs, no hit gets into the table.

sub locked
{
    my ($code) = @_;

    my $dbh = $pg->connect;
    $dbh->begin_work;
    $dbh->do('lock table hype.referral_hit');
    $code->();
    $dbh->rollback;
}


sub rows
{
    my ($columns) = @_;

    return $pg->text("delete from hype.referral_hit returning $columns");
}
