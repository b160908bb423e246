-- hype.revoke(): a confirmed referral turned out to be none.

SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS pgtap;
\ir include/derive.sql

SELECT plan(51);

CREATE FUNCTION pg_temp.v(n integer) RETURNS uuid LANGUAGE sql
    RETURN ('00000000-0000-4000-8000-' || lpad(n::text, 12, '0'))::uuid;

INSERT INTO hype.referral_link (id, identifier, user_id)
VALUES (900001, 'a', 'alice'), (900002, 'b', 'bob');
INSERT INTO hype.reward_rule (event, side, amount)
VALUES ('order', 'referrer', 100), ('order', 'referred', 10),
       ('signup', 'referrer', 1);

INSERT INTO hype.referral_hit (id, referral_link_id, created, visitor)
SELECT pg_temp.v(n), 900001, now() - interval '2 days', pg_temp.v(n)
FROM generate_series(1, 9) AS n;

SELECT hype.claim(pg_temp.v(n), 'u' || n) FROM generate_series(1, 3) AS n;

-- What the views and reports count

CREATE FUNCTION pg_temp.counts() RETURNS text LANGUAGE sql AS $$
    SELECT concat_ws(' | ',
        (SELECT concat_ws(' ', confirmed, confirmations, value)
         FROM hype.link_stats WHERE referral_link_id = 900001),
        (SELECT concat_ws(' ', confirmed, confirmations, value)
         FROM hype.site_stats),
        (SELECT confirmed FROM hype.funnel WHERE referral_link_id = 900001),
        (SELECT concat_ws(' ', e ->> 'confirmed', e ->> 'value')
         FROM jsonb_array_elements(
             hype.report('{"from": "2024-01-01"}') -> 'events') AS e
         WHERE e ->> 'event' = 'order'),
        (SELECT concat_ws(' ', o ->> 'confirmed', o ->> 'value')
         FROM jsonb_array_elements(
             hype.report('{"by": "owner", "from": "2024-01-01"}')
                 -> 'owners') AS o
         WHERE o ->> 'user_id' = 'alice'))
$$;

SELECT hype.confirm('signup', 'u1');
SELECT hype.confirm('order', 'u1', value => 50);
SELECT hype.confirm('order', 'u2', value => 20);
SELECT is(pg_temp.counts(), '2 3 70 | 2 3 70 | 2 | 2 70 | 2 70', 'confirmed');

SELECT is((SELECT (r.event, r.user_id, r.referrer, r.value, r.reason,
                   r.revoked = now())::text
           FROM hype.revoke('order', 'u2', 'sent back') r),
          '(order,u2,alice,20,"sent back",t)', 'revoke: the row');
SELECT is(pg_temp.counts(), '1 2 50 | 1 2 50 | 1 | 1 50 | 1 50',
          'does not count');
SELECT hype.roll_up();
SELECT is(pg_temp.counts(), '1 2 50 | 1 2 50 | 1 | 1 50 | 1 50',
          'nor when it is rolled up');
SELECT hype.revoke('order', 'u1');
SELECT is((SELECT concat_ws(' ', confirmed, confirmations, value)
           FROM hype.link_stats WHERE referral_link_id = 900001), '1 1 0',
          'of one who was rolled up');
SELECT hype.roll_up();
SELECT is((SELECT concat_ws(' ', confirmed, confirmations, value)
           FROM hype.link_stats WHERE referral_link_id = 900001), '1 1 0',
          'nor when this is rolled up');
SELECT is((SELECT count(*) FROM hype.confirmed_referral), 3::bigint,
          'the rows are there');
SELECT is((SELECT confirmed FROM hype.referral_hit WHERE id = pg_temp.v(2)),
          NULL, 'the hit is not confirmed');
SELECT isnt((SELECT confirmed FROM hype.referral_hit WHERE id = pg_temp.v(1)),
            NULL, 'the other one is, for the other event');

-- Again

