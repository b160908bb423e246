-- What is told to those who follow hype.event.  Transactions side by side are in
-- events.t.

SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS pgtap;
\ir include/derive.sql

SELECT plan(30);

CREATE FUNCTION pg_temp.v(n integer) RETURNS uuid LANGUAGE sql
    RETURN ('00000000-0000-4000-8000-' || lpad(n::text, 12, '0'))::uuid;

INSERT INTO hype.referral_link (id, identifier, user_id)
VALUES (900001, 'a', 'alice'), (900002, 'b', 'bob');
INSERT INTO hype.reward_rule (event, side, amount, currency)
VALUES ('order', 'referrer', 1.5, 'EUR'), ('order', 'referred', 10, 'points');
INSERT INTO hype.referral_hit (id, referral_link_id, created, visitor)
SELECT pg_temp.v(n), 900001, now() - interval '2 days', pg_temp.v(n)
FROM generate_series(1, 9) AS n;

-- The events since the last call, with some of what they say

CREATE TEMPORARY TABLE follower AS SELECT 0::bigint AS id;

CREATE FUNCTION pg_temp.news(VARIADIC keys text[] DEFAULT '{}')
RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
    e hype.event;
BEGIN
    FOR e IN SELECT * FROM hype.events_after((SELECT id FROM follower)) LOOP
        UPDATE follower SET id = e.id;
        RETURN NEXT e.kind || coalesce(
            (SELECT string_agg(' ' || coalesce(e.payload ->> k, '-'), ''
                               ORDER BY n)
             FROM unnest(keys) WITH ORDINALITY AS u (k, n)), '');
    END LOOP;
END
$$;

SELECT is_empty('SELECT pg_temp.news()', 'nothing has happened');

SELECT hype.claim(pg_temp.v(1), 'u1');
SELECT results_eq($$ SELECT pg_temp.news('user_id', 'visitor') $$,
                  ARRAY['claim u1 ' || pg_temp.v(1)], 'a claim');
SELECT hype.claim(pg_temp.v(1), 'u1'), hype.claim(pg_temp.v(1), 'u2');
CALL pg_temp.derive();
SELECT is_empty('SELECT pg_temp.news()', 'that is made once');
SELECT hype.claim_batch(ARRAY[pg_temp.v(2)], '{u2}', ARRAY[now()]);
CALL pg_temp.derive();
SELECT results_eq($$ SELECT pg_temp.news('user_id') $$, ARRAY['claim u2'],
                  'one of nginx');
SELECT hype.claim_batch(ARRAY[pg_temp.v(2)], '{early}',
                        ARRAY[now() - interval '1 day']);
CALL pg_temp.derive();
SELECT results_eq($$ SELECT pg_temp.news('user_id') $$, ARRAY['claim early'],
                  'an earlier one');

SELECT hype.confirm('order', 'u1', value => 49.90);
SELECT results_eq($$
    SELECT pg_temp.news('event', 'user_id', 'referrer', 'value', 'moved', 'side',
                        'beneficiary', 'amount', 'currency')
$$, ARRAY['confirm order u1 alice 49.90 false - - - -',
          'reward order u1 - - - referrer alice 1.5 EUR',
          'reward order u1 - - - referred u1 10 points'],
    'a confirm, with rewards');
SELECT hype.confirm('order', 'u1');
SELECT is_empty('SELECT pg_temp.news()', 'that is made once');

SELECT is((SELECT (jsonb_typeof(payload -> 'id'),
                   payload ->> 'referral_link_id', payload ->> 'referral_hit_id',
                   (payload ->> 'created')::timestamptz
                       = (SELECT created FROM hype.confirmed_referral))::text
           FROM hype.events_after(0) WHERE kind = 'confirm'),
          format('(number,900001,%s,t)', pg_temp.v(1)), 'with all of it');

SELECT hype.pay_out('alice', 'EUR', 'p1'), hype.pay_out('alice', 'EUR', 'p1'),
       hype.pay_out('alice', 'EUR', 'p2');
SELECT results_eq($$ SELECT pg_temp.news('user_id', 'amount', 'currency',
                                         'reference') $$,
                  ARRAY['pay_out alice 1.5 EUR p1'],
                  'a pay-out; none of nothing');

SELECT hype.revoke('order', 'u1', 'sent back');
SELECT results_eq($$
    SELECT pg_temp.news('event', 'user_id', 'reason', 'kind', 'amount')
$$, ARRAY['revoke order u1 sent back - -',
          'reward order u1 - taken_back -1.5',
          'reward order u1 - taken_back -10'], 'a revocation');
