-- What reward rules give for confirmed referrals, when, and to whom.

BEGIN;
SET LOCAL client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS pgtap;
\ir include/rewards.sql

SELECT plan(49);

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

SELECT * FROM finish();
ROLLBACK;
