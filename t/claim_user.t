# Claims: what may say who the user is: nginx, or an application.

use lib 't/lib';
use Hype::Blocks;
use Hype::Claim;

run_tests();

__DATA__

=== TEST 1: the user of HTTP authentication
--- config
location /account {
    auth_basic hype;
    auth_basic_user_file $TEST_NGINX_SERVER_ROOT/html/users;
    hype_user $remote_user;
    try_files /index.html =404;
}
--- user_files
>>> users
joe:{PLAIN}secret
>>> index.html
account
--- request
GET /account
--- more_headers
Cookie: a=b; hype_visitor=019e7d9c-3f6a-4f4e-8d5b-0123456789ab; c=d
Authorization: Basic am9lOnNlY3JldA==
--- error_code: 200
--- response_headers
Set-Cookie: hype_visitor=; Max-Age=0; Expires=Thu, 01 Jan 1970 00:00:00 GMT; Path=/; SameSite=Lax; HttpOnly
Cache-Control: private
--- sql_out
019e7d9c-3f6a-4f4e-8d5b-0123456789ab|joe
|joe,joe



=== TEST 2: a map of what the request has
--- http_config
map $http_authorization $bearer {
    "~^Bearer user-(\d+)$" $1;
}
--- config
hype_user $bearer;
--- request
GET /
--- more_headers
Cookie: hype_visitor=019e7d9c-3f6a-4f4e-8d5b-0123456789ab
Authorization: Bearer user-42
--- response_headers_like
Set-Cookie: hype_visitor=; .*
--- sql_out
019e7d9c-3f6a-4f4e-8d5b-0123456789ab|42
|42,42



=== TEST 3: auth_request_set
--- config
location /account {
    auth_request /check;
    auth_request_set $user $upstream_http_x_user;
    hype_user $user;
    try_files /index.html =404;
}
location = /check {
    internal;
    proxy_pass http://127.0.0.1:$TEST_NGINX_SERVER_PORT/session;
}
location = /session { add_header X-User 42; return 204; }
--- request
GET /account
--- response_headers_like
Set-Cookie: hype_visitor=; .*
--- sql_out
019e7d9c-3f6a-4f4e-8d5b-0123456789ab|42
|42,42



=== TEST 4: what the application answers, hidden from the client
--- config
location /login {
    proxy_pass http://127.0.0.1:$TEST_NGINX_SERVER_PORT/app;
    proxy_hide_header X-Hype-User;
    hype_user $upstream_http_x_hype_user;
}
location = /app {
    add_header X-Hype-User 42;
    add_header Cache-Control no-store;
    add_header Set-Cookie "session=1; Path=/";
    return 303 /home;
}
--- request
POST /login
user=joe
--- error_code: 303
--- response_headers
!X-Hype-User
Cache-Control: private, no-store
--- raw_response_headers_like chomp
Set-Cookie: session=1; Path=/\r\n(?:.*\r\n)*Set-Cookie: hype_visitor=;
--- sql_out
019e7d9c-3f6a-4f4e-8d5b-0123456789ab|42
|42,42



=== TEST 5: a map of what the application answers
--- http_config
map $upstream_http_x_hype_user $known {
    ~^user:(\d+)$ $1;
}
--- config
location /login {
    proxy_pass http://127.0.0.1:$TEST_NGINX_SERVER_PORT/app;
    hype_user $known;
}
location = /app { add_header X-Hype-User user:42; return 204; }
--- request
GET /login
--- error_code: 204
--- response_headers_like
Set-Cookie: hype_visitor=; .*
--- sql_out
019e7d9c-3f6a-4f4e-8d5b-0123456789ab|42
|42,42



