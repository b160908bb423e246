-- The id of a hit is the way back from another host: hype.claim_hit(), and
-- hype.confirm() with a hit.

BEGIN;
SET LOCAL client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS pgtap;
\ir include/hits.sql

SELECT plan(48);

INSERT INTO hype.referral_link (id, identifier, user_id)
VALUES (900001, 'a', 'alice'), (900002, 'b', 'bob'), (900003, 'c', NULL);

-- The number of the hit credited, to whom, and for whom

CREATE FUNCTION pg_temp.credited(
    event text, hit integer, user_id text DEFAULT NULL,
    visitor integer DEFAULT NULL, model text DEFAULT 'last'
)
RETURNS text LANGUAGE sql AS $$
    SELECT concat_ws(' ', ltrim(referral_hit_id::text, '0-'),
                     coalesce(referrer, '-'), user_id,
                     'v' || ltrim(c.visitor::text, '0-'))
    FROM hype.confirm(event, user_id, pg_temp.v(visitor), 9.90, model,
                      hit => pg_temp.v(hit)) AS c
$$;

-- hype.claim_hit()

SELECT pg_temp.hit(1, 'a', 3, 101), pg_temp.hit(2, 'b', 2, 101),
       pg_temp.hit(3, 'a', 3, NULL, 'dave'), pg_temp.hit(4, 'a', 3);

SELECT is(hype.claim_hit(pg_temp.v(1), 'carol'), 'carol', 'a hit is claimed');
SELECT results_eq($$ SELECT visitor, user_id FROM hype.visitor_claim $$,
                  $$ SELECT pg_temp.v(101), 'carol' $$,
                  'with it the visitor');
SELECT is((SELECT count(*) FROM hype.referral_hit WHERE user_id = 'carol'),
          2::bigint, 'and all hits of the visitor');
SELECT is(hype.claim_hit(pg_temp.v(2), 'erin'), 'carol',
          'the first claim wins');
SELECT is(hype.claim_hit(pg_temp.v(3), 'erin'), 'dave',
          'a hit of a known user is that user''s');
SELECT is(hype.claim_hit(pg_temp.v(4), 'erin'), NULL,
          'a hit without visitor is nobody''s');
SELECT is(hype.claim_hit(pg_temp.v(99), 'erin'), NULL,
          'nor is one that is not there yet');
SELECT is((SELECT count(*) FROM hype.visitor_claim), 1::bigint,
          'none of these claims anything');

SELECT pg_temp.hit(5, 'a', 3, 105);
SELECT is(hype.claim_hit(pg_temp.v(5), 42), '42', 'a user with a number');
SELECT is(hype.claim_hit(pg_temp.v(5), '43'), '42', 'a literal is a text');

SELECT throws_ok($$ SELECT hype.claim_hit(NULL, 'u') $$, '22023',
                 'hype.claim_hit: no hit', 'no hit');
SELECT throws_ok($$ SELECT hype.claim_hit(pg_temp.v(1), '') $$, '22023',
                 'hype.claim_hit: no user', 'an empty user');
SELECT throws_ok($$ SELECT hype.claim_hit(pg_temp.v(1), NULL::text) $$,
                 '22023', 'hype.claim_hit: no user', 'no user');

-- hype.confirm() by a hit alone: its visitor, or its user

SELECT pg_temp.hit(10, 'a', 5, 110), pg_temp.hit(11, 'b', 1, 110);

SELECT is(pg_temp.credited('e', 10), '11 bob v110',
          'the visitor''s last hit is credited');
SELECT is(pg_temp.credited('e', 11), NULL, 'once');
SELECT is(pg_temp.credited('f', 11, model => 'first'), '10 alice v110',
          'or the first');
SELECT is((SELECT value FROM hype.confirmed_referral
           WHERE event = 'f' AND visitor = pg_temp.v(110)), 9.90,
          'with the value');
SELECT is((SELECT confirmed FROM hype.referral_hit WHERE id = pg_temp.v(10)),
          now(), 'which the hit tells');
SELECT is(pg_temp.credited('e', 1), '2 bob carol',
          'a visitor who was claimed counts as the user');
