# hype_links: users see their own links, and nobody else's; who has none gets
# one, once.

use lib 't/lib';
use Hype::Test;
use Hype::Status;
use Hype::Util qw(spawn);

my $pg = cluster(config => "log_statement = 'all'");
my $http2 = free_port();
my $listen = Hype::Nginx->listen_http2($http2);
my $nginx = nginx(pg => $pg, workers => 2, database => 'timeout=2s',
                  http => <<"HTTP", server => <<'SERVER');
    map \$uri \$empty { default ""; }
    ssi_types text/plain;

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
    location /if/ { hype_links html create=off; if ($arg_x) { set $y 1; } }

    location = /other { hype_links; hype_user $http_x_other; }
    location = /nobody { hype_links; hype_user $empty; }

    location = /to { hype_links to=/r/; }
    location = /variable { hype_links to=/$arg_to/; }
    location = /relative { hype_links; absolute_redirect off; }
    location = /name { hype_links; server_name_in_redirect on; }
    location = /port { hype_links; port_in_redirect off; }

    location = /moved {
        hype_user $upstream_http_x_hype_user;
        proxy_pass http://127.0.0.1:%%PORT%%/told$is_args$args;
    }
    location = /told {
        add_header X-Hype-User $arg_as;
        add_header X-Accel-Redirect /accelerated;
        return 200 "";
    }
    location = /accelerated { internal; hype_links;
                              hype_user $upstream_http_x_hype_user; }

    location = /missing/json { error_page 404 = /links; return 404; }
    location = /missing/html { error_page 404 = /page; return 404; }

    location = /ssi.txt { ssi on; alias %%DIR%%/html/ssi.txt; }

    location = /auth {
        auth_request /who;
        auth_request_set $who $upstream_http_x_who;
        hype_user $who;
        hype_links;
    }
    location = /who { internal; proxy_pass http://127.0.0.1:%%PORT%%/app; }
    location = /app { add_header X-Who $http_x_user; return 204; }
SERVER

my $host = 'http://localhost:' . $nginx->port;

write_file($nginx->dir . '/html/ssi.txt',
           'page: <!--# include virtual="/links" -->!');

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

@clients = map { $nginx->open } 1 .. 24;
for my $i (0 .. 23) {
    print { $clients[$i] } "GET /look HTTP/1.1\r\nHost: h\r\nX-User: user"
        . ($i % 12) . "\r\n\r\n";
}

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

wait_until {
    $pg->value(q(select count(*) from pg_stat_activity
                 where wait_event_type = 'Lock' and query ~ 'owner_page')) == 2
} 10, 'both workers to wait';
$nginx->reload;
$locker->rollback;

@answers = map { http_read($_) } @clients;
is((grep { $_->status != 200 } @answers), 0, 'many users at once');
is_deeply([map { json($_)->{user} } @answers],
          [map { 'user' . $_ % 12 } 0 .. 23], 'each has the own page');

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


# What an id may look like

for my $user (q(o'hara"\\), '<b>&amp;</script><!--', "j\xc3\xb6rg \xe2\x98\x83",
              '*', '%', q(' OR ''=''), '../alice', '$1', '{}', 'a' x 2048) {
    my $name = length $user > 99 ? 'a long id' : $user;
    my $answer = view('/links', $user);
    my $text = $user;
    utf8::decode($text);

    is($answer->status, 200, $name);
    is(json($answer)->{user}, $text, 'is itself');
    is(scalar @{ json($answer)->{links} }, 1, 'with a link');
    is(links_of($user), 1, 'of its own');

    my $page = view('/page', $user);
    is(data_of($page)->{user}, $text, 'and so on the page');
    is(() = $page->body =~ /<\/script>/g, 2, 'which it does not break');
}

for my $case (['Latin-1', "j\xf6rg"], ['half a character', "j\xc3"],
              ['a surrogate', "\xed\xa0\x80"], ['a tab', "a\tb"],
              ['an escape', "a\x1bb"], ['DEL', "a\x7fb"],
              ['more than 2048 bytes', 'a' x 2049]) {
    my ($name, $user) = @$case;

    is(view('/links', $user)->status, 403, "$name is nobody's id");
}

is($pg->value(q(select count(*) from hype.referral_link
                where user_id ~ '[^ -~]' and user_id !~ 'rg ')), 0,
   'and has no link');

sub data_of
{
    my ($answer) = @_;

    my ($data) = $answer->body
        =~ m{<script type="application/json" id="data">(.*?)</script>}s;
    return JSON::PP::decode_json($data);
}


# The page

my $page = view('/page', 'carol');
is($page->status, 200, 'the page');
is($page->header('Content-Type'), 'text/html; charset=utf-8', 'is HTML');
is($page->header('Cache-Control'), 'no-store', 'that nobody stores');
is($page->header('Content-Security-Policy'),
   q(default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; )
   . q(img-src 'self' data:; base-uri 'none'; form-action 'none'; )
   . q(frame-ancestors 'none'), 'and may load what is its own');
unlike($page->body, qr/<style|<script(?![^>]*(?:src=|json))|\son\w+=|style=/,
       'it has nothing in it that this forbids');
is(links_of('carol'), 1, 'it makes the link');
is_deeply(data_of($page), json(view('/page?json', 'carol')),
          'and has the data in it');

for my $case (['css', 'text/css', 'status.css', 'chart.css', 'grid.css',
               'owner/owner.css'],
              ['js', 'text/javascript', 'text.js', 'chart.js',
               'owner/owner.js']) {
    my ($part, $type, @files) = @$case;
    my $answer = view("/page?$part", 'carol');

    is($answer->header('Content-Type'), "$type; charset=utf-8", $part);
    is($answer->body, join('', map { read_file(source_dir() . "/html/$_") }
                                   @files), 'is made of its files');
}

is(view('/page?x=1', 'carol')->header('Content-Type'),
   'text/html; charset=utf-8', 'other arguments do not matter');
is(view('/links?css', 'carol')->header('Content-Type'), 'application/json',
   'JSON has no files');
is(view('/if/?x=1', 'dave')->status, 200, 'with an "if"');
is(links_of('dave'), 0, 'too');


# URLs

my $port = $nginx->port;

sub url
{
    my ($path, @headers) = @_;

    my $url = json(view($path, 'alice', @headers))->{links}[0]{url};
    return $url =~ s/\Q$alice\E/ID/r;
}

is(url('/links'), "$host/ref/ID/", 'a URL is absolute');
is(url('/links', Host => 'Shop.example:99'), "http://shop.example:$port/ref/ID/",
   'of the host that was asked');
is(url('/links', Host => q(a"<b>)), "http://a%22%3Cb%3E:$port/ref/ID/",
   'whatever that is');
is(url('/to'), "$host/r/ID/", 'to=');
is(url('/variable?to=en/r'), "$host/en/r/ID/", 'to= with a variable');
is(url('/variable?to=/evil.example'), "$host/ref/ID/", 'which leads nowhere else');
is(url('/relative'), '/ref/ID/', 'absolute_redirect off');
like(url('/name', Host => 'x.example'), qr{^http://(?!x\.)[^/]*/ref/ID/$},
     'server_name_in_redirect on');
is(url('/port'), 'http://localhost/ref/ID/', 'port_in_redirect off');


# Where the user is known by others

is(json($nginx->get('/moved?as=alice'))->{user}, 'alice',
   'an application sends a user here');
is($nginx->get('/moved?as=')->status, 403, 'or nobody');
is(json($nginx->get('/auth', 'X-User' => 'alice'))->{user}, 'alice',
   'auth_request knows');
is($nginx->get('/auth')->status, 403, 'or does not');

like($nginx->get('/ssi.txt', 'X-User' => 'alice')->body,
     qr/^page: \{"user": "alice".*$alice.*\}!$|^page: \{.*"user": "alice".*\}!$/s,
     'as a part of a page');

my $visit = $nginx->get("/ref/$bob/");
my ($cookie) = $visit->header('Set-Cookie') =~ /^([^;]+)/;
my $seen = view('/links', 'erin', Cookie => $cookie);
like($seen->header('Set-Cookie'), qr/^hype_visitor=; Max-Age=0/,
     'a visitor is claimed');
like($seen->header('Cache-Control'), qr/no-store/, 'and nobody stores that');


# What is read is kept for a moment, for this user alone

is_soon { json(view('/links', 'frank'))->{totals}{links} } 1, 'frank';
my $before = queries();
view('/links', 'frank') for 1 .. 30;
cmp_ok(queries() - $before, '<', 10, '30 views are few queries');

like(url('/links', Host => 'another.example'), qr{^http://another\.example},
     'but not those of another host');

$pg->link('franks', user_id => 'frank');
is_soon { json(view('/links', 'frank'))->{totals}{links} } 2,
    'soon there is what is new';

$nginx->quit;

done_testing();
