-- What is owed for confirmed referrals, and paid.  Calls at the same time are in
-- rewards.t.

BEGIN;
SET LOCAL client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS pgtap;
\ir include/rewards.sql

SELECT plan(44);

INSERT INTO hype.reward_rule (id, event, side, amount, percent, currency, hold)
VALUES (48, 'order', 'referrer', NULL, 10, 'EUR', '0'),
       (49, 'order', 'referred', 5, NULL, 'points', '0'),
       (50, 'few', 'referrer', 1, NULL, 'few', '0'),
       (51, 'held', 'referrer', 7, NULL, 'held', '14 days');

SELECT pg_temp.hit(1, 900001, 1, 'u1');

-- Credit that moves: a hit that deserves it comes late

INSERT INTO hype.reward_rule (event, side, amount, currency)
VALUES ('moved', 'referrer', 10, 'm'), ('moved', 'referred', 1, 'm');

SELECT pg_temp.hit(70, 900001, 5, 'm1'), pg_temp.hit(71, 900001, 5, 'm2');
SELECT hype.record_confirm('moved', 'm1', NULL, NULL, now() - interval '1 day'),
       hype.record_confirm('moved', 'm2', NULL, NULL, now() - interval '1 day');
SELECT is(pg_temp.balance('alice', 'm'), '0 20 0', 'two of alice');
SELECT pg_temp.hit(72, 900002, 3, 'm1');
SELECT hype.record_confirm('moved', 'm1', NULL, NULL, now() - interval '1 day');
SELECT is(pg_temp.balance('alice', 'm'), '0 10 0', 'one is taken back');
SELECT is(pg_temp.balance('bob', 'm'), '0 10 0', 'as it is bob''s');
SELECT is(pg_temp.balance('m1', 'm'), '0 1 0', 'the user has got it once');
SELECT is((SELECT string_agg(r.kind || ' ' || r.amount, ', ' ORDER BY r.id)
           FROM hype.reward r
           WHERE r.user_id = 'm1' AND r.side = 'referrer'),
          'earned 10, taken_back -10, earned 10', 'by a contrary entry');
SELECT pg_temp.hit(73, 900001, 2, 'm1');
SELECT hype.record_confirm('moved', 'm1', NULL, NULL, now() - interval '1 day');
SELECT is(pg_temp.balance('alice', 'm') || ', ' || pg_temp.balance('bob', 'm'),
          '0 20 0, 0 0 0', 'and back again');

SELECT is(hype.pay_out('alice', 'm', 'm 1'), 20::numeric, 'it is paid');
SELECT pg_temp.hit(74, 900002, 1.5, 'm1');
SELECT hype.record_confirm('moved', 'm1', NULL, NULL, now() - interval '1 day');
SELECT is((SELECT referrer FROM hype.confirmed_referral
           WHERE user_id = 'm1' AND event = 'moved'), 'alice',
          'a credit that was paid stays');
SELECT is(pg_temp.balance('alice', 'm') || ', ' || pg_temp.balance('bob', 'm'),
          '0 0 20, 0 0 0', 'and so do the rewards');

-- A visitor who owned the link: that never was a referral

SELECT pg_temp.hit(80, 900001, 2, NULL, 80);
SELECT hype.confirm('moved', visitor => pg_temp.v(80));
SELECT is(pg_temp.balance('alice', 'm'), '0 10 20', 'of a visitor');
SELECT hype.claim(pg_temp.v(80), 'alice');
SELECT is(pg_temp.balance('alice', 'm'), '0 0 20', 'who was alice');

-- Of a visitor and the user only one is confirmed: one reward

SELECT pg_temp.hit(81, 900001, 2, NULL, 81), pg_temp.hit(82, 900001, 2, 'm3');
SELECT hype.record_confirm('moved', NULL, pg_temp.v(81), NULL, now());
SELECT hype.record_confirm('moved', 'm3', NULL, NULL,
                           now() - interval '1 hour');
SELECT is(pg_temp.balance('alice', 'm'), '0 20 20', 'two, as far as known');
SELECT hype.claim(pg_temp.v(81), 'm3');
SELECT is(pg_temp.balance('alice', 'm'), '0 10 20', 'are one');

-- A change of a rule changes nothing that is there.

UPDATE hype.reward_rule SET amount = amount * 2 WHERE event = 'moved';
SELECT pg_temp.hit(83, 900001, 2, NULL, 83);
SELECT hype.confirm('moved', visitor => pg_temp.v(83));
SELECT is(pg_temp.balance('alice', 'm'), '0 30 20', 'the next one has more');
DELETE FROM hype.reward_rule WHERE event = 'moved';
SELECT hype.claim(pg_temp.v(83), 'm4');
SELECT is(pg_temp.balance('alice', 'm'), '0 30 20', 'without the rule, too');

-- Paying

SELECT is(hype.pay_out('alice', 'm', 'm 2'), 30::numeric, 'what is available');
SELECT is(hype.pay_out('alice', 'm', 'm 2'), 30::numeric,
          'again, the same amount');
SELECT is(pg_temp.balance('alice', 'm'), '0 0 50', 'but it is paid once');
SELECT is(hype.pay_out('alice', 'm', 'm 3'), 0::numeric, 'nothing is left');
SELECT hype.revoke('moved', 'm1');
SELECT is(hype.pay_out('alice', 'm', 'm 4'), 0::numeric,
          'nor is it less than nothing');