CREATE TEMPORARY TABLE before AS
    SELECT c.*, (SELECT count(*) FROM hype.reward),
           (SELECT max(e.id) FROM hype.event e)
    FROM hype.confirmed_referral c;

SELECT is((SELECT count(*) FROM hype.revoke('order', 'u2', 'again')), 0::bigint,
          'a second call returns no row');
SELECT is((SELECT count(*) FROM hype.revoke('order', 'nobody')), 0::bigint,
          'nor does one for what is not confirmed');
SELECT is((SELECT count(*) FROM hype.revoke('other', 'u1')), 0::bigint,
          'or for another event');
SELECT results_eq($$
    SELECT c.*, (SELECT count(*) FROM hype.reward),
           (SELECT max(e.id) FROM hype.event e)
    FROM hype.confirmed_referral c ORDER BY c.id
$$, 'SELECT * FROM before ORDER BY id', 'and they change nothing');

SELECT throws_ok(statement, '22023', 'hype.revoke: ' || why, why)
FROM (VALUES ('SELECT hype.revoke('''', ''u1'')', 'the event is empty'),
             ('SELECT hype.revoke(NULL, ''u1'')', 'the event is empty'),
             ('SELECT hype.revoke(''e'', '''')', 'no user'),
             ('SELECT hype.revoke(''e'', NULL)', 'no user'))
     AS s (statement, why);

-- It is not confirmed again, nor moved.

SELECT is((SELECT count(*) FROM hype.confirm('order', 'u2')), 0::bigint,
          'an application does not confirm it again');
SELECT is((SELECT count(*) FROM hype.confirm('order', 'u2', pg_temp.v(2))),
          0::bigint, 'nor with the visitor');
SELECT is((SELECT count(*) FROM hype.confirm('order', NULL, pg_temp.v(2))),
          0::bigint, 'nor with the visitor alone');
SELECT is(hype.record_confirm('order', 'u2', NULL, NULL,
                              now() - interval '1 day'), false, 'nor nginx');
SELECT hype.confirm_batch('{order, order}', '{u2, NULL}',
                          ARRAY[NULL, pg_temp.v(2)], '{1, 2}',
                          ARRAY[now() - interval '1 day', now()]);
CALL pg_temp.derive();

INSERT INTO hype.referral_hit (id, referral_link_id, created, user_id,
                               authenticated)
VALUES (pg_temp.v(20), 900002, now() - interval '1 minute', 'u2', true);
CALL pg_temp.derive();
SELECT hype.claim_batch(ARRAY[pg_temp.v(2)], '{early}',
                        ARRAY[now() - interval '3 days']);
CALL pg_temp.derive();
SELECT is((SELECT user_id FROM hype.referral_hit WHERE id = pg_temp.v(2)),
          'early', 'a hit and a claim come late');
SELECT results_eq($$
    SELECT event, user_id, referral_hit_id, referrer, value, created, revoked,
           reason
    FROM hype.confirmed_referral ORDER BY id
$$, $$
    SELECT event, user_id, referral_hit_id, referrer, value, created, revoked,
           reason
    FROM before ORDER BY id
$$, 'neither moves it');
SELECT is((SELECT count(*) FROM hype.reward), (SELECT max(count) FROM before),
          'nor any reward');

-- One of nginx that was not told anybody, before and after

SELECT hype.record_confirm('order', 'u3', NULL, 5, now() - interval '1 day');
SELECT is((SELECT told FROM hype.confirmed_referral WHERE user_id = 'u3'),
          false, 'a confirm of nginx');
SELECT is((SELECT referrer FROM hype.revoke('order', 'u3')), 'alice',
          'is revoked');
INSERT INTO hype.referral_hit (id, referral_link_id, created, user_id,
                               authenticated)
VALUES (pg_temp.v(30), 900002, now() - interval '30 hours', 'u3', true);
CALL pg_temp.derive();
SELECT hype.record_confirm('order', 'u3', NULL, 6, now() - interval '29 hours');
CALL pg_temp.derive();
SELECT is((SELECT (referrer, value, revoked IS NOT NULL)::text
           FROM hype.confirmed_referral WHERE user_id = 'u3'), '(alice,5,t)',
          'and stays as it is');

