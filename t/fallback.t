# A code instead of a redirect for links that make no hit: hype_fallback =404.

use lib 't/lib';
use Hype::Blocks;

run_tests();

__DATA__

=== TEST 1: each link that makes no hit
--- sql_before
insert into hype.referral_link (identifier, destination, disabled, expires)
values ('disabled', '/welcome', true, null),
       ('expired', '/welcome', false, '2020-01-01')
--- config
location /ref/ { hype_ref; hype_fallback =404; }
--- request eval
["GET /ref/unknown", "GET /ref/a+b", "GET /ref/", "GET /ref/disabled",
 "GET /ref/expired", "HEAD /ref/unknown", "GET /ref/unknown?next=/x"]
--- error_code eval
[(404) x 7]
--- raw_response_headers_unlike eval
[("Location|Set-Cookie") x 7]
--- sql_now
select count(*) from hype.referral_hit
--- sql_out
0



=== TEST 2: those that do are redirected as ever
--- sql_before
insert into hype.referral_link (identifier, destination)
values ('abc', '/welcome'), ('plain', null)
--- config
location /ref/ { hype_ref; hype_fallback =404; absolute_redirect off; }
--- request eval
["GET /ref/abc", "GET /ref/plain", "GET /ref/plain?next=/x", "HEAD /ref/abc"]
--- error_code eval
[(302) x 4]
--- response_headers eval
["Location: /welcome", "Location: /", "Location: /x", "Location: /welcome"]
--- sql_now
select count(*) from hype.referral_hit
--- sql_out
3



=== TEST 3: another code
--- config
location /ref/ { hype_ref; hype_fallback =410; }
--- request
GET /ref/unknown
--- error_code: 410
--- response_body_like: 410 Gone



=== TEST 4: with a page of its own
--- config
location /ref/ { hype_ref; hype_fallback =404; error_page 404 /no-such-link; }
location = /no-such-link { internal; return 200 "no such link: $hype_identifier"; }
--- request
GET /ref/unknown
--- error_code: 404
--- response_body: no such link: unknown



=== TEST 5: with a page in a named location, of another code
--- config
location /ref/ { hype_ref; hype_fallback =410; error_page 410 = @gone; }
location @gone { return 404 "$hype_outcome"; }
--- request
GET /ref/unknown
--- error_code: 404
--- response_body: unknown



=== TEST 6: a cookie that is there stays
--- config
location /ref/ { hype_ref; hype_fallback =404; }
--- request
GET /ref/unknown
--- more_headers
Cookie: hype_visitor=0b5c8f5a-7f8e-4b0a-9d7e-2f4f5a6b7c8d
--- error_code: 404
--- response_headers
! Set-Cookie
