# hype_links: what a view shows: ids of any kind, the page and its files, URLs as
# the configuration has them, and what is new, soon.

use lib 't/lib';
use Hype::Test;
use Hype::Status;

my $pg = cluster(config => "log_statement = 'all'");
my $nginx = nginx(pg => $pg, workers => 2, database => 'timeout=2s',
                  http => 'ssi_types text/plain;', server => <<'SERVER');
    hype_user $http_x_user;

    location /ref/ { hype_ref; }
    location = /links { hype_links; }
    location = /page { hype_links html; }
    location /if/ { hype_links html create=off; if ($arg_x) { set $y 1; } }

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

sub data_of
{
    my ($answer) = @_;

    my ($data) = $answer->body
        =~ m{<script type="application/json" id="data">(.*?)</script>}s;
    return JSON::PP::decode_json($data);
}

sub queries { my $n = () = $pg->log =~ /LOG: .*hype\.owner_page/g; return $n }

my ($alice, $bob) = map { identifier(view('/links', $_)) } 'alice', 'bob';


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
SKIP: {
    skip 'this nginx refuses such a host', 1
        if $nginx->get('/none', Host => q(a"<b>))->status == 400;
    is(url('/links', Host => q(a"<b>)), "http://a%22%3Cb%3E:$port/ref/ID/",
       'whatever that is');
}
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
