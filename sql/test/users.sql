-- Users: ids that are numbers, and what is stored of a user, to be shown and
-- to be deleted for good.

SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS pgtap;
\ir include/derive.sql

SELECT plan(47);

CREATE FUNCTION pg_temp.v(n integer) RETURNS uuid LANGUAGE sql
    RETURN ('00000000-0000-4000-8000-' || lpad(n::text, 12, '0'))::uuid;

INSERT INTO hype.referral_link (id, identifier, user_id)
VALUES (900001, 'u-alice', 'alice'), (900002, 'u-bob', 'bob');

INSERT INTO hype.referral_hit (id, referral_link_id, created, visitor)
SELECT pg_temp.v(n), 900001, now() - interval '1 day', pg_temp.v(n)
FROM generate_series(1, 9) AS n;

-- Numbers and text

SELECT is((hype.create_link(42)).user_id, '42', 'create_link(42)');
SELECT is((hype.create_link('42')).user_id, '42', 'create_link(''42'')');
SELECT is((hype.create_link(NULL)).user_id, NULL, 'create_link(NULL)');
SELECT is((hype.create_link()).user_id, NULL, 'create_link()');
SELECT is((hype.create_link(user_id => 42::smallint, identifier => 'u-42'))
              .user_id, '42', 'create_link() with names');
SELECT is((hype.create_link(identifier => 'u-none')).user_id, NULL,
          'create_link() without a user');

SELECT is(hype.claim(pg_temp.v(1), 42), '42', 'claim(visitor, 42)');
SELECT is(hype.claim(pg_temp.v(2), '42'), '42', 'claim(visitor, ''42'')');
SELECT is(hype.claim('00000000-0000-4000-8000-000000000003', user_id => 42),
          '42', 'claim() with literals and names');
SELECT is(hype.claim(pg_temp.v(4), user_id => 43::bigint), '43', 'a bigint');
SELECT throws_ok($$ SELECT hype.claim(pg_temp.v(5), NULL) $$, '22023',
                 'hype.claim: no user', 'claim(visitor, NULL)');

SELECT is((SELECT referrer FROM hype.confirm('n1', 42)), 'alice',
          'confirm(''n1'', 42)');
SELECT is((SELECT user_id FROM hype.confirm('n2', '42')), '42',
          'confirm(''n2'', ''42'')');
SELECT is((SELECT user_id FROM hype.confirm('n3', 42::integer, value => 5)),
          '42', 'confirm(''n3'', 42::integer)');
SELECT is((SELECT user_id FROM hype.confirm('n4', user_id => 42)), '42',
          'confirm() with names');
SELECT is((SELECT user_id FROM hype.confirm('n5', user_id => '42',
                                            model => 'first')), '42',
          'confirm() with names and text');
SELECT is((SELECT visitor FROM hype.confirm('n6', visitor => pg_temp.v(6))),
          pg_temp.v(6), 'confirm() of a visitor');
SELECT is((SELECT visitor FROM hype.confirm('n7', NULL, pg_temp.v(6))),
          pg_temp.v(6), 'confirm() of a visitor, and NULL');
SELECT throws_ok($$ SELECT hype.confirm('n8', NULL) $$, '22023',
                 'hype.confirm: neither user nor visitor',
                 'confirm(''n8'', NULL)');

PREPARE confirm AS SELECT user_id FROM hype.confirm($1, $2);
SELECT results_eq($$ EXECUTE confirm('n9', '42') $$, ARRAY['42'],
                  'parameters of no type are text');

-- What is stored

INSERT INTO hype.reward_rule (event, side, amount)
VALUES ('bought', 'referrer', 2), ('bought', 'referred', 1),
       ('bought again', 'referrer', 4);

SELECT hype.claim(pg_temp.v(7), 'bob');
SELECT hype.confirm('bought', 'bob', value => 7);
SELECT hype.pay_out('bob', 'points', 'the first');
SELECT hype.confirm('bought again', 'bob', value => 8);
INSERT INTO hype.referral_hit (id, referral_link_id, created, user_id,
                               authenticated)
VALUES (pg_temp.v(100), 900001, now() - interval '1 hour', 'bob', true),
       (pg_temp.v(101), 900002, now() - interval '1 hour', 'carl', true);
SELECT hype.confirm('bought', 'carl');
SELECT hype.confirm_batch('{late}', '{bob}', '{NULL}', '{NULL}',
                          ARRAY[now() - interval '1 year']);
CALL pg_temp.derive();
SELECT hype.roll_up();

SELECT is(hype.export('bob') -> 'visitors', to_jsonb(ARRAY[pg_temp.v(7)]),
          'export: visitors');