SELECT is(pg_temp.credited('e', 3), '3 alice dave', 'a hit of a known user');
SELECT is(pg_temp.credited('e', 4), NULL, 'a hit of nobody');
SELECT is(pg_temp.credited('e', 99), NULL, 'one that is not there yet');
SELECT pg_temp.hit(99, 'a', 1, 199);
SELECT is(pg_temp.credited('e', 99), '99 alice v199', 'until it is');

-- With a user

SELECT pg_temp.hit(20, 'a', 5, 120), pg_temp.hit(21, 'b', 1, NULL, 'frank');

SELECT is(pg_temp.credited('e', 20, 'grace'), '20 alice grace',
          'a user who comes by it');
SELECT is(pg_temp.credited('e', 20, 'grace'), NULL, 'once');
SELECT is((SELECT count(*) FROM hype.visitor_claim
           WHERE visitor = pg_temp.v(120)), 0::bigint,
          'does not claim the visitor');
SELECT is(pg_temp.credited('e', 20, 'frank'), '21 bob frank',
          'the usual hit is credited, not always this one');
SELECT is(pg_temp.credited('e2', 1, 'heidi'), NULL,
          'another user''s hit is not');
SELECT is(pg_temp.credited('e2', 3, 'heidi'), NULL,
          'nor one of a user who was known');
SELECT is(pg_temp.credited('e2', 99, 'heidi', 120), '20 alice heidi',
          'a visitor who is named goes before');
SELECT is(pg_temp.credited('e2', 98, 'frank'), '21 bob frank',
          'a hit that is not there yet matters to nobody else');
SELECT is((SELECT count(*) FROM hype.confirm('e2', 42,
               hit => pg_temp.v(5))), 1::bigint, 'a user with a number');

-- A hit that nobody is known to have made, as without consent

SELECT pg_temp.hit(30, 'a', 5), pg_temp.hit(31, 'a', 91),
       pg_temp.hit(32, 'a', 5, bot => true), pg_temp.hit(33, 'c', 5),
       pg_temp.hit(34, 'b', 1, NULL, 'ivan');

SELECT is(pg_temp.credited('n', 30, 'judy'), '30 alice judy',
          'speaks for itself');
SELECT is(pg_temp.credited('n', 30, 'judy'), NULL, 'once a user');
SELECT is(pg_temp.credited('n', 30, 'kim'), NULL, 'and once altogether');
SELECT is(pg_temp.credited('m', 30, 'alice'), NULL,
          'not for the link''s owner');
SELECT is(pg_temp.credited('m', 30, 'kim'), '30 alice kim', 'but for another');
SELECT is(pg_temp.credited('m', 31, 'leo'), NULL, 'not after the window');
SELECT is(pg_temp.credited('m', 32, 'leo'), NULL, 'not if a bot made it');
SELECT is(pg_temp.credited('m', 33, 'leo'), '33 - leo',
          'also of a link without owner');
SELECT is(pg_temp.credited('m', 30, 'ivan'), '34 bob ivan',
          'a hit of the user''s goes before');

-- Who is erased takes it along: it is not credited once more.

SELECT pg_temp.hit(50, 'a', 5);
SELECT is(pg_temp.credited('n', 50, 'olga'), '50 alice olga', 'of one user');
SELECT is(hype.export('olga') #>> '{hits,0,id}', pg_temp.v(50)::text,
          'who is shown it');
SELECT is(hype.erase('olga'), 1::bigint, 'and is erased with it');
SELECT is(pg_temp.credited('n', 50, 'paul'), NULL, 'it is no other''s then');

-- Never by the own link, whatever the hit says

SELECT pg_temp.hit(40, 'a', 1, 140);
SELECT is(pg_temp.credited('o', 40, 'alice'), NULL, 'the own link');

-- Mistakes

SELECT throws_ok($$ SELECT hype.confirm('e') $$, '22023',
                 'hype.confirm: neither user nor visitor', 'nobody');
SELECT throws_ok($$ SELECT hype.confirm('', hit => pg_temp.v(1)) $$, '22023',
                 'hype.confirm: the event is empty', 'no event');

SELECT * FROM finish();
ROLLBACK;
