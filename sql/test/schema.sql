-- The schema is as the contract says, and every object says what it is for.

BEGIN;
SET LOCAL client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS pgtap;

SELECT plan(30);

SELECT results_eq('SELECT hype.version()', ARRAY[2], 'version');

CREATE FUNCTION pg_temp.columns_of(relation regclass) RETURNS text
LANGUAGE sql AS $$
    SELECT string_agg(attname || ' ' || format_type(atttypid, NULL), ', '
                      ORDER BY attname COLLATE "C")
    FROM pg_attribute
    WHERE attrelid = relation AND attnum > 0 AND NOT attisdropped
$$;

SELECT is(pg_temp.columns_of('hype.referral_link'),
    'created timestamp with time zone, destination text, disabled boolean, '
    'disabled_at timestamp with time zone, disabled_xact xid8, '
    'expires timestamp with time zone, id bigint, identifier text, label text, '
    'updated timestamp with time zone, user_id text',
    'columns of referral_link');

SELECT is(pg_temp.columns_of('hype.referral_hit'),
    'args text, authenticated boolean, bot boolean, '
    'confirmed timestamp with time zone, '
    'created timestamp with time zone, http_referer text, id uuid, ip inet, '
    'next text, node smallint, referral_link_id bigint, source text, '
    'user_agent text, user_id text, visitor uuid, void boolean, xact xid8',
    'columns of referral_hit');

SELECT is(pg_temp.columns_of('hype.confirmed_referral'),
    'created timestamp with time zone, event text, id bigint, '
    'reason text, referral_hit_id uuid, referral_link_id bigint, '
    'referrer text, revoked timestamp with time zone, told boolean, '
    'user_id text, value numeric, via uuid, visitor uuid',
    'columns of confirmed_referral');

SELECT is(pg_temp.columns_of('hype.reward_rule'),
    'amount numeric, currency text, event text, hold interval, id bigint, '
    'max_per_beneficiary integer, percent numeric, side text, '
    'valid_from timestamp with time zone, '
    'valid_until timestamp with time zone', 'columns of reward_rule');

SELECT is(pg_temp.columns_of('hype.reward'),
    'amount numeric, available_at timestamp with time zone, beneficiary text, '
    'confirmed_referral_id bigint, created timestamp with time zone, '
    'currency text, event text, id bigint, kind text, n integer, '
    'reference text, reward_rule_id bigint, side text, user_id text',
    'columns of reward');

SELECT is(pg_temp.columns_of('hype.balance'),
    'available numeric, currency text, paid numeric, pending numeric, '
    'user_id text', 'columns of balance');

SELECT is(pg_temp.columns_of('hype.event'),
    'at timestamp with time zone, id bigint, kind text, payload jsonb',
    'columns of event');
SELECT is(s.seqcache, 1::bigint, 'no session has numbers of events in stock')
FROM pg_sequence s WHERE s.seqrelid = 'hype.event_id_seq'::regclass;

SELECT is(pg_temp.columns_of('hype.visitor_claim'),
    'created timestamp with time zone, user_id text, visitor uuid',
    'columns of visitor_claim');

SELECT col_is_pk('hype', 'referral_link', 'id', 'key of referral_link');
SELECT col_is_unique('hype', 'referral_link', 'identifier',
                     'an identifier names one link');
SELECT col_is_pk('hype', 'referral_hit', ARRAY['id', 'created'],
                 'key of referral_hit');
SELECT index_is_unique('hype', 'confirmed_referral',
                       'confirmed_referral_user_id_event_key',
                       'a referral is confirmed once an event and user');
SELECT index_is_unique('hype', 'confirmed_referral',
                       'confirmed_referral_visitor_event_key',
                       'and once an event and visitor');
SELECT is_empty($$
    SELECT c.oid::regclass FROM pg_class c
    WHERE c.relnamespace = 'hype'::regnamespace AND c.relkind IN ('r', 'p')
      AND NOT EXISTS (SELECT FROM pg_index i
                      WHERE i.indrelid = c.oid AND i.indisprimary)
$$, 'each table has a primary key, which publications need');

SELECT is(pg_get_partkeydef('hype.referral_hit'::regclass),
          'RANGE (created)', 'hits are partitioned by time');
SELECT is(pg_get_expr(relpartbound, oid), 'DEFAULT',
          'there is a default partition')
FROM pg_class WHERE oid = 'hype.referral_hit_default'::regclass;
SELECT is_empty($$
    SELECT m
    FROM generate_series(0, 3) AS i,
         to_char(now() AT TIME ZONE 'UTC' + make_interval(months => i),
                 '"hype.referral_hit_"YYYY_MM') AS m
    WHERE to_regclass(m) IS NULL
$$, 'this month and three more have a partition');

