-- What is owed for confirmed referrals, and paid.  Calls at the same time are in
-- rewards.t.

BEGIN;
SET LOCAL client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS pgtap;

SELECT plan(93);

CREATE FUNCTION pg_temp.v(n integer) RETURNS uuid LANGUAGE sql IMMUTABLE AS
    $$ SELECT lpad(n::text, 32, '0')::uuid $$;

INSERT INTO hype.referral_link (id, identifier, user_id)
VALUES (900001, 'a', 'alice'), (900002, 'b', 'bob'), (900003, 'campaign', NULL);

-- A hit "n" days ago

CREATE FUNCTION pg_temp.hit(
    n integer, link bigint, days numeric, user_id text DEFAULT NULL,
    visitor integer DEFAULT NULL
)
RETURNS void LANGUAGE sql AS $$
    INSERT INTO hype.referral_hit
        (id, referral_link_id, created, visitor, user_id, authenticated)
    VALUES (pg_temp.v(n), link, now() - days * interval '1 day',
            pg_temp.v(hit.visitor), hit.user_id, hit.user_id IS NOT NULL)
$$;

CREATE FUNCTION pg_temp.balance(
    user_id text, currency text DEFAULT 'points'
)
RETURNS text LANGUAGE sql AS $$
    SELECT concat_ws(' ', b.pending, b.available, b.paid)
    FROM hype.balance b
    WHERE b.user_id = balance.user_id AND b.currency = balance.currency
$$;

-- What was given for an event

CREATE FUNCTION pg_temp.given(event text) RETURNS text LANGUAGE sql AS $$
    SELECT string_agg(concat_ws(' ', r.side, r.beneficiary, r.amount,
                                r.currency), ', ' ORDER BY r.id)
    FROM hype.reward r WHERE r.event = given.event
$$;

-- Rules, in words

CREATE FUNCTION pg_temp.refused(statement text, why text) RETURNS text
LANGUAGE sql AS $$
    SELECT throws_ok('INSERT INTO hype.reward_rule ' || statement, '23514',
                     'hype.reward_rule: ' || why, why)
$$;

SELECT pg_temp.refused(statement, why)
FROM (VALUES
    ('(side, amount) VALUES (''referrer'', 1)', 'the event is empty'),
    ('(event, side, amount) VALUES ('''', ''referrer'', 1)',
     'the event is empty'),
    ('(event, side, amount) VALUES (''e'', ''owner'', 1)',
     'the side is "owner", not "referrer" or "referred"'),
    ('(event, amount) VALUES (''e'', 1)',
     'the side is "", not "referrer" or "referred"'),
    ('(event, side) VALUES (''e'', ''referrer'')',
     'either amount or percent is to be given'),
    ('(event, side, amount, percent) VALUES (''e'', ''referrer'', 1, 1)',
     'either amount or percent is to be given'),
    ('(event, side, amount) VALUES (''e'', ''referrer'', 0)',
     'the amount is 0, no positive number'),
    ('(event, side, amount) VALUES (''e'', ''referrer'', -1)',
     'the amount is -1, no positive number'),
    ('(event, side, amount) VALUES (''e'', ''referrer'', ''NaN'')',
     'the amount is NaN, no positive number'),
    ('(event, side, amount) VALUES (''e'', ''referrer'', ''Infinity'')',
     'the amount is Infinity, no positive number'),
    ('(event, side, percent) VALUES (''e'', ''referrer'', 0)',
     'percent is 0, not above 0 and up to 100'),
    ('(event, side, percent) VALUES (''e'', ''referrer'', 100.1)',
     'percent is 100.1, not above 0 and up to 100'),
    ('(event, side, percent) VALUES (''e'', ''referrer'', ''NaN'')',
     'percent is NaN, not above 0 and up to 100'),
    ('(event, side, amount, currency) VALUES (''e'', ''referrer'', 1, '''')',
     'the currency is empty'),
    ('(event, side, amount, hold) VALUES (''e'', ''referrer'', 1, ''-1 day'')',
     'hold is "-1 days", not 0 to 100 years'),
    ('(event, side, amount, hold) VALUES (''e'', ''referrer'', 1, NULL)',
     'hold is "", not 0 to 100 years'),
    ('(event, side, amount, max_per_beneficiary) '
     'VALUES (''e'', ''referrer'', 1, 0)',
     'max_per_beneficiary is 0, not 1 or more'),
    ('(event, side, amount, valid_from, valid_until) '
     'VALUES (''e'', ''referrer'', 1, ''2024-01-02Z'', ''2024-01-01Z'')',
     'valid_until is not after valid_from')
) AS r (statement, why);

