-- hype.replay(): batches whose fate is unknown, or whose links are.

SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS pgtap;
\ir include/derive.sql

SELECT plan(26);

CREATE FUNCTION pg_temp.v(n integer) RETURNS uuid LANGUAGE sql IMMUTABLE AS
    $$ SELECT lpad(n::text, 32, '0')::uuid $$;

INSERT INTO hype.referral_link
    (id, identifier, user_id, disabled, disabled_at, expires)
VALUES (900001, 'good', 'alice', false, NULL, NULL),
       (900002, 'off', 'alice', true, '2024-06-01 12:00Z', NULL),
       (900003, 'old', 'alice', false, NULL, '2024-06-01 12:00Z');

-- One row a hit: number, link, identifier, time, visitor, user.

CREATE TEMPORARY TABLE hit (
    n integer, link bigint, identifier text, created timestamptz,
    visitor uuid, user_id text
);

CREATE FUNCTION pg_temp.replay() RETURNS bigint LANGUAGE sql AS $$
    SELECT hype.replay(
        array_agg(pg_temp.v(n) ORDER BY n), array_agg(link ORDER BY n),
        array_agg(created ORDER BY n),
        array_agg(user_id IS NOT NULL ORDER BY n),
        array_agg(n % 2 = 0 ORDER BY n), array_agg(visitor ORDER BY n),
        array_agg(user_id ORDER BY n),
        array_agg('192.0.2.1'::inet ORDER BY n),
        array_agg('agent ' || n ORDER BY n),
        array_agg('referer ' || n ORDER BY n),
        array_agg('/next' || n ORDER BY n),
        array_agg(identifier ORDER BY n), array_agg('source ' || n ORDER BY n),
        array_agg('a=' || n ORDER BY n))
    FROM hit
$$;

CREATE FUNCTION pg_temp.link_of(n integer) RETURNS bigint LANGUAGE sql AS
    $$ SELECT referral_link_id FROM hype.referral_hit
       WHERE id = pg_temp.v(n) $$;

INSERT INTO hit VALUES
    (1, 900001, NULL, '2024-06-01 12:00Z', pg_temp.v(101), NULL),
    (2, 900001, '', '2024-06-01 12:00Z', NULL, 'bob'),
    (3, NULL, 'good', '2024-06-01 12:00Z', pg_temp.v(103), NULL),
    (4, NULL, 'nobody', '2024-06-01 12:00Z', pg_temp.v(104), NULL),
    (5, NULL, 'off', '2024-06-01 11:59Z', pg_temp.v(105), NULL),
    (6, NULL, 'off', '2024-06-01 12:00Z', pg_temp.v(106), NULL),
    (7, NULL, 'old', '2024-06-01 11:59Z', pg_temp.v(107), NULL),
    (8, NULL, 'old', '2024-06-01 12:00Z', pg_temp.v(108), NULL),
    (9, 900002, NULL, '2024-06-02 12:00Z', pg_temp.v(109), NULL),
    (10, NULL, NULL, '2024-06-01 12:00Z', pg_temp.v(110), NULL);

SELECT hype.claim(pg_temp.v(101), 'carol');
INSERT INTO hype.referral_hit (id, referral_link_id, created, visitor)
VALUES (pg_temp.v(9), 900002, '2024-06-02 12:00Z', pg_temp.v(109));

SELECT is(pg_temp.replay(), 5::bigint,
          'replay() says how many hits were not there');
SELECT is(pg_temp.link_of(1), 900001::bigint, 'a hit with a link');
SELECT is(pg_temp.link_of(3), 900001::bigint, 'one with an identifier');
SELECT is(pg_temp.link_of(4), NULL, 'one of an unknown identifier');
SELECT is(pg_temp.link_of(5), 900002::bigint, 'before it was disabled');
SELECT is(pg_temp.link_of(6), NULL, 'when it was disabled');
SELECT is(pg_temp.link_of(7), 900003::bigint, 'before it expired');
SELECT is(pg_temp.link_of(8), NULL, 'when it expired');
SELECT is(pg_temp.link_of(10), NULL, 'neither link nor identifier');

