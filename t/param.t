# ?ref= on any URL: what a visitor gets in each mode.

use lib 't/lib';
use Hype::Blocks;
use Hype::Param;

run_tests();

__DATA__

=== TEST 1: redirect: to the link's own URL, which makes the hit
--- config
hype_ref_param ref;
location /ref/ { hype_ref; }
--- request
GET /accounts/signup/?ref=abc123&plan=pro
--- error_code: 302
--- response_headers
Location: /ref/abc123?next=%2Faccounts%2Fsignup%2F%3Fplan%3Dpro
Cache-Control: no-store
!Set-Cookie
--- sql_now
select count(*) from hype.referral_hit
--- sql_out
0



=== TEST 2: redirect: the second request makes the hit
--- config
hype_ref_param ref;
location /ref/ { hype_ref; }
--- request
GET /ref/abc123?next=%2Faccounts%2Fsignup%2F%3Fplan%3Dpro
--- error_code: 302
--- response_headers
Location: /accounts/signup/?plan=pro
--- response_headers_like
Set-Cookie: hype_visitor=[-0-9a-f]{36}; Max-Age=31536000; Path=/; SameSite=Lax; HttpOnly
--- sql_now
select next, visitor is not null, authenticated from hype.referral_hit
--- sql_out
/accounts/signup/?plan=pro|t|f



=== TEST 3: direct: hit and cookie at once
--- config
hype_ref_param ref mode=direct;
--- request
GET /accounts/signup/?ref=abc123&plan=pro
--- more_headers
User-Agent: Mozilla/5.0 (X11)
Referer: https://blog.example/post
--- error_code: 302
--- response_headers
Location: /accounts/signup/?plan=pro
Cache-Control: no-store
--- response_headers_like
Set-Cookie: hype_visitor=[-0-9a-f]{36}; Max-Age=31536000; Path=/; SameSite=Lax; HttpOnly
--- sql_now
select l.identifier, h.next, h.visitor is not null, h.user_agent,
       h.http_referer, h.ip
from hype.referral_hit h
join hype.referral_link l on l.id = h.referral_link_id
--- sql_out
abc123|/accounts/signup/?plan=pro|t|Mozilla/5.0 (X11)|https://blog.example/post|127.0.0.1



=== TEST 4: inline: hit and cookie at once, and the page
--- config
hype_ref_param ref mode=inline;
location /accounts/ {
    proxy_pass http://127.0.0.1:$TEST_NGINX_SERVER_PORT/app/;
}
location /app/ {
    hype_ref_param off;
    default_type text/plain;
    return 200 "$request_uri\n";
}
--- request
GET /accounts/signup/?ref=abc123&plan=pro
--- error_code: 200
--- response_headers
!Location
Cache-Control: private
--- response_headers_like
Set-Cookie: hype_visitor=[-0-9a-f]{36}; Max-Age=31536000; Path=/; SameSite=Lax; HttpOnly
--- response_body
/app/signup/?plan=pro
--- sql_now
select l.identifier, h.next, h.visitor is not null
from hype.referral_hit h
join hype.referral_link l on l.id = h.referral_link_id
--- sql_out
abc123|/accounts/signup/?plan=pro|t



=== TEST 5: HEAD is redirected and records nothing
--- config
hype_ref_param ref;
location /ref/ { hype_ref; }
location /direct { hype_ref_param ref mode=direct; }
--- request eval
['HEAD /a?ref=abc123', 'HEAD /ref/abc123?next=%2Fa', 'HEAD /direct?ref=abc123&a']
--- error_code eval
[302, 302, 302]
--- response_headers eval
['Location: /ref/abc123?next=%2Fa', "Location: /a\n!Set-Cookie",
 "Location: /direct?a\n!Set-Cookie\nCache-Control: no-store"]
--- sql_now
select count(*) from hype.referral_hit
--- sql_out
0



=== TEST 6: HEAD, inline: the page, nothing recorded
--- config
location /a {
    hype_ref_param ref mode=inline;
    add_header X-Seen $request_uri;
    try_files /index.html =404;
}
--- request
HEAD /a?ref=abc123&b
--- error_code: 200
--- response_headers
X-Seen: /a?b
!Set-Cookie
!Cache-Control
--- sql_now
select count(*) from hype.referral_hit
--- sql_out
0



=== TEST 7: other methods are left alone
--- config
location = /r {
    hype_ref_param ref;
    proxy_pass http://127.0.0.1:$TEST_NGINX_SERVER_PORT/app;
}
location = /d {
    hype_ref_param ref mode=direct;
    proxy_pass http://127.0.0.1:$TEST_NGINX_SERVER_PORT/app;
}
location = /i {
    hype_ref_param ref mode=inline;
    proxy_pass http://127.0.0.1:$TEST_NGINX_SERVER_PORT/app;
}
location /app { default_type text/plain; return 200 "$request_method $args"; }
--- request eval
['POST /r?ref=abc123
a=1', 'POST /d?ref=abc123
a=1', 'POST /i?ref=abc123
a=1', 'PUT /i?ref=abc123
a=1', 'DELETE /i?ref=abc123', 'OPTIONS /d?ref=abc123', 'PATCH /d?ref=abc123
a=1']
--- error_code eval
[(200) x 7]
--- response_body eval
[('POST ref=abc123') x 3, 'PUT ref=abc123', 'DELETE ref=abc123',
 'OPTIONS ref=abc123', 'PATCH ref=abc123']
--- response_headers eval
[('!Set-Cookie') x 7]
--- sql_now
select count(*) from hype.referral_hit
--- sql_out
0



=== TEST 8: variables reach the application on the very request
--- config
hype_ref_param ref mode=inline;
location /a {
    proxy_set_header X-Hype-Identifier $hype_identifier;
    proxy_set_header X-Hype-Referrer $hype_referrer;
    proxy_set_header X-Hype-Outcome $hype_outcome;
    proxy_set_header X-Hype-Hit $hype_hit;
    proxy_set_header X-Hype-Visitor $hype_visitor;
    proxy_set_header X-Hype-User $hype_user;
    proxy_pass http://127.0.0.1:$TEST_NGINX_SERVER_PORT/app;
}
location /app {
    default_type text/plain;
    return 200 "$http_x_hype_identifier|$http_x_hype_referrer|$http_x_hype_outcome|$http_x_hype_user|$http_x_hype_hit|$http_x_hype_visitor|";
}
--- request eval
['GET /a', 'GET /a?ref=nobody', 'GET /a?ref=abc123']
--- response_body_like eval
['^\|\|\|\|\|\|$', '^nobody\|\|unknown\|\|\|\|$',
 '^abc123\|alice\|hit\|\|[-0-9a-f]{36}\|[-0-9a-f]{36}\|$']
