# Directives of http, server and location: inherited, overridden, taken back.

use lib 't/lib';
use Hype::Test;

my $pg = database();
$pg->link('abc');

my $nginx = nginx(pg => $pg, http => <<'HTTP', server => <<'SERVER');
absolute_redirect off;

hype_next_param goto;
hype_next_hosts http.example;
hype_fallback /http;
hype_forward_args on;
hype_cookie http max_age=1;
hype_user $arg_http_user;
hype_no_hit $arg_http_no_hit;
hype_no_cookie $arg_http_no_cookie;
hype_bot $arg_http_bot;
hype_ip masked;

server {
    listen 127.0.0.1:%%PORT%%;
    server_name inherits;

    location /ref/ {
        hype_ref;
    }
}

server {
    listen 127.0.0.1:%%PORT%%;
    server_name overrides;

    hype_next_param to;
    hype_next_hosts server.example;
    hype_fallback /server;
    hype_forward_args off;
    hype_cookie server max_age=2;
    hype_user $arg_server_user;
    hype_no_hit $arg_server_no_hit;
    hype_no_cookie $arg_server_no_cookie;
    hype_bot $arg_server_bot;
    hype_ip full;

    location /ref/ {
        hype_ref;
    }

    location /outer/ {
        hype_fallback /outer;
        hype_cookie outer max_age=4;

        location /outer/ref/ {
            hype_ref;
            hype_ip off;
        }
    }

    location /own/ {
        hype_ref;
        hype_next_param own;
        hype_next_hosts location.example;
        hype_fallback /location;
        hype_forward_args on;
        hype_cookie location max_age=3;
        hype_user $arg_location_user;
        hype_no_hit $arg_location_no_hit;
        hype_no_cookie $arg_location_no_cookie;
        hype_bot $arg_location_bot;
        hype_ip masked;
    }

    location /off/ {
        hype_ref;
        hype_next_hosts "";
        hype_user "";
        hype_no_hit "";
        hype_no_cookie "";
        hype_bot "";
        hype_ip off;
    }

    location /code/ {
        hype_ref;
        hype_fallback =404;

        location /code/uri/ {
            hype_ref;
            hype_fallback /uri;
        }
    }

    location /nested/ {
        hype_ref;

        location /nested/page/ {
            return 200 page;
        }

        location /nested/file/ {
        }
    }
}
HTTP
location /ref/ { hype_ref; }
SERVER

# The row that a request makes ("none" if it makes none), and where it leads

sub visit
{
    my ($host, $path) = @_;

    my $r = $nginx->get($path, Host => $host);
    my $row = $pg->text("delete from hype.referral_hit returning
        coalesce(user_id, case when visitor is null then 'nobody' else 'visitor' end),
        bot, host(ip)");
    chomp $row;

    my ($cookie) = $r->header('Set-Cookie');
    $cookie =~ s/=.*?; Max-Age=(\d+).*/ $1/ if defined $cookie;

    return join ' | ', $r->status, $r->location // '', $row || 'none',
                       $cookie // 'no cookie';
}

sub gives
{
    my ($host, $path, $expected) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;
    is(visit($host, $path), $expected, "$host: $path");
}

for my $case (
    [inherits => '/ref/', 'http', '/http', 'goto', '127.0.0.0', 'http 1', 1],
    [overrides => '/ref/', 'server', '/server', 'to', '127.0.0.1', 'server 2', 0],
    [overrides => '/own/', 'location', '/location', 'own', '127.0.0.0',
     'location 3', 1],
) {
    my ($host, $path, $level, $fallback, $next, $ip, $cookie, $forward) = @$case;

    $path .= 'abc';
    my $visitor = "visitor|f|$ip | $cookie";

    gives($host, $path, "302 | $fallback | $visitor");
    gives($host, "$path?a=b", "302 | $fallback" . ($forward ? '?a=b' : '')
                              . " | $visitor");
    gives($host, "$path?$next=/x", "302 | /x | $visitor");
    gives($host, "$path?$next=http://$level.example", "302 | http://$level.example"
                                                      . " | $visitor");

    for my $other (qw(http server location)) {
        next if $other eq $level;
        gives($host, "$path?$next=http://$other.example",
              "302 | $fallback | $visitor");
    }

    # what is said on one level counts alone

    $path .= "?$next=/x";

    for my $said (qw(http server location)) {
        my $here = $said eq $level;

        gives($host, "$path&${said}_user=42", '302 | /x | '
              . ($here ? "42|f|$ip | no cookie" : $visitor));
        gives($host, "$path&${said}_no_hit=1", '302 | /x | '
              . ($here ? 'none | no cookie' : $visitor));
        gives($host, "$path&${said}_no_cookie=1", '302 | /x | '
              . ($here ? "nobody|f|$ip | no cookie" : $visitor));
        gives($host, "$path&${said}_bot=1", '302 | /x | '
              . ($here ? "visitor|t|$ip | $cookie" : $visitor));
    }
}

# From the location around it

gives('overrides', '/outer/ref/abc', '302 | /outer | visitor|f| | outer 4');
gives('overrides', '/outer/ref/abc?server_user=42',
      '302 | /outer | 42|f| | no cookie');

# Taken back

gives('overrides', '/off/abc', '302 | /server | visitor|f| | server 2');
gives('overrides', '/off/abc?server_user=42&server_no_hit=1'
                   . '&server_no_cookie=1&server_bot=1',
      '302 | /server | visitor|f| | server 2');
gives('overrides', '/off/abc?to=http://server.example',
      '302 | /server | visitor|f| | server 2');

# A code or a URI, whichever is nearer

gives('overrides', '/code/x', '404 |  | none | no cookie');
gives('overrides', '/code/uri/x', '302 | /uri | none | no cookie');

# hype_ref itself is of one location

is($nginx->get('/nested/page/abc', Host => 'overrides')->body, 'page',
   'a location in a referral link\'s is none');
is($nginx->get('/nested/file/abc', Host => 'overrides')->status, 404,
   'also if there is nothing in it');
is($pg->hits, 0, 'nor does it make hits');

done_testing();
