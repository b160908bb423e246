# ?ref= on any URL: what a visitor gets in each mode, and where it is at work.

use lib 't/lib';
use Hype::Blocks;

no_long_string();

add_block_preprocessor(sub {
    my ($block) = @_;

    $block->set_value(sql_before => <<'END') if !defined $block->sql_before;
insert into hype.referral_link (identifier, user_id, destination)
values ('abc123', 'alice', '/welcome'), ('other', 'bob', null)
END

    my $config = $block->config // '';
    $block->set_value(config => "absolute_redirect off;\n$config")
        if $config !~ /absolute_redirect/;
});

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



=== TEST 5: the cookie's visitor stays the same
--- config
hype_ref_param ref mode=direct;
location /page { hype_ref_param ref mode=inline; try_files /index.html =404; }
--- request eval
['GET /a?ref=abc123', 'GET /page?ref=other']
--- more_headers
Cookie: a=b; hype_visitor=019e7d9c-3f6a-4f4e-8d5b-0123456789ab; c=d
--- error_code eval
[302, 200]
--- response_headers_like eval
[('Set-Cookie: hype_visitor=019e7d9c-3f6a-4f4e-8d5b-0123456789ab; Max-Age=.*') x 2]
--- sql_now
select l.identifier, h.visitor
from hype.referral_hit h
join hype.referral_link l on l.id = h.referral_link_id
order by 1
--- sql_out
abc123|019e7d9c-3f6a-4f4e-8d5b-0123456789ab
other|019e7d9c-3f6a-4f4e-8d5b-0123456789ab



=== TEST 6: HEAD is redirected and records nothing
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



=== TEST 7: HEAD, inline: the page, nothing recorded
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



=== TEST 8: other methods are left alone
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



=== TEST 9: inheritance, and "off"
--- http_config
hype_ref_param ref mode=direct;
--- config
location /off { hype_ref_param off; return 200 off; }
location /outer {
    hype_ref_param via to=/r/;
    location /outer/inner { }
    location /outer/off { hype_ref_param off; }
    location /outer/mode { hype_ref_param via mode=inline; try_files /index.html =404; }
}
--- request eval
['GET /http?ref=abc123', 'GET /outer/inner?via=abc123', 'GET /outer/inner?ref=abc123',
 'GET /outer/off?via=abc123', 'GET /outer/mode?via=abc123', 'GET /outer/mode?ref=abc123']
--- error_code eval
[302, 302, 404, 404, 200, 200]
--- response_headers_like eval
['Location: /http', 'Location: /r/abc123\?next=%2Fouter%2Finner', '', '',
 'Set-Cookie: hype_visitor=.*', '']
--- sql_now
select next from hype.referral_hit order by next
--- sql_out
/http
/outer/mode



=== TEST 10: the server's directive replaces that of http
--- http_config
hype_ref_param ref mode=direct;
--- config
hype_ref_param invite;
location /ref/ { hype_ref; }
--- request eval
['GET /a?invite=abc123', 'GET /a?ref=abc123']
--- error_code eval
[302, 404]
--- response_headers eval
['Location: /ref/abc123?next=%2Fa', '!Location']



=== TEST 11: another prefix, another name for "next"
--- config
hype_ref_param ref to=/invite/;
hype_next_param then;
location /invite/ { hype_ref; }
--- request eval
['GET /a?ref=abc123&next=b', 'GET /invite/abc123?then=%2Fa%3Fnext%3Db']
--- error_code eval
[302, 302]
--- response_headers eval
['Location: /invite/abc123?then=%2Fa%3Fnext%3Db', 'Location: /a?next=b']
--- sql_now
select next from hype.referral_hit
--- sql_out
/a?next=b



=== TEST 12: redirects are absolute where nginx's are
--- config
absolute_redirect on;
hype_ref_param ref mode=direct;
location /redirect { hype_ref_param ref; }
--- request eval
['GET /a?ref=abc123', 'GET /redirect?ref=abc123', 'GET //evil.example/?ref=abc123']
--- error_code eval
[302, 302, 302]
--- response_headers eval
["Location: http://localhost:$ENV{TEST_NGINX_PORT}/a",
 "Location: http://localhost:$ENV{TEST_NGINX_PORT}/ref/abc123?next=%2Fredirect",
 "Location: http://localhost:$ENV{TEST_NGINX_PORT}/evil.example/"]



