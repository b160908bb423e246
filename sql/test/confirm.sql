-- hype.confirm(): who is credited.  Concurrent calls are in confirm.t.

BEGIN;
SET LOCAL client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS pgtap;

SELECT plan(84);

CREATE FUNCTION pg_temp.v(n integer) RETURNS uuid LANGUAGE sql IMMUTABLE AS
    $$ SELECT lpad(n::text, 32, '0')::uuid $$;

INSERT INTO hype.referral_link (id, identifier, user_id)
VALUES (900001, 'a', 'alice'), (900002, 'b', 'bob'), (900003, 'c', 'carol'),
       (900004, 'campaign', NULL);

-- Hits "n" days ago.

CREATE FUNCTION pg_temp.hit(
    n integer, link text, days numeric, visitor integer DEFAULT NULL,
    user_id text DEFAULT NULL, bot boolean DEFAULT false
)
RETURNS void LANGUAGE sql AS $$
    INSERT INTO hype.referral_hit
        (id, referral_link_id, created, visitor, user_id, authenticated, bot)
    SELECT pg_temp.v(n), l.id, now() - days * interval '1 day',
           pg_temp.v(hit.visitor), hit.user_id, hit.user_id IS NOT NULL, bot
    FROM hype.referral_link l WHERE l.identifier = link
$$;

-- The number of the hit credited, and to whom.

CREATE FUNCTION pg_temp.credited(
    event text, user_id text DEFAULT NULL, visitor integer DEFAULT NULL,
    model text DEFAULT 'last', days integer DEFAULT 90
)
RETURNS text LANGUAGE sql AS $$
    SELECT referral_hit_id::text::numeric || ' ' || coalesce(referrer, '-')
    FROM (SELECT replace(referral_hit_id::text, '-', '') AS referral_hit_id,
                 referrer
          FROM hype.confirm(event, user_id, pg_temp.v(visitor), NULL, model,
                            make_interval(days => days))) AS c
$$;

-- First and last hit, window

SELECT pg_temp.hit(1, 'a', 80, NULL, 'u1'), pg_temp.hit(2, 'b', 40, NULL, 'u1'),
       pg_temp.hit(3, 'c', 10, NULL, 'u1'), pg_temp.hit(4, 'a', 91, NULL, 'u1');

SELECT is(pg_temp.credited('e1', 'u1'), '3 carol', 'the last hit');
SELECT is(pg_temp.credited('e2', 'u1', model => 'first'), '1 alice',
          'the first within 90 days');
SELECT is(pg_temp.credited('e3', 'u1', model => 'first', days => 30),
          '3 carol', 'the first within 30 days');
SELECT is(pg_temp.credited('e4', 'u1', model => 'first', days => 100),
          '4 alice', 'the first within 100 days');
SELECT is(pg_temp.credited('e5', 'u1', days => 9), NULL, 'none in 9 days');
SELECT is(pg_temp.credited('e5', 'u1', days => 11), '3 carol',
          'and it may be tried again');
SELECT is(pg_temp.credited('e1', 'nobody'), NULL, 'a user without hits');

-- The row

SELECT results_eq($$
    SELECT event, user_id, referral_hit_id, referral_link_id, referrer, value,
           created, visitor, told
    FROM hype.confirm('paid', 'u1', value => 12.50)
$$, $$
    VALUES ('paid', 'u1', pg_temp.v(3), 900003::bigint, 'carol', 12.50, now(),
            NULL::uuid, true)
$$, 'confirm() returns the row');
SELECT results_eq($$
    SELECT event, user_id, referral_hit_id, referral_link_id, referrer, value,
           created, visitor, told
    FROM hype.confirmed_referral
    WHERE event = 'paid' AND user_id = 'u1'
$$, $$
    VALUES ('paid', 'u1', pg_temp.v(3), 900003::bigint, 'carol', 12.50, now(),
            NULL::uuid, true)
$$, 'which it has made');
SELECT is_empty($$ SELECT * FROM hype.confirm('paid', 'u1', value => 99) $$,
                'once');
SELECT is((SELECT value FROM hype.confirmed_referral
           WHERE event = 'paid' AND user_id = 'u1'), 12.50,
          'the second call changes nothing');
SELECT is((SELECT confirmed FROM hype.referral_hit WHERE id = pg_temp.v(3)),
          now(), 'the hit is marked');
SELECT is((SELECT count(*) FROM hype.referral_hit
           WHERE user_id = 'u1' AND confirmed IS NULL), 1::bigint,
          'others, if credited with nothing, are not');

SAVEPOINT s;
SELECT pg_temp.credited('undone', 'u1');
ROLLBACK TO s;
SELECT is(pg_temp.credited('undone', 'u1'), '3 carol',
          'a confirm that was rolled back was none');

-- Never one's own link

SELECT pg_temp.hit(11, 'b', 20, NULL, 'alice'),
       pg_temp.hit(12, 'a', 10, NULL, 'alice');
SELECT is(pg_temp.credited('e', 'alice'), '11 bob',
          'the user''s own link is passed over');
SELECT pg_temp.hit(13, 'b', 10, NULL, 'bob');
SELECT is(pg_temp.credited('e', 'bob'), NULL, 'also if there is no other');
SELECT pg_temp.hit(14, 'c', 10, 14), pg_temp.hit(15, 'a', 20, 14);
SELECT is(pg_temp.credited('e', 'carol', 14), '15 alice',
          'also for a visitor who comes along');
