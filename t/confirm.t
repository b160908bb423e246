# hype_confirm: a referred user has done what counts, and the referrer is
# credited, once.

use lib 't/lib';
use Hype::Blocks;
use Hype::Confirm;

run_tests();

__DATA__

=== TEST 1: a user who is known
--- config
hype_user $http_x_user;
location = /welcome { hype_confirm signup; return 204; }
--- request
GET /welcome
--- more_headers
X-User: 42
--- error_code: 204
--- response_headers
!Set-Cookie
!Cache-Control
--- sql_out
signup|42|bob|other||t



=== TEST 2: hit, claim and confirmation on one answer of the application
--- config
location = /signup {
    proxy_pass http://127.0.0.1:$TEST_NGINX_SERVER_PORT/app;
    hype_user $upstream_http_x_hype_user;
    hype_confirm signup value=$upstream_http_x_amount if=$upstream_http_x_new;
}
location = /app {
    add_header X-Hype-User 100;
    add_header X-Amount 9.90;
    add_header X-New yes;
    return 303 /home;
}
--- request
POST /signup
name=joe
--- more_headers
Cookie: hype_visitor=019e7d9c-3f6a-4f4e-8d5b-0123456789ab
--- error_code: 303
--- response_headers_like
Set-Cookie: hype_visitor=; .*
--- sql_out
signup|100|alice|abc123|9.90|t



=== TEST 3: inline, on the very request that makes the hit
--- config
hype_ref_param ref mode=inline;
location = /signup {
    proxy_pass http://127.0.0.1:$TEST_NGINX_SERVER_PORT/app;
    hype_user $upstream_http_x_hype_user;
    hype_confirm signup;
}
location = /app { hype_ref_param off; add_header X-Hype-User 100; return 200; }
--- request
GET /signup?ref=abc123
--- error_code: 200
--- response_headers
!Set-Cookie
--- sql_out
signup|100|alice|abc123||t



=== TEST 4: which answers
--- config eval
my $locations = '';
for (200, 201, 204, 301, 302, 303, 307, 308, 400, 401, 403, 404, 405, 410, 429,
     500, 502, 503)
{
    my $text = $_ >= 301 && $_ <= 308 ? ' /x' : '';
    $locations .= "location = /$_ { hype_confirm status; return $_$text; }\n";
}
<<"END" . $locations;
hype_user \$http_x_user;
location = /206 { hype_confirm status; alias html/index.html; }
location = /304 { hype_confirm status; alias html/index.html; if_modified_since before; }
location = /deny { hype_confirm status; deny all; }
location = /nothing { hype_confirm status; root html; }
location = /page { hype_confirm status; error_page 404 /sorry; root html; }
location = /saved { error_page 404 =200 /good; root html; }
location = /sorry { hype_confirm status; try_files /index.html =404; }
location = /good { hype_confirm status; try_files /index.html =404; }
END
--- request eval
[map { "GET /$_" } 200, 201, 204, 206, 301, 302, 303, 304, 307, 308, 400, 401,
 403, 404, 405, 410, 429, 500, 502, 503, 'deny', 'nothing', 'page', 'saved']
--- more_headers eval
[map { "X-User: $_" . ($_ == 4 ? "\nRange: bytes=0-1" : '')
       . ($_ == 8 ? "\nIf-Modified-Since: Mon, 01 Jan 2035 00:00:00 GMT" : '') }
 1 .. 24]
--- error_code eval
[200, 201, 204, 206, 301, 302, 303, 304, 307, 308, 400, 401, 403, 404, 405, 410,
 429, 500, 502, 503, 403, 404, 404, 200]
--- sql_later
select string_agg(user_id, ' ' order by user_id::int) from hype.confirmed_referral
--- sql_out
1 2 3 4 5 6 7 8 9 10 24



=== TEST 5: if=
--- config
hype_user $http_x_user;
location = /arg { hype_confirm arg if=$arg_if; return 204; }
location = /text { hype_confirm text if=$arg_a$arg_b; return 204; }
--- request eval
[map({ "GET /arg?if=$_" } '', 0, 1, 'no', '00', '%30', ' ' =~ s/ /+/r), 'GET /arg',
 'GET /text', 'GET /text?a=0', 'GET /text?b=0&a=0', 'GET /text?b=1']
--- more_headers eval
[map { "X-User: $_" } 1 .. 12]
--- error_code eval
[(204) x 12]
--- sql_later
select event, string_agg(user_id, ' ' order by user_id::int)
from hype.confirmed_referral group by 1 order by 1
--- sql_out
arg|3 4 5 6 7
text|11 12



=== TEST 6: value=
--- config
hype_user $http_x_user;
location = /value { hype_confirm sale value=$http_x_value; return 204; }
--- request eval
[map { "GET /value?$_" } 1 .. 12]
--- more_headers eval
my $n = 0;
[map { 'X-User: ' . ++$n . "\nX-Value: $_" }
 '19.90', '1e3', '-5', '+.5', '0', '', 'free', '19,90', '1 000', 'NaN',
 '9' x 120, '12345678901234567890.123456789']
