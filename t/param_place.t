# ?ref= on any URL: where it is at work, and where its redirects lead.

use lib 't/lib';
use Hype::Blocks;
use Hype::Param;

run_tests();

__DATA__

=== TEST 1: inheritance, and "off"
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



=== TEST 2: the server's directive replaces that of http
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



=== TEST 3: another prefix, another name for "next"
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



=== TEST 4: redirects are absolute where nginx's are
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



=== TEST 5: never a loop: a link's own URL takes no second identifier
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



=== TEST 6: never a loop: a redirect has no parameter of ours left
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



=== TEST 7: direct: after a rewrite it is still the URL that was asked for
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



=== TEST 8: inline: after a rewrite, too, the application sees no parameter
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



=== TEST 9: main requests only
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



=== TEST 10: subrequests of a page in inline mode: one hit, for the page
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



=== TEST 11: to= with a variable, which may have anything in it
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
