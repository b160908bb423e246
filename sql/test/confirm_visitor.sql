-- hype.confirm() and visitors: who is credited, and told, while claims come.

BEGIN;
SET LOCAL client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS pgtap;
\ir include/confirm.sql

SELECT plan(46);

-- Visitors whom nobody has claimed

SELECT pg_temp.hit(51, 'a', 1, 51);
SELECT is(pg_temp.credited('e', NULL, 51), '51 alice', 'an unclaimed visitor');
SELECT is(pg_temp.credited('e', NULL, 51), NULL, 'once');
SELECT is(pg_temp.credited('e', 'u51', 51), NULL,
          'also if the user is known the second time');
SELECT results_eq($$
    SELECT user_id, visitor FROM hype.confirmed_referral
    WHERE referral_hit_id = pg_temp.v(51)
$$, $$ VALUES (NULL::text, pg_temp.v(51)) $$, 'is confirmed as visitor');
SELECT hype.claim(pg_temp.v(51), 'u51');
SELECT is((SELECT string_agg(user_id, ' ') FROM hype.confirmed_referral
           WHERE referral_hit_id = pg_temp.v(51)), 'u51',
          'until the claim says who it is');
SELECT is(pg_temp.credited('e', 'u51'), NULL, 'for whom it counts');

SELECT pg_temp.hit(52, 'a', 1, 52), pg_temp.hit(53, 'b', 1, NULL, 'u52');
SELECT is(pg_temp.credited('e', NULL, 52), '52 alice', 'a visitor first,');
SELECT is(pg_temp.credited('e', 'u52'), '53 bob', 'and a user,');
SELECT lives_ok($$ SELECT hype.claim(pg_temp.v(52), 'u52') $$,
                'who turn out to be the same');
SELECT set_eq($$ SELECT coalesce(user_id, visitor::text)
                 FROM hype.confirmed_referral
                 WHERE referral_hit_id IN (pg_temp.v(52), pg_temp.v(53)) $$,
              ARRAY[pg_temp.v(52)::text, 'u52'],
              'what was credited, stays so');

SELECT pg_temp.hit(54, 'a', 1, 54), pg_temp.hit(55, 'b', 2, 54);
SELECT is(pg_temp.credited('e', NULL, 54), '54 alice', 'a visitor');
SELECT hype.claim(pg_temp.v(54), 'alice');
SELECT is_empty($$ SELECT * FROM hype.confirmed_referral
                   WHERE referral_hit_id = pg_temp.v(54) $$,
                'who turns out to own the link is no referral');
SELECT is((SELECT confirmed FROM hype.referral_hit WHERE id = pg_temp.v(54)),
          NULL, 'and the hit is not marked any more');
SELECT is((SELECT count(*) FROM hype.confirmed_referral
           WHERE event = 'e' AND user_id = 'alice'), 1::bigint,
          'the user had been referred by another');

SELECT pg_temp.hit(56, 'c', 1, 56), pg_temp.hit(57, 'b', 2, 56);
SELECT is(pg_temp.credited('k', NULL, 56), '57 bob',
          'is credited to the other hit at once otherwise')
FROM hype.claim(pg_temp.v(56), 'carol');
SELECT pg_temp.hit(58, 'c', 1, 58), pg_temp.hit(59, 'b', 2, 58);
SELECT is(pg_temp.credited('l', NULL, 58), '58 carol', 'before the claim');
SELECT hype.claim(pg_temp.v(58), 'carol');
SELECT results_eq($$
    SELECT user_id, referral_hit_id FROM hype.confirmed_referral
    WHERE event = 'l'
$$, $$ VALUES ('carol', pg_temp.v(59)) $$, 'and after it');

-- Claims of nginx that are committed and not worked off

INSERT INTO hype.referral_link (id, identifier, user_id)
VALUES (900063, 'd', 'dave');
SELECT pg_temp.hit(60, 'a', 1, 60), pg_temp.hit(61, 'b', 2, 61),
       pg_temp.hit(62, 'c', 1, NULL, 'u61'), pg_temp.hit(63, 'd', 1, 63);
SELECT is(pg_temp.credited('m', NULL, 61), '61 bob', 'a visitor is confirmed');
SELECT hype.claim_batch(ARRAY[pg_temp.v(60), pg_temp.v(61), pg_temp.v(63)],
                        ARRAY['u60', 'u61', 'dave'],
                        ARRAY[now(), now(), now()]);

SELECT is(pg_temp.credited('m', 'u60'), '60 alice',
          'the visitor''s hit is the user''s');
SELECT is(pg_temp.credited('m', 'u61'), NULL,
          'what the visitor was credited for, the user is not');
SELECT is(pg_temp.credited('m', NULL, 63), NULL,
          'a visitor who owns the link is not credited');
SELECT results_eq($$
    SELECT user_id, referral_hit_id FROM hype.confirmed_referral
    WHERE event = 'm' ORDER BY user_id
$$, $$ VALUES ('u60', pg_temp.v(60)), ('u61', pg_temp.v(61)) $$,
    'each is credited once');
SELECT is((SELECT count(*) FROM hype.confirmed_referral
           WHERE event = 'm' AND told), 2::bigint, 'and the caller told of it');

-- An application is told once of a visitor, whomever its calls name

SELECT pg_temp.hit(70, 'a', 2, 70), pg_temp.hit(71, 'b', 1, 70);
SELECT is(pg_temp.credited('n', 'u70', 70), '71 bob', 'user and visitor');
SELECT is(pg_temp.credited('n', NULL, 70), NULL, 'not the visitor again');
SELECT is(pg_temp.credited('n', 'u72', 70), NULL,
          'nor another user with the visitor');
