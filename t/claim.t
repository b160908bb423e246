# A visitor logs in: the cookie's visitor is claimed, and the cookie cleared on
# that very answer.

use lib 't/lib';
use Hype::Blocks;
use Hype::Claim;

run_tests();

__DATA__

=== TEST 1: while the user is not known, nothing happens
--- config
location /login {
    proxy_pass http://127.0.0.1:$TEST_NGINX_SERVER_PORT/app;
    hype_user $upstream_http_x_hype_user;
}
location = /app { add_header X-Hype-User ""; return 200; }
location /none { return 200; }
location /index.html { hype_user $remote_user; }
--- request eval
['GET /login', 'GET /none', 'GET /index.html']
--- response_headers eval
[("!Set-Cookie\n!Cache-Control") x 3]
--- sql_out
|



=== TEST 2: the first user wins; to claim again is harmless
--- config
hype_user $http_x_user;
--- request eval
['GET /?1', 'GET /?2', 'GET /?3', 'GET /?4']
--- more_headers eval
[map { "X-User: $_\nCookie: hype_visitor=019e7d9c-3f6a-4f4e-8d5b-0123456789ab" }
 42, 42, 43, 42]
--- response_headers_like eval
[('Set-Cookie: hype_visitor=; .*') x 4]
--- sql_out
019e7d9c-3f6a-4f4e-8d5b-0123456789ab|42
|42,42



=== TEST 3: any method, any answer
--- config
hype_user $http_x_user;
location /204 { return 204; }
location /403 { deny all; }
location /502 { proxy_pass http://127.0.0.1:1; }
location /page { error_page 404 /index.html; }
location /moved { return 301 /; }
location /ref/ { hype_ref; }
--- request eval
['POST /204', 'PUT /204', 'DELETE /204', 'HEAD /index.html', 'OPTIONS /204',
 'GET /403', 'GET /502', 'GET /page', 'GET /moved', 'POST /index.html',
 'GET /ref/nobody', 'HEAD /ref/abc123', 'POST /ref/abc123', 'GET /nowhere']
--- more_headers eval
[map { "X-User: $_\nCookie: hype_visitor=00000000-0000-4000-8000-0000000000" . $_ }
 10 .. 23]
--- error_code eval
[204, 204, 204, 200, 204, 403, 502, 404, 301, 405, 302, 302, 405, 404]
--- response_headers_like eval
[('Set-Cookie: hype_visitor=; .*') x 14]
--- sql_later
select count(*) from hype.visitor_claim where visitor::text like '%' || user_id
--- sql_out
14



=== TEST 4: a malformed request does no harm
--- config
hype_user $http_x_user;
--- raw_request eval
"GET / HTTP/1.1\r\nX-User: 42\r\nCookie: hype_visitor=019e7d9c-3f6a-4f4e-8d5b-0123456789ab\r\nHost: a/b\r\n\r\n"
--- error_code: 400
--- sql_later
select 1
--- sql_out
1



=== TEST 5: subrequests don't
--- config
location = /page.html {
    root html;
    ssi on;
}
location = /part {
    hype_user 42;
    default_type text/html;
    return 200 part;
}
location = /check {
    hype_user 43;
    return 204;
}
location = /checked {
    auth_request /check;
    try_files /index.html =404;
}
--- user_files
>>> page.html
<!--# include virtual="/part" -->
--- request eval
['GET /page.html', 'GET /checked']
--- error_code eval
[200, 200]
--- response_headers eval
['!Set-Cookie', '!Set-Cookie']
--- sql_out
|



=== TEST 6: the location's hype_user is that of the answer
--- config
hype_user $http_x_none;
location /a { try_files /nowhere /b; }
location = /b { hype_user $http_x_user; try_files /index.html =404; }
--- request
GET /a
--- more_headers
X-User: 42
Cookie: hype_visitor=019e7d9c-3f6a-4f4e-8d5b-0123456789ab
--- response_headers_like
Set-Cookie: hype_visitor=; .*
--- sql_out
019e7d9c-3f6a-4f4e-8d5b-0123456789ab|42
|42,42



=== TEST 7: users that are no plain words
--- config
hype_user $http_x_user;
--- request eval
[map { "GET /?$_" } 1 .. 5]
--- more_headers eval
[map { "X-User: $_->[0]\nCookie: hype_visitor=00000000-0000-4000-8000-00000000000$_->[1]" }
 ["O'Brien", 1], ['a"b\\c{d},e', 2], ["caf\xc3\xa9", 3], ["bad\xff", 4], ['NULL', 5]]
--- response_headers_like eval
[('Set-Cookie: hype_visitor=; .*') x 5]
--- sql_later
select encode(convert_to(user_id, 'UTF8'), 'escape')
from hype.visitor_claim
order by visitor
--- sql_out
O'Brien
a"b\\c{d},e
caf\303\251
bad\357\277\275
NULL



=== TEST 8: without a spool, too
--- http_config
hype_spool off;
--- config
hype_user $http_x_user;
--- request
GET /
--- more_headers
X-User: 42
Cookie: hype_visitor=019e7d9c-3f6a-4f4e-8d5b-0123456789ab
--- response_headers_like
Set-Cookie: hype_visitor=; .*
--- sql_out
019e7d9c-3f6a-4f4e-8d5b-0123456789ab|42
|42,42



=== TEST 9: users that are too long for PostgreSQL hold up nobody
--- http_config
large_client_header_buffers 4 1m;
--- config
hype_user $http_x_user;
location = /paid { hype_confirm sale value=$http_x_value; return 204; }
--- request eval
['GET /', 'GET /paid', 'GET /?3']
--- more_headers eval
my $long = CORE::join '', map { chr 33 + rand 90 } 1 .. 6000;
["X-User: $long\nCookie: hype_visitor=00000000-0000-4000-8000-000000000001",
 "X-User: " . "\xff" x 600000
 . "\nX-Value: " . "\xff" x 600000
 . "\nCookie: hype_visitor=00000000-0000-4000-8000-000000000002",
 "X-User: 42\nCookie: hype_visitor=019e7d9c-3f6a-4f4e-8d5b-0123456789ab"]
--- error_code eval
[200, 204, 200]
--- sql_later
select visitor, length(user_id) from hype.visitor_claim order by visitor
--- sql_out
00000000-0000-4000-8000-000000000002|65536
019e7d9c-3f6a-4f4e-8d5b-0123456789ab|2



=== TEST 10: the user of the hit, also in a location that knows of none
--- config
location /a {
    hype_ref_param ref mode=inline;
    hype_user $http_x_user;
    try_files /nowhere /b;
}
location = /b { try_files /index.html =404; }
--- request
GET /a?ref=abc123
--- more_headers
X-User: 42
Cookie: hype_visitor=019e7d9c-3f6a-4f4e-8d5b-0123456789ab
--- error_code: 200
--- response_headers_like
Set-Cookie: hype_visitor=; .*
--- sql_out
019e7d9c-3f6a-4f4e-8d5b-0123456789ab|42
|42,42,42
