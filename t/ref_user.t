# Referral links: what a user who is known gets.

use lib 't/lib';
use Hype::Blocks;

run_tests();

__DATA__

=== TEST 1: a known user: a hit with the user, no cookie
--- sql_before
select hype.create_link(identifier => 'abc123', user_id => 'owner')
--- config
location /ref/ { hype_ref; hype_user $http_x_user; }
--- request
GET /ref/abc123/
--- more_headers
X-User: 42
--- error_code: 302
--- response_headers
Location: http://localhost:$ServerPort/
Cache-Control: no-store
! Set-Cookie
--- sql_now
select visitor, user_id, authenticated from hype.referral_hit
--- sql_out
|42|t



=== TEST 2: a known user with a cookie: the cookie is cleared ...
--- sql_before
select hype.create_link(identifier => 'abc123', user_id => 'owner')
--- config
location /ref/ { hype_ref; hype_user $http_x_user; }
--- request
GET /ref/abc123/
--- more_headers
X-User: 42
Cookie: hype_visitor=0b5c8f5a-7f8e-4b0a-9d7e-2f4f5a6b7c8d
--- error_code: 302
--- response_headers
Location: http://localhost:$ServerPort/
Set-Cookie: hype_visitor=; Max-Age=0; Expires=Thu, 01 Jan 1970 00:00:00 GMT; Path=/; SameSite=Lax; HttpOnly
--- sql_now
select visitor, user_id, authenticated from hype.referral_hit
--- sql_out
|42|t



=== TEST 3: ... and its visitor is claimed, with the hits from before
--- sql_before
select hype.create_link(identifier => 'abc123', user_id => 'owner');
insert into hype.referral_hit (referral_link_id, visitor)
values (1, '0b5c8f5a-7f8e-4b0a-9d7e-2f4f5a6b7c8d')
--- config
location /ref/ { hype_ref; hype_user $http_x_user; }
--- request
GET /ref/abc123/
--- more_headers
X-User: 42
Cookie: hype_visitor=0b5c8f5a-7f8e-4b0a-9d7e-2f4f5a6b7c8d
--- error_code: 302
--- sql_later
select visitor is null, user_id, authenticated from hype.referral_hit
order by created
--- sql_out
f|42|f
t|42|t
