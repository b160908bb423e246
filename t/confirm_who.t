# hype_confirm: who is confirmed, a user or the visitor of a cookie, and which hit
# is credited.

use lib 't/lib';
use Hype::Blocks;
use Hype::Confirm;

run_tests();

__DATA__

=== TEST 1: the visitor is known only; who becomes a user later
--- config
location = /paid { hype_confirm sale value=3; return 204; }
location = /login { hype_user $http_x_user; return 204; }
--- request eval
['GET /paid', 'GET /paid', 'GET /login', 'GET /paid']
--- more_headers eval
my $cookie = 'Cookie: hype_visitor=019e7d9c-3f6a-4f4e-8d5b-0123456789ab';
[$cookie, $cookie, "$cookie\nX-User: 100", $cookie]
--- response_headers eval
['!Set-Cookie', '!Set-Cookie', 'Set-Cookie: hype_visitor=; Max-Age=0; Expires=Thu, 01 Jan 1970 00:00:00 GMT; Path=/; SameSite=Lax; HttpOnly', '!Set-Cookie']
--- error_code eval
[(204) x 4]
--- sql_out
sale|100|alice|abc123|3|t



=== TEST 2: as long as nobody logs in, it is the visitor's
--- config
location = /paid { hype_confirm sale; return 204; }
--- request
GET /paid
--- more_headers
Cookie: hype_visitor=019e7d9c-3f6a-4f4e-8d5b-0123456789ab
--- error_code: 204
--- sql_out
sale|visitor 019e7d9c-3f6a-4f4e-8d5b-0123456789ab|alice|abc123||t



=== TEST 3: nobody is known, or nobody was referred
--- config
location = /paid { hype_confirm sale; return 204; }
location = /user { hype_confirm sale; hype_user $http_x_user; return 204; }
--- request eval
['GET /paid', 'GET /paid', 'GET /paid', 'GET /user', 'GET /user']
--- more_headers eval
['Cookie: a=b', 'Cookie: hype_visitor=broken',
 'Cookie: hype_visitor=019e7d9c-0000-4f4e-8d5b-0123456789ab', 'X-User: 1000',
 'X-User:']
--- error_code eval
[(204) x 5]
--- sql_later
select (select count(*) from hype.confirmed_referral),
       (select count(*) from hype.pending_confirm)
--- sql_out
0|2



=== TEST 4: which hit: the last one that deserves it
--- sql_before
insert into hype.referral_link (identifier, user_id, disabled, disabled_at, expires)
values ('own', 'u', false, null, null),
       ('closed', 'carol', true, now() - interval '1 hour', null),
       ('past', 'dave', false, null, now() - interval '1 hour'),
       ('nobody', null, false, null, null);
insert into hype.referral_hit (referral_link_id, user_id, created, bot)
select l.id, h.user_id, now() - h.ago, h.bot
from (values
    ('last',   'abc123', interval '3 days', false),
    ('last',   'other',  interval '2 days', false),
    ('own',    'abc123', interval '2 days', false),
    ('bot',    'abc123', interval '2 days', false),
    ('bot',    'other',  interval '1 day',  true),
    ('onlybot', 'abc123', interval '1 day', true),
    ('before', 'closed', interval '2 hours', false),
    ('after',  'closed', interval '30 minutes', false),
    ('expired', 'past',  interval '30 minutes', false),
    ('inwindow', 'abc123', interval '89 days', false),
    ('late',   'abc123', interval '91 days', false),
    ('campaign', 'nobody', interval '1 day', false)
) as h (user_id, identifier, ago, bot)
join hype.referral_link l using (identifier);
insert into hype.referral_hit (referral_link_id, user_id)
values (3, 'own'), (3, 'u'), (3, 'u');
update hype.referral_link set user_id = 'own' where identifier = 'own';
--- config
hype_user $http_x_user;
location = /paid { hype_confirm sale; return 204; }
--- request eval
[('GET /paid') x 11]
--- more_headers eval
[map { "X-User: $_" } qw(last own bot onlybot before after expired inwindow late
                         campaign u)]
--- error_code eval
[(204) x 11]
--- sql_later
select string_agg(concat_ws(' ', c.user_id, coalesce(referrer, '-'), identifier),
                  ', ' order by c.user_id)
from hype.confirmed_referral c
join hype.referral_link l on l.id = referral_link_id
--- sql_out
before carol closed, bot alice abc123, campaign - nobody, inwindow alice abc123, last bob other, own alice abc123, u own own