=== TEST 13: never a loop: a link's own URL takes no second identifier
--- config
hype_ref_param ref mode=direct;
location /ref/ { hype_ref; }
location /own/ { hype_ref; hype_ref_param ref; hype_forward_args on; }
--- request eval
['GET /ref/abc123?ref=other', 'GET /ref/nobody?ref=other',
 'GET /own/abc123?ref=other&a=1']
--- error_code eval
[302, 302, 302]
--- response_headers eval
['Location: /welcome', 'Location: /', 'Location: /welcome?a=1']
--- sql_now
select l.identifier, count(*)
from hype.referral_hit h
join hype.referral_link l on l.id = h.referral_link_id
group by 1
--- sql_out
abc123|2



=== TEST 14: never a loop: a redirect has no parameter of ours left
--- config
hype_ref_param ref mode=direct;
location /redirect { hype_ref_param ref to=/nowhere/; }
location /nowhere/ { hype_ref_param ref to=/nowhere/; return 404; }
--- request eval
['GET /a?ref=abc123&ref=other&ref', 'GET /a?ref=abc123&ref=other', 'GET /a',
 'GET /redirect?ref=nobody&b&ref=other', 'GET /nowhere/other?next=%2Fredirect%3Fb']
--- error_code eval
[404, 302, 404, 302, 404]
--- response_headers eval
['!Location', 'Location: /a', '!Location',
 'Location: /nowhere/other?next=%2Fredirect%3Fb', '!Location']



=== TEST 15: direct: after a rewrite it is still the URL that was asked for
--- config
hype_ref_param ref mode=direct;
rewrite ^/old/(.*)$ /new/$1?from=old;
location /new/ {
    rewrite ^/new/gone$ /new/here? last;
    proxy_pass http://127.0.0.1:$TEST_NGINX_SERVER_PORT/app;
}
location = /app { return 200 "$args"; }
--- request eval
['GET /old/page?a=1&ref=abc123', 'GET /new/gone?ref=abc123&b=2']
--- error_code eval
[302, 302]
--- response_headers eval
['Location: /old/page?a=1', 'Location: /new/gone?b=2']
--- sql_now
select next from hype.referral_hit order by next
--- sql_out
/new/gone?b=2
/old/page?a=1



=== TEST 16: inline: after a rewrite, too, the application sees no parameter
--- config
hype_ref_param ref mode=inline;
rewrite ^/old/(.*)$ /new/$1?from=old;
location /new/ {
    proxy_set_header X-URI $request_uri;
    proxy_pass http://127.0.0.1:$TEST_NGINX_SERVER_PORT;
    rewrite ^/new/(.*)$ /app/$1 break;
}
location /app/ {
    hype_ref_param off;
    default_type text/plain;
    return 200 "$request_uri $http_x_uri\n";
}
--- request
GET /old/page?a=1&ref=abc123
--- response_body
/app/page?from=old&a=1 /old/page?a=1
--- sql_now
select next from hype.referral_hit
--- sql_out
/old/page?a=1



=== TEST 17: main requests only
--- config
location = /page.html {
    ssi on;
    root html;
}
location = /part {
    hype_ref_param ref mode=direct;
    default_type text/html;
    return 200 "part $args";
}
location = /file.txt { hype_ref_param ref mode=inline; }
--- user_files
>>> page.html
<!--# include virtual="/part?ref=abc123" -->|<!--# include virtual="/file.txt?ref=abc123" -->|
>>> file.txt
file
--- request
GET /page.html
--- error_code: 200
--- response_headers
!Set-Cookie
--- response_body
part ref=abc123|file
|
--- sql_now
select count(*) from hype.referral_hit
--- sql_out
0