=== TEST 6: inline, on the very request that makes the hit; a map, and used before
--- http_config
map $upstream_http_x_hype_user $known {
    ~^user:(\d+)$ $1;
}
--- config
hype_ref_param ref mode=inline;
location /signup {
    proxy_set_header X-Before "<$hype_user>";
    proxy_pass http://127.0.0.1:$TEST_NGINX_SERVER_PORT/app;
    hype_user $known;
}
location = /app {
    hype_ref_param off;
    add_header X-Hype-User user:42;
    default_type text/plain;
    return 200 "before: $http_x_before";
}
--- request
GET /signup?ref=abc123
--- more_headers
Accept: */*
--- error_code: 200
--- response_body chomp
before: <>
--- response_headers
!Set-Cookie
--- sql_later
select count(*), count(visitor), max(user_id),
       (select max(user_id) from hype.visitor_claim c
        where c.visitor = h.visitor)
from hype.referral_hit h
where next is not null
group by visitor
--- sql_out
1|1|42|42



=== TEST 7: inline, with a cookie: the same visitor, claimed and cleared
--- config
hype_ref_param ref mode=inline;
location /signup {
    proxy_pass http://127.0.0.1:$TEST_NGINX_SERVER_PORT/app;
    hype_user $upstream_http_x_hype_user;
}
location = /app { hype_ref_param off; add_header X-Hype-User 42 always; return 404; }
--- request
GET /signup?ref=abc123
--- error_code: 404
--- response_headers
Set-Cookie: hype_visitor=; Max-Age=0; Expires=Thu, 01 Jan 1970 00:00:00 GMT; Path=/; SameSite=Lax; HttpOnly
Cache-Control: private
--- sql_out
019e7d9c-3f6a-4f4e-8d5b-0123456789ab|42
|42,42,42



=== TEST 8: an answer from the cache names no user: the application meant another
--- http_config
proxy_cache_path $TEST_NGINX_SERVER_ROOT/html/pages keys_zone=pages:1m;
map $upstream_http_x_hype_user $known {
    ~^user:(\d+)$ $1;
}
--- config
location /page {
    proxy_cache pages;
    proxy_cache_valid 1m;
    hype_user $known;
    add_header X-Cache $upstream_cache_status;
    add_header X-User "<$hype_user>";
    proxy_pass http://127.0.0.1:$TEST_NGINX_SERVER_PORT/app;
}
location = /app { add_header X-Hype-User user:42; return 200 page; }
--- request eval
['GET /page', 'GET /page']
--- more_headers eval
["Cookie: hype_visitor=019e7d9c-3f6a-4f4e-8d5b-0123456789ab",
 "Cookie: hype_visitor=00000000-0000-4000-8000-000000000001"]
--- response_headers eval
["X-Cache: MISS\nX-User: <42>\nCache-Control: private",
 "X-Cache: HIT\nX-User: <>\n!Set-Cookie\n!Cache-Control"]
--- sql_out
019e7d9c-3f6a-4f4e-8d5b-0123456789ab|42
|42,42



=== TEST 9: an application that hands over to another one
--- config
hype_user $upstream_http_x_hype_user;
location /app { proxy_pass http://127.0.0.1:$TEST_NGINX_SERVER_PORT/first; }
location /files {
    internal;
    hype_ref_param ref mode=inline;
    proxy_pass http://127.0.0.1:$TEST_NGINX_SERVER_PORT/second;
}
location = /first {
    add_header X-Hype-User $arg_user;
    add_header X-Accel-Redirect /files;
    return 204;
}
location = /second { return 200 second; }
--- request eval
['GET /app?user=42', 'GET /app?user=42&ref=abc123', 'GET /app']
--- more_headers eval
["Cookie: hype_visitor=019e7d9c-3f6a-4f4e-8d5b-0123456789ab",
 "Cookie: hype_visitor=00000000-0000-4000-8000-000000000001",
 "Cookie: hype_visitor=00000000-0000-4000-8000-000000000002"]
--- response_body eval
['second', 'second', 'second']
--- response_headers_like eval
['Set-Cookie: hype_visitor=; .*', 'Set-Cookie: hype_visitor=; .*', '']
--- sql_later
select visitor, user_id from hype.visitor_claim
union all
select null, user_id from hype.referral_hit where next is not null
--- sql_out
019e7d9c-3f6a-4f4e-8d5b-0123456789ab|42
00000000-0000-4000-8000-000000000001|42
|42
