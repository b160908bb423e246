# ?ref= on any URL: visitors who are known, who are not to be counted, or whose
# link is not known.

use lib 't/lib';
use Hype::Blocks;
use Hype::Param;

run_tests();

__DATA__

=== TEST 1: the cookie's visitor stays the same
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



=== TEST 2: prefetched pages: as if nothing had been followed
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



=== TEST 3: no consent: a hit without visitor and cookie
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



=== TEST 4: a known user: no cookie, and the visitor of an old one is claimed
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



=== TEST 5: unknown and malformed identifiers do not touch a good cookie
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
