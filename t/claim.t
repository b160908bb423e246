# A visitor logs in: the cookie's visitor is claimed, and the cookie cleared on
# that very answer.

use lib 't/lib';
use Hype::Blocks;

my $visitor = '019e7d9c-3f6a-4f4e-8d5b-0123456789ab';

no_long_string();

add_block_preprocessor(sub {
    my ($block) = @_;

    # a visitor who has followed two links

    $block->set_value(sql_before => <<"END") if !defined $block->sql_before;
insert into hype.referral_link (identifier, user_id)
values ('abc123', 'alice'), ('other', 'bob');
insert into hype.referral_hit (referral_link_id, visitor)
select id, '$visitor' from hype.referral_link
END

    $block->set_value(more_headers => "Cookie: hype_visitor=$visitor")
        if !defined $block->more_headers;

    # claims, and the users of hits: those two and what a block adds

    $block->set_value(sql_later => <<'END') if !defined $block->sql_later;
select visitor, user_id from hype.visitor_claim
union all
select null, string_agg(user_id, ',') from hype.referral_hit
END
});

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



=== TEST 8: it is cleared as it was set, and as the host's
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



=== TEST 9: a cookie that is no UUID is cleared, without a claim
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



=== TEST 10: cookies of other names are none of ours
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



=== TEST 11: two Cookie lines, and a broken cookie beside a good one
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



=== TEST 12: while the user is not known, nothing happens
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



=== TEST 13: the first user wins; to claim again is harmless
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



=== TEST 14: any method, any answer
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



=== TEST 15: a malformed request does no harm
--- config
hype_user $http_x_user;
--- raw_request eval
"GET / HTTP/1.1\r\nX-User: 42\r\nCookie: hype_visitor=019e7d9c-3f6a-4f4e-8d5b-0123456789ab\r\nHost: a/b\r\n\r\n"
--- error_code: 400
--- sql_later
select 1
--- sql_out
1



=== TEST 16: subrequests don't
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



=== TEST 17: the location's hype_user is that of the answer
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



=== TEST 18: users that are no plain words
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



=== TEST 19: without a spool, too
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



=== TEST 20: in a cached page's answer the cookie is never somebody else's
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



=== TEST 21: an answer from the cache names no user: the application meant another
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



=== TEST 22: users that are too long for PostgreSQL hold up nobody
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



=== TEST 23: the user of the hit, also in a location that knows of none
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



=== TEST 24: an application that hands over to another one
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
