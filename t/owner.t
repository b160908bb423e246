# hype_links: users see their own links, and nobody else's; who has none gets
# one, once.

use lib 't/lib';
use Hype::Test;
use Hype::Status;
use Hype::Util qw(spawn);

my $pg = cluster(config => "log_statement = 'all'");
my $http2 = free_port();
my $listen = Hype::Nginx->listen_http2($http2);
my $nginx = nginx(pg => $pg, workers => 2, database => 'timeout=20s',
                  http => <<"HTTP", server => <<'SERVER');
    map \$uri \$empty { default ""; }

    server {
        $listen
        location / { hype_links; hype_user \$uri; }
    }
HTTP
    hype_user $http_x_user;

    location /ref/ { hype_ref; }
    location = /links { hype_links; hype_ref_param ref mode=inline; }
    location = /json { hype_links json create=on; }
    location = /look { hype_links create=off; }
    location = /page { hype_links html; }

    location = /other { hype_links; hype_user $http_x_other; }
    location = /nobody { hype_links; hype_user $empty; }

    location = /missing/json { error_page 404 = /links; return 404; }
    location = /missing/html { error_page 404 = /page; return 404; }
SERVER

my $host = 'http://localhost:' . $nginx->port;

sub view
{
    my ($path, $user, @headers) = @_;

    return $nginx->get($path, defined $user ? ('X-User' => $user) : (),
                       @headers);
}