SELECT pg_temp.hit(16, 'c', 10, 16), pg_temp.hit(17, 'b', 20, 16),
       hype.claim(pg_temp.v(16), 'carol');
SELECT is(pg_temp.credited('e6', NULL, 16), '17 bob',
          'also for the user who claimed the visitor');

-- Disabled and expired links, bots, deleted links

INSERT INTO hype.referral_link
    (identifier, user_id, disabled, disabled_at, expires)
VALUES ('off', 'dora', true, now() - interval '20 days', NULL),
       ('old', 'dora', false, NULL, now() - interval '20 days');
SELECT pg_temp.hit(21, 'off', 30, NULL, 'u2'),
       pg_temp.hit(22, 'off', 20, NULL, 'u2'),
       pg_temp.hit(23, 'off', 10, NULL, 'u2');
SELECT is(pg_temp.credited('e', 'u2'), '21 dora',
          'a hit after its link was disabled is passed over');
INSERT INTO hype.referral_link (identifier, user_id, disabled)
VALUES ('then-off', 'dora', false), ('always-off', 'dora', true);
SELECT pg_temp.hit(132, 'then-off', 1, NULL, 'u18'),
       pg_temp.hit(133, 'always-off', 0, NULL, 'u18');
UPDATE hype.referral_link SET disabled = true WHERE identifier = 'then-off';
SELECT pg_temp.hit(134, 'then-off', 0, NULL, 'u18'),
       pg_temp.hit(135, 'then-off', 0, NULL, 'u19'),
       pg_temp.hit(136, 'always-off', 0, NULL, 'u19');
SELECT is(pg_temp.credited('e', 'u18'), '132 dora',
          'also in the transaction that disables the link');
SELECT is(pg_temp.credited('e', 'u19'), NULL,
          'and where it was made as a disabled one');
UPDATE hype.referral_link SET disabled = false WHERE identifier = 'then-off';
SELECT is(pg_temp.credited('e', 'u19'), '135 dora',
          'but not if it is enabled again');
SELECT pg_temp.hit(24, 'old', 30, NULL, 'u3'),
       pg_temp.hit(25, 'old', 20, NULL, 'u3');
SELECT is(pg_temp.credited('e', 'u3'), '24 dora',
          'so is one after it expired');
SELECT pg_temp.hit(26, 'a', 2, NULL, 'u4'),
       pg_temp.hit(27, 'b', 1, NULL, 'u4', true);
SELECT is(pg_temp.credited('e', 'u4'), '26 alice', 'and that of a bot');
SELECT hype.create_link('eve', identifier => 'gone');
SELECT pg_temp.hit(28, 'gone', 1, NULL, 'u5');
DELETE FROM hype.referral_link WHERE identifier = 'gone';
SELECT is(pg_temp.credited('e', 'u5'), NULL, 'and that of a deleted link');

-- Links without owner

SELECT pg_temp.hit(31, 'campaign', 1, NULL, 'u6'),
       pg_temp.hit(32, 'a', 2, NULL, 'u6');
SELECT is(pg_temp.credited('e', 'u6'), '31 -',
          'a link without owner counts, for nobody');

-- Visitors

SELECT pg_temp.hit(41, 'a', 5, 41), pg_temp.hit(42, 'b', 4, NULL, 'u7');
SELECT is(pg_temp.credited('e', 'u7', 41), '42 bob',
          'hits of the user and of the visitor compete');
SELECT is(pg_temp.credited('f', 'u7', 41, 'first'), '41 alice',
          'the visitor needs no claim');
SELECT hype.claim(pg_temp.v(41), 'u8');
SELECT is(pg_temp.credited('g', 'u7', 41, 'first'), '42 bob',
          'but one that another user has claimed does not count');
SELECT is(pg_temp.credited('g', NULL, 41), '41 alice',
          'a visitor stands for the user who claimed it');
SELECT is((SELECT user_id FROM hype.confirmed_referral
           WHERE event = 'g' AND referral_hit_id = pg_temp.v(41)), 'u8',
          'who is confirmed');
SELECT is(pg_temp.credited('g', 'u8'), NULL, 'once');

SELECT hype.claim(pg_temp.v(43), 'u8');
SELECT pg_temp.hit(43, 'b', 1, 43);
SELECT is(pg_temp.credited('h', 'u8'), '43 bob',
          'a hit whose claim is not applied yet counts');

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

-- Mistakes

SELECT throws_ok($$ SELECT hype.confirm('', 'u1') $$, '22023',
                 'hype.confirm: the event is empty');
SELECT throws_ok($$ SELECT hype.confirm(NULL, 'u1') $$, '22023',
                 'hype.confirm: the event is empty');
SELECT throws_ok($$ SELECT hype.confirm('e') $$, '22023',
                 'hype.confirm: neither user nor visitor');
SELECT throws_ok($$ SELECT hype.confirm('e', '') $$, '22023',
                 'hype.confirm: neither user nor visitor');
SELECT throws_ok($$ SELECT hype.confirm('e', 'u1', model => 'linear') $$,
    '22023', 'hype.confirm: the model is "linear", not "first" or "last"');
SELECT throws_ok($$ SELECT hype.confirm('e', 'u1', "window" => '-1 day') $$,
    '22023', 'hype.confirm: the window is "-1 days", not positive');
SELECT throws_ok($$ SELECT hype.confirm('e', 'u1', model => NULL) $$,
    '22023', 'hype.confirm: the model is "<NULL>", not "first" or "last"');

SELECT * FROM finish();
ROLLBACK;