--- error_code eval
[(204) x 12]
--- sql_later
select user_id, value from hype.confirmed_referral order by user_id::int
--- sql_out
1|19.90
2|1000
3|-5
4|0.5
5|0
6|
7|
8|
9|
10|
11|
12|12345678901234567890.123456789



=== TEST 7: several events, each once
--- config
hype_user $http_x_user;
location = /paid {
    hype_confirm signup;
    hype_confirm sale value=$arg_amount;
    hype_confirm big if=$arg_big value=1;
    hype_confirm big if=$arg_big value=2;
    return 204;
}
--- request eval
['GET /paid?amount=5', 'GET /paid?amount=7&big=1', 'GET /paid?amount=8&big=1']
--- more_headers
X-User: 42
--- error_code eval
[204, 204, 204]
--- sql_later
select event, value, count(*) over () from hype.confirmed_referral order by event
--- sql_out
big|1|3
sale|5|3
signup||3



=== TEST 8: any method; no subrequest; locations inside
--- config
hype_user $http_x_user;
location /paid { hype_confirm sale; location /paid/in { return 204; } }
location = /part { hype_confirm part; return 204; }
location = /page { auth_request /part; try_files /index.html =404; }
--- request eval
['POST /paid/in', 'PUT /paid/in', 'DELETE /paid/in', 'HEAD /paid/in', 'GET /page']
--- more_headers eval
[map { "X-User: $_" } 1 .. 5]
--- error_code eval
[204, 204, 204, 204, 200]
--- sql_later
select event, string_agg(user_id, ' ' order by user_id::int)
from hype.confirmed_referral group by 1
--- sql_out
sale|1 2 3 4



=== TEST 9: an event that the application names
--- config
location = /app {
    add_header X-Event $arg_event;
    return 204;
}
location = /done {
    hype_user $arg_user;
    hype_confirm $upstream_http_x_event;
    hype_confirm any-$arg_event if=$arg_user;
    proxy_pass http://127.0.0.1:$TEST_NGINX_SERVER_PORT/app$is_args$args;
}
--- request eval
['GET /done?user=1&event=paid', 'GET /done?user=2&event=', 'GET /done?user=3&event=sent']
--- error_code eval
[204, 204, 204]
--- sql_out
any-paid|1|bob|other||t
paid|1|bob|other||t
any-|2|bob|other||t
any-sent|3|bob|other||t
sent|3|bob|other||t



=== TEST 10: a redirect that takes the parameter out is not the page's answer
--- config
hype_user $http_x_user;
hype_ref_param ref;
location /ref/ { hype_ref; }
location = /paid { hype_confirm sale; proxy_pass http://127.0.0.1:$TEST_NGINX_SERVER_PORT/no; }
location = /direct { hype_ref_param ref mode=direct; hype_confirm sale; proxy_pass http://127.0.0.1:$TEST_NGINX_SERVER_PORT/no; }
location = /no { return 403; }
--- request eval
['GET /paid?ref=abc123', 'HEAD /paid?ref=abc123', 'GET /direct?ref=abc123',
 'GET /direct?ref=abc123', 'HEAD /direct?ref=abc123', 'GET /paid?ref=unknown']
--- more_headers eval
my $cookie = 'Cookie: hype_visitor=019e7d9c-3f6a-4f4e-8d5b-0123456789ab';
[$cookie, $cookie, $cookie, 'X-User: 1', 'X-User: 2', $cookie]
--- error_code eval
[(302) x 5, 403]
--- sql_later
select (select count(*) from hype.confirmed_referral),
       (select count(*) from hype.pending_confirm)
--- sql_out
0|0



=== TEST 11: what the application said to another one, whose page was stored
--- http_config
proxy_cache_path $TEST_NGINX_SERVER_ROOT/html/pages keys_zone=pages:1m;
--- config
location = /signup {
    proxy_pass http://127.0.0.1:$TEST_NGINX_SERVER_PORT/app;
    proxy_cache pages;
    proxy_cache_valid 1m;
    hype_confirm signup if=$upstream_http_x_new value=$upstream_http_x_amount;
    hype_confirm seen value=$upstream_http_x_amount;
}
location = /app { add_header X-New yes; add_header X-Amount 9.90; return 200; }
--- request eval
['GET /signup', 'GET /signup']
--- more_headers eval
['Cookie: a=b', 'Cookie: hype_visitor=019e7d9c-3f6a-4f4e-8d5b-0123456789ab']
--- error_code eval
[200, 200]
--- sql_out
seen|visitor 019e7d9c-3f6a-4f4e-8d5b-0123456789ab|alice|abc123||t
