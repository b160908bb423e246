-- Hype: referral links, their hits, visitors who become users, and confirmed
-- referrals.  Installs or upgrades the schema "hype", any number of times:
--
--     psql -d app -f hype.sql
--
-- as a superuser, or as the owner of the database if that role may create
-- roles (or if hype_nginx, hype_app and hype_report exist).  Upgrade as the
-- role that owns the schema: a superuser upgrades only what superusers own,
-- as code of others would run with the superuser's rights.  PostgreSQL 15 or
-- newer.  Says what it did, unless psql is quiet (-q).
--
-- Who may do what:
--
--     hype_nginx   what the nginx module connects as: reads links, writes hits
--     hype_app     for applications (GRANT hype_app TO app): keeps links, calls
--                  create_link, claim, confirm, revoke and pay_out, reads
--                  tables, views and events
--     hype_report  reads the views; for reports on the status page (GRANT
--                  hype_report TO hype_nginx)
--     the owner    everything; alone makes rules for rewards, and prunes hits
--                  by age, with hype.maintain()
--
-- Months and days are those of UTC.

\set hype_quiet :QUIET
\set QUIET on
\set ON_ERROR_STOP on

-- The settings of a database are its owner's, who may be a stranger to the
-- superuser who installs.

SET search_path = pg_catalog, pg_temp;
SET standard_conforming_strings = on;

SELECT set_config('hype.login', :'USER', false) AS login \gset hype_

DO $$
DECLARE
    login     text := current_setting('hype.login');
    forced    text;
    stranger  record;
    installed integer;
BEGIN
    -- With ALTER DATABASE ... SET role its owner has others act as a role of
    -- the owner's choice, which would own the schema then.

    SELECT c.setting INTO forced
    FROM pg_db_role_setting s
    JOIN pg_database d ON d.oid = s.setdatabase
    CROSS JOIN unnest(s.setconfig) AS c (setting)
    WHERE d.datname = current_database()
      AND c.setting LIKE 'role=%'
      AND (login IS DISTINCT FROM session_user::text
           OR login IS DISTINCT FROM current_user::text)
    LIMIT 1;

    IF FOUND THEN
        RAISE EXCEPTION 'the database has "%" set: "%" would act as "%"',
            forced, login, current_user
            USING ERRCODE = 'insufficient_privilege',
                  DETAIL = 'Nothing was changed.',
                  HINT = 'Connect as the role that is to own the schema, or '
                      'set PGOPTIONS="-c role=none".';
    END IF;

    IF current_setting('server_version_num')::integer < 150000 THEN
        RAISE EXCEPTION 'hype needs PostgreSQL 15 or newer, this is %',
            current_setting('server_version');
    END IF;

    -- SQL_ASCII takes any bytes, others lack most of what browsers send.

    IF current_setting('server_encoding') NOT IN ('UTF8', 'SQL_ASCII') THEN
        RAISE EXCEPTION 'hype needs a database with encoding UTF8, this has %',
            current_setting('server_encoding');
    END IF;

    -- Before anything in the schema is called or written to: whose is it?
    -- SET ROLE is no fence, as the code of another role can RESET ROLE.  The
    -- objects are looked at, too: a schema can be given away with what is
    -- in it.

    SELECT o.object, o.kind, pg_get_userbyid(o.owner) AS owner INTO stranger
    FROM pg_namespace n
    CROSS JOIN LATERAL (
        SELECT 0 AS kind, 'schema "hype"' AS object, n.nspowner AS owner
        UNION ALL
        SELECT 1, format('relation hype.%I', c.relname), c.relowner
        FROM pg_class c WHERE c.relnamespace = n.oid
        UNION ALL
        SELECT 2, format('function hype.%I()', p.proname), p.proowner
        FROM pg_proc p WHERE p.pronamespace = n.oid
        UNION ALL
        SELECT 3, format('type hype.%I', t.typname), t.typowner
        FROM pg_type t WHERE t.typnamespace = n.oid
        UNION ALL
        SELECT 4, format('operator hype.%s', p.oprname), p.oprowner
        FROM pg_operator p WHERE p.oprnamespace = n.oid
    ) AS o
    WHERE n.nspname = 'hype'
      AND o.owner NOT IN (SELECT r.oid FROM pg_roles r
                          WHERE r.rolsuper OR r.rolname = session_user)
    ORDER BY o.kind, o.object LIMIT 1;

    IF FOUND THEN
        RAISE EXCEPTION '% belongs to "%", not to "%" or a superuser',
            stranger.object, stranger.owner, session_user
            USING ERRCODE = 'insufficient_privilege',
                  DETAIL = 'Its code would run with your rights: nothing of '
                      'it was run, and nothing was changed.',
                  HINT = CASE stranger.kind WHEN 0 THEN
                      format('Connect as "%s" to upgrade the schema. If that '
                          'role should not have made it, drop it.',
                          stranger.owner)
                  ELSE 'Look at it; then drop it, or make it your own.' END;
    END IF;

    SELECT substring(pg_get_function_sqlbody(p.oid) FROM '^RETURN (\d+)$')
    INTO installed
    FROM pg_namespace n JOIN pg_proc p ON p.pronamespace = n.oid
    WHERE n.nspname = 'hype' AND p.proname = 'version' AND p.pronargs = 0;

    IF installed > 2 THEN
        RAISE EXCEPTION 'the installed schema "hype" has version %, '
            'this file has 2', installed;
    END IF;

    -- A site may have added a column with that name to an older schema.

    SELECT a.attname AS name INTO stranger
    FROM (VALUES ('source', 'text'), ('args', 'text'), ('node', 'smallint'))
        AS c (name, type)
    JOIN pg_attribute a ON a.attname = c.name
    WHERE a.attrelid = to_regclass('hype.referral_hit')
      AND (format_type(a.atttypid, a.atttypmod) <> c.type
           OR a.attgenerated <> ''
           OR (c.name = 'node' AND NOT a.attnotnull))
    ORDER BY a.attnum LIMIT 1;

    IF FOUND THEN
        RAISE EXCEPTION 'hype.referral_hit has a column "%" of your own: hype '
            'needs one with that name', stranger.name
            USING ERRCODE = 'duplicate_column',
                  DETAIL = 'Nothing was changed.',
                  HINT = format('ALTER TABLE hype.referral_hit RENAME COLUMN '
                      '%I TO ...', stranger.name);
    END IF;
END
$$;

-- What changes the table of hits takes a moment each, so that hits are not
-- locked out.

\set hype_in_a_moment 'DO $hype$ BEGIN FOR i IN 1..300 LOOP BEGIN SET LOCAL lock_timeout = ''200ms''; EXECUTE current_setting(''hype.ddl''); RETURN; EXCEPTION WHEN lock_not_available THEN PERFORM pg_sleep(0.3); END; END LOOP; RAISE EXCEPTION ''hype.referral_hit is in use by long transactions: run hype.sql again later'' USING ERRCODE = ''lock_not_available''; END $hype$;'


-- An upgrade from version 1: indexes are built concurrently.

PREPARE hype_version_1 AS
SELECT count(*) > 0 AS hype_upgrade, min(r.rolname) AS hype_owner
FROM pg_class c
JOIN pg_namespace n ON n.oid = c.relnamespace
JOIN pg_roles r ON r.oid = n.nspowner
WHERE n.nspname = 'hype' AND c.relname = 'unsettled'
  AND (r.rolsuper OR r.rolname = session_user);

EXECUTE hype_version_1 \gset

\if :hype_upgrade

-- One at a time: two would wait for each other.  That of a psql that was killed
-- goes on until its statement ends.

DO $$
BEGIN
    IF NOT pg_try_advisory_lock(hashtextextended('hype.upgrade', 0)) THEN
        RAISE EXCEPTION 'another upgrade of schema "hype" is running'
            USING ERRCODE = 'lock_not_available';
    END IF;
END
$$;

EXECUTE hype_version_1 \gset

\endif

DEALLOCATE hype_version_1;

\if :hype_upgrade

SET ROLE :"hype_owner";
SET client_min_messages = warning;

SELECT set_config('hype.ddl', $$
    ALTER TABLE hype.referral_hit
        ADD COLUMN IF NOT EXISTS void boolean NOT NULL DEFAULT false,
        ADD COLUMN IF NOT EXISTS xact xid8;
    ALTER TABLE hype.referral_hit
        ALTER COLUMN xact SET DEFAULT pg_current_xact_id();
    ALTER TABLE hype.referral_link
        ADD COLUMN IF NOT EXISTS disabled_xact xid8;
    CREATE OR REPLACE FUNCTION hype.forget_hits() RETURNS trigger
        LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
    CREATE OR REPLACE TRIGGER referral_hit_truncated
        AFTER TRUNCATE ON hype.referral_hit
        FOR EACH STATEMENT EXECUTE FUNCTION hype.forget_hits();
    CREATE OR REPLACE TRIGGER referral_hit_deleted
        AFTER DELETE ON hype.referral_hit
        REFERENCING OLD TABLE AS deleted_hits
        FOR EACH STATEMENT EXECUTE FUNCTION hype.forget_hits()
$$, false) AS ddl \gset hype_
:hype_in_a_moment

SELECT format('DROP INDEX CONCURRENTLY hype.%I', c.relname)
FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
WHERE NOT i.indisvalid AND c.relkind = 'i'
  AND i.indrelid IN (SELECT inhrelid FROM pg_inherits
                     WHERE inhparent = 'hype.referral_hit'::regclass) \gexec

CREATE TEMPORARY TABLE hype_index AS
SELECT c.oid AS part, c.relname || x.suffix AS name,
       'referral_hit' || x.suffix AS parent, x.definition
FROM pg_inherits i
JOIN pg_class c ON c.oid = i.inhrelid
CROSS JOIN (VALUES
    ('_visitor_created_idx', '(visitor, created) WHERE visitor IS NOT NULL'),
    ('_user_id_void_created_idx',
     '(user_id, void, created) WHERE user_id IS NOT NULL'),
    ('_xact_id_idx', '(xact, id)')) AS x (suffix, definition)
WHERE i.inhparent = 'hype.referral_hit'::regclass;

SELECT format('CREATE INDEX CONCURRENTLY IF NOT EXISTS %I ON %s %s', name,
              part::regclass, definition)
FROM hype_index ORDER BY name \gexec

SELECT set_config('hype.ddl', string_agg(DISTINCT format(
           'CREATE INDEX IF NOT EXISTS %I ON ONLY hype.referral_hit %s',
           parent, definition), ';') || ';'
       || string_agg(format('ALTER INDEX hype.%I ATTACH PARTITION hype.%I',
                            parent, name), ';'), false) AS ddl
FROM hype_index \gset hype_
:hype_in_a_moment

SELECT set_config('hype.ddl', $$
    DROP INDEX IF EXISTS hype.referral_hit_visitor_idx,
        hype.referral_hit_user_id_idx,
        hype.referral_hit_referral_link_id_idx, hype.referral_hit_day_idx
$$, false) AS ddl \gset hype_
:hype_in_a_moment

DROP TABLE hype_index;
RESET client_min_messages;
RESET ROLE;

\endif

-- Columns that the first schemas of version 2 do not have: no row is rewritten.

SELECT count(*) > 0 AS hype_no_columns, min(r.rolname) AS hype_owner
FROM pg_class c
JOIN pg_namespace n ON n.oid = c.relnamespace
JOIN pg_roles r ON r.oid = n.nspowner
WHERE n.nspname = 'hype' AND c.relname = 'referral_hit'
  AND 3 > (SELECT count(*) FROM pg_attribute a
           WHERE a.attrelid = c.oid
             AND a.attname IN ('source', 'args', 'node'))
  AND (r.rolsuper OR r.rolname = session_user) \gset

\if :hype_no_columns

SET ROLE :"hype_owner";
SET client_min_messages = warning;

SELECT set_config('hype.ddl', $$
    ALTER TABLE hype.referral_hit
        ADD COLUMN IF NOT EXISTS source text,
        ADD COLUMN IF NOT EXISTS args text,
        ADD COLUMN IF NOT EXISTS node smallint NOT NULL DEFAULT 0
$$, false) AS ddl \gset hype_
:hype_in_a_moment

RESET client_min_messages;
RESET ROLE;

\endif


BEGIN;

SET LOCAL client_min_messages = warning;
SET LOCAL lock_timeout = '10s';


-- Roles and schema

DO $$
DECLARE
    role       text;
    attributes text;
    setting    text;
    owner      text;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended('hype.install', 0));

    FOR role, attributes IN
        VALUES ('hype_nginx', 'LOGIN'), ('hype_app', 'NOLOGIN'),
               ('hype_report', 'NOLOGIN')
    LOOP
        CONTINUE WHEN EXISTS (SELECT FROM pg_roles WHERE rolname = role);

        BEGIN
            EXECUTE format('CREATE ROLE %I %s', role, attributes);
        EXCEPTION
            WHEN duplicate_object OR unique_violation THEN
                NULL;     -- made at this moment from another database
            WHEN insufficient_privilege THEN
                RAISE EXCEPTION 'role "%" does not exist, and "%" may not '
                    'create roles', role, current_user
                    USING ERRCODE = 'insufficient_privilege',
                          HINT = format('Let a superuser run: CREATE ROLE '
                              '%I %s', role, attributes);
        END;
    END LOOP;

    -- A hit never waits long for a lock, it goes to the spool instead; and
    -- hype.derive() needs each statement to see what was committed before it.
    -- What an administrator has set stays.

    FOR setting IN
        VALUES ('lock_timeout = ''2s'''),
               ('default_transaction_isolation = ''read committed''')
    LOOP
        CONTINUE WHEN EXISTS (
            SELECT FROM pg_db_role_setting s, unnest(s.setconfig) AS c
            WHERE s.setrole = 'hype_nginx'::regrole
              AND split_part(c, '=', 1) = split_part(setting, ' ', 1)
        );

        BEGIN
            EXECUTE 'ALTER ROLE hype_nginx SET ' || setting;
        EXCEPTION WHEN insufficient_privilege THEN
            NULL;
        END;
    END LOOP;

    SELECT r.rolname INTO owner
    FROM pg_namespace n JOIN pg_roles r ON r.oid = n.nspowner
    WHERE n.nspname = 'hype' AND (r.rolsuper OR r.rolname = session_user);

    -- Fails if somebody else has made one since we looked.

    IF NOT FOUND THEN
        CREATE SCHEMA hype;
        RETURN;
    END IF;

    -- All objects belong to one role, whoever runs the upgrade.

    BEGIN
        EXECUTE format('SET LOCAL ROLE %I', owner);
    EXCEPTION WHEN insufficient_privilege THEN
        RAISE EXCEPTION 'schema "hype" belongs to "%", and "%" may not act '
            'for it', owner, current_user
            USING ERRCODE = 'insufficient_privilege';
    END;
END
$$;

COMMENT ON SCHEMA hype IS
    'Referral links, their hits, claims and confirmed referrals';

-- What the end of this file says: nobody else installs meanwhile.

SELECT CASE coalesce(max(v.installed), 0)
       WHEN 0 THEN 'schema version 2 installed'
       WHEN 2 THEN 'schema is up to date, version 2'
       ELSE format('schema upgraded from version %s to 2', max(v.installed))
       END AS done
FROM (SELECT substring(pg_get_function_sqlbody(p.oid)
                       FROM '^RETURN (\d+)$')::integer AS installed
      FROM pg_namespace n JOIN pg_proc p ON p.pronamespace = n.oid
      WHERE n.nspname = 'hype' AND p.proname = 'version'
        AND p.pronargs = 0) AS v \gset hype_

CREATE OR REPLACE FUNCTION hype.version() RETURNS integer
LANGUAGE sql IMMUTABLE
RETURN 2;

COMMENT ON FUNCTION hype.version() IS 'The version of this schema';


-- Tables are made once.  What a later version changes in them needs an ALTER
-- TABLE of its own, after these.  What is there already is not even named in
-- CREATE INDEX IF NOT EXISTS and the like: they lock out those who write.

SELECT to_regclass('hype.referral_link') IS NULL AS hype_new,
       to_regclass('hype.log_position') IS NULL AS hype_new_2,
       to_regclass('hype.pending_confirm_waiting_user_id_idx') IS NULL
           AS hype_new_3,
       to_regclass('hype.erased') IS NULL AS hype_new_erased,
       to_regclass('hype.told_visitor') IS NULL AS hype_new_told,
       to_regclass('hype.link_total_hits_idx') IS NULL AS hype_new_hits,
       NOT EXISTS (SELECT FROM pg_attribute a
                   WHERE a.attrelid = to_regclass('hype.hit_origin')
                     AND a.attname = 'confirmed') AS hype_new_log,
       NOT EXISTS (SELECT FROM pg_trigger t
                   WHERE t.tgrelid = to_regclass('hype.confirmed_referral')
                     AND t.tgname = 'confirmed_referral_log'
                     AND cardinality(t.tgattr::smallint[]) = 7)
           AS hype_new_trigger,
       to_regproc('hype.forget_confirmed') IS NULL AS hype_new_truncated,
       to_regclass('hype.pending_claim_user_id_idx') IS NULL
           AS hype_new_claims,
       to_regclass('hype.taken_identifier') IS NULL AS hype_new_taken,
       NOT EXISTS (SELECT FROM pg_attribute a
                   WHERE a.attrelid = to_regclass('hype.link_total')
                     AND a.attname = 'codes') AS hype_no_codes,
       NOT EXISTS (SELECT FROM pg_attribute a
                   WHERE a.attrelid = to_regclass('hype.confirmed_referral')
                     AND a.attname = 'via') AS hype_no_via,
       to_regclass('hype.reward') IS NULL AS hype_new_rewards,
       NOT EXISTS (SELECT FROM pg_trigger t
                   WHERE t.tgrelid = to_regclass('hype.reward')
                     AND t.tgname = 'reward_inserted') AS hype_new_totals,
       coalesce(pg_get_indexdef(to_regclass('hype.confirmed_referral_via_idx'))
                LIKE '%told%', false) AS hype_old_via \gset


-- Functions that schemas of version 2 had with other results or arguments.  What
-- was granted on hype.replay() goes to the new one.

SELECT set_config('hype.replay_grants', coalesce(string_agg(DISTINCT format(
           'GRANT EXECUTE ON FUNCTION hype.replay TO %s%s',
           a.grantee::regrole, CASE WHEN a.is_grantable
                                    THEN ' WITH GRANT OPTION' ELSE '' END),
           '; '), ''), true) AS grants
FROM pg_proc p, aclexplode(p.proacl) AS a
WHERE p.pronamespace = to_regnamespace('hype') AND p.proname = 'replay'
  AND p.pronargs < 15 AND a.grantee NOT IN (0, p.proowner) \gset hype_
\unset hype_grants

SELECT format('DROP FUNCTION %s', p.oid::regprocedure)
FROM pg_proc p
WHERE p.pronamespace = 'hype'::regnamespace
  AND ((p.proname = 'confirm_pending' AND p.prorettype = 'void'::regtype)
       OR (p.proname = 'replay' AND p.pronargs < 15))
ORDER BY p.pronargs \gexec


\if :hype_upgrade

-- All at once, or not yet: who is at work with one of them waits for another.

SELECT set_config('hype.ddl', $$
    LOCK TABLE hype.visitor_claim, hype.unsettled, hype.confirmed_referral,
        hype.unmatched_confirm IN ACCESS EXCLUSIVE MODE;
    LOCK TABLE hype.referral_link IN SHARE ROW EXCLUSIVE MODE
$$, false) AS ddl \gset hype_
:hype_in_a_moment

SET LOCAL lock_timeout = '10s';

\endif

-- Who makes or changes links waits until all that they have is known, see
-- hype.taken_identifier; and has no lock that is waited for below.

\if :hype_new
\elif :hype_new_taken

LOCK TABLE hype.referral_link IN SHARE ROW EXCLUSIVE MODE;

\endif

-- Who writes to the ledger waits until all that is in it is added up, see
-- hype.reward_total.

\if :hype_new_rewards
\elif :hype_new_totals

SELECT set_config('hype.ddl', $$
    LOCK TABLE hype.confirmed_referral, hype.reward
        IN SHARE ROW EXCLUSIVE MODE
$$, false) AS ddl \gset hype_
:hype_in_a_moment

SET LOCAL lock_timeout = '10s';

\endif


-- Links

\if :hype_new

CREATE TABLE hype.referral_link (
    id           bigint GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY,
    identifier   text NOT NULL UNIQUE
                 CONSTRAINT referral_link_identifier_check
                 CHECK (identifier ~ '^[A-Za-z0-9_.~-]{1,64}$'),
    user_id      text
                 CONSTRAINT referral_link_user_id_check
                 CHECK (user_id <> '' AND user_id !~ '[\u0001-\u001f\u007f]'),
    destination  text
                 CONSTRAINT referral_link_destination_check
                 CHECK (destination <> ''
                        AND destination !~ '[\u0001-\u0020\u007f-\u00a0]'),
    label        text,
    disabled     boolean NOT NULL DEFAULT false,
    disabled_at  timestamptz,
    disabled_xact xid8,
    expires      timestamptz,
    created      timestamptz NOT NULL DEFAULT now(),
    updated      timestamptz NOT NULL DEFAULT now()
);

\endif

COMMENT ON TABLE hype.referral_link IS
    'Links that users share as /ref/<identifier>/';
COMMENT ON COLUMN hype.referral_link.id IS
    'What hits and confirmed referrals refer to';
COMMENT ON COLUMN hype.referral_link.identifier IS
    'The part of the URL that names the link, case-sensitive';
COMMENT ON COLUMN hype.referral_link.user_id IS
    'The owner, that is the referrer; NULL for a link that credits nobody, '
    'such as a campaign''s';
COMMENT ON COLUMN hype.referral_link.destination IS
    'URL or path that visitors are sent to; NULL: hype_fallback of nginx';
COMMENT ON COLUMN hype.referral_link.label IS
    'For people only';
COMMENT ON COLUMN hype.referral_link.disabled IS
    'No hits are recorded, none is credited that was made since disabled_at';
COMMENT ON COLUMN hype.referral_link.disabled_at IS
    'When the link was disabled: kept by a trigger, but may be set to an '
    'earlier or later time';
COMMENT ON COLUMN hype.referral_link.disabled_xact IS
    'The transaction that disabled it: hits that were there before it count, '
    'whatever the clocks say. NULL if disabled_at was set by hand';
COMMENT ON COLUMN hype.referral_link.expires IS
    'From then on it is as if the link were disabled';
COMMENT ON COLUMN hype.referral_link.created IS
    'When the link was made';
COMMENT ON COLUMN hype.referral_link.updated IS
    'When the link was last changed: kept by a trigger';
COMMENT ON CONSTRAINT referral_link_identifier_check
    ON hype.referral_link IS
    'What a URL''s path can hold unescaped, and what the module accepts';
COMMENT ON CONSTRAINT referral_link_user_id_check ON hype.referral_link IS
    'The module may put the value into a header line: $hype_referrer';
COMMENT ON CONSTRAINT referral_link_destination_check
    ON hype.referral_link IS
    'No control characters and no spaces: the value becomes a header line';


CREATE TABLE IF NOT EXISTS hype.former_identifier (
    identifier       text NOT NULL,
    until            timestamptz NOT NULL,
    referral_link_id bigint NOT NULL,
    PRIMARY KEY (identifier, until, referral_link_id)
);

COMMENT ON TABLE hype.former_identifier IS
    'Identifiers that links have lost by being changed or deleted: hits from '
    'before that time, which arrive late, are those links''';


-- An identifier may be in print: it never leads to another link.  All of them
-- are in one table, whose primary key is what two transactions at a time meet
-- at; it is made below, when the table is filled.

CREATE TABLE IF NOT EXISTS hype.taken_identifier (
    key              uuid,
    referral_link_id bigint
);

COMMENT ON TABLE hype.taken_identifier IS
    'Each identifier that ever led to a link, as that link''s own or as an '
    'alias: no other link can have it';
COMMENT ON COLUMN hype.taken_identifier.key IS
    'A hash, hype.user_key() of the identifier: hype.erase() leaves it';
COMMENT ON COLUMN hype.taken_identifier.referral_link_id IS
    'The link, which may be gone; NULL: of a user who was erased';


CREATE TABLE IF NOT EXISTS hype.link_alias (
    identifier       text PRIMARY KEY
                     CONSTRAINT link_alias_identifier_check
                     CHECK (identifier ~ '^[A-Za-z0-9_.~-]{1,64}$'),
    referral_link_id bigint NOT NULL,
    created          timestamptz NOT NULL DEFAULT now()
);

\if :hype_new_taken

CREATE INDEX link_alias_referral_link_id_idx
    ON hype.link_alias (referral_link_id);

\endif

COMMENT ON TABLE hype.link_alias IS
    'Further identifiers of links: a hit by one is a hit of its link';
COMMENT ON COLUMN hype.link_alias.referral_link_id IS
    'referral_link.id; a link that is deleted takes its aliases along';


CREATE OR REPLACE FUNCTION hype.stamp_link() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    since timestamptz := now();
BEGIN
    IF TG_OP = 'UPDATE' THEN
        NEW.updated := clock_timestamp();

        -- Hits that this transaction inserts afterwards have now() as well,
        -- and none of them may be credited.  But while a transaction was open
        -- for long, nginx has recorded hits, rightly.

        IF clock_timestamp() > now() + interval '10 seconds' THEN
            since := clock_timestamp();
        END IF;
    END IF;

    IF NOT NEW.disabled THEN
        NEW.disabled_at := NULL;
        NEW.disabled_xact := NULL;
    ELSIF NEW.disabled_at IS NULL THEN
        NEW.disabled_at := coalesce(OLD.disabled_at, since);
        NEW.disabled_xact := coalesce(OLD.disabled_xact,
                                      pg_current_xact_id());
    ELSIF NEW.disabled_at IS DISTINCT FROM OLD.disabled_at THEN
        NEW.disabled_xact := NULL;
    END IF;

    IF TG_OP = 'UPDATE' AND NEW.identifier <> OLD.identifier THEN
        PERFORM hype.give_up_identifier(OLD.identifier, OLD.id);
    END IF;

    RETURN NEW;
END
$$;

COMMENT ON FUNCTION hype.stamp_link() IS
    'Trigger: keeps referral_link.disabled_at, disabled_xact and updated, and '
    'notes identifiers that links give up';


CREATE OR REPLACE FUNCTION hype.give_up_identifier(
    identifier text, referral_link_id bigint
)
RETURNS void
LANGUAGE sql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
    INSERT INTO hype.former_identifier (identifier, until, referral_link_id)
    VALUES (give_up_identifier.identifier, clock_timestamp(),
            give_up_identifier.referral_link_id)
    ON CONFLICT DO NOTHING
$$;

COMMENT ON FUNCTION hype.give_up_identifier(text, bigint) IS
    'The link has no longer this identifier: hits from before, which arrive '
    'late, are still its hits';


CREATE OR REPLACE FUNCTION hype.take_identifiers(
    identifiers text[], links bigint[]
)
RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    n     bigint;
    taken text;
BEGIN
    INSERT INTO hype.taken_identifier (key, referral_link_id)
    SELECT hype.user_key(i.identifier), i.link
    FROM unnest(identifiers, links) AS i (identifier, link)
    ORDER BY 1
    ON CONFLICT DO NOTHING;

    GET DIAGNOSTICS n = ROW_COUNT;

    IF n = cardinality(identifiers) THEN
        RETURN;
    END IF;

    -- Those that were there may be the same link's.

    SELECT i.identifier INTO taken
    FROM unnest(identifiers, links) AS i (identifier, link)
    JOIN hype.taken_identifier t ON t.key = hype.user_key(i.identifier)
    WHERE t.referral_link_id IS DISTINCT FROM i.link
    ORDER BY 1 LIMIT 1;

    IF FOUND THEN
        RAISE EXCEPTION 'hype: the identifier "%" is taken', taken
            USING ERRCODE = 'unique_violation',
                  DETAIL = 'It leads, or has led, to another link.';
    END IF;
END
$$;

COMMENT ON FUNCTION hype.take_identifiers(text[], bigint[]) IS
    'These identifiers are those links'' from now on; an error if one of them '
    'ever was another link''s (unique_violation)';


CREATE OR REPLACE FUNCTION hype.notify_link() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    changed bigint;
    given   text[];
BEGIN
    -- Who truncates begins anew.

    IF TG_OP = 'TRUNCATE' THEN
        DELETE FROM hype.link_alias;
        DELETE FROM hype.former_identifier;
        DELETE FROM hype.taken_identifier;
        PERFORM pg_notify('hype_link', '');
        RETURN NULL;
    END IF;

    IF TG_OP = 'INSERT' THEN
        SELECT count(*) INTO changed FROM new_rows;

        PERFORM hype.take_identifiers(array_agg(n.identifier),
                                      array_agg(n.id))
        FROM new_rows n;

        INSERT INTO hype.link_total (referral_link_id)
        SELECT n.id FROM new_rows n ORDER BY n.id
        ON CONFLICT DO NOTHING;
    ELSE
        SELECT count(*) INTO changed FROM old_rows;
    END IF;

    IF TG_OP = 'UPDATE' THEN
        given := ARRAY(SELECT d.identifier
                       FROM (SELECT n.identifier, n.id FROM new_rows n
                             EXCEPT
                             SELECT o.identifier, o.id FROM old_rows o) AS d);

        IF given <> '{}' THEN
            PERFORM hype.take_identifiers(array_agg(n.identifier),
                                          array_agg(n.id))
            FROM new_rows n WHERE n.identifier = ANY (given);

            DELETE FROM hype.link_alias a WHERE a.identifier = ANY (given);
        END IF;
    ELSIF TG_OP = 'DELETE' THEN
        PERFORM hype.give_up_identifier(identifier, id) FROM old_rows;

        DELETE FROM hype.link_alias a USING old_rows o
        WHERE a.referral_link_id = o.id;
    END IF;

    IF changed > 1000 THEN
        PERFORM pg_notify('hype_link', '');
        RETURN NULL;
    END IF;

    IF TG_OP <> 'INSERT' THEN
        PERFORM pg_notify('hype_link', identifier) FROM old_rows;
    END IF;

    IF TG_OP <> 'DELETE' THEN
        PERFORM pg_notify('hype_link', identifier) FROM new_rows;
    END IF;

    IF TG_OP = 'UPDATE' THEN
        PERFORM pg_notify('hype_link', a.identifier)
        FROM hype.link_alias a JOIN new_rows n ON n.id = a.referral_link_id;
    END IF;

    RETURN NULL;
END
$$;

COMMENT ON FUNCTION hype.notify_link() IS
    'Trigger: sends NOTIFY hype_link with the identifiers of each changed '
    'link, old and new ones and aliases, or without payload if all may have '
    'changed. Takes the identifiers for these links, and gives new links their '
    'totals';

\if :hype_new

CREATE TRIGGER referral_link_stamp
    BEFORE INSERT OR UPDATE ON hype.referral_link
    FOR EACH ROW EXECUTE FUNCTION hype.stamp_link();

CREATE TRIGGER referral_link_inserted
    AFTER INSERT ON hype.referral_link
    REFERENCING NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION hype.notify_link();

CREATE TRIGGER referral_link_updated
    AFTER UPDATE ON hype.referral_link
    REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION hype.notify_link();

CREATE TRIGGER referral_link_deleted
    AFTER DELETE ON hype.referral_link
    REFERENCING OLD TABLE AS old_rows
    FOR EACH STATEMENT EXECUTE FUNCTION hype.notify_link();

CREATE TRIGGER referral_link_truncated
    AFTER TRUNCATE ON hype.referral_link
    FOR EACH STATEMENT EXECUTE FUNCTION hype.notify_link();

\endif

COMMENT ON TRIGGER referral_link_stamp ON hype.referral_link IS
    'Keeps disabled_at and updated';
COMMENT ON TRIGGER referral_link_inserted ON hype.referral_link IS
    'Tells nginx of new links';
COMMENT ON TRIGGER referral_link_updated ON hype.referral_link IS
    'Tells nginx of changed links';
COMMENT ON TRIGGER referral_link_deleted ON hype.referral_link IS
    'Tells nginx of deleted links';
COMMENT ON TRIGGER referral_link_truncated ON hype.referral_link IS
    'Tells nginx that all links are gone';


CREATE OR REPLACE FUNCTION hype.check_alias() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    own text;
BEGIN
    PERFORM hype.check_identifier('hype.link_alias', NEW.identifier);

    -- Who changes the link at this moment tells nginx of its aliases, too.

    SELECT l.identifier INTO own FROM hype.referral_link l
    WHERE l.id = NEW.referral_link_id
    FOR NO KEY UPDATE;

    IF NOT FOUND THEN
        RAISE EXCEPTION 'hype.link_alias: there is no link %',
            NEW.referral_link_id
            USING ERRCODE = 'foreign_key_violation';
    END IF;

    IF own = NEW.identifier THEN
        RAISE EXCEPTION 'hype.link_alias: "%" is the link''s own identifier',
            NEW.identifier
            USING ERRCODE = 'unique_violation';
    END IF;

    RETURN NEW;
END
$$;

COMMENT ON FUNCTION hype.check_alias() IS
    'Trigger: an alias is a further identifier of a link that there is';


CREATE OR REPLACE FUNCTION hype.notify_alias() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    changed bigint;
BEGIN
    IF TG_OP = 'TRUNCATE' THEN
        PERFORM pg_notify('hype_link', '');
        RETURN NULL;
    END IF;

    IF TG_OP <> 'INSERT' THEN
        SELECT count(*) INTO changed FROM old_rows;

        PERFORM hype.give_up_identifier(identifier, referral_link_id)
        FROM old_rows;
    END IF;

    IF TG_OP <> 'DELETE' THEN
        SELECT count(*) INTO changed FROM new_rows;

        PERFORM hype.take_identifiers(array_agg(n.identifier),
                                      array_agg(n.referral_link_id))
        FROM new_rows n;
    END IF;

    IF changed > 1000 THEN
        PERFORM pg_notify('hype_link', '');
        RETURN NULL;
    END IF;

    IF TG_OP <> 'INSERT' THEN
        PERFORM pg_notify('hype_link', identifier) FROM old_rows;
    END IF;

    IF TG_OP <> 'DELETE' THEN
        PERFORM pg_notify('hype_link', identifier) FROM new_rows;
    END IF;

    RETURN NULL;
END
$$;

COMMENT ON FUNCTION hype.notify_alias() IS
    'Trigger: takes the aliases for their links, and sends NOTIFY hype_link '
    'with each that has changed, or without payload if all may have changed';

\if :hype_new_taken

CREATE TRIGGER link_alias_check
    BEFORE INSERT OR UPDATE ON hype.link_alias
    FOR EACH ROW EXECUTE FUNCTION hype.check_alias();

CREATE TRIGGER link_alias_inserted
    AFTER INSERT ON hype.link_alias
    REFERENCING NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION hype.notify_alias();

CREATE TRIGGER link_alias_updated
    AFTER UPDATE ON hype.link_alias
    REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION hype.notify_alias();

CREATE TRIGGER link_alias_deleted
    AFTER DELETE ON hype.link_alias
    REFERENCING OLD TABLE AS old_rows
    FOR EACH STATEMENT EXECUTE FUNCTION hype.notify_alias();

CREATE TRIGGER link_alias_truncated
    AFTER TRUNCATE ON hype.link_alias
    FOR EACH STATEMENT EXECUTE FUNCTION hype.notify_alias();

\endif

COMMENT ON TRIGGER link_alias_check ON hype.link_alias IS
    'Refuses what can''t be an alias';
COMMENT ON TRIGGER link_alias_inserted ON hype.link_alias IS
    'Tells nginx of new aliases';
COMMENT ON TRIGGER link_alias_updated ON hype.link_alias IS
    'Tells nginx of changed aliases';
COMMENT ON TRIGGER link_alias_deleted ON hype.link_alias IS
    'Tells nginx of deleted aliases';
COMMENT ON TRIGGER link_alias_truncated ON hype.link_alias IS
    'Tells nginx that all aliases are gone';


CREATE OR REPLACE FUNCTION hype.check_identifier(
    caller text, identifier text
)
RETURNS void
LANGUAGE plpgsql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF check_identifier.identifier !~ '^[A-Za-z0-9_.~-]{1,64}$' THEN
        RAISE EXCEPTION '%: "%" can''t be an identifier', caller,
            check_identifier.identifier
            USING ERRCODE = 'check_violation',
                  HINT = 'It has 1 to 64 of the characters A-Z, a-z, 0-9, '
                      '"_", ".", "~" and "-".';
    END IF;
END
$$;

COMMENT ON FUNCTION hype.check_identifier(text, text) IS
    'Raises an error that names the caller, unless the identifier is NULL or '
    'well-formed';


CREATE OR REPLACE FUNCTION hype.is_taken(
    identifier text, referral_link_id bigint
)
RETURNS boolean
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN EXISTS (
        SELECT FROM hype.taken_identifier t
        WHERE t.key = hype.user_key(is_taken.identifier)
          AND (t.referral_link_id = is_taken.referral_link_id) IS NOT TRUE);
END
$$;

COMMENT ON FUNCTION hype.is_taken(text, bigint) IS
    'Whether the identifier leads, or has led, to another link than this one, '
    'or with NULL to any';


CREATE OR REPLACE FUNCTION hype.new_identifier() RETURNS text
LANGUAGE sql VOLATILE
BEGIN ATOMIC
    -- 60 of a UUID's 122 random bits, all but its version and variant, are a
    -- million times 31 ^ 8, so that each character is as likely as any other.

    SELECT string_agg(substr('23456789abcdefghjkmnpqrstuvwxyz',
                             (bits / (31 ^ n)::bigint % 31)::integer + 1, 1),
                      '')
    FROM (SELECT ('x' || substr(uuid, 1, 12) || substr(uuid, 14, 3))
                 ::bit(60)::bigint AS bits
          FROM (SELECT replace(gen_random_uuid()::text, '-', '') AS uuid)
               AS random) AS number,
         generate_series(0, 7) AS n;
END;

COMMENT ON FUNCTION hype.new_identifier() IS
    'A random identifier of 8 characters that can be read out: lower case, no '
    '0, 1, i, l or o';


CREATE OR REPLACE FUNCTION hype.create_link(
    user_id     text DEFAULT NULL,
    destination text DEFAULT NULL,
    identifier  text DEFAULT NULL,
    label       text DEFAULT NULL,
    expires     timestamptz DEFAULT NULL
)
RETURNS hype.referral_link
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    link hype.referral_link;
BEGIN
    PERFORM hype.check_identifier('hype.create_link', create_link.identifier);

    LOOP
        INSERT INTO hype.referral_link
            (identifier, user_id, destination, label, expires)
        SELECT n.identifier, create_link.user_id, create_link.destination,
               create_link.label, create_link.expires
        FROM coalesce(create_link.identifier, hype.new_identifier())
             AS n (identifier)
        WHERE NOT hype.is_taken(n.identifier, NULL)
        ON CONFLICT (identifier) DO NOTHING
        RETURNING * INTO link;

        IF FOUND THEN
            RETURN link;
        END IF;

        IF create_link.identifier IS NOT NULL THEN
            RAISE EXCEPTION 'hype.create_link: the identifier "%" is taken',
                create_link.identifier
                USING ERRCODE = 'unique_violation',
                      DETAIL = 'It leads, or has led, to another link.';
        END IF;
    END LOOP;
END
$$;

COMMENT ON FUNCTION hype.create_link(text, text, text, text, timestamptz) IS
    'Makes a link; without an identifier it gets a random one. An identifier '
    'that is taken is an error (unique_violation)';


CREATE OR REPLACE FUNCTION hype.rename_link(
    identifier text, new_identifier text
)
RETURNS hype.referral_link
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    link   hype.referral_link;
    former text;
BEGIN
    IF new_identifier IS NULL THEN
        RAISE EXCEPTION 'hype.rename_link: no new identifier'
            USING ERRCODE = 'invalid_parameter_value';
    END IF;

    PERFORM hype.check_identifier('hype.rename_link', new_identifier);

    SELECT l.* INTO link FROM hype.referral_link l
    WHERE l.id = (SELECT o.id FROM hype.referral_link o
                  WHERE o.identifier = rename_link.identifier
                  UNION ALL
                  SELECT a.referral_link_id FROM hype.link_alias a
                  WHERE a.identifier = rename_link.identifier
                  LIMIT 1)
    FOR UPDATE;

    IF NOT FOUND THEN
        RAISE EXCEPTION 'hype.rename_link: no link has the identifier "%"',
            rename_link.identifier
            USING ERRCODE = 'no_data_found';
    END IF;

    IF link.identifier = new_identifier THEN
        RETURN link;
    END IF;

    IF hype.is_taken(new_identifier, link.id) THEN
        RAISE EXCEPTION 'hype.rename_link: the identifier "%" is taken',
            new_identifier
            USING ERRCODE = 'unique_violation',
                  DETAIL = 'It leads, or has led, to another link.';
    END IF;

    former := link.identifier;

    UPDATE hype.referral_link l SET identifier = new_identifier
    WHERE l.id = link.id
    RETURNING l.* INTO link;

    INSERT INTO hype.link_alias (identifier, referral_link_id)
    VALUES (former, link.id);

    RETURN link;
END
$$;

COMMENT ON FUNCTION hype.rename_link(text, text) IS
    'Gives the link a new identifier; the former one goes on leading to it, as '
    'an alias. An identifier that no link has is an error (no_data_found), and '
    'so is one that is taken (unique_violation)';


CREATE OR REPLACE FUNCTION hype.link_at(identifier text, at timestamptz)
RETURNS SETOF bigint
LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT coalesce(f.referral_link_id, l.id, a.referral_link_id)
    FROM string_to_table(link_at.identifier, ' ') WITH ORDINALITY
         AS i (identifier, n)
    LEFT JOIN LATERAL (
        SELECT o.referral_link_id FROM hype.former_identifier o
        WHERE o.identifier = i.identifier AND o.until > link_at.at
        ORDER BY o.until LIMIT 1
    ) AS f ON true
    LEFT JOIN hype.referral_link l ON l.identifier = i.identifier
    LEFT JOIN hype.link_alias a ON a.identifier = i.identifier
    WHERE link_at.identifier IS NOT NULL
      AND coalesce(f.referral_link_id, l.id, a.referral_link_id) IS NOT NULL
    ORDER BY i.n LIMIT 1;
END;

COMMENT ON FUNCTION hype.link_at(text, timestamptz) IS
    'The link that the identifier led to at that time, which may be gone. Of '
    'several identifiers with spaces between the first that led anywhere';


CREATE OR REPLACE FUNCTION hype.was_live(
    link hype.referral_link, at timestamptz, xact xid8
)
RETURNS boolean
LANGUAGE sql IMMUTABLE
RETURN NOT ((link).disabled AND (link).disabled_at <= at
            AND (xact < (link).disabled_xact) IS NOT TRUE)
       AND ((link).expires IS NULL OR (link).expires > at);

COMMENT ON FUNCTION hype.was_live(hype.referral_link, timestamptz, xid8) IS
    'Whether the link was neither disabled nor expired at the time of a hit, '
    'which that transaction wrote';


-- Hits
--
-- A log: nginx appends to it at line rate, and nothing else is done in the
-- transactions that write it.  Each index grows at its end, or is tiny: an
-- index on random keys would touch, and after a checkpoint log, a page a hit.

\if :hype_new

CREATE TABLE hype.referral_hit (
    id               uuid NOT NULL DEFAULT gen_random_uuid(),
    referral_link_id bigint NOT NULL,
    created          timestamptz NOT NULL DEFAULT now(),
    confirmed        timestamptz,
    authenticated    boolean NOT NULL DEFAULT false,
    bot              boolean NOT NULL DEFAULT false,
    void             boolean NOT NULL DEFAULT false,
    visitor          uuid,
    user_id          text,
    ip               inet,
    user_agent       text,
    http_referer     text,
    next             text,
    xact             xid8 DEFAULT pg_current_xact_id(),
    source           text,
    args             text,
    node             smallint NOT NULL DEFAULT 0,
    PRIMARY KEY (id, created)
) PARTITION BY RANGE (created);

CREATE INDEX referral_hit_visitor_created_idx
    ON hype.referral_hit (visitor, created)
    WHERE visitor IS NOT NULL;

CREATE INDEX referral_hit_user_id_void_created_idx
    ON hype.referral_hit (user_id, void, created)
    WHERE user_id IS NOT NULL;

CREATE INDEX referral_hit_xact_id_idx
    ON hype.referral_hit (xact, id);

\endif

COMMENT ON TABLE hype.referral_hit IS
    'The log of hits: each following of a link is a row; a partition a month, '
    'made by hype.maintain()';
COMMENT ON COLUMN hype.referral_hit.id IS
    'UUIDv7 made by nginx, which makes a second insert harmless';
COMMENT ON COLUMN hype.referral_hit.referral_link_id IS
    'referral_link.id, without a foreign key: it would cost a third of the '
    'speed, and Citus can''t have it';
COMMENT ON COLUMN hype.referral_hit.created IS
    'Time of the request, by the clock of nginx';
COMMENT ON COLUMN hype.referral_hit.confirmed IS
    'Time of the first confirmed referral that this hit was credited with';
COMMENT ON COLUMN hype.referral_hit.authenticated IS
    'The user was known when the hit was made';
COMMENT ON COLUMN hype.referral_hit.bot IS
    'hype_bot in nginx matched; not counted as a hit by the views, and never '
    'credited';
COMMENT ON COLUMN hype.referral_hit.void IS
    'Derived: the hit of a known user that is never credited, as it is a '
    'bot''s or as the user owns the link';
COMMENT ON COLUMN hype.referral_hit.visitor IS
    'The anonymous cookie''s UUID; NULL if authenticated or without consent';
COMMENT ON COLUMN hype.referral_hit.user_id IS
    'Who followed the link: known at once if authenticated, else derived when '
    'the visitor is claimed';
COMMENT ON COLUMN hype.referral_hit.ip IS
    'Address of the client, as hype_ip in nginx has it';
COMMENT ON COLUMN hype.referral_hit.user_agent IS
    'User-Agent of the request';
COMMENT ON COLUMN hype.referral_hit.http_referer IS
    'Referer of the request';
COMMENT ON COLUMN hype.referral_hit.next IS
    'The target that the request asked for, safe or not';
COMMENT ON COLUMN hype.referral_hit.xact IS
    'The transaction that wrote the hit: its place in the log, see '
    'hype.read_log(); NULL for hits of schema version 1';
COMMENT ON COLUMN hype.referral_hit.source IS
    'How the user came by the link: NULL: followed it; "code": typed it';
COMMENT ON COLUMN hype.referral_hit.args IS
    'Arguments of the URL that nginx was told to keep, as a query string';
COMMENT ON COLUMN hype.referral_hit.node IS
    'On Citus the shard that has the hit, and whose transaction wrote it, see '
    'hype.my_node(); else 0';

-- LIKE brings the comments along.

\if :hype_new

CREATE TABLE hype.referral_hit_default
    (LIKE hype.referral_hit INCLUDING ALL);

ALTER TABLE hype.referral_hit
    ATTACH PARTITION hype.referral_hit_default DEFAULT;

\endif

\if :hype_no_columns

SELECT format('COMMENT ON COLUMN %s.%I IS %L', i.inhrelid::regclass, a.attname,
              col_description(a.attrelid, a.attnum))
FROM pg_inherits i JOIN pg_attribute a ON a.attrelid = i.inhparent
WHERE i.inhparent = 'hype.referral_hit'::regclass
  AND a.attname IN ('source', 'args', 'node') \gexec

\endif

COMMENT ON TABLE hype.referral_hit_default IS
    'Hits of months without a partition: none can fail for want of one';


-- What is derived
--
-- Claims, confirmed referrals and roll-ups are derived from the logs in
-- bounded steps, by hype.derive().  The outcome depends on the time of the
-- requests, not on the order in which their records arrive.

CREATE TABLE IF NOT EXISTS hype.visitor_claim (
    visitor uuid PRIMARY KEY,
    user_id text NOT NULL CHECK (user_id <> ''),
    created timestamptz NOT NULL DEFAULT now()
);

\if :hype_new_2

CREATE INDEX IF NOT EXISTS visitor_claim_user_id_created_idx
    ON hype.visitor_claim (user_id, created);

\endif

COMMENT ON TABLE hype.visitor_claim IS
    'Visitors who turned out to be users; of two claims the earlier wins';
COMMENT ON COLUMN hype.visitor_claim.created IS
    'Time of the request, or of the call of hype.claim()';


CREATE TABLE IF NOT EXISTS hype.pending_claim (
    id      bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    visitor uuid NOT NULL,
    user_id text NOT NULL,
    created timestamptz NOT NULL,
    merged  boolean NOT NULL DEFAULT false,
    since   timestamptz NOT NULL DEFAULT '-infinity',
    missed  timestamptz,
    was     text[] NOT NULL DEFAULT '{}',
    applied boolean NOT NULL DEFAULT false,
    due     timestamptz NOT NULL DEFAULT now(),
    tries   integer NOT NULL DEFAULT 0,
    error   text
);

\if :hype_new_2

CREATE INDEX IF NOT EXISTS pending_claim_due_id_idx
    ON hype.pending_claim (due, id) WHERE NOT applied;
CREATE INDEX IF NOT EXISTS pending_claim_applied_idx
    ON hype.pending_claim (id) WHERE applied;
CREATE INDEX IF NOT EXISTS pending_claim_visitor_idx
    ON hype.pending_claim (visitor);

\endif

\if :hype_new_claims

CREATE INDEX IF NOT EXISTS pending_claim_user_id_idx
    ON hype.pending_claim (user_id, created) WHERE NOT merged;

\endif

COMMENT ON TABLE hype.pending_claim IS
    'Claims to be applied to hits: appended by nginx and hype.claim(), worked '
    'off by hype.derive()';
COMMENT ON COLUMN hype.pending_claim.merged IS
    'It is in visitor_claim';
COMMENT ON COLUMN hype.pending_claim.since IS
    'The visitor''s hits before this time have been looked at';
COMMENT ON COLUMN hype.pending_claim.missed IS
    'The first hit that was passed over as another transaction had it locked';
COMMENT ON COLUMN hype.pending_claim.was IS
    'The user of a later claim, which this one replaces';
COMMENT ON COLUMN hype.pending_claim.applied IS
    'Applied to the hits; the roll-ups are to follow';
COMMENT ON COLUMN hype.pending_claim.error IS
    'Why the last try failed';


-- Until version 2 a visitor's UUID stood in user_id as long as no user was
-- known, as if the two could not be the same text.

CREATE TABLE IF NOT EXISTS hype.confirmed_referral (
    event            text NOT NULL CHECK (event <> ''),
    user_id          text,
    referral_hit_id  uuid NOT NULL,
    referral_link_id bigint NOT NULL,
    referrer         text,
    value            numeric,
    created          timestamptz NOT NULL DEFAULT now(),
    visitor          uuid,
    via              uuid,
    told             boolean NOT NULL DEFAULT false,
    id               bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    revoked          timestamptz,
    reason           text,
    CONSTRAINT confirmed_referral_subject_check
        CHECK (user_id IS NOT NULL OR visitor IS NOT NULL)
);

\if :hype_upgrade

ALTER TABLE hype.confirmed_referral
    DROP CONSTRAINT IF EXISTS confirmed_referral_pkey,
    ADD COLUMN IF NOT EXISTS visitor uuid,
    ADD COLUMN IF NOT EXISTS via uuid,
    ADD COLUMN IF NOT EXISTS told boolean NOT NULL DEFAULT true,
    ADD COLUMN IF NOT EXISTS id bigint GENERATED ALWAYS AS IDENTITY
        PRIMARY KEY,
    ALTER COLUMN told SET DEFAULT false,
    ALTER COLUMN user_id DROP NOT NULL;

UPDATE hype.confirmed_referral c
SET visitor = h.visitor, user_id = NULL
FROM hype.referral_hit h
WHERE h.id = c.referral_hit_id
  AND h.visitor::text = c.user_id
  AND h.user_id IS NULL;

ALTER TABLE hype.confirmed_referral
    ADD CONSTRAINT confirmed_referral_subject_check
    CHECK (user_id IS NOT NULL OR visitor IS NOT NULL);

\endif

\if :hype_new_2

CREATE UNIQUE INDEX IF NOT EXISTS confirmed_referral_user_id_event_key
    ON hype.confirmed_referral (user_id, event);
CREATE UNIQUE INDEX IF NOT EXISTS confirmed_referral_visitor_event_key
    ON hype.confirmed_referral (visitor, event);
CREATE INDEX IF NOT EXISTS confirmed_referral_referral_link_id_idx
    ON hype.confirmed_referral (referral_link_id);
CREATE INDEX IF NOT EXISTS confirmed_referral_referral_hit_id_idx
    ON hype.confirmed_referral (referral_hit_id);

\endif

-- As the first schemas of version 2 have it

\if :hype_no_via

ALTER TABLE hype.confirmed_referral ADD COLUMN IF NOT EXISTS via uuid;

\endif

\if :hype_old_via

DROP INDEX hype.confirmed_referral_via_idx;
CREATE INDEX confirmed_referral_via_idx
    ON hype.confirmed_referral (via) WHERE via IS NOT NULL;

\endif

\if :hype_new_3

CREATE INDEX confirmed_referral_via_idx
    ON hype.confirmed_referral (via) WHERE via IS NOT NULL;

\endif

\if :hype_new_rewards

ALTER TABLE hype.confirmed_referral
    ADD COLUMN IF NOT EXISTS revoked timestamptz,
    ADD COLUMN IF NOT EXISTS reason text;

\endif

COMMENT ON TABLE hype.confirmed_referral IS
    'Referred users who completed what the site wanted: once an event and user';
COMMENT ON COLUMN hype.confirmed_referral.event IS
    'What was completed, such as "signup"';
COMMENT ON COLUMN hype.confirmed_referral.user_id IS
    'The referred user; NULL as long as only the visitor is known';
COMMENT ON COLUMN hype.confirmed_referral.referral_hit_id IS
    'The hit that is credited';
COMMENT ON COLUMN hype.confirmed_referral.referral_link_id IS
    'The link of that hit';
COMMENT ON COLUMN hype.confirmed_referral.referrer IS
    'The owner of that link at the time; NULL if it had none';
COMMENT ON COLUMN hype.confirmed_referral.value IS
    'What it was worth, if told';
COMMENT ON COLUMN hype.confirmed_referral.created IS
    'When it was confirmed';
COMMENT ON COLUMN hype.confirmed_referral.visitor IS
    'The visitor, if the confirm came without a user';
COMMENT ON COLUMN hype.confirmed_referral.via IS
    'The visitor that came along with the user';
COMMENT ON COLUMN hype.confirmed_referral.told IS
    'An application was told the referrer, or a reward was paid out for it: a '
    'hit that arrives late no longer moves the credit';
COMMENT ON COLUMN hype.confirmed_referral.id IS
    'Names the row as long as user or visitor may change';
COMMENT ON COLUMN hype.confirmed_referral.revoked IS
    'When it was revoked: it does not count, and is not confirmed again';
COMMENT ON COLUMN hype.confirmed_referral.reason IS
    'Why it was revoked, as told';


CREATE TABLE IF NOT EXISTS hype.told_visitor (
    visitor uuid,
    event   text,
    PRIMARY KEY (visitor, event)
);

\if :hype_new_told

CREATE INDEX confirmed_referral_created_idx
    ON hype.confirmed_referral (created);

INSERT INTO hype.told_visitor (visitor, event)
SELECT DISTINCT v, c.event
FROM hype.confirmed_referral c
CROSS JOIN unnest(ARRAY[c.visitor, c.via]) AS v
WHERE c.told AND v IS NOT NULL;

\endif

COMMENT ON TABLE hype.told_visitor IS
    'Visitors and events of which an application was told the referrer: it is '
    'told once, whoever the visitor turns out to be';


CREATE TABLE IF NOT EXISTS hype.pending_confirm (
    id       bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    event    text NOT NULL,
    user_id  text,
    visitor  uuid,
    claimant text,
    value    numeric,
    created  timestamptz NOT NULL,
    due      timestamptz DEFAULT now(),
    tries    integer NOT NULL DEFAULT 0,
    error    text
);

\if :hype_new_2

CREATE INDEX IF NOT EXISTS pending_confirm_due_id_idx
    ON hype.pending_confirm (due, id) WHERE due IS NOT NULL;

\endif

\if :hype_new_3

DROP INDEX IF EXISTS hype.pending_confirm_user_id_idx,
    hype.pending_confirm_visitor_idx, hype.pending_confirm_claimant_idx;
CREATE INDEX pending_confirm_waiting_user_id_idx
    ON hype.pending_confirm (user_id)
    WHERE due IS NULL AND user_id IS NOT NULL;
CREATE INDEX pending_confirm_waiting_visitor_idx
    ON hype.pending_confirm (visitor)
    WHERE due IS NULL AND visitor IS NOT NULL;
CREATE INDEX pending_confirm_waiting_claimant_idx
    ON hype.pending_confirm (claimant)
    WHERE due IS NULL AND claimant IS NOT NULL;

\endif

COMMENT ON TABLE hype.pending_confirm IS
    'Confirms of nginx: appended here, worked off by hype.derive(). Those that '
    'find no hit wait a week for one; of each event, user and visitor the '
    'first and the latest, of each event and user ten at each end';
COMMENT ON COLUMN hype.pending_confirm.claimant IS
    'The user who claimed the visitor, as far as known';
COMMENT ON COLUMN hype.pending_confirm.created IS
    'Time of the request';
COMMENT ON COLUMN hype.pending_confirm.due IS
    'When to look at it; NULL: when a hit or a claim arrives';
COMMENT ON COLUMN hype.pending_confirm.error IS
    'Why the last try failed; after five tries nginx is told to set it aside, '
    'but it is tried again, up to once an hour';


\if :hype_new_erased

CREATE INDEX IF NOT EXISTS referral_link_user_id_idx
    ON hype.referral_link (user_id) WHERE user_id IS NOT NULL;

\endif

CREATE TABLE IF NOT EXISTS hype.erased (
    subject uuid NOT NULL,
    known   boolean NOT NULL,
    at      timestamptz NOT NULL,
    PRIMARY KEY (subject, known)
);

COMMENT ON TABLE hype.erased IS
    'Users and visitors whose data were erased, by hype.erase(): records of '
    'requests from before that time, which arrive late, are left out';
COMMENT ON COLUMN hype.erased.subject IS
    'A hash: hype.user_key() of the user, or of the visitor';
COMMENT ON COLUMN hype.erased.known IS
    'It is a user, not a visitor';


CREATE TABLE IF NOT EXISTS hype.typed_code (
    referral_link_id bigint,
    subject          uuid,
    at               timestamptz NOT NULL,
    PRIMARY KEY (referral_link_id, subject)
);

COMMENT ON TABLE hype.typed_code IS
    'Who has typed which link''s code in the last day: the row is what calls of '
    'hype.refer() at the same time wait for, so that one of them makes the hit';
COMMENT ON COLUMN hype.typed_code.subject IS
    'hype.user_key() of the user';


-- What is owed, and paid
--
-- A ledger, to which rows are only added.  A reward that is taken back gets a
-- contrary entry, and a pay-out is an entry, too: all balances are sums.

CREATE TABLE IF NOT EXISTS hype.reward_rule (
    id                  bigint GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY,
    event               text NOT NULL,
    side                text NOT NULL,
    amount              numeric,
    percent             numeric,
    currency            text NOT NULL DEFAULT 'points',
    hold                interval NOT NULL DEFAULT '0',
    max_per_beneficiary integer,
    valid_from          timestamptz,
    valid_until         timestamptz
);

COMMENT ON TABLE hype.reward_rule IS
    'What a confirmed referral earns, and whom. A change of a rule changes no '
    'reward that is there';
COMMENT ON COLUMN hype.reward_rule.id IS
    'What rewards refer to';
COMMENT ON COLUMN hype.reward_rule.event IS
    'The event that is rewarded';
COMMENT ON COLUMN hype.reward_rule.side IS
    'Who gets it: the "referrer", or the "referred" user';
COMMENT ON COLUMN hype.reward_rule.amount IS
    'So much each time; or else percent';
COMMENT ON COLUMN hype.reward_rule.percent IS
    'Of the value of the confirmed referral, rounded to two decimals';
COMMENT ON COLUMN hype.reward_rule.currency IS
    'Any name of what is given, such as "points" or "EUR"';
COMMENT ON COLUMN hype.reward_rule.hold IS
    'How long after the confirm it can not be paid yet';
COMMENT ON COLUMN hype.reward_rule.max_per_beneficiary IS
    'How many rewards of this rule a beneficiary gets at most, not counting '
    'those that were taken back';
COMMENT ON COLUMN hype.reward_rule.valid_from IS
    'The rule is for referrals that were confirmed since then';
COMMENT ON COLUMN hype.reward_rule.valid_until IS
    'and before then';

CREATE TABLE IF NOT EXISTS hype.reward (
    id                    bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind                  text NOT NULL
                          CHECK (kind IN ('earned', 'taken_back', 'paid')),
    event                 text,
    user_id               text,
    side                  text,
    beneficiary           text,
    amount                numeric NOT NULL,
    currency              text NOT NULL,
    created               timestamptz NOT NULL DEFAULT now(),
    available_at          timestamptz NOT NULL,
    confirmed_referral_id bigint,
    reward_rule_id        bigint,
    n                     integer NOT NULL,
    reference             text
);

\if :hype_new_rewards

CREATE INDEX reward_rule_event_idx ON hype.reward_rule (event);
CREATE UNIQUE INDEX reward_confirmed_referral_id_key
    ON hype.reward (confirmed_referral_id, reward_rule_id, n)
    WHERE confirmed_referral_id IS NOT NULL;
CREATE UNIQUE INDEX reward_beneficiary_currency_n_key
    ON hype.reward (beneficiary, currency, n) WHERE kind = 'paid';
CREATE UNIQUE INDEX reward_reference_key
    ON hype.reward (reference) WHERE reference IS NOT NULL;
CREATE INDEX reward_beneficiary_reward_rule_id_idx
    ON hype.reward (beneficiary, reward_rule_id)
    WHERE reward_rule_id IS NOT NULL;
CREATE INDEX reward_user_id_idx
    ON hype.reward (user_id) WHERE user_id IS NOT NULL;

\endif

COMMENT ON TABLE hype.reward IS
    'The ledger of what is owed for confirmed referrals, and of what was paid: '
    'rows are added, and not changed. hype.balance has the sums';
COMMENT ON COLUMN hype.reward.kind IS
    '"earned"; "taken_back": the contrary of one that was earned; or "paid"';
COMMENT ON COLUMN hype.reward.id IS
    'Names the entry';
COMMENT ON COLUMN hype.reward.event IS
    'What was confirmed; NULL: a pay-out';
COMMENT ON COLUMN hype.reward.user_id IS
    'Who was confirmed, as far as known then';
COMMENT ON COLUMN hype.reward.side IS
    'What the beneficiary was: "referrer" or "referred"';
COMMENT ON COLUMN hype.reward.beneficiary IS
    'Whose reward it is, or who was paid; NULL: a user who was erased';
COMMENT ON COLUMN hype.reward.amount IS
    'What the beneficiary is owed more by it: below zero if taken back or paid';
COMMENT ON COLUMN hype.reward.currency IS
    'As the rule has it';
COMMENT ON COLUMN hype.reward.created IS
    'When the entry was made';
COMMENT ON COLUMN hype.reward.available_at IS
    'When it can be paid; for what is taken back, as for what was earned';
COMMENT ON COLUMN hype.reward.confirmed_referral_id IS
    'confirmed_referral.id, which may be gone';
COMMENT ON COLUMN hype.reward.reward_rule_id IS
    'reward_rule.id, which may be gone';
COMMENT ON COLUMN hype.reward.n IS
    'Numbers the entries of a rule and a confirmed referral, or the pay-outs '
    'of a beneficiary and a currency: the unique keys let nobody make the same '
    'entry twice';
COMMENT ON COLUMN hype.reward.reference IS
    'What names the pay-out';
COMMENT ON INDEX hype.reward_confirmed_referral_id_key IS
    'A reward is not given twice at the same time';
COMMENT ON INDEX hype.reward_beneficiary_currency_n_key IS
    'Nor is anybody paid twice at the same time';

CREATE TABLE IF NOT EXISTS hype.reward_count (
    reward_rule_id bigint NOT NULL,
    beneficiary    text NOT NULL,
    n              integer NOT NULL,
    PRIMARY KEY (reward_rule_id, beneficiary)
);

CREATE TABLE IF NOT EXISTS hype.reward_total (
    beneficiary text,
    currency    text,
    entries     bigint NOT NULL,
    amount      numeric NOT NULL,
    due_entries bigint NOT NULL,
    due         numeric NOT NULL,
    paid        numeric NOT NULL,
    PRIMARY KEY (beneficiary, currency)
);

CREATE TABLE IF NOT EXISTS hype.reward_change (
    beneficiary  text,
    currency     text,
    reward_id    bigint,
    amount       numeric NOT NULL,
    available_at timestamptz NOT NULL,
    paid         boolean NOT NULL,
    PRIMARY KEY (beneficiary, currency, reward_id)
);

CREATE TABLE IF NOT EXISTS hype.reward_position (
    id           integer PRIMARY KEY DEFAULT 1 CHECK (id = 1),
    available_at timestamptz NOT NULL DEFAULT '-infinity',
    reward_id    bigint NOT NULL DEFAULT 0
);

\if :hype_new_totals

DROP INDEX IF EXISTS hype.confirmed_referral_referrer_idx;
CREATE INDEX IF NOT EXISTS confirmed_referral_referrer_told_idx
    ON hype.confirmed_referral (referrer, told) WHERE referrer IS NOT NULL;

DROP INDEX IF EXISTS hype.reward_beneficiary_currency_idx;
CREATE INDEX reward_beneficiary_available_at_idx
    ON hype.reward (beneficiary, available_at) WHERE beneficiary IS NOT NULL;
CREATE INDEX reward_available_at_id_idx ON hype.reward (available_at, id);

DELETE FROM hype.reward_change;
DELETE FROM hype.reward_total;
DELETE FROM hype.reward_position;

INSERT INTO hype.reward_position (available_at, reward_id)
VALUES (now(), 9223372036854775807);

INSERT INTO hype.reward_total
    (beneficiary, currency, entries, amount, due_entries, due, paid)
SELECT r.beneficiary, r.currency, count(*), sum(r.amount),
       count(*) FILTER (WHERE r.kind = 'paid' OR r.available_at <= now()),
       coalesce(sum(r.amount) FILTER (WHERE r.kind = 'paid'
                                         OR r.available_at <= now()), 0),
       coalesce(sum(-r.amount) FILTER (WHERE r.kind = 'paid'), 0)
FROM hype.reward r
WHERE r.beneficiary IS NOT NULL
GROUP BY r.beneficiary, r.currency;

\endif

COMMENT ON TABLE hype.reward_total IS
    'Roll-up of the ledger: what hype.balance reads. It waits for nobody, as '
    'entries go to reward_change first';
COMMENT ON COLUMN hype.reward_total.due IS
    'The sum of pay-outs, and of what was available at reward_position';
COMMENT ON TABLE hype.reward_change IS
    'Entries of the ledger that reward_total has not got yet';
COMMENT ON TABLE hype.reward_position IS
    'Up to which entry, in the order of available_at and id, those that are in '
    'reward_total are in its "due"; the row is also what those who change '
    'reward_total lock';

COMMENT ON TABLE hype.reward_count IS
    'How many rewards of a rule with max_per_beneficiary each beneficiary has: '
    'those who give another one at the same time wait for each other here';


CREATE TABLE IF NOT EXISTS hype.event (
    id      bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at      timestamptz NOT NULL DEFAULT clock_timestamp(),
    kind    text NOT NULL
            CHECK (kind IN ('claim', 'confirm', 'revoke', 'reward',
                            'pay_out')),
    payload jsonb NOT NULL
);

\if :hype_new_rewards

CREATE INDEX event_payload_idx ON hype.event USING gin (payload jsonb_path_ops);

\endif

COMMENT ON TABLE hype.event IS
    'What has happened in the last 30 days, for others to follow: read it with '
    'hype.events_after() only, as events do not appear in the order of ids';
COMMENT ON COLUMN hype.event.id IS
    'Its number: from a sequence, so some are missing';
COMMENT ON COLUMN hype.event.at IS
    'When it was written';
COMMENT ON COLUMN hype.event.kind IS
    '"claim", "confirm", "revoke", "reward" or "pay_out"';
COMMENT ON COLUMN hype.event.payload IS
    'What has happened, by the names of the columns that it is from';
COMMENT ON INDEX hype.event_payload_idx IS
    'For hype.erase()';


-- Roll-ups: what reports read.  The link hype.site() stands for all links,
-- where a visitor of several links counts once.

CREATE OR REPLACE FUNCTION hype.site() RETURNS bigint
LANGUAGE sql IMMUTABLE
RETURN (-9223372036854775808)::bigint;

COMMENT ON FUNCTION hype.site() IS
    'What stands for all links together in the roll-ups';

CREATE TABLE IF NOT EXISTS hype.link_total (
    referral_link_id bigint PRIMARY KEY,
    hits             bigint NOT NULL DEFAULT 0,
    bots             bigint NOT NULL DEFAULT 0,
    unique_visitors  bigint NOT NULL DEFAULT 0,
    linked_users     bigint NOT NULL DEFAULT 0,
    confirmed        bigint NOT NULL DEFAULT 0,
    confirmations    bigint NOT NULL DEFAULT 0,
    value            numeric,
    first_hit        timestamptz,
    last_hit         timestamptz,
    codes            bigint NOT NULL DEFAULT 0
);

\if :hype_new_hits

CREATE INDEX IF NOT EXISTS link_total_hits_idx ON hype.link_total (hits);

\endif

COMMENT ON TABLE hype.link_total IS
    'Roll-up: what became of each link, and a row for each that has no hits '
    'yet. Outlives the hits';

CREATE TABLE IF NOT EXISTS hype.hit_quarter (
    referral_link_id bigint NOT NULL,
    quarter          bigint NOT NULL,
    day              date NOT NULL,
    hits             integer NOT NULL,
    bots             integer NOT NULL,
    unique_visitors  integer NOT NULL,
    codes            integer NOT NULL DEFAULT 0,
    PRIMARY KEY (referral_link_id, quarter)
);

CREATE TABLE IF NOT EXISTS hype.hit_return (
    referral_link_id bigint NOT NULL,
    quarter          bigint NOT NULL,
    gap              integer NOT NULL,
    day              date NOT NULL,
    visitors         integer NOT NULL,
    PRIMARY KEY (referral_link_id, quarter, gap)
);

\if :hype_new_2

CREATE INDEX IF NOT EXISTS hit_quarter_day_idx
    ON hype.hit_quarter (day, referral_link_id);
CREATE INDEX IF NOT EXISTS hit_return_day_idx
    ON hype.hit_return (day, referral_link_id) WHERE gap < 96;

\endif

\if :hype_no_codes

ALTER TABLE hype.link_total
    ADD COLUMN IF NOT EXISTS codes bigint NOT NULL DEFAULT 0;
ALTER TABLE hype.hit_quarter
    ADD COLUMN IF NOT EXISTS codes integer NOT NULL DEFAULT 0;

\endif

COMMENT ON TABLE hype.hit_quarter IS
    'Roll-up: hits of each link in each quarter of an hour, which every time '
    'zone''s hours and days are made of';
COMMENT ON COLUMN hype.hit_quarter.day IS
    'The quarter''s day, in UTC';
COMMENT ON COLUMN hype.hit_quarter.quarter IS
    'Quarters of an hour since 1970, UTC';

COMMENT ON TABLE hype.hit_return IS
    'Roll-up: visitors of a link in a quarter who had visited it before, '
    'within 32 days. The unique visitors of a day are those of its quarters, '
    'less those who return on that day: so they can be added up';
COMMENT ON COLUMN hype.hit_return.gap IS
    'Quarters since the visit before';

CREATE TABLE IF NOT EXISTS hype.visit (
    subject          uuid NOT NULL,
    known            boolean NOT NULL,
    referral_link_id bigint NOT NULL,
    quarter          bigint NOT NULL,
    PRIMARY KEY (subject, known, referral_link_id, quarter)
);

COMMENT ON TABLE hype.visit IS
    'Roll-up: in which quarters a visitor, or a user who was known, followed a '
    'link: what tells the unique ones';
COMMENT ON COLUMN hype.visit.subject IS
    'The visitor, or hype.user_key() of the user';
COMMENT ON COLUMN hype.visit.known IS
    'It is a user, not a visitor: the two are never compared';

CREATE TABLE IF NOT EXISTS hype.link_user (
    user_id          text NOT NULL,
    referral_link_id bigint NOT NULL,
    quarter          bigint NOT NULL,
    PRIMARY KEY (user_id, referral_link_id)
);

COMMENT ON TABLE hype.link_user IS
    'Roll-up: the users whom hits of a link belong to';
COMMENT ON COLUMN hype.link_user.quarter IS
    'The quarter of the first of these hits';

CREATE TABLE IF NOT EXISTS hype.hit_origin (
    day       date NOT NULL,
    dimension text COLLATE "C" NOT NULL,
    value     text COLLATE "C" NOT NULL,
    hits      bigint NOT NULL,
    confirmed bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (dimension, day, value)
);

COMMENT ON TABLE hype.hit_origin IS
    'Roll-up: hits by host of the Referer ("referer"), path of next ("next") '
    'and arguments that were kept ("arg:" and the name), each day; 1,000 '
    'values a day, others are added up as ""';

CREATE TABLE IF NOT EXISTS hype.confirmed_change (
    id               bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    referral_link_id bigint NOT NULL,
    subject          uuid NOT NULL,
    known            boolean NOT NULL,
    n                integer NOT NULL,
    value            numeric,
    day              date,
    args             text
);

\if :hype_new_log

ALTER TABLE hype.hit_origin
    ADD COLUMN IF NOT EXISTS confirmed bigint NOT NULL DEFAULT 0;
ALTER TABLE hype.confirmed_change
    ADD COLUMN IF NOT EXISTS day date,
    ADD COLUMN IF NOT EXISTS args text;

\endif

COMMENT ON COLUMN hype.hit_origin.confirmed IS
    'Confirmed referrals that hits of that day were credited with; of '
    'arguments only';
COMMENT ON COLUMN hype.confirmed_change.args IS
    'Of the hit that is credited, as is the day';

COMMENT ON TABLE hype.confirmed_change IS
    'Changes of confirmed_referral that the roll-ups have not got yet: one '
    'more (n is 1) or one less (-1)';

CREATE TABLE IF NOT EXISTS hype.link_confirmed (
    referral_link_id bigint NOT NULL,
    subject          uuid NOT NULL,
    known            boolean NOT NULL,
    n                bigint NOT NULL,
    PRIMARY KEY (referral_link_id, subject, known)
);

COMMENT ON TABLE hype.link_confirmed IS
    'Roll-up: how many confirmed referrals each user or visitor has by a link';

CREATE TABLE IF NOT EXISTS hype.log_position (
    name     text PRIMARY KEY,
    done     pg_snapshot NOT NULL,
    target   pg_snapshot,
    xact     xid8,
    id       uuid,
    backfill uuid,
    pruned   timestamptz NOT NULL DEFAULT '-infinity',
    rolled   timestamptz NOT NULL DEFAULT '-infinity'
);

COMMENT ON TABLE hype.log_position IS
    'How far hits have been read: for claims and confirms ("claims"), and for '
    'the roll-ups ("roll_up"); see hype.read_log()';
COMMENT ON COLUMN hype.log_position.done IS
    'What this snapshot sees has been read';
COMMENT ON COLUMN hype.log_position.target IS
    'What this one sees is being read, in the order of xact and id, up to the '
    'next columns';
COMMENT ON COLUMN hype.log_position.backfill IS
    'Hits of schema version 1 have been read up to this id; NULL: all';
COMMENT ON COLUMN hype.log_position.pruned IS
    'Hits before this time were pruned: their totals stay';
COMMENT ON COLUMN hype.log_position.rolled IS
    'When all was read the last time';


-- Reading the log
--
-- A transaction's rows become visible when it commits, not in the order of
-- time, id or xact.  So a position is a snapshot, not a number: what it sees
-- has been read, and nothing else has.  To read on is to take a new snapshot
-- and read what that sees and the old one does not: the transactions that
-- were running then, and all since.  It waits for no transaction, and each
-- row is read once, whenever its transaction commits.

CREATE OR REPLACE FUNCTION hype.log_snapshot() RETURNS pg_snapshot
LANGUAGE sql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT CASE WHEN pg_visible_in_snapshot(own, s)
           THEN format('%s:%s:%s', least(own, pg_snapshot_xmin(s)),
                       pg_snapshot_xmax(s),
                       (SELECT string_agg(x.i::text, ',' ORDER BY x.i)
                        FROM (SELECT pg_snapshot_xip(s) UNION SELECT own)
                             AS x (i)))::pg_snapshot
           ELSE s END
    FROM pg_current_snapshot() AS s,
         pg_current_xact_id_if_assigned() AS own
$$;

COMMENT ON FUNCTION hype.log_snapshot() IS
    'The current snapshot, in which this transaction is running: it may write '
    'more hits. PostgreSQL leaves a transaction out of its own snapshots';


CREATE OR REPLACE FUNCTION hype.lock_log(log_name text, wait boolean)
RETURNS boolean
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF wait THEN
        PERFORM FROM hype.log_position l WHERE l.name = log_name FOR UPDATE;
    ELSE
        PERFORM FROM hype.log_position l WHERE l.name = log_name
        FOR UPDATE SKIP LOCKED;
    END IF;

    RETURN FOUND;
END
$$;

COMMENT ON FUNCTION hype.lock_log(text, boolean) IS
    'Until the end of the transaction nobody else derives from that log; '
    'returns false if another does, and wait is false. No role but the owner '
    'can lock the row, as any role could an advisory lock';


CREATE OR REPLACE FUNCTION hype.read_log(log_name text, max bigint)
RETURNS SETOF hype.referral_hit
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET enable_bitmapscan = off
SET enable_sort = off
SET jit = off
SET plan_cache_mode = force_generic_plan
AS $$
DECLARE
    p      hype.log_position;
    hit    hype.referral_hit;
    x      xid8;
    origin xid8;
    since  uuid;
    n      bigint := 0;
    old    boolean;
BEGIN
    IF hype.distributed() THEN
        RETURN QUERY SELECT h.* FROM hype.read_shards(log_name, max) AS h;
        RETURN;
    END IF;

    SELECT l.* INTO STRICT p FROM hype.log_position l WHERE l.name = log_name;

    -- Of another cluster, see hype.rebase_step()

    IF pg_snapshot_xmax(p.done) > pg_snapshot_xmax(pg_current_snapshot()) THEN
        RETURN;
    END IF;

    old := p.target IS NOT NULL;

    IF NOT old THEN
        p.target := hype.log_snapshot();
        p.xact := '0';
        p.id := NULL;
    END IF;

    FOR x IN
        SELECT i FROM pg_snapshot_xip(p.done) AS i
        WHERE i >= p.xact AND pg_visible_in_snapshot(i, p.target)
        ORDER BY i
    LOOP
        EXIT WHEN n >= max;

        since := CASE WHEN x = p.xact THEN p.id END;

        FOR hit IN
            SELECT h.* FROM hype.referral_hit h
            WHERE h.xact = x
              AND h.id >= coalesce(since,
                                   '00000000-0000-0000-0000-000000000000')
              AND h.id IS DISTINCT FROM since
            ORDER BY h.id
            FETCH FIRST (max - n) ROWS WITH TIES
        LOOP
            RETURN NEXT hit;
            n := n + 1;
            p.xact := x;
            p.id := hit.id;
        END LOOP;
    END LOOP;

    IF n < max THEN
        origin := greatest(pg_snapshot_xmax(p.done), p.xact);
        since := CASE WHEN origin = p.xact THEN p.id END;

        FOR hit IN
            SELECT h.* FROM hype.referral_hit h
            WHERE (h.xact, h.id)
                  >= (origin, coalesce(since,
                                       '00000000-0000-0000-0000-000000000000'))
              AND (h.xact > origin OR h.id IS DISTINCT FROM since)
              AND h.xact < pg_snapshot_xmax(p.target)
              AND pg_visible_in_snapshot(h.xact, p.target)
            ORDER BY h.xact, h.id
            FETCH FIRST (max - n) ROWS WITH TIES
        LOOP
            RETURN NEXT hit;
            n := n + 1;
            p.xact := hit.xact;
            p.id := hit.id;
        END LOOP;
    END IF;

    IF n < max THEN
        p.done := p.target;
        p.target := NULL;
        p.rolled := clock_timestamp();
    END IF;

    IF n < max AND p.backfill IS NOT NULL THEN
        since := p.backfill;

        FOR hit IN
            SELECT h.* FROM hype.referral_hit h
            WHERE h.id > since AND h.xact IS NULL
            ORDER BY h.id
            FETCH FIRST (max - n) ROWS WITH TIES
        LOOP
            RETURN NEXT hit;
            n := n + 1;
            p.backfill := hit.id;
        END LOOP;

        IF n < max THEN
            p.backfill := NULL;
        END IF;
    END IF;

    UPDATE hype.log_position l
    SET done = p.done, target = p.target, xact = p.xact, id = p.id,
        backfill = p.backfill, rolled = p.rolled
    WHERE l.name = log_name;

    -- An old target may have had no more hits.  Those that were committed since
    -- are what this call may be for, and no other may come soon.

    IF n = 0 AND old AND max > 0 THEN
        RETURN QUERY SELECT h.* FROM hype.read_log(log_name, max) h;
    END IF;
END
$$;

COMMENT ON FUNCTION hype.read_log(text, bigint) IS
    'The next hits of the log that were not read under this name, in their '
    'order, and moves the position; fewer than max: that is all there is. For '
    'one caller at a time';


CREATE OR REPLACE FUNCTION hype.unrolled_hits()
RETURNS SETOF hype.referral_hit
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET jit = off
SET plan_cache_mode = force_generic_plan
AS $$
DECLARE
    p hype.log_position;
BEGIN
    IF hype.distributed() THEN
        RETURN QUERY SELECT h.* FROM hype.unrolled_shards() AS h;
        RETURN;
    END IF;

    -- Stable: sees what the statement that calls it sees, so that a hit is
    -- either in its roll-ups or here.

    SELECT l.* INTO p FROM hype.log_position l WHERE l.name = 'roll_up';

    RETURN QUERY
        SELECT h.* FROM hype.referral_hit h
        WHERE h.xact >= pg_snapshot_xmax(p.done)
          AND (p.target IS NULL OR (h.xact, h.id) > (p.xact, p.id)
               OR p.id IS NULL
               OR NOT pg_visible_in_snapshot(h.xact, p.target));

    RETURN QUERY
        SELECT h.* FROM hype.referral_hit h
        WHERE h.xact = ANY (ARRAY(SELECT pg_snapshot_xip(p.done)))
          AND (p.target IS NULL OR (h.xact, h.id) > (p.xact, p.id)
               OR p.id IS NULL
               OR NOT pg_visible_in_snapshot(h.xact, p.target));

    IF p.backfill IS NOT NULL THEN
        RETURN QUERY
            SELECT h.* FROM hype.referral_hit h
            WHERE h.xact IS NULL AND h.id > p.backfill;
    END IF;
END
$$;

COMMENT ON FUNCTION hype.unrolled_hits() IS
    'The hits that the roll-ups do not have yet';


-- Small helpers

CREATE OR REPLACE FUNCTION hype.quarter(at timestamptz) RETURNS bigint
LANGUAGE sql STABLE
RETURN least(floor(date_part('epoch', at) / 900), 10249242239)::bigint;

COMMENT ON FUNCTION hype.quarter(timestamptz) IS
    'Quarters of an hour from 1970, UTC, to that time; the last one that '
    'PostgreSQL can represent, where date_part() rounds beyond it';

CREATE OR REPLACE FUNCTION hype.quarter_start(quarter bigint)
RETURNS timestamptz
LANGUAGE sql STABLE
RETURN to_timestamp(quarter * 900);

COMMENT ON FUNCTION hype.quarter_start(bigint) IS
    'When that quarter of an hour begins';

CREATE OR REPLACE FUNCTION hype.day_quarter(day date) RETURNS bigint
LANGUAGE sql IMMUTABLE
RETURN (day - '1970-01-01'::date)::bigint * 96;

COMMENT ON FUNCTION hype.day_quarter(date) IS
    'The first quarter of a day of UTC';

CREATE OR REPLACE FUNCTION hype.utc_day(at timestamptz) RETURNS date
LANGUAGE sql IMMUTABLE
RETURN (at AT TIME ZONE 'UTC')::date;

COMMENT ON FUNCTION hype.utc_day(timestamptz) IS
    'The day of that time in UTC';

CREATE OR REPLACE FUNCTION hype.user_key(user_id text) RETURNS uuid
LANGUAGE sql STABLE
RETURN encode(substring(sha256(convert_to(user_id, getdatabaseencoding()))
                        FOR 16), 'hex')::uuid;

COMMENT ON FUNCTION hype.user_key(text) IS
    'A key of one size for users of any name, for the roll-ups';

CREATE OR REPLACE FUNCTION hype.are_erased(
    visitors uuid[], user_ids text[], created timestamptz[]
)
RETURNS boolean[]
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET jit = off
SET plan_cache_mode = force_generic_plan
AS $$
BEGIN
    -- Most often nobody was.

    IF NOT EXISTS (SELECT FROM hype.erased) THEN
        RETURN NULL;
    END IF;

    RETURN ARRAY(
        SELECT EXISTS (SELECT FROM hype.erased e
                       WHERE e.subject = hype.user_key(r.user_id)
                         AND e.known AND e.at >= r.created)
               OR EXISTS (SELECT FROM hype.erased e
                          WHERE e.subject = hype.user_key(r.visitor::text)
                            AND NOT e.known AND e.at >= r.created)
        FROM unnest(visitors, user_ids, are_erased.created) WITH ORDINALITY
             AS r (visitor, user_id, created, n)
        ORDER BY r.n);
END
$$;

COMMENT ON FUNCTION hype.are_erased(uuid[], text[], timestamptz[]) IS
    'Whether records of these visitors, or users, and times were erased before '
    'they arrived: one answer each, or NULL if none was';

DROP FUNCTION IF EXISTS hype.is_erased(uuid, text, timestamptz);

CREATE OR REPLACE FUNCTION hype.referer_host(http_referer text) RETURNS text
LANGUAGE sql IMMUTABLE
RETURN left(lower(substring(left(http_referer, 2048)
    FROM '^[A-Za-z][A-Za-z0-9+.-]*://(?:[^/?#@]*@)?([^/?#:]+)')), 253);

COMMENT ON FUNCTION hype.referer_host(text) IS
    'The host of a URL, or NULL';

CREATE OR REPLACE FUNCTION hype.next_path(next text) RETURNS text
LANGUAGE sql IMMUTABLE
RETURN left(substring(left(next, 2048) FROM '^[^?#]*'), 250);

COMMENT ON FUNCTION hype.next_path(text) IS
    'A URL without its arguments';

CREATE OR REPLACE FUNCTION hype.url_decode(value text) RETURNS text
LANGUAGE sql STABLE
BEGIN ATOMIC
    -- The expression is that of well-formed UTF-8 without NUL (Unicode, table
    -- 3-7), as an error would hold up the roll-ups.

    SELECT CASE WHEN encode(d.bytes, 'hex')
                     ~ ('^(0[1-9a-f]|[1-7].|(c[2-9a-f]|d.)[89ab].|'
                        'e0[ab].[89ab].|e[1-9abcef]([89ab].){2}|'
                        'ed[89].[89ab].|f0[9ab].([89ab].){2}|'
                        'f[123]([89ab].){3}|f48.([89ab].){2})*$')
           THEN convert_from(d.bytes, 'UTF8')
           ELSE url_decode.value END
    FROM (SELECT string_agg(
                     CASE WHEN p.n = 1
                          THEN convert_to(p.piece, 'SQL_ASCII')
                          WHEN p.piece ~ '^[0-9A-Fa-f]{2}'
                          THEN decode(left(p.piece, 2), 'hex')
                               || convert_to(substr(p.piece, 3), 'SQL_ASCII')
                          ELSE convert_to('%' || p.piece, 'SQL_ASCII') END,
                     ''::bytea ORDER BY p.n) AS bytes
          FROM unnest(string_to_array(replace(url_decode.value, '+', ' '),
                                      '%'))
               WITH ORDINALITY AS p (piece, n)) AS d;
END;

COMMENT ON FUNCTION hype.url_decode(text) IS
    'Percent-decodes a value of a query string, where "+" is a space; it stays '
    'as it is if that is no text';

CREATE OR REPLACE FUNCTION hype.args_of(args text)
RETURNS TABLE (name text, value text)
LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT a.name, CASE WHEN a.value ~ '%' THEN hype.url_decode(a.value)
                   ELSE replace(a.value, '+', ' ') END
    FROM (SELECT split_part(p.piece, '=', 1) AS name,
                 substr(p.piece, strpos(p.piece || '=', '=') + 1) AS value
          FROM unnest(string_to_array(args_of.args, '&')) AS p (piece)) AS a;
END;

COMMENT ON FUNCTION hype.args_of(text) IS
    'The arguments of a query string, such as referral_hit.args: the values '
    'are percent-decoded, and "+" is a space, unless that is no text';

CREATE OR REPLACE FUNCTION hype.counted_args(args text)
RETURNS TABLE (name text, value text)
LANGUAGE sql STABLE
BEGIN ATOMIC
    -- Anybody can send a URL with hundreds of values: few are looked at, so
    -- that each step of hype.derive() stays short.

    SELECT DISTINCT f.name,
           left(CASE WHEN f.value ~ '%' AND f.value !~ '(%[^%]*){31}'
                THEN hype.url_decode(f.value)
                ELSE replace(f.value, '+', ' ') END, 250)
    FROM (SELECT a.name, a.value
          FROM (SELECT left(split_part(p.piece, '=', 1), 100) AS name,
                       substr(p.piece, strpos(p.piece || '=', '=') + 1)
                           AS value,
                       p.n
                FROM unnest(string_to_array(counted_args.args, '&'))
                     WITH ORDINALITY AS p (piece, n)) AS a
          WHERE a.name <> '' AND a.value <> ''
          ORDER BY a.n LIMIT 8) AS f;
END;

COMMENT ON FUNCTION hype.counted_args(text) IS
    'What a hit counts for in hype.arg_stats: each argument and value once';

CREATE OR REPLACE FUNCTION hype.hit_subject(visitor uuid, user_id text)
RETURNS uuid
LANGUAGE sql STABLE
RETURN coalesce(visitor, hype.user_key(user_id));

COMMENT ON FUNCTION hype.hit_subject(uuid, text) IS
    'Who counts once as unique: the visitor, or else the user who was known';


-- Crediting

CREATE OR REPLACE FUNCTION hype.is_creditable(
    hit hype.referral_hit, link hype.referral_link, user_id text
)
RETURNS boolean
LANGUAGE sql IMMUTABLE
AS $$
    -- A text, as Citus takes a function that depends on the table of hits for
    -- one that the table depends on.

    SELECT NOT (hit).bot AND ((link).user_id = user_id) IS NOT TRUE
           AND hype.was_live(link, (hit).created, (hit).xact)
$$;

COMMENT ON FUNCTION hype.is_creditable(
    hype.referral_hit, hype.referral_link, text
) IS
    'Whether the hit can be credited to its link: it is not a bot''s nor of '
    'the link''s owner, and the link was live';


CREATE OR REPLACE FUNCTION hype.creditable_hit(
    user_id text,
    visitor uuid,
    model   text,
    since   timestamptz,
    until   timestamptz,
    OUT id               uuid,
    OUT created          timestamptz,
    OUT referral_link_id bigint,
    OUT referrer         text
)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET enable_bitmapscan = off
SET enable_sort = off
SET jit = off
SET plan_cache_mode = force_generic_plan
AS $$
#variable_conflict use_column
DECLARE
    visitors uuid[];
BEGIN
    -- Claims reach the hits a moment later: until then the hits of the user's
    -- latest visitors are looked up by visitor.

    visitors := ARRAY(
        SELECT c.visitor FROM hype.visitor_claim c
        WHERE c.user_id = creditable_hit.user_id
        ORDER BY c.created DESC LIMIT 20
    );

    IF creditable_hit.visitor IS NOT NULL
       AND NOT creditable_hit.visitor = ANY (visitors)
    THEN
        visitors := visitors || creditable_hit.visitor;
    END IF;

    IF hype.distributed() THEN
        SELECT h.id, h.created, l.id, l.user_id
        INTO id, created, referral_link_id, referrer
        FROM hype.subject_hits(user_id, visitors, model = 'first', since, until)
             AS h
        JOIN hype.referral_link l ON l.id = h.referral_link_id
        WHERE hype.is_creditable(h, l, creditable_hit.user_id)
        ORDER BY CASE WHEN model = 'first' THEN h.created END,
                 CASE WHEN model = 'first' THEN h.id END,
                 h.created DESC, h.id DESC
        LIMIT 1;

        RETURN;
    END IF;

    -- Each way ends at the first hit that can be credited, from the end that
    -- is wanted, or after 1,000 hits.

    IF model = 'first' THEN
        SELECT c.* INTO id, created, referral_link_id, referrer
        FROM (
            (SELECT h.id, h.created, l.id, l.user_id
             FROM (SELECT u.* FROM hype.referral_hit u
                   WHERE u.user_id = creditable_hit.user_id AND NOT u.void
                     AND u.created > since AND u.created <= until
                   ORDER BY u.created LIMIT 1000) AS h
             JOIN hype.referral_link l ON l.id = h.referral_link_id
             WHERE hype.is_creditable(h, l, creditable_hit.user_id)
             ORDER BY h.created, h.id LIMIT 1)
            UNION ALL
            SELECT b.*
            FROM unnest(visitors) AS s (visitor)
            CROSS JOIN LATERAL (
                SELECT h.id, h.created, l.id, l.user_id
                FROM (SELECT v.* FROM hype.referral_hit v
                      WHERE v.visitor = s.visitor
                        AND v.created > since AND v.created <= until
                      ORDER BY v.created LIMIT 1000) AS h
                JOIN hype.referral_link l ON l.id = h.referral_link_id
                WHERE h.user_id IS NULL
                  AND hype.is_creditable(h, l, creditable_hit.user_id)
                ORDER BY h.created, h.id LIMIT 1
            ) AS b
        ) AS c (id, created, referral_link_id, referrer)
        ORDER BY c.created, c.id
        LIMIT 1;
    ELSE
        SELECT c.* INTO id, created, referral_link_id, referrer
        FROM (
            (SELECT h.id, h.created, l.id, l.user_id
             FROM (SELECT u.* FROM hype.referral_hit u
                   WHERE u.user_id = creditable_hit.user_id AND NOT u.void
                     AND u.created > since AND u.created <= until
                   ORDER BY u.created DESC LIMIT 1000) AS h
             JOIN hype.referral_link l ON l.id = h.referral_link_id
             WHERE hype.is_creditable(h, l, creditable_hit.user_id)
             ORDER BY h.created DESC, h.id DESC LIMIT 1)
            UNION ALL
            SELECT b.*
            FROM unnest(visitors) AS s (visitor)
            CROSS JOIN LATERAL (
                SELECT h.id, h.created, l.id, l.user_id
                FROM (SELECT v.* FROM hype.referral_hit v
                      WHERE v.visitor = s.visitor
                        AND v.created > since AND v.created <= until
                      ORDER BY v.created DESC LIMIT 1000) AS h
                JOIN hype.referral_link l ON l.id = h.referral_link_id
                WHERE h.user_id IS NULL
                  AND hype.is_creditable(h, l, creditable_hit.user_id)
                ORDER BY h.created DESC, h.id DESC LIMIT 1
            ) AS b
        ) AS c (id, created, referral_link_id, referrer)
        ORDER BY c.created DESC, c.id DESC
        LIMIT 1;
    END IF;
END
$$;

COMMENT ON FUNCTION hype.creditable_hit(
    text, uuid, text, timestamptz, timestamptz
) IS
    'The last, or first, hit of the user or visitor in that time that can be '
    'credited: not a bot''s, not by the user''s own link, not while its link '
    'was disabled or expired';


CREATE OR REPLACE FUNCTION hype.mark_hit(hit uuid) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET jit = off
SET plan_cache_mode = force_generic_plan
AS $$
DECLARE
    first timestamptz;
    found record;
BEGIN
    -- Who credits the hit at this moment is waited for, and seen afterwards.

    IF NOT hype.distributed() THEN
        PERFORM FROM hype.referral_hit h WHERE h.id = hit FOR NO KEY UPDATE;
    END IF;

    SELECT min(r.created) INTO first
    FROM hype.confirmed_referral r
    WHERE r.referral_hit_id = hit AND r.revoked IS NULL;

    IF hype.distributed() THEN

        -- Only its shard is written to.

        FOR found IN
            SELECT h.node, h.created FROM hype.referral_hit h
            WHERE h.id = hit AND h.confirmed IS DISTINCT FROM first
        LOOP
            UPDATE hype.referral_hit h SET confirmed = first
            WHERE h.id = hit AND h.created = found.created
              AND h.node = found.node;
        END LOOP;

        RETURN;
    END IF;

    UPDATE hype.referral_hit h SET confirmed = first
    WHERE h.id = hit AND h.confirmed IS DISTINCT FROM first;
END
$$;

COMMENT ON FUNCTION hype.mark_hit(uuid) IS
    'Sets the hit''s "confirmed" to the first confirmed referral that it is '
    'credited with';


CREATE OR REPLACE FUNCTION hype.find_confirmed(
    event text, user_id text, visitor uuid
)
RETURNS hype.confirmed_referral
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET jit = off
SET plan_cache_mode = force_generic_plan
AS $$
#variable_conflict use_column
DECLARE
    found hype.confirmed_referral;
BEGIN
    LOOP
        SELECT c.* INTO found
        FROM (SELECT u.* FROM hype.confirmed_referral u
              WHERE u.user_id = find_confirmed.user_id
                AND u.event = find_confirmed.event
              UNION ALL
              SELECT v.* FROM hype.confirmed_referral v
              WHERE v.user_id IS NULL AND v.event = find_confirmed.event
                AND v.visitor = ANY (find_confirmed.visitor || ARRAY(
                    SELECT c.visitor FROM hype.visitor_claim c
                    WHERE c.user_id = find_confirmed.user_id
                    ORDER BY c.created DESC LIMIT 20))
             ) AS c
        ORDER BY c.user_id NULLS LAST
        LIMIT 1;

        IF found.id IS NULL OR found.user_id IS NOT NULL
           OR find_confirmed.user_id IS NULL
           OR found.visitor = find_confirmed.visitor
        THEN
            RETURN found;
        END IF;

        -- The visitor was claimed while the confirm was made.

        PERFORM hype.adopt_confirmed(found.visitor, find_confirmed.user_id);
    END LOOP;
END
$$;

COMMENT ON FUNCTION hype.find_confirmed(text, text, uuid) IS
    'The confirmed referral of that event and user, or of a visitor whom '
    'nobody has claimed; a row of NULLs if there is none';


CREATE OR REPLACE FUNCTION hype.keeps_credit(
    old   hype.confirmed_referral,
    who   text,
    until timestamptz,
    hit   uuid,
    made  timestamptz
)
RETURNS boolean
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET jit = off
SET plan_cache_mode = force_generic_plan
AS $$
DECLARE
    links bigint[];
BEGIN
    -- Citus does not join hits with links.

    links := ARRAY(
        SELECT h.referral_link_id FROM hype.referral_hit h
        WHERE h.id = old.referral_hit_id
          AND (h.created, h.id) > (made, hit)
          AND h.created <= until
          AND (h.user_id IS NULL OR h.user_id = who)
          AND (old.referrer = who) IS NOT TRUE);

    RETURN EXISTS (
        SELECT FROM unnest(links) AS k (id)
        WHERE NOT EXISTS (
            SELECT FROM hype.referral_link l
            WHERE l.id = k.id
              AND (l.user_id IS NOT DISTINCT FROM old.referrer
                   OR (l.user_id = who) IS NOT TRUE)));
END
$$;

COMMENT ON FUNCTION hype.keeps_credit(
    hype.confirmed_referral, text, timestamptz, uuid, timestamptz
) IS
    'Whether the credit stays where it is, though only that hit, made then, '
    'can be credited: where the link was deleted, or given to the user, credit '
    'moves to a later hit only';


CREATE OR REPLACE FUNCTION hype.move_credit(
    old hype.confirmed_referral, new hype.confirmed_referral
)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET jit = off
SET plan_cache_mode = force_generic_plan
AS $$
BEGIN
    UPDATE hype.confirmed_referral c
    SET referral_hit_id = new.referral_hit_id,
        referral_link_id = new.referral_link_id,
        referrer = CASE WHEN new.referral_link_id = old.referral_link_id
                   THEN old.referrer ELSE new.referrer END,
        value = new.value,
        created = new.created,
        visitor = CASE WHEN c.user_id IS NULL OR old.created = new.created
                       THEN c.visitor
                       WHEN NOT EXISTS (
                           SELECT FROM hype.confirmed_referral o
                           WHERE o.visitor = new.visitor
                             AND o.event = new.event AND o.id <> old.id)
                       THEN new.visitor END,
        via = new.via
    WHERE c.id = old.id AND NOT c.told;

    PERFORM hype.mark_hit(old.referral_hit_id);
    PERFORM hype.mark_hit(new.referral_hit_id);

    -- It is taken back if the visitor turns out to own the link: then the later
    -- confirm may be credited.

    IF old.user_id IS NULL AND old.created > new.created THEN
        INSERT INTO hype.pending_confirm (event, visitor, value, created)
        VALUES (old.event, old.visitor, old.value, old.created);
    END IF;
END
$$;

COMMENT ON FUNCTION hype.move_credit(
    hype.confirmed_referral, hype.confirmed_referral
) IS
    'Moves the credit of a confirmed referral to another hit, unless an '
    'application was told';


CREATE OR REPLACE FUNCTION hype.make_confirmed(
    new hype.confirmed_referral, hit_created timestamptz
)
RETURNS hype.confirmed_referral
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET jit = off
SET plan_cache_mode = force_generic_plan
AS $$
DECLARE
    made     hype.confirmed_referral;
    followed uuid;
BEGIN
    -- Of a visitor whom nobody has claimed, an application may have said who it
    -- is: then what nginx says is the same once more.

    IF NOT new.told AND new.user_id IS NULL AND EXISTS (
        SELECT FROM hype.told_visitor t
        WHERE t.visitor = new.visitor AND t.event = new.event)
    THEN
        RETURN NULL;
    END IF;

    -- An application is told once of a visitor's hits, though one call knows
    -- the visitor and another one the user, or claims come out of order.  Who
    -- does the same now is waited for.

    IF new.told THEN
        SELECT h.visitor INTO followed FROM hype.referral_hit h
        WHERE h.id = new.referral_hit_id AND h.created = hit_created;

        IF followed IS NOT NULL THEN
            INSERT INTO hype.told_visitor (visitor, event)
            VALUES (followed, new.event)
            ON CONFLICT DO NOTHING;

            IF NOT FOUND THEN
                RETURN NULL;
            END IF;
        END IF;
    END IF;

    -- Whoever else is about to confirm the same, waits here for our end.

    INSERT INTO hype.confirmed_referral
        (event, user_id, referral_hit_id, referral_link_id, referrer, value,
         created, visitor, via, told)
    VALUES (new.event, new.user_id, new.referral_hit_id, new.referral_link_id,
            new.referrer, new.value, new.created, new.visitor, new.via,
            new.told OR EXISTS (
                SELECT FROM hype.told_visitor t
                WHERE t.visitor = new.via AND t.event = new.event))
    ON CONFLICT DO NOTHING
    RETURNING * INTO made;

    IF NOT FOUND THEN
        DELETE FROM hype.told_visitor t
        WHERE t.visitor = followed AND t.event = new.event;

        RETURN NULL;
    END IF;

    -- Also where it is not the first: hype.mark_hit() waits for the row.

    UPDATE hype.referral_hit h
    SET confirmed = least(h.confirmed, new.created)
    WHERE h.id = new.referral_hit_id AND h.created = hit_created;

    RETURN made;
END
$$;

COMMENT ON FUNCTION hype.make_confirmed(
    hype.confirmed_referral, timestamptz
) IS
    'Inserts a confirmed referral, whose hit was made then, and returns it; '
    'NULL if another transaction did, or an application was told before';


CREATE OR REPLACE FUNCTION hype.attribute(
    event   text,
    user_id text,
    visitor uuid,
    value   numeric,
    model   text,
    since   timestamptz,
    until   timestamptz,
    at      timestamptz,
    told    boolean,
    OUT known boolean,
    OUT made  hype.confirmed_referral
)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET jit = off
SET plan_cache_mode = force_generic_plan
AS $$
#variable_conflict use_column
DECLARE
    claimant text;
    who      text;
    unknown  uuid;
    old      hype.confirmed_referral;
    new      hype.confirmed_referral;
    hit      record;
BEGIN
    SELECT c.user_id INTO claimant
    FROM hype.visitor_claim c WHERE c.visitor = attribute.visitor;

    who := coalesce(attribute.user_id, claimant);
    unknown := CASE WHEN claimant IS NULL THEN attribute.visitor END;

    old := hype.find_confirmed(attribute.event, who, unknown);
    known := old.id IS NOT NULL;

    -- What an application was told stays; of nginx's confirms the earliest
    -- that has a hit counts, whichever arrives first.

    IF known AND (attribute.told OR old.told OR old.created < at) THEN
        RETURN;
    END IF;

    -- What was pruned can't be judged again: its credit stays.

    IF known AND NOT EXISTS (SELECT h.id FROM hype.referral_hit h
                             WHERE h.id = old.referral_hit_id)
    THEN
        RETURN;
    END IF;

    hit := hype.creditable_hit(who, unknown, model, since, until);

    IF hit.id IS NULL THEN

        -- Nor what has lost its link, or was given away with it; but what
        -- turned out to be another user's hit never was this one's.

        known := known AND old.created = at
                 AND (old.referrer = who) IS NOT TRUE AND NOT EXISTS (
            SELECT FROM hype.referral_link l
            WHERE l.id = old.referral_link_id
              AND l.user_id IS NOT DISTINCT FROM old.referrer)
                 AND NOT EXISTS (
            SELECT h.id FROM hype.referral_hit h
            WHERE h.id = old.referral_hit_id AND h.user_id <> who);

        IF NOT known AND old.created = at THEN
            PERFORM hype.unconfirm(old);
        END IF;

        RETURN;
    END IF;

    new.event := attribute.event;
    new.user_id := who;
    new.visitor := CASE WHEN attribute.user_id IS NULL
                             AND (who IS NULL OR NOT attribute.told)
                        THEN attribute.visitor END;
    new.via := attribute.visitor;
    new.value := attribute.value;
    new.created := at;
    new.told := attribute.told;
    new.referral_hit_id := hit.id;
    new.referral_link_id := hit.referral_link_id;
    new.referrer := hit.referrer;

    IF known THEN
        IF (old.created <> at OR old.referral_hit_id <> hit.id)
           AND NOT hype.keeps_credit(old, who, until, hit.id, hit.created)
        THEN
            PERFORM hype.move_credit(old, new);
        END IF;

        RETURN;
    END IF;

    made := hype.make_confirmed(new, hit.created);
    known := true;

    IF attribute.told AND attribute.visitor IS NOT NULL
       AND made.id IS NOT NULL AND (claimant IS NULL OR claimant = who)
    THEN
        INSERT INTO hype.told_visitor (visitor, event)
        VALUES (attribute.visitor, attribute.event)
        ON CONFLICT DO NOTHING;
    END IF;
END
$$;

COMMENT ON FUNCTION hype.attribute(
    text, text, uuid, numeric, text, timestamptz, timestamptz, timestamptz,
    boolean
) IS
    'Confirms the event if a hit of the user or visitor deserves it. Returns '
    'whether it is confirmed, be it by this call or before, and the row if by '
    'this call. If no application was told, credit moves to the hit that '
    'deserves it';


-- Confirms of nginx

CREATE OR REPLACE FUNCTION hype.let_wait(entries bigint[]) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET jit = off
SET plan_cache_mode = force_generic_plan
AS $$
BEGIN
    UPDATE hype.pending_confirm p
    SET due = NULL, tries = 0, error = NULL,
        claimant = (SELECT c.user_id FROM hype.visitor_claim c
                    WHERE c.visitor = p.visitor)
    WHERE p.id = ANY (entries);

    -- A page that is visited again and again must not fill the table: of
    -- those that wait, the first and the latest are kept; and of one user with
    -- many visitors no more than one hit may wake at once.

    DELETE FROM hype.pending_confirm p
    WHERE p.id = ANY (ARRAY(
        SELECT r.id
        FROM (
            SELECT o.id, o.kept,
                   row_number() OVER (PARTITION BY o.event, o.who, o.unknown,
                                                   o.kept
                                      ORDER BY o.created, o.id) AS earlier,
                   row_number() OVER (PARTITION BY o.event, o.who, o.unknown,
                                                   o.kept
                                      ORDER BY o.created DESC, o.id) AS later
            FROM (
                SELECT w.id, w.event, w.created, k.who, k.unknown,
                       row_number() OVER earliest = 1
                       OR row_number() OVER latest = 1 AS kept
                FROM (SELECT DISTINCT e.event, s.who,
                             CASE WHEN s.who IS NULL THEN e.visitor END
                                 AS unknown
                      FROM hype.pending_confirm e
                      CROSS JOIN LATERAL (
                          SELECT coalesce(e.user_id, e.claimant) AS who) AS s
                      WHERE e.id = ANY (entries)) AS k
                CROSS JOIN LATERAL (
                    SELECT u.* FROM hype.pending_confirm u
                    WHERE u.user_id = k.who AND u.due IS NULL
                    UNION ALL
                    SELECT c.* FROM hype.pending_confirm c
                    WHERE c.claimant = k.who AND c.due IS NULL
                      AND c.user_id IS NULL
                    UNION ALL
                    SELECT v.* FROM hype.pending_confirm v
                    WHERE v.visitor = k.unknown AND v.due IS NULL
                      AND v.user_id IS NULL AND v.claimant IS NULL
                ) AS w
                WHERE w.event = k.event
                WINDOW earliest AS (PARTITION BY w.event, w.user_id, w.visitor
                                    ORDER BY w.created, w.id),
                       latest AS (PARTITION BY w.event, w.user_id, w.visitor
                                  ORDER BY w.created DESC, w.id)
            ) AS o
        ) AS r
        WHERE NOT r.kept OR (r.earlier > 10 AND r.later > 10)
    ));
END
$$;

COMMENT ON FUNCTION hype.let_wait(bigint[]) IS
    'Has these pending confirms wait until a hit or a claim arrives';


CREATE OR REPLACE FUNCTION hype.wake_confirms(users text[], visitors uuid[])
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET jit = off
SET plan_cache_mode = force_generic_plan
AS $$
BEGIN
    UPDATE hype.pending_confirm p SET due = now(), tries = 0
    WHERE p.due IS NULL AND p.user_id = ANY (users);

    UPDATE hype.pending_confirm p SET due = now(), tries = 0
    WHERE p.due IS NULL AND p.claimant = ANY (users);

    UPDATE hype.pending_confirm p SET due = now(), tries = 0
    WHERE p.due IS NULL AND p.visitor = ANY (visitors);
END
$$;

COMMENT ON FUNCTION hype.wake_confirms(text[], uuid[]) IS
    'Has hype.derive() look again at what waits for hits of these users and '
    'visitors';


CREATE OR REPLACE FUNCTION hype.recheck(referrals bigint[]) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    INSERT INTO hype.pending_confirm (event, user_id, visitor, value, created)
    SELECT c.event, c.user_id,
           CASE WHEN c.user_id IS NULL THEN c.visitor ELSE c.via END, c.value,
           c.created
    FROM hype.confirmed_referral c
    WHERE c.id = ANY (referrals) AND NOT c.told;
END
$$;

COMMENT ON FUNCTION hype.recheck(bigint[]) IS
    'Has hype.derive() see whether another hit deserves these, if no '
    'application was told';


CREATE OR REPLACE FUNCTION hype.confirm_pending(entry bigint)
RETURNS boolean
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    p      hype.pending_confirm;
    result record;
BEGIN
    SELECT c.* INTO p FROM hype.pending_confirm c WHERE c.id = entry;

    result := hype.attribute(
        p.event, p.user_id, p.visitor, p.value, 'last',
        p.created - interval '90 days', p.created, p.created, false);

    -- An earlier confirm of a visitor is taken back if the visitor turns out to
    -- own the link: this one may be credited then.

    IF NOT result.known OR EXISTS (
        SELECT FROM hype.confirmed_referral c
        WHERE c.visitor = p.visitor AND c.event = p.event
          AND c.user_id IS NULL AND c.created < p.created)
    THEN
        PERFORM hype.let_wait(ARRAY[entry]);
    ELSE
        DELETE FROM hype.pending_confirm c WHERE c.id = entry;
    END IF;

    RETURN result.known;
END
$$;

COMMENT ON FUNCTION hype.confirm_pending(bigint) IS
    'Confirms what is pending, or has it wait; returns whether it is confirmed';


CREATE OR REPLACE FUNCTION hype.without_hits(entries bigint[])
RETURNS bigint[]
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET jit = off
SET plan_cache_mode = force_generic_plan
AS $$
BEGIN
    RETURN ARRAY(
        SELECT c.id FROM hype.pending_confirm c
        WHERE c.id = ANY (entries)
          AND (SELECT h.id FROM hype.referral_hit h
               WHERE h.visitor = c.visitor LIMIT 1) IS NULL
          AND (SELECT h.id FROM hype.referral_hit h
               WHERE h.user_id = c.user_id LIMIT 1) IS NULL);
END
$$;

COMMENT ON FUNCTION hype.without_hits(bigint[]) IS
    'Those of these pending confirms whose user and visitor have no hit';


CREATE OR REPLACE FUNCTION hype.confirm_some(
    entries bigint[], until timestamptz
)
RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    half integer := cardinality(entries) / 2;
BEGIN
    RETURN hype.confirm_shards(entries);
EXCEPTION WHEN OTHERS OR assert_failure OR query_canceled THEN

    -- What fails alone is left to hype.confirm_pending().

    IF half = 0 OR clock_timestamp() >= until THEN
        RETURN 0;
    END IF;

    RETURN hype.confirm_some(entries[: half], until)
           + hype.confirm_some(entries[half + 1 :], until);
END
$$;

COMMENT ON FUNCTION hype.confirm_some(bigint[], timestamptz) IS
    'hype.confirm_shards(), in halves where it fails';


CREATE OR REPLACE FUNCTION hype.confirm_step(
    max integer, until timestamptz, OUT done bigint, OUT set_aside text[]
)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET jit = off
SET plan_cache_mode = force_generic_plan
AS $$
DECLARE
    entries      bigint[];
    without_hits bigint[];
    alone        bigint[];
    p            hype.pending_confirm;
    locked       integer := 0;
BEGIN
    entries := ARRAY(
        SELECT c.id FROM hype.pending_confirm c
        WHERE c.due <= now() ORDER BY c.due, c.id LIMIT max * 10
    );

    done := 0;

    IF entries = '{}' THEN
        RETURN;
    END IF;

    -- Those that were written while hype.erase() was at work

    IF EXISTS (SELECT FROM hype.erased) THEN
        DELETE FROM hype.pending_confirm c
        WHERE c.id = ANY (entries)
          AND (hype.are_erased(ARRAY[c.visitor], ARRAY[c.user_id],
                               ARRAY[c.created]))[1];
    END IF;

    -- Those of whom nothing is known, all at once.

    IF hype.distributed() THEN
        done := hype.confirm_some(entries[: max * 3], until);
    ELSE
        without_hits := hype.without_hits(entries);
    END IF;

    alone := ARRAY(
        SELECT c.id FROM hype.pending_confirm c
        WHERE c.id = ANY (without_hits)
          AND (SELECT v.user_id FROM hype.visitor_claim v
               WHERE v.visitor = c.visitor) IS NULL
          AND (SELECT v.visitor FROM hype.visitor_claim v
               WHERE v.user_id = c.user_id LIMIT 1) IS NULL
          AND NOT EXISTS (SELECT FROM hype.confirmed_referral r
                          WHERE r.user_id = c.user_id AND r.event = c.event)
          AND NOT EXISTS (SELECT FROM hype.confirmed_referral r
                          WHERE r.visitor = c.visitor AND r.event = c.event)
    );

    IF alone <> '{}' THEN
        BEGIN
            PERFORM hype.let_wait(alone);
            done := cardinality(alone);
        EXCEPTION WHEN OTHERS OR assert_failure OR query_canceled THEN
            NULL;     -- one by one, so that one can't hold up the others
        END;
    END IF;

    -- The others one by one: a site's trigger may refuse one, or take too
    -- long, or an open transaction may be about to confirm the same.

    FOR p IN
        SELECT c.* FROM hype.pending_confirm c
        WHERE c.id = ANY (entries) AND c.due <= now()
        ORDER BY c.due, c.created, c.id LIMIT max
    LOOP
        EXIT WHEN clock_timestamp() >= until;

        done := done + 1;

        BEGIN
            PERFORM hype.confirm_pending(p.id);
        EXCEPTION
            WHEN lock_not_available OR deadlock_detected THEN
                UPDATE hype.pending_confirm c
                SET due = clock_timestamp() + interval '500 ms'
                WHERE c.id = p.id;

                locked := locked + 1;
                EXIT WHEN locked >= 2;
            WHEN OTHERS OR assert_failure OR query_canceled THEN
                UPDATE hype.pending_confirm c
                SET tries = c.tries + 1,
                    error = SQLERRM,
                    due = clock_timestamp()
                          + least(2 ^ least(c.tries, 20)
                                  * CASE SQLSTATE WHEN '57014'
                                    THEN interval '1 s'
                                    ELSE interval '100 ms' END,
                                  interval '1 hour')
                WHERE c.id = p.id;

                IF p.tries + 1 = 5 THEN
                    set_aside := set_aside || format('%s: %s', p.id,
                        translate(SQLERRM, E'\n\r', '  '));
                END IF;
        END;
    END LOOP;
END
$$;

COMMENT ON FUNCTION hype.confirm_step(integer, timestamptz) IS
    'Works off some of the confirms that are due; returns their number, and of '
    'those that failed for the fifth time the id and the error';


CREATE OR REPLACE FUNCTION hype.check_given(
    caller text, value text, problem text
)
RETURNS void
LANGUAGE plpgsql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF coalesce(value, '') = '' THEN
        RAISE EXCEPTION '%: %', caller, problem
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
END
$$;

COMMENT ON FUNCTION hype.check_given(text, text, text) IS
    'Raises an error that names the caller and the problem, if the value is '
    'NULL or empty';


DROP FUNCTION IF EXISTS hype.check_confirm(text, text, text, uuid),
    hype.check_value(text, numeric);

CREATE OR REPLACE FUNCTION hype.check_confirm(
    caller text, event text, user_id text, visitor uuid, value numeric
)
RETURNS void
LANGUAGE plpgsql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM hype.check_given(caller, event, 'the event is empty');
    PERFORM hype.check_given(caller, concat(user_id, visitor),
                             'neither user nor visitor');

    -- The sums of the reports could not hold it.  NaN is greater than all.

    IF abs(value) >= 1e200 THEN
        RAISE EXCEPTION '%: the value is %, no finite number below 1e200',
            caller, CASE WHEN value IN ('NaN', 'Infinity', '-Infinity')
                    THEN value::text ELSE 'too large' END
            USING ERRCODE = 'numeric_value_out_of_range';
    END IF;
END
$$;

COMMENT ON FUNCTION hype.check_confirm(text, text, text, uuid, numeric) IS
    'Raises an error unless there is an event, a user or visitor, and a value '
    'that can be added up, or none';


CREATE OR REPLACE FUNCTION hype.record_confirm(
    event   text,
    user_id text,
    visitor uuid,
    value   numeric,
    created timestamptz
)
RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    result record;
BEGIN
    PERFORM hype.check_confirm('hype.record_confirm', event, user_id, visitor,
                               value);
    PERFORM hype.check_given('hype.record_confirm',
                             record_confirm.created::text, 'no time');

    IF (hype.are_erased(ARRAY[record_confirm.visitor],
                        ARRAY[record_confirm.user_id],
                        ARRAY[record_confirm.created]))[1]
    THEN
        RETURN false;
    END IF;

    -- hype.derive() looks at it again when this transaction has ended: hits
    -- or a claim may have been committed meanwhile.

    INSERT INTO hype.pending_confirm (event, user_id, visitor, value, created)
    VALUES (record_confirm.event, nullif(record_confirm.user_id, ''),
            record_confirm.visitor, record_confirm.value,
            record_confirm.created);

    PERFORM pg_notify('hype_claim', '');

    result := hype.attribute(
        record_confirm.event, nullif(record_confirm.user_id, ''),
        record_confirm.visitor, record_confirm.value, 'last',
        record_confirm.created - interval '90 days', record_confirm.created,
        record_confirm.created, false);

    RETURN (result.made).id IS NOT NULL;
END
$$;

COMMENT ON FUNCTION hype.record_confirm(
    text, text, uuid, numeric, timestamptz
) IS
    'Confirms as of a time, as nginx does, at once: the last hit of the 90 '
    'days before it is credited. Returns whether this call did it; where there '
    'is no hit, it waits for one. A second call changes nothing';


CREATE OR REPLACE FUNCTION hype.to_numeric(val text) RETURNS numeric
LANGUAGE sql IMMUTABLE
RETURN CASE
    WHEN length(val) <= 100
         AND val ~ ('^[ \t]*[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)'
                    || '([eE][-+]?[0-9]{1,2})?[ \t]*$')
    THEN val::numeric
END;

COMMENT ON FUNCTION hype.to_numeric(text) IS
    'The number, or NULL if the text is none';


CREATE OR REPLACE FUNCTION hype.confirm_batch(
    events   text[],
    user_ids text[],
    visitors uuid[],
    vals     text[],
    created  timestamptz[]
)
RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET jit = off
SET plan_cache_mode = force_generic_plan
SET lock_timeout = '20ms'
AS $$
#variable_conflict use_column
DECLARE
    n bigint;
BEGIN
    INSERT INTO hype.pending_confirm (event, user_id, visitor, value, created)
    SELECT c.event, nullif(c.user_id, ''), c.visitor, hype.to_numeric(c.val),
           c.created
    FROM unnest(events, user_ids, visitors, vals, confirm_batch.created,
                hype.are_erased(visitors, user_ids, confirm_batch.created))
         AS c (event, user_id, visitor, val, created, erased)
    WHERE c.event <> ''
      AND (c.user_id <> '' OR c.visitor IS NOT NULL)
      AND c.created IS NOT NULL
      AND c.erased IS NOT TRUE;

    GET DIAGNOSTICS n = ROW_COUNT;

    IF n > 0 THEN
        PERFORM pg_notify('hype_claim', '');
    END IF;

    RETURN n;
END
$$;

COMMENT ON FUNCTION hype.confirm_batch(
    text[], text[], uuid[], text[], timestamptz[]
) IS
    'Takes confirms of nginx, to be worked off by hype.derive(); values that '
    'are no number count as NULL. Returns the number taken. It waits for '
    'nobody, and may be repeated';


-- Claims

CREATE OR REPLACE FUNCTION hype.adopt_confirmed(visitor uuid, user_id text)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET jit = off
SET plan_cache_mode = force_generic_plan
AS $$
#variable_conflict use_column
DECLARE
    c     hype.confirmed_referral;
    other hype.confirmed_referral;
BEGIN
    FOR c IN
        SELECT r.* FROM hype.confirmed_referral r
        WHERE r.visitor = adopt_confirmed.visitor AND r.user_id IS NULL
    LOOP
        SELECT r.* INTO other FROM hype.confirmed_referral r
        WHERE r.user_id = adopt_confirmed.user_id AND r.event = c.event;

        IF c.referrer = adopt_confirmed.user_id AND c.revoked IS NULL THEN

            -- The visitor was the link's owner: that never was a referral,
            -- but another hit may be.

            PERFORM hype.unconfirm(c);

            IF c.told THEN
                INSERT INTO hype.told_visitor (visitor, event)
                VALUES (c.visitor, c.event)
                ON CONFLICT DO NOTHING;
            END IF;

            PERFORM hype.record_confirm(c.event, NULL, c.visitor, c.value,
                                        c.created);
            CONTINUE;
        END IF;

        IF other.id IS NOT NULL THEN

            -- Both were confirmed: the earlier counts, but what an
            -- application was told stays.

            IF c.told AND other.revoked IS NOT NULL THEN
                PERFORM hype.revoke_confirmed(c.id, other.reason);
                CONTINUE;
            END IF;

            IF c.revoked IS NOT NULL OR (c.told AND other.told) THEN
                CONTINUE;
            END IF;

            IF other.told OR (NOT c.told AND other.created <= c.created) THEN
                PERFORM hype.unconfirm(c);
                CONTINUE;
            END IF;

            PERFORM hype.unconfirm(other);
        END IF;

        -- The user may have been confirmed since we looked.

        BEGIN
            UPDATE hype.confirmed_referral r
            SET user_id = adopt_confirmed.user_id
            WHERE r.id = c.id AND r.user_id IS NULL;
        EXCEPTION WHEN unique_violation THEN

            -- In a higher isolation level there is no looking again.

            IF current_setting('transaction_isolation') <> 'read committed' THEN
                RAISE;
            END IF;

            PERFORM hype.adopt_confirmed(adopt_confirmed.visitor,
                                         adopt_confirmed.user_id);
            RETURN;
        END;
    END LOOP;
END
$$;

COMMENT ON FUNCTION hype.adopt_confirmed(uuid, text) IS
    'The visitor''s confirmed referrals become the user''s';


CREATE OR REPLACE FUNCTION hype.merge_claim(entry bigint)
RETURNS hype.pending_claim
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    p   hype.pending_claim;
    old hype.visitor_claim;
BEGIN
    SELECT c.* INTO p FROM hype.pending_claim c WHERE c.id = entry;

    INSERT INTO hype.visitor_claim (visitor, user_id, created)
    VALUES (p.visitor, p.user_id, p.created)
    ON CONFLICT (visitor) DO NOTHING;

    IF NOT FOUND THEN
        SELECT c.* INTO old FROM hype.visitor_claim c
        WHERE c.visitor = p.visitor FOR UPDATE;

        IF (old.created, old.user_id) <= (p.created, p.user_id) THEN
            DELETE FROM hype.pending_claim c WHERE c.id = entry;
            RETURN NULL;
        END IF;

        UPDATE hype.visitor_claim c
        SET user_id = p.user_id, created = p.created
        WHERE c.visitor = p.visitor;

        IF old.user_id <> p.user_id THEN
            p.was := p.was || old.user_id;
        END IF;
    END IF;

    UPDATE hype.pending_claim c SET merged = true, was = p.was
    WHERE c.id = entry
    RETURNING c.* INTO p;

    RETURN p;
END
$$;

COMMENT ON FUNCTION hype.merge_claim(bigint) IS
    'Makes the claim unless there is an earlier one; returns NULL then';


CREATE OR REPLACE FUNCTION hype.give_user(
    ids uuid[], created timestamptz[], OUT given bigint,
    OUT missed timestamptz
)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET jit = off
SET plan_cache_mode = force_generic_plan
AS $$
BEGIN
    IF hype.distributed() THEN
        given := hype.give_shards(ids, give_user.created);
        RETURN;
    END IF;

    -- No join by visitor: an ANALYZE that saw no visitors takes their index for
    -- empty, and each hit would be looked for in all of it.

    WITH hits AS MATERIALIZED (
        SELECT i.id, i.created
        FROM unnest(ids, give_user.created) AS i (id, created)
    ), free AS MATERIALIZED (
        SELECT h.id, h.created, (SELECT c.user_id FROM hype.visitor_claim c
                                 WHERE c.visitor = h.visitor) AS user_id
        FROM hits i
        JOIN hype.referral_hit h ON h.id = i.id AND h.created = i.created
        FOR UPDATE OF h SKIP LOCKED
    ), updated AS (
        UPDATE hype.referral_hit h
        SET user_id = f.user_id,
            void = h.bot OR EXISTS (
                SELECT FROM hype.referral_link l
                WHERE l.id = h.referral_link_id AND l.user_id = f.user_id)
        FROM free f
        WHERE h.id = f.id AND h.created = f.created AND f.user_id IS NOT NULL
        RETURNING 1
    )
    SELECT (SELECT count(*) FROM updated), min(i.created)
    INTO given, missed
    FROM hits i
    WHERE NOT EXISTS (SELECT FROM free f
                      WHERE f.id = i.id AND f.created = i.created);
END
$$;

COMMENT ON FUNCTION hype.give_user(uuid[], timestamptz[]) IS
    'Gives these hits the user who claimed their visitor; returns how many, '
    'and the first of those that another transaction had locked';


CREATE OR REPLACE FUNCTION hype.give_hits(
    visitor uuid,
    was     text[],
    since   timestamptz,
    max     integer,
    OUT n       bigint,
    OUT reached timestamptz,
    OUT missed  timestamptz,
    OUT changed bigint
)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET enable_bitmapscan = off
SET enable_sort = off
SET jit = off
SET plan_cache_mode = force_generic_plan
AS $$
DECLARE
    ids   uuid[];
    times timestamptz[];
    given record;
BEGIN
    SELECT count(*), max(h.created), array_agg(h.id), array_agg(h.created)
    INTO n, reached, ids, times
    FROM (SELECT h.id, h.created
          FROM hype.referral_hit h
          WHERE h.visitor = give_hits.visitor
            AND h.created >= give_hits.since
            AND (h.user_id IS NULL
                 OR (h.user_id = ANY (give_hits.was) AND NOT h.authenticated))
          ORDER BY h.created
          LIMIT give_hits.max) AS h;

    changed := 0;

    IF n > 0 THEN
        given := hype.give_user(ids, times);
        changed := given.given;
        missed := given.missed;
    END IF;
END
$$;

COMMENT ON FUNCTION hype.give_hits(uuid, text[], timestamptz, integer) IS
    'Gives the next hits of a visitor their user, or another one than those '
    'in "was"; leaves those that another transaction has locked. Returns how '
    'many it found and changed, the last of them, and the first one it left';


CREATE OR REPLACE FUNCTION hype.give_run(
    visitor uuid,
    user_id text,
    was     text[],
    since   timestamptz,
    max     integer,
    OUT n       bigint,
    OUT reached timestamptz,
    OUT missed  timestamptz,
    OUT changed bigint
)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET enable_bitmapscan = off
SET enable_sort = off
SET jit = off
SET plan_cache_mode = force_generic_plan
AS $$
DECLARE
    first timestamptz;
    own   bigint[];
    nodes smallint[];
    distributed boolean := hype.distributed();
BEGIN
    SELECT count(*), min(h.created), max(h.created),
           array_agg(DISTINCT h.node) FILTER (WHERE distributed)
    INTO n, first, reached, nodes
    FROM (SELECT h.created, h.node
          FROM hype.referral_hit h
          WHERE h.visitor = give_run.visitor
            AND h.created >= give_run.since
            AND (h.user_id IS NULL
                 OR (h.user_id = ANY (give_run.was) AND NOT h.authenticated))
          ORDER BY h.created
          LIMIT give_run.max) AS h;

    changed := 0;

    IF n >= max AND first = reached THEN
        RAISE lock_not_available;     -- there may be any number of that time
    END IF;

    IF n > 0 AND distributed THEN
        own := ARRAY(SELECT l.id FROM hype.referral_link l
                     WHERE l.user_id = give_run.user_id);

        UPDATE hype.referral_hit h
        SET user_id = give_run.user_id,
            void = h.bot OR h.referral_link_id = ANY (own)
        WHERE h.visitor = give_run.visitor AND h.node = ANY (nodes)
          AND h.created >= first AND h.created <= reached
          AND (h.created < reached OR n < max)
          AND (h.user_id IS NULL
               OR (h.user_id = ANY (give_run.was) AND NOT h.authenticated));

        GET DIAGNOSTICS changed = ROW_COUNT;

    ELSIF n > 0 THEN
        UPDATE hype.referral_hit h
        SET user_id = give_run.user_id,
            void = h.bot OR h.referral_link_id IN (
                SELECT l.id FROM hype.referral_link l
                WHERE l.user_id = give_run.user_id)
        WHERE h.visitor = give_run.visitor
          AND h.created >= first AND h.created <= reached
          AND (h.created < reached OR n < max)
          AND (h.user_id IS NULL
               OR (h.user_id = ANY (give_run.was) AND NOT h.authenticated));

        GET DIAGNOSTICS changed = ROW_COUNT;
    END IF;
END
$$;

COMMENT ON FUNCTION hype.give_run(
    uuid, text, text[], timestamptz, integer
) IS
    'As hype.give_hits(), in less time, but fails if another '
    'transaction has one of them locked (lock_not_available), or if all are of '
    'one moment';


CREATE OR REPLACE FUNCTION hype.erase_claimed(
    entry bigint, until timestamptz, max integer
)
RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET jit = off
SET plan_cache_mode = force_generic_plan
AS $$
DECLARE
    p         hype.pending_claim;
    n         bigint := 0;
    referrals bigint[];
BEGIN
    SELECT c.* INTO p FROM hype.pending_claim c WHERE c.id = entry;

    IF NOT EXISTS (SELECT FROM hype.visitor_claim c
                   WHERE c.visitor = p.visitor AND c.user_id <> p.user_id
                     AND c.created <= p.created)
       AND NOT EXISTS (SELECT FROM hype.pending_claim c
                       WHERE c.visitor = p.visitor AND c.user_id <> p.user_id
                         AND c.created <= p.created)
    THEN
        INSERT INTO hype.erased AS e (subject, known, at)
        VALUES (hype.user_key(p.visitor::text), false, until)
        ON CONFLICT (subject, known) DO UPDATE
        SET at = greatest(e.at, excluded.at);

        PERFORM set_config('hype.keep_totals', 'on', true);

        DELETE FROM hype.referral_hit h
        WHERE (h.id, h.created) IN (
            SELECT v.id, v.created FROM hype.referral_hit v
            WHERE v.visitor = p.visitor AND v.created <= until
              AND (v.user_id IS NULL OR v.user_id = p.user_id)
            ORDER BY v.created LIMIT max);
        GET DIAGNOSTICS n = ROW_COUNT;

        PERFORM set_config('hype.keep_totals', 'off', true);

        IF n >= max THEN
            RETURN n;
        END IF;

        DELETE FROM hype.visitor_claim c
        WHERE c.visitor = p.visitor AND c.user_id = p.user_id
          AND c.created <= until;
        DELETE FROM hype.pending_confirm c
        WHERE c.visitor = p.visitor AND c.due IS NULL AND c.created <= until;

        referrals := ARRAY(
            SELECT c.id FROM hype.confirmed_referral c
            WHERE c.created <= until
              AND ((c.visitor = p.visitor AND c.user_id IS NULL)
                   OR c.user_id = p.user_id));
        PERFORM hype.erase_referred(referrals);
        DELETE FROM hype.told_visitor t WHERE t.visitor = p.visitor;
        PERFORM hype.erase_events(p.user_id, ARRAY[p.visitor]);

        PERFORM hype.erase_confirmed(referrals);

        DELETE FROM hype.visit v WHERE v.subject = p.visitor AND NOT v.known;
    END IF;

    DELETE FROM hype.pending_claim c WHERE c.id = entry;

    RETURN n;
END
$$;

COMMENT ON FUNCTION hype.erase_claimed(bigint, timestamptz, integer) IS
    'A claim by a user who was erased since says that the visitor was that '
    'user: erases the next of what there is of the visitor, up to that time';


CREATE OR REPLACE FUNCTION hype.apply_claim(entry bigint, max integer)
RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET jit = off
SET plan_cache_mode = force_generic_plan
AS $$
DECLARE
    p      hype.pending_claim;
    owner  text;
    hits   record;
    erased timestamptz;
BEGIN
    SELECT c.* INTO p FROM hype.pending_claim c WHERE c.id = entry;

    IF (hype.are_erased(ARRAY[p.visitor], ARRAY[p.user_id],
                        ARRAY[p.created]))[1]
    THEN
        SELECT max(e.at) INTO erased FROM hype.erased e
        WHERE (e.subject = hype.user_key(p.user_id) AND e.known)
           OR (e.subject = hype.user_key(p.visitor::text) AND NOT e.known);

        RETURN hype.erase_claimed(entry, erased, max);
    END IF;

    IF NOT p.merged THEN
        p := hype.merge_claim(entry);

        IF p.id IS NULL THEN
            RETURN 0;
        END IF;
    END IF;

    SELECT c.user_id INTO owner
    FROM hype.visitor_claim c WHERE c.visitor = p.visitor;

    BEGIN
        hits := hype.give_run(p.visitor, owner, p.was, p.since, max);
    EXCEPTION WHEN lock_not_available OR deadlock_detected THEN
        hits := hype.give_hits(p.visitor, p.was, p.since, max);
    END;

    p.missed := least(p.missed, hits.missed);

    IF hits.n >= max AND hits.changed > 0 THEN
        UPDATE hype.pending_claim c
        SET since = hits.reached, missed = p.missed
        WHERE c.id = entry;

        RETURN hits.changed;
    END IF;

    IF p.missed IS NOT NULL THEN
        UPDATE hype.pending_claim c
        SET since = p.missed, missed = NULL,
            due = clock_timestamp() + interval '200 ms'
        WHERE c.id = entry;

        RETURN hits.changed;
    END IF;

    -- What was confirmed of the visitor alone is not the later claim's user's.

    UPDATE hype.confirmed_referral c SET user_id = NULL
    WHERE c.visitor = p.visitor AND c.user_id = ANY (p.was)
      AND c.revoked IS NULL;

    PERFORM hype.adopt_confirmed(p.visitor, owner);
    UPDATE hype.pending_confirm c SET claimant = owner
    WHERE c.visitor = p.visitor AND c.due IS NULL;
    PERFORM hype.wake_confirms(ARRAY[owner], ARRAY[p.visitor]);
    PERFORM hype.recheck(ARRAY(
        SELECT r.id
        FROM unnest(owner || p.was) AS u (user_id)
        CROSS JOIN LATERAL (
            SELECT c.id FROM hype.confirmed_referral c
            WHERE c.user_id = u.user_id AND NOT c.told
            ORDER BY c.created DESC LIMIT 5000) AS r
        UNION

        -- Another user came with the visitor before this claim was known.

        (SELECT r.id FROM hype.confirmed_referral r
         WHERE r.via = p.visitor AND NOT r.told LIMIT 5000)));

    UPDATE hype.pending_claim c SET applied = true WHERE c.id = entry;

    RETURN hits.changed;
END
$$;

COMMENT ON FUNCTION hype.apply_claim(bigint, integer) IS
    'Gives the next hits of a pending claim''s visitor their user; returns how '
    'many. When all have it, confirmed referrals follow. Waits for no hit';


CREATE OR REPLACE FUNCTION hype.claim_some(
    entries bigint[], max integer, until timestamptz
)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    half integer := cardinality(entries) / 2;
BEGIN
    PERFORM hype.claim_shards(entries, max);
EXCEPTION WHEN OTHERS OR assert_failure OR query_canceled THEN

    -- What fails alone is left to hype.apply_claim().

    IF half > 0 AND clock_timestamp() < until THEN
        PERFORM hype.claim_some(entries[: half], max, until);
        PERFORM hype.claim_some(entries[half + 1 :], max, until);
    END IF;
END
$$;

COMMENT ON FUNCTION hype.claim_some(bigint[], integer, timestamptz) IS
    'hype.claim_shards(), in halves where it fails';


CREATE OR REPLACE FUNCTION hype.claim_step(max integer, until timestamptz)
RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET jit = off
SET plan_cache_mode = force_generic_plan
AS $$
DECLARE
    entry  bigint;
    done   bigint := 0;
    rows   bigint := 0;
    locked integer := 0;
    batch  bigint[];
BEGIN
    IF hype.distributed() THEN
        batch := ARRAY(
            SELECT c.id FROM hype.pending_claim c
            WHERE NOT c.applied AND c.due <= now() AND c.tries = 0
              AND c.was = '{}' AND c.since = '-infinity' AND c.missed IS NULL
              AND (hype.are_erased(ARRAY[c.visitor], ARRAY[c.user_id],
                                   ARRAY[c.created]))[1] IS NOT TRUE
            ORDER BY c.due, c.id LIMIT max / 10);

        IF batch <> '{}' THEN
            PERFORM hype.claim_some(batch, max * 2, until);
            done := cardinality(batch);
        END IF;
    END IF;

    FOR entry IN
        SELECT c.id FROM hype.pending_claim c
        WHERE NOT c.applied AND c.due <= now()
        ORDER BY c.due, c.id LIMIT max / 10
    LOOP
        done := done + 1;

        BEGIN
            rows := rows + 10 + hype.apply_claim(entry, max / 2);
        EXCEPTION
            WHEN lock_not_available OR deadlock_detected THEN
                UPDATE hype.pending_claim c
                SET due = clock_timestamp() + interval '500 ms'
                WHERE c.id = entry;

                locked := locked + 1;
                EXIT WHEN locked >= 2;
            WHEN OTHERS OR assert_failure OR query_canceled THEN
                UPDATE hype.pending_claim c
                SET tries = c.tries + 1, error = SQLERRM,
                    due = clock_timestamp()
                          + least(interval '100 ms' * 2 ^ least(c.tries, 20),
                                  interval '1 hour')
                WHERE c.id = entry;
        END;

        EXIT WHEN rows >= max OR clock_timestamp() >= until;
    END LOOP;

    RETURN done;
END
$$;

COMMENT ON FUNCTION hype.claim_step(integer, timestamptz) IS
    'Works off some of the pending claims, up to about that many hits; returns '
    'their number. A hit that a site''s trigger refuses is tried again, up to '
    'once an hour';


CREATE OR REPLACE FUNCTION hype.give_late(ids uuid[], times timestamptz[])
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET jit = off
SET plan_cache_mode = force_generic_plan
AS $$
DECLARE
    missed timestamptz;
BEGIN
    BEGIN
        missed := (hype.give_user(ids, times)).missed;
    EXCEPTION WHEN OTHERS OR assert_failure OR query_canceled THEN
        missed := (SELECT min(t) FROM unnest(times) AS t);
    END;

    IF missed IS NOT NULL THEN
        INSERT INTO hype.pending_claim
            (visitor, user_id, created, merged, since)
        SELECT DISTINCT c.visitor, c.user_id, c.created, true, missed
        FROM (SELECT h.visitor FROM hype.referral_hit h
              WHERE h.id = ANY (ids) AND h.user_id IS NULL
              OFFSET 0) AS l
        JOIN hype.visitor_claim c ON c.visitor = l.visitor;
    END IF;
END
$$;

COMMENT ON FUNCTION hype.give_late(uuid[], timestamptz[]) IS
    'Gives hits that came after the claim of their visitor its user; those '
    'that are locked, or refused by a trigger, are left to a pending claim';


CREATE OR REPLACE FUNCTION hype.follow_step(max integer) RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET jit = off
SET plan_cache_mode = force_generic_plan
AS $$
DECLARE
    n        bigint;
    late     uuid[];
    times    timestamptz[];
    users    text[];
    visitors uuid[];
    voids    uuid[];
    moved    bigint[];
    erased   uuid[];
BEGIN
    -- What claims and confirms that were here first make of new hits.

    WITH hits AS MATERIALIZED (
        SELECT h.id, h.created, h.visitor, h.user_id, h.bot, h.void,
               h.referral_link_id,
               (SELECT c.user_id FROM hype.visitor_claim c
                WHERE c.visitor = h.visitor) AS claimant
        FROM hype.read_log('claims', max) h
    )
    SELECT (SELECT count(*) FROM hits),
           ARRAY(SELECT h.id FROM hits h
                 WHERE h.user_id IS NULL AND h.claimant IS NOT NULL
                 ORDER BY h.id),
           ARRAY(SELECT h.created FROM hits h
                 WHERE h.user_id IS NULL AND h.claimant IS NOT NULL
                 ORDER BY h.id),
           ARRAY(SELECT DISTINCT coalesce(h.user_id, h.claimant) FROM hits h
                 WHERE h.user_id IS NOT NULL OR h.claimant IS NOT NULL),
           ARRAY(SELECT DISTINCT h.visitor FROM hits h
                 WHERE h.visitor IS NOT NULL),
           ARRAY(SELECT h.id FROM hits h
                 LEFT JOIN hype.referral_link l ON l.id = h.referral_link_id
                 WHERE h.user_id IS NOT NULL AND NOT h.void
                   AND (h.bot OR l.user_id = h.user_id)),
           ARRAY(SELECT r.id
                 FROM (SELECT coalesce(h.user_id, h.claimant) AS user_id,
                              min(h.created) AS first
                       FROM hits h WHERE NOT h.bot GROUP BY 1) AS u
                 CROSS JOIN LATERAL (
                     SELECT c.* FROM hype.confirmed_referral c
                     WHERE c.user_id = u.user_id OFFSET 0) AS r
                 WHERE NOT r.told AND r.created >= u.first
                 UNION
                 SELECT r.id
                 FROM (SELECT h.visitor, min(h.created) AS first
                       FROM hits h WHERE NOT h.bot GROUP BY 1) AS v
                 CROSS JOIN LATERAL (
                     SELECT c.* FROM hype.confirmed_referral c
                     WHERE c.visitor = v.visitor OFFSET 0) AS r
                 WHERE r.user_id IS NULL AND NOT r.told
                   AND r.created >= v.first),
           ARRAY(SELECT e.id
                 FROM (SELECT array_agg(h.id) AS ids,
                              hype.are_erased(array_agg(h.visitor),
                                              array_agg(h.user_id),
                                              array_agg(h.created)) AS erased
                       FROM hits h
                       WHERE EXISTS (SELECT FROM hype.erased)) AS a
                 CROSS JOIN unnest(a.ids, a.erased) AS e (id, erased)
                 WHERE e.erased)
    INTO n, late, times, users, visitors, voids, moved, erased;

    IF n = 0 THEN
        RETURN 0;
    END IF;

    IF erased <> '{}' THEN
        PERFORM set_config('hype.keep_totals', 'on', true);
        DELETE FROM hype.referral_hit h WHERE h.id = ANY (erased);
        PERFORM set_config('hype.keep_totals', 'off', true);
    END IF;

    IF late <> '{}' THEN
        PERFORM hype.give_late(late, times);
    END IF;

    PERFORM hype.wake_confirms(users, visitors);

    IF moved <> '{}' THEN
        PERFORM hype.recheck(moved);
    END IF;

    IF voids <> '{}' THEN
        BEGIN
            UPDATE hype.referral_hit h SET void = true
            WHERE h.id = ANY (voids);
        EXCEPTION WHEN OTHERS OR assert_failure OR query_canceled THEN
            NULL;     -- it only spares hype.creditable_hit() some reading
        END;
    END IF;

    RETURN n;
END
$$;

COMMENT ON FUNCTION hype.follow_step(integer) IS
    'Reads some of the new hits: those of claimed visitors are to get their '
    'user, and confirms that waited for them are due. Returns their number';


CREATE OR REPLACE FUNCTION hype.claim(visitor uuid, user_id text)
RETURNS text
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET jit = off
SET plan_cache_mode = force_generic_plan
AS $$
#variable_conflict use_column
DECLARE
    p     hype.pending_claim;
    owner text;
BEGIN
    PERFORM hype.check_given('hype.claim', claim.visitor::text, 'no visitor');
    PERFORM hype.check_given('hype.claim', claim.user_id, 'no user');

    SELECT c.user_id INTO owner FROM hype.visitor_claim c
    WHERE c.visitor = claim.visitor;

    IF FOUND THEN
        RETURN owner;
    END IF;

    -- nginx may have heard of it before us.

    SELECT c.* INTO p FROM hype.pending_claim c
    WHERE c.visitor = claim.visitor AND NOT c.merged
    ORDER BY c.created LIMIT 1;

    INSERT INTO hype.visitor_claim (visitor, user_id, created)
    VALUES (claim.visitor, coalesce(p.user_id, claim.user_id),
            coalesce(p.created, now()))
    ON CONFLICT (visitor) DO NOTHING;

    IF FOUND THEN
        SELECT c.user_id INTO owner
        FROM hype.visitor_claim c WHERE c.visitor = claim.visitor;

        -- Some hits are the user's at once, as long as that takes no time.
        -- hype.derive() looks at all of them again when this transaction has
        -- ended: hits may have been committed, and read, since it looked.

        PERFORM hype.give_hits(claim.visitor, '{}', '-infinity', 100);
        PERFORM hype.adopt_confirmed(claim.visitor, owner);

        INSERT INTO hype.pending_claim (visitor, user_id, created, merged)
        VALUES (claim.visitor, owner, now(), true);

        PERFORM pg_notify('hype_claim', '');
    END IF;

    RETURN (SELECT c.user_id FROM hype.visitor_claim c
            WHERE c.visitor = claim.visitor);
END
$$;

COMMENT ON FUNCTION hype.claim(uuid, text) IS
    'The visitor is this user, unless claimed before: the first claim wins. '
    'All hits of the visitor, past and future, get that user: the first 100 '
    'at once, others soon. Returns the user that the visitor belongs to';


CREATE OR REPLACE FUNCTION hype.claim_batch(
    visitors uuid[], user_ids text[], created timestamptz[]
)
RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET jit = off
SET plan_cache_mode = force_generic_plan
SET lock_timeout = '20ms'
AS $$
#variable_conflict use_column
DECLARE
    n bigint;
BEGIN
    INSERT INTO hype.pending_claim (visitor, user_id, created)
    SELECT DISTINCT ON (c.visitor) c.visitor, c.user_id, c.created
    FROM unnest(visitors, user_ids, claim_batch.created,
                hype.are_erased(visitors, NULL, claim_batch.created))
         AS c (visitor, user_id, created, erased)
    WHERE c.visitor IS NOT NULL AND c.user_id <> '' AND c.created IS NOT NULL
      AND c.erased IS NOT TRUE
    ORDER BY c.visitor, c.created, c.user_id;

    GET DIAGNOSTICS n = ROW_COUNT;

    IF n > 0 THEN
        PERFORM pg_notify('hype_claim', '');
    END IF;

    RETURN n;
END
$$;

COMMENT ON FUNCTION hype.claim_batch(uuid[], text[], timestamptz[]) IS
    'Takes claims of nginx, to be worked off by hype.derive(). Returns the '
    'number taken. It waits for nobody, and may be repeated';


-- Hits from the spool, or of unknown fate

CREATE OR REPLACE FUNCTION hype.hits_to_replay(
    ids               uuid[],
    referral_link_ids bigint[],
    created           timestamptz[],
    authenticated     boolean[],
    bot               boolean[],
    visitors          uuid[],
    user_ids          text[],
    ips               inet[],
    user_agents       text[],
    http_referers     text[],
    nexts             text[],
    sources           text[],
    args              text[],
    identifiers       text[]
)
RETURNS TABLE (
    id uuid, referral_link_id bigint, created timestamptz,
    authenticated boolean, bot boolean, visitor uuid, user_id text, ip inet,
    user_agent text, http_referer text, next text, source text, args text
)
LANGUAGE sql STABLE
BEGIN ATOMIC
    -- A hit that has its link was judged when it was made.  An identifier is
    -- that of the link that it led to at the time.

    SELECT r.id, coalesce(r.referral_link_id, l.id), r.created,
           r.authenticated, r.bot, r.visitor, r.user_id, r.ip, r.user_agent,
           r.http_referer, r.next, r.source, r.args
    FROM unnest(ids, referral_link_ids, hits_to_replay.created,
                hits_to_replay.authenticated, hits_to_replay.bot, visitors,
                user_ids, ips, user_agents, http_referers, nexts, sources,
                hits_to_replay.args, identifiers,
                hype.are_erased(visitors, user_ids, hits_to_replay.created))
         AS r (id, referral_link_id, created, authenticated, bot, visitor,
               user_id, ip, user_agent, http_referer, next, source, args,
               identifier, erased)
    LEFT JOIN LATERAL hype.link_at(
        CASE WHEN r.referral_link_id IS NULL THEN r.identifier END, r.created)
        AS w (id) ON true
    LEFT JOIN hype.referral_link l ON l.id = w.id
    WHERE (r.referral_link_id IS NOT NULL
           OR hype.was_live(l, r.created, NULL))
      AND (r.source = 'code' AND l.user_id = r.user_id) IS NOT TRUE
      AND r.erased IS NOT TRUE;
END;

COMMENT ON FUNCTION hype.hits_to_replay(
    uuid[], bigint[], timestamptz[], boolean[], boolean[], uuid[], text[],
    inet[], text[], text[], text[], text[], text[], text[]
) IS
    'The rows of hype.replay(): the planner makes it part of its statements, '
    'as it has no SET';


-- One function for modules whose hits have neither source nor arguments, too

CREATE OR REPLACE FUNCTION hype.replay(
    ids               uuid[],
    referral_link_ids bigint[],
    created           timestamptz[],
    authenticated     boolean[],
    bot               boolean[],
    visitors          uuid[],
    user_ids          text[],
    ips               inet[],
    user_agents       text[],
    http_referers     text[],
    nexts             text[],
    identifiers       text[],
    sources           text[] DEFAULT NULL,
    args              text[] DEFAULT NULL,
    nodes             smallint[] DEFAULT NULL
)
RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET jit = off
SET plan_cache_mode = force_generic_plan
AS $$
#variable_conflict use_column
DECLARE
    inserted bigint;
BEGIN
    IF hype.distributed() THEN
        inserted := hype.replay_shards(ARRAY(
            SELECT jsonb_populate_record(
                NULL::hype.referral_hit,
                to_jsonb(h) || jsonb_build_object('node', coalesce(n.node, 0)))
            FROM hype.hits_to_replay(
                ids, referral_link_ids, replay.created, replay.authenticated,
                replay.bot, visitors, user_ids, ips, user_agents,
                http_referers, nexts, sources, replay.args, identifiers) AS h
            LEFT JOIN unnest(ids, nodes) AS n (id, node) ON n.id = h.id));

        RETURN inserted;
    END IF;

    -- ON CONFLICT takes a third of the time, and few are there already.

    BEGIN
        INSERT INTO hype.referral_hit
            (id, referral_link_id, created, authenticated, bot, visitor,
             user_id, ip, user_agent, http_referer, next, source, args)
        SELECT h.* FROM hype.hits_to_replay(
            ids, referral_link_ids, replay.created, replay.authenticated,
            replay.bot, visitors, user_ids, ips, user_agents, http_referers,
            nexts, sources, replay.args, identifiers) AS h;

        GET DIAGNOSTICS inserted = ROW_COUNT;
    EXCEPTION WHEN unique_violation THEN
        INSERT INTO hype.referral_hit
            (id, referral_link_id, created, authenticated, bot, visitor,
             user_id, ip, user_agent, http_referer, next, source, args)
        SELECT h.* FROM hype.hits_to_replay(
            ids, referral_link_ids, replay.created, replay.authenticated,
            replay.bot, visitors, user_ids, ips, user_agents, http_referers,
            nexts, sources, replay.args, identifiers) AS h
        ON CONFLICT (id, created) DO NOTHING;

        GET DIAGNOSTICS inserted = ROW_COUNT;
    END;

    -- Hits that are there may still be on their way to a synchronous standby.
    -- A commit that has something to say waits for all before it, too.

    IF inserted < cardinality(ids) THEN
        PERFORM pg_logical_emit_message(true, 'hype', '');
    END IF;

    RETURN inserted;
END
$$;

COMMENT ON FUNCTION hype.replay(
    uuid[], bigint[], timestamptz[], boolean[], boolean[], uuid[], text[],
    inet[], text[], text[], text[], text[], text[], text[], smallint[]
) IS
    'Inserts hits that are not there yet; returns their number. A hit without '
    'link gets the link that had its identifier at the time, and is left out '
    'if there was none, or if it was disabled or expired';


CREATE OR REPLACE FUNCTION hype.probe(stream text, size integer)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    filler text := repeat('x', least(greatest(size, 1), 60000));
    link   bigint;
    node   smallint;
BEGIN
    BEGIN
        IF stream = 'hit' THEN
            link := (SELECT l.id FROM hype.referral_link l LIMIT 1);
            node := hype.my_node();

            INSERT INTO hype.referral_hit
                (id, referral_link_id, created, authenticated, bot, visitor,
                 user_id, ip, user_agent, http_referer, next, source, args,
                 node)
            VALUES (gen_random_uuid(), coalesce(link, 1), now(), false, false,
                    gen_random_uuid(), NULL, '127.0.0.1', filler,
                    'http://localhost/', '/', NULL, NULL, node);

        ELSIF stream = 'claim' THEN
            PERFORM hype.claim_batch(ARRAY[gen_random_uuid()],
                                     ARRAY[left(filler, 60)], ARRAY[now()]);

        ELSE
            PERFORM hype.confirm_batch(ARRAY['probe'],
                                       ARRAY[left(filler, 60)],
                                       ARRAY[gen_random_uuid()], ARRAY['1'],
                                       ARRAY[now()]);
        END IF;

        SET CONSTRAINTS ALL IMMEDIATE;

        RAISE EXCEPTION USING ERRCODE = 'ZHYPE', MESSAGE = 'probed';
    EXCEPTION WHEN SQLSTATE 'ZHYPE' THEN
        NULL;     -- all of it is undone
    END;
END
$$;

COMMENT ON FUNCTION hype.probe(text, integer) IS
    'Writes a record of nobody''s ("hit", "claim" or "confirm") of about that '
    'size and takes it back: an error is everybody''s, not a record''s';


-- The way back from another host, which has the id of the hit

CREATE OR REPLACE FUNCTION hype.find_hit(hit uuid)
RETURNS hype.referral_hit
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET jit = off
SET plan_cache_mode = force_generic_plan
AS $$
DECLARE
    found hype.referral_hit;
BEGIN
    SELECT h.* INTO found FROM hype.referral_hit h
    WHERE h.id = hit LIMIT 1;

    RETURN found;
END
$$;

COMMENT ON FUNCTION hype.find_hit(uuid) IS
    'The hit of that id, or a row of NULLs';


CREATE OR REPLACE FUNCTION hype.claim_hit(hit uuid, user_id text)
RETURNS text
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    h hype.referral_hit;
BEGIN
    PERFORM hype.check_given('hype.claim_hit', claim_hit.hit::text, 'no hit');
    PERFORM hype.check_given('hype.claim_hit', claim_hit.user_id, 'no user');

    h := hype.find_hit(claim_hit.hit);

    IF h.visitor IS NULL THEN
        RETURN h.user_id;
    END IF;

    RETURN hype.claim(h.visitor, claim_hit.user_id);
END
$$;

COMMENT ON FUNCTION hype.claim_hit(uuid, text) IS
    'The visitor who made the hit is this user, as hype.claim() does. Returns '
    'the user that the hit belongs to: NULL if it has no visitor, or is not '
    'known yet, as it may be in a spool';


CREATE OR REPLACE FUNCTION hype.credit_hit(
    event   text,
    user_id text,
    hit     hype.referral_hit,
    value   numeric,
    since   timestamptz
)
RETURNS hype.confirmed_referral
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET jit = off
SET plan_cache_mode = force_generic_plan
AS $$
#variable_conflict use_column
DECLARE
    link hype.referral_link;
    made hype.confirmed_referral;
BEGIN
    SELECT l.* INTO link FROM hype.referral_link l
    WHERE l.id = (hit).referral_link_id;

    IF NOT FOUND OR (hit).created <= since
       OR NOT hype.is_creditable(hit, link, credit_hit.user_id)
    THEN
        RETURN NULL;
    END IF;

    -- Nobody has made it but once: of several users the first one gets it.

    -- The row is written, so that one of two fails in a higher isolation level.

    UPDATE hype.referral_hit h SET confirmed = h.confirmed
    WHERE h.id = (hit).id AND h.created = (hit).created;

    IF EXISTS (SELECT FROM hype.confirmed_referral c
               WHERE c.referral_hit_id = (hit).id
                 AND c.event = credit_hit.event)
    THEN
        RETURN NULL;
    END IF;

    INSERT INTO hype.confirmed_referral
        (event, user_id, referral_hit_id, referral_link_id, referrer, value,
         told)
    VALUES (credit_hit.event, credit_hit.user_id, (hit).id, link.id,
            link.user_id, credit_hit.value, true)
    ON CONFLICT DO NOTHING
    RETURNING * INTO made;

    IF FOUND THEN
        PERFORM hype.mark_hit((hit).id);
    END IF;

    RETURN made;
END
$$;

COMMENT ON FUNCTION hype.credit_hit(
    text, text, hype.referral_hit, numeric, timestamptz
) IS
    'Credits a hit that has no visitor for the user who came by it, once an '
    'event and user, and once an event and hit';


-- Confirming
--
-- The forms without "hit" would be ambiguous: what was granted on them goes to
-- those with it.

SELECT set_config('hype.grants', coalesce(string_agg(format(
           'GRANT EXECUTE ON FUNCTION hype.confirm(text, %s, uuid, numeric, '
           'text, interval, uuid) TO %s%s', p.proargtypes[1]::regtype,
           a.grantee::regrole, CASE WHEN a.is_grantable
                                    THEN ' WITH GRANT OPTION' ELSE '' END),
           '; '), ''), true) AS grants
FROM pg_proc p, aclexplode(p.proacl) AS a
WHERE p.pronamespace = 'hype'::regnamespace AND p.proname = 'confirm'
  AND p.pronargs = 6 AND a.grantee NOT IN (0, p.proowner) \gset hype_
\unset hype_grants

DROP FUNCTION IF EXISTS
    hype.confirm(text, text, uuid, numeric, text, interval),
    hype.confirm(text, bigint, uuid, numeric, text, interval);

CREATE OR REPLACE FUNCTION hype.confirm(
    event    text,
    user_id  text DEFAULT NULL,
    visitor  uuid DEFAULT NULL,
    value    numeric DEFAULT NULL,
    model    text DEFAULT 'last',
    "window" interval DEFAULT '90 days',
    hit      uuid DEFAULT NULL
)
RETURNS SETOF hype.confirmed_referral
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    who    text := nullif(confirm.user_id, '');
    seen   uuid := confirm.visitor;
    way    hype.referral_hit;
    result record;
BEGIN
    -- A hit is as good as a visitor.

    PERFORM hype.check_confirm('hype.confirm', event, who,
                               coalesce(seen, confirm.hit), value);

    IF confirm.model IS NULL OR confirm.model NOT IN ('first', 'last') THEN
        RAISE EXCEPTION 'hype.confirm: the model is "%", not "first" or "last"',
            confirm.model
            USING ERRCODE = 'invalid_parameter_value';
    END IF;

    IF "window" IS NULL OR "window" <= interval '0' THEN
        RAISE EXCEPTION 'hype.confirm: the window is "%", not positive',
            "window"
            USING ERRCODE = 'invalid_parameter_value';
    END IF;

    IF confirm.hit IS NOT NULL THEN
        way := hype.find_hit(confirm.hit);

        IF seen IS NULL THEN
            seen := way.visitor;
            who := coalesce(who, way.user_id);
        END IF;

        IF who IS NULL AND seen IS NULL THEN
            RETURN;
        END IF;
    END IF;

    -- What nginx knows of the user is so, whether or not it is worked off.

    PERFORM hype.claim(c.visitor, c.user_id)
    FROM ((SELECT p.visitor, p.user_id FROM hype.pending_claim p
           WHERE p.visitor = seen AND NOT p.merged
           ORDER BY p.created LIMIT 1)
          UNION ALL
          (SELECT p.visitor, p.user_id FROM hype.pending_claim p
           WHERE p.user_id = who AND NOT p.merged
           ORDER BY p.created DESC LIMIT 20)
          ORDER BY visitor) AS c;

    -- Whatever hit is visible was made before this call, whether or not the
    -- clocks of nginx and the database agree.

    result := hype.attribute(confirm.event, who, seen, confirm.value,
                             confirm.model, now() - "window", 'infinity',
                             now(), true);

    -- Nobody is known to have made the hit: it speaks for itself.

    IF NOT result.known AND way.visitor IS NULL AND way.user_id IS NULL
       AND way.id IS NOT NULL AND who IS NOT NULL
    THEN
        result.made := hype.credit_hit(confirm.event, who, way, confirm.value,
                                       now() - "window");
    END IF;

    IF (result.made).event IS NULL THEN
        RETURN;
    END IF;

    -- A claim may be applied before this transaction ends, and miss the row:
    -- hype.derive() looks at it again afterwards.

    IF (result.made).user_id IS NULL THEN
        INSERT INTO hype.pending_confirm
            (event, user_id, visitor, value, created)
        VALUES (confirm.event, who, seen, confirm.value, now());

        PERFORM pg_notify('hype_claim', '');
    END IF;

    RETURN NEXT result.made;
END
$$;

COMMENT ON FUNCTION hype.confirm(
    text, text, uuid, numeric, text, interval, uuid
) IS
    'The user, or the visitor as long as no user has claimed it, or who made '
    'the hit, completed the event: credits the first or last of their hits '
    'within the window, once an event and user, and returns the row to the one '
    'call that did. Never credited: one''s own link, a hit made while its link was disabled or '
    'expired, a bot. A link without owner is credited with referrer NULL';


-- Typed codes

CREATE OR REPLACE FUNCTION hype.typed_identifiers(identifier text)
RETURNS text
LANGUAGE sql IMMUTABLE
BEGIN ATOMIC
    -- What ngx_http_hype_identifier_fold() of the module does

    SELECT nullif(concat_ws(' ',
               CASE WHEN t.written ~ t.form THEN t.written END,
               CASE WHEN t.folded ~ t.form AND t.folded <> t.written
                    THEN t.folded END), '')
    FROM (SELECT w.written, '^[A-Za-z0-9_.~-]{1,64}$' AS form,
                 lower(regexp_replace(w.written,
                     '[.,;:!?)\]}>''"]*/?[.,;:!?)\]}>''"]*$', '')
                     COLLATE "C") AS folded
          FROM (SELECT regexp_replace(left(identifier, 1000),
                    '[\t-\r \u0085\u00a0\u1680\u2000-\u200b\u2028\u2029'
                    '\u202f\u205f\u3000]', '', 'g') AS written) AS w) AS t;
END;

COMMENT ON FUNCTION hype.typed_identifiers(text) IS
    'For hype.link_at(): a code without white space, and then in lower case '
    'and without one slash and any of .,;:!?)]}>''" at its end';


CREATE OR REPLACE FUNCTION hype.new_hit_id() RETURNS uuid
LANGUAGE sql VOLATILE
BEGIN ATOMIC
    SELECT (lpad(to_hex((extract(epoch FROM clock_timestamp())
                         * 1000)::bigint), 12, '0') || '7'
            || substr(replace(gen_random_uuid()::text, '-', ''), 14))::uuid;
END;

COMMENT ON FUNCTION hype.new_hit_id() IS
    'A UUIDv7, as nginx gives to hits';


CREATE OR REPLACE FUNCTION hype.refer(identifier text, user_id text)
RETURNS TABLE (
    referrer text, referral_link_id bigint, referral_hit_id uuid
)
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET jit = off
SET plan_cache_mode = force_generic_plan
AS $$
#variable_conflict use_column
DECLARE
    link hype.referral_link;
    hit  uuid;
BEGIN
    PERFORM hype.check_given('hype.refer', refer.user_id, 'no user');

    SELECT l.* INTO link FROM hype.referral_link l
    WHERE l.id = (SELECT hype.link_at(
                      hype.typed_identifiers(refer.identifier), 'infinity'));

    IF NOT FOUND OR link.disabled OR link.expires <= now()
       OR link.user_id = refer.user_id
    THEN
        RETURN;
    END IF;

    -- A form that is sent twice is one code, also at the same time: the second
    -- one waits for the row, or fails in a higher isolation level.

    INSERT INTO hype.typed_code (referral_link_id, subject, at)
    VALUES (link.id, hype.user_key(refer.user_id), clock_timestamp())
    ON CONFLICT ON CONSTRAINT typed_code_pkey DO UPDATE SET at = excluded.at;

    SELECT r.id INTO hit
    FROM (SELECT h.id, h.referral_link_id, h.source, h.created
          FROM hype.referral_hit h
          WHERE h.user_id = refer.user_id AND NOT h.void
            AND h.created > now() - interval '1 day'
          ORDER BY h.created DESC LIMIT 1000) AS r
    WHERE r.referral_link_id = link.id AND r.source = 'code'
    ORDER BY r.created DESC LIMIT 1;

    IF NOT FOUND THEN
        INSERT INTO hype.referral_hit
            (id, referral_link_id, created, authenticated, user_id, source)
        VALUES (hype.new_hit_id(), link.id, now(), true, refer.user_id, 'code')
        RETURNING id INTO hit;
    END IF;

    referrer := link.user_id;
    referral_link_id := link.id;
    referral_hit_id := hit;

    RETURN NEXT;
END
$$;

COMMENT ON FUNCTION hype.refer(text, text) IS
    'The user has typed a code, that is a link''s identifier: records a hit '
    'with source "code", once a day, and returns the referrer, the link and '
    'the hit. No row if no live link has the code, or if it is the user''s own';


-- Users whose ids are numbers: a literal in quotes is text, as ever

CREATE OR REPLACE FUNCTION hype.refer(identifier text, user_id bigint)
RETURNS TABLE (
    referrer text, referral_link_id bigint, referral_hit_id uuid
)
LANGUAGE sql VOLATILE
BEGIN ATOMIC
    SELECT * FROM hype.refer(identifier, user_id::text);
END;

COMMENT ON FUNCTION hype.refer(text, bigint) IS
    'The same for a user whose id is a number';


CREATE OR REPLACE FUNCTION hype.create_link(
    user_id     bigint,
    destination text DEFAULT NULL,
    identifier  text DEFAULT NULL,
    label       text DEFAULT NULL,
    expires     timestamptz DEFAULT NULL
)
RETURNS hype.referral_link
LANGUAGE sql VOLATILE
BEGIN ATOMIC
    SELECT hype.create_link(user_id::text, destination, identifier, label,
                            expires);
END;

COMMENT ON FUNCTION hype.create_link(bigint, text, text, text, timestamptz) IS
    'The same for a user whose id is a number';

CREATE OR REPLACE FUNCTION hype.claim(visitor uuid, user_id bigint)
RETURNS text
LANGUAGE sql VOLATILE
BEGIN ATOMIC
    SELECT hype.claim(visitor, user_id::text);
END;

COMMENT ON FUNCTION hype.claim(uuid, bigint) IS
    'The same for a user whose id is a number';

CREATE OR REPLACE FUNCTION hype.claim_hit(hit uuid, user_id bigint)
RETURNS text
LANGUAGE sql VOLATILE
BEGIN ATOMIC
    SELECT hype.claim_hit(hit, user_id::text);
END;

COMMENT ON FUNCTION hype.claim_hit(uuid, bigint) IS
    'The same for a user whose id is a number';

CREATE OR REPLACE FUNCTION hype.confirm(
    event    text,
    user_id  bigint,
    visitor  uuid DEFAULT NULL,
    value    numeric DEFAULT NULL,
    model    text DEFAULT 'last',
    "window" interval DEFAULT '90 days',
    hit      uuid DEFAULT NULL
)
RETURNS SETOF hype.confirmed_referral
LANGUAGE sql VOLATILE
BEGIN ATOMIC
    SELECT * FROM hype.confirm(event, user_id::text, visitor, value, model,
                               "window", hit);
END;

COMMENT ON FUNCTION hype.confirm(
    text, bigint, uuid, numeric, text, interval, uuid
) IS
    'The same for a user whose id is a number';

DO $$
BEGIN
    EXECUTE current_setting('hype.grants');
    EXECUTE current_setting('hype.replay_grants');
END
$$;


-- Events
--
-- Readers remember the number of the last event, and ask for those after it.
-- Numbers come from a sequence, and transactions commit in any other order: who
-- reads past the number of an open transaction misses its event.  Neither ids
-- of transactions nor snapshots tell which numbers are open, as a transaction
-- with a high id may have a low number, and the other way round, and may even
-- have a number before it has an id.  So who is about to take a number says so
-- where others can see it before the commit: by a lock.
--
-- A writer   (1) reads the last number of the sequence, w;
--            (2) takes an advisory lock, shared, whose key is w, to be held
--                until the transaction ends;
--            (3) begins to insert, which locks the table (ROW EXCLUSIVE) until
--                the transaction ends, and takes a number n from the sequence:
--                n > w.
-- A reader   (4) reads the last number of the sequence, r;
--            (5) looks at the advisory locks of all who have locked the table:
--                the lowest has the key k;
--            (6) takes a snapshot, and reads events up to least(r, k).
--
-- No number up to there is missing.  Be n <= r: then (3) came before (4), so
-- both locks were taken before (5).  If they are held at (5), k <= w < n, and n
-- is not read.  If not, the writer has ended: with a COMMIT, which others see
-- before the locks are released, so that (6) sees the event; or with a
-- ROLLBACK, and n is nobody's.
--
-- Nothing waits, as shared locks do not exclude each other.  A transaction has
-- one of them, or one each savepoint, however many events it writes; the
-- setting that remembers it is forgotten with the savepoint, as the lock is.
-- The sequence must not be cached (CACHE 1), or a session would have numbers
-- from before its lock.  A transaction that has written no event is in nobody's
-- way, however long it runs.  Any role may take advisory locks, but not lock
-- the table: what strangers take holds nobody up.

CREATE OR REPLACE FUNCTION hype.last_event() RETURNS bigint
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN (SELECT s.last_value - (NOT s.is_called)::integer
            FROM hype.event_id_seq s);
END
$$;

COMMENT ON FUNCTION hype.last_event() IS
    'The last number that an event has got, or is about to get';


CREATE OR REPLACE FUNCTION hype.event_lock() RETURNS integer
LANGUAGE sql IMMUTABLE
RETURN 1752789093;     -- "hype"

COMMENT ON FUNCTION hype.event_lock() IS
    'The first key of the advisory locks of who writes events; the second one '
    'is a number of an event, the lower 32 bits of it';


CREATE OR REPLACE FUNCTION hype.log_event(kind text, payload jsonb)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    writer text := pg_current_xact_id()::text;
    last   bigint;
BEGIN
    IF current_setting('hype.event_writer', true) IS DISTINCT FROM writer THEN
        last := hype.last_event();

        -- A lower key than need be does no harm, if a stranger has this one.

        WHILE NOT pg_try_advisory_xact_lock_shared(
            hype.event_lock(), last::bit(32)::integer)
        LOOP
            last := last - 1;
        END LOOP;

        PERFORM set_config('hype.event_writer', writer, true);
    END IF;

    INSERT INTO hype.event (kind, payload)
    VALUES (log_event.kind, log_event.payload);

    PERFORM pg_notify('hype_event', '');
END
$$;

COMMENT ON FUNCTION hype.log_event(text, jsonb) IS
    'Writes an event, and sends NOTIFY hype_event when it is committed';


CREATE OR REPLACE FUNCTION hype.check_isolation(caller text, deed text)
RETURNS void
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF current_setting('transaction_isolation')
           NOT IN ('read committed', 'read uncommitted')
    THEN
        RAISE EXCEPTION '%: % needs READ COMMITTED', caller, deed
            USING ERRCODE = 'invalid_transaction_state',
                  HINT = 'Begin with BEGIN ISOLATION LEVEL READ COMMITTED.';
    END IF;
END
$$;

COMMENT ON FUNCTION hype.check_isolation(text, text) IS
    'Raises an error unless each statement of the transaction sees what was '
    'committed before it';


CREATE OR REPLACE FUNCTION hype.events_after(
    id bigint, max integer DEFAULT 100
)
RETURNS SETOF hype.event
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET jit = off
SET plan_cache_mode = force_generic_plan
AS $$
#variable_conflict use_column
DECLARE
    until bigint;
BEGIN
    IF events_after.id IS NULL THEN
        RAISE EXCEPTION 'hype.events_after: no number'
            USING ERRCODE = 'invalid_parameter_value',
                  HINT = 'Begin with 0.';
    END IF;

    IF events_after.max IS NULL OR events_after.max < 1 THEN
        RAISE EXCEPTION 'hype.events_after: max is %, not 1 or more',
            events_after.max
            USING ERRCODE = 'invalid_parameter_value';
    END IF;

    -- Each of the three steps needs to see what was committed before it; and
    -- the locks are the primary's.

    PERFORM hype.check_isolation('hype.events_after', 'reading events');

    IF pg_is_in_recovery() THEN
        RAISE EXCEPTION 'hype.events_after: this is a standby'
            USING ERRCODE = 'feature_not_supported',
                  HINT = 'Read events from the primary.';
    END IF;

    until := hype.last_event();

    -- A key is how far its writer is behind, in 32 bits; one that is ahead
    -- seems to be far behind.  What this transaction has written it sees.

    WITH locks AS MATERIALIZED (
        SELECT l.* FROM pg_locks l
        WHERE l.locktype IN ('advisory', 'relation')
          AND l.database = (SELECT d.oid FROM pg_database d
                            WHERE d.datname = current_database())
          AND l.pid IS DISTINCT FROM pg_backend_pid()
    ), writers AS (
        SELECT (until - l.objid::bigint) & 4294967295 AS behind
        FROM locks l
        WHERE l.locktype = 'advisory' AND l.objsubid = 2
          AND l.classid = hype.event_lock()::oid
          AND l.virtualtransaction IN (
              SELECT t.virtualtransaction FROM locks t
              WHERE t.relation = 'hype.event'::regclass
                AND t.mode = 'RowExclusiveLock')
    )
    SELECT least(until, min(until - w.behind)) INTO until
    FROM writers w
    WHERE w.behind < 2147483648;

    RETURN QUERY
        SELECT e.* FROM hype.event e
        WHERE e.id > events_after.id AND e.id <= until
        ORDER BY e.id
        LIMIT events_after.max;
END
$$;

COMMENT ON FUNCTION hype.events_after(bigint, integer) IS
    'The next events after that number, as far as no open transaction may '
    'still add one before them. Who goes on with the number of the last one '
    'gets each event, and each once. For READ COMMITTED';


CREATE OR REPLACE FUNCTION hype.log_claim() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF TG_OP = 'INSERT' OR NEW.user_id <> OLD.user_id THEN
        PERFORM hype.log_event('claim', to_jsonb(NEW));
    END IF;

    RETURN NULL;
END
$$;

COMMENT ON FUNCTION hype.log_claim() IS
    'Trigger: writes the event of a claim';

\if :hype_new_rewards

CREATE OR REPLACE TRIGGER visitor_claim_event
    AFTER INSERT OR UPDATE OF user_id ON hype.visitor_claim
    FOR EACH ROW EXECUTE FUNCTION hype.log_claim();

\endif

COMMENT ON TRIGGER visitor_claim_event ON hype.visitor_claim IS
    'Writes the event of a claim';


CREATE OR REPLACE FUNCTION hype.log_reward() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF NEW.kind <> 'paid' THEN
        PERFORM hype.log_event('reward', to_jsonb(NEW) - 'n' - 'reference');
    ELSIF NEW.amount <> 0 THEN
        PERFORM hype.log_event('pay_out', jsonb_build_object(
            'id', NEW.id, 'user_id', NEW.beneficiary, 'amount', -NEW.amount,
            'currency', NEW.currency, 'reference', NEW.reference,
            'created', NEW.created));
    END IF;

    RETURN NULL;
END
$$;

COMMENT ON FUNCTION hype.log_reward() IS
    'Trigger: writes the event of an entry of the ledger';


CREATE OR REPLACE FUNCTION hype.erase_events(user_id text, visitors uuid[])
RETURNS void
LANGUAGE sql VOLATILE
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET jit = off
AS $$
    UPDATE hype.event e
    SET payload = e.payload || (
        SELECT jsonb_object_agg(f.key, NULL)
        FROM jsonb_each_text(e.payload) AS f
        WHERE (f.key IN ('user_id', 'referrer', 'beneficiary')
               AND f.value = erase_events.user_id)
           OR (f.key = 'visitor' AND f.value = ANY (visitors::text[]))
           OR f.key = 'reason'
           OR (f.key = 'referral_hit_id'
               AND (e.payload ->> 'user_id' = erase_events.user_id
                    OR e.payload ->> 'visitor' = ANY (visitors::text[]))))
    WHERE e.id IN (
        SELECT m.id
        FROM (SELECT jsonb_build_object(k, erase_events.user_id) AS found
              FROM unnest('{user_id,referrer,beneficiary}'::text[]) AS k
              UNION ALL
              SELECT jsonb_build_object('visitor', v)
              FROM unnest(visitors) AS v) AS w
        CROSS JOIN LATERAL (SELECT o.id FROM hype.event o
                            WHERE o.payload @> w.found) AS m)
$$;

COMMENT ON FUNCTION hype.erase_events(text, uuid[]) IS
    'Takes a user and visitors out of the events';


-- Rewards

CREATE OR REPLACE FUNCTION hype.check_rule() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    problem text;
BEGIN
    problem := CASE
        WHEN coalesce(NEW.event, '') = ''
        THEN 'the event is empty'
        WHEN coalesce(NEW.side, '') NOT IN ('referrer', 'referred')
        THEN format('the side is "%s", not "referrer" or "referred"', NEW.side)
        WHEN num_nonnulls(NEW.amount, NEW.percent) <> 1
        THEN 'either amount or percent is to be given'
        WHEN NOT (NEW.amount > 0 AND NEW.amount < 1e200)
        THEN format('the amount is %s, no positive number', NEW.amount)
        WHEN NOT (NEW.percent > 0 AND NEW.percent <= 100)
        THEN format('percent is %s, not above 0 and up to 100', NEW.percent)
        WHEN coalesce(NEW.currency, '') = ''
        THEN 'the currency is empty'
        WHEN NEW.hold IS NULL
             OR NEW.hold NOT BETWEEN interval '0' AND interval '100 years'
        THEN format('hold is "%s", not 0 to 100 years', NEW.hold)
        WHEN NEW.max_per_beneficiary < 1
        THEN format('max_per_beneficiary is %s, not 1 or more',
                    NEW.max_per_beneficiary)
        WHEN NEW.valid_until <= NEW.valid_from
        THEN 'valid_until is not after valid_from'
        WHEN TG_OP = 'UPDATE' AND (NEW.id, NEW.event, NEW.side)
                                  <> (OLD.id, OLD.event, OLD.side)
        THEN 'id, event and side of a rule stay: add another one'
    END;

    IF problem IS NOT NULL THEN
        RAISE EXCEPTION 'hype.reward_rule: %', problem
            USING ERRCODE = 'check_violation';
    END IF;

    -- Counted again, from the ledger.

    IF TG_OP = 'UPDATE'
       AND NEW.max_per_beneficiary IS DISTINCT FROM OLD.max_per_beneficiary
    THEN
        DELETE FROM hype.reward_count k WHERE k.reward_rule_id = NEW.id;
    END IF;

    RETURN NEW;
END
$$;

COMMENT ON FUNCTION hype.check_rule() IS
    'Trigger: says what is wrong with a rule';


CREATE OR REPLACE FUNCTION hype.keep_ledger() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF current_setting('hype.erasing', true) = 'on' AND TG_OP = 'UPDATE'
       AND (NEW.id, NEW.amount, NEW.currency)
           = (OLD.id, OLD.amount, OLD.currency)
    THEN
        RETURN NEW;
    END IF;

    RAISE EXCEPTION 'hype.reward: entries of the ledger stay as they are'
        USING ERRCODE = 'restrict_violation',
              HINT = 'To take back a reward, call hype.revoke().';
END
$$;

COMMENT ON FUNCTION hype.keep_ledger() IS
    'Trigger: refuses to change the ledger; hype.erase() may take names out';

CREATE OR REPLACE FUNCTION hype.log_balance() RETURNS trigger
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF TG_OP = 'TRUNCATE' THEN
        DELETE FROM hype.reward_change;
        DELETE FROM hype.reward_total;
        DELETE FROM hype.reward_count;
        RETURN NULL;
    END IF;

    IF TG_OP = 'INSERT' THEN
        INSERT INTO hype.reward_change
            (beneficiary, currency, reward_id, amount, available_at, paid)
        SELECT n.beneficiary, n.currency, n.id, n.amount, n.available_at,
               n.kind = 'paid'
        FROM new_rows n WHERE n.beneficiary IS NOT NULL;
        RETURN NULL;
    END IF;

    -- hype.erase() takes names out.  What is changed is taken out of the totals,
    -- and comes to them anew.

    IF NOT EXISTS (SELECT FROM old_rows o JOIN new_rows n ON n.id = o.id
                   WHERE (n.beneficiary, n.amount, n.available_at)
                         IS DISTINCT FROM
                         (o.beneficiary, o.amount, o.available_at))
    THEN
        RETURN NULL;
    END IF;

    PERFORM FROM hype.reward_position FOR UPDATE;

    WITH queued AS (
        DELETE FROM hype.reward_change c USING old_rows o
        WHERE c.beneficiary = o.beneficiary AND c.currency = o.currency
          AND c.reward_id = o.id
        RETURNING c.reward_id
    ), counted AS (
        SELECT o.beneficiary, o.currency, count(*) AS entries,
               sum(o.amount) AS amount,
               count(*) FILTER (WHERE d.due) AS due_entries,
               coalesce(sum(o.amount) FILTER (WHERE d.due), 0) AS due,
               coalesce(sum(-o.amount) FILTER (WHERE o.kind = 'paid'), 0)
                   AS paid
        FROM old_rows o
        CROSS JOIN LATERAL (
            SELECT o.kind = 'paid' OR EXISTS (
                SELECT FROM hype.reward_position p
                WHERE (o.available_at, o.id)
                      <= (p.available_at, p.reward_id)) AS due) AS d
        WHERE o.beneficiary IS NOT NULL
          AND o.id NOT IN (SELECT q.reward_id FROM queued q)
        GROUP BY o.beneficiary, o.currency
    )
    UPDATE hype.reward_total t
    SET entries = t.entries - c.entries, amount = t.amount - c.amount,
        due_entries = t.due_entries - c.due_entries, due = t.due - c.due,
        paid = t.paid - c.paid
    FROM counted c
    WHERE t.beneficiary = c.beneficiary AND t.currency = c.currency;

    DELETE FROM hype.reward_total t
    USING (SELECT DISTINCT o.beneficiary, o.currency FROM old_rows o) AS c
    WHERE t.beneficiary = c.beneficiary AND t.currency = c.currency
      AND t.entries = 0;

    INSERT INTO hype.reward_change
        (beneficiary, currency, reward_id, amount, available_at, paid)
    SELECT n.beneficiary, n.currency, n.id, n.amount, n.available_at,
           n.kind = 'paid'
    FROM new_rows n WHERE n.beneficiary IS NOT NULL;

    RETURN NULL;
END
$$;

COMMENT ON FUNCTION hype.log_balance() IS
    'Trigger: has the totals of balances follow the ledger';

\if :hype_new_rewards

CREATE TRIGGER reward_rule_check
    BEFORE INSERT OR UPDATE ON hype.reward_rule
    FOR EACH ROW EXECUTE FUNCTION hype.check_rule();

CREATE TRIGGER reward_keep
    BEFORE UPDATE OR DELETE ON hype.reward
    FOR EACH ROW EXECUTE FUNCTION hype.keep_ledger();

CREATE TRIGGER reward_event
    AFTER INSERT ON hype.reward
    FOR EACH ROW EXECUTE FUNCTION hype.log_reward();

\endif

\if :hype_new_totals

CREATE TRIGGER reward_inserted
    AFTER INSERT ON hype.reward
    REFERENCING NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION hype.log_balance();

CREATE TRIGGER reward_updated
    AFTER UPDATE ON hype.reward
    REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION hype.log_balance();

CREATE TRIGGER reward_truncated
    AFTER TRUNCATE ON hype.reward
    FOR EACH STATEMENT EXECUTE FUNCTION hype.log_balance();

\endif

COMMENT ON TRIGGER reward_inserted ON hype.reward IS
    'Has balances follow';
COMMENT ON TRIGGER reward_updated ON hype.reward IS
    'Has balances follow hype.erase()';
COMMENT ON TRIGGER reward_truncated ON hype.reward IS
    'Has balances follow';
COMMENT ON TRIGGER reward_rule_check ON hype.reward_rule IS
    'Says what is wrong with a rule';
COMMENT ON TRIGGER reward_keep ON hype.reward IS
    'Entries of the ledger stay as they are';
COMMENT ON TRIGGER reward_event ON hype.reward IS
    'Writes the event of a reward, or a pay-out';


CREATE OR REPLACE FUNCTION hype.owed_rewards(referral hype.confirmed_referral)
RETURNS TABLE (
    reward_rule_id bigint, side text, beneficiary text, amount numeric,
    currency text, available_at timestamptz, max integer
)
LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT r.id, r.side, o.beneficiary, o.amount, r.currency,
           (referral).created + r.hold, r.max_per_beneficiary
    FROM hype.reward_rule r
    CROSS JOIN LATERAL (
        SELECT CASE r.side WHEN 'referrer' THEN (referral).referrer
                           ELSE (referral).user_id END AS beneficiary,
               coalesce(r.amount,
                        round((referral).value * r.percent / 100, 2)) AS amount
    ) AS o
    WHERE r.event = (referral).event
      AND (r.valid_from IS NULL OR r.valid_from <= (referral).created)
      AND (r.valid_until IS NULL OR r.valid_until > (referral).created)
      AND (referral).revoked IS NULL
      AND o.beneficiary IS NOT NULL AND o.amount > 0;
END;

COMMENT ON FUNCTION hype.owed_rewards(hype.confirmed_referral) IS
    'What the rules give for a confirmed referral';


CREATE OR REPLACE FUNCTION hype.live_rewards(referral bigint)
RETURNS SETOF hype.reward
LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT l.*
    FROM (SELECT DISTINCT ON (r.reward_rule_id) r.*
          FROM hype.reward r
          WHERE r.confirmed_referral_id = referral
          ORDER BY r.reward_rule_id, r.n DESC) AS l
    WHERE l.kind = 'earned';
END;

COMMENT ON FUNCTION hype.live_rewards(bigint) IS
    'What was earned by a confirmed referral, and not taken back';


CREATE OR REPLACE FUNCTION hype.open_rewards(referral bigint)
RETURNS SETOF hype.reward
LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT l.*
    FROM hype.live_rewards(referral) l
    WHERE (SELECT p.created FROM hype.reward p
           WHERE p.beneficiary = l.beneficiary AND p.currency = l.currency
             AND p.kind = 'paid'
           ORDER BY p.n DESC LIMIT 1) >= greatest(l.created, l.available_at)
          IS NOT TRUE;
END;

COMMENT ON FUNCTION hype.open_rewards(bigint) IS
    'Those of them that no pay-out has had since they were available';


CREATE OR REPLACE FUNCTION hype.take_back(referral bigint, rules bigint[])
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET enable_bitmapscan = off
SET jit = off
SET plan_cache_mode = force_generic_plan
AS $$
#variable_conflict use_column
BEGIN
    WITH live AS MATERIALIZED (
        SELECT l.* FROM hype.live_rewards(referral) l
        WHERE l.reward_rule_id = ANY (rules)
    ), counted AS (
        UPDATE hype.reward_count k SET n = k.n - 1
        FROM live l
        WHERE k.reward_rule_id = l.reward_rule_id
          AND k.beneficiary = l.beneficiary
    )
    INSERT INTO hype.reward
        (kind, event, user_id, side, beneficiary, amount, currency,
         available_at, confirmed_referral_id, reward_rule_id, n)
    SELECT 'taken_back', l.event, l.user_id, l.side, l.beneficiary, -l.amount,
           l.currency, l.available_at, l.confirmed_referral_id,
           l.reward_rule_id, l.n + 1
    FROM live l
    ORDER BY l.reward_rule_id;
END
$$;

COMMENT ON FUNCTION hype.take_back(bigint, bigint[]) IS
    'Takes back what was earned by these rules for a confirmed referral';


CREATE OR REPLACE FUNCTION hype.give_rewards(
    referral hype.confirmed_referral, sides text[]
)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET enable_bitmapscan = off
SET jit = off
SET plan_cache_mode = force_generic_plan
AS $$
#variable_conflict use_column
BEGIN
    -- Of a rule with a limit, transactions that give rewards to the same
    -- beneficiary wait for each other here, or fail in a higher isolation
    -- level: but not once the limit is reached.

    WITH due AS MATERIALIZED (
        SELECT o.*, coalesce(
                   (SELECT max(r.n) FROM hype.reward r
                    WHERE r.confirmed_referral_id = (referral).id
                      AND r.reward_rule_id = o.reward_rule_id), 0) + 1 AS n
        FROM hype.owed_rewards(referral) o
        WHERE o.side = ANY (sides)
          AND NOT EXISTS (SELECT FROM hype.live_rewards((referral).id) l
                          WHERE l.reward_rule_id = o.reward_rule_id)
    ), had AS MATERIALIZED (
        SELECT d.reward_rule_id, d.beneficiary, d.max, c.n AS counted,
               coalesce(c.n, (
                   SELECT sum(sign(r.amount)) FROM hype.reward r
                   WHERE r.reward_rule_id = d.reward_rule_id
                     AND r.beneficiary = d.beneficiary), 0)::integer AS n
        FROM due d
        LEFT JOIN hype.reward_count c
               ON c.reward_rule_id = d.reward_rule_id
              AND c.beneficiary = d.beneficiary
        WHERE d.max IS NOT NULL
    ), reached AS (

        -- Those who had more before the rule had a limit

        INSERT INTO hype.reward_count (reward_rule_id, beneficiary, n)
        SELECT h.reward_rule_id, h.beneficiary, h.n FROM had h
        WHERE h.n >= h.max AND h.counted IS NULL
        ORDER BY h.reward_rule_id
        ON CONFLICT DO NOTHING
    ), counted AS (
        INSERT INTO hype.reward_count AS k (reward_rule_id, beneficiary, n)
        SELECT h.reward_rule_id, h.beneficiary, h.n + 1 FROM had h
        WHERE h.n < h.max
        ORDER BY h.reward_rule_id
        ON CONFLICT (reward_rule_id, beneficiary) DO UPDATE SET n = k.n + 1
        WHERE k.n < (SELECT r.max_per_beneficiary FROM hype.reward_rule r
                     WHERE r.id = k.reward_rule_id)
        RETURNING k.reward_rule_id
    )
    INSERT INTO hype.reward
        (kind, event, user_id, side, beneficiary, amount, currency,
         available_at, confirmed_referral_id, reward_rule_id, n)
    SELECT 'earned', (referral).event, (referral).user_id, d.side,
           d.beneficiary, d.amount, d.currency, d.available_at, (referral).id,
           d.reward_rule_id, d.n
    FROM due d
    WHERE d.max IS NULL
       OR d.reward_rule_id IN (SELECT c.reward_rule_id FROM counted c)
    ORDER BY d.reward_rule_id;
END
$$;

COMMENT ON FUNCTION hype.give_rewards(hype.confirmed_referral, text[]) IS
    'Gives for a confirmed referral, on these sides, what is owed and was not '
    'given yet';


CREATE OR REPLACE FUNCTION hype.follow_confirmed() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET enable_bitmapscan = off
SET jit = off
SET plan_cache_mode = force_generic_plan
AS $$
DECLARE
    sides text[] := '{referrer,referred}';
    stale bigint[];
BEGIN
    IF current_setting('hype.erasing', true) = 'on' THEN
        RETURN NULL;
    END IF;

    -- Who deletes rows by hand, as they are old, does not take back what was
    -- paid for them.

    IF TG_OP = 'DELETE' THEN
        PERFORM hype.take_back(OLD.id, ARRAY(
            SELECT o.reward_rule_id FROM hype.open_rewards(OLD.id) o));
        RETURN NULL;
    END IF;

    IF TG_OP = 'UPDATE' AND NEW.value IS NOT DISTINCT FROM OLD.value
       AND (NEW.revoked IS NULL) = (OLD.revoked IS NULL)
    THEN
        sides := array_remove(ARRAY[
            CASE WHEN NEW.referrer IS DISTINCT FROM OLD.referrer
            THEN 'referrer' END,
            CASE WHEN NEW.user_id IS DISTINCT FROM OLD.user_id
            THEN 'referred' END], NULL);
    END IF;

    IF NEW.revoked IS NOT NULL THEN
        IF TG_OP = 'UPDATE' AND OLD.revoked IS NULL THEN
            PERFORM hype.log_event('revoke',
                                   to_jsonb(NEW) - '{via,told}'::text[]);
        END IF;
    ELSIF TG_OP = 'INSERT' OR OLD.revoked IS NOT NULL
          OR (NEW.referral_hit_id, NEW.referrer, NEW.value)
             IS DISTINCT FROM (OLD.referral_hit_id, OLD.referrer, OLD.value)
    THEN
        PERFORM hype.log_event('confirm', to_jsonb(NEW)
            - '{via,told,revoked,reason}'::text[]
            || jsonb_build_object('moved', TG_OP = 'UPDATE'));
    END IF;

    -- What the ledger says is compared with what is owed now: whichever way
    -- the row has come or changed, nothing is given twice.

    stale := ARRAY(
        SELECT l.reward_rule_id
        FROM hype.live_rewards(NEW.id) l
        LEFT JOIN hype.owed_rewards(NEW) o
               ON o.reward_rule_id = l.reward_rule_id
              AND o.beneficiary = l.beneficiary AND o.amount = l.amount
              AND o.currency = l.currency
        WHERE l.side = ANY (sides) AND o.reward_rule_id IS NULL);

    IF stale <> '{}' THEN
        PERFORM hype.take_back(NEW.id, stale);
    END IF;

    IF EXISTS (SELECT FROM hype.reward_rule r WHERE r.event = NEW.event) THEN
        PERFORM hype.give_rewards(NEW, sides);
    END IF;

    RETURN NULL;
END
$$;

COMMENT ON FUNCTION hype.follow_confirmed() IS
    'Trigger: gives rewards for confirmed referrals, takes them back, and '
    'writes events';

\if :hype_new_rewards

CREATE OR REPLACE TRIGGER confirmed_referral_reward
    AFTER INSERT OR DELETE
        OR UPDATE OF referral_hit_id, referrer, user_id, value, revoked
    ON hype.confirmed_referral
    FOR EACH ROW EXECUTE FUNCTION hype.follow_confirmed();

\endif

COMMENT ON TRIGGER confirmed_referral_reward ON hype.confirmed_referral IS
    'Gives rewards, takes them back, and writes events';


CREATE OR REPLACE FUNCTION hype.unconfirm(referral hype.confirmed_referral)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    -- If it has been paid for since we looked, it stays.

    PERFORM FROM hype.confirmed_referral c
    WHERE c.id = (referral).id AND c.told = (referral).told FOR UPDATE;

    IF FOUND THEN
        PERFORM hype.log_event('revoke',
                               to_jsonb(referral) - '{via,told}'::text[]);
        PERFORM hype.take_back((referral).id, ARRAY(
            SELECT l.reward_rule_id FROM hype.live_rewards((referral).id) l));
        DELETE FROM hype.confirmed_referral c WHERE c.id = (referral).id;
        PERFORM hype.mark_hit((referral).referral_hit_id);
    END IF;
END
$$;

COMMENT ON FUNCTION hype.unconfirm(hype.confirmed_referral) IS
    'Deletes what turns out to be no confirmed referral, and takes back what '
    'was credited';


CREATE OR REPLACE FUNCTION hype.revoke_confirmed(referral bigint, reason text)
RETURNS SETOF hype.confirmed_referral
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    c hype.confirmed_referral;
BEGIN
    UPDATE hype.confirmed_referral r
    SET revoked = now(), reason = revoke_confirmed.reason, told = true
    WHERE r.id = referral AND r.revoked IS NULL
    RETURNING r.* INTO c;

    IF FOUND THEN
        PERFORM hype.mark_hit(c.referral_hit_id);
        RETURN NEXT c;
    END IF;
END
$$;

COMMENT ON FUNCTION hype.revoke_confirmed(bigint, text) IS
    'Revokes a confirmed referral, and returns it unless it was revoked before';


CREATE OR REPLACE FUNCTION hype.revoke(
    event text, user_id text, reason text DEFAULT NULL
)
RETURNS SETOF hype.confirmed_referral
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET jit = off
SET plan_cache_mode = force_generic_plan
AS $$
#variable_conflict use_column
BEGIN
    PERFORM hype.check_given('hype.revoke', revoke.event,
                             'the event is empty');
    PERFORM hype.check_given('hype.revoke', revoke.user_id, 'no user');

    -- The referral may have been confirmed while only the visitor was known,
    -- and the claim may not be worked off yet.

    PERFORM hype.claim(c.visitor, c.user_id)
    FROM (SELECT p.visitor, p.user_id FROM hype.pending_claim p
          WHERE p.user_id = revoke.user_id AND NOT p.merged
          ORDER BY p.created DESC LIMIT 20) AS c;

    PERFORM hype.adopt_confirmed(v.visitor, revoke.user_id)
    FROM hype.visitor_claim v
    JOIN hype.confirmed_referral c
      ON c.visitor = v.visitor AND c.event = revoke.event AND c.user_id IS NULL
    WHERE v.user_id = revoke.user_id;

    -- One of each may be there, where an application was told of the visitor
    -- and of the user.

    RETURN QUERY
        SELECT r.*
        FROM (SELECT u.id FROM hype.confirmed_referral u
              WHERE u.user_id = revoke.user_id AND u.event = revoke.event
              UNION ALL
              SELECT v.id
              FROM hype.visitor_claim c
              JOIN hype.confirmed_referral v ON v.visitor = c.visitor
              WHERE c.user_id = revoke.user_id AND v.event = revoke.event
                AND v.user_id IS NULL) AS o
        CROSS JOIN LATERAL hype.revoke_confirmed(o.id, revoke.reason) r;
END
$$;

COMMENT ON FUNCTION hype.revoke(text, text, text) IS
    'The user''s confirmed referral turned out to be none: it stays, marked, '
    'but does not count, is not confirmed again, and what was credited for it '
    'is taken back. Returns the row to the one call that did it';


CREATE OR REPLACE FUNCTION hype.revoke(
    event text, user_id bigint, reason text DEFAULT NULL
)
RETURNS SETOF hype.confirmed_referral
LANGUAGE sql VOLATILE
BEGIN ATOMIC
    SELECT * FROM hype.revoke(event, user_id::text, reason);
END;

COMMENT ON FUNCTION hype.revoke(text, bigint, text) IS
    'The same for a user whose id is a number';


-- Paying

CREATE OR REPLACE VIEW hype.balance AS
WITH reached AS (
    SELECT coalesce(max(l.available_at), '-infinity') AS available_at,
           coalesce(max(l.reward_id), 0) AS reward_id
    FROM hype.reward_position l
)
SELECT b.beneficiary AS user_id, b.currency,
       CASE WHEN sum(b.entries) > sum(b.due_entries)
            THEN sum(b.amount) - sum(b.due) ELSE 0 END AS pending,
       sum(b.due) AS available, sum(b.paid) AS paid
FROM (
    SELECT t.beneficiary, t.currency, t.entries, t.amount, t.due_entries,
           t.due, t.paid
    FROM hype.reward_total t

    -- What the totals do not have yet, as they would have it

    UNION ALL
    SELECT c.beneficiary, c.currency, 1, c.amount, d.due::integer,
           CASE WHEN d.due THEN c.amount ELSE 0 END,
           CASE WHEN c.paid THEN -c.amount ELSE 0 END
    FROM hype.reward_change c
    CROSS JOIN LATERAL (
        SELECT c.paid OR (c.available_at, c.reward_id) <= (
            SELECT p.available_at, p.reward_id FROM reached p) AS due) AS d

    -- What has become available since; or, where now() is an old time, what had
    -- not yet

    UNION ALL
    SELECT r.beneficiary, r.currency, 0, 0, 1, r.amount, 0
    FROM hype.reward r
    WHERE r.available_at >= (SELECT p.available_at FROM reached p)
      AND r.available_at <= now()
      AND (r.available_at, r.id)
          > (SELECT p.available_at, p.reward_id FROM reached p)
      AND r.kind <> 'paid' AND r.beneficiary IS NOT NULL
    UNION ALL
    SELECT r.beneficiary, r.currency, 0, 0, -1, -r.amount, 0
    FROM hype.reward r
    WHERE r.available_at > now()
      AND r.available_at <= (SELECT p.available_at FROM reached p)
      AND (r.available_at, r.id)
          <= (SELECT p.available_at, p.reward_id FROM reached p)
      AND r.kind <> 'paid' AND r.beneficiary IS NOT NULL
) AS b
GROUP BY b.beneficiary, b.currency;

COMMENT ON VIEW hype.balance IS
    'What each user is owed, and was paid: the sums of hype.reward, at every '
    'moment';
COMMENT ON COLUMN hype.balance.available IS
    'What the next pay-out pays; below zero: what is owed back, as it was '
    'taken back after it was paid';


CREATE OR REPLACE FUNCTION hype.movable_credits(user_id text, currency text)
RETURNS SETOF bigint
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET jit = off
SET plan_cache_mode = force_generic_plan
AS $$
BEGIN
    RETURN QUERY
    SELECT c.id
    FROM (SELECT f.id FROM hype.confirmed_referral f
          WHERE f.referrer = movable_credits.user_id AND NOT f.told
          UNION
          SELECT u.id FROM hype.confirmed_referral u
          WHERE u.user_id = movable_credits.user_id AND NOT u.told) AS c
    WHERE EXISTS (SELECT FROM hype.reward r
                  WHERE r.confirmed_referral_id = c.id
                    AND r.beneficiary = movable_credits.user_id
                    AND r.currency = movable_credits.currency
                    AND r.kind = 'earned' AND r.available_at <= now());
END
$$;

COMMENT ON FUNCTION hype.movable_credits(text, text) IS
    'The confirmed referrals that the user can be paid for and whose credit '
    'still moves';


CREATE OR REPLACE FUNCTION hype.hold_credit(user_id text, currency text)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET jit = off
SET plan_cache_mode = force_generic_plan
AS $$
DECLARE
    paid bigint[];
BEGIN
    -- Who moves such a credit at this moment is waited for; then it may be
    -- somebody else's.  In one order, as two pay-outs may share some.

    paid := ARRAY(
        SELECT c.id
        FROM hype.confirmed_referral c
        WHERE NOT c.told
          AND c.id IN (SELECT hype.movable_credits(hold_credit.user_id,
                                                   hold_credit.currency))
        ORDER BY c.id
        FOR UPDATE);

    UPDATE hype.confirmed_referral c SET told = true
    WHERE c.id = ANY (paid)
      AND hold_credit.user_id IN (c.referrer, c.user_id);
END
$$;

COMMENT ON FUNCTION hype.hold_credit(text, text) IS
    'The credit of what can be paid to the user no longer moves';


CREATE OR REPLACE FUNCTION hype.pay_out(
    user_id text, currency text, reference text
)
RETURNS numeric
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET jit = off
SET plan_cache_mode = force_generic_plan
AS $$
#variable_conflict use_column
DECLARE
    paid  hype.reward;
    total numeric;
    last  integer;
    held  boolean;
BEGIN
    PERFORM hype.check_given('hype.pay_out', pay_out.user_id, 'no user');
    PERFORM hype.check_given('hype.pay_out', pay_out.currency, 'no currency');
    PERFORM hype.check_given('hype.pay_out', pay_out.reference,
                             'no reference');

    IF octet_length(pay_out.reference) > 1000 THEN
        RAISE EXCEPTION 'hype.pay_out: the reference is longer than 1000 bytes'
            USING ERRCODE = 'invalid_parameter_value';
    END IF;

    -- A user who is being erased is paid before, or owed nothing afterwards.

    PERFORM FROM hype.log_position l WHERE l.name = 'erase' FOR SHARE;

    -- Of pay-outs at the same time, to the same user or with the same
    -- reference, one is made; the others wait for it to end, and look again.
    -- In a higher isolation level there is no looking again: they fail with
    -- serialization_failure.

    LOOP
        SELECT r.* INTO paid FROM hype.reward r
        WHERE r.reference = pay_out.reference;

        IF FOUND THEN
            EXIT WHEN paid.beneficiary = pay_out.user_id
                      AND paid.currency = pay_out.currency;

            RAISE EXCEPTION 'hype.pay_out: the reference "%" is of a pay-out '
                'to another user, or in another currency', pay_out.reference
                USING ERRCODE = 'unique_violation';
        END IF;

        PERFORM hype.hold_credit(pay_out.user_id, pay_out.currency);

        -- What became available since then is not held yet.

        SELECT greatest(0, (SELECT b.available FROM hype.balance b
                            WHERE b.user_id = pay_out.user_id
                              AND b.currency = pay_out.currency)),
               coalesce((SELECT r.n FROM hype.reward r
                         WHERE r.beneficiary = pay_out.user_id
                           AND r.currency = pay_out.currency
                           AND r.kind = 'paid'
                         ORDER BY r.n DESC LIMIT 1), 0),
               NOT EXISTS (SELECT FROM hype.movable_credits(pay_out.user_id,
                                                            pay_out.currency))
        INTO total, last, held;

        CONTINUE WHEN NOT held;

        INSERT INTO hype.reward
            (kind, beneficiary, amount, currency, available_at, n, reference)
        VALUES ('paid', pay_out.user_id, -total, pay_out.currency, now(),
                last + 1, pay_out.reference)
        ON CONFLICT DO NOTHING;
    END LOOP;

    RETURN -paid.amount;
END
$$;

COMMENT ON FUNCTION hype.pay_out(text, text, text) IS
    'Pays the user what is available in that currency, that is, writes it into '
    'the ledger, and returns the amount. The reference names the pay-out: the '
    'same one again pays nothing, and returns the same amount';


CREATE OR REPLACE FUNCTION hype.pay_out(
    user_id bigint, currency text, reference text
)
RETURNS numeric
LANGUAGE sql VOLATILE
BEGIN ATOMIC
    SELECT hype.pay_out(user_id::text, currency, reference);
END;

COMMENT ON FUNCTION hype.pay_out(bigint, text, text) IS
    'The same for a user whose id is a number';


CREATE OR REPLACE FUNCTION hype.erase_rewards(user_id text) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET jit = off
SET plan_cache_mode = force_generic_plan
AS $$
#variable_conflict use_column
BEGIN
    -- Nobody is owed anything by it any more.  Who moves or revokes such a
    -- credit at this moment is waited for.

    PERFORM FROM hype.confirmed_referral c
    WHERE c.id IN (SELECT e.confirmed_referral_id FROM hype.reward e
                   WHERE e.beneficiary = erase_rewards.user_id
                     AND e.kind = 'earned')
    ORDER BY c.id
    FOR UPDATE;

    PERFORM hype.take_back(o.id, o.rules)
    FROM (SELECT r.confirmed_referral_id AS id,
                 array_agg(r.reward_rule_id) AS rules
          FROM (SELECT DISTINCT e.confirmed_referral_id FROM hype.reward e
                WHERE e.beneficiary = erase_rewards.user_id
                  AND e.kind = 'earned') AS c
          CROSS JOIN LATERAL hype.open_rewards(c.confirmed_referral_id) r
          WHERE r.beneficiary = erase_rewards.user_id
          GROUP BY r.confirmed_referral_id) AS o;

    PERFORM set_config('hype.erasing', 'on', true);

    UPDATE hype.reward r SET beneficiary = NULL
    WHERE r.beneficiary = erase_rewards.user_id;
    UPDATE hype.reward r SET user_id = NULL
    WHERE r.user_id = erase_rewards.user_id;
    DELETE FROM hype.reward_count k
    WHERE k.beneficiary = erase_rewards.user_id;

    PERFORM set_config('hype.erasing', 'off', true);
END
$$;

COMMENT ON FUNCTION hype.erase_rewards(text) IS
    'Takes back what the user is owed, and the user out of the ledger';


CREATE OR REPLACE FUNCTION hype.erase_referred(referrals bigint[])
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET jit = off
SET plan_cache_mode = force_generic_plan
AS $$
BEGIN
    PERFORM hype.take_back(i, ARRAY(
        SELECT o.reward_rule_id FROM hype.open_rewards(i) o
        WHERE o.side = 'referred'))
    FROM unnest(referrals) AS i;

    PERFORM set_config('hype.erasing', 'on', true);

    UPDATE hype.reward r
    SET user_id = NULL,
        beneficiary = CASE r.side WHEN 'referrer' THEN r.beneficiary END
    WHERE r.confirmed_referral_id = ANY (referrals);

    PERFORM set_config('hype.erasing', 'off', true);
END
$$;

COMMENT ON FUNCTION hype.erase_referred(bigint[]) IS
    'Takes those who were confirmed out of the ledger, and what they are owed';


CREATE OR REPLACE FUNCTION hype.erase_confirmed(referrals bigint[])
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET jit = off
SET plan_cache_mode = force_generic_plan
AS $$
BEGIN
    PERFORM set_config('hype.erasing', 'on', true);

    -- Who has completed two events still counts once.

    UPDATE hype.confirmed_referral c
    SET user_id = NULL, visitor = n.nobody, via = NULL, told = true,
        reason = NULL,
        referral_hit_id = '00000000-0000-0000-0000-000000000000'
    FROM (SELECT s.id, s.user_id, s.visitor,
                 first_value(s.key) OVER (PARTITION BY s.user_id, s.visitor)
                     AS nobody
          FROM (SELECT r.id, r.user_id,
                       CASE WHEN r.user_id IS NULL THEN r.visitor END
                           AS visitor,
                       gen_random_uuid() AS key
                FROM hype.confirmed_referral r
                WHERE r.id = ANY (referrals) OFFSET 0) AS s) AS n
    WHERE c.id = n.id
      AND (c.user_id = n.user_id
           OR (c.user_id IS NULL AND c.visitor = n.visitor));

    PERFORM set_config('hype.erasing', 'off', true);
END
$$;

COMMENT ON FUNCTION hype.erase_confirmed(bigint[]) IS
    'Takes those who were confirmed out of these confirmed referrals, which '
    'stay as credits of others';


CREATE OR REPLACE FUNCTION hype.erase_credits(user_id text, visitors uuid[])
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET jit = off
SET plan_cache_mode = force_generic_plan
AS $$
BEGIN
    PERFORM hype.erase_confirmed(ARRAY(
        SELECT c.id FROM hype.confirmed_referral c
        WHERE c.user_id = erase_credits.user_id
        UNION ALL
        SELECT v.id FROM hype.confirmed_referral v
        WHERE v.visitor = ANY (visitors) AND v.user_id IS NULL));

    PERFORM set_config('hype.erasing', 'on', true);

    UPDATE hype.confirmed_referral c SET via = NULL
    WHERE c.via = ANY (visitors);
    UPDATE hype.confirmed_referral c SET referrer = NULL, reason = NULL
    WHERE c.referrer = erase_credits.user_id;

    PERFORM set_config('hype.erasing', 'off', true);

    DELETE FROM hype.told_visitor t WHERE t.visitor = ANY (visitors);
END
$$;

COMMENT ON FUNCTION hype.erase_credits(text, uuid[]) IS
    'That a referrer was credited stays true, but not for whom; and the other '
    'way round';


CREATE OR REPLACE FUNCTION hype.nameless_hits(user_id text) RETURNS uuid[]
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET jit = off
SET plan_cache_mode = force_generic_plan
AS $$
DECLARE
    credited uuid[] := ARRAY(
        SELECT c.referral_hit_id FROM hype.confirmed_referral c
        WHERE c.user_id = nameless_hits.user_id);
BEGIN
    RETURN ARRAY(SELECT h.id FROM hype.referral_hit h
                 WHERE h.id = ANY (credited)
                   AND h.visitor IS NULL AND h.user_id IS NULL);
END
$$;

COMMENT ON FUNCTION hype.nameless_hits(text) IS
    'The hits without visitor by which the user came, see hype.credit_hit()';


CREATE OR REPLACE FUNCTION hype.erase_hits(user_id text, visitors uuid[])
RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET jit = off
SET plan_cache_mode = force_generic_plan
AS $$
DECLARE
    of_user    bigint;
    of_visitor bigint;
    of_nobody  bigint;
BEGIN
    PERFORM set_config('hype.keep_totals', 'on', true);

    DELETE FROM hype.referral_hit h
    WHERE h.id = ANY (hype.nameless_hits(erase_hits.user_id));
    GET DIAGNOSTICS of_nobody = ROW_COUNT;

    DELETE FROM hype.referral_hit h WHERE h.user_id = erase_hits.user_id;
    GET DIAGNOSTICS of_user = ROW_COUNT;

    DELETE FROM hype.referral_hit h
    WHERE h.visitor = ANY (visitors) AND h.user_id IS NULL;
    GET DIAGNOSTICS of_visitor = ROW_COUNT;

    PERFORM set_config('hype.keep_totals', 'off', true);

    RETURN of_user + of_visitor + of_nobody;
END
$$;

COMMENT ON FUNCTION hype.erase_hits(text, uuid[]) IS
    'Deletes the hits of a user and visitors, which stay in the totals; '
    'returns their number';


CREATE OR REPLACE FUNCTION hype.erase_links(user_id text) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET jit = off
SET plan_cache_mode = force_generic_plan
AS $$
DECLARE
    links bigint[] := ARRAY(SELECT l.id FROM hype.referral_link l
                            WHERE l.user_id = erase_links.user_id);
    names text[];
BEGIN
    -- A link may be named after its owner.  Nobody else can have the name: a
    -- hash of it stays.

    UPDATE hype.referral_link l
    SET user_id = NULL, label = NULL, destination = NULL, disabled = true,
        identifier = hype.new_identifier()
    WHERE l.id = ANY (links);
    DELETE FROM hype.link_alias a WHERE a.referral_link_id = ANY (links);

    WITH former AS (
        DELETE FROM hype.former_identifier f
        WHERE f.referral_link_id = ANY (links)
        RETURNING f.identifier
    )
    SELECT array_agg(f.identifier) INTO names FROM former f;

    UPDATE hype.taken_identifier t SET referral_link_id = NULL
    WHERE t.key IN (SELECT hype.user_key(i) FROM unnest(names) AS i)
      AND t.referral_link_id = ANY (links);
END
$$;

COMMENT ON FUNCTION hype.erase_links(text) IS
    'The user''s links are nobody''s from now on: disabled, and with another '
    'identifier';


-- What is stored of a user

CREATE OR REPLACE FUNCTION hype.visitors_of(user_id text) RETURNS uuid[]
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET jit = off
SET plan_cache_mode = force_generic_plan
AS $$
    SELECT ARRAY(
        SELECT c.visitor FROM hype.visitor_claim c
        WHERE c.user_id = visitors_of.user_id
        UNION
        SELECT p.visitor FROM hype.pending_claim p
        WHERE p.user_id = visitors_of.user_id
          AND NOT EXISTS (SELECT FROM hype.visitor_claim c
                          WHERE c.visitor = p.visitor)
          AND NOT EXISTS (SELECT FROM hype.pending_claim q
                          WHERE q.visitor = p.visitor
                            AND (q.created, q.user_id) < (p.created, p.user_id)
                            AND q.user_id <> p.user_id)
        UNION
        SELECT r.via FROM hype.confirmed_referral r
        WHERE r.user_id = visitors_of.user_id AND r.via IS NOT NULL
          AND NOT EXISTS (SELECT FROM hype.visitor_claim c
                          WHERE c.visitor = r.via
                            AND c.user_id <> visitors_of.user_id))
$$;

COMMENT ON FUNCTION hype.visitors_of(text) IS
    'The visitors that turned out to be this user';


CREATE OR REPLACE FUNCTION hype.export(user_id text) RETURNS jsonb
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET jit = off
SET plan_cache_mode = force_generic_plan
AS $$
DECLARE
    visitors uuid[] := hype.visitors_of(export.user_id);
    nameless uuid[] := hype.nameless_hits(export.user_id);
BEGIN
    RETURN jsonb_build_object(
        'user_id', export.user_id,
        'visitors', to_jsonb(visitors),
        'links', (
            SELECT coalesce(jsonb_agg(to_jsonb(l) - 'disabled_xact'
                                      ORDER BY l.id), '[]')
            FROM hype.referral_link l WHERE l.user_id = export.user_id),
        'aliases', (
            SELECT coalesce(jsonb_agg(to_jsonb(a) ORDER BY a.created,
                                      a.identifier), '[]')
            FROM hype.referral_link l
            JOIN hype.link_alias a ON a.referral_link_id = l.id
            WHERE l.user_id = export.user_id),
        'hits', (
            SELECT coalesce(jsonb_agg(to_jsonb(h) - 'xact' - 'void' - 'node'
                                      ORDER BY h.created, h.id), '[]')
            FROM (SELECT u.* FROM hype.referral_hit u
                  WHERE u.user_id = export.user_id
                  UNION ALL
                  SELECT v.* FROM hype.referral_hit v
                  WHERE v.visitor = ANY (visitors) AND v.user_id IS NULL
                  UNION ALL
                  SELECT n.* FROM hype.referral_hit n
                  WHERE n.id = ANY (nameless)) AS h),
        'confirmed', (
            SELECT coalesce(jsonb_agg(to_jsonb(c) - 'id' - 'told'
                                      ORDER BY c.created, c.id), '[]')
            FROM (SELECT u.* FROM hype.confirmed_referral u
                  WHERE u.user_id = export.user_id
                  UNION ALL
                  SELECT v.* FROM hype.confirmed_referral v
                  WHERE v.visitor = ANY (visitors) AND v.user_id IS NULL) AS c),

        -- Whom the user has referred is others' data.

        'referred', (
            SELECT coalesce(jsonb_agg(jsonb_build_object(
                       'event', c.event, 'created', c.created,
                       'referral_link_id', c.referral_link_id,
                       'value', c.value, 'revoked', c.revoked)
                       ORDER BY c.created, c.id), '[]')
            FROM hype.confirmed_referral c
            WHERE c.referrer = export.user_id),
        'rewards', (
            SELECT coalesce(jsonb_agg(to_jsonb(r) - 'n' - 'user_id'
                                      ORDER BY r.id), '[]')
            FROM hype.reward r WHERE r.beneficiary = export.user_id),
        'pending', (
            SELECT coalesce(jsonb_agg(to_jsonb(p) - 'id' ORDER BY p.id), '[]')
            FROM (SELECT w.id, w.event, w.user_id, w.visitor, w.value,
                         w.created
                  FROM hype.pending_confirm w
                  WHERE w.user_id = export.user_id
                  UNION
                  SELECT w.id, w.event, w.user_id, w.visitor, w.value,
                         w.created
                  FROM hype.pending_confirm w
                  WHERE w.visitor = ANY (visitors)) AS p));
END
$$;

COMMENT ON FUNCTION hype.export(text) IS
    'What is stored of a user, as JSON: links, hits, visitors, what was '
    'confirmed of the user and by the user''s links, and the user''s rewards';


CREATE OR REPLACE FUNCTION hype.erase(user_id text) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET jit = off
SET plan_cache_mode = force_generic_plan
AS $$
DECLARE
    visitors uuid[] := hype.visitors_of(erase.user_id);
    own_key  uuid := hype.user_key(erase.user_id);
    deleted  bigint;
BEGIN
    PERFORM hype.check_given('hype.erase', erase.user_id, 'no user');

    -- One after the other: two users may be in the same rows.

    PERFORM hype.lock_log('erase', true);

    -- A pay-out that has an older snapshot is to fail.

    UPDATE hype.log_position l SET done = l.done WHERE l.name = 'erase';

    -- Most of the ledger and of events, before others have to wait

    PERFORM hype.erase_rewards(erase.user_id);
    PERFORM hype.erase_events(erase.user_id, visitors);

    -- From now on nobody else derives anything: what is written meanwhile is
    -- read when all can see that the user was erased.

    PERFORM hype.lock_log('roll_up', true);
    PERFORM hype.lock_log('claims', true);

    -- Totals outlive the hits.

    PERFORM hype.roll_up();

    visitors := hype.visitors_of(erase.user_id);

    -- What a spool has, anywhere, is left out when it arrives.

    INSERT INTO hype.erased (subject, known, at)
    SELECT own_key, true, clock_timestamp()
    UNION ALL
    SELECT hype.user_key(v::text), false, clock_timestamp()
    FROM unnest(visitors) AS v
    ON CONFLICT (subject, known) DO UPDATE SET at = excluded.at;

    deleted := hype.erase_hits(erase.user_id, visitors);

    DELETE FROM hype.visitor_claim c WHERE c.visitor = ANY (visitors);
    DELETE FROM hype.pending_claim p
    WHERE p.visitor = ANY (visitors) OR p.user_id = erase.user_id;
    UPDATE hype.pending_claim p SET was = array_remove(p.was, erase.user_id)
    WHERE erase.user_id = ANY (p.was);
    DELETE FROM hype.pending_confirm p
    WHERE p.user_id = erase.user_id OR p.claimant = erase.user_id
       OR p.visitor = ANY (visitors);

    PERFORM hype.erase_rewards(erase.user_id);
    PERFORM hype.erase_events(erase.user_id, visitors);
    PERFORM hype.erase_credits(erase.user_id, visitors);
    PERFORM hype.erase_links(erase.user_id);

    DELETE FROM hype.visit v
    WHERE (v.known AND v.subject = own_key)
       OR (NOT v.known AND v.subject = ANY (visitors));
    DELETE FROM hype.link_user u WHERE u.user_id = erase.user_id;
    DELETE FROM hype.first_link f WHERE f.subject = own_key;
    DELETE FROM hype.typed_code t WHERE t.subject = own_key;

    PERFORM hype.roll_up();

    DELETE FROM hype.link_confirmed c
    WHERE (c.known AND c.subject = own_key)
       OR (NOT c.known AND c.subject = ANY (visitors));

    RETURN deleted;
END
$$;

COMMENT ON FUNCTION hype.erase(text) IS
    'Deletes for good what is stored of a user, and leaves out what a spool '
    'still has; totals stay, and credits of others, for nobody. The user''s '
    'links are disabled and lose their identifiers. Rewards that were not paid '
    'are taken back; the ledger stays, of nobody. Returns the number of hits';


CREATE OR REPLACE FUNCTION hype.erase(user_id bigint) RETURNS bigint
LANGUAGE sql VOLATILE
BEGIN ATOMIC
    SELECT hype.erase(user_id::text);
END;

COMMENT ON FUNCTION hype.erase(bigint) IS
    'The same for a user whose id is a number';

CREATE OR REPLACE FUNCTION hype.export(user_id bigint) RETURNS jsonb
LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT hype.export(user_id::text);
END;

COMMENT ON FUNCTION hype.export(bigint) IS
    'The same for a user whose id is a number';


-- Citus
--
-- Hits are distributed by "node": hits of one value are in one shard.  A value
-- belongs to one server of the cluster for good, whose transactions write it
-- and are in xact: to that of the group node % 128.  Other tables are on the
-- coordinator only.
--
-- All of it is here, before hits are locked for a new trigger, see below: they
-- would wait for it.

CREATE OR REPLACE FUNCTION hype.distributed() RETURNS boolean
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    found boolean := false;
BEGIN
    IF to_regclass('pg_catalog.pg_dist_partition') IS NOT NULL THEN
        EXECUTE $citus$
            SELECT EXISTS (
                SELECT FROM pg_dist_partition p
                WHERE p.logicalrelid = to_regclass('hype.referral_hit'))
        $citus$ INTO found;
    END IF;

    RETURN found;
END
$$;

COMMENT ON FUNCTION hype.distributed() IS
    'Whether hits are distributed by Citus, see hype.distribute()';


CREATE OR REPLACE FUNCTION hype.pace() RETURNS integer
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN CASE WHEN hype.distributed() THEN 8 ELSE 1 END;
END
$$;

COMMENT ON FUNCTION hype.pace() IS
    'How much longer than on one PostgreSQL a step of hype.derive() may take: '
    'each query of it is planned for each shard';


CREATE OR REPLACE FUNCTION hype.my_node() RETURNS smallint
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    own  integer;
    node smallint;
BEGIN
    IF NOT hype.distributed() THEN
        RETURN 0;
    END IF;

    EXECUTE 'SELECT l.groupid FROM pg_dist_local_group l' INTO own;

    -- The least one whose shard is here; where no shard is here, any.

    EXECUTE $citus$
        SELECT v.node::smallint
        FROM generate_series($1 + 128, 32767, 128) AS v (node)
        WHERE EXISTS (
            SELECT FROM pg_dist_shard s JOIN pg_dist_placement p USING (shardid)
            WHERE s.logicalrelid = to_regclass('hype.referral_hit')
              AND p.groupid = $1
              AND hashint2(v.node::smallint)
                  BETWEEN s.shardminvalue::integer AND s.shardmaxvalue::integer)
        ORDER BY v.node LIMIT 1
    $citus$ INTO node USING own;

    RETURN coalesce(node, own + 128);
END
$$;

COMMENT ON FUNCTION hype.my_node() IS
    'Where hits go that are written on this server: on Citus a value of '
    'referral_hit.node whose shard is here; else 0';


-- Setting it up

CREATE OR REPLACE FUNCTION hype.distribute(shards integer DEFAULT NULL)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    own  integer;
    most integer;
BEGIN
    IF to_regclass('pg_catalog.pg_dist_partition') IS NULL THEN
        RAISE EXCEPTION 'hype.distribute: the extension "citus" is not there'
            USING ERRCODE = 'object_not_in_prerequisite_state',
                  HINT = 'CREATE EXTENSION citus on each server, then '
                      'citus_set_coordinator_host() and citus_add_node().';
    END IF;

    IF shards < 1 OR shards > 1000 THEN
        RAISE EXCEPTION 'hype.distribute: % shards, not 1 to 1000', shards
            USING ERRCODE = 'invalid_parameter_value';
    END IF;

    EXECUTE 'SELECT (SELECT l.groupid FROM pg_dist_local_group l), '
            '(SELECT max(n.groupid) FROM pg_dist_node n)' INTO own, most;

    IF own <> 0 OR most IS NULL THEN
        RAISE EXCEPTION 'hype.distribute: this is not the coordinator of a '
            'cluster' USING ERRCODE = 'object_not_in_prerequisite_state',
                  HINT = 'Connect to the coordinator, which has to know its '
                      'own address: citus_set_coordinator_host().';
    END IF;

    IF most > 127 THEN
        RAISE EXCEPTION 'hype.distribute: a server has group %, the last one '
            'that can be told apart is 127', most
            USING ERRCODE = 'program_limit_exceeded';
    END IF;

    IF NOT hype.distributed() THEN
        IF shards IS NULL THEN
            EXECUTE 'SELECT greatest(2 * count(*), 1) FROM pg_dist_node n '
                    'WHERE n.shouldhaveshards AND n.noderole = ''primary'''
            INTO shards;
        END IF;

        PERFORM hype.distribute_hits(shards);
    END IF;

    IF to_regclass('hype.shard') IS NULL THEN
        PERFORM hype.add_shard_rows();
    END IF;

    -- A setting would do, if other roles could not set it, too.

    IF to_regclass('hype.confirming') IS NULL THEN
        CREATE UNLOGGED TABLE hype.confirming (xact xid8 PRIMARY KEY);
        COMMENT ON TABLE hype.confirming IS
            'The transaction in which hype.confirm_shards() is at work';
    END IF;

    GRANT INSERT ON hype.referral_hit TO hype_nginx;
    PERFORM hype.add_positions();
    PERFORM hype.set_up_workers();
    PERFORM hype.use_custom_plans();
END
$$;

COMMENT ON FUNCTION hype.distribute(integer) IS
    'On the coordinator of a Citus cluster: distributes hits over the '
    'servers; or, where that was done, sees to it again';


CREATE OR REPLACE FUNCTION hype.distribute_hits(shards integer) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    -- Citus has no triggers on a statement, and wants "node" in each unique
    -- index.  What reads the log of one server needs it in an index, too.

    DROP TRIGGER IF EXISTS referral_hit_truncated ON hype.referral_hit;
    DROP TRIGGER IF EXISTS referral_hit_deleted ON hype.referral_hit;

    ALTER TABLE hype.referral_hit DROP CONSTRAINT referral_hit_pkey;
    ALTER TABLE hype.referral_hit ADD PRIMARY KEY (id, created, node);

    DROP INDEX hype.referral_hit_xact_id_idx;
    CREATE INDEX referral_hit_xact_id_idx
        ON hype.referral_hit ((node & 127::smallint), xact, id);

    -- Who names no node writes to a shard of this server, too, as the hit gets
    -- an id of its transactions.  Citus can't set a default afterwards.

    ALTER TABLE hype.referral_hit ALTER COLUMN node SET DEFAULT hype.my_node();

    -- One connection a server, as all is in one transaction.

    PERFORM set_config('citus.multi_shard_modify_mode', 'sequential', true),
            set_config('citus.shard_count', shards::text, true);

    EXECUTE $citus$
        SELECT create_distributed_table('hype.referral_hit', 'node',
                                        colocate_with => 'none'),
               truncate_local_data_after_distributing_table(
                   'hype.referral_hit')
    $citus$;
END
$$;

COMMENT ON FUNCTION hype.distribute_hits(integer) IS
    'Makes the table of hits a distributed one, with what is in it';


CREATE OR REPLACE FUNCTION hype.add_shard_rows() RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    CREATE TABLE hype.shard (node smallint PRIMARY KEY);

    COMMENT ON TABLE hype.shard IS
        'A row in each shard of the hits: by it hype.derive() asks each '
        'server for its snapshot';

    PERFORM set_config('citus.multi_shard_modify_mode', 'sequential', true);

    EXECUTE $citus$
        SELECT create_distributed_table('hype.shard', 'node',
                                        colocate_with => 'hype.referral_hit')
    $citus$;

    EXECUTE $citus$
        INSERT INTO hype.shard (node)
        SELECT DISTINCT ON (s.shardid) v.node
        FROM pg_dist_shard s
        JOIN (SELECT i::smallint, hashint2(i::smallint)
              FROM generate_series(0, 32767) AS i) AS v (node, hash)
          ON v.hash BETWEEN s.shardminvalue::integer
                        AND s.shardmaxvalue::integer
        WHERE s.logicalrelid = 'hype.shard'::regclass
        ORDER BY s.shardid, v.node
    $citus$;
END
$$;

COMMENT ON FUNCTION hype.add_shard_rows() IS
    'On Citus: makes hype.shard, whose shards are where those of the hits are';


CREATE OR REPLACE FUNCTION hype.add_positions() RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    EXECUTE $citus$
        INSERT INTO hype.log_position (name, done)
        SELECT l.name || '/' || n.groupid, '1:1:'
        FROM pg_dist_node n
        CROSS JOIN (VALUES ('claims'), ('roll_up')) AS l (name)
        WHERE n.groupid > 0 AND n.noderole = 'primary'
        ON CONFLICT DO NOTHING
    $citus$;
END
$$;

COMMENT ON FUNCTION hype.add_positions() IS
    'On Citus: of what each worker is going to write nothing has been read';


CREATE OR REPLACE FUNCTION hype.use_custom_plans() RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    f regprocedure;
BEGIN
    FOR f IN
        SELECT p.oid FROM pg_proc p
        WHERE p.pronamespace = 'hype'::regnamespace
          AND 'plan_cache_mode=force_generic_plan' = ANY (p.proconfig)
    LOOP
        EXECUTE format('ALTER FUNCTION %s SET plan_cache_mode = '
                       'force_custom_plan', f);
    END LOOP;
END
$$;

COMMENT ON FUNCTION hype.use_custom_plans() IS
    'On Citus: it has no generic plans';


-- What nginx finds on a worker

CREATE OR REPLACE FUNCTION hype.on_coordinator(command text) RETURNS text
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    answer record;
BEGIN
    EXECUTE 'SELECT r.success, r.result '
            'FROM run_command_on_coordinator($1) AS r'
    INTO answer USING command;

    IF NOT answer.success THEN
        RAISE EXCEPTION 'on the coordinator: %', answer.result;
    END IF;

    RETURN answer.result;
END
$$;

COMMENT ON FUNCTION hype.on_coordinator(text) IS
    'On Citus: runs a query on the coordinator, as the same role, in a '
    'transaction of its own';


CREATE OR REPLACE FUNCTION hype.worker_tables(host text, port integer)
RETURNS text
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN format($worker$
CREATE EXTENSION IF NOT EXISTS postgres_fdw SCHEMA public;

DROP SERVER IF EXISTS hype_coordinator CASCADE;
CREATE SERVER hype_coordinator FOREIGN DATA WRAPPER postgres_fdw
    OPTIONS (host %L, port %L, dbname %L);
CREATE USER MAPPING FOR hype_nginx SERVER hype_coordinator
    OPTIONS (user 'hype_nginx', password_required 'false');

CREATE FOREIGN TABLE hype.referral_link (
    id bigint, identifier text, user_id text, destination text,
    disabled boolean, expires timestamptz
) SERVER hype_coordinator OPTIONS (schema_name 'hype');
CREATE FOREIGN TABLE hype.link_alias (
    identifier text, referral_link_id bigint
) SERVER hype_coordinator OPTIONS (schema_name 'hype');
GRANT SELECT ON hype.referral_link, hype.link_alias TO hype_nginx;

    $worker$, host, port, current_database());
END
$$;

COMMENT ON FUNCTION hype.worker_tables(text, integer) IS
    'SQL that makes the tables that nginx reads on a worker of Citus: they '
    'lead to the coordinator';


CREATE OR REPLACE FUNCTION hype.worker_writes() RETURNS text
LANGUAGE sql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT $worker$
CREATE OR REPLACE FUNCTION hype.claim_batch(
    visitors uuid[], user_ids text[], created timestamptz[]
)
RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET timezone = 'UTC'
SET datestyle = 'ISO, YMD'
AS $body$
BEGIN
    RETURN hype.on_coordinator(format(
        'SELECT hype.claim_batch(%L, %L, %L)', visitors, user_ids, created));
END
$body$;

CREATE OR REPLACE FUNCTION hype.confirm_batch(
    events text[], user_ids text[], visitors uuid[], vals text[],
    created timestamptz[]
)
RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET timezone = 'UTC'
SET datestyle = 'ISO, YMD'
AS $body$
BEGIN
    RETURN hype.on_coordinator(format(
        'SELECT hype.confirm_batch(%L, %L, %L, %L, %L)',
        events, user_ids, visitors, vals, created));
END
$body$;

CREATE OR REPLACE FUNCTION hype.replay(
    ids uuid[], referral_link_ids bigint[], created timestamptz[],
    authenticated boolean[], bot boolean[], visitors uuid[], user_ids text[],
    ips inet[], user_agents text[], http_referers text[], nexts text[],
    identifiers text[], sources text[] DEFAULT NULL, args text[] DEFAULT NULL,
    nodes smallint[] DEFAULT NULL
)
RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET timezone = 'UTC'
SET datestyle = 'ISO, YMD'
AS $body$
BEGIN
    RETURN hype.on_coordinator(format(
        'SELECT hype.replay(%L, %L, %L, %L, %L, %L, %L, %L, %L, %L, '
        '%L, %L, %L, %L, %L)', ids, referral_link_ids, created,
        authenticated, bot, visitors, user_ids, ips, user_agents,
        http_referers, nexts, identifiers, sources, args, nodes));
END
$body$;

    $worker$
$$;

COMMENT ON FUNCTION hype.worker_writes() IS
    'SQL that makes the functions that take records on a worker of Citus: '
    'they call those of the coordinator';


CREATE OR REPLACE FUNCTION hype.worker_calls() RETURNS text
LANGUAGE sql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT $worker$
CREATE OR REPLACE FUNCTION hype.probe(stream text, size integer) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $body$
DECLARE
    node smallint := hype.my_node();
BEGIN
    PERFORM hype.on_coordinator(
        format('SELECT hype.probe(%L, %s)', stream, size));

    IF stream <> 'hit' THEN
        RETURN;
    END IF;

    BEGIN
        INSERT INTO hype.referral_hit
            (id, referral_link_id, created, user_agent, node)
        VALUES (gen_random_uuid(), 1, now(), repeat('x', size), node);

        RAISE EXCEPTION USING ERRCODE = 'ZHYPE', MESSAGE = 'probed';
    EXCEPTION WHEN SQLSTATE 'ZHYPE' THEN
        NULL;
    END;
END
$body$;

CREATE OR REPLACE FUNCTION hype.derive(OUT again integer, OUT set_aside text[])
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $body$
DECLARE
    answer jsonb;
BEGIN
    answer := hype.on_coordinator('SELECT to_jsonb(d) FROM hype.derive() AS d');
    again := answer ->> 'again';
    set_aside := ARRAY(SELECT jsonb_array_elements_text(
        nullif(answer -> 'set_aside', 'null')));
END
$body$;

CREATE OR REPLACE FUNCTION hype.roll_up(since timestamptz DEFAULT NULL)
RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $body$
BEGIN
    RETURN hype.on_coordinator(format('SELECT hype.roll_up(%L)', since));
END
$body$;

CREATE OR REPLACE FUNCTION hype.owner_page(
    user_id text, make boolean DEFAULT false, base text DEFAULT '/ref/'
)
RETURNS jsonb
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $body$
BEGIN
    RETURN hype.on_coordinator(format('SELECT hype.owner_page(%L, %L, %L)',
                                      user_id, make, base));
END
$body$;

CREATE OR REPLACE FUNCTION hype.report(arguments jsonb DEFAULT '{}')
RETURNS jsonb
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $body$
BEGIN
    RETURN hype.on_coordinator(format('SELECT hype.report(%L)', arguments));
END
$body$;

CREATE OR REPLACE FUNCTION hype.maintain(
    ahead integer DEFAULT 3, keep interval DEFAULT NULL,
    move_up_to integer DEFAULT 20000
)
RETURNS TABLE (action text, object text, hits bigint)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $body$
BEGIN
    PERFORM hype.on_coordinator(format(
        'SELECT count(*) FROM hype.maintain(%L, %L, %L)', ahead, keep,
        move_up_to));
END
$body$;
    $worker$
$$;

COMMENT ON FUNCTION hype.worker_calls() IS
    'As hype.worker_writes(), the other functions that nginx calls';


CREATE OR REPLACE FUNCTION hype.worker_relay(host text, port integer)
RETURNS text
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    conninfo text;
BEGIN
    SELECT string_agg(
        format('%s=''%s''', o.key, regexp_replace(o.value, '([\\''])', '\\\1',
                                                  'g')), ' ')
    INTO conninfo
    FROM (VALUES ('host', host), ('port', port::text), ('user', 'hype_nginx'),
                 ('dbname', current_database()), ('connect_timeout', '2'),
                 ('application_name', 'hype.relay')) AS o (key, value);

    RETURN format($worker$
CREATE EXTENSION IF NOT EXISTS dblink SCHEMA public;

CREATE OR REPLACE FUNCTION hype.relay() RETURNS void
LANGUAGE plpgsql SECURITY DEFINER
AS $body$
DECLARE
    name CONSTANT text := 'hype';
    ask  CONSTANT text := 'SELECT count(*) FROM pg_listening_channels(); '
                          'LISTEN hype_link; LISTEN hype_claim';
    told text;
BEGIN
    IF name = ANY (dblink_get_connections()) THEN
        PERFORM pg_notify(n.notify_name, n.extra)
        FROM dblink_get_notify(name) AS n;

        -- The answer to the last question is here the next time.

        IF dblink_is_busy(name) = 1 THEN
            IF current_setting('hype.asked')::timestamptz
               < clock_timestamp() - interval '10 seconds'
            THEN
                RAISE EXCEPTION 'hype.relay: the coordinator does not answer';
            END IF;

            RETURN;
        END IF;

        LOOP
            SELECT r.answer INTO told
            FROM dblink_get_result(name) AS r (answer text);

            EXIT WHEN NOT FOUND;

            -- Until then it did not listen, and anything may have changed.

            IF told = '0' THEN
                PERFORM pg_notify('hype_link', ''), pg_notify('hype_claim', '');
            END IF;
        END LOOP;
    ELSE
        PERFORM dblink_connect(name, %L);
    END IF;

    IF dblink_send_query(name, ask) = 0 THEN
        RAISE EXCEPTION 'hype.relay: the connection to the coordinator is lost';
    END IF;

    PERFORM set_config('hype.asked', clock_timestamp()::text, false);
END
$body$;

DO $body$
BEGIN
    EXECUTE format('ALTER FUNCTION hype.relay() SET search_path = pg_catalog, '
                   '%%s, pg_temp', e.extnamespace::regnamespace)
    FROM pg_extension e WHERE e.extname = 'dblink';
END
$body$;

REVOKE ALL ON FUNCTION hype.relay() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION hype.relay() TO hype_nginx;

    $worker$, conninfo);
END
$$;

COMMENT ON FUNCTION hype.worker_relay(text, integer) IS
    'SQL that makes hype.relay() on a worker of Citus: nginx calls it four '
    'times a second, and it sends what the coordinator has sent by NOTIFY. An '
    'error ends its session, and so the connection that it listens on';


CREATE OR REPLACE FUNCTION hype.set_up_workers() RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    own      record;
    failed   record;
    commands text;
BEGIN
    EXECUTE 'SELECT n.nodename AS name, n.nodeport AS port FROM pg_dist_node n '
            'WHERE n.groupid = 0' INTO own;

    commands := hype.worker_tables(own.name, own.port) || hype.worker_writes()
                || hype.worker_calls() || hype.worker_relay(own.name, own.port);

    EXECUTE 'SELECT w.* FROM run_command_on_workers($1) AS w '
            'WHERE NOT w.success LIMIT 1' INTO failed
    USING format('DO $do$ BEGIN PERFORM '
                 'set_config(''citus.enable_ddl_propagation'', ''off'', true); '
                 'SET LOCAL client_min_messages = warning; '
                 'EXECUTE %L; END $do$', commands);

    IF failed IS NOT NULL THEN
        RAISE EXCEPTION 'hype.distribute: on "%", port %: %', failed.nodename,
            failed.nodeport, failed.result;
    END IF;
END
$$;

COMMENT ON FUNCTION hype.set_up_workers() IS
    'What nginx looks up and calls on a worker of Citus, but for hits, is '
    'asked of the coordinator';


-- Reading the log of each server

CREATE OR REPLACE FUNCTION hype.read_from(
    log_name text, OUT name text, OUT node smallint, OUT done pg_snapshot,
    OUT target pg_snapshot, OUT xact xid8, OUT id uuid
)
RETURNS SETOF record
LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT l.name,
           CASE WHEN l.name LIKE '%/%'
           THEN split_part(l.name, '/', 2)::smallint ELSE 0::smallint END,
           l.done, l.target, l.xact, l.id
    FROM hype.log_position l
    WHERE split_part(l.name, '/', 1) = log_name;
END;

COMMENT ON FUNCTION hype.read_from(text) IS
    'How far a log was read on each server';


CREATE OR REPLACE FUNCTION hype.read_arrays(
    log_name text, OUT nodes smallint[], OUT done pg_snapshot[],
    OUT target pg_snapshot[], OUT xact xid8[], OUT id uuid[]
)
RETURNS record
LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT array_agg(w.node), array_agg(w.done), array_agg(w.target),
           array_agg(w.xact),
           array_agg(coalesce(w.id, '00000000-0000-0000-0000-000000000000'))
    FROM hype.read_from(log_name) AS w;
END;

COMMENT ON FUNCTION hype.read_arrays(text) IS
    'As hype.read_from(), as arrays: Citus joins hits with those';


CREATE OR REPLACE FUNCTION hype.node_state(shard smallint) RETURNS text
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
SET jit = off
AS $$
DECLARE
    own     integer;
    s       pg_snapshot;
    pending xid8[];
BEGIN
    -- One statement: what is committed in this snapshot, and may not be on
    -- another server yet, is in its pg_dist_transaction.

    EXECUTE $citus$
        SELECT l.groupid, c.s, ARRAY(
            SELECT (x.xmax - ((x.xmax - t.xmin::text::bigint) & 4294967295))
                   ::text::xid8
            FROM pg_dist_transaction t,
                 LATERAL (SELECT pg_snapshot_xmax(c.s)::text::bigint)
                     AS x (xmax))
        FROM hype.log_snapshot() AS c (s), pg_dist_local_group l
    $citus$ INTO own, s, pending;

    RETURN format('%s %s:%s:%s', own,
                  (SELECT min(x)
                   FROM unnest(pending || pg_snapshot_xmin(s)) AS x),
                  pg_snapshot_xmax(s),
                  (SELECT string_agg(x::text, ',' ORDER BY x)
                   FROM (SELECT pg_snapshot_xip(s) UNION SELECT unnest(pending))
                        AS u (x)));
END
$$;

COMMENT ON FUNCTION hype.node_state(smallint) IS
    'On Citus the group of this server, and its hype.log_snapshot(), in which '
    'a transaction is running if its second phase may still come on another '
    'server. Each server that has a row of hype.shard is asked for it';


CREATE OR REPLACE FUNCTION hype.add_targets(log_name text) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    states text[];
    others text[];
BEGIN
    -- Over the connections that are there: run_command_on_all_nodes() makes
    -- new ones, which takes most of the time.  It is for servers without
    -- shards.  Those of them that can't be reached are read later.

    states := ARRAY(SELECT hype.node_state(s.node) FROM hype.shard s);

    EXECUTE $citus$
        SELECT array_agg(n.groupid::text) FROM pg_dist_node n
        WHERE n.noderole = 'primary' AND n.isactive
          AND NOT n.groupid::text = ANY (ARRAY(
              SELECT split_part(s, ' ', 1) FROM unnest($1) AS s))
    $citus$ INTO others USING states;

    IF others IS NOT NULL THEN
        EXECUTE $citus$
            SELECT $1 || array_agg(r.result)
            FROM run_command_on_all_nodes(
                'SELECT hype.node_state(0::smallint)') AS r
            WHERE r.success AND split_part(r.result, ' ', 1) = ANY ($2)
        $citus$ INTO states USING states, others;
    END IF;

    INSERT INTO hype.log_position AS l (name, done, target, xact)
    SELECT DISTINCT ON (n.name) n.name, '1:1:',
           split_part(s.state, ' ', 2)::pg_snapshot, '0'
    FROM unnest(states) AS s (state)
    CROSS JOIN LATERAL (
        SELECT concat_ws('/', log_name, nullif(split_part(s.state, ' ', 1),
                                               '0'))) AS n (name)
    ON CONFLICT (name) DO UPDATE
    SET target = excluded.target, xact = '0', id = NULL
    WHERE l.target IS NULL;
END
$$;

COMMENT ON FUNCTION hype.add_targets(text) IS
    'On Citus: up to where hype.read_shards() reads the hits of each server';


CREATE OR REPLACE FUNCTION hype.read_shards(log_name text, max bigint)
RETURNS SETOF hype.referral_hit
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    p    record;
    hit  hype.referral_hit;
    last hype.referral_hit;
    n    bigint := 0;
    old  boolean;
BEGIN
    old := NOT EXISTS (SELECT FROM hype.read_from(log_name) AS f
                       WHERE f.target IS NULL);

    IF NOT old THEN
        PERFORM hype.add_targets(log_name);
    END IF;

    SELECT r.* INTO p FROM hype.read_arrays(log_name) AS r;

    FOR hit IN
        SELECT h.*
        FROM hype.referral_hit h
        JOIN unnest(p.nodes, p.done, p.target, p.xact, p.id)
             AS w (node, done, target, xact, id)
          ON h.node & 127::smallint = w.node
        WHERE h.xact >= pg_snapshot_xmin(w.done)
          AND h.xact < pg_snapshot_xmax(w.target)
          AND NOT pg_visible_in_snapshot(h.xact, w.done)
          AND pg_visible_in_snapshot(h.xact, w.target)
          AND (h.xact, h.id) > (w.xact, w.id)
        ORDER BY h.node & 127::smallint, h.xact, h.id
        LIMIT max + 100
    LOOP
        -- Hits with one id, which only a person writes, are read at once.

        EXIT WHEN n >= max AND (hit.xact, hit.id) <> (last.xact, last.id);

        RETURN NEXT hit;
        n := n + 1;
        last := hit;
    END LOOP;

    UPDATE hype.log_position l
    SET done = CASE WHEN w.read THEN l.target ELSE l.done END,
        target = CASE WHEN NOT w.read THEN l.target END,
        xact = CASE WHEN w.read THEN l.xact ELSE last.xact END,
        id = CASE WHEN w.read THEN l.id ELSE last.id END,
        rolled = CASE WHEN n < max THEN clock_timestamp() ELSE l.rolled END
    FROM (SELECT f.name, n < max OR f.node < last.node & 127::smallint AS read
          FROM hype.read_from(log_name) AS f
          WHERE f.target IS NOT NULL
            AND (n < max OR f.node <= last.node & 127::smallint)) AS w
    WHERE l.name = w.name;

    IF n = 0 AND old AND max > 0 THEN     -- as hype.read_log() does
        RETURN QUERY SELECT h.* FROM hype.read_shards(log_name, max) AS h;
    END IF;
END
$$;

COMMENT ON FUNCTION hype.read_shards(text, bigint) IS
    'hype.read_log() on Citus: each server has transaction ids of its own, '
    'and so a position of its own';


CREATE OR REPLACE FUNCTION hype.unrolled_shards()
RETURNS SETOF hype.referral_hit
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    p record;
BEGIN
    SELECT r.* INTO p FROM hype.read_arrays('roll_up') AS r;

    RETURN QUERY
        SELECT h.*
        FROM hype.referral_hit h
        JOIN unnest(p.nodes, p.done, p.target, p.xact, p.id)
             AS w (node, done, target, xact, id)
          ON h.node & 127::smallint = w.node
        WHERE h.xact >= pg_snapshot_xmin(w.done)
          AND NOT pg_visible_in_snapshot(h.xact, w.done)
          AND (w.target IS NULL OR (h.xact, h.id) > (w.xact, w.id)
               OR NOT pg_visible_in_snapshot(h.xact, w.target));
END
$$;

COMMENT ON FUNCTION hype.unrolled_shards() IS
    'hype.unrolled_hits() on Citus';


CREATE OR REPLACE FUNCTION hype.rolled_shards(since timestamptz)
RETURNS SETOF hype.referral_hit
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    p record;
BEGIN
    SELECT r.* INTO p FROM hype.read_arrays('roll_up') AS r;

    RETURN QUERY
        SELECT h.*
        FROM hype.referral_hit h
        JOIN unnest(p.nodes, p.done, p.target, p.xact, p.id)
             AS w (node, done, target, xact, id)
          ON h.node & 127::smallint = w.node
        WHERE h.created >= since AND isfinite(h.created)
          AND (pg_visible_in_snapshot(h.xact, w.done)
               OR (pg_visible_in_snapshot(h.xact, w.target)
                   AND (h.xact, h.id) <= (w.xact, w.id)));
END
$$;

COMMENT ON FUNCTION hype.rolled_shards(timestamptz) IS
    'On Citus the hits from then on that the roll-ups have';


-- Claims and confirms: a query of all shards takes some milliseconds, so many
-- are worked off by each

CREATE OR REPLACE FUNCTION hype.tune_shards() RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    -- Citus passes SET LOCAL on to other servers, from a DO block only.  More
    -- than one connection a server takes longer than it spares.

    DO $do$
    BEGIN
        SET LOCAL citus.max_adaptive_executor_pool_size = 1;
        SET LOCAL citus.propagate_set_commands = 'local';
        SET LOCAL lock_timeout = '20ms';
        SET LOCAL jit = off;
    END
    $do$;

    -- An error here, before anything is tried, if a server is away.

    PERFORM hype.node_state(s.node) FROM hype.shard s;
END
$$;

COMMENT ON FUNCTION hype.tune_shards() IS
    'On Citus: until the end of the transaction other servers wait for no '
    'lock, and compile no query; raises an error if one can''t be reached';


CREATE OR REPLACE FUNCTION hype.subject_hits(
    user_id  text,
    visitors uuid[],
    forward  boolean,
    since    timestamptz,
    until    timestamptz
)
RETURNS SETOF hype.referral_hit
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
BEGIN
    -- One query, as each is one of every shard.

    IF forward THEN
        RETURN QUERY SELECT h.* FROM hype.referral_hit h
            WHERE ((h.user_id = subject_hits.user_id AND NOT h.void)
                   OR (h.visitor = ANY (visitors) AND h.user_id IS NULL))
              AND h.created > since AND h.created <= until
            ORDER BY h.created LIMIT 1000;
    ELSE
        RETURN QUERY SELECT h.* FROM hype.referral_hit h
            WHERE ((h.user_id = subject_hits.user_id AND NOT h.void)
                   OR (h.visitor = ANY (visitors) AND h.user_id IS NULL))
              AND h.created > since AND h.created <= until
            ORDER BY h.created DESC LIMIT 1000;
    END IF;
END
$$;

COMMENT ON FUNCTION hype.subject_hits(
    text, uuid[], boolean, timestamptz, timestamptz
) IS
    'On Citus the hits that hype.creditable_hit() looks at: Citus does not '
    'join them with links';


CREATE OR REPLACE FUNCTION hype.pending_subjects(entries bigint[])
RETURNS TABLE (
    id bigint, event text, user_id text, visitor uuid, value numeric,
    created timestamptz, who text, unknown uuid, visitors uuid[]
)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET jit = off
AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    SELECT p.id, p.event, p.user_id, p.visitor, p.value, p.created, w.who,
           w.unknown, array_remove(ARRAY(
               SELECT c.visitor FROM hype.visitor_claim c
               WHERE c.user_id = w.who
               ORDER BY c.created DESC LIMIT 20) || w.unknown, NULL)
    FROM hype.pending_confirm p
    LEFT JOIN hype.visitor_claim k ON k.visitor = p.visitor
    CROSS JOIN LATERAL (
        SELECT coalesce(p.user_id, k.user_id),
               CASE WHEN k.user_id IS NULL THEN p.visitor END
    ) AS w (who, unknown)
    WHERE p.id = ANY (entries);
END
$$;

COMMENT ON FUNCTION hype.pending_subjects(bigint[]) IS
    'On Citus: pending confirms, and whose hits can be credited for them';


CREATE OR REPLACE FUNCTION hype.batch_hits(
    users text[], visitors uuid[], since timestamptz, until timestamptz
)
RETURNS SETOF hype.referral_hit
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    n bigint;
BEGIN
    RETURN QUERY SELECT h.* FROM hype.referral_hit h
        WHERE ((h.user_id = ANY (users) AND NOT h.void)
               OR (h.visitor = ANY (visitors) AND h.user_id IS NULL))
          AND h.created > since AND h.created <= until
        LIMIT 5001;

    GET DIAGNOSTICS n = ROW_COUNT;

    IF n > 5000 THEN
        RAISE program_limit_exceeded;
    END IF;
END
$$;

COMMENT ON FUNCTION hype.batch_hits(
    text[], uuid[], timestamptz, timestamptz
) IS
    'On Citus all hits of these users and visitors; an error if there are many';


CREATE OR REPLACE FUNCTION hype.judge_shards(entries bigint[])
RETURNS TABLE (
    id bigint, event text, user_id text, visitor uuid, value numeric,
    created timestamptz, who text, old hype.confirmed_referral, olds bigint,
    hit hype.referral_hit, referrer text, turn bigint
)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET jit = off
AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    WITH subjects AS MATERIALIZED (
        SELECT s.* FROM hype.pending_subjects(entries) AS s
    ), hits AS MATERIALIZED (
        SELECT h AS hit, h.user_id, h.visitor, h.created, h.id,
               h.referral_link_id
        FROM (SELECT array_agg(s.who) AS users, min(s.created) AS since,
                     max(s.created) AS until,
                     ARRAY(SELECT DISTINCT unnest(v.visitors)
                           FROM subjects v) AS visitors
              FROM subjects s) AS a
        CROSS JOIN LATERAL hype.batch_hits(a.users, a.visitors,
                                           a.since - interval '90 days',
                                           a.until) AS h
    ), candidates AS (
        SELECT s.id AS entry, h.*
        FROM subjects s JOIN hits h ON h.user_id = s.who
        UNION ALL
        SELECT s.id, h.*
        FROM subjects s
        CROSS JOIN LATERAL unnest(s.visitors) AS v (visitor)
        JOIN hits h ON h.visitor = v.visitor AND h.user_id IS NULL
    ), best AS (
        SELECT DISTINCT ON (c.entry) c.entry, c.hit, l.user_id AS referrer
        FROM candidates c
        JOIN subjects s ON s.id = c.entry
        JOIN hype.referral_link l ON l.id = c.referral_link_id
        WHERE c.created <= s.created
          AND c.created > s.created - interval '90 days'
          AND hype.is_creditable(c.hit, l, s.who)
        ORDER BY c.entry, c.created DESC, c.id DESC
    )
    SELECT s.id, s.event, s.user_id, s.visitor, s.value, s.created, s.who,
           o.old, o.olds, b.hit, b.referrer,
           greatest(
               CASE WHEN s.who IS NOT NULL THEN row_number() OVER (
                    PARTITION BY s.event, s.who ORDER BY s.created, s.id) END,
               CASE WHEN s.unknown IS NOT NULL THEN row_number() OVER (
                    PARTITION BY s.event, s.unknown
                    ORDER BY s.created, s.id) END)
    FROM subjects s
    LEFT JOIN LATERAL (
        SELECT (array_agg(f.found))[1], count(*)
        FROM (SELECT u AS found FROM hype.confirmed_referral u
              WHERE u.user_id = s.who AND u.event = s.event
              UNION ALL
              SELECT v FROM hype.confirmed_referral v
              WHERE v.user_id IS NULL AND v.event = s.event
                AND v.visitor = ANY (s.visitors)) AS f
    ) AS o (old, olds) ON true
    LEFT JOIN best b ON b.entry = s.id;
END
$$;

COMMENT ON FUNCTION hype.judge_shards(bigint[]) IS
    'On Citus, of these pending confirms: what is confirmed, the hit that '
    'deserves it, and which of them for the same user or visitor is the first';


CREATE OR REPLACE FUNCTION hype.confirm_shards(entries bigint[])
RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET jit = off
AS $$
DECLARE
    found record;
BEGIN
    INSERT INTO hype.confirming VALUES (pg_current_xact_id());

    WITH judged AS MATERIALIZED (
        SELECT j.* FROM hype.judge_shards(entries) AS j
    ), fresh AS (
        SELECT j.* FROM judged j
        WHERE j.olds = 0 AND (j.hit).id IS NOT NULL AND j.turn = 1
          AND NOT (j.who IS NULL AND EXISTS (
                       SELECT FROM hype.told_visitor t
                       WHERE t.visitor = j.visitor AND t.event = j.event))
    ), made AS (
        INSERT INTO hype.confirmed_referral
            (event, user_id, referral_hit_id, referral_link_id, referrer,
             value, created, visitor, via, told)
        SELECT f.event, f.who, (f.hit).id, (f.hit).referral_link_id,
               f.referrer, f.value, f.created,
               CASE WHEN f.user_id IS NULL THEN f.visitor END, f.visitor,
               EXISTS (SELECT FROM hype.told_visitor t
                       WHERE t.visitor = f.visitor AND t.event = f.event)
        FROM fresh f
        ON CONFLICT DO NOTHING
        RETURNING *
    ), credited AS MATERIALIZED (
        SELECT f.id, f.hit, m.created, m.user_id, m.visitor, m.value
        FROM made m
        JOIN fresh f ON f.event = m.event AND (f.hit).id = m.referral_hit_id
         AND f.created = m.created
         AND f.who IS NOT DISTINCT FROM m.user_id
         AND f.visitor IS NOT DISTINCT FROM m.via
    ), logged AS (
        INSERT INTO hype.confirmed_change
            (referral_link_id, subject, known, n, value, day, args)
        SELECT c.referral_link_id,
               coalesce(hype.user_key(c.user_id), c.visitor),
               c.user_id IS NOT NULL, 1, c.value,
               hype.utc_day((c.hit).created), (c.hit).args
        FROM (SELECT m.*, (SELECT f.hit FROM fresh f
                           WHERE (f.hit).id = m.referral_hit_id LIMIT 1) AS hit
              FROM made m) AS c
    ), marks AS (
        SELECT (c.hit).id, (c.hit).node, min(c.created) AS created
        FROM credited c
        GROUP BY 1, 2
    )
    SELECT ARRAY(SELECT c.id FROM credited c
                 UNION

                 -- Of one subject, and told, earlier or the same.

                 SELECT j.id FROM judged j
                 WHERE j.olds = 1
                   AND ((j.old).user_id IS NOT NULL OR j.who IS NULL)
                   AND ((j.old).told OR (j.old).created < j.created
                        OR ((j.old).created = j.created
                            AND (j.old).referral_hit_id = (j.hit).id)))
               AS done,
           ARRAY(SELECT j.id FROM judged j
                 WHERE j.olds = 0 AND (j.hit).id IS NULL) AS waiting,
           ARRAY(SELECT k.id FROM marks k ORDER BY k.id) AS hits,
           ARRAY(SELECT k.created FROM marks k ORDER BY k.id) AS times,
           ARRAY(SELECT DISTINCT k.node FROM marks k) AS nodes
    INTO found;

    DELETE FROM hype.confirming c WHERE c.xact = pg_current_xact_id();

    IF found.hits <> '{}' THEN
        UPDATE hype.referral_hit h SET confirmed = k.created
        FROM unnest(found.hits, found.times) AS k (id, created)
        WHERE h.id = k.id AND h.id = ANY (found.hits)
          AND h.node = ANY (found.nodes)
          AND (h.confirmed IS NULL OR h.confirmed > k.created);
    END IF;

    -- As hype.confirm_pending() has some of them wait

    found.waiting := found.waiting || ARRAY(
        SELECT p.id FROM hype.pending_confirm p
        WHERE p.id = ANY (found.done)
          AND EXISTS (SELECT FROM hype.confirmed_referral c
                      WHERE c.visitor = p.visitor AND c.event = p.event
                        AND c.user_id IS NULL AND c.created < p.created));

    PERFORM hype.let_wait(found.waiting);

    DELETE FROM hype.pending_confirm p
    WHERE p.id = ANY (found.done) AND p.due IS NOT NULL;

    RETURN cardinality(found.done || found.waiting);
END
$$;

COMMENT ON FUNCTION hype.confirm_shards(bigint[]) IS
    'hype.confirm_pending() on Citus, for many: those that need no more than '
    'a new row, or nothing. Returns how many; the others are left';


CREATE OR REPLACE FUNCTION hype.give_shards(ids uuid[], created timestamptz[])
RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    owner   text;
    of_it   uuid[];
    own     bigint[];
    n       bigint;
    given   bigint := 0;
    first   timestamptz := (SELECT min(t) FROM unnest(created) AS t);
    reached timestamptz := (SELECT max(t) FROM unnest(created) AS t);
    found   record;
BEGIN
    -- Citus can't lock rows of several shards, nor join what is local in an
    -- UPDATE.

    SELECT array_agg(h.id) AS ids, array_agg(h.visitor) AS visitors,
           array_agg(DISTINCT h.node) AS nodes
    INTO found
    FROM (SELECT h.id, h.visitor, h.node FROM hype.referral_hit h
          WHERE h.id = ANY (ids) AND h.created >= first
            AND h.created <= reached) AS h;

    FOR owner, of_it IN
        SELECT c.user_id, array_agg(v.id)
        FROM unnest(found.ids, found.visitors) AS v (id, visitor)
        JOIN hype.visitor_claim c ON c.visitor = v.visitor
        GROUP BY c.user_id
    LOOP
        own := ARRAY(SELECT l.id FROM hype.referral_link l
                     WHERE l.user_id = owner);

        UPDATE hype.referral_hit h
        SET user_id = owner, void = h.bot OR h.referral_link_id = ANY (own)
        WHERE h.id = ANY (of_it) AND h.node = ANY (found.nodes)
          AND h.created >= first AND h.created <= reached;

        GET DIAGNOSTICS n = ROW_COUNT;
        given := given + n;
    END LOOP;

    RETURN given;
END
$$;

COMMENT ON FUNCTION hype.give_shards(uuid[], timestamptz[]) IS
    'hype.give_user() on Citus: waits for hits that are locked';


CREATE OR REPLACE FUNCTION hype.claim_shards(entries bigint[], max integer)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET jit = off
AS $$
DECLARE
    visitors uuid[];
    users    text[];
    own      text[];
    found    record;
BEGIN
    PERFORM hype.merge_claim(p.id)
    FROM (SELECT c.id FROM hype.pending_claim c
          WHERE c.id = ANY (entries) AND NOT c.merged
          ORDER BY c.due, c.id) AS p;

    -- Those that took the visitor from another user are left.

    entries := ARRAY(SELECT c.id FROM hype.pending_claim c
                     WHERE c.id = ANY (entries) AND c.was = '{}');

    SELECT array_agg(c.visitor), array_agg(c.user_id) INTO visitors, users
    FROM hype.visitor_claim c
    WHERE c.visitor IN (SELECT p.visitor FROM hype.pending_claim p
                        WHERE p.id = ANY (entries));

    SELECT count(*) AS n, min(h.created) AS first, max(h.created) AS reached,
           array_agg(DISTINCT h.node) AS nodes,
           array_agg(DISTINCT h.referral_link_id) AS links
    INTO found
    FROM (SELECT v.created, v.node, v.referral_link_id
          FROM hype.referral_hit v
          WHERE v.visitor = ANY (visitors) AND v.user_id IS NULL
          LIMIT max + 1) AS h;

    IF found.n > max THEN
        RAISE program_limit_exceeded;
    END IF;

    IF found.n > 0 THEN
        own := ARRAY(SELECT l.id::text || ' ' || l.user_id
                     FROM hype.referral_link l
                     WHERE l.id = ANY (found.links)
                       AND l.user_id = ANY (users));

        UPDATE hype.referral_hit h
        SET user_id = c.user_id,
            void = h.bot OR h.referral_link_id::text || ' ' || c.user_id
                            = ANY (own)
        FROM unnest(visitors, users) AS c (visitor, user_id)
        WHERE h.visitor = c.visitor AND h.node = ANY (found.nodes)
          AND h.visitor = ANY (visitors)
          AND h.created >= found.first AND h.created <= found.reached
          AND h.user_id IS NULL;
    END IF;

    PERFORM hype.adopt_confirmed(c.visitor, c.user_id)
    FROM unnest(visitors, users) AS c (visitor, user_id)
    WHERE EXISTS (SELECT FROM hype.confirmed_referral r
                  WHERE r.visitor = c.visitor AND r.user_id IS NULL);

    UPDATE hype.pending_confirm p SET claimant = c.user_id
    FROM unnest(visitors, users) AS c (visitor, user_id)
    WHERE p.visitor = c.visitor AND p.due IS NULL;

    PERFORM hype.wake_confirms(users, visitors);
    PERFORM hype.recheck(ARRAY(
        SELECT r.id
        FROM (SELECT DISTINCT unnest(users)) AS u (user_id)
        CROSS JOIN LATERAL (
            SELECT c.id FROM hype.confirmed_referral c
            WHERE c.user_id = u.user_id AND NOT c.told
            ORDER BY c.created DESC LIMIT 5000) AS r
        UNION
        SELECT r.id
        FROM unnest(visitors) AS v (visitor)
        CROSS JOIN LATERAL (
            SELECT c.id FROM hype.confirmed_referral c
            WHERE c.via = v.visitor AND NOT c.told LIMIT 5000) AS r));

    UPDATE hype.pending_claim p SET applied = true WHERE p.id = ANY (entries);
END
$$;

COMMENT ON FUNCTION hype.claim_shards(bigint[], integer) IS
    'hype.apply_claim() on Citus, for many claims whose visitors have no more '
    'than that many hits: a query of the shards takes as long as one for one';


-- Hits from the spool, or of unknown fate

CREATE OR REPLACE FUNCTION hype.node_xact(shard smallint) RETURNS text
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
SET jit = off
AS $$
DECLARE
    own integer;
BEGIN
    EXECUTE 'SELECT l.groupid FROM pg_dist_local_group l' INTO own;

    RETURN format('%s %s', own, pg_current_xact_id());
END
$$;

COMMENT ON FUNCTION hype.node_xact(smallint) IS
    'On Citus the group of this server, and the id that the transaction has '
    'here: each server that has a row of hype.shard is asked for it';


CREATE OR REPLACE FUNCTION hype.node_xacts(nodes smallint[]) RETURNS jsonb
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    states text[] := ARRAY(SELECT hype.node_xact(s.node) FROM hype.shard s);
    found  jsonb;
BEGIN
    EXECUTE $citus$
        SELECT jsonb_object_agg(v.node, x.xact)
        FROM (SELECT DISTINCT n FROM unnest($1) AS n) AS v (node)
        JOIN pg_dist_placement p
          ON p.shardid = get_shard_id_for_distribution_column(
              'hype.referral_hit', v.node)
        JOIN (SELECT split_part(s, ' ', 1)::integer AS groupid,
                     min(split_part(s, ' ', 2)) AS xact
              FROM unnest($2) AS s
              GROUP BY 1
              HAVING count(DISTINCT s) = 1) AS x ON x.groupid = p.groupid
        WHERE p.groupid = v.node & 127
    $citus$ INTO found USING nodes, states;

    RETURN coalesce(found, '{}');
END
$$;

COMMENT ON FUNCTION hype.node_xacts(smallint[]) IS
    'On Citus, of those of these nodes whose shard is on the server that they '
    'belong to: the id that this transaction has there';


CREATE OR REPLACE FUNCTION hype.replay_here(hits jsonb) RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    own      integer;
    inserted bigint;
BEGIN
    EXECUTE 'SELECT l.groupid FROM pg_dist_local_group l' INTO own;

    INSERT INTO hype.referral_hit
        (id, referral_link_id, created, authenticated, bot, visitor, user_id,
         ip, user_agent, http_referer, next, source, args, xact, node)
    SELECT h.id, h.referral_link_id, h.created, h.authenticated, h.bot,
           h.visitor, h.user_id, h.ip, h.user_agent, h.http_referer, h.next,
           h.source, h.args, pg_current_xact_id(), h.node
    FROM jsonb_populate_recordset(NULL::hype.referral_hit, hits) AS h
    WHERE h.node & 127::smallint = own
    ON CONFLICT DO NOTHING;

    GET DIAGNOSTICS inserted = ROW_COUNT;
    RETURN inserted;
END
$$;

COMMENT ON FUNCTION hype.replay_here(jsonb) IS
    'On Citus: inserts those of the hits, to whatever shards, that belong to '
    'this server';


CREATE OR REPLACE FUNCTION hype.replay_moved(hits hype.referral_hit[])
RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    inserted bigint;
    failed   text;
BEGIN
    EXECUTE $citus$
        SELECT coalesce(sum(CASE WHEN r.success THEN r.result::bigint END), 0),
               min(r.result) FILTER (WHERE NOT r.success)
        FROM pg_dist_node n
        CROSS JOIN LATERAL master_run_on_worker(
            ARRAY[n.nodename], ARRAY[n.nodeport],
            ARRAY[format('SELECT hype.replay_here(%L)', to_jsonb($1))],
            false) AS r
        WHERE n.noderole = 'primary'
          AND n.groupid IN (SELECT h.node & 127::smallint
                            FROM unnest($1) AS h)
    $citus$ INTO inserted, failed USING hits;

    IF failed IS NOT NULL THEN
        RAISE EXCEPTION 'hype.replay: on the server of a hit: %', failed;
    END IF;

    RETURN inserted;
END
$$;

COMMENT ON FUNCTION hype.replay_moved(hype.referral_hit[]) IS
    'On Citus: has each of these hits, whose shard was moved, inserted by the '
    'server that it belongs to, in transactions of their own';


CREATE OR REPLACE FUNCTION hype.replay_shards(hits hype.referral_hit[])
RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    own      smallint := hype.my_node();
    this     xid8 := pg_current_xact_id();
    ids      uuid[];
    there    uuid[];
    nodes    smallint[];
    xacts    jsonb := '{}';
    moved    smallint[] := '{}';
    replayed bigint := 0;
    first    timestamptz;
    last     timestamptz;
    inserted bigint;
BEGIN
    -- One connection a server, and so one transaction there

    PERFORM set_config('citus.max_adaptive_executor_pool_size', '1', true);

    SELECT array_agg(h.id), min(h.created), max(h.created)
    INTO ids, first, last FROM unnest(hits) AS h;

    there := ARRAY(SELECT h.id FROM hype.referral_hit h
                   WHERE h.id = ANY (ids) AND h.created >= first
                     AND h.created <= last);

    nodes := ARRAY(SELECT DISTINCT h.node FROM unnest(hits) AS h
                   WHERE h.node <> 0 AND NOT h.id = ANY (there)
                     AND (h.node & 127::smallint) <> (own & 127::smallint));

    -- All go to the node that they were sent to: there they wait for a
    -- transaction that may still write them, and later ones fail.  If its
    -- shard was moved, this transaction has no id of the node's server; if that
    -- server was removed, nothing comes of it any more.

    IF nodes <> '{}' THEN
        xacts := hype.node_xacts(nodes);

        EXECUTE $citus$
            SELECT ARRAY(
                SELECT v.node FROM unnest($1) AS v (node)
                WHERE NOT $2 ? v.node::text
                  AND EXISTS (SELECT FROM pg_dist_node n
                              WHERE n.groupid = v.node & 127))
        $citus$ INTO moved USING nodes, xacts;
    END IF;

    IF moved <> '{}' THEN
        replayed := hype.replay_moved(ARRAY(
            SELECT h FROM unnest(hits) AS h
            WHERE h.node = ANY (moved) AND NOT h.id = ANY (there)));
    END IF;

    INSERT INTO hype.referral_hit
        (id, referral_link_id, created, authenticated, bot, visitor, user_id,
         ip, user_agent, http_referer, next, source, args, xact, node)
    SELECT h.id, h.referral_link_id, h.created, h.authenticated, h.bot,
           h.visitor, h.user_id, h.ip, h.user_agent, h.http_referer, h.next,
           h.source, h.args, coalesce((xacts ->> h.node::text)::xid8, this),
           CASE WHEN h.node = 0 OR h.node = ANY (nodes)
                     AND NOT xacts ? h.node::text
           THEN own ELSE h.node END
    FROM unnest(hits) AS h
    WHERE NOT h.id = ANY (there) AND NOT h.node = ANY (moved)
    ON CONFLICT DO NOTHING;

    GET DIAGNOSTICS inserted = ROW_COUNT;

    IF xacts = '{}' THEN
        RETURN inserted + replayed;
    END IF;

    PERFORM h.id FROM hype.referral_hit h
    WHERE h.id = ANY (ids) AND NOT h.id = ANY (there)
      AND h.created >= first AND h.created <= last
      AND h.node = ANY (nodes)
      AND h.xact::text = ANY (ARRAY(
              SELECT x FROM jsonb_each_text(xacts) AS e (n, x)))
      AND h.xmin::text::bigint <> h.xact::text::numeric % 4294967296;

    IF FOUND THEN
        RAISE EXCEPTION 'hype.replay: the shard of a hit was moved meanwhile'
            USING ERRCODE = 'serialization_failure';
    END IF;

    RETURN inserted + replayed;
END
$$;

COMMENT ON FUNCTION hype.replay_shards(hype.referral_hit[]) IS
    'hype.replay() on Citus: a hit may be in any shard';


-- Upkeep

CREATE OR REPLACE FUNCTION hype.prune_shards(expired timestamptz)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    p record;
BEGIN
    FOR p IN SELECT f.node, f.done FROM hype.read_from('roll_up') AS f LOOP
        DELETE FROM hype.referral_hit_default h
        WHERE h.created < expired AND h.node & 127::smallint = p.node
          AND (h.xact IS NULL OR pg_visible_in_snapshot(h.xact, p.done));
    END LOOP;
END
$$;

COMMENT ON FUNCTION hype.prune_shards(timestamptz) IS
    'On Citus: what hype.tidy_up() does with the hits of the default partition';


-- Roll-ups

CREATE OR REPLACE FUNCTION hype.referred_visitors(
    referral hype.confirmed_referral
)
RETURNS uuid[]
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET jit = off
SET plan_cache_mode = force_generic_plan
AS $$
BEGIN
    RETURN ARRAY(
        SELECT v.visitor
        FROM (SELECT unnest(ARRAY[referral.visitor, referral.via])
              UNION
              SELECT h.visitor FROM hype.referral_hit h
              WHERE h.id = referral.referral_hit_id) AS v (visitor)
        WHERE v.visitor IS NOT NULL
          AND NOT EXISTS (SELECT FROM hype.visitor_claim c
                          WHERE c.visitor = v.visitor
                            AND c.user_id <> referral.user_id));
END
$$;

COMMENT ON FUNCTION hype.referred_visitors(hype.confirmed_referral) IS
    'The visitors that a confirmed referral is about';


CREATE OR REPLACE FUNCTION hype.log_confirmed() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    hit   hype.referral_hit;
    moves boolean := true;
BEGIN
    -- A pay-out may set "told" of many.

    IF TG_OP = 'UPDATE' THEN
        moves := (NEW.referral_hit_id, NEW.referral_link_id, NEW.user_id,
                  NEW.visitor, NEW.value, NEW.revoked)
                 IS DISTINCT FROM
                 (OLD.referral_hit_id, OLD.referral_link_id, OLD.user_id,
                  OLD.visitor, OLD.value, OLD.revoked);
    END IF;

    IF TG_OP <> 'INSERT' AND OLD.revoked IS NULL AND moves THEN
        hit := hype.find_hit(OLD.referral_hit_id);

        INSERT INTO hype.confirmed_change
            (referral_link_id, subject, known, n, value, day, args)
        VALUES (OLD.referral_link_id,
                coalesce(hype.user_key(OLD.user_id), OLD.visitor),
                OLD.user_id IS NOT NULL, -1, -OLD.value,
                hype.utc_day(hit.created), hit.args);
    END IF;

    -- What is deleted by hand may be told again; who says by hand that an
    -- application knows has told it.

    IF TG_OP = 'DELETE' AND OLD.told THEN
        DELETE FROM hype.told_visitor t
        WHERE t.event = OLD.event
          AND t.visitor = ANY (hype.referred_visitors(OLD));

    ELSIF TG_OP = 'UPDATE' AND NEW.told AND NOT OLD.told
          AND current_setting('hype.erasing', true) IS DISTINCT FROM 'on'
    THEN
        INSERT INTO hype.told_visitor (visitor, event)
        SELECT v, NEW.event FROM unnest(hype.referred_visitors(NEW)) AS v
        ON CONFLICT DO NOTHING;
    END IF;

    -- hype.confirm_shards() writes this itself.

    IF TG_OP = 'INSERT' AND to_regclass('hype.confirming') IS NOT NULL THEN
        IF EXISTS (SELECT FROM hype.confirming c
                   WHERE c.xact = pg_current_xact_id())
        THEN
            RETURN NULL;
        END IF;
    END IF;

    IF TG_OP <> 'DELETE' AND NEW.revoked IS NULL AND moves THEN
        hit := hype.find_hit(NEW.referral_hit_id);

        INSERT INTO hype.confirmed_change
            (referral_link_id, subject, known, n, value, day, args)
        VALUES (NEW.referral_link_id,
                coalesce(hype.user_key(NEW.user_id), NEW.visitor),
                NEW.user_id IS NOT NULL, 1, NEW.value,
                hype.utc_day(hit.created), hit.args);
    END IF;

    RETURN NULL;
END
$$;

COMMENT ON FUNCTION hype.log_confirmed() IS
    'Trigger: has the roll-ups and told_visitor follow confirmed_referral; '
    'what is revoked does not count';

\if :hype_new_trigger

CREATE OR REPLACE TRIGGER confirmed_referral_log
    AFTER INSERT OR DELETE
        OR UPDATE OF referral_hit_id, referral_link_id, user_id, visitor, value,
                     told, revoked
    ON hype.confirmed_referral
    FOR EACH ROW EXECUTE FUNCTION hype.log_confirmed();

\endif

COMMENT ON TRIGGER confirmed_referral_log ON hype.confirmed_referral IS
    'Has the roll-ups follow';


CREATE OR REPLACE FUNCTION hype.forget_confirmed() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    UPDATE hype.hit_origin o SET confirmed = 0 WHERE o.confirmed <> 0;
    UPDATE hype.confirmed_change c SET args = NULL WHERE c.args IS NOT NULL;

    -- All that was ever logged and is counted, or is about to be, once again
    -- with the other sign.

    INSERT INTO hype.confirmed_change
        (referral_link_id, subject, known, n, value)
    SELECT c.referral_link_id, c.subject, c.known, -sum(c.n), NULL
    FROM (SELECT l.referral_link_id, l.subject, l.known, l.n
          FROM hype.link_confirmed l
          WHERE l.referral_link_id <> hype.site()
          UNION ALL
          SELECT d.referral_link_id, d.subject, d.known, d.n
          FROM hype.confirmed_change d) AS c
    GROUP BY c.referral_link_id, c.subject, c.known
    HAVING sum(c.n) <> 0
    UNION ALL
    SELECT v.referral_link_id, '00000000-0000-0000-0000-000000000000', false,
           0, -sum(v.value)
    FROM (SELECT t.referral_link_id, t.value FROM hype.link_total t
          WHERE t.referral_link_id <> hype.site()
          UNION ALL
          SELECT d.referral_link_id, d.value
          FROM hype.confirmed_change d) AS v
    GROUP BY v.referral_link_id
    HAVING sum(v.value) <> 0;

    DELETE FROM hype.told_visitor;

    RETURN NULL;
END
$$;

COMMENT ON FUNCTION hype.forget_confirmed() IS
    'Trigger: has the roll-ups forget confirmed referrals that were truncated';

\if :hype_new_truncated

CREATE OR REPLACE TRIGGER confirmed_referral_truncated
    AFTER TRUNCATE ON hype.confirmed_referral
    FOR EACH STATEMENT EXECUTE FUNCTION hype.forget_confirmed();

\endif

COMMENT ON TRIGGER confirmed_referral_truncated ON hype.confirmed_referral IS
    'Has the roll-ups follow';


CREATE OR REPLACE FUNCTION hype.forget_hits() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    since timestamptz := '-infinity';
BEGIN
    IF TG_OP = 'DELETE' THEN

        -- Totals outlive what hype.erase() deletes.

        IF current_setting('hype.keep_totals', true) = 'on' THEN
            RETURN NULL;
        END IF;

        SELECT min(d.created) INTO since FROM deleted_hits d;

        IF since IS NULL THEN
            RETURN NULL;
        END IF;

        IF (SELECT sum(q.hits + q.bots) FROM hype.hit_quarter q
            WHERE q.referral_link_id = hype.site()
              AND q.day >= (since AT TIME ZONE 'UTC')::date) > 100000
        THEN
            RAISE NOTICE 'the reports still count the hits that were deleted'
                USING HINT = format('SELECT hype.roll_up(%L);', since);
            RETURN NULL;
        END IF;
    END IF;

    PERFORM hype.lock_log('roll_up', true);

    IF TG_OP = 'TRUNCATE' THEN
        UPDATE hype.log_position l SET pruned = '-infinity'
        WHERE l.name = 'roll_up';
    END IF;

    PERFORM hype.count_hits(0, hype.uncount(since));

    RETURN NULL;
END
$$;

COMMENT ON FUNCTION hype.forget_hits() IS
    'Trigger: has the roll-ups forget hits that were truncated, or deleted if '
    'counting again takes no more than a moment';

\if :hype_new

CREATE TRIGGER referral_hit_truncated
    AFTER TRUNCATE ON hype.referral_hit
    FOR EACH STATEMENT EXECUTE FUNCTION hype.forget_hits();

CREATE TRIGGER referral_hit_deleted
    AFTER DELETE ON hype.referral_hit
    REFERENCING OLD TABLE AS deleted_hits
    FOR EACH STATEMENT EXECUTE FUNCTION hype.forget_hits();

\endif

-- Citus can't have them.

SELECT format('COMMENT ON TRIGGER %I ON hype.referral_hit IS %L',
              t.tgname, c.comment)
FROM pg_trigger t
JOIN (VALUES
    ('referral_hit_truncated', 'Empties the roll-ups, too'),
    ('referral_hit_deleted', 'Has the roll-ups follow who deletes hits by '
     'hand; those who insert them are followed anyway')) AS c (name, comment)
  ON c.name = t.tgname
WHERE t.tgrelid = 'hype.referral_hit'::regclass \gexec


CREATE OR REPLACE FUNCTION hype.hits_to_count(max bigint, since timestamptz)
RETURNS SETOF hype.referral_hit
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    p hype.log_position;
BEGIN
    IF since IS NULL THEN
        RETURN QUERY SELECT h.* FROM hype.read_log('roll_up', max) h;
        RETURN;
    END IF;

    IF hype.distributed() THEN
        RETURN QUERY SELECT h.* FROM hype.rolled_shards(since) AS h;
        RETURN;
    END IF;

    SELECT l.* INTO p FROM hype.log_position l WHERE l.name = 'roll_up';

    RETURN QUERY
        SELECT h.* FROM hype.referral_hit h
        WHERE h.created >= since AND isfinite(h.created)
          AND CASE WHEN h.xact IS NULL
              THEN p.backfill IS NULL OR h.id <= p.backfill
              ELSE pg_visible_in_snapshot(h.xact, p.done)
                   OR (p.target IS NOT NULL AND p.id IS NOT NULL
                       AND pg_visible_in_snapshot(h.xact, p.target)
                       AND (h.xact, h.id) <= (p.xact, p.id)) END;
END
$$;

COMMENT ON FUNCTION hype.hits_to_count(bigint, timestamptz) IS
    'The next hits for the roll-ups; or, with since, those from then on that '
    'have been read already';


CREATE OR REPLACE FUNCTION hype.visits_around(
    subject uuid, known boolean, link bigint, quarter bigint
)
RETURNS TABLE (before bigint, after bigint)
LANGUAGE sql STABLE
BEGIN ATOMIC
    -- Few come late: the last visit is the one before.

    SELECT b.quarter, a.quarter
    FROM (SELECT max(v.quarter) AS quarter FROM hype.visit v
          WHERE v.subject = visits_around.subject
            AND v.known = visits_around.known
            AND v.referral_link_id = visits_around.link) AS m
    CROSS JOIN LATERAL (
        SELECT CASE WHEN m.quarter > visits_around.quarter THEN (
                   SELECT max(v.quarter) FROM hype.visit v
                   WHERE v.subject = visits_around.subject
                     AND v.known = visits_around.known
                     AND v.referral_link_id = visits_around.link
                     AND v.quarter <= visits_around.quarter)
               ELSE m.quarter END AS quarter
    ) AS b
    CROSS JOIN LATERAL (
        SELECT CASE WHEN m.quarter > visits_around.quarter THEN (
                   SELECT min(v.quarter) FROM hype.visit v
                   WHERE v.subject = visits_around.subject
                     AND v.known = visits_around.known
                     AND v.referral_link_id = visits_around.link
                     AND v.quarter > visits_around.quarter)
               END AS quarter
    ) AS a;
END;

COMMENT ON FUNCTION hype.visits_around(uuid, boolean, bigint, bigint) IS
    'The last visit up to that quarter, and the first one after it. The '
    'planner makes it part of its statement, as it has no SET';


CREATE OR REPLACE FUNCTION hype.count_hits(
    max bigint, since timestamptz DEFAULT NULL
)
RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET jit = off
SET plan_cache_mode = force_generic_plan
AS $$
DECLARE
    n bigint;
BEGIN
    -- One statement, as the hits are read once, and may be any number: they
    -- would have to be copied for each other one.

    WITH log AS MATERIALIZED (
        SELECT h.* FROM hype.hits_to_count(max, since) h
    ),

    -- What comes of who was erased is left out.

    erased AS MATERIALIZED (
        SELECT e.id
        FROM (SELECT array_agg(l.id) AS ids,
                     hype.are_erased(array_agg(l.visitor), array_agg(l.user_id),
                                     array_agg(l.created)) AS erased
              FROM log l
              WHERE EXISTS (SELECT FROM hype.erased)) AS a
        CROSS JOIN unnest(a.ids, a.erased) AS e (id, erased)
        WHERE e.erased
    ),
    hits AS MATERIALIZED (
        SELECT h.referral_link_id AS link, h.created, h.bot, h.source,
               CASE WHEN isfinite(h.created)
                    THEN hype.quarter(h.created) END AS quarter,
               CASE WHEN NOT h.bot
                    THEN hype.hit_subject(h.visitor, h.user_id) END AS subject,
               h.visitor IS NULL AS known,
               CASE WHEN NOT h.bot
                    THEN coalesce(h.user_id, (
                        SELECT c.user_id FROM hype.visitor_claim c
                        WHERE c.visitor = h.visitor)) END AS user_id,
               h.http_referer, h.next, h.args
        FROM log h
        WHERE NOT h.id = ANY (ARRAY(SELECT e.id FROM erased e))
    ),

    -- Each visitor once a quarter: of a link, and of the site.

    seen AS (
        SELECT DISTINCT s.link, h.subject, h.known, h.quarter
        FROM hits h
        CROSS JOIN LATERAL (VALUES (h.link), (hype.site())) AS s (link)
        WHERE h.subject IS NOT NULL AND h.quarter IS NOT NULL
    ),
    fresh AS MATERIALIZED (
        SELECT s.*, a.before, a.after,
               lag(s.quarter) OVER w AS previous,
               lead(s.quarter) OVER w AS following
        FROM seen s
        CROSS JOIN LATERAL hype.visits_around(s.subject, s.known, s.link,
                                              s.quarter) AS a
        WHERE a.before IS DISTINCT FROM s.quarter
        WINDOW w AS (PARTITION BY s.link, s.subject, s.known
                     ORDER BY s.quarter)
    ),
    visits AS (
        INSERT INTO hype.visit (subject, known, referral_link_id, quarter)
        SELECT f.subject, f.known, f.link, f.quarter FROM fresh f
    ),

    -- Who comes between two visits that are there gives the later one another
    -- gap.

    gaps AS (
        SELECT f.link, f.quarter,
               f.quarter - greatest(f.before, f.previous) AS gap, 1 AS n
        FROM fresh f
        UNION ALL
        SELECT f.link, f.after, g.gap, g.n
        FROM fresh f
        CROSS JOIN LATERAL (VALUES (f.after - f.before, -1),
                                   (f.after - f.quarter, 1)) AS g (gap, n)
        WHERE f.after IS NOT NULL
          AND (f.following IS NULL OR f.following > f.after)
    ),
    counts AS (
        SELECT s.link, h.quarter,
               count(*) FILTER (WHERE NOT h.bot) AS hits,
               count(*) FILTER (WHERE h.bot) AS bots, 0 AS visitors,
               count(*) FILTER (WHERE NOT h.bot AND h.source = 'code') AS codes
        FROM hits h
        CROSS JOIN LATERAL (VALUES (h.link), (hype.site())) AS s (link)
        WHERE h.quarter IS NOT NULL
        GROUP BY s.link, h.quarter
        UNION ALL
        SELECT f.link, f.quarter, 0, 0, 1, 0
        FROM fresh f
    ),
    quarters AS (
        INSERT INTO hype.hit_quarter AS q
            (referral_link_id, quarter, day, hits, bots, unique_visitors,
             codes)
        SELECT c.link, c.quarter,
               hype.utc_day(hype.quarter_start(c.quarter)),
               sum(c.hits), sum(c.bots), sum(c.visitors), sum(c.codes)
        FROM counts c
        GROUP BY c.link, c.quarter
        ORDER BY c.link, c.quarter
        ON CONFLICT (referral_link_id, quarter) DO UPDATE
        SET hits = q.hits + excluded.hits,
            bots = q.bots + excluded.bots,
            unique_visitors = q.unique_visitors + excluded.unique_visitors,
            codes = q.codes + excluded.codes
    ),
    returns AS (
        INSERT INTO hype.hit_return AS r
            (referral_link_id, quarter, gap, day, visitors)
        SELECT g.link, g.quarter, g.gap,
               hype.utc_day(hype.quarter_start(g.quarter)),
               sum(g.n)
        FROM gaps g
        WHERE g.gap BETWEEN 1 AND 3072     -- 32 days, a month in any time zone
        GROUP BY g.link, g.quarter, g.gap
        ORDER BY g.link, g.quarter, g.gap
        ON CONFLICT (referral_link_id, quarter, gap) DO UPDATE
        SET visitors = r.visitors + excluded.visitors
    ),

    users AS (
        SELECT s.link, h.user_id,
               min(coalesce(h.quarter, 0)) AS quarter
        FROM hits h
        CROSS JOIN LATERAL (VALUES (h.link), (hype.site())) AS s (link)
        WHERE h.user_id IS NOT NULL
        GROUP BY s.link, h.user_id
    ),
    new_users AS (
        INSERT INTO hype.link_user (user_id, referral_link_id, quarter)
        SELECT u.user_id, u.link, u.quarter FROM users u
        ON CONFLICT DO NOTHING
        RETURNING referral_link_id AS link
    ),
    earlier_users AS (
        UPDATE hype.link_user l SET quarter = u.quarter
        FROM users u
        WHERE l.user_id = u.user_id AND l.referral_link_id = u.link
          AND l.quarter > u.quarter
    ),

    -- Many hits have the same: a regular expression takes its time.

    origins AS (
        SELECT g.day, d.dimension, d.value, sum(g.n)::bigint AS hits
        FROM (SELECT hype.utc_day(h.created) AS day,
                     h.http_referer, h.next, count(*) AS n
              FROM hits h
              WHERE NOT h.bot AND h.quarter IS NOT NULL
              GROUP BY 1, 2, 3) AS g
        CROSS JOIN LATERAL (
            VALUES ('referer' COLLATE "C",
                    hype.referer_host(g.http_referer) COLLATE "C"),
                   ('next', hype.next_path(g.next) COLLATE "C"))
            AS d (dimension, value)
        WHERE d.value IS NOT NULL
        GROUP BY 1, 2, 3
        UNION ALL
        SELECT g.day, ('arg:' || d.name) COLLATE "C", d.value COLLATE "C",
               sum(g.n)::bigint
        FROM (SELECT hype.utc_day(h.created) AS day, h.args,
                     count(*) AS n
              FROM hits h
              WHERE NOT h.bot AND h.quarter IS NOT NULL AND h.args IS NOT NULL
              GROUP BY 1, 2) AS g
        CROSS JOIN LATERAL hype.counted_args(g.args) AS d
        GROUP BY 1, 2, 3
    ),

    -- What is not materialized would be counted for each value.

    rooms AS MATERIALIZED (
        SELECT g.day, g.dimension,
               1000 - (SELECT count(*) FROM hype.hit_origin k
                       WHERE k.day = g.day AND k.dimension = g.dimension)
                   AS room
        FROM (SELECT DISTINCT o.day, o.dimension FROM origins o) AS g
    ),
    bounded_origins AS (
        SELECT o.day, o.dimension, o.hits,
               CASE WHEN k.value IS NOT NULL
                         OR row_number() OVER (
                             PARTITION BY o.day, o.dimension, k.value IS NULL
                             ORDER BY o.hits DESC, o.value) <= r.room
                    THEN o.value ELSE '' END AS value
        FROM origins o
        JOIN rooms r ON r.day = o.day AND r.dimension = o.dimension
        LEFT JOIN hype.hit_origin k
               ON k.day = o.day AND k.dimension = o.dimension
              AND k.value = o.value
    ),
    new_origins AS (
        INSERT INTO hype.hit_origin AS k (day, dimension, value, hits)
        SELECT o.day, o.dimension, o.value, sum(o.hits)
        FROM bounded_origins o
        GROUP BY o.day, o.dimension, o.value
        ON CONFLICT (dimension, day, value) DO UPDATE
        SET hits = k.hits + excluded.hits
    ),

    totals AS (
        SELECT s.link,
               count(*) FILTER (WHERE NOT h.bot) AS hits,
               count(*) FILTER (WHERE h.bot) AS bots,
               min(h.created) FILTER (WHERE NOT h.bot) AS first_hit,
               max(h.created) FILTER (WHERE NOT h.bot) AS last_hit,
               count(*) FILTER (WHERE NOT h.bot AND h.source = 'code') AS codes
        FROM hits h
        CROSS JOIN LATERAL (VALUES (h.link), (hype.site())) AS s (link)
        GROUP BY s.link
    ),
    new_totals AS (
        INSERT INTO hype.link_total AS l
            (referral_link_id, hits, bots, unique_visitors, linked_users,
             first_hit, last_hit, codes)
        SELECT t.link, t.hits, t.bots, coalesce(v.n, 0), coalesce(u.n, 0),
               t.first_hit, t.last_hit, t.codes
        FROM totals t
        LEFT JOIN (SELECT f.link, count(*) AS n FROM fresh f
                   WHERE f.before IS NULL AND f.after IS NULL
                     AND f.previous IS NULL
                   GROUP BY f.link) AS v ON v.link = t.link
        LEFT JOIN (SELECT w.link, count(*) AS n FROM new_users w
                   GROUP BY w.link) AS u ON u.link = t.link
        ORDER BY t.link
        ON CONFLICT (referral_link_id) DO UPDATE
        SET hits = l.hits + excluded.hits,
            bots = l.bots + excluded.bots,
            unique_visitors = l.unique_visitors + excluded.unique_visitors,
            linked_users = l.linked_users + excluded.linked_users,
            first_hit = least(l.first_hit, excluded.first_hit),
            last_hit = greatest(l.last_hit, excluded.last_hit),
            codes = l.codes + excluded.codes
    )
    SELECT count(*) INTO n FROM log;

    RETURN n;
END
$$;

COMMENT ON FUNCTION hype.count_hits(bigint, timestamptz) IS
    'Adds the next hits to the roll-ups; returns their number';


CREATE OR REPLACE FUNCTION hype.gone_users(users text[])
RETURNS SETOF hype.link_user
LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT l.*
    FROM hype.link_user l
    WHERE l.user_id = ANY (users)
      AND NOT EXISTS (
          SELECT FROM hype.visitor_claim c
          JOIN hype.visit v ON v.subject = c.visitor AND NOT v.known
          WHERE c.user_id = l.user_id
            AND v.referral_link_id = l.referral_link_id)
      AND NOT EXISTS (
          SELECT FROM hype.visit v
          WHERE v.subject = hype.user_key(l.user_id) AND v.known
            AND v.referral_link_id = l.referral_link_id);
END;

COMMENT ON FUNCTION hype.gone_users(text[]) IS
    'Rows of link_user of users whose later claim an earlier one has replaced, '
    'and who have no hit of the link any more';


CREATE OR REPLACE FUNCTION hype.count_claims(max integer) RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET jit = off
SET plan_cache_mode = force_generic_plan
AS $$
DECLARE
    n        bigint;
    visitors uuid[];
    were     text[];
BEGIN
    WITH done AS (
        DELETE FROM hype.pending_claim p
        WHERE p.id IN (SELECT q.id FROM hype.pending_claim q
                       WHERE q.applied ORDER BY q.id LIMIT max)
        RETURNING p.visitor, p.was
    )
    SELECT count(*), array_agg(DISTINCT d.visitor),
           array_agg(DISTINCT w.user_id) FILTER (WHERE w.user_id IS NOT NULL)
    INTO n, visitors, were
    FROM done d LEFT JOIN LATERAL unnest(d.was) AS w (user_id) ON true;

    IF n = 0 THEN
        RETURN 0;
    END IF;

    WITH users AS (
        SELECT c.user_id, v.referral_link_id AS link,
               min(v.quarter) AS quarter
        FROM hype.visit v
        JOIN hype.visitor_claim c ON c.visitor = v.subject
        WHERE v.subject = ANY (visitors) AND NOT v.known
        GROUP BY c.user_id, v.referral_link_id
    ), new_users AS (
        INSERT INTO hype.link_user (user_id, referral_link_id, quarter)
        SELECT u.user_id, u.link, u.quarter FROM users u
        ON CONFLICT DO NOTHING
        RETURNING referral_link_id AS link
    ), earlier_users AS (
        UPDATE hype.link_user l SET quarter = u.quarter
        FROM users u
        WHERE l.user_id = u.user_id AND l.referral_link_id = u.link
          AND l.quarter > u.quarter
    )
    UPDATE hype.link_total t SET linked_users = t.linked_users + u.n
    FROM (SELECT w.link, count(*) AS n FROM new_users w GROUP BY w.link) AS u
    WHERE t.referral_link_id = u.link;

    WITH gone AS (
        DELETE FROM hype.link_user l USING hype.gone_users(were) g
        WHERE l.user_id = g.user_id
          AND l.referral_link_id = g.referral_link_id
        RETURNING l.referral_link_id AS link
    )
    UPDATE hype.link_total t SET linked_users = t.linked_users - g.n
    FROM (SELECT w.link, count(*) AS n FROM gone w GROUP BY w.link) AS g
    WHERE t.referral_link_id = g.link;

    RETURN n;
END
$$;

COMMENT ON FUNCTION hype.count_claims(integer) IS
    'Has the roll-ups follow some of the claims that are applied; returns '
    'their number';


CREATE OR REPLACE FUNCTION hype.count_confirmed(max integer) RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET jit = off
SET plan_cache_mode = force_generic_plan
AS $$
DECLARE
    n bigint;
BEGIN
    WITH changes AS (
        DELETE FROM hype.confirmed_change c
        WHERE c.id IN (SELECT d.id FROM hype.confirmed_change d
                       ORDER BY d.id LIMIT max)
        RETURNING c.*
    ), both_levels AS (
        SELECT s.link, c.subject, c.known, sum(c.n) AS n,
               sum(c.value) AS value
        FROM changes c
        CROSS JOIN LATERAL (VALUES (c.referral_link_id), (hype.site()))
            AS s (link)
        GROUP BY s.link, c.subject, c.known
    ), compared AS (
        SELECT b.*, coalesce(o.n, 0) AS before
        FROM both_levels b
        LEFT JOIN hype.link_confirmed o
               ON o.referral_link_id = b.link AND o.subject = b.subject
              AND o.known = b.known
    ), subjects AS (
        INSERT INTO hype.link_confirmed AS l
            (referral_link_id, subject, known, n)
        SELECT c.link, c.subject, c.known, c.n FROM compared c
        ON CONFLICT (referral_link_id, subject, known) DO UPDATE
        SET n = l.n + excluded.n
    ), totals AS (
        INSERT INTO hype.link_total AS t
            (referral_link_id, confirmed, confirmations, value)
        SELECT c.link,
               sum((c.before + c.n > 0)::integer - (c.before > 0)::integer),
               sum(c.n), sum(c.value)
        FROM compared c
        GROUP BY c.link
        ON CONFLICT (referral_link_id) DO UPDATE
        SET confirmed = t.confirmed + excluded.confirmed,
            confirmations = t.confirmations + excluded.confirmations,
            value = CASE WHEN t.value IS NULL THEN excluded.value
                    ELSE t.value + coalesce(excluded.value, 0) END
    ),

    -- Where the hits of a value are added up as "", so are these.

    args AS (
        SELECT c.day, ('arg:' || a.name) COLLATE "C" AS dimension,
               a.value COLLATE "C" AS value, sum(c.n) AS n
        FROM changes c
        CROSS JOIN LATERAL hype.counted_args(c.args) AS a
        WHERE c.args IS NOT NULL AND isfinite(c.day)
        GROUP BY 1, 2, 3
        HAVING sum(c.n) <> 0
    ), taken AS MATERIALIZED (
        SELECT g.day, g.dimension,
               (SELECT count(*) FROM hype.hit_origin o
                WHERE o.day = g.day AND o.dimension = g.dimension) AS n
        FROM (SELECT DISTINCT a.day, a.dimension FROM args a) AS g
    ), new_args AS (
        INSERT INTO hype.hit_origin AS k
            (day, dimension, value, hits, confirmed)
        SELECT b.day, b.dimension, b.value, 0, sum(b.n)
        FROM (SELECT a.day, a.dimension, a.n,
                     CASE WHEN t.n < 1000 OR EXISTS (
                              SELECT FROM hype.hit_origin o
                              WHERE o.dimension = a.dimension
                                AND o.day = a.day AND o.value = a.value)
                     THEN a.value ELSE '' END AS value
              FROM args a
              JOIN taken t ON t.day = a.day AND t.dimension = a.dimension) AS b
        GROUP BY b.day, b.dimension, b.value
        ON CONFLICT (dimension, day, value) DO UPDATE
        SET confirmed = k.confirmed + excluded.confirmed
    )
    SELECT count(*) INTO n FROM changes;

    RETURN n;
END
$$;

COMMENT ON FUNCTION hype.count_confirmed(integer) IS
    'Has the roll-ups follow some of the changes of confirmed_referral; '
    'returns their number';


CREATE OR REPLACE FUNCTION hype.count_rewards(max integer) RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
SET jit = off
SET plan_cache_mode = force_generic_plan
AS $$
DECLARE
    p       hype.reward_position;
    n       bigint;
    matured bigint;
BEGIN
    -- hype.erase() may be at work.

    SELECT l.* INTO p FROM hype.reward_position l FOR UPDATE SKIP LOCKED;

    IF NOT FOUND THEN
        INSERT INTO hype.reward_position DEFAULT VALUES
        ON CONFLICT DO NOTHING RETURNING * INTO p;

        IF NOT FOUND THEN
            RETURN 0;
        END IF;
    END IF;

    WITH taken AS (
        DELETE FROM hype.reward_change c
        WHERE (c.beneficiary, c.currency, c.reward_id) IN (
            SELECT d.beneficiary, d.currency, d.reward_id
            FROM hype.reward_change d
            ORDER BY d.beneficiary, d.currency, d.reward_id LIMIT max)
        RETURNING c.beneficiary, c.currency, c.amount, c.paid,
                  c.paid OR (c.available_at, c.reward_id)
                            <= (p.available_at, p.reward_id) AS due
    ), totals AS (
        INSERT INTO hype.reward_total AS t
            (beneficiary, currency, entries, amount, due_entries, due, paid)
        SELECT t.beneficiary, t.currency, count(*), sum(t.amount),
               count(*) FILTER (WHERE t.due),
               coalesce(sum(t.amount) FILTER (WHERE t.due), 0),
               coalesce(sum(-t.amount) FILTER (WHERE t.paid), 0)
        FROM taken t
        GROUP BY t.beneficiary, t.currency
        ON CONFLICT (beneficiary, currency) DO UPDATE
        SET entries = t.entries + excluded.entries,
            amount = t.amount + excluded.amount,
            due_entries = t.due_entries + excluded.due_entries,
            due = t.due + excluded.due,
            paid = t.paid + excluded.paid
    )
    SELECT count(*) INTO n FROM taken;

    -- What has become available; of what comes later it is known when it comes.

    WITH due AS MATERIALIZED (
        SELECT r.id, r.kind, r.beneficiary, r.currency, r.amount,
               r.available_at
        FROM hype.reward r
        WHERE (r.available_at, r.id) > (p.available_at, p.reward_id)
          AND r.available_at <= now()
        ORDER BY r.available_at, r.id LIMIT max
    ), totals AS (
        UPDATE hype.reward_total t
        SET due_entries = t.due_entries + s.n, due = t.due + s.amount
        FROM (SELECT d.beneficiary, d.currency, count(*) AS n,
                     sum(d.amount) AS amount
              FROM due d
              WHERE d.kind <> 'paid'
                AND NOT EXISTS (
                    SELECT FROM hype.reward_change c
                    WHERE c.beneficiary = d.beneficiary
                      AND c.currency = d.currency AND c.reward_id = d.id)
              GROUP BY d.beneficiary, d.currency) AS s
        WHERE t.beneficiary = s.beneficiary AND t.currency = s.currency
    ), moved AS (
        UPDATE hype.reward_position l
        SET available_at = d.available_at, reward_id = d.id
        FROM (SELECT e.available_at, e.id FROM due e
              ORDER BY e.available_at DESC, e.id DESC LIMIT 1) AS d
    )
    SELECT count(*) INTO matured FROM due;

    -- Who has an older snapshot and changes totals is to fail.

    IF n > 0 AND matured = 0 THEN
        UPDATE hype.reward_position l SET reward_id = l.reward_id;
    END IF;

    RETURN n + matured;
END
$$;

COMMENT ON FUNCTION hype.count_rewards(integer) IS
    'Has the totals of balances follow some entries of the ledger, and some '
    'that have become available; returns their number';


CREATE OR REPLACE FUNCTION hype.uncount(since timestamptz)
RETURNS timestamptz
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET timezone = 'UTC'
AS $$
DECLARE
    from_time timestamptz;
    from_day  date;
    from_q    bigint;
BEGIN
    SELECT date_trunc('day', greatest(since, l.pruned)) INTO from_time
    FROM hype.log_position l WHERE l.name = 'roll_up';

    from_day := from_time::date;
    from_q := CASE from_time
              WHEN '-infinity' THEN -9223372036854775808
              WHEN 'infinity' THEN 9223372036854775807
              ELSE hype.day_quarter(from_day) END;

    DELETE FROM hype.hit_return r WHERE r.day >= from_day;

    WITH gone AS (
        DELETE FROM hype.hit_quarter q WHERE q.day >= from_day
        RETURNING q.*
    )
    UPDATE hype.link_total t
    SET hits = t.hits - g.hits, bots = t.bots - g.bots,
        codes = t.codes - g.codes,
        first_hit = CASE WHEN t.first_hit < from_time THEN t.first_hit END,
        last_hit = CASE WHEN t.first_hit < from_time THEN (
            SELECT hype.quarter_start(max(q.quarter)) FROM hype.hit_quarter q
            WHERE q.referral_link_id = g.referral_link_id
              AND q.quarter < from_q AND q.hits > 0) END
    FROM (SELECT d.referral_link_id, sum(d.hits) AS hits, sum(d.bots) AS bots,
                 sum(d.codes) AS codes
          FROM gone d GROUP BY d.referral_link_id) AS g
    WHERE t.referral_link_id = g.referral_link_id;

    WITH gone AS (
        DELETE FROM hype.visit v WHERE v.quarter >= from_q
        RETURNING v.*
    )
    UPDATE hype.link_total t
    SET unique_visitors = t.unique_visitors - g.n
    FROM (SELECT d.referral_link_id, count(*) AS n
          FROM (SELECT DISTINCT e.subject, e.known, e.referral_link_id
                FROM gone e) AS d
          WHERE NOT EXISTS (
              SELECT FROM hype.visit v
              WHERE v.subject = d.subject AND v.known = d.known
                AND v.referral_link_id = d.referral_link_id
                AND v.quarter < from_q)
          GROUP BY d.referral_link_id) AS g
    WHERE t.referral_link_id = g.referral_link_id;

    WITH gone AS (
        DELETE FROM hype.link_user l WHERE l.quarter >= from_q
        RETURNING l.referral_link_id
    )
    UPDATE hype.link_total t SET linked_users = t.linked_users - g.n
    FROM (SELECT d.referral_link_id, count(*) AS n
          FROM gone d GROUP BY d.referral_link_id) AS g
    WHERE t.referral_link_id = g.referral_link_id;

    DELETE FROM hype.hit_origin o WHERE o.day >= from_day AND o.confirmed = 0;
    UPDATE hype.hit_origin o SET hits = 0 WHERE o.day >= from_day;

    RETURN from_time;
END
$$;

COMMENT ON FUNCTION hype.uncount(timestamptz) IS
    'Takes the hits of that day of UTC and later out of the roll-ups, but not '
    'those that were pruned; returns from when on';


CREATE OR REPLACE FUNCTION hype.roll_up(since timestamptz DEFAULT NULL)
RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    n     bigint;
    total bigint := 0;
BEGIN
    IF since IS NOT NULL
       AND NOT pg_has_role(session_user, current_user, 'MEMBER')
    THEN
        RAISE EXCEPTION 'hype.roll_up: only "%" may count again', current_user
            USING ERRCODE = 'insufficient_privilege';
    END IF;

    PERFORM hype.lock_log('roll_up', true);

    WHILE hype.rebase_step() LOOP
    END LOOP;

    IF since IS NOT NULL THEN
        total := hype.count_hits(0, hype.uncount(since));
    END IF;

    -- Each round leaves dead rows of the totals, which no other can reuse before
    -- this transaction has ended.

    LOOP
        n := hype.count_hits(1000000);
        total := total + n;
        EXIT WHEN n = 0;
    END LOOP;

    -- Claims and confirms come last, as they can't be followed elsewhere from
    -- then on until the end of this transaction.

    PERFORM hype.follow_logs(interval '10 seconds');

    LOOP
        n := hype.count_hits(1000000) + hype.count_claims(10000)
             + hype.count_confirmed(10000) + hype.count_rewards(10000);
        total := total + n;
        EXIT WHEN n = 0;
    END LOOP;

    RETURN total;
END
$$;

COMMENT ON FUNCTION hype.roll_up(timestamptz) IS
    'Brings the roll-ups up to date, all at once; returns the number of hits, '
    'claims and confirmed referrals that were counted. With since, for members '
    'of the owner''s role only, counts all again from that day of UTC on: for '
    'who has changed or deleted hits by hand';


-- Deriving

CREATE OR REPLACE FUNCTION hype.follow_logs(
    budget interval, OUT done bigint, OUT set_aside text[]
)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET lock_timeout = '20ms'
AS $$
DECLARE
    until  timestamptz := clock_timestamp() + budget * hype.pace();
    step   record;
    n      bigint;
BEGIN
    done := 0;

    IF NOT hype.lock_log('claims', false) THEN
        done := NULL;
        RETURN;
    END IF;

    LOOP
        n := hype.claim_step(1000, until) + hype.follow_step(1000);
        step := hype.confirm_step(20, until);
        n := n + step.done;
        set_aside := set_aside || step.set_aside;
        done := done + n;

        EXIT WHEN n = 0 OR clock_timestamp() >= until;

        -- Another look takes as long as the step: there will be another call.

        EXIT WHEN n < 100 AND hype.distributed();
    END LOOP;
END
$$;

COMMENT ON FUNCTION hype.follow_logs(interval) IS
    'Works off claims, confirms and new hits for that time at most; returns '
    'how many, or NULL if another does it';


CREATE OR REPLACE FUNCTION hype.derive(
    OUT again integer, OUT set_aside text[]
)
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET lock_timeout = '20ms'
AS $$
DECLARE
    began  timestamptz := clock_timestamp();
    step   record;
    short  interval := interval '30 ms' * hype.pace();
    long   interval := interval '40 ms' * hype.pace();
    rolled bigint := 0;
    due    timestamptz;
    p      hype.log_position;
BEGIN
    IF hype.rebase_step() THEN
        again := 0;
        RETURN;
    END IF;

    IF hype.distributed() THEN
        PERFORM hype.tune_shards();
    END IF;

    step := hype.follow_logs(interval '30 ms');
    set_aside := step.set_aside;

    IF step.done IS NULL THEN
        again := 200;
        RETURN;
    END IF;

    -- The roll-ups have what time is left, and come every ten seconds: on a
    -- busy machine, too, where nothing takes 30 ms.

    SELECT l.* INTO p FROM hype.log_position l WHERE l.name = 'roll_up';

    IF (step.done = 0 OR clock_timestamp() < began + short)
       AND (p.target IS NOT NULL OR p.backfill IS NOT NULL
            OR p.rolled < began - interval '10 seconds')
       AND hype.lock_log('roll_up', false)
    THEN
        BEGIN
            LOOP
                rolled := hype.count_hits(500) + hype.count_claims(100)
                          + hype.count_confirmed(500)
                          + hype.count_rewards(500);

                EXIT WHEN rolled = 0
                          OR clock_timestamp() >= began + long;
            END LOOP;
        EXCEPTION WHEN OTHERS THEN

            -- Claims and confirms go on without them.

            RAISE WARNING 'roll-ups failed: %', SQLERRM;
            again := 1000;
            RETURN;
        END;
    END IF;

    IF clock_timestamp() >= began + short AND step.done > 0 THEN

        -- There is more.  To new hits, of which there are many while a spool
        -- is drained, it leaves half of the time.

        again := CASE
            WHEN EXISTS (SELECT FROM hype.pending_claim c
                         WHERE NOT c.applied AND c.due <= clock_timestamp())
              OR EXISTS (SELECT FROM hype.pending_confirm c
                         WHERE c.due <= clock_timestamp())
            THEN 0 ELSE 30 END;

    ELSIF rolled > 0 THEN

        -- There is more for the roll-ups.  They leave most of the time to
        -- hits, as long as these come.

        again := CASE WHEN step.done > 0 THEN 200 ELSE 20 END;

    ELSE
        SELECT least(
            (SELECT min(c.due) FROM hype.pending_claim c WHERE NOT c.applied),
            (SELECT min(c.due) FROM hype.pending_confirm c
             WHERE c.due IS NOT NULL),
            (SELECT began + interval '10 seconds'
             FROM hype.log_position l
             WHERE l.name = 'roll_up' AND l.rolled < began)
        ) INTO due;

        IF isfinite(due) THEN
            again := greatest(0, least(60000,
                extract(epoch FROM due - clock_timestamp()) * 1000 + 1));
        END IF;
    END IF;
END
$$;

COMMENT ON FUNCTION hype.derive() IS
    'Derives claims, confirmed referrals and roll-ups from what has been '
    'written: a step of some 50 ms, one caller at a time. Returns after how '
    'many milliseconds to call it again (NULL: when something is written), and '
    'for each confirm that is set aside a statement that repeats it';


CREATE OR REPLACE FUNCTION hype.rebase_step() RETURNS boolean
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET jit = off
SET plan_cache_mode = force_generic_plan
AS $$
DECLARE
    newest xid8 := pg_snapshot_xmax(pg_current_snapshot());
    n      bigint;
BEGIN
    -- A dump brings transaction ids of another cluster along.  If they are in
    -- the future here, all hits are counted again, as if they were of schema
    -- version 1.

    IF NOT EXISTS (SELECT FROM hype.log_position l
                   WHERE (pg_snapshot_xmax(l.done) > newest
                          OR pg_snapshot_xmax(l.target) > newest)
                     AND l.name NOT LIKE '%/%')     -- of another server
    THEN
        RETURN false;
    END IF;

    IF NOT hype.lock_log('roll_up', false)
       OR NOT hype.lock_log('claims', false)
    THEN
        RETURN false;
    END IF;

    UPDATE hype.referral_hit h SET xact = NULL
    WHERE (h.id, h.created) IN (
        SELECT r.id, r.created FROM hype.referral_hit r
        WHERE r.xact >= newest ORDER BY r.xact DESC LIMIT 2000);

    GET DIAGNOSTICS n = ROW_COUNT;

    IF n = 0 THEN
        PERFORM hype.uncount('-infinity');

        UPDATE hype.referral_link l SET disabled_xact = NULL
        WHERE l.disabled_xact >= newest;

        UPDATE hype.log_position l
        SET done = '1:1:', target = NULL, xact = NULL, id = NULL,
            backfill = '00000000-0000-0000-0000-000000000000';
    END IF;

    RETURN true;
END
$$;

COMMENT ON FUNCTION hype.rebase_step() IS
    'After a restore from a dump: puts right what refers to transactions of '
    'another cluster, some hits at a time; false: there is nothing to do';


-- Upkeep

CREATE OR REPLACE FUNCTION hype.add_partition(month timestamptz)
RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET timezone = 'UTC'
AS $$
DECLARE
    until   timestamptz := month + interval '1 month';
    name    text := to_char(month, '"referral_hit_"YYYY_MM');
    columns text;
    moved   bigint;
BEGIN
    EXECUTE format('CREATE TABLE hype.%I (LIKE hype.referral_hit '
                   'INCLUDING ALL EXCLUDING IDENTITY)', name);
    EXECUTE format('COMMENT ON TABLE hype.%I IS %L', name,
                   to_char(month, '"Hits of "YYYY-MM'));

    -- CREATE TABLE PARTITION OF would lock out all hits; ATTACH only those
    -- who are in the default partition, while its few rows are read.

    LOCK TABLE hype.referral_hit_default IN ACCESS EXCLUSIVE MODE;

    -- All columns but those that PostgreSQL generates itself.

    SELECT string_agg(quote_ident(a.attname), ', ') INTO columns
    FROM pg_attribute a
    WHERE a.attrelid = 'hype.referral_hit_default'::regclass
      AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = '';

    EXECUTE format('INSERT INTO hype.%I (%s) SELECT %2$s '
                   'FROM hype.referral_hit_default '
                   'WHERE created >= %3$L AND created < %4$L',
                   name, columns, month, until);
    GET DIAGNOSTICS moved = ROW_COUNT;

    IF moved > 0 THEN
        DELETE FROM hype.referral_hit_default
        WHERE created >= month AND created < until;
    END IF;

    EXECUTE format('ALTER TABLE hype.referral_hit ATTACH PARTITION hype.%I '
                   'FOR VALUES FROM (%L) TO (%L)', name, month, until);

    RETURN moved;
END
$$;

COMMENT ON FUNCTION hype.add_partition(timestamptz) IS
    'Makes the partition of that month and moves the hits of the month from '
    'the default partition into it; returns their number';


CREATE OR REPLACE FUNCTION hype.tidy_up(expired timestamptz) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    DELETE FROM hype.pending_confirm p
    WHERE p.due IS NULL AND p.created < now() - interval '7 days';

    DELETE FROM hype.typed_code t WHERE t.at < now() - interval '1 day';

    DELETE FROM hype.event e
    WHERE e.id < coalesce((SELECT f.id FROM hype.event f
                           WHERE f.at >= now() - interval '30 days'
                           ORDER BY f.id LIMIT 1), 9223372036854775807);

    -- Links have a row of their own from a trigger, unless it was off.

    INSERT INTO hype.link_total (referral_link_id)
    SELECT l.id FROM hype.referral_link l
    WHERE NOT EXISTS (SELECT FROM hype.link_total t
                      WHERE t.referral_link_id = l.id)
    ORDER BY l.id
    ON CONFLICT DO NOTHING;

    IF expired IS NOT NULL AND hype.distributed() THEN
        PERFORM hype.prune_shards(expired);

    ELSIF expired IS NOT NULL THEN
        DELETE FROM hype.referral_hit_default h
        WHERE h.created < expired
          AND (h.xact IS NULL OR h.xact = pg_current_xact_id()
               OR pg_visible_in_snapshot(
                   h.xact, (SELECT l.done FROM hype.log_position l
                            WHERE l.name = 'roll_up')));
    END IF;
EXCEPTION WHEN lock_not_available OR deadlock_detected THEN
    NULL;     -- what can't be had now can be had tomorrow
END
$$;

COMMENT ON FUNCTION hype.tidy_up(timestamptz) IS
    'Forgets confirms that wait in vain, old events, and hits before that time '
    'in the default partition, if any is given; and puts right link_total';


CREATE OR REPLACE FUNCTION hype.add_partitions(
    ahead integer, earliest timestamptz, move_up_to bigint
)
RETURNS TABLE (action text, object text, hits bigint)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET timezone = 'UTC'
AS $$
DECLARE
    part record;
    made integer := 0;
BEGIN
    FOR part IN
        SELECT month, to_char(month, '"hype.referral_hit_"YYYY_MM') AS name,
               sum(n) AS found, month < date_trunc('month', now()) AS past
        FROM (SELECT date_trunc('month', h.created) AS month, count(*) AS n
              FROM hype.referral_hit_default h
              WHERE h.created >= earliest
                AND h.created < date_trunc('month', now())
                                + make_interval(months => ahead + 1)
              GROUP BY 1
              UNION ALL
              SELECT date_trunc('month', now()) + make_interval(months => i), 0
              FROM generate_series(0, ahead) AS i) AS months
        GROUP BY month
        ORDER BY past, month
    LOOP
        CONTINUE WHEN to_regclass(part.name) IS NOT NULL;

        object := part.name;
        hits := part.found;

        -- Locks are held until the end: who can write hits must not choose
        -- how many.

        CONTINUE WHEN part.past AND made >= 24;

        IF part.found > move_up_to THEN
            action := 'left in referral_hit_default';
            RETURN NEXT;
            CONTINUE;
        END IF;

        BEGIN
            hits := hype.add_partition(part.month);
            move_up_to := move_up_to - hits;
            made := made + part.past::integer;
            action := 'added';
            RETURN NEXT;
        EXCEPTION
            WHEN lock_not_available OR deadlock_detected THEN
                action := 'busy';
                RETURN NEXT;
                EXIT;
            WHEN invalid_object_definition THEN
                NULL;     -- somebody's own partition covers the month
        END;
    END LOOP;
END
$$;

COMMENT ON FUNCTION hype.add_partitions(integer, timestamptz, bigint) IS
    'Makes the partitions of this month and those ahead, and of months since '
    'earliest that have hits in the default partition, of which it moves so '
    'many at most';


CREATE OR REPLACE FUNCTION hype.drop_partitions(expired timestamptz)
RETURNS TABLE (action text, object text, hits bigint)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET timezone = 'UTC'
AS $$
DECLARE
    part record;
BEGIN
    FOR part IN
        SELECT i.inhrelid::regclass::text AS name
        FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
        WHERE i.inhparent = 'hype.referral_hit'::regclass
          AND substring(pg_get_expr(c.relpartbound, c.oid)
                        FROM 'TO [(]''([^'']+)''[)]$')::timestamptz <= expired
        ORDER BY 1
    LOOP
        object := part.name;
        hits := NULL;

        BEGIN
            EXECUTE 'LOCK TABLE ' || part.name || ' IN ACCESS EXCLUSIVE MODE';

            -- Late hits that were committed meanwhile

            WHILE hype.count_hits(100000) > 0 LOOP
            END LOOP;

            EXECUTE 'DROP TABLE ' || part.name;
            action := 'dropped';
            RETURN NEXT;
        EXCEPTION WHEN lock_not_available OR deadlock_detected THEN
            action := 'busy';
            RETURN NEXT;
            EXIT;
        END;
    END LOOP;
END
$$;

COMMENT ON FUNCTION hype.drop_partitions(timestamptz) IS
    'Drops the partitions whose hits are all from before that time, and counts '
    'them first';


CREATE OR REPLACE FUNCTION hype.maintain(
    ahead      integer DEFAULT 3,
    keep       interval DEFAULT NULL,
    move_up_to integer DEFAULT 20000
)
RETURNS TABLE (action text, object text, hits bigint)
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET lock_timeout = '200ms'
SET timezone = 'UTC'
AS $$
DECLARE
    expired  timestamptz := date_trunc('month', now() - keep);
    earliest timestamptz := date_trunc('month', now() - interval '10 years');
BEGIN
    IF pg_has_role(session_user, current_user, 'MEMBER') THEN
        earliest := '1970-01-01';

    ELSIF keep IS NOT NULL OR move_up_to > 20000 THEN
        RAISE EXCEPTION 'hype.maintain: only "%" may prune hits or move many',
            current_user
            USING ERRCODE = 'insufficient_privilege';
    END IF;

    IF keep <= interval '0' THEN
        RAISE EXCEPTION 'hype.maintain: keep is "%", not positive', keep
            USING ERRCODE = 'invalid_parameter_value';
    END IF;

    IF ahead IS NULL OR ahead NOT BETWEEN 0 AND 60 THEN
        RAISE EXCEPTION 'hype.maintain: ahead is %, not 0 to 60', ahead
            USING ERRCODE = 'invalid_parameter_value';
    END IF;

    -- Hits that are committed while this waits for locks have to be seen.

    IF keep IS NOT NULL THEN
        PERFORM hype.check_isolation('hype.maintain', 'pruning');
    END IF;

    IF NOT hype.lock_log('maintain', false) THEN
        RETURN;
    END IF;

    -- Totals outlive the hits that are pruned now.

    IF keep IS NOT NULL THEN
        PERFORM hype.roll_up();

        UPDATE hype.log_position l SET pruned = greatest(l.pruned, expired)
        WHERE l.name = 'roll_up';
    END IF;

    -- A drop comes last, as it locks out all hits until the end of the
    -- transaction.

    PERFORM hype.tidy_up(expired);
    RETURN QUERY SELECT a.* FROM hype.add_partitions(ahead, earliest,
                                                     move_up_to) a;
    RETURN QUERY SELECT d.* FROM hype.drop_partitions(expired) d;
END
$$;

COMMENT ON FUNCTION hype.maintain(integer, interval, integer) IS
    'Daily upkeep, by nginx or pg_cron; one call at a time, others do nothing. '
    'Makes the partitions of this month and those ahead; moves hits out of the '
    'default partition, by month and up to that many, as moving locks it (for '
    'about 0.1 s each 20,000 hits); forgets confirms that wait for a hit after '
    '7 days, and events after 30 days. With keep, for members of the owner''s '
    'role only, drops months of hits that are wholly older. Waits for no lock '
    'longer than 200 ms: what was busy is done the next time';


-- Views
--
-- They read roll-ups, and what these do not have yet from the log: both as of
-- one snapshot, so that they are exact at every moment.

CREATE OR REPLACE FUNCTION hype.unrolled_totals()
RETURNS TABLE (
    referral_link_id bigint, hits bigint, bots bigint, unique_visitors bigint,
    linked_users bigint, first_hit timestamptz, last_hit timestamptz,
    codes bigint
)
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET jit = off
SET plan_cache_mode = force_generic_plan
AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    WITH hits AS MATERIALIZED (
        SELECT s.link, h.bot, h.created, h.source,
               hype.hit_subject(h.visitor, h.user_id) AS subject,
               h.visitor IS NULL AS known,
               coalesce(CASE WHEN NOT h.authenticated THEN (
                            SELECT c.user_id FROM hype.visitor_claim c
                            WHERE c.visitor = h.visitor) END,
                        h.user_id) AS user_id
        FROM hype.unrolled_hits() h
        CROSS JOIN LATERAL (VALUES (h.referral_link_id), (hype.site()))
            AS s (link)
    ), users AS (
        SELECT h.link, h.user_id FROM hits h
        WHERE NOT h.bot AND h.user_id IS NOT NULL
        UNION
        SELECT v.referral_link_id, c.user_id
        FROM hype.pending_claim p
        JOIN hype.visitor_claim c ON c.visitor = p.visitor
        JOIN hype.visit v ON v.subject = p.visitor AND NOT v.known
    ), gone AS (
        SELECT g.referral_link_id AS link, g.user_id
        FROM hype.gone_users(ARRAY(
            SELECT unnest(p.was) FROM hype.pending_claim p
            WHERE p.was <> '{}')) g
    )
    SELECT link, sum(hits)::bigint, sum(bots)::bigint, sum(visitors)::bigint,
           sum(users)::bigint, min(first_hit), max(last_hit),
           sum(codes)::bigint
    FROM (
        SELECT h.link, count(*) FILTER (WHERE NOT h.bot) AS hits,
               count(*) FILTER (WHERE h.bot) AS bots, 0 AS visitors,
               0 AS users, min(h.created) FILTER (WHERE NOT h.bot) AS first_hit,
               max(h.created) FILTER (WHERE NOT h.bot) AS last_hit,
               count(*) FILTER (WHERE NOT h.bot AND h.source = 'code') AS codes
        FROM hits h GROUP BY h.link
        UNION ALL
        SELECT d.link, 0, 0, count(*), 0, NULL, NULL, 0
        FROM (SELECT DISTINCT h.link, h.subject, h.known FROM hits h
              WHERE NOT h.bot AND h.subject IS NOT NULL
                AND isfinite(h.created)) AS d
        WHERE NOT EXISTS (
            SELECT FROM hype.visit v
            WHERE v.subject = d.subject AND v.known = d.known
              AND v.referral_link_id = d.link)
        GROUP BY d.link
        UNION ALL
        SELECT u.link, 0, 0, 0, count(*), NULL, NULL, 0
        FROM users u
        WHERE NOT EXISTS (
            SELECT FROM hype.link_user l
            WHERE l.user_id = u.user_id AND l.referral_link_id = u.link)
        GROUP BY u.link
        UNION ALL
        SELECT g.link, 0, 0, 0, -count(*), NULL, NULL, 0
        FROM gone g
        WHERE NOT EXISTS (
            SELECT FROM users u
            WHERE u.user_id = g.user_id AND u.link = g.link)
        GROUP BY g.link
    ) AS r
    GROUP BY link;
END
$$;

COMMENT ON FUNCTION hype.unrolled_totals() IS
    'What is to be added to link_total for hits and claims that the roll-ups '
    'do not have yet';


CREATE OR REPLACE FUNCTION hype.unrolled_confirmed()
RETURNS TABLE (
    referral_link_id bigint, confirmed bigint, confirmations bigint,
    value numeric
)
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET jit = off
SET plan_cache_mode = force_generic_plan
AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    SELECT c.link,
           sum((coalesce(o.n, 0) + c.n > 0)::integer
               - (coalesce(o.n, 0) > 0)::integer)::bigint,
           sum(c.n)::bigint, sum(c.value)
    FROM (SELECT s.link, d.subject, d.known, sum(d.n) AS n,
                 sum(d.value) AS value
          FROM hype.confirmed_change d
          CROSS JOIN LATERAL (VALUES (d.referral_link_id), (hype.site()))
              AS s (link)
          GROUP BY s.link, d.subject, d.known) AS c
    LEFT JOIN hype.link_confirmed o
           ON o.referral_link_id = c.link AND o.subject = c.subject
          AND o.known = c.known
    GROUP BY c.link;
END
$$;

COMMENT ON FUNCTION hype.unrolled_confirmed() IS
    'The same for confirmed referrals';


CREATE OR REPLACE FUNCTION hype.unrolled_daily()
RETURNS TABLE (
    day date, referral_link_id bigint, hits bigint, unique_visitors bigint,
    bots bigint, codes bigint
)
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET jit = off
SET plan_cache_mode = force_generic_plan
AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    WITH hits AS MATERIALIZED (
        SELECT (h.created AT TIME ZONE 'UTC')::date AS day,
               h.referral_link_id AS link, h.bot, h.source,
               hype.hit_subject(h.visitor, h.user_id) AS subject,
               h.visitor IS NULL AS known
        FROM hype.unrolled_hits() h
        WHERE isfinite(h.created)
    )
    SELECT h.day, h.link, count(*) FILTER (WHERE NOT h.bot), 0,
           count(*) FILTER (WHERE h.bot),
           count(*) FILTER (WHERE NOT h.bot AND h.source = 'code')
    FROM hits h GROUP BY h.day, h.link
    UNION ALL
    SELECT d.day, d.link, 0, count(*), 0, 0
    FROM (SELECT DISTINCT h.day, h.link, h.subject, h.known FROM hits h
          WHERE NOT h.bot AND h.subject IS NOT NULL) AS d
    WHERE NOT EXISTS (
        SELECT FROM hype.visit v
        WHERE v.subject = d.subject AND v.known = d.known
          AND v.referral_link_id = d.link
          AND v.quarter >= hype.day_quarter(d.day)
          AND v.quarter < hype.day_quarter(d.day) + 96)
    GROUP BY d.day, d.link;
END
$$;

COMMENT ON FUNCTION hype.unrolled_daily() IS
    'The same for hype.daily_hits';


CREATE OR REPLACE FUNCTION hype.unrolled_args()
RETURNS TABLE (
    day date, name text, value text, hits bigint, confirmed bigint
)
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET jit = off
SET plan_cache_mode = force_generic_plan
AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    SELECT g.day, d.name, d.value, sum(g.n)::bigint, sum(g.c)::bigint
    FROM (SELECT hype.utc_day(h.created) AS day, h.args, count(*) AS n, 0 AS c
          FROM hype.unrolled_hits() h
          WHERE NOT h.bot AND isfinite(h.created) AND h.args IS NOT NULL
          GROUP BY 1, 2
          UNION ALL
          SELECT c.day, c.args, 0, sum(c.n)
          FROM hype.confirmed_change c
          WHERE c.args IS NOT NULL AND isfinite(c.day)
          GROUP BY 1, 2) AS g
    CROSS JOIN LATERAL hype.counted_args(g.args) AS d
    GROUP BY 1, 2, 3;
END
$$;

COMMENT ON FUNCTION hype.unrolled_args() IS
    'The same for hype.arg_stats';


CREATE OR REPLACE FUNCTION hype.changed_links() RETURNS SETOF bigint
LANGUAGE plpgsql STABLE SECURITY DEFINER ROWS 100
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET jit = off
SET plan_cache_mode = force_generic_plan
AS $$
BEGIN
    RETURN QUERY
    SELECT h.referral_link_id FROM hype.unrolled_hits() h
    UNION
    SELECT v.referral_link_id
    FROM hype.pending_claim p
    JOIN hype.visit v ON v.subject = p.visitor AND NOT v.known
    UNION
    SELECT c.referral_link_id FROM hype.confirmed_change c;
END
$$;

COMMENT ON FUNCTION hype.changed_links() IS
    'Links for which there may be something to be added to link_total';


CREATE OR REPLACE FUNCTION hype.changed_totals()
RETURNS SETOF hype.link_total
LANGUAGE plpgsql STABLE SECURITY DEFINER ROWS 100
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET jit = off
SET plan_cache_mode = force_generic_plan
AS $$
BEGIN
    RETURN QUERY
    SELECT k.id, coalesce(t.hits, 0) + coalesce(u.hits, 0),
           coalesce(t.bots, 0) + coalesce(u.bots, 0),
           coalesce(t.unique_visitors, 0) + coalesce(u.unique_visitors, 0),
           coalesce(t.linked_users, 0) + coalesce(u.linked_users, 0),
           coalesce(t.confirmed, 0) + coalesce(c.confirmed, 0),
           coalesce(t.confirmations, 0) + coalesce(c.confirmations, 0),
           CASE WHEN t.value IS NULL THEN c.value
                ELSE t.value + coalesce(c.value, 0) END,
           least(t.first_hit, u.first_hit), greatest(t.last_hit, u.last_hit),
           coalesce(t.codes, 0) + coalesce(u.codes, 0)
    FROM hype.changed_links() AS k (id)
    LEFT JOIN hype.link_total t ON t.referral_link_id = k.id
    LEFT JOIN hype.unrolled_totals() u ON u.referral_link_id = k.id
    LEFT JOIN hype.unrolled_confirmed() c ON c.referral_link_id = k.id;
END
$$;

COMMENT ON FUNCTION hype.changed_totals() IS
    'The rows of link_total as they are to be, of links that have changed';


-- "ORDER BY hits DESC LIMIT 10" reads ten links: the planner merges those that
-- have changed into the others, which come from an index in this order.  It
-- sees through UNION ALL as long as each part is one relation without WHERE,
-- and through NOT IN, which it hashes.

CREATE OR REPLACE VIEW hype.link_stats AS
SELECT l.id AS referral_link_id, l.identifier, l.label, l.user_id, l.disabled,
       l.expires, t.hits, t.unique_visitors, t.bots, t.linked_users,
       t.confirmed, t.confirmations, t.value,
       round(t.confirmed::numeric / nullif(t.unique_visitors, 0), 4)
           AS conversion_rate,
       t.first_hit, t.last_hit, t.codes
FROM (
    SELECT r.referral_link_id, r.hits, r.bots, r.unique_visitors,
           r.linked_users, r.confirmed, r.confirmations, r.value,
           r.first_hit, r.last_hit, r.codes, false AS changed
    FROM hype.link_total r
    UNION ALL
    SELECT c.referral_link_id, c.hits, c.bots, c.unique_visitors,
           c.linked_users, c.confirmed, c.confirmations, c.value,
           c.first_hit, c.last_hit, c.codes, true
    FROM (SELECT * FROM hype.changed_totals() OFFSET 0) AS c
) AS t
JOIN hype.referral_link l ON l.id = t.referral_link_id
WHERE t.changed
   OR t.referral_link_id NOT IN (SELECT k.id
                                 FROM hype.changed_links() AS k (id));

COMMENT ON VIEW hype.link_stats IS
    'What became of each link, without the hits of bots. unique_visitors are '
    'those of each link: one who followed two links counts for both, so they '
    'do not add up to those of hype.site_stats';
COMMENT ON COLUMN hype.link_stats.unique_visitors IS
    'Different visitors, and users who were known from the start, of all time';
COMMENT ON COLUMN hype.link_stats.linked_users IS
    'Different users that the hits belong to';
COMMENT ON COLUMN hype.link_stats.confirmed IS
    'Different users, or visitors, with a confirmed referral';
COMMENT ON COLUMN hype.link_stats.confirmations IS
    'Confirmed referrals: each event of each of them';
COMMENT ON COLUMN hype.link_stats.conversion_rate IS
    'confirmed / unique_visitors';


CREATE OR REPLACE VIEW hype.site_stats AS
SELECT sum(hits)::bigint AS hits,
       sum(unique_visitors)::bigint AS unique_visitors,
       sum(bots)::bigint AS bots, sum(linked_users)::bigint AS linked_users,
       sum(confirmed)::bigint AS confirmed,
       sum(confirmations)::bigint AS confirmations, sum(value) AS value,
       round(sum(confirmed)::numeric / nullif(sum(unique_visitors), 0), 4)
           AS conversion_rate,
       min(first_hit) AS first_hit, max(last_hit) AS last_hit,
       sum(codes)::bigint AS codes
FROM (
    SELECT t.hits, t.unique_visitors, t.bots, t.linked_users, t.confirmed,
           t.confirmations, t.value, t.first_hit, t.last_hit, t.codes
    FROM hype.link_total t WHERE t.referral_link_id = hype.site()
    UNION ALL
    SELECT u.hits, u.unique_visitors, u.bots, u.linked_users, 0, 0, NULL,
           u.first_hit, u.last_hit, u.codes
    FROM hype.unrolled_totals() u WHERE u.referral_link_id = hype.site()
    UNION ALL
    SELECT 0, 0, 0, 0, c.confirmed, c.confirmations, c.value, NULL, NULL, 0
    FROM hype.unrolled_confirmed() c WHERE c.referral_link_id = hype.site()
    UNION ALL
    SELECT 0, 0, 0, 0, 0, 0, NULL, NULL, NULL, 0
) AS s;

COMMENT ON VIEW hype.site_stats IS
    'The totals of all links, in one row: a visitor or user of several links '
    'counts once';


CREATE OR REPLACE VIEW hype.daily_hits AS
SELECT d.day, d.referral_link_id, l.identifier, sum(d.hits)::bigint AS hits,
       sum(d.unique_visitors)::bigint AS unique_visitors,
       sum(d.bots)::bigint AS bots, sum(d.codes)::bigint AS codes
FROM (
    SELECT q.day, q.referral_link_id, q.hits, q.unique_visitors, q.bots,
           q.codes
    FROM hype.hit_quarter q
    WHERE q.referral_link_id <> hype.site()
    UNION ALL
    SELECT r.day, r.referral_link_id, 0, -r.visitors, 0, 0
    FROM hype.hit_return r
    WHERE r.referral_link_id <> hype.site() AND r.gap < 96
      AND r.quarter - r.gap >= hype.day_quarter(r.day)
    UNION ALL
    SELECT u.day, u.referral_link_id, u.hits, u.unique_visitors, u.bots,
           u.codes
    FROM hype.unrolled_daily() u
) AS d
LEFT JOIN hype.referral_link l ON l.id = d.referral_link_id
GROUP BY d.day, d.referral_link_id, l.identifier;

COMMENT ON VIEW hype.daily_hits IS
    'Hits of each link on each day, of UTC, that it has any; for other time '
    'zones and periods see hype.hits_by()';
COMMENT ON COLUMN hype.daily_hits.identifier IS
    'As in referral_link; NULL if the link was deleted';
COMMENT ON COLUMN hype.daily_hits.unique_visitors IS
    'Different visitors of that day, and users who were known from the start';

-- Without codes, and no longer used

DROP FUNCTION IF EXISTS hype.unrolled_links(), hype.unrolled_days();


CREATE OR REPLACE VIEW hype.arg_stats AS
SELECT d.day, d.name COLLATE "default" AS name,
       d.value COLLATE "default" AS value, sum(d.hits)::bigint AS hits,
       sum(d.confirmed)::bigint AS confirmed
FROM (
    SELECT o.day, substr(o.dimension, 5) AS name, o.value, o.hits, o.confirmed
    FROM hype.hit_origin o
    WHERE o.dimension >= 'arg:' AND o.dimension < 'arg;'
    UNION ALL
    SELECT u.day, u.name COLLATE "C", u.value COLLATE "C", u.hits, u.confirmed
    FROM hype.unrolled_args() u
) AS d
GROUP BY d.day, d.name, d.value;

COMMENT ON VIEW hype.arg_stats IS
    'Hits by argument that was kept, its value, and day (UTC), without bots; '
    'and the confirmed referrals that these hits were credited with. 1,000 '
    'values a day of each argument; others are added up as ""';


CREATE OR REPLACE VIEW hype.funnel AS
SELECT referral_link_id, identifier, label, user_id, hits, unique_visitors,
       linked_users, confirmed,
       round(unique_visitors::numeric / nullif(hits, 0), 4) AS visitor_rate,
       round(linked_users::numeric / nullif(unique_visitors, 0), 4)
           AS linked_rate,
       round(confirmed::numeric / nullif(linked_users, 0), 4)
           AS confirmed_rate,
       conversion_rate
FROM hype.link_stats;

COMMENT ON VIEW hype.funnel IS
    'From hits to confirmed referrals, each link';
COMMENT ON COLUMN hype.funnel.confirmed_rate IS
    'confirmed / linked_users; above 1 if visitors confirm without logging in';


CREATE OR REPLACE FUNCTION hype.links_of(identifier text, owner text)
RETURNS bigint[]
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT CASE
        WHEN links_of.identifier IS NULL AND links_of.owner IS NULL
        THEN ARRAY[hype.site()]
        ELSE ARRAY(
            SELECT l.id FROM hype.referral_link l
            WHERE (links_of.identifier IS NULL
                   OR l.identifier = links_of.identifier
                   OR l.id = (SELECT a.referral_link_id
                              FROM hype.link_alias a
                              WHERE a.identifier = links_of.identifier))
              AND (links_of.owner IS NULL OR l.user_id = links_of.owner))
    END
$$;

COMMENT ON FUNCTION hype.links_of(text, text) IS
    'The links of that identifier, or alias, and that owner, as the roll-ups '
    'have them';


CREATE OR REPLACE FUNCTION hype.check_buckets(grain text, zone text)
RETURNS void
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF grain IS NULL OR grain NOT IN ('hour', 'day', 'week', 'month') THEN
        RAISE EXCEPTION 'hype.hits_by: the grain is "%", not "hour", "day", '
            '"week" or "month"', grain
            USING ERRCODE = 'invalid_parameter_value';
    END IF;

    -- pg_timezone_names() reads a thousand files.

    BEGIN
        IF zone IS NULL OR now() AT TIME ZONE zone IS NULL THEN
            RAISE invalid_parameter_value;
        END IF;
    EXCEPTION WHEN invalid_parameter_value THEN
        RAISE EXCEPTION 'hype.hits_by: there is no time zone "%"', zone
            USING ERRCODE = 'invalid_parameter_value',
                  HINT = 'See pg_timezone_names.';
    END;
END
$$;

COMMENT ON FUNCTION hype.check_buckets(text, text) IS
    'Raises an error if hype.hits_by() can''t count by that grain and zone';


CREATE OR REPLACE FUNCTION hype.hits_by(
    grain      text,
    zone       text DEFAULT 'UTC',
    since      timestamptz DEFAULT NULL,
    until      timestamptz DEFAULT NULL,
    identifier text DEFAULT NULL,
    owner      text DEFAULT NULL
)
RETURNS TABLE (
    bucket timestamptz, hits bigint, unique_visitors bigint, bots bigint
)
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET jit = off
SET plan_cache_mode = force_generic_plan
AS $$
#variable_conflict use_column
DECLARE
    links   bigint[] := hype.links_of(hits_by.identifier, hits_by.owner);
    first_q bigint := hype.quarter('4000-01-01Z BC');
    last_q  bigint := hype.quarter('290000-01-01Z');
BEGIN
    PERFORM hype.check_buckets(grain, zone);

    -- Buckets of times near the limits of timestamptz are out of range.

    IF isfinite(since) THEN
        first_q := greatest(first_q, hype.quarter(since));
    END IF;

    IF isfinite(until) THEN
        last_q := least(last_q,
                        hype.quarter(until - interval '1 microsecond'));
    END IF;

    RETURN QUERY
    WITH fresh AS MATERIALIZED (
        SELECT s.link, hype.quarter(h.created) AS quarter, h.bot,
               hype.hit_subject(h.visitor, h.user_id) AS subject,
               h.visitor IS NULL AS known
        FROM hype.unrolled_hits() h
        CROSS JOIN LATERAL (VALUES (h.referral_link_id), (hype.site()))
            AS s (link)
        WHERE isfinite(h.created) AND s.link = ANY (links)
          AND hype.quarter(h.created) BETWEEN first_q AND last_q
    ), rolled AS MATERIALIZED (
        SELECT q.quarter, sum(q.hits) AS hits, sum(q.bots) AS bots,
               sum(q.unique_visitors) AS visitors
        FROM hype.hit_quarter q
        WHERE q.referral_link_id = ANY (links)
          AND q.quarter BETWEEN first_q AND last_q
        GROUP BY q.quarter
    ), labels AS MATERIALIZED (
        SELECT d.quarter,
               date_trunc(grain, hype.quarter_start(d.quarter), zone)
                   AS bucket
        FROM (SELECT r.quarter FROM rolled r
              UNION SELECT f.quarter FROM fresh f) AS d
    ), quarters AS MATERIALIZED (
        -- Where clocks are put back, a bucket begins before the time that
        -- names it.

        SELECT l.quarter, l.bucket, greatest(b.bucket_q, first_q) AS bucket_q
        FROM labels l
        JOIN (SELECT d.bucket, min(q.quarter) AS bucket_q
              FROM (SELECT DISTINCT k.bucket FROM labels k) AS d
              CROSS JOIN LATERAL generate_series(
                  hype.quarter(d.bucket) - 8, hype.quarter(d.bucket) + 8)
                  AS q (quarter)
              WHERE date_trunc(grain, hype.quarter_start(q.quarter), zone)
                    = d.bucket
              GROUP BY d.bucket) AS b ON b.bucket = l.bucket
    ), parts AS (
        SELECT q.bucket, r.hits,
               r.visitors - coalesce((
                   SELECT sum(t.visitors) FROM hype.hit_return t
                   WHERE t.referral_link_id = ANY (links)
                     AND t.quarter = r.quarter
                     AND t.gap <= r.quarter - q.bucket_q), 0) AS visitors,
               r.bots
        FROM rolled r JOIN quarters q ON q.quarter = r.quarter
        UNION ALL
        SELECT q.bucket, count(*) FILTER (WHERE NOT f.bot), 0,
               count(*) FILTER (WHERE f.bot)
        FROM fresh f JOIN quarters q ON q.quarter = f.quarter
        GROUP BY q.bucket
        UNION ALL
        SELECT d.bucket, 0, count(*), 0
        FROM (SELECT DISTINCT q.bucket, q.bucket_q, f.link, f.subject, f.known
              FROM fresh f JOIN quarters q ON q.quarter = f.quarter
              WHERE NOT f.bot AND f.subject IS NOT NULL) AS d
        WHERE NOT EXISTS (
            SELECT FROM hype.visit v
            WHERE v.subject = d.subject AND v.known = d.known
              AND v.referral_link_id = d.link
              AND v.quarter >= d.bucket_q
              AND v.quarter <= last_q
              AND date_trunc(grain, hype.quarter_start(v.quarter), zone)
                  = d.bucket)
        GROUP BY d.bucket
    )
    SELECT p.bucket, sum(p.hits)::bigint, sum(p.visitors)::bigint,
           sum(p.bots)::bigint
    FROM parts p GROUP BY p.bucket ORDER BY p.bucket;
END
$$;

COMMENT ON FUNCTION hype.hits_by(
    text, text, timestamptz, timestamptz, text, text
) IS
    'Hits from since until before until, by hour, day, week or month of the '
    'time zone: of all links, of one, or of those of an owner. "bucket" is '
    'when each begins; those without hits are left out. Whole quarters of an '
    'hour are counted. A visitor counts once in a bucket, but for each link '
    'of an owner';


CREATE OR REPLACE FUNCTION hype.hits_from(
    dimension text,
    since     date DEFAULT NULL,
    until     date DEFAULT NULL
)
RETURNS TABLE (value text, hits bigint)
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET jit = off
SET plan_cache_mode = force_generic_plan
AS $$
#variable_conflict use_column
BEGIN
    IF dimension IS NULL OR dimension NOT IN ('referer', 'next') THEN
        RAISE EXCEPTION 'hype.hits_from: the dimension is "%", not "referer" '
            'or "next"', dimension
            USING ERRCODE = 'invalid_parameter_value';
    END IF;

    RETURN QUERY
    SELECT o.value, sum(o.hits)::bigint
    FROM (
        SELECT r.day, r.value, r.hits
        FROM hype.hit_origin r
        WHERE r.dimension = hits_from.dimension
        UNION ALL
        SELECT (h.created AT TIME ZONE 'UTC')::date,
               CASE hits_from.dimension
               WHEN 'referer' THEN hype.referer_host(h.http_referer)
               ELSE hype.next_path(h.next) END,
               1
        FROM hype.unrolled_hits() h
        WHERE NOT h.bot AND isfinite(h.created)
    ) AS o
    WHERE o.value IS NOT NULL
      AND o.day >= coalesce(since, '-infinity')
      AND o.day < coalesce(until, 'infinity')
    GROUP BY o.value
    ORDER BY 2 DESC, 1;
END
$$;

COMMENT ON FUNCTION hype.hits_from(text, date, date) IS
    'Where hits came from or went to, most first: by host of the Referer '
    '("referer") or path of next ("next"), from that day of UTC until before '
    'that. "" stands for what is beyond 1,000 values a day';


-- Reports
--
-- What the status page shows, for one time, one search and one page of links:
-- read from roll-ups, so that hits are not gone through.  A visitor of more
-- than 32 days ago is not known to return: see hit_return.

CREATE OR REPLACE FUNCTION hype.report_arguments(arguments jsonb)
RETURNS jsonb
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    a     jsonb;
    wrong record;
    since timestamptz;
    until timestamptz;
BEGIN
    IF jsonb_typeof(arguments) <> 'object' THEN
        RAISE EXCEPTION 'hype.report: the arguments are no JSON object'
            USING ERRCODE = 'invalid_parameter_value';
    END IF;

    a := jsonb_build_object('by', 'link', 'order', CASE
             WHEN arguments ->> 'sort' IN ('identifier', 'label', 'user_id')
             THEN 'asc' ELSE 'desc' END)
         || '{"zone": "UTC", "search": "", "sort": "hits", "page": "1",
              "size": "20", "part": "all"}'
         || arguments;

    SELECT k.name, left(a ->> k.name, 100) AS value, r.wanted INTO wrong
    FROM jsonb_object_keys(a) AS k (name)
    LEFT JOIN (VALUES
        ('from', '[0-9]{4}-[0-9]{2}-[0-9]{2}', 'a day such as 2026-01-31'),
        ('until', '[0-9]{4}-[0-9]{2}-[0-9]{2}', 'a day such as 2026-01-31'),
        ('zone', '.{1,64}', 'a time zone such as Europe/Berlin'),
        ('search', '.{0,100}', 'a text of 100 characters at most'),
        ('by', 'link|owner', 'link or owner'),
        ('sort', 'identifier|label|user_id|links|hits|visitors|bots|'
                 'linked_users|confirmed|confirmations|conversion_rate|value',
         'the name of a column'),
        ('order', 'asc|desc', 'asc or desc'),
        ('page', '[1-9][0-9]{0,5}', 'a number from 1 to 999999'),
        ('size', CASE a ->> 'part' WHEN 'rows' THEN '[1-9][0-9]{0,2}|[1-4]'
                 '[0-9]{3}|5000' ELSE '[1-9][0-9]?|1[0-9]{2}|200' END,
         'a number from 1 to 200, or to 5000 with part=rows'),
        ('part', 'all|rows', 'all or rows')
    ) AS r (name, pattern, wanted) ON r.name = k.name
    WHERE coalesce(a ->> k.name !~ ('^(' || r.pattern || ')$'), true)
    ORDER BY k.name LIMIT 1;

    IF FOUND THEN
        RAISE EXCEPTION 'hype.report: %', CASE
            WHEN wrong.wanted IS NULL
            THEN format('unknown argument "%s"', left(wrong.name, 100))
            ELSE format('%s is "%s", not %s', wrong.name, wrong.value,
                        wrong.wanted) END
            USING ERRCODE = 'invalid_parameter_value';
    END IF;

    BEGIN
        since := (a ->> 'from')::date::timestamp AT TIME ZONE (a ->> 'zone');
        until := ((a ->> 'until')::date + 1)::timestamp
                 AT TIME ZONE (a ->> 'zone');
        PERFORM now() AT TIME ZONE (a ->> 'zone');
    EXCEPTION
    WHEN invalid_parameter_value THEN
        RAISE EXCEPTION 'hype.report: there is no time zone "%"', a ->> 'zone'
            USING ERRCODE = 'invalid_parameter_value';
    WHEN data_exception THEN
        RAISE EXCEPTION 'hype.report: from or until is no day'
            USING ERRCODE = 'invalid_parameter_value';
    END;

    IF since >= until THEN
        RAISE EXCEPTION 'hype.report: from is after until'
            USING ERRCODE = 'invalid_parameter_value';
    END IF;

    RETURN a || jsonb_build_object('since', since, 'before', until);
END
$$;

COMMENT ON FUNCTION hype.report_arguments(jsonb) IS
    'The arguments of hype.report(), checked and complete: "since" and '
    '"before" are the times that the days from and until stand for';


CREATE OR REPLACE FUNCTION hype.unrolled_within(
    first_link bigint, last_link bigint, first_q bigint, last_q bigint
)
RETURNS TABLE (
    link bigint, hits bigint, visitors bigint, bots bigint, users bigint
)
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET jit = off
SET plan_cache_mode = force_generic_plan
AS $$
    WITH fresh AS MATERIALIZED (
        SELECT s.link, h.bot, hype.quarter(h.created) AS quarter,
               hype.hit_subject(h.visitor, h.user_id) AS subject,
               h.visitor IS NULL AS known,
               coalesce(CASE WHEN NOT h.authenticated THEN (
                            SELECT c.user_id FROM hype.visitor_claim c
                            WHERE c.visitor = h.visitor) END,
                        h.user_id) AS user_id
        FROM hype.unrolled_hits() h
        CROSS JOIN LATERAL (VALUES (h.referral_link_id), (hype.site()))
            AS s (link)
        WHERE s.link BETWEEN first_link AND last_link
          AND isfinite(h.created)
    ), users AS (
        SELECT u.link, u.user_id, l.quarter AS rolled,
               least(min(u.quarter), l.quarter) AS quarter
        FROM (SELECT f.link, f.user_id, f.quarter FROM fresh f
              WHERE NOT f.bot AND f.user_id IS NOT NULL
              UNION ALL
              SELECT v.referral_link_id, c.user_id, v.quarter
              FROM hype.pending_claim p
              JOIN hype.visitor_claim c ON c.visitor = p.visitor
              JOIN hype.visit v ON v.subject = p.visitor AND NOT v.known
              WHERE v.referral_link_id BETWEEN first_link AND last_link) AS u
        LEFT JOIN hype.link_user l
               ON l.user_id = u.user_id AND l.referral_link_id = u.link
        GROUP BY u.link, u.user_id, l.quarter
    )
    SELECT f.link, count(*) FILTER (WHERE NOT f.bot), 0,
           count(*) FILTER (WHERE f.bot), 0
    FROM fresh f WHERE f.quarter BETWEEN first_q AND last_q
    GROUP BY f.link
    UNION ALL
    SELECT d.link, 0, count(*), 0, 0
    FROM (SELECT DISTINCT f.link, f.subject, f.known FROM fresh f
          WHERE NOT f.bot AND f.subject IS NOT NULL
            AND f.quarter BETWEEN first_q AND last_q) AS d
    WHERE NOT EXISTS (
        SELECT FROM hype.visit v
        WHERE v.subject = d.subject AND v.known = d.known
          AND v.referral_link_id = d.link
          AND v.quarter BETWEEN first_q AND last_q)
    GROUP BY d.link
    UNION ALL
    SELECT u.link, 0, 0, 0,
           sum((u.quarter BETWEEN first_q AND last_q)::integer
               - coalesce(u.rolled BETWEEN first_q AND last_q,
                          false)::integer)
    FROM users u GROUP BY u.link
    UNION ALL
    SELECT g.referral_link_id, 0, 0, 0, -count(*)
    FROM hype.gone_users(ARRAY(
        SELECT unnest(p.was) FROM hype.pending_claim p
        WHERE p.was <> '{}')) g
    WHERE g.referral_link_id BETWEEN first_link AND last_link
      AND g.quarter BETWEEN first_q AND last_q
      AND NOT EXISTS (
          SELECT FROM users u
          WHERE u.user_id = g.user_id AND u.link = g.referral_link_id)
    GROUP BY g.referral_link_id
$$;

COMMENT ON FUNCTION hype.unrolled_within(bigint, bigint, bigint, bigint) IS
    'What hype.hits_within() has to add for hits and claims that the roll-ups '
    'do not have yet';


CREATE OR REPLACE FUNCTION hype.hits_within(
    since timestamptz, before timestamptz, site boolean
)
RETURNS TABLE (
    referral_link_id bigint, hits bigint, unique_visitors bigint, bots bigint,
    linked_users bigint
)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
SET jit = off
SET plan_cache_mode = force_custom_plan
AS $$
#variable_conflict use_column
DECLARE
    -- Bounds, so that the index by link serves the site, that by day the rest

    first_link bigint := hype.site() + (NOT site)::integer;
    last_link  bigint := CASE WHEN site THEN hype.site()
                              ELSE 9223372036854775807 END;
    first_q    bigint := coalesce(hype.quarter(since), -1e15);
    last_q     bigint := coalesce(
        hype.quarter(before - interval '1 microsecond'), 1e15);
    first_day  date := coalesce((since AT TIME ZONE 'UTC')::date, '-infinity');
    last_day   date := coalesce((before AT TIME ZONE 'UTC')::date, 'infinity');
BEGIN
    RETURN QUERY
    SELECT p.link, sum(p.hits)::bigint, sum(p.visitors)::bigint,
           sum(p.bots)::bigint, sum(p.users)::bigint
    FROM (
        SELECT q.referral_link_id AS link, q.hits,
               q.unique_visitors AS visitors, q.bots, 0 AS users
        FROM hype.hit_quarter q
        WHERE q.referral_link_id BETWEEN first_link AND last_link
          AND q.day BETWEEN first_day AND last_day
          AND q.quarter BETWEEN first_q AND last_q
        UNION ALL
        SELECT r.referral_link_id, 0, -r.visitors, 0, 0
        FROM hype.hit_return r
        WHERE r.referral_link_id BETWEEN first_link AND last_link
          AND r.day BETWEEN first_day AND last_day
          AND r.quarter <= last_q AND r.quarter - r.gap >= first_q
        UNION ALL
        SELECT l.referral_link_id, 0, 0, 0, 1
        FROM hype.link_user l
        WHERE l.referral_link_id BETWEEN first_link AND last_link
          AND l.quarter BETWEEN first_q AND last_q
        UNION ALL
        SELECT u.* FROM hype.unrolled_within(
            first_link, last_link, first_q, last_q) u
    ) AS p
    GROUP BY p.link;
END
$$;

COMMENT ON FUNCTION hype.hits_within(timestamptz, timestamptz, boolean) IS
    'Hits, visitors, bots and users of each link from since until before, or '
    'of the site. A visitor who returns after more than 32 days counts again, '
    'a user when the first hit was';


CREATE OR REPLACE FUNCTION hype.confirmed_within(
    since timestamptz, before timestamptz, dimension text
)
RETURNS TABLE (
    key text, confirmed bigint, confirmations bigint, value numeric
)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
SET jit = off
SET plan_cache_mode = force_custom_plan
AS $$
BEGIN
    -- Planned for these bounds: a short time is found by an index.

    RETURN QUERY
    SELECT p.key, count(*), sum(p.n)::bigint, sum(p.value)
    FROM (
        SELECT CASE dimension WHEN 'link' THEN c.referral_link_id::text
                              WHEN 'owner' THEN coalesce(c.referrer, '')
                              WHEN 'event' THEN c.event
                              ELSE '' END AS key,
               count(*) AS n, sum(c.value) AS value
        FROM hype.confirmed_referral c
        WHERE (since IS NULL OR c.created >= since)
          AND (before IS NULL OR c.created < before)
          AND c.revoked IS NULL
        GROUP BY 1, c.user_id, CASE WHEN c.user_id IS NULL THEN c.visitor END
    ) AS p
    GROUP BY p.key;
END
$$;

COMMENT ON FUNCTION hype.confirmed_within(timestamptz, timestamptz, text) IS
    'Confirmed referrals from since until before: by "link", by "owner" who '
    'is credited, by "event", or all of the "site". "confirmed" are different '
    'users or visitors';


CREATE OR REPLACE FUNCTION hype.report_source(a jsonb) RETURNS text
LANGUAGE sql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT CASE
    WHEN a ->> 'since' IS NULL AND a ->> 'before' IS NULL
    THEN $q$
        SELECT identifier, label, user_id, disabled, expires, hits,
               unique_visitors AS visitors, bots, linked_users, confirmed,
               confirmations, value
        FROM hype.link_stats
    $q$ ELSE $q$
        SELECT l.identifier, l.label, l.user_id, l.disabled, l.expires,
               coalesce(h.hits, 0) AS hits,
               coalesce(h.unique_visitors, 0) AS visitors,
               coalesce(h.bots, 0) AS bots,
               coalesce(h.linked_users, 0) AS linked_users,
               coalesce(c.confirmed, 0) AS confirmed,
               coalesce(c.confirmations, 0) AS confirmations, c.value
        FROM hype.referral_link l
        LEFT JOIN hype.hits_within($1, $2, false) h
               ON h.referral_link_id = l.id
        LEFT JOIN hype.confirmed_within($1, $2, 'link') c
               ON c.key::bigint = l.id
    $q$ END
$$;

COMMENT ON FUNCTION hype.report_source(jsonb) IS
    'The query of all links that hype.report() has rows of';


CREATE OR REPLACE FUNCTION hype.report_links(a jsonb) RETURNS text
LANGUAGE sql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT $q$
        SELECT s.identifier, left(s.label, 200) AS label,
               left(s.user_id, 200) AS user_id, s.hits, s.visitors, s.bots,
               s.linked_users, s.confirmed, s.confirmations, s.value,
               round(s.confirmed::numeric / nullif(s.visitors, 0), 4)
                   AS conversion_rate,
               s.disabled, s.expires,
               coalesce(s.expires <= now(), false) AS expired
        FROM ($q$ || hype.report_source(a) || $q$) AS s
        WHERE $3 = '' OR strpos(lower(s.identifier), lower($3)) > 0
           OR strpos(lower(s.user_id), lower($3)) > 0
           OR strpos(lower(s.label), lower($3)) > 0
    $q$
$$;

COMMENT ON FUNCTION hype.report_links(jsonb) IS
    'The query of the links that are found';


CREATE OR REPLACE FUNCTION hype.report_owners(a jsonb) RETURNS text
LANGUAGE sql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT $q$
        SELECT left(s.owner, 200) AS user_id, coalesce(l.links, 0) AS links,
               coalesce(l.hits, 0) AS hits, coalesce(l.visitors, 0) AS visitors,
               coalesce(l.bots, 0) AS bots,
               coalesce(l.linked_users, 0) AS linked_users,
               coalesce(c.confirmed, 0) AS confirmed,
               coalesce(c.confirmations, 0) AS confirmations, c.value,
               round(c.confirmed::numeric / nullif(l.visitors, 0), 4)
                   AS conversion_rate
        FROM (SELECT coalesce(s.user_id, '') AS key, count(*) AS links,
                     sum(s.hits)::bigint AS hits,
                     sum(s.visitors)::bigint AS visitors,
                     sum(s.bots)::bigint AS bots,
                     sum(s.linked_users)::bigint AS linked_users
              FROM ($q$ || hype.report_source(a) || $q$) AS s
              GROUP BY 1) AS l
        FULL JOIN hype.confirmed_within($1, $2, 'owner') c ON c.key = l.key
        CROSS JOIN LATERAL (
            SELECT nullif(coalesce(l.key, c.key), '')) AS s (owner)
        WHERE $3 = '' OR strpos(lower(s.owner), lower($3)) > 0
    $q$
$$;

COMMENT ON FUNCTION hype.report_owners(jsonb) IS
    'The query of the owners that are found, with what their links have and '
    'what they are credited with: a link may have had another owner then';


CREATE OR REPLACE FUNCTION hype.report_rows(a jsonb) RETURNS jsonb
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
SET jit = off
AS $$
DECLARE
    of_links boolean := a ->> 'by' = 'link';
    result   jsonb;
BEGIN
    IF a ->> 'sort' = ANY (CASE WHEN of_links THEN ARRAY['links']
                           ELSE ARRAY['identifier', 'label'] END)
    THEN
        RAISE EXCEPTION 'hype.report: sort is "%", which these rows have not',
            a ->> 'sort'
            USING ERRCODE = 'invalid_parameter_value';
    END IF;

    -- A page after the last one is the last one.

    EXECUTE format($q$
        WITH found AS MATERIALIZED (%1$s),
        n AS (SELECT count(*) AS total FROM found),
        place AS (
            SELECT n.total, greatest(1, least(
                $5, (n.total + $4 - 1) / $4)) AS page
            FROM n),
        page AS (
            SELECT row_number() OVER () AS row, s.* FROM (
                SELECT * FROM found
                ORDER BY %2$I %3$s NULLS LAST, %4$I COLLATE "C"
                LIMIT $4 OFFSET (SELECT (p.page - 1) * $4 FROM place p)) AS s)
        SELECT jsonb_build_object('total', p.total, 'page', p.page, %5$L,
                   coalesce((SELECT jsonb_agg(to_jsonb(g) - 'row'
                                              ORDER BY g.row) FROM page g),
                            '[]'))
        FROM place p
    $q$, CASE WHEN of_links THEN hype.report_links(a)
              ELSE hype.report_owners(a) END,
         a ->> 'sort', a ->> 'order',
         CASE WHEN of_links THEN 'identifier' ELSE 'user_id' END,
         CASE WHEN of_links THEN 'links' ELSE 'owners' END)
    INTO result
    USING (a ->> 'since')::timestamptz, (a ->> 'before')::timestamptz,
          a ->> 'search', (a ->> 'size')::bigint, (a ->> 'page')::bigint;

    RETURN result;
END
$$;

COMMENT ON FUNCTION hype.report_rows(jsonb) IS
    'A page of the links or owners of a report';


CREATE OR REPLACE FUNCTION hype.report_days(a jsonb, brief boolean)
RETURNS jsonb
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    zone  text := a ->> 'zone';
    since timestamptz := coalesce((a ->> 'since')::timestamptz, CASE
        WHEN brief
        THEN (date_trunc('day', now() AT TIME ZONE zone) - interval '29 days')
             AT TIME ZONE zone END);
    span  interval;
    grain text;
BEGIN
    span := least((a ->> 'before')::timestamptz, now())
            - coalesce(since, (SELECT s.first_hit FROM hype.site_stats s
                               WHERE isfinite(s.first_hit)), now());
    grain := CASE WHEN span <= interval '50 hours' AND NOT brief THEN 'hour'
                  WHEN span <= interval '93 days' THEN 'day'
                  WHEN span <= interval '367 days' THEN 'week'
                  ELSE 'month' END;

    RETURN jsonb_build_object('grain', grain, 'days', coalesce((
        SELECT jsonb_agg(jsonb_build_object(
                   'day', (b.bucket AT TIME ZONE zone)::date, 'hits', b.hits,
                   'visitors', b.unique_visitors, 'bots', b.bots)
               || CASE WHEN grain = 'hour' THEN jsonb_build_object(
                   'time', extract(epoch FROM b.bucket)::bigint) ELSE '{}' END
               ORDER BY b.bucket DESC)
        FROM hype.hits_by(grain, zone, since, (a ->> 'before')::timestamptz) b
        WHERE b.hits > 0 OR b.bots > 0), '[]'));
END
$$;

COMMENT ON FUNCTION hype.report_days(jsonb, boolean) IS
    'Hits of the site by hour, day, week or month, as the time is long; '
    '"brief": by day, of the last 30 days';


CREATE OR REPLACE FUNCTION hype.report_totals(a jsonb) RETURNS jsonb
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    since  timestamptz := (a ->> 'since')::timestamptz;
    before timestamptz := (a ->> 'before')::timestamptz;
    funnel jsonb;
BEGIN
    IF since IS NULL AND before IS NULL THEN
        SELECT jsonb_build_object(
                   'hits', s.hits, 'visitors', s.unique_visitors,
                   'linked', s.linked_users, 'confirmed', s.confirmed,
                   'bots', s.bots, 'confirmations', s.confirmations,
                   'value', s.value)
        INTO funnel FROM hype.site_stats s;

    ELSE
        SELECT jsonb_build_object(
                   'hits', coalesce(h.hits, 0),
                   'visitors', coalesce(h.unique_visitors, 0),
                   'linked', coalesce(h.linked_users, 0),
                   'confirmed', coalesce(c.confirmed, 0),
                   'bots', coalesce(h.bots, 0),
                   'confirmations', coalesce(c.confirmations, 0),
                   'value', c.value)
        INTO funnel
        FROM (VALUES (1)) AS one
        LEFT JOIN hype.hits_within(since, before, true) h ON true
        LEFT JOIN hype.confirmed_within(since, before, 'site') c ON true;
    END IF;

    RETURN jsonb_build_object('funnel', funnel, 'events', coalesce((
        SELECT jsonb_agg(to_jsonb(e) ORDER BY e.confirmed DESC, e.event)
        FROM (SELECT left(c.key, 200) AS event, c.confirmed, c.value
              FROM hype.confirmed_within(since, before, 'event') c
              ORDER BY c.confirmed DESC, c.key LIMIT 50) AS e), '[]'));
END
$$;

COMMENT ON FUNCTION hype.report_totals(jsonb) IS
    'The funnel of the site, and what was confirmed by event';


CREATE OR REPLACE FUNCTION hype.report_origins(a jsonb, dimension text)
RETURNS jsonb
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT coalesce(jsonb_agg(to_jsonb(o) ORDER BY o.hits DESC, o.value), '[]')
    FROM (SELECT h.value, h.hits
          FROM hype.hits_from(dimension, (a ->> 'from')::date,
                              (a ->> 'until')::date + 1) h
          ORDER BY h.hits DESC, h.value LIMIT 20) AS o
$$;

COMMENT ON FUNCTION hype.report_origins(jsonb, text) IS
    'The first 20 of hype.hits_from(), in days of UTC';


CREATE OR REPLACE FUNCTION hype.report_args(a jsonb) RETURNS jsonb
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT coalesce(jsonb_agg(to_jsonb(o)
                              ORDER BY o.hits DESC, o.name, o.value), '[]')
    FROM (SELECT s.name, s.value, sum(s.hits)::bigint AS hits,
                 sum(s.confirmed)::bigint AS confirmed
          FROM hype.arg_stats s
          WHERE s.day >= coalesce((a ->> 'from')::date, '-infinity')
            AND s.day < coalesce((a ->> 'until')::date + 1, 'infinity')
          GROUP BY s.name, s.value
          ORDER BY 3 DESC, 1, 2 LIMIT 20) AS o
$$;

COMMENT ON FUNCTION hype.report_args(jsonb) IS
    'The first 20 arguments and values of hype.arg_stats, in days of UTC';


CREATE OR REPLACE FUNCTION hype.report(arguments jsonb DEFAULT '{}')
RETURNS jsonb
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET jit = off
AS $$
DECLARE
    a jsonb := hype.report_arguments(coalesce(arguments, '{}'));
    r jsonb;
BEGIN
    r := jsonb_build_object(
             'by', a -> 'by', 'sort', a -> 'sort', 'order', a -> 'order',
             'size', (a ->> 'size')::integer, 'search', a -> 'search',
             'from', a -> 'from', 'until', a -> 'until', 'zone', a -> 'zone')
         || hype.report_rows(a);

    IF a ->> 'part' = 'rows' THEN
        RETURN r;
    END IF;

    RETURN r || hype.report_totals(a)
             || hype.report_days(a, coalesce(arguments, '{}') = '{}')
             || jsonb_build_object(
                    'referers', hype.report_origins(a, 'referer'),
                    'pages', hype.report_origins(a, 'next'),
                    'arguments', hype.report_args(a));
END
$$;

COMMENT ON FUNCTION hype.report(jsonb) IS
    'What the status page shows: totals, hits by time, by event and by '
    'origin, and a page of links or owners. Arguments, all texts: from and '
    'until (days of zone, both included), zone, search, by (link, owner), '
    'sort, order, page, size, part (all, rows)';


-- The owner's page
--
-- What users see of their own links: see hype_links of nginx.

CREATE TABLE IF NOT EXISTS hype.first_link (
    subject uuid PRIMARY KEY,
    made    timestamptz NOT NULL
);

COMMENT ON TABLE hype.first_link IS
    'Who got a link at the first view of the owner''s page: the row is what '
    'views at the same time wait for, so that one of them makes the link';
COMMENT ON COLUMN hype.first_link.subject IS
    'hype.user_key() of the user';

CREATE OR REPLACE FUNCTION hype.make_first_link(user_id text) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF EXISTS (SELECT FROM hype.referral_link l
               WHERE l.user_id = make_first_link.user_id)
    THEN
        RETURN;
    END IF;

    -- Changes the row: where the transaction's snapshot is an old one, that
    -- is a serialization failure, and no second link.

    INSERT INTO hype.first_link (subject, made)
    VALUES (hype.user_key(make_first_link.user_id), clock_timestamp())
    ON CONFLICT (subject) DO UPDATE SET made = excluded.made;

    -- Another transaction may have made it in the meantime.

    PERFORM hype.create_link(make_first_link.user_id)
    WHERE NOT EXISTS (SELECT FROM hype.referral_link l
                      WHERE l.user_id = make_first_link.user_id);
END
$$;

COMMENT ON FUNCTION hype.make_first_link(text) IS
    'Makes a link for a user who has none, once, also if several ask for it '
    'at the same time';


CREATE OR REPLACE FUNCTION hype.owner_links(user_id text, base text)
RETURNS jsonb
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET jit = off
SET plan_cache_mode = force_generic_plan
AS $$
DECLARE
    result jsonb;
BEGIN
    -- 100 links are shown: those that work first, then the oldest.

    WITH changed AS MATERIALIZED (
        SELECT * FROM hype.changed_totals()
    ), stats AS MATERIALIZED (
        SELECT l.id, l.identifier, l.label, l.created, l.disabled, l.expires,
               coalesce(l.expires <= now(), false) AS expired,
               coalesce(s.hits, 0) AS hits,
               coalesce(s.unique_visitors, 0) AS visitors,
               coalesce(s.confirmed, 0) AS confirmed,
               coalesce(s.confirmations, 0) AS confirmations, s.value
        FROM hype.referral_link l
        LEFT JOIN LATERAL (
            SELECT c.* FROM changed c WHERE c.referral_link_id = l.id
            UNION ALL
            SELECT t.* FROM hype.link_total t
            WHERE t.referral_link_id = l.id
              AND NOT EXISTS (SELECT FROM changed c
                              WHERE c.referral_link_id = l.id)
        ) AS s ON true
        WHERE l.user_id = owner_links.user_id
    ), shown AS (
        SELECT row_number() OVER () AS row, o.*
        FROM (SELECT s.* FROM stats s
              ORDER BY s.disabled OR s.expired, s.created, s.id
              LIMIT 100) AS o
    )
    SELECT jsonb_build_object(
        'links', coalesce((
            SELECT jsonb_agg(jsonb_build_object(
                       'identifier', s.identifier,
                       'url', owner_links.base || s.identifier || '/',
                       'label', left(s.label, 200), 'created', s.created,
                       'disabled', s.disabled,
                       'expires', CASE WHEN isfinite(s.expires)
                                       THEN s.expires END,
                       'expired', s.expired,
                       'hits', s.hits, 'visitors', s.visitors,
                       'confirmed', s.confirmed,
                       'confirmations', s.confirmations, 'value', s.value)
                       ORDER BY s.row)
            FROM shown s), '[]'),
        'totals', (
            SELECT jsonb_build_object(
                       'links', count(*),
                       'hits', coalesce(sum(s.hits), 0),
                       'visitors', coalesce(sum(s.visitors), 0),
                       'confirmed', coalesce(sum(s.confirmed), 0),
                       'confirmations', coalesce(sum(s.confirmations), 0),
                       'value', sum(s.value))
            FROM stats s))
    INTO result;

    RETURN result;
END
$$;

COMMENT ON FUNCTION hype.owner_links(text, text) IS
    'The links of a user with what became of them, and the sums';


CREATE OR REPLACE FUNCTION hype.owner_days(user_id text) RETURNS jsonb
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT jsonb_agg(jsonb_build_object(
               'day', d.day, 'hits', coalesce(h.hits, 0),
               'visitors', coalesce(h.unique_visitors, 0)) ORDER BY d.day)
    FROM (SELECT t.today, t.today - n AS day
          FROM (SELECT (now() AT TIME ZONE 'UTC')::date) AS t (today),
               generate_series(0, 29) AS n) AS d
    LEFT JOIN hype.hits_by(
             'day', 'UTC',
             date_trunc('day', now(), 'UTC') - interval '29 days', NULL, NULL,
             owner_days.user_id) h
           ON (h.bucket AT TIME ZONE 'UTC')::date = d.day
$$;

COMMENT ON FUNCTION hype.owner_days(text) IS
    'Hits of the links of a user on each of the last 30 days, of UTC';


CREATE OR REPLACE FUNCTION hype.owner_rewards(user_id text) RETURNS jsonb
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET jit = off
SET plan_cache_mode = force_generic_plan
AS $$
BEGIN
    RETURN (
        SELECT coalesce(jsonb_agg(jsonb_build_object(
                   'currency', b.currency, 'pending', b.pending,
                   'available', b.available, 'paid', b.paid)
                   ORDER BY b.currency), '[]')
        FROM hype.balance b
        WHERE b.user_id = owner_rewards.user_id
          AND (b.pending, b.available, b.paid) <> (0, 0, 0));
END
$$;

COMMENT ON FUNCTION hype.owner_rewards(text) IS
    'What a user is owed, and was paid, in each currency';


CREATE OR REPLACE FUNCTION hype.owner_stats(user_id text, base text)
RETURNS jsonb
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT jsonb_build_object('user', owner_stats.user_id)
           || hype.owner_links(owner_stats.user_id, owner_stats.base)
           || jsonb_build_object(
                  'rewards', hype.owner_rewards(owner_stats.user_id),
                  'days', hype.owner_days(owner_stats.user_id))
$$;

COMMENT ON FUNCTION hype.owner_stats(text, text) IS
    'All that hype.owner_page() returns, as of one moment';


CREATE OR REPLACE FUNCTION hype.owner_page(
    user_id text,
    make    boolean DEFAULT false,
    base    text DEFAULT '/ref/'
)
RETURNS jsonb
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET timezone = 'UTC'
AS $$
BEGIN
    PERFORM hype.check_given('hype.owner_page', owner_page.user_id, 'no user');

    IF owner_page.make THEN
        PERFORM hype.make_first_link(owner_page.user_id);
    END IF;

    RETURN hype.owner_stats(owner_page.user_id, coalesce(base, '/ref/'));
END
$$;

COMMENT ON FUNCTION hype.owner_page(text, boolean, text) IS
    'What a user may see, as JSON: the user''s links and what became of them, '
    'rewards, and hits on each of the last 30 days. "make": a user without '
    'a link gets one. "base": what the URLs of links begin with';

CREATE OR REPLACE FUNCTION hype.owner_page(
    user_id bigint,
    make    boolean DEFAULT false,
    base    text DEFAULT '/ref/'
)
RETURNS jsonb
LANGUAGE sql VOLATILE
BEGIN ATOMIC
    SELECT hype.owner_page(user_id::text, make, base);
END;

COMMENT ON FUNCTION hype.owner_page(bigint, boolean, text) IS
    'The same for a user whose id is a number';


-- For nginx of version 1, which may be at work until it is upgraded, too

CREATE OR REPLACE FUNCTION hype.settle() RETURNS bigint
LANGUAGE sql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT CASE WHEN d.again IS NULL THEN 0 ELSE 1 END::bigint
    FROM hype.derive() d
$$;

COMMENT ON FUNCTION hype.settle() IS
    'Of schema version 1: hype.derive() does this now';

CREATE OR REPLACE FUNCTION hype.settle(
    visitors uuid[], users text[] DEFAULT '{}'
)
RETURNS bigint
LANGUAGE sql IMMUTABLE
RETURN 0;

COMMENT ON FUNCTION hype.settle(uuid[], text[]) IS
    'Of schema version 1: hype.derive() does this now';

CREATE OR REPLACE FUNCTION hype.claim_batch(visitors uuid[], user_ids text[])
RETURNS bigint
LANGUAGE sql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT hype.claim_batch(visitors, user_ids,
                            array_fill(now(), ARRAY[cardinality(visitors)]))
$$;

COMMENT ON FUNCTION hype.claim_batch(uuid[], text[]) IS
    'Of schema version 1: claims without their time';


DROP FUNCTION IF EXISTS hype.hits_to_replay(
    uuid[], bigint[], timestamptz[], boolean[], boolean[], uuid[], text[],
    inet[], text[], text[], text[], text[]);


-- Comments that former versions had

SELECT format('COMMENT ON %s IS NULL', c.object)
FROM (VALUES
    ('CONSTRAINT confirmed_referral_event_check ON hype.confirmed_referral'),
    ('SEQUENCE hype.referral_link_id_seq'),
    ('INDEX hype.referral_link_pkey'),
    ('INDEX hype.referral_link_identifier_key'),
    ('INDEX hype.link_total_hits_idx'),
    ('COLUMN hype.balance.pending'),
    ('COLUMN hype.balance.paid'),
    ('COLUMN hype.link_total.codes'),
    ('COLUMN hype.hit_quarter.codes'),
    ('COLUMN hype.link_stats.codes'),
    ('COLUMN hype.daily_hits.codes')
) AS c (object) \gexec


-- Privileges

REVOKE ALL ON ALL FUNCTIONS IN SCHEMA hype FROM PUBLIC;

GRANT USAGE ON SCHEMA hype TO hype_nginx, hype_app, hype_report;
GRANT EXECUTE ON FUNCTION hype.version() TO hype_nginx, hype_app;

GRANT SELECT (id, identifier, user_id, destination, disabled, expires)
    ON hype.referral_link TO hype_nginx;
GRANT SELECT (identifier, referral_link_id) ON hype.link_alias TO hype_nginx;
GRANT INSERT (id, referral_link_id, created, authenticated, bot, visitor,
              user_id, ip, user_agent, http_referer, next, source, args,
              node)
    ON hype.referral_hit TO hype_nginx;
GRANT EXECUTE ON FUNCTION
    hype.settle(),
    hype.settle(uuid[], text[]),
    hype.claim_batch(uuid[], text[]),
    hype.claim_batch(uuid[], text[], timestamptz[]),
    hype.replay(uuid[], bigint[], timestamptz[], boolean[], boolean[], uuid[],
                text[], inet[], text[], text[], text[], text[], text[],
                text[], smallint[]),
    hype.record_confirm(text, text, uuid, numeric, timestamptz),
    hype.confirm_batch(text[], text[], uuid[], text[], timestamptz[]),
    hype.probe(text, integer),
    hype.derive(),
    hype.roll_up(timestamptz),
    hype.claim(uuid, text),
    hype.owner_page(text, boolean, text),
    hype.maintain(integer, interval, integer),
    hype.distributed(),
    hype.my_node(),
    hype.on_coordinator(text)
TO hype_nginx;

GRANT SELECT ON hype.link_stats, hype.site_stats, hype.daily_hits, hype.funnel,
                hype.balance, hype.arg_stats
    TO hype_report;
GRANT EXECUTE ON FUNCTION
    hype.unrolled_totals(), hype.unrolled_confirmed(), hype.unrolled_daily(),
    hype.unrolled_args(), hype.args_of(text), hype.url_decode(text),
    hype.changed_links(), hype.changed_totals(), hype.site(),
    hype.day_quarter(date),
    hype.hits_by(text, text, timestamptz, timestamptz, text, text),
    hype.hits_from(text, date, date),
    hype.report(jsonb)
TO hype_report, hype_app;

GRANT SELECT, INSERT, UPDATE ON hype.referral_link TO hype_app;
GRANT SELECT, INSERT, DELETE ON hype.link_alias TO hype_app;
GRANT SELECT ON hype.referral_hit, hype.visitor_claim, hype.confirmed_referral,
                hype.link_stats, hype.site_stats, hype.daily_hits, hype.funnel,
                hype.reward_rule, hype.reward, hype.balance, hype.event,
                hype.arg_stats
    TO hype_app;
GRANT EXECUTE ON FUNCTION
    hype.new_identifier(),
    hype.check_identifier(text, text),
    hype.is_taken(text, bigint),
    hype.rename_link(text, text),
    hype.refer(text, text),
    hype.refer(text, bigint),
    hype.create_link(text, text, text, text, timestamptz),
    hype.create_link(bigint, text, text, text, timestamptz),
    hype.claim(uuid, text),
    hype.claim(uuid, bigint),
    hype.claim_hit(uuid, text),
    hype.claim_hit(uuid, bigint),
    hype.confirm(text, text, uuid, numeric, text, interval, uuid),
    hype.confirm(text, bigint, uuid, numeric, text, interval, uuid),
    hype.revoke(text, text, text), hype.revoke(text, bigint, text),
    hype.pay_out(text, text, text), hype.pay_out(bigint, text, text),
    hype.events_after(bigint, integer),
    hype.erase(text), hype.erase(bigint),
    hype.export(text), hype.export(bigint),
    hype.owner_page(text, boolean, text),
    hype.owner_page(bigint, boolean, text)
TO hype_app;


-- The identifiers that links have, or once had: what a link has now is that
-- link's.

\if :hype_new_taken

INSERT INTO hype.taken_identifier (key, referral_link_id)
SELECT hype.user_key(l.identifier), l.id
FROM hype.referral_link l;

ALTER TABLE hype.taken_identifier ADD PRIMARY KEY (key);

INSERT INTO hype.taken_identifier (key, referral_link_id)
SELECT DISTINCT ON (f.identifier) hype.user_key(f.identifier),
       f.referral_link_id
FROM hype.former_identifier f ORDER BY f.identifier, f.until DESC
ON CONFLICT DO NOTHING;

\endif


-- Where reading begins, and what version 1 has left to do

INSERT INTO hype.log_position (name, done, backfill)
VALUES ('claims', '1:1:', NULL),
       ('erase', '1:1:', NULL),        -- these two are locks only
       ('maintain', '1:1:', NULL),
       ('roll_up', '1:1:',
        CASE WHEN :'hype_upgrade'::boolean
             THEN '00000000-0000-0000-0000-000000000000'::uuid END)
ON CONFLICT DO NOTHING;

\if :hype_upgrade

INSERT INTO hype.pending_claim (visitor, user_id, created, merged)
SELECT c.visitor, c.user_id, c.created, true
FROM hype.visitor_claim c
WHERE c.visitor IN (SELECT u.visitor FROM hype.unsettled u);

INSERT INTO hype.pending_confirm (event, user_id, visitor, value, created)
SELECT u.event, u.user_id, u.visitor, u.value, u.created
FROM hype.unmatched_confirm u;

INSERT INTO hype.confirmed_change
    (referral_link_id, subject, known, n, value)
SELECT c.referral_link_id, coalesce(hype.user_key(c.user_id), c.visitor),
       c.user_id IS NOT NULL, 1, c.value
FROM hype.confirmed_referral c;

DROP FUNCTION IF EXISTS
    hype.unsettle(uuid[], text[]),
    hype.apply_claims(uuid[], text[]),
    hype.attribute(text, text, uuid, numeric, text, timestamptz, timestamptz,
                   timestamptz),
    hype.waiting_confirms(uuid[], text[]),
    hype.retry_confirms(uuid[], text[]),
    hype.retry_confirms_at_once(uuid[], text[]),
    hype.adopt_confirmed(uuid[], text[]),
    hype.catch_up(uuid[], text[]),
    hype.settle_entries(bigint[], xid8),
    hype.add_claims(uuid[], text[]),
    hype.was_live(hype.referral_link, timestamptz);
DROP TABLE hype.unsettled, hype.unmatched_confirm;
DROP INDEX IF EXISTS hype.visitor_claim_user_id_idx;

\endif


-- What was replaced above, as Citus needs it

DO $$
BEGIN
    IF hype.distributed() THEN
        PERFORM hype.use_custom_plans();
    END IF;
END
$$;


COMMIT;

-- The first partitions: those whose hits wait for what was locked above have
-- the default partition in use.

DO $$
BEGIN
    PERFORM hype.maintain();
END
$$;

-- What is on the workers of Citus is not part of the transaction above.

DO $$
BEGIN
    IF hype.distributed() THEN
        PERFORM hype.distribute();
    END IF;
END
$$;

\if :hype_upgrade
SELECT pg_advisory_unlock(hashtextextended('hype.upgrade', 0)) AS unlocked
\gset hype_
\unset hype_unlocked
\endif

RESET search_path;
RESET standard_conforming_strings;

\if :hype_quiet
\else
\echo hype: :hype_done
\endif

\set QUIET :hype_quiet
\unset hype_quiet
\unset hype_done
\unset hype_new
\unset hype_new_2
\unset hype_new_3
\unset hype_new_erased
\unset hype_new_hits
\unset hype_new_log
\unset hype_new_trigger
\unset hype_new_truncated
\unset hype_new_claims
\unset hype_new_rewards
\unset hype_new_totals
\unset hype_new_taken
\unset hype_no_columns
\unset hype_no_codes
\unset hype_no_via
\unset hype_old_via
\unset hype_upgrade
\unset hype_owner
