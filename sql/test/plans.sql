-- Statistics of one link, the claim of one visitor and the like use indexes.
--
-- With 200,000 hits; HYPE_TEST_HITS=5000000 in the environment for more (a
-- couple of minutes, and 3 GB).

BEGIN;
SET LOCAL client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS pgtap;

\set hits 200000
\getenv hits HYPE_TEST_HITS

SELECT plan(20);

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

-- As autovacuum does while a table grows.

DO $$
BEGIN
    PERFORM brin_summarize_new_values(indexrelid)
    FROM pg_index JOIN part ON part.oid = indrelid
         JOIN pg_class c ON c.oid = indexrelid
    WHERE c.relam = (SELECT oid FROM pg_am WHERE amname = 'brin');
END
$$;

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
    'SELECT * FROM hype.link_stats WHERE identifier = ''plan7''',
    'SELECT * FROM hype.link_stats WHERE referral_link_id = 900007',
    'SELECT * FROM hype.funnel WHERE identifier = ''plan7''',
    'SELECT * FROM hype.daily_hits WHERE identifier = ''plan7''',
    'SELECT * FROM hype.daily_hits WHERE referral_link_id = 900007',
    'SELECT * FROM hype.daily_hits WHERE day = current_date',
    'SELECT * FROM hype.referral_hit WHERE visitor = md5(''777'')::uuid',
    'SELECT * FROM hype.referral_hit WHERE user_id = ''user2000'''
]) AS q;

SELECT cmp_ok(pg_temp.reads('SELECT * FROM hype.link_stats '
                            'WHERE identifier = ''plan7'''),
              '<', 5000::bigint,
              'statistics of one link read the hits of that link');
SELECT cmp_ok(pg_temp.reads('SELECT * FROM hype.daily_hits '
                            'WHERE day = current_date'),
              '<', :hits / 30 + 10000::bigint,
              'those of one day about the hits of that day');

SELECT cmp_ok(pg_temp.reads(q), '<', 100::bigint, 'a few hits: ' || q)
FROM unnest(ARRAY[
    'SELECT hype.claim(md5(''777'')::uuid, ''u'')',
    'SELECT hype.settle(ARRAY[md5(''777''), md5(''778'')]::uuid[])',
    'SELECT hype.confirm(''e'', ''user2000'')',
    'SELECT hype.confirm(''e'', ''u'')',
    'SELECT hype.confirm(''e'', NULL, md5(''779'')::uuid)',
    'SELECT hype.record_confirm(''f'', ''user2000'', NULL, NULL, now())',
    'SELECT hype.claim(md5(''779'')::uuid, ''v'')',
    'SELECT hype.settle()'
]) AS q;

SELECT * FROM finish();
ROLLBACK;