SELECT pg_temp.hit(72, 'c', 0.5, 70);
SELECT is(pg_temp.credited('n', NULL, 70), NULL,
          'nor by a hit that came since');
SELECT is(pg_temp.credited('o', NULL, 70), '72 carol', 'another event is');
SELECT pg_temp.hit(73, 'a', 0.4, 70);
SELECT is(pg_temp.credited('o', 'u70', 70), NULL, 'and not the user then');

SELECT pg_temp.hit(74, 'a', 2, 74);
SELECT is(pg_temp.credited('n', NULL, 74), '74 alice', 'told of a visitor');
SELECT hype.claim_batch(ARRAY[pg_temp.v(74)], '{u75}',
                        ARRAY[now() - interval '1 minute']);
SELECT hype.claim_step(1000, 'infinity');
SELECT hype.claim_batch(ARRAY[pg_temp.v(74)], '{u74}',
                        ARRAY[now() - interval '1 hour']);
SELECT hype.claim_step(1000, 'infinity');
SELECT is(pg_temp.credited('n', 'u74'), NULL,
          'an earlier claim moves it: its user is not told again');
SELECT results_eq($$ SELECT user_id, told FROM hype.confirmed_referral
                     WHERE event = 'n' AND referral_hit_id = pg_temp.v(74) $$,
                  $$ VALUES ('u74', true) $$, 'it is that user''s');
SELECT pg_temp.hit(75, 'b', 1, 75);
SELECT is(pg_temp.credited('n', 'u75', 75), '75 bob',
          'the user of the later claim can be confirmed');

DELETE FROM hype.confirmed_referral WHERE event = 'n' AND user_id = 'u75';
SELECT is(pg_temp.credited('n', 'u75', 75), '75 bob',
          'what is deleted by hand is told again');

SELECT pg_temp.hit(76, 'a', 2, 76);
SELECT hype.record_confirm('p', 'u76', pg_temp.v(76), NULL, now());
UPDATE hype.confirmed_referral SET told = true WHERE event = 'p';
SELECT is(pg_temp.credited('p', NULL, 76), NULL,
          'nor is an application told what it says it knows');

SELECT pg_temp.hit(77, 'c', 2, 77), pg_temp.hit(78, 'b', 3, 77);
SELECT is(pg_temp.credited('n', NULL, 77), '77 carol',
          'told of a visitor who owns the link');
SELECT hype.claim(pg_temp.v(77), 'carol');
SELECT is(pg_temp.credited('n', 'carol'), NULL, 'is not told of another one');

-- Nor does nginx's confirm of such a visitor credit the referrer again

SELECT pg_temp.hit(65, 'a', 2, 65);
SELECT is(pg_temp.credited('w', 'u65', 65), '65 alice', 'user and visitor');
SELECT hype.record_confirm('w', NULL, pg_temp.v(65), NULL,
                           now() - interval '1 minute');
SELECT hype.record_confirm('x', NULL, pg_temp.v(65), NULL,
                           now() - interval '1 minute');
SELECT hype.confirm_step(1000, 'infinity');
SELECT hype.claim(pg_temp.v(65), 'u65');
SELECT results_eq($$ SELECT event, user_id FROM hype.confirmed_referral
                     WHERE event IN ('w', 'x') ORDER BY event $$,
                  $$ VALUES ('w', 'u65'), ('x', 'u65') $$,
                  'what nginx says of the visitor is the same once more');

-- Nor does a call that tells nothing keep others from being told

SELECT pg_temp.hit(80, 'a', 1, 80), pg_temp.hit(81, 'b', 2, 81);
SELECT is(pg_temp.credited('r', 'u80', 80), '80 alice', 'a visitor of two');
SELECT hype.claim(pg_temp.v(80), 'u81');
SELECT is(pg_temp.credited('r', 'u81', 81), NULL,
          'whose user comes with another visitor');
SELECT is(pg_temp.credited('r', 'u82', 81), '81 bob',
          'that visitor is not used up');

-- The owner of a link without owner is nobody, and not the visitor

SELECT pg_temp.hit(83, 'a', 2, 83), pg_temp.hit(84, 'campaign', 1, 83);
SELECT is(pg_temp.credited('r', NULL, 83), '84 -',
          'a link without owner is credited to a visitor');
SELECT hype.record_confirm('s', NULL, pg_temp.v(83), NULL, now());
SELECT is((SELECT referral_hit_id FROM hype.confirmed_referral
           WHERE event = 's'), pg_temp.v(84), 'also by nginx');

-- What was told of a visitor who owned the link for a time

SELECT pg_temp.hit(85, 'a', 1, 85);
SELECT is(pg_temp.credited('t', NULL, 85), '85 alice', 'told of a visitor');
SELECT hype.claim_batch(ARRAY[pg_temp.v(85)], '{alice}',
                        ARRAY[now() - interval '1 hour']);
SELECT hype.claim_step(1000, 'infinity');
SELECT hype.claim_batch(ARRAY[pg_temp.v(85)], '{u85}',
                        ARRAY[now() - interval '2 hours']);
SELECT hype.claim_step(1000, 'infinity');
SELECT hype.confirm_step(100, 'infinity');
SELECT is_empty($$ SELECT FROM hype.confirmed_referral
                   WHERE event = 't' AND NOT told $$, 'is not to be paid again');

SELECT * FROM finish();
ROLLBACK;