=== TEST 18: subrequests of a page in inline mode: one hit, for the page
--- config
hype_ref_param ref mode=inline;
location = /page {
    default_type text/html;
    add_before_body /part;
    mirror /copy;
    auth_request /auth;
    alias html/index.html;
}
location = /part { default_type text/html; return 200 "part $arg_ref|\n"; }
location = /copy { return 204; }
location = /auth { return 204; }
--- request
GET /page?ref=abc123
--- error_code: 200
--- response_headers_like
Set-Cookie: hype_visitor=.*
--- response_body_like: ^part \|
--- sql_now
select next from hype.referral_hit
--- sql_out
/page



=== TEST 19: prefetched pages: as if nothing had been followed
--- config
hype_ref_param ref mode=direct;
location /inline {
    hype_ref_param ref mode=inline;
    add_header X-Seen $request_uri;
    try_files /index.html =404;
}
--- request eval
['GET /a?ref=abc123', 'GET /inline?ref=abc123']
--- more_headers
X-Purpose: prefetch;prerender
--- error_code eval
[302, 200]
--- response_headers eval
["Location: /a\n!Set-Cookie", "X-Seen: /inline\n!Set-Cookie\n!Cache-Control"]
--- sql_now
select count(*) from hype.referral_hit
--- sql_out
0



=== TEST 20: no consent: a hit without visitor and cookie
--- config
hype_ref_param ref mode=direct;
hype_no_cookie $cookie_no_tracking;
hype_no_hit $cookie_no_hit;
--- request eval
['GET /a?ref=abc123', 'GET /b?ref=abc123']
--- more_headers eval
['Cookie: no_tracking=1; hype_visitor=019e7d9c-3f6a-4f4e-8d5b-0123456789ab',
 'Cookie: no_hit=1']
--- error_code eval
[302, 302]
--- response_headers eval
["Location: /a\n!Set-Cookie", "Location: /b\n!Set-Cookie"]
--- sql_now
select next, visitor, user_id from hype.referral_hit
--- sql_out
/a||



=== TEST 21: a known user: no cookie, and the visitor of an old one is claimed
--- config
hype_ref_param ref mode=direct;
hype_user $http_x_user;
location /inline { hype_ref_param ref mode=inline; try_files /index.html =404; }
--- request eval
['GET /a?ref=abc123', 'GET /inline?ref=abc123']
--- more_headers eval
['X-User: 42', "X-User: 42
Cookie: hype_visitor=019e7d9c-3f6a-4f4e-8d5b-0123456789ab"]
--- error_code eval
[302, 200]
--- response_headers_like eval
['Location: /a', 'Set-Cookie: hype_visitor=; Max-Age=0; Expires=Thu, 01 Jan 1970 00:00:00 GMT; Path=/; SameSite=Lax; HttpOnly']
--- sql_later
select next, visitor, user_id, authenticated from hype.referral_hit
union all
select null, visitor, user_id, null from hype.visitor_claim
order by next
--- sql_out
/a||42|t
/inline||42|t
|019e7d9c-3f6a-4f4e-8d5b-0123456789ab|42|



=== TEST 22: unknown and malformed identifiers do not touch a good cookie
--- config
hype_ref_param ref mode=direct;
--- request eval
['GET /index.html?ref=nobody', 'GET /index.html?ref=a%20b', 'GET /index.html?ref=']
--- more_headers
Cookie: hype_visitor=019e7d9c-3f6a-4f4e-8d5b-0123456789ab
--- error_code eval
[200, 200, 200]
--- response_headers eval
[("!Set-Cookie\n!Cache-Control") x 3]



=== TEST 23: variables reach the application on the very request
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



=== TEST 24: to= with a variable, which may have anything in it
--- config
location ~ "^/(?<lang>[^/]*)/page" { hype_ref_param ref to=/$lang/ref/; }
location ~ ^/de/ref/(.+) { hype_ref $1; }
--- request eval
['GET /de/page?ref=abc123', 'GET /de/ref/abc123?next=%2Fde%2Fpage',
 'GET /%0d%0aX:y/page?ref=abc123', 'GET /%5Ca/page?ref=abc123']
--- error_code eval
[302, 302, 302, 302]
--- response_headers eval
['Location: /de/ref/abc123?next=%2Fde%2Fpage', 'Location: /de/page',
 "!X\nLocation: /ref/abc123?next=%2F%250d%250aX%3Ay%2Fpage",
 'Location: /ref/abc123?next=%2F%255Ca%2Fpage']