SELECT is(pg_temp.balance('alice', 'm'), '0 -10 50', 'what is owed back');
INSERT INTO hype.reward_rule (event, side, amount, currency)
VALUES ('next', 'referrer', 25, 'm');
SELECT hype.confirm('next', 'u1');
SELECT is(hype.pay_out('alice', 'm', 'm 3'), 0::numeric,
          'a reference is used up, though nothing was paid');
SELECT is(hype.pay_out('alice', 'm', 'm 5'), 15::numeric,
          'the next pay-out has less');
SELECT is(hype.pay_out('nobody', 'm', 'm 6'), 0::numeric,
          'nobody in particular');

SELECT throws_ok($$ SELECT hype.pay_out('bob', 'm', 'm 5') $$, '23505',
    'hype.pay_out: the reference "m 5" is of a pay-out to another user, or in '
    'another currency', 'a reference of another user');
SELECT throws_ok($$ SELECT hype.pay_out('alice', 'points', 'm 5') $$, '23505',
    'hype.pay_out: the reference "m 5" is of a pay-out to another user, or in '
    'another currency', 'or of another currency');
SELECT throws_ok(format('SELECT hype.pay_out(%L, %L, %L)', u, c, r), '22023',
                 'hype.pay_out: no ' || what, 'no ' || what)
FROM (VALUES ('', 'm', 'x', 'user'), (NULL, 'm', 'x', 'user'),
             ('u', '', 'x', 'currency'), ('u', NULL, 'x', 'currency'),
             ('u', 'm', '', 'reference'), ('u', 'm', NULL, 'reference'))
     AS p (u, c, r, what);
SELECT throws_ok($$ SELECT hype.pay_out('u', 'm', repeat('x', 1001)) $$,
    '22023', 'hype.pay_out: the reference is longer than 1000 bytes',
    'a long reference');

INSERT INTO hype.referral_link (id, identifier, user_id)
VALUES (900004, 'd', '42');
SELECT pg_temp.hit(90, 900004, 1, 'n1');
SELECT hype.confirm('next', 'n1');
SELECT is(hype.pay_out(42, 'm', 'n 1'), 25::numeric, 'a user that is a number');
SELECT is(hype.pay_out('42', 'm', 'n 1'), 25::numeric, 'or a text');

-- The ledger

SELECT throws_ok(statement, '23001',
                 'hype.reward: entries of the ledger stay as they are',
                 statement)
FROM unnest(ARRAY['UPDATE hype.reward SET amount = 1',
                  'DELETE FROM hype.reward']) AS statement;
SELECT is((SELECT sum(pending + available + paid) FROM hype.balance),
          (SELECT sum(amount) FROM hype.reward WHERE kind <> 'paid'),
          'what was given and not taken back, is pending, available or paid');

-- Rows that are deleted by hand, as they are old

SELECT pg_temp.hit(91, 900002, 1, 'd1'), pg_temp.hit(92, 900002, 1, 'd2');
SELECT hype.confirm('next', 'd1');
SELECT is(hype.pay_out('bob', 'm', 'd 1'), 25::numeric, 'one that is paid');
SELECT hype.record_confirm('held', 'd2', NULL, NULL, now());
SELECT is(pg_temp.balance('bob', 'held'), '7 0 0', 'and one that is not');
DELETE FROM hype.confirmed_referral WHERE user_id IN ('d1', 'd2');
SELECT is(pg_temp.balance('bob', 'm'), '0 0 25', 'what was paid stays');
SELECT is(pg_temp.balance('bob', 'held'), '0 0 0', 'the other is taken back');

-- What it costs does not grow with what the beneficiary has.

ALTER TABLE hype.reward DISABLE TRIGGER reward_event;
INSERT INTO hype.reward (kind, event, side, beneficiary, amount, currency,
                         available_at, confirmed_referral_id, reward_rule_id, n)
SELECT 'earned', 'few', 'referrer', 'alice', 1, 'few', now(), -i, 50, 1
FROM generate_series(1, 20000) AS i;
ALTER TABLE hype.reward ENABLE TRIGGER reward_event;
UPDATE hype.reward_rule SET max_per_beneficiary = 100000 WHERE id = 50;

CREATE FUNCTION pg_temp.rows_read() RETURNS bigint LANGUAGE sql AS $$
    SELECT sum(pg_stat_get_xact_tuples_returned(oid))
    FROM (SELECT 'hype.reward'::regclass UNION ALL
          SELECT indexrelid FROM pg_index
          WHERE indrelid = 'hype.reward'::regclass) AS r (oid)
$$;

SELECT pg_temp.hit(100 + n, 900001, 1, 'c' || n) FROM generate_series(1, 3) n;
SELECT hype.confirm('few', 'c1');
SELECT pg_temp.rows_read() AS rows_before \gset
SELECT hype.confirm('few', 'c2'), hype.confirm('order', 'c3', value => 1),
       hype.revoke('few', 'c2');
SELECT cmp_ok(pg_temp.rows_read() - :rows_before, '<', 100::bigint,
              'a confirm reads a few entries of the ledger');
SELECT is(pg_temp.balance('alice', 'few'), '0 20001 0',
          'though there are many');

SELECT * FROM finish();
ROLLBACK;