sub links_of
{
    my ($user) = @_;

    return $pg->value('select count(*) from hype.referral_link
                       where user_id = $1', $user);
}

sub identifier { return json($_[0])->{links}[0]{identifier} }
sub queries { my $n = () = $pg->log =~ /LOG: .*hype\.owner_page/g; return $n }


# Who is nobody sees nothing

for my $path ('/links', '/page', '/page?json', '/page?css', '/page?js', '/nobody') {
    my $answer = view($path);

    is($answer->status, 403, "$path without a user");
    is($answer->header('Cache-Control'), 'no-store', 'is not stored');
}

is(view('/other', 'alice')->status, 403, 'a location has its own user');
is(queries(), 0, 'and nothing is asked for them');


# Methods

for my $path ('/links', '/page', '/page?js') {
    for my $method (qw(POST PUT DELETE OPTIONS)) {
        my $answer = $nginx->request($method, $path, 'X-User' => 'alice');

        is($answer->status, 405, "$method $path");
        is($answer->header('Allow'), 'GET, HEAD', 'says what is allowed');
    }

    my $head = $nginx->request('HEAD', $path, 'X-User' => 'alice');
    is($head->status, 200, "HEAD $path");
    is($head->body, '', 'has no body');
    cmp_ok($head->header('Content-Length'), '>', 0, 'but its length');
}

for my $path ('/missing/json', '/missing/html') {
    my $answer = $nginx->request('POST', $path, 'X-User' => 'alice');
    is($answer->status, 405, "the error page of a POST, $path");
    is($answer->header('Allow'), 'GET, HEAD', 'is none either');
}

is(links_of('alice'), 0, 'and makes no link');


# The first view

my $look = view('/look', 'alice');
is($look->status, 200, 'create=off');
is_deeply(json($look)->{links}, [], 'shows that there is no link');
is(links_of('alice'), 0, 'and makes none');

my $first = view('/links', 'alice');
is($first->status, 200, 'the first view');
is($first->header('Content-Type'), 'application/json', 'is JSON');
is($first->header('Cache-Control'), 'no-store', 'that nobody stores');
is($first->header('X-Content-Type-Options'), 'nosniff', 'nor takes for a page');
is(links_of('alice'), 1, 'makes a link');

my $alice = identifier($first);
my $data = json($first);

is_deeply([sort keys %$data], [qw(days links rewards totals user)], 'it has');
is($data->{user}, 'alice', 'the user');
is($data->{links}[0]{url}, "$host/ref/$alice/", 'the URL of the link');
is($nginx->get("/ref/$alice/")->status, 302, 'which works at once');
is(scalar @{ $data->{days} }, 30, '30 days');
is_deeply($data->{rewards}, [], 'no rewards');

is_soon { json(view('/json', 'alice'))->{totals}{hits} } 1, 'its hit counts';
is(identifier(view('/json', 'alice')), $alice, 'and it stays the same');
is(links_of('alice'), 1, 'the only one');


# 20 at the same time

my @clients = map { $nginx->open } 1 .. 20;
print {$_} "GET /links HTTP/1.1\r\nHost: localhost\r\nX-User: bob\r\n\r\n"
    for @clients;
my @answers = map { http_read($_) } @clients;

is((grep { $_->status != 200 } @answers), 0, '20 first views at once');
is(links_of('bob'), 1, 'make one link');

my $bob = $pg->value(q(select identifier from hype.referral_link
                       where user_id = 'bob'));
is((grep { identifier($_) ne $bob } @answers), 0, 'which all of them show');


# Others' data: on one connection, and of those who wait at the same time, while
# nginx is reloaded, too

my $connection = $nginx->open;

for (1 .. 5) {
    for my $case (['alice', $alice], ['bob', $bob]) {
        my ($user, $identifier) = @$case;

        print {$connection} "GET /links HTTP/1.1\r\nHost: localhost\r\n"
            . "X-User: $user\r\n\r\n";
        my $page = json(http_read($connection));
        is("$page->{user} $page->{links}[0]{identifier}", "$user $identifier",
           "$user on a connection") if $_ == 5;
    }

    print {$connection} "GET /links HTTP/1.1\r\nHost: localhost\r\n\r\n";
    my $nobody = http_read($connection);
    is($nobody->status, 403, 'nobody on it') if $_ == 5;
}

my $locker = $pg->connect;
$locker->begin_work;
$locker->do('lock table hype.link_total in access exclusive mode');

@clients = ();

my $ask = sub {
    my $user = 'user' . @clients % 12;

    push @clients, $nginx->open;
    print { $clients[-1] } "GET /look HTTP/1.1\r\nHost: h\r\nX-User: $user\r\n\r\n";
};

$ask->() for 1 .. 24;

wait_until { status_waiting() >= 20 } 10, 'them to wait';
is($nginx->get("/ref/$bob/")->status, 302, 'a visit does not wait for them');

my $body = temp_dir('http2') . '/#1';
my $h2 = spawn(command => ['curl', '-sS', '--http2-prior-knowledge', '-Z',
                           '--parallel-immediate', '-o', $body,
                           "http://127.0.0.1:$http2/user[1-12]"],
               output => temp_dir() . '/curl');
my $gone = $nginx->open;
print {$gone} "GET /look HTTP/1.1\r\nHost: h\r\nX-User: gone\r\n\r\n";
close $gone;

# a worker that has nothing else to do may have taken all of them

wait_until {
    $ask->() if @clients < 200;
    $pg->value(q(select count(*) from pg_stat_activity
                 where wait_event_type = 'Lock' and query ~ 'owner_page')) == 2
} 10, 'both workers to wait';
$nginx->reload;
$locker->rollback;

@answers = map { http_read($_) } @clients;
is((grep { $_->status != 200 } @answers), 0, 'many users at once');
is_deeply([map { json($_)->{user} } @answers],
          [map { 'user' . $_ % 12 } 0 .. $#clients], 'each has the own page');

my $pipeline = $nginx->open;
print {$pipeline} map { "GET /look HTTP/1.1\r\nHost: h\r\nX-User: $_\r\n\r\n" }
                  qw(user1 user2 user1);
is_deeply([map { json(http_read($pipeline))->{user} } 1 .. 3],
          [qw(user1 user2 user1)], 'and in a pipeline');

waitpid $h2, 0;
is($?, 0, 'over HTTP/2');
is_deeply([map { JSON::PP::decode_json(read_file($body =~ s/#1/$_/r))->{user} }
           1 .. 12], [map { "/user$_" } 1 .. 12], 'too');

sub status_waiting
{
    return $pg->value(q(select 20 * (count(*) > 0)::int from pg_stat_activity
        where wait_event_type = 'Lock' and query ~ 'owner_page'));
}


$nginx->quit;

done_testing();
