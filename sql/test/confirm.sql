-- hype.confirm(): who is credited.  Concurrent calls are in confirm.t.

BEGIN;
SET LOCAL client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS pgtap;
\ir include/confirm.sql

SELECT plan(40);

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
