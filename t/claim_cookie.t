# Claims: which cookie names the visitor, and how the cookie is cleared.

use lib 't/lib';
use Hype::Blocks;
use Hype::Claim;

run_tests();

__DATA__

=== TEST 1: it is cleared as it was set, and as the host's
--- http_config
hype_cookie visit domain=.example.com path=/shop max_age=30d samesite=none nohttponly;
--- config
hype_user $http_x_user;
--- request
GET /
--- more_headers
X-User: 42
Cookie: visit=019e7d9c-3f6a-4f4e-8d5b-0123456789ab
--- response_headers
Set-Cookie: visit=; Max-Age=0; Expires=Thu, 01 Jan 1970 00:00:00 GMT; Domain=.example.com; Path=/shop; SameSite=None; Secure, visit=; Max-Age=0; Expires=Thu, 01 Jan 1970 00:00:00 GMT; Path=/shop; SameSite=None; Secure
--- sql_out
019e7d9c-3f6a-4f4e-8d5b-0123456789ab|42
|42,42



=== TEST 2: a cookie that is no UUID is cleared, without a claim
--- config
hype_user $http_x_user;
--- request eval
[map { "GET /?$_" } 1 .. 7]
--- more_headers eval
[map { "X-User: 42\nCookie: hype_visitor=$_" }
 '', 'abc', '019e7d9c-3f6a-4f4e-8d5b-0123456789a', '{019e7d9c-3f6a-4f4e-8d5b-0123456789ab}',
 '019e7d9c3f6a4f4e8d5b0123456789ab', '019e7d9c-3f6a-4f4e-8d5b-0123456789ag',
 "'); drop table hype.referral_hit; --"]
--- response_headers_like eval
[("Set-Cookie: hype_visitor=; Max-Age=0; .*\nCache-Control: private") x 7]
--- sql_now
select count(*) from hype.visitor_claim
--- sql_later
select count(*) from hype.visitor_claim
--- sql_out
0



=== TEST 3: cookies of other names are none of ours
--- config
hype_user $http_x_user;
--- request eval
['GET /', 'GET /?2', 'GET /?3']
--- more_headers eval
["X-User: 42",
 map { "X-User: 42\nCookie: $_" }
 'xhype_visitor=019e7d9c-3f6a-4f4e-8d5b-0123456789ab; hype_visitorx=1; Hype_visitor=2',
 'a="hype_visitor=019e7d9c-3f6a-4f4e-8d5b-0123456789ab"']
--- response_headers eval
[("!Set-Cookie\n!Cache-Control") x 3]
--- sql_now
select count(*) from hype.visitor_claim
--- sql_later
select count(*) from hype.visitor_claim
--- sql_out
0



=== TEST 4: two Cookie lines, and a broken cookie beside a good one
--- config
hype_user $http_x_user;
--- request
GET /
--- more_headers
X-User: 42
Cookie: a=b; hype_visitor=broken
Cookie: c=d; hype_visitor=019e7d9c-3f6a-4f4e-8d5b-0123456789AB
--- response_headers_like
Set-Cookie: hype_visitor=; .*
--- sql_out
019e7d9c-3f6a-4f4e-8d5b-0123456789ab|42
|42,42



=== TEST 5: in a cached page's answer the cookie is never somebody else's
--- http_config
proxy_cache_path $TEST_NGINX_SERVER_ROOT/html/pages keys_zone=pages:1m;
--- config
location /page {
    proxy_cache pages;
    proxy_cache_valid 1m;
    hype_user $http_x_user;
    proxy_pass http://127.0.0.1:$TEST_NGINX_SERVER_PORT/app;
}
location = /app { add_header Cache-Control "public, max-age=60"; return 200 page; }
--- request eval
['GET /page', 'GET /page']
--- more_headers eval
["X-User: 42\nCookie: hype_visitor=019e7d9c-3f6a-4f4e-8d5b-0123456789ab", "X-User: 42"]
--- response_headers eval
["Cache-Control: private", "!Set-Cookie\nCache-Control: public, max-age=60"]
--- response_body eval
['page', 'page']
--- sql_out
019e7d9c-3f6a-4f4e-8d5b-0123456789ab|42
|42,42
