-- Reports read no hits but those that have just come; the claim of a visitor,
-- the confirm of a user and each step of hype.derive() read a few.
--
-- With 200,000 hits; HYPE_TEST_HITS=5000000 in the environment for more (a
-- couple of minutes, and 3 GB).

SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS pgtap;

\set hits 200000
\getenv hits HYPE_TEST_HITS

SELECT plan(35);

-- A link a thousand hits, from last month to the next, in the order of time;
-- most visitors come twice, one hit in 20 is authenticated.

INSERT INTO hype.referral_link (id, identifier, user_id)
SELECT 900000 + i, 'plan' || i, 'owner' || i
FROM generate_series(0, :hits / 1000) AS i;

INSERT INTO hype.referral_hit
    (id, referral_link_id, created, authenticated, bot, visitor, user_id, ip,
     user_agent, http_referer)
SELECT gen_random_uuid(), 900000 + i % (:hits / 1000),
       now() + (i::float / :hits - 0.5) * interval '60 days',
       i % 20 = 0, i % 50 = 1,
       CASE WHEN i % 20 > 0 THEN md5((i / 2)::text)::uuid END,
       CASE WHEN i % 20 = 0 THEN 'user' || i END,
       '192.0.2.1', 'Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36',
       'https://example.com/'
FROM generate_series(1, :hits) AS i;

ANALYZE hype.referral_link;
ANALYZE hype.referral_hit;

CREATE TEMPORARY TABLE part AS
    SELECT inhrelid AS oid, inhrelid::regclass::text AS name
    FROM pg_inherits
    WHERE inhparent = 'hype.referral_hit'::regclass
      AND pg_relation_size(inhrelid) > 1024 * 1024;

SELECT cmp_ok(count(*), '>=', 2::bigint, 'hits fill more than one partition')
FROM part;

-- The rows of hits that this transaction has read so far.

CREATE FUNCTION pg_temp.rows_read() RETURNS bigint LANGUAGE sql AS $$
    SELECT (SELECT sum(pg_stat_get_xact_tuples_returned(oid)) FROM part)
           + (SELECT sum(pg_stat_get_xact_tuples_returned(indexrelid))
              FROM pg_index JOIN part ON part.oid = indrelid)
$$;

CREATE FUNCTION pg_temp.reads(statement text) RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE
    before bigint := pg_temp.rows_read();
BEGIN
    EXECUTE statement;
    RETURN pg_temp.rows_read() - before;
END
$$;

-- The partitions that a plan reads from end to end.

CREATE FUNCTION pg_temp.scanned(statement text) RETURNS SETOF text
LANGUAGE plpgsql AS $$
DECLARE
    line text;
BEGIN
    FOR line IN EXECUTE 'EXPLAIN ' || statement LOOP
        IF line ~ 'Seq Scan' THEN
            RETURN QUERY SELECT line FROM part
                         WHERE line ~ (' ' || split_part(name, '.', 2) || ' ');
        END IF;
    END LOOP;
END
$$;

SELECT isnt_empty($$
    SELECT pg_temp.scanned('SELECT max(user_agent) FROM hype.referral_hit')
$$, 'this would tell if all hits were read');

SELECT is_empty(format('SELECT pg_temp.scanned(%L)', q), 'index: ' || q)
FROM unnest(ARRAY[
    'SELECT * FROM hype.referral_hit WHERE visitor = md5(''777'')::uuid',
    'SELECT * FROM hype.referral_hit WHERE user_id = ''user2000''',
    'SELECT * FROM hype.referral_hit WHERE xact = ''777''',
    'SELECT * FROM hype.referral_hit WHERE id = md5(''777'')::uuid'
]) AS q;

-- Nothing is rolled up yet: a step reads what it counts.

SELECT cmp_ok(pg_temp.reads(q), '<', 5000::bigint, 'few hits: ' || q)
FROM unnest(ARRAY[
    'SELECT hype.count_hits(500)',
    'SELECT hype.count_hits(500)',
    'SELECT hype.follow_step(500)',
    'SELECT hype.follow_step(500)'
]) AS q;

