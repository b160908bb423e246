# Referral links: each row of the table of what a request gets.

use lib 't/lib';
use Hype::Blocks;

run_tests();

__DATA__

=== TEST 1: a known link, anonymous: a hit with a visitor, a cookie, a redirect
--- sql_before
select hype.create_link(identifier => 'abc123', user_id => 'owner')
--- config
location /ref/ { hype_ref; }
--- request
GET /ref/abc123/
--- error_code: 302
--- response_headers
Location: http://localhost:$ServerPort/
Cache-Control: no-store
--- raw_response_headers_like: Set-Cookie: hype_visitor=[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}; Max-Age=31536000; Path=/; SameSite=Lax; HttpOnly
--- sql_now
select identifier, visitor is not null, h.user_id, authenticated, bot, next
from hype.referral_hit h join hype.referral_link l on l.id = referral_link_id
--- sql_out
abc123|t||f|f|



=== TEST 2: without a slash at the end it is the same
--- sql_before
select hype.create_link(identifier => 'abc123', user_id => 'owner')
--- config
location /ref/ { hype_ref; }
--- request
GET /ref/abc123
--- error_code: 302
--- response_headers
Location: http://localhost:$ServerPort/
--- sql_now
select count(*) from hype.referral_hit
--- sql_out
1



=== TEST 3: HEAD: a redirect, nothing is recorded
--- sql_before
select hype.create_link(identifier => 'abc123', user_id => 'owner',
                        destination => '/welcome')
--- config
location /ref/ { hype_ref; }
--- request
HEAD /ref/abc123/
--- error_code: 302
--- response_headers
Location: http://localhost:$ServerPort/welcome
Cache-Control: no-store
! Set-Cookie
--- sql_now
select count(*) from hype.referral_hit
--- sql_out
0



=== TEST 4: a prefetch that may be shown: an error, nothing is recorded
--- sql_before
select hype.create_link(identifier => 'abc123', user_id => 'owner',
                        destination => '/welcome')
--- config
location /ref/ { hype_ref; }
--- request
GET /ref/abc123/
--- more_headers
Sec-Purpose: prefetch
--- error_code: 503
--- response_headers
! Location
Cache-Control: no-store
! Set-Cookie
--- sql_now
select count(*) from hype.referral_hit
--- sql_out
0



=== TEST 5: a hype_no_hit condition: a redirect, nothing is recorded
--- sql_before
select hype.create_link(identifier => 'abc123', user_id => 'owner',
                        destination => '/welcome')
--- config
location /ref/ { hype_ref; hype_no_hit $arg_quiet; }
--- request
GET /ref/abc123/?quiet=1
--- error_code: 302
--- response_headers
Location: http://localhost:$ServerPort/welcome
Cache-Control: no-store
! Set-Cookie
--- sql_now
select count(*) from hype.referral_hit
--- sql_out
0



=== TEST 6: an unknown link: a redirect, nothing is recorded
--- config
location /ref/ { hype_ref; }
--- request
GET /ref/abc123/
--- error_code: 302
--- response_headers
Location: http://localhost:$ServerPort/
Cache-Control: no-store
! Set-Cookie
--- sql_now
select count(*) from hype.referral_hit
--- sql_out
0



=== TEST 7: a malformed link: the same
--- config
location /ref/ { hype_ref; }
--- request
GET /ref/abc+123/
--- error_code: 302
--- response_headers
Location: http://localhost:$ServerPort/
Cache-Control: no-store
! Set-Cookie
--- sql_now
select count(*) from hype.referral_hit
--- sql_out
0



=== TEST 8: a disabled link: the same, to its destination
--- sql_before
insert into hype.referral_link (identifier, destination, disabled)
values ('abc123', '/welcome', true)
--- config
location /ref/ { hype_ref; }
--- request
GET /ref/abc123/
--- error_code: 302
--- response_headers
Location: http://localhost:$ServerPort/welcome
Cache-Control: no-store
! Set-Cookie
--- sql_now
select count(*) from hype.referral_hit
--- sql_out
0



=== TEST 9: an expired link: the same, to its destination
--- sql_before
insert into hype.referral_link (identifier, destination, expires)
values ('abc123', '/welcome', now() - interval '1 second')
--- config
location /ref/ { hype_ref; }
--- request
GET /ref/abc123/
--- error_code: 302
--- response_headers
Location: http://localhost:$ServerPort/welcome
Cache-Control: no-store
! Set-Cookie
--- sql_now
select count(*) from hype.referral_hit
--- sql_out
0



=== TEST 10: a good cookie is not destroyed by links that make no hit
--- sql_before
insert into hype.referral_link (identifier, disabled, expires)
values ('disabled', true, null), ('expired', false, '2020-01-01'),
       ('good', false, null)
--- config
location /ref/ { hype_ref; hype_no_hit $arg_quiet; }
--- request eval
["GET /ref/unknown", "GET /ref/a+b", "GET /ref/disabled", "GET /ref/expired",
 "HEAD /ref/good", "GET /ref/good?quiet=1", "GET /ref/good"]
--- more_headers
Cookie: hype_visitor=0b5c8f5a-7f8e-4b0a-9d7e-2f4f5a6b7c8d
--- error_code eval
[(302) x 7]
--- raw_response_headers_unlike eval
[("Set-Cookie") x 6, "no such thing"]
--- sql_now
select visitor from hype.referral_hit
--- sql_out
0b5c8f5a-7f8e-4b0a-9d7e-2f4f5a6b7c8d



=== TEST 11: links that expire later, or never, or have other times
--- sql_before
insert into hype.referral_link (identifier, expires)
values ('later', now() + interval '1 hour'), ('never', 'infinity'),
       ('long-ago', '-infinity'), ('ancient', '1969-12-31'),
       ('far', '20000-01-01')
--- config
location /ref/ { hype_ref; add_header Outcome $hype_outcome; }
--- request eval
["GET /ref/later", "GET /ref/never", "GET /ref/long-ago", "GET /ref/ancient",
 "GET /ref/far"]
--- error_code eval
[(302) x 5]
--- response_headers eval
["Outcome: hit", "Outcome: hit", "Outcome: expired", "Outcome: expired",
 "Outcome: hit"]
--- sql_now
select identifier from hype.referral_hit
join hype.referral_link l on l.id = referral_link_id order by 1
--- sql_out
far
later
never



=== TEST 12: a link that credits nobody is one as well
--- sql_before
select hype.create_link(identifier => 'campaign')
--- config
location /ref/ { hype_ref; }
--- request
GET /ref/campaign
--- error_code: 302
--- sql_now
select count(*) from hype.referral_hit
--- sql_out
1
