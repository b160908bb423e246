# Subrequests are no visits, whoever makes them.

use lib 't/lib';
use Hype::Blocks;

run_tests();

__DATA__

=== TEST 1: mirror
--- sql_before
select hype.create_link(identifier => 'abc')
--- config
location /mirrored/ { mirror /ref/abc; alias $TEST_NGINX_SERVROOT/html/; }
location /ref/ { internal; hype_ref; log_not_found off; }
--- user_files
>>> file
content
--- request
GET /mirrored/file
--- response_body
content
--- sql_now
select count(*) from hype.referral_hit
--- sql_out
0



=== TEST 2: a link that is mirrored is one hit
--- sql_before
select hype.create_link(identifier => 'abc')
--- config
location /ref/ { hype_ref; mirror /mirror/abc; }
location /mirror/ { internal; hype_ref; log_not_found off; }
--- request
GET /ref/abc
--- error_code: 302
--- sql_now
select count(*) from hype.referral_hit
--- sql_out
1



=== TEST 3: auth_request to a link
--- sql_before
select hype.create_link(identifier => 'abc')
--- config
location /page { auth_request /ref/abc; alias $TEST_NGINX_SERVROOT/html/file; }
location /ref/ { hype_ref; log_not_found off; }
--- user_files
>>> file
content
--- request
GET /page
--- error_code: 500
--- error_log
auth request unexpected status: 404
--- sql_now
select count(*) from hype.referral_hit
--- sql_out
0



=== TEST 4: SSI
--- sql_before
select hype.create_link(identifier => 'abc')
--- config
location /page { ssi on; ssi_types text/plain; alias $TEST_NGINX_SERVROOT/html/file; }
location /ref/ { hype_ref; log_not_found off; }
--- user_files
>>> file
a<!--# include virtual="/ref/abc" -->b
--- request
GET /page
--- response_body_like: ^a.*b
--- response_headers
! Set-Cookie
--- sql_now
select count(*) from hype.referral_hit
--- sql_out
0



=== TEST 5: pages before and after
--- sql_before
select hype.create_link(identifier => 'abc')
--- config
location /page {
    addition_types text/plain;
    add_before_body /ref/abc;
    add_after_body /ref/abc;
    alias $TEST_NGINX_SERVROOT/html/file;
}
location /ref/ { hype_ref; log_not_found off; }
--- user_files
>>> file
content
--- request
GET /page
--- response_body_like: content
--- response_headers
! Set-Cookie
--- sql_now
select count(*) from hype.referral_hit
--- sql_out
0



=== TEST 6: auth_request before a link is one hit
--- sql_before
select hype.create_link(identifier => 'abc')
--- config
location /ref/ { hype_ref; auth_request /auth; }
location = /auth { internal; return 204; }
--- request
GET /ref/abc
--- error_code: 302
--- sql_now
select count(*) from hype.referral_hit
--- sql_out
1



=== TEST 7: variables in a subrequest are those of the request
--- sql_before
select hype.create_link(identifier => 'abc', user_id => 'owner')
--- config
location /ref/ { hype_ref; error_page 302 = /page; }
location = /page {
    ssi on;
    ssi_types text/plain;
    alias $TEST_NGINX_SERVROOT/html/file;
}
location = /inner { return 200 "$hype_identifier $hype_outcome $hype_referrer"; }
--- user_files
>>> file
<!--# include virtual="/inner" -->
--- request
GET /ref/abc
--- error_code: 200
--- response_body
abc hit owner
--- sql_now
select count(*) from hype.referral_hit
--- sql_out
1