-- What is credited, and what was paid

SELECT is((SELECT (pending, available, paid)::text FROM hype.balance
           WHERE user_id = 'alice'), '(0,1,0)', 'rewards are taken back');
SELECT is((SELECT (pending, available, paid)::text FROM hype.balance
           WHERE user_id = 'u3'), '(0,0,0)', 'on both sides');

-- A visitor who was claimed by the user

SELECT hype.confirm('order', visitor => pg_temp.v(4));
SELECT is((SELECT count(*) FROM hype.revoke('order', 'u4')), 0::bigint,
          'a visitor of whom nobody knows that it is the user');
SELECT hype.claim_batch(ARRAY[pg_temp.v(4)], '{u4}', ARRAY[now()]);
SELECT is((SELECT user_id FROM hype.revoke('order', 'u4')), 'u4',
          'who was claimed a moment ago');

-- One who is a user who was revoked: told an application, and not

SELECT hype.confirm('order', 'u5') FROM hype.claim(pg_temp.v(5), 'u5');
SELECT hype.revoke('order', 'u5', 'fraud');
SELECT hype.confirm('order', visitor => pg_temp.v(6));
SELECT hype.claim(pg_temp.v(6), 'u5');
SELECT is((SELECT (c.revoked IS NOT NULL, c.reason)::text
           FROM hype.confirmed_referral c
           WHERE c.visitor = pg_temp.v(6)), '(t,fraud)',
          'a visitor who turns out to be a user who was revoked');
SELECT hype.record_confirm('order', NULL, pg_temp.v(7), NULL, now());
SELECT hype.claim(pg_temp.v(7), 'u5');
SELECT is((SELECT count(*) FROM hype.confirmed_referral c
           WHERE c.visitor = pg_temp.v(7)), 0::bigint,
          'of whom nobody was told');
CALL pg_temp.derive();
SELECT is((SELECT count(*) FROM hype.confirmed_referral c
           WHERE c.event = 'order' AND c.revoked IS NULL), 0::bigint,
          'none of them counts');
SELECT is((SELECT (pending, available, paid)::text FROM hype.balance
           WHERE user_id = 'alice'), '(0,1,0)', 'nor is any rewarded');

-- A claim that comes before that gives the visitor to somebody else.

SELECT hype.claim_batch(ARRAY[pg_temp.v(6)], '{u6}',
                        ARRAY[now() - interval '2 days']);
CALL pg_temp.derive();
SELECT is((SELECT count(*) FROM hype.confirm('order', 'u6')), 0::bigint,
          'what was revoked is not confirmed again');

-- A confirm that waits for a hit is not revoked.

SELECT hype.confirm_batch('{order}', '{waits}', '{NULL}', '{1}',
                          ARRAY[now() - interval '1 minute']);
CALL pg_temp.derive();
SELECT is((SELECT count(*) FROM hype.revoke('order', 'waits')), 0::bigint,
          'a confirm that waits for a hit');
INSERT INTO hype.referral_hit (id, referral_link_id, created, user_id,
                               authenticated)
VALUES (pg_temp.v(40), 900002, now() - interval '1 hour', 'waits', true);
CALL pg_temp.derive();
SELECT is((SELECT revoked FROM hype.confirmed_referral WHERE user_id = 'waits'),
          NULL, 'is confirmed when it comes');
SELECT is((SELECT referrer FROM hype.revoke('order', 'waits')), 'bob',
          'and then revoked');

-- Numbers

INSERT INTO hype.referral_hit (id, referral_link_id, created, user_id,
                               authenticated)
VALUES (pg_temp.v(50), 900002, now() - interval '1 hour', '42', true);
SELECT hype.confirm('n1', 42), hype.confirm('n2', 42), hype.confirm('n3', 42);
SELECT is((SELECT reason FROM hype.revoke('n1', 42, 'why')), 'why',
          'revoke(event, 42, reason)');
