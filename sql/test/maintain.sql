-- hype.maintain(): partitions ahead, moving, pruning.  Locks are in
-- maintain.t.

BEGIN;
SET LOCAL client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS pgtap;

SELECT plan(36);

-- In the far past and future, so as to be alone.

CREATE FUNCTION pg_temp.hits(month text) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    n bigint;
BEGIN
    EXECUTE 'SELECT count(*) FROM hype.referral_hit_' || month INTO n;
    RETURN n;
END
$$;

CREATE TEMPORARY TABLE parts AS
    SELECT inhrelid::regclass::text AS name FROM pg_inherits
    WHERE inhparent = 'hype.referral_hit'::regclass;

SELECT is_empty($$ SELECT * FROM hype.maintain() $$,
                'there is nothing to do right after the installation');
SELECT is((SELECT count(*) FROM hype.maintain(15)), 12::bigint,
          'a year more ahead');
SELECT is((SELECT count(*) FROM hype.maintain(15)), 0::bigint, 'once');
SELECT ok(to_regclass(to_char(now() AT TIME ZONE 'UTC' + interval '15 months',
                              '"hype.referral_hit_"YYYY_MM')) IS NOT NULL,
          'the last one is there');

-- Hits of months without a partition

INSERT INTO hype.referral_hit (id, referral_link_id, created, visitor)
VALUES (gen_random_uuid(), 1, '2001-01-31 23:59:59.999999Z',
        '00000000-0000-0000-0000-000000000001'),
       (gen_random_uuid(), 1, '2001-02-01Z', NULL),
       (gen_random_uuid(), 1, '2001-02-28 23:59:59.999999Z', NULL),
       (gen_random_uuid(), 1, '2001-03-01Z', NULL),
       (gen_random_uuid(), 1, '2001-03-02Z', NULL),
       (gen_random_uuid(), 1, '2001-03-03Z', NULL),
       (gen_random_uuid(), 1, 'infinity', NULL);

SELECT is(pg_temp.hits('default'), 7::bigint, 'go to the default partition');

SELECT results_eq($$ SELECT * FROM hype.maintain(15, NULL, 3) $$,
    $$ VALUES ('added', 'hype.referral_hit_2001_01', 1::bigint),
              ('added', 'hype.referral_hit_2001_02', 2),
              ('left in referral_hit_default', 'hype.referral_hit_2001_03',
               3) $$,
    'are moved, up to a number');
SELECT is(pg_temp.hits('2001_01'), 1::bigint, 'by month');
SELECT is(pg_temp.hits('2001_02'), 2::bigint, 'of UTC');
SELECT is(pg_temp.hits('default'), 4::bigint, 'the others stay');
SELECT is((SELECT count(*) FROM hype.referral_hit
           WHERE created < '2002-01-01'), 6::bigint, 'none is lost');
SELECT results_eq($$ SELECT * FROM hype.maintain(15, NULL, 3) $$,
    $$ VALUES ('added', 'hype.referral_hit_2001_03', 3::bigint) $$,
    'the others the next time');
SELECT is(pg_temp.hits('default'), 1::bigint,
          'but for a hit that is of no month');

SELECT is(hype.claim('00000000-0000-0000-0000-000000000001', 'u'), 'u',
          'a claim');
SELECT is((SELECT user_id FROM hype.referral_hit_2001_01), 'u',
          'reaches hits that were moved');

SELECT is(obj_description('hype.referral_hit_2001_01'::regclass, 'pg_class'),
          'Hits of 2001-01', 'a partition has a comment');
SELECT set_eq($$
    SELECT regexp_replace(pg_get_indexdef(indexrelid), '^.* USING', '')
    FROM pg_index WHERE indrelid = 'hype.referral_hit_2001_01'::regclass
$$, $$
    SELECT regexp_replace(pg_get_indexdef(indexrelid), '^.* USING', '')
    FROM pg_index WHERE indrelid = 'hype.referral_hit'::regclass
$$, 'and the indexes');
SELECT is_empty($$
    SELECT i.indexrelid::regclass FROM pg_index i
    WHERE i.indrelid = 'hype.referral_hit_2001_01'::regclass
      AND NOT EXISTS (SELECT FROM pg_inherits h
                      WHERE h.inhrelid = i.indexrelid)
$$, 'none of which is its own');
SELECT is_empty($$
    SELECT attname FROM pg_attribute
    WHERE attrelid = 'hype.referral_hit_2001_01'::regclass AND attnum > 0
      AND col_description(attrelid, attnum) IS NULL
$$, 'its columns have comments too');

-- Pruning

INSERT INTO hype.referral_hit (id, referral_link_id, created)
VALUES (gen_random_uuid(), 1, '2001-04-01Z'),
       (gen_random_uuid(), 1, now() - interval '100 days');

