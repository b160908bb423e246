# Locations that a referral link can be in.

use lib 't/lib';
use Hype::Blocks;

run_tests();

__DATA__

=== TEST 1: a regular expression
--- sql_before
select hype.create_link(identifier => 'abc')
--- config
location ~ ^/(?:ref|r)/([^/]+) { hype_ref $1; }
--- request eval
["GET /ref/abc", "GET /r/abc/x/y", "GET /R/abc"]
--- error_code eval
[302, 302, 404]
--- sql_now
select count(*) from hype.referral_hit
--- sql_out
2



=== TEST 2: one that does not mind the case, of the location alone
--- sql_before
select hype.create_link(identifier => 'abc')
--- config
location ~* ^/ref/(?<id>.+) { hype_ref $id; }
--- request eval
["GET /REF/abc", "GET /ref/ABC"]
--- error_code eval
[302, 302]
--- sql_now
select count(*) from hype.referral_hit
--- sql_out
1



=== TEST 3: an exact URI
--- sql_before
select hype.create_link(identifier => 'abc')
--- config
location = /go { hype_ref $arg_code; }
--- request eval
["GET /go?code=abc", "GET /go", "GET /go/?code=abc", "GET /go/abc"]
--- error_code eval
[302, 302, 404, 404]
--- sql_now
select count(*) from hype.referral_hit
--- sql_out
1



=== TEST 4: one link for a URI
--- sql_before
select hype.create_link(identifier => 'poster', destination => '/spring')
--- config
location = /poster { hype_ref poster; }
--- request
GET /poster
--- error_code: 302
--- response_headers
Location: http://localhost:$ServerPort/spring
--- sql_now
select count(*) from hype.referral_hit
--- sql_out
1



=== TEST 5: a named location
--- sql_before
select hype.create_link(identifier => 'abc')
--- config
location /x/ { try_files $uri @link; }
location @link { hype_ref $arg_code; }
--- request
GET /x/y?code=abc&next=/z
--- error_code: 302
--- response_headers
Location: http://localhost:$ServerPort/z
--- sql_now
select next from hype.referral_hit
--- sql_out
/z



=== TEST 6: the root
--- sql_before
select hype.create_link(identifier => 'abc')
--- http_config
server {
    listen $TEST_NGINX_PORT;
    server_name short;
    location / { hype_ref; location = /about { return 200 about; } }
}
--- config
--- request eval
["GET /abc", "GET /abc/", "GET /", "GET /about"]
--- more_headers
Host: short
--- error_code eval
[302, 302, 404, 200]
--- sql_now
select count(*) from hype.referral_hit
--- sql_out
2



=== TEST 7: an "if" in the location
--- sql_before
select hype.create_link(identifier => 'abc', destination => '/welcome')
--- config
location /ref/ {
    hype_ref;
    set $bot 0;
    hype_bot $bot;

    if ($http_user_agent ~ Bot) { set $bot 1; }
    if ($arg_closed) { return 410; }
}
--- request eval
["GET /ref/abc", "GET /ref/abc", "GET /ref/abc?closed=1"]
--- more_headers eval
["User-Agent: Mozilla", "User-Agent: Bot", "User-Agent: Bot"]
--- error_code eval
[302, 302, 410]
--- sql_now
select bot, user_agent from hype.referral_hit order by created, bot
--- sql_out
f|Mozilla
t|Bot



=== TEST 8: an "if" in a location with a regular expression
--- sql_before
select hype.create_link(identifier => 'abc', destination => '/welcome')
--- config
location ~ ^/ref/(?<id>[^/]*) {
    hype_ref $id;

    if ($arg_x) { add_header X yes; }
}
--- request
GET /ref/abc?x=1
--- error_code: 302
--- response_headers
X: yes
Location: http://localhost:$ServerPort/welcome
--- sql_now
select count(*) from hype.referral_hit
--- sql_out
1



=== TEST 9: limit_except
--- sql_before
select hype.create_link(identifier => 'abc')
--- config
location /ref/ { hype_ref; limit_except GET { deny all; } }
--- request eval
["GET /ref/abc", "HEAD /ref/abc", "POST /ref/abc"]
--- error_code eval
[302, 302, 403]
--- sql_now
select count(*) from hype.referral_hit
--- sql_out
1



=== TEST 10: other servers have other links' locations, and the same links
--- sql_before
select hype.create_link(identifier => 'abc')
--- http_config
server { listen $TEST_NGINX_PORT; server_name other; location /r/ { hype_ref; } }
--- config
location /ref/ { hype_ref; }
--- request eval
["GET /ref/abc", "GET /r/abc", "GET /r/abc", "GET /ref/abc"]
--- more_headers eval
["Host: localhost", "Host: other", "Host: localhost", "Host: other"]
--- error_code eval
[302, 302, 404, 404]
--- sql_now
select count(*) from hype.referral_hit
--- sql_out
2