SELECT results_eq($$
    SELECT referral_link_id, created, authenticated, bot, visitor, user_id, ip,
           user_agent, http_referer, next, source, args, confirmed
    FROM hype.referral_hit WHERE id = pg_temp.v(2)
$$, $$
    VALUES (900001::bigint, '2024-06-01 12:00Z'::timestamptz, true, true,
            NULL::uuid, 'bob', '192.0.2.1'::inet, 'agent 2', 'referer 2',
            '/next2', 'source 2', 'a=2', NULL::timestamptz)
$$, 'all columns are in their place');

CALL pg_temp.derive();
SELECT is((SELECT user_id FROM hype.referral_hit WHERE id = pg_temp.v(1)),
          'carol', 'claims are applied');
SELECT is(pg_temp.replay(), 0::bigint, 'the second time inserts nothing');
SELECT is((SELECT count(*) FROM hype.referral_hit
           WHERE id BETWEEN pg_temp.v(1) AND pg_temp.v(10)), 6::bigint,
          'and there is one row a hit');

-- The same hit twice in a batch

TRUNCATE hit;
INSERT INTO hit
SELECT 20, 900001, NULL, '2024-06-01 12:00Z', pg_temp.v(101), NULL
FROM generate_series(1, 2);
SELECT is(pg_temp.replay(), 1::bigint, 'a hit that is in the batch twice');

-- An insert into the middle of a claim

TRUNCATE hit;
SELECT hype.claim(pg_temp.v(130), 'dave');
INSERT INTO hit VALUES
    (30, NULL, 'good', '2024-06-01 12:00Z', pg_temp.v(130), NULL);
SELECT hype.record_confirm('signup', 'dave', NULL, 1, '2024-06-02 12:00Z');
CALL pg_temp.derive();
SELECT is((SELECT count(*) FROM hype.confirmed_referral
           WHERE user_id = 'dave'), 0::bigint, 'a confirm without its hit');
SELECT pg_temp.replay();
CALL pg_temp.derive();
SELECT is((SELECT count(*) FROM hype.confirmed_referral
           WHERE user_id = 'dave' AND referrer = 'alice'), 0::bigint,
          'finds no hit of a bot');
UPDATE hit SET n = 31;
SELECT pg_temp.replay();
CALL pg_temp.derive();
SELECT is((SELECT count(*) FROM hype.confirmed_referral
           WHERE user_id = 'dave' AND referrer = 'alice'), 1::bigint,
          'but another one that comes late');

-- Links that were renamed or deleted while a hit was on its way.  Until
-- taken_identifier was there, another link could have the identifier then.

INSERT INTO hype.referral_link (id, identifier, user_id)
VALUES (900010, 'summer', 'first'), (900011, 'autumn', 'deleted'),
       (900012, 'swap1', 's1'), (900013, 'swap2', 's2');
CREATE TEMPORARY TABLE moment AS SELECT clock_timestamp() AS first;
UPDATE hype.referral_link SET identifier = 'winter' WHERE id = 900010;
DELETE FROM hype.referral_link WHERE id = 900011;
DELETE FROM hype.taken_identifier;
INSERT INTO hype.referral_link (id, identifier, user_id)
VALUES (900020, 'summer', 'second'), (900021, 'autumn', 'second');
ALTER TABLE moment ADD second timestamptz;
UPDATE moment SET second = clock_timestamp();
UPDATE hype.referral_link SET identifier = 'spring' WHERE id = 900020;
DELETE FROM hype.taken_identifier;
INSERT INTO hype.referral_link (id, identifier, user_id)
VALUES (900030, 'summer', 'third');