SELECT is((SELECT count(*) FROM hype.maintain(15, NULL, 0)
           WHERE action = 'dropped'), 0::bigint,
          'nothing is pruned unless wanted');
SELECT set_eq($$ SELECT action, object FROM hype.maintain(15, '1 year', 0)
                 WHERE action = 'dropped' $$,
    $$ VALUES ('dropped', 'hype.referral_hit_2001_01'),
              ('dropped', 'hype.referral_hit_2001_02'),
              ('dropped', 'hype.referral_hit_2001_03') $$,
    'months that are wholly older are dropped');
SELECT is((SELECT count(*) FROM hype.referral_hit
           WHERE created < '2002-01-01'), 0::bigint,
          'also from the default partition');
SELECT is((SELECT count(*) FROM hype.referral_hit
           WHERE created < now() - interval '99 days'), 1::bigint,
          'younger hits stay');
SELECT set_has($$
    SELECT inhrelid::regclass::text FROM pg_inherits
    WHERE inhparent = 'hype.referral_hit'::regclass
$$, 'SELECT name FROM parts', 'and younger months');

-- A partition that somebody made

INSERT INTO hype.referral_hit (id, referral_link_id, created)
VALUES (gen_random_uuid(), 1, '2001-07-01Z');
DELETE FROM hype.referral_hit WHERE created < '2002-01-01';
CREATE TABLE hype.referral_hit_y2001 PARTITION OF hype.referral_hit
    FOR VALUES FROM ('2001-01-01Z') TO ('2002-01-01Z');
INSERT INTO hype.referral_hit (id, referral_link_id, created)
VALUES (gen_random_uuid(), 1, '2001-07-01Z');
SELECT is((SELECT count(*) FROM hype.maintain(15, NULL)
           WHERE object ~ '2001'), 0::bigint,
          'somebody''s own partition is left alone');
SELECT is((SELECT count(*) FROM hype.maintain(15, '20 years')
           WHERE object = 'hype.referral_hit_y2001' AND action = 'dropped'),
          1::bigint, 'and pruned like the others');

-- A partition of somebody's that covers a month ahead

SELECT set_config('hype.month', to_char(
    date_trunc('month', now() AT TIME ZONE 'UTC') + interval '16 months',
    'YYYY-MM-DD'), true);
SELECT lives_ok(format('CREATE TABLE hype.own PARTITION OF hype.referral_hit '
    'FOR VALUES FROM (%L) TO (%L)',
    current_setting('hype.month') || ' 12:00Z',
    current_setting('hype.month') || ' 13:00Z'),
    'an hour in a month to come');
SELECT is((SELECT count(*) FROM hype.maintain(17)), 1::bigint,
          'that month is passed over, the next is not');

-- Hits of very many months

INSERT INTO hype.referral_hit (id, referral_link_id, created)
SELECT gen_random_uuid(), 1, date_trunc('month', now()) - n * interval '1 month'
FROM generate_series(1, 15000) AS n
UNION ALL
SELECT gen_random_uuid(), 1, now() + n * interval '5 years'
FROM generate_series(1, 100) AS n;

CREATE FUNCTION pg_temp.parts() RETURNS bigint LANGUAGE sql
    RETURN (SELECT count(*) FROM pg_inherits
            WHERE inhparent = 'hype.referral_hit'::regclass);
SELECT pg_temp.parts() AS parts \gset

SET LOCAL SESSION AUTHORIZATION hype_nginx;
SELECT is((SELECT count(*) FROM hype.maintain()), 24::bigint,
          'of very many months some get a partition');
SELECT is((SELECT count(*) FROM hype.maintain()), 24::bigint,
          'others the next time');
SELECT lives_ok('SELECT hype.maintain() FROM generate_series(1, 5)',
                'it can be called any number of times');
RESET SESSION AUTHORIZATION;
SELECT cmp_ok(pg_temp.parts() - :parts, '<=', 121::bigint,
              'nginx makes them for ten years');
SELECT is((SELECT count(*) FROM hype.maintain()), 24::bigint,
          'the owner for others, too');

-- Mistakes

SELECT throws_ok($$ SELECT hype.maintain(-1) $$, '22023',
                 'hype.maintain: ahead is -1, not 0 to 60');
SELECT throws_ok($$ SELECT hype.maintain(61) $$, '22023',
                 'hype.maintain: ahead is 61, not 0 to 60');
SELECT throws_ok($$ SELECT hype.maintain(NULL) $$, '22023',
                 'hype.maintain: ahead is <NULL>, not 0 to 60');
SELECT throws_ok($$ SELECT hype.maintain(3, '-1 day') $$, '22023',
                 'hype.maintain: keep is "-1 days", not positive');

SELECT * FROM finish();
ROLLBACK;