SELECT is((SELECT count(*) FROM hype.reward_rule), 0::bigint,
          'none of them is there');

INSERT INTO hype.reward_rule (id, event, side, amount, percent, currency)
VALUES (1, 'signup', 'referrer', 100, NULL, 'points'),
       (2, 'signup', 'referred', 20, NULL, 'points'),
       (3, 'order', 'referrer', NULL, 10, 'EUR'),
       (4, 'order', 'referred', 5, NULL, 'points');

SELECT throws_ok($$ UPDATE hype.reward_rule SET side = 'referred' $$, '23514',
    'hype.reward_rule: id, event and side of a rule stay: add another one',
    'a rule does not change sides');
-- Both sides, points and money, amounts and percent

SELECT pg_temp.hit(1, 900001, 1, 'u1');
SELECT is((SELECT referrer FROM hype.confirm('signup', 'u1')), 'alice',
          'a confirm');
SELECT is(pg_temp.given('signup'),
          'referrer alice 100 points, referred u1 20 points', 'rewards both');
SELECT is((SELECT count(*) FROM hype.confirm('signup', 'u1')), 0::bigint,
          'another one');
SELECT is(hype.record_confirm('signup', 'u1', NULL, NULL, now()), false,
          'be it of nginx');
SELECT is(pg_temp.balance('alice') || ', ' || pg_temp.balance('u1'),
          '0 100 0, 0 20 0', 'does not');
SELECT is((SELECT (r.kind, r.event, r.user_id, r.side, r.available_at = now(),
                   r.created = now(), r.reward_rule_id,
                   r.confirmed_referral_id = c.id)::text
           FROM hype.reward r, hype.confirmed_referral c
           WHERE r.beneficiary = 'u1' AND c.event = 'signup'),
          '(earned,signup,u1,referred,t,t,2,t)', 'an entry of the ledger');

SELECT pg_temp.hit(2, 900001, 1, 'u2');
SELECT hype.confirm('order', 'u2', value => 33.25);
SELECT is(pg_temp.given('order'),
          'referrer alice 3.33 EUR, referred u2 5 points',
          'percent are rounded to two decimals, halves up');
SELECT pg_temp.hit(3, 900001, 1, 'u3');
SELECT hype.confirm('order', 'u3');
SELECT is(pg_temp.balance('u3') || ', ' || pg_temp.balance('alice', 'EUR'),
          '0 5 0, 0 3.33 0', 'percent of no value are none');
SELECT pg_temp.hit(4, 900001, 1, 'u4'), pg_temp.hit(5, 900001, 1, 'u5'),
       pg_temp.hit(6, 900001, 1, 'u6');
SELECT hype.confirm('order', 'u4', value => 0.04);
SELECT hype.confirm('order', 'u5', value => -100);
SELECT is(pg_temp.balance('alice', 'EUR'), '0 3.33 0',
          'nor of next to nothing, or of less than nothing');
SELECT hype.confirm('order', 'u6', value => 9e199);
SELECT is(pg_temp.balance('alice', 'EUR'), format('0 %s 0', 9e198 + 3.33),
          'but of a lot');

SELECT hype.confirm('other', 'u1');
SELECT is(pg_temp.given('other'), NULL, 'an event without a rule');

SELECT pg_temp.hit(7, 900003, 1, 'u7');
SELECT hype.confirm('signup', 'u7');
SELECT is((SELECT string_agg(r.side, ',') FROM hype.reward r
           JOIN hype.confirmed_referral c ON c.id = r.confirmed_referral_id
           WHERE c.user_id = 'u7'), 'referred',
          'a link without owner rewards the user only');

-- Which rule is valid is decided by the time of the confirm.

INSERT INTO hype.reward_rule (event, side, amount, valid_from, valid_until)
VALUES ('sale', 'referrer', 1, NULL, now() - interval '2 days'),
       ('sale', 'referrer', 2, now() - interval '2 days',
        now() - interval '1 day'),
       ('sale', 'referrer', 4, now() - interval '1 day', NULL);

SELECT pg_temp.hit(10 + n, 900002, 5, 's' || n) FROM generate_series(1, 4) n;
SELECT hype.record_confirm('sale', 's1', NULL, NULL, now() - interval '3 days'),
       hype.record_confirm('sale', 's2', NULL, NULL, now() - interval '2 days'),
       hype.record_confirm('sale', 's3', NULL, NULL, now() - interval '1 day'),
       hype.record_confirm('sale', 's4', NULL, NULL, now());
SELECT is(pg_temp.given('sale'), 'referrer bob 1 points, referrer bob 2 points, '
          'referrer bob 4 points, referrer bob 4 points', 'valid rules');