TRUNCATE hit;
INSERT INTO hit
SELECT n, NULL, identifier, at, pg_temp.v(100 + n), NULL
FROM moment, LATERAL (VALUES
    (41, 'summer', '2024-06-01Z'), (42, 'summer', first),
    (43, 'summer', second), (44, 'summer', clock_timestamp()),
    (45, 'summer', now() + interval '1 day'), (46, 'winter', first),
    (47, 'autumn', first), (48, 'autumn', second), (49, 'spring', second)
) AS h (n, identifier, at);
SELECT is(pg_temp.replay(), 8::bigint, 'identifiers that changed hands');
SELECT results_eq($$
    SELECT n, pg_temp.link_of(n) FROM generate_series(41, 49) AS n
$$, $$
    VALUES (41, 900010::bigint), (42, 900010), (43, 900020), (44, 900030),
           (45, 900030), (46, 900010), (47, NULL), (48, 900021), (49, 900020)
$$, 'are those of the link that had them, or of the present one');

-- Two that are swapped, in one statement and by way of a third name

UPDATE hype.referral_link SET identifier = 'swap3' WHERE id = 900012;
DELETE FROM hype.taken_identifier;
UPDATE hype.referral_link SET identifier = 'swap1' WHERE id = 900013;
DELETE FROM hype.taken_identifier;
UPDATE hype.referral_link SET identifier = 'swap2' WHERE id = 900012;
TRUNCATE hit;
INSERT INTO hit
SELECT n, NULL, identifier, at, pg_temp.v(100 + n), NULL
FROM moment, LATERAL (VALUES
    (51, 'swap1', first), (52, 'swap2', first),
    (53, 'swap1', clock_timestamp()), (54, 'swap2', clock_timestamp())
) AS h (n, identifier, at);
SELECT pg_temp.replay();
SELECT results_eq($$
    SELECT n, pg_temp.link_of(n) FROM generate_series(51, 54) AS n
$$, $$
    VALUES (51, 900012::bigint), (52, 900013), (53, 900013), (54, 900012)
$$, 'also if two are swapped');

-- A link that is renamed and back, in one transaction: nobody else had it.

BEGIN;
UPDATE hype.referral_link SET identifier = 'elsewhere' WHERE id = 900013;
UPDATE hype.referral_link SET identifier = 'swap1' WHERE id = 900013;
COMMIT;
TRUNCATE hit;
INSERT INTO hit
VALUES (55, NULL, 'swap1', clock_timestamp(), pg_temp.v(155), NULL);
SELECT is(pg_temp.replay(), 1::bigint, 'one that is renamed and back');
SELECT is(pg_temp.link_of(55), 900013::bigint, 'has its hits');

-- A link that was disabled, and clocks that differ: a hit that was there
-- before counts, whatever its time.

INSERT INTO hype.referral_link (id, identifier, user_id)
VALUES (900040, 'fast', 'erin');
TRUNCATE hit;
INSERT INTO hit VALUES
    (61, 900040, NULL, now() + interval '1 day', NULL, 'ahead');
SELECT pg_temp.replay();
UPDATE hype.referral_link SET disabled = true WHERE id = 900040;
UPDATE hit SET n = 63, user_id = 'late';
SELECT pg_temp.replay();
CALL pg_temp.derive();
SELECT is((SELECT referrer FROM hype.confirm('e', 'ahead')), 'erin',
          'a hit a day ahead, made before its link was disabled');
SELECT is((SELECT referrer FROM hype.confirm('e', 'late')), NULL,
          'and one that came after it');

SELECT is(hype.replay('{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}',
                      '{}', '{}', '{}', '{}', '{}'), 0::bigint,
          'an empty batch');

-- Of an nginx that is not upgraded yet

SELECT hype.replay(ARRAY[pg_temp.v(80)], '{NULL}', '{2024-06-01 12:00Z}', '{t}',
                   '{f}', '{NULL}', '{erin}', '{192.0.2.1}', '{agent}',
                   '{referer}', '{/next}', '{good}');
SELECT results_eq($$
    SELECT referral_link_id, authenticated, user_id, http_referer, next,
           source, args
    FROM hype.referral_hit WHERE id = pg_temp.v(80)
$$, $$
    VALUES (900001::bigint, true, 'erin', 'referer', '/next', NULL, NULL)
$$, 'a hit without source and arguments');

SELECT * FROM finish();