SELECT hype.revoke('order', 'u1');
SELECT is_empty('SELECT pg_temp.news()', 'that is made once');

-- Of nginx; and credit that moves

SELECT hype.confirm_batch('{order}', '{early}', '{NULL}', '{1}', ARRAY[now()]);
CALL pg_temp.derive();
SELECT results_eq($$ SELECT pg_temp.news('user_id', 'referrer', 'moved') $$,
                  ARRAY['confirm early alice false', 'reward early - -',
                        'reward early - -'], 'a confirm of nginx');
INSERT INTO hype.referral_hit (id, referral_link_id, created, user_id,
                               authenticated)
VALUES (pg_temp.v(20), 900002, now() - interval '1 minute', 'early', true);
CALL pg_temp.derive();
SELECT results_eq($$ SELECT pg_temp.news('referrer', 'moved', 'beneficiary',
                                         'amount') $$,
                  ARRAY['confirm bob true - -', 'reward - - alice -1.5',
                        'reward - - bob 1.5'], 'a hit that comes late');

-- Of a visitor, who is somebody then, or the owner of the link

SELECT hype.confirm('order', visitor => pg_temp.v(3));
SELECT results_eq($$ SELECT pg_temp.news('visitor', 'user_id', 'side') $$,
                  ARRAY['confirm ' || pg_temp.v(3) || ' - -',
                        'reward - - referrer'], 'of a visitor');
SELECT hype.claim(pg_temp.v(3), 'u3');
SELECT results_eq($$ SELECT pg_temp.news('user_id', 'side') $$,
                  ARRAY['claim u3 -', 'reward u3 referred'], 'who is claimed');
SELECT hype.confirm('order', visitor => pg_temp.v(4));
SELECT count(*) FROM pg_temp.news();
SELECT hype.claim(pg_temp.v(4), 'alice');
CALL pg_temp.derive();
SELECT results_eq($$ SELECT pg_temp.news('user_id', 'amount') $$,
                  ARRAY['claim alice -', 'revoke - -', 'reward - -1.5'],
                  'by the owner of the link');

-- By number

SELECT is((SELECT array_agg(id) FROM hype.events_after(2, 3)),
          ARRAY[3, 4, 5]::bigint[], 'three after the second one');
SELECT is((SELECT count(*) FROM hype.events_after(0)),
          (SELECT count(*) FROM hype.event), 'all of them');
SELECT is((SELECT count(*) FROM hype.events_after(1000000)), 0::bigint,
          'none after the last one');
SELECT throws_ok(statement, '22023', 'hype.events_after: ' || why, why)
FROM (VALUES ('SELECT hype.events_after(NULL)', 'no number'),
             ('SELECT hype.events_after(0, 0)', 'max is 0, not 1 or more'),
             ('SELECT hype.events_after(0, NULL)',
              'max is <NULL>, not 1 or more')) AS s (statement, why);

BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT throws_ok('SELECT hype.events_after(0)', '25000',
                 'hype.events_after: reading events needs READ COMMITTED',
                 'in a higher isolation level');
ROLLBACK;

-- What a transaction has written itself

BEGIN;
SELECT hype.claim(pg_temp.v(5), 'u5');
SELECT is((SELECT count(*) FROM hype.events_after((SELECT id FROM follower))),
          1::bigint, 'one''s own');
ROLLBACK;
SELECT is((SELECT count(*) FROM hype.events_after((SELECT id FROM follower))),
          0::bigint, 'that is rolled back');

-- Erased

SELECT hype.erase('u1'), hype.erase('alice');
SELECT is_empty($$
    SELECT * FROM hype.event e
    WHERE e::text ~ ('"(u1|alice|sent back|' || pg_temp.v(1) || ')"')
$$, 'erase: the user is in no event');
SELECT is((SELECT count(*) FROM hype.event
           WHERE payload ->> 'user_id' = 'u3'), 2::bigint, 'others are');

-- Forgotten

UPDATE hype.event SET at = now() - interval '29 days' WHERE id = 2;
UPDATE hype.event SET at = now() - interval '31 days' WHERE id <> 2;
SELECT hype.maintain();
SELECT is((SELECT min(id) FROM hype.event), 2::bigint,
          'maintain forgets events after 30 days');
UPDATE hype.event SET at = now() - interval '31 days';
SELECT hype.maintain();
SELECT is((SELECT count(*) FROM hype.event), 0::bigint, 'all of them');
SELECT hype.claim(pg_temp.v(6), 'u6');
SELECT results_eq($$ SELECT pg_temp.news('user_id') $$, ARRAY['claim u6'],
                  'and numbers go on');

SELECT * FROM finish();
