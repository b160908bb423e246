-- hype.replay(): batches whose fate is unknown, or whose links are.

BEGIN;
SET LOCAL client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS pgtap;

SELECT plan(18);

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
        array_agg('/next' || n ORDER BY n), array_agg(identifier ORDER BY n))
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
           user_agent, http_referer, next, confirmed
    FROM hype.referral_hit WHERE id = pg_temp.v(2)
$$, $$
    VALUES (900001::bigint, '2024-06-01 12:00Z'::timestamptz, true, true,
            NULL::uuid, 'bob', '192.0.2.1'::inet, 'agent 2', 'referer 2',
            '/next2', NULL::timestamptz)
$$, 'all columns are in their place');

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
SELECT is((SELECT count(*) FROM hype.confirmed_referral
           WHERE user_id = 'dave'), 0::bigint, 'a confirm without its hit');
SELECT pg_temp.replay();
SELECT is((SELECT count(*) FROM hype.confirmed_referral
           WHERE user_id = 'dave' AND referrer = 'alice'), 0::bigint,
          'finds no hit of a bot');
UPDATE hit SET n = 31;
SELECT pg_temp.replay();
SELECT is((SELECT count(*) FROM hype.confirmed_referral
           WHERE user_id = 'dave' AND referrer = 'alice'), 1::bigint,
          'but another one that comes late');

SELECT is(hype.replay('{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}',
                      '{}', '{}', '{}'), 0::bigint, 'an empty batch');

SELECT * FROM finish();
ROLLBACK;