-- On hold, from the confirm on

INSERT INTO hype.reward_rule (event, side, amount, hold, currency)
VALUES ('held', 'referrer', 7, '14 days', 'held');

SELECT pg_temp.hit(20, 900002, 30, 'h1'), pg_temp.hit(21, 900002, 30, 'h2');
SELECT hype.record_confirm('held', 'h1', NULL, NULL, now() - interval '13 days');
SELECT is(pg_temp.balance('bob', 'held'), '7 0 0', 'on hold');
SELECT is(hype.pay_out('bob', 'held', 'held 1'), 0::numeric, 'not paid yet');
SELECT hype.record_confirm('held', 'h2', NULL, NULL, now() - interval '14 days');
SELECT is(pg_temp.balance('bob', 'held'), '7 7 0', 'the hold is over');
SELECT is(hype.pay_out('bob', 'held', 'held 2'), 7::numeric, 'and it is paid');
SELECT is(pg_temp.balance('bob', 'held'), '7 0 7', 'what is on hold is not');
SELECT hype.revoke('held', 'h1');
SELECT is(pg_temp.balance('bob', 'held'), '0 0 7', 'nor when it is revoked');
SELECT hype.revoke('held', 'h2');
SELECT is(pg_temp.balance('bob', 'held'), '0 -7 7',
          'what is revoked after it was paid, is owed back');

-- At most so many

INSERT INTO hype.reward_rule (id, event, side, amount, currency,
                              max_per_beneficiary)
VALUES (50, 'few', 'referrer', 1, 'few', 2), (51, 'few', 'referred', 1, 'few', 1);

SELECT pg_temp.hit(30 + n, 900001, 1, 'f' || n) FROM generate_series(1, 6) n;
SELECT count(*) FROM generate_series(1, 4) n,
    LATERAL hype.confirm('few', 'f' || n) \g /dev/null
SELECT is(pg_temp.balance('alice', 'few'), '0 2 0', 'two at most');
SELECT is(pg_temp.balance('f4', 'few'), '0 1 0', 'for each beneficiary');
SELECT hype.revoke('few', 'f1');
SELECT is(pg_temp.balance('alice', 'few'), '0 1 0', 'one is taken back');
SELECT hype.confirm('few', 'f5');
SELECT is(pg_temp.balance('alice', 'few'), '0 2 0', 'makes room for another');
UPDATE hype.reward_rule SET max_per_beneficiary = NULL WHERE id = 50;
SELECT hype.confirm('few', 'f6');
SELECT is(pg_temp.balance('alice', 'few'), '0 3 0', 'without a limit');
UPDATE hype.reward_rule SET max_per_beneficiary = 4 WHERE id = 50;
SELECT pg_temp.hit(40 + n, 900001, 1, 'f1' || n) FROM generate_series(1, 3) n;
SELECT count(*) FROM generate_series(1, 3) n,
    LATERAL hype.confirm('few', 'f1' || n) \g /dev/null
SELECT is(pg_temp.balance('alice', 'few'), '0 4 0',
          'a limit counts what was given before');

-- A visitor: the referrer's at once, the user's when there is one

SELECT pg_temp.hit(60, 900001, 1, NULL, 60);
SELECT hype.confirm('order', visitor => pg_temp.v(60), value => 10);
SELECT is((SELECT string_agg(r.side, ',') FROM hype.reward r
           JOIN hype.confirmed_referral c ON c.id = r.confirmed_referral_id
           WHERE c.visitor = pg_temp.v(60)), 'referrer', 'of a visitor');
SELECT hype.claim(pg_temp.v(60), 'claimed');
SELECT is(pg_temp.balance('claimed'), '0 5 0', 'who is claimed');
SELECT is((SELECT count(*) FROM hype.reward r
           JOIN hype.confirmed_referral c ON c.id = r.confirmed_referral_id
           WHERE c.visitor = pg_temp.v(60)), 2::bigint, 'nothing else');

-- Credit that moves: a hit that deserves it comes late

DELETE FROM hype.reward_rule WHERE id IN (1, 2);
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
SELECT is(pg_temp.balance('bob', 'held'), '7 -7 7', 'and one that is not');
DELETE FROM hype.confirmed_referral WHERE user_id IN ('d1', 'd2');
SELECT is(pg_temp.balance('bob', 'm'), '0 0 25', 'what was paid stays');
SELECT is(pg_temp.balance('bob', 'held'), '0 -7 7', 'the other is taken back');

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
SELECT is(pg_temp.balance('alice', 'few'), '0 20005 0',
          'though there are many');

SELECT * FROM finish();
ROLLBACK;