SELECT is(jsonb_array_length(hype.export('bob') -> 'hits'), 2, 'hits');
SELECT is(hype.export('bob') #>> '{links,0,identifier}', 'u-bob', 'links');
SELECT is(hype.export('bob') #>> '{confirmed,0,value}', '7', 'what he did');
SELECT is(hype.export('bob') #>> '{referred,0,event}', 'bought',
          'what others did by his link');
SELECT is((SELECT string_agg(r ->> 'amount', ' ' ORDER BY r ->> 'amount')
           FROM jsonb_array_elements(hype.export('bob') -> 'rewards') AS r),
          '-1 1 2', 'his rewards, and pay-outs');
SELECT ok(hype.export('bob')::text !~ 'carl', 'but not who');
SELECT is(hype.export('bob') #>> '{pending,0,event}', 'late', 'what waits');
SELECT is(jsonb_array_length(hype.export(42) -> 'hits'), 3, 'of a number');
SELECT is(hype.export('nobody') -> 'hits', '[]', 'of nobody');

-- Erased

CREATE TEMPORARY TABLE before AS
    SELECT identifier, hits, unique_visitors, confirmed, confirmations, value
    FROM hype.link_stats WHERE referral_link_id = 900001;

SELECT is(hype.erase('bob'), 2::bigint, 'erase: two hits');
INSERT INTO hype.referral_hit (id, referral_link_id, created, visitor)
VALUES (pg_temp.v(400), 900002, now() - interval '1 hour', pg_temp.v(17));
SELECT hype.claim(pg_temp.v(17), 'zoe');
CREATE TEMPORARY TABLE zoe AS
    SELECT hits, unique_visitors, linked_users
    FROM hype.link_stats WHERE referral_link_id = 900002;
SELECT is(hype.erase('zoe'), 1::bigint, 'a hit that was not rolled up');
SELECT results_eq($$ SELECT hits, unique_visitors, linked_users
                     FROM hype.link_stats WHERE referral_link_id = 900002 $$,
                  'SELECT * FROM zoe', 'stays in the totals');

CALL pg_temp.derive();
SELECT hype.roll_up();

CREATE FUNCTION pg_temp.traces(what text) RETURNS SETOF text
LANGUAGE plpgsql AS $$
DECLARE
    t regclass;
    n bigint;
BEGIN
    FOR t IN SELECT c.oid FROM pg_class c
             WHERE c.relnamespace = 'hype'::regnamespace
               AND c.relkind IN ('r', 'p')
    LOOP
        EXECUTE format('SELECT count(*) FROM %s AS t WHERE strpos(t::text, $1) '
                       '> 0', t) INTO n USING what;
        IF n > 0 THEN
            RETURN NEXT t;
        END IF;
    END LOOP;
END
$$;

SELECT is_empty($$ SELECT pg_temp.traces('bob') $$, 'no table has the user');
SELECT is_empty($$ SELECT pg_temp.traces(pg_temp.v(7)::text) $$,
                'nor the visitor');
SELECT is_empty($$ SELECT pg_temp.traces(pg_temp.v(100)::text) $$,
                'nor the hit');
SELECT bag_eq($$
    SELECT identifier, hits, unique_visitors, confirmed, confirmations, value
    FROM hype.link_stats WHERE referral_link_id = 900001
$$, 'SELECT * FROM before', 'totals stay');
SELECT is(hype.export('bob') - 'user_id',
          '{"visitors": [], "links": [], "aliases": [], "hits": [],
            "confirmed": [], "referred": [], "rewards": [], "pending": []}', 'there is nothing to export');

SELECT is((SELECT string_agg(r.amount::text, ' ' ORDER BY r.id)
           FROM hype.reward r WHERE r.beneficiary IS NULL), '1 -1 2 -2',
          'of the ledger the sums stay; what was not paid is taken back');
SELECT is((SELECT (pending, available, paid)::text FROM hype.balance
           WHERE user_id = 'alice'), '(0,6,0)',
          'a referrer is owed as much as before');
SELECT is(hype.pay_out('bob', 'points', 'another'), 0::numeric,
          'a new user of that name is owed nothing');
SELECT hype.erase('bob');

-- What a spool has, comes later

SELECT is(hype.replay(ARRAY[pg_temp.v(200), pg_temp.v(201)],
                      '{900001, 900001}',
                      ARRAY[now() - interval '2 days', now() - interval '2 days'],
                      '{f, t}', '{f, f}', ARRAY[pg_temp.v(7), NULL],
                      '{NULL, bob}', '{NULL, NULL}', '{a, a}', '{NULL, NULL}',
                      '{NULL, NULL}', '{NULL, NULL}'), 0::bigint,
          'hits are left out');
SELECT is(hype.claim_batch(ARRAY[pg_temp.v(7), pg_temp.v(8)], '{x, bob}',
                           ARRAY[now() - interval '1 day',
                                 now() - interval '1 day']), 1::bigint,
          'claims of the visitor, too; one of the user erases the visitor');
SELECT is(hype.confirm_batch('{e, e}', '{bob, NULL}',
                             ARRAY[NULL, pg_temp.v(7)], '{NULL, NULL}',
                             ARRAY[now() - interval '1 day',
                                   now() - interval '1 day']), 0::bigint,
          'and confirms');
INSERT INTO hype.referral_hit (id, referral_link_id, created, visitor)
VALUES (pg_temp.v(300), 900001, now() - interval '1 minute', pg_temp.v(7)),
       (pg_temp.v(301), 900001, now() + interval '1 minute', pg_temp.v(7));
SELECT hype.roll_up();
CALL pg_temp.derive();
SELECT is_empty($$ SELECT FROM hype.visit WHERE subject = pg_temp.v(7)
                   AND quarter < hype.quarter(now() + interval '1 minute') $$,
                'a roll-up that comes first keeps no visit of it');
SELECT results_eq($$ SELECT id FROM hype.referral_hit
                     WHERE visitor = pg_temp.v(7) $$,
                  ARRAY[pg_temp.v(301)],
                  'a hit that is written late goes, a new one stays');
SELECT is_empty($$ SELECT pg_temp.traces(pg_temp.v(8)::text) $$,
                'no table has the visitor that the claim named');

SELECT * FROM finish();