SELECT is((SELECT user_id FROM hype.revoke('n2', '42')), '42',
          'revoke(event, ''42'')');
SELECT is((SELECT user_id FROM hype.revoke(event => 'n3', user_id => 42)), '42',
          'revoke() with names');

-- Erased, and exported

SELECT is(hype.export('u2') #>> '{confirmed,0,reason}', 'sent back',
          'export: why it was revoked');
SELECT hype.erase('u2');
SELECT is((SELECT (count(*), count(user_id), count(reason))::text
           FROM hype.confirmed_referral WHERE value = 20), '(1,0,0)',
          'erase: the row stays, of nobody, without the reason');

INSERT INTO hype.referral_hit (id, referral_link_id, created, visitor)
SELECT pg_temp.v(i), 900002, now() - interval '1 hour', pg_temp.v(i)
FROM generate_series(60, 61) AS i;
SELECT hype.confirm('order', 'u60') FROM hype.claim(pg_temp.v(60), 'u60');
SELECT hype.revoke('order', 'u60', 'fraud');
SELECT hype.confirm('order', visitor => pg_temp.v(61));
SELECT hype.claim(pg_temp.v(61), 'u60');
SELECT is((SELECT reason FROM hype.confirmed_referral
           WHERE visitor = pg_temp.v(61) AND user_id IS NULL), 'fraud',
          'one that was revoked of a visitor');
SELECT hype.erase('u60');
SELECT is((SELECT count(*) FROM hype.confirmed_referral
           WHERE user_id IS NULL AND reason = 'fraud'), 0::bigint,
          'loses the reason, too');

-- An application was told of the visitor, and of the user: one call takes both
-- back

INSERT INTO hype.reward_rule (event, side, amount, currency)
VALUES ('both', 'referrer', 100, 'EUR');
INSERT INTO hype.referral_hit (id, referral_link_id, created, visitor, user_id,
                               authenticated)
VALUES (pg_temp.v(801), 900001, now() - interval '3 h', pg_temp.v(801), NULL,
        false),
       (pg_temp.v(802), 900002, now() - interval '2 h', NULL, 'u801', true);
SELECT hype.confirm('both', visitor => pg_temp.v(801));
SELECT hype.confirm('both', 'u801');
SELECT hype.claim(pg_temp.v(801), 'u801');
CALL pg_temp.derive();
SELECT is((SELECT count(*) FROM hype.revoke('both', 'u801')), 2::bigint,
          'both are returned');
SELECT is((SELECT sum(available) FROM hype.balance WHERE currency = 'EUR'),
          0::numeric, 'and taken back');
SELECT is((SELECT count(*) FROM hype.revoke('both', 'u801')), 0::bigint, 'once');

-- A claim that comes late does not free the user

INSERT INTO hype.referral_hit (id, referral_link_id, created, visitor)
VALUES (pg_temp.v(803), 900001, now() - interval '5 h', pg_temp.v(803));
SELECT hype.confirm_batch('{late}', '{NULL}', ARRAY[pg_temp.v(803)], '{5}',
                          ARRAY[now() - interval '4 h']);
SELECT hype.claim_batch(ARRAY[pg_temp.v(803)], '{u803}',
                        ARRAY[now() - interval '3 h']);
CALL pg_temp.derive();
SELECT is((SELECT user_id FROM hype.revoke('late', 'u803')), 'u803',
          'revoked of a user');
SELECT hype.claim_batch(ARRAY[pg_temp.v(803)], '{u804}',
                        ARRAY[now() - interval '3.5 h']);
CALL pg_temp.derive();
INSERT INTO hype.referral_hit (referral_link_id, created, user_id, authenticated)
VALUES (900002, now() - interval '2 h', 'u803', true);
SELECT is((SELECT count(*) FROM hype.confirm('late', 'u803')), 0::bigint,
          'is not confirmed again after an earlier claim of the visitor');

SELECT * FROM finish();