SELECT is_empty($$
    SELECT conname FROM pg_constraint
    WHERE connamespace = 'hype'::regnamespace AND contype = 'f'
$$, 'no foreign keys');
SELECT is_empty($$
    SELECT tgname
    FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid
    WHERE c.relnamespace = 'hype'::regnamespace
      AND c.relname IN ('referral_hit', 'pending_claim', 'pending_confirm')
      AND t.tgtype & 4 > 0
$$, 'no triggers on what is appended at line rate');

-- Functions

SELECT is_empty($$
    SELECT oid::regprocedure FROM pg_proc
    WHERE pronamespace = 'hype'::regnamespace
      AND prosqlbody IS NULL
      AND NOT coalesce(proconfig, '{}')
              && ARRAY['search_path=pg_catalog, pg_temp']
      AND proname <> 'is_creditable'     -- part of the queries of those
$$, 'each function has a fixed search_path, or a body parsed beforehand');

SELECT set_eq($$
    SELECT oid::regprocedure::text FROM pg_proc
    WHERE pronamespace = 'hype'::regnamespace AND prosecdef
$$, ARRAY[
    'hype.claim(uuid,text)',
    'hype.claim_batch(uuid[],text[])',
    'hype.claim_batch(uuid[],text[],timestamp with time zone[])',
    'hype.confirm(text,text,uuid,numeric,text,interval,uuid)',
    'hype.claim_hit(uuid,text)',
    'hype.confirm_batch(text[],text[],uuid[],text[],'
        'timestamp with time zone[])',
    'hype.maintain(integer,interval,integer)',
    'hype.record_confirm(text,text,uuid,numeric,timestamp with time zone)',
    'hype.replay(uuid[],bigint[],timestamp with time zone[],boolean[],'
        'boolean[],uuid[],text[],inet[],text[],text[],text[],text[],text[],'
        'text[],smallint[])',
    'hype.settle()',
    'hype.erase(text)',
    'hype.export(text)',
    'hype.owner_page(text,boolean,text)',
    'hype.derive()',
    'hype.roll_up(timestamp with time zone)',
    'hype.stamp_link()',
    'hype.notify_link()',
    'hype.check_alias()',
    'hype.notify_alias()',
    'hype.is_taken(text,bigint)',
    'hype.refer(text,text)',
    'hype.log_confirmed()',
    'hype.forget_confirmed()',
    'hype.revoke(text,text,text)',
    'hype.pay_out(text,text,text)',
    'hype.events_after(bigint,integer)',
    'hype.follow_confirmed()', 'hype.log_claim()', 'hype.log_reward()',
    'hype.check_rule()', 'hype.keep_ledger()',
    'hype.unrolled_totals()',
    'hype.changed_links()',
    'hype.changed_totals()',
    'hype.unrolled_confirmed()',
    'hype.unrolled_daily()',
    'hype.unrolled_args()',
    'hype.hits_by(text,text,timestamp with time zone,'
        'timestamp with time zone,text,text)',
    'hype.hits_from(text,date,date)', 'hype.forget_hits()',
    'hype.report(jsonb)'
], 'only these functions act for the owner');

-- Comments

SELECT isnt(obj_description('hype'::regnamespace, 'pg_namespace'), NULL,
            'the schema has a comment');
SELECT is_empty($$
    SELECT oid::regclass FROM pg_class
    WHERE relnamespace = 'hype'::regnamespace
      AND relkind IN ('r', 'p', 'v', 'm', 'f')
      AND obj_description(oid, 'pg_class') IS NULL
$$, 'each table and view has a comment');
SELECT is_empty($$
    SELECT c.oid::regclass, a.attname
    FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
    WHERE c.oid IN ('hype.referral_link'::regclass,
                    'hype.referral_hit'::regclass,
                    'hype.confirmed_referral'::regclass,
                    'hype.reward_rule'::regclass, 'hype.reward'::regclass,
                    'hype.event'::regclass)
      AND a.attnum > 0 AND NOT a.attisdropped
      AND col_description(c.oid, a.attnum) IS NULL
$$, 'so has each column of what applications read');
SELECT is_empty($$
    SELECT oid::regprocedure FROM pg_proc
    WHERE pronamespace = 'hype'::regnamespace
      AND obj_description(oid, 'pg_proc') IS NULL
$$, 'each function has a comment');
SELECT is_empty($$
    SELECT conname FROM pg_constraint
    WHERE conrelid = 'hype.referral_link'::regclass AND contype = 'c'
      AND obj_description(oid, 'pg_constraint') IS NULL
$$, 'each check of links has a comment');
SELECT is_empty($$
    SELECT t.tgname
    FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid
    WHERE c.relnamespace = 'hype'::regnamespace AND NOT t.tgisinternal
      AND obj_description(t.oid, 'pg_trigger') IS NULL
$$, 'each trigger has a comment');
SELECT is_empty($$
    SELECT t.typname
    FROM pg_type t
    WHERE t.typnamespace = 'hype'::regnamespace
      AND t.typrelid = 0 AND t.typelem = 0
      AND obj_description(t.oid, 'pg_type') IS NULL
$$, 'each type has a comment');

SELECT * FROM finish();
ROLLBACK;