SELECT cmp_ok(hype.roll_up(), '>=', :hits - 1000::bigint, 'all is counted');

-- It follows the logs for some seconds, in which a busy machine comes to no end.

DO $$
BEGIN
    WHILE hype.follow_step(1000) > 0 LOOP
    END LOOP;
END
$$;

-- What has just come, by another transaction

INSERT INTO hype.referral_hit (id, referral_link_id, created, visitor)
SELECT gen_random_uuid(), 900007, now(), md5((i / 2)::text)::uuid
FROM generate_series(700, 709) AS i;

BEGIN;

SELECT cmp_ok(pg_temp.reads(q), '<', 300::bigint, 'few hits: ' || q)
FROM unnest(ARRAY[
    'SELECT * FROM hype.link_stats WHERE identifier = ''plan7''',
    'SELECT * FROM hype.link_stats',
    'SELECT * FROM hype.site_stats',
    'SELECT * FROM hype.funnel ORDER BY hits DESC LIMIT 10',
    'SELECT * FROM hype.daily_hits WHERE identifier = ''plan7''',
    'SELECT * FROM hype.daily_hits WHERE day = current_date',
    'SELECT * FROM hype.hits_by(''day'', ''Asia/Kathmandu'')',
    'SELECT * FROM hype.hits_by(''hour'', identifier => ''plan7'')',
    'SELECT * FROM hype.hits_from(''referer'')',
    'SELECT * FROM hype.hits_from(''next'', current_date)',
    'SELECT hype.report()',
    'SELECT hype.report(''{"from": "2020-01-01", "search": "plan7"}'')',
    'SELECT hype.owner_page(''owner7'')'
]) AS q;

-- Of the links, too, a report of ten reads a few.

SAVEPOINT idle;

INSERT INTO hype.referral_link (identifier)
SELECT 'idle' || i FROM generate_series(1, 20000) AS i;

ANALYZE hype.referral_link;
ANALYZE hype.link_total;

CREATE TEMPORARY TABLE total AS
    SELECT 'hype.link_total'::regclass::oid AS oid
    UNION ALL
    SELECT indexrelid FROM pg_index
    WHERE indrelid = 'hype.link_total'::regclass;

CREATE FUNCTION pg_temp.links_read(statement text) RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE
    before bigint;
BEGIN
    SELECT sum(pg_stat_get_xact_tuples_returned(oid)) INTO before FROM total;
    EXECUTE statement;
    RETURN (SELECT sum(pg_stat_get_xact_tuples_returned(oid)) FROM total)
           - before;
END
$$;

SELECT cmp_ok(pg_temp.links_read(q), '<', 100::bigint, 'few links: ' || q)
FROM unnest(ARRAY[
    'SELECT * FROM hype.funnel ORDER BY hits DESC LIMIT 10',
    'SELECT * FROM hype.link_stats WHERE identifier = ''plan7''',
    'SELECT hype.owner_page(''owner7'')',
    'SELECT hype.owner_page(''nobody'', true)'
]) AS q;

ROLLBACK TO SAVEPOINT idle;

SELECT cmp_ok(pg_temp.reads(q), '<', 100::bigint, 'a few hits: ' || q)
FROM unnest(ARRAY[
    'SELECT hype.claim(md5(''777'')::uuid, ''u'')',
    'SELECT hype.confirm(''e'', ''user2000'')',
    'SELECT hype.confirm(''e'', ''u'')',
    'SELECT hype.confirm(''e'', NULL, md5(''779'')::uuid)',
    'SELECT hype.record_confirm(''f'', ''user2000'', NULL, NULL, now())',
    'SELECT hype.claim(md5(''779'')::uuid, ''v'')',
    'SELECT hype.derive()'
]) AS q;

SELECT * FROM finish();
ROLLBACK;
