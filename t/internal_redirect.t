# Internal redirects to and from referral links: one hit each.

use lib 't/lib';
use Hype::Blocks;

run_tests();

__DATA__

=== TEST 1: rewrite to a link
--- sql_before
select hype.create_link(identifier => 'abc', destination => '/welcome')
--- config
rewrite ^/go/(.*)$ /ref/$1 last;
location /ref/ { hype_ref; }
--- request
GET /go/abc?next=/x
--- error_code: 302
--- response_headers
Location: http://localhost:$ServerPort/x
--- sql_now
select next from hype.referral_hit
--- sql_out
/x



=== TEST 2: rewrite in a location
--- sql_before
select hype.create_link(identifier => 'abc', destination => '/welcome')
--- config
location /go/ { rewrite ^/go/(.*)$ /ref/$1?next=/y? last; }
location /ref/ { hype_ref; }
--- request
GET /go/abc?next=/x
--- error_code: 302
--- response_headers
Location: http://localhost:$ServerPort/y
--- sql_now
select count(*) from hype.referral_hit
--- sql_out
1



=== TEST 3: rewrite that stays in the location
--- sql_before
select hype.create_link(identifier => 'abc', destination => '/welcome')
--- config
location /ref/ { hype_ref; rewrite ^/ref/old-(.*)$ /ref/$1 break; }
--- request
GET /ref/old-abc
--- error_code: 302
--- response_headers
Location: http://localhost:$ServerPort/welcome
--- sql_now
select count(*) from hype.referral_hit
--- sql_out
1



=== TEST 4: error_page to a link: the redirect is one, whatever the error was
--- sql_before
select hype.create_link(identifier => 'abc', destination => '/welcome')
--- config
location /old/ { return 404; error_page 404 = /ref/abc; }
location /ref/ { hype_ref; }
--- request
GET /old/x
--- error_code: 302
--- response_headers
Location: http://localhost:$ServerPort/welcome
Cache-Control: no-store
--- raw_response_headers_like: Set-Cookie: hype_visitor=
--- sql_now
select count(*) from hype.referral_hit
--- sql_out
1



=== TEST 5: error_page of a file that is missing
--- sql_before
select hype.create_link(identifier => 'abc', destination => '/welcome')
--- config
location /old/ { error_page 404 = /ref/abc?next=/archive; log_not_found off; }
location /ref/ { hype_ref; }
--- request
GET /old/x
--- error_code: 302
--- response_headers
Location: http://localhost:$ServerPort/archive
--- sql_now
select count(*) from hype.referral_hit
--- sql_out
1



=== TEST 6: error_page of a POST, which nginx takes for a GET, is no visit
--- sql_before
select hype.create_link(identifier => 'abc', destination => '/welcome')
--- config
location /old/ { return 404; error_page 404 = /ref/abc; }
location /ref/ { hype_ref; }
--- request
POST /old/x
hello
--- error_code: 405
--- response_headers
Allow: GET, HEAD
! Set-Cookie
--- sql_now
select count(*) from hype.referral_hit
--- sql_out
0



=== TEST 7: try_files to a link
--- sql_before
select hype.create_link(identifier => 'abc', destination => '/welcome')
--- config
location /x/ { try_files $uri /ref/abc?from=x; }
location /ref/ { hype_ref; hype_forward_args on; }
--- request
GET /x/y
--- error_code: 302
--- response_headers
Location: http://localhost:$ServerPort/welcome?from=x
--- sql_now
select count(*) from hype.referral_hit
--- sql_out
1



=== TEST 8: try_files to a named location
--- sql_before
select hype.create_link(identifier => 'abc', destination => '/welcome')
--- config
location ~ ^/x/(?<id>.*) { try_files $uri @link; }
location @link { hype_ref $id; }
--- request
GET /x/abc/
--- error_code: 302
--- response_headers
Location: http://localhost:$ServerPort/welcome
--- sql_now
select count(*) from hype.referral_hit
--- sql_out
1



=== TEST 9: an index to a link
--- sql_before
select hype.create_link(identifier => 'abc', destination => '/welcome')
--- config
location = /dir/ { index index.html; root $TEST_NGINX_SERVROOT/html; }
location = /dir/index.html { hype_ref abc; }
--- user_files
>>> dir/index.html
never shown
--- request
GET /dir/
--- error_code: 302
--- response_headers
Location: http://localhost:$ServerPort/welcome
--- sql_now
select count(*) from hype.referral_hit
--- sql_out
1



=== TEST 10: X-Accel-Redirect to a link
--- sql_before
select hype.create_link(identifier => 'abc', destination => '/welcome')
--- config
location /app/ { proxy_pass http://127.0.0.1:$TEST_NGINX_PORT/backend/; }
location /backend/ { add_header X-Accel-Redirect /ref/abc; return 204; }
location /ref/ { internal; hype_ref; }
--- request eval
["GET /app/x", "GET /ref/abc"]
--- error_code eval
[302, 404]
--- sql_now
select count(*) from hype.referral_hit
--- sql_out
1



=== TEST 11: from a link without a hit to a page
--- config
location /ref/ { hype_ref; hype_fallback =404; error_page 404 /no-link; }
location = /no-link { return 200 "$hype_outcome $hype_identifier"; }
--- request
GET /ref/abc
--- error_code: 404
--- response_body: unknown abc



=== TEST 12: from a link without a hit to an application
--- http_config
server {
    listen $TEST_NGINX_PORT;
    server_name app;
    location / { return 200 "$uri: $http_hype"; }
}
--- config
location /ref/ { hype_ref; hype_fallback =404; error_page 404 = @app; }
location @app {
    proxy_pass http://127.0.0.1:$TEST_NGINX_PORT;
    proxy_set_header Host app;
    proxy_set_header Hype "$hype_outcome $hype_identifier";
}
--- request
GET /ref/abc
--- error_code: 200
--- response_body: /ref/abc: unknown abc



=== TEST 13: a redirect that is made a page is a hit still, once
--- sql_before
select hype.create_link(identifier => 'abc', user_id => 'owner')
--- config
location /ref/ { hype_ref; error_page 302 = /landing; }
location = /landing { return 200 "$hype_outcome $hype_referrer"; }
--- request
GET /ref/abc
--- error_code: 200
--- response_body: hit owner
--- raw_response_headers_like: Set-Cookie: hype_visitor=
--- sql_now
select count(*) from hype.referral_hit
--- sql_out
1



=== TEST 14: ... and its cookie is not for caches
--- sql_before
select hype.create_link(identifier => 'abc')
--- config
location /ref/ { hype_ref; error_page 302 = /landing; }
location = /landing { add_header Cache-Control public; return 200 "hi"; }
--- request
GET /ref/abc
--- error_code: 200
--- raw_response_headers_like: Set-Cookie: hype_visitor=
--- response_headers_like
Cache-Control: .*(?:private|no-store).*
--- raw_response_headers_unlike: public



=== TEST 15: a link from another link that was a hit counts once
--- sql_before
select hype.create_link(identifier => 'abc', destination => '/a');
select hype.create_link(identifier => 'def', destination => '/d')
--- config
location /ref/ { hype_ref; error_page 302 = /other/def; }
location /other/ { hype_ref; }
--- request
GET /ref/abc
--- error_code: 302
--- sql_now
select identifier from hype.referral_hit
join hype.referral_link l on l.id = referral_link_id
--- sql_out
abc
