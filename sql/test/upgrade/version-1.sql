-- Hype: referral links, their hits, visitors who become users, and confirmed
-- referrals.  Installs or upgrades the schema "hype", any number of times:
--
--     psql -d app -f hype.sql
--
-- as a superuser, or as the owner of the database if that role may create
-- roles (or if hype_nginx, hype_app and hype_report exist).  PostgreSQL 15 or
-- newer.
--
-- Who may do what:
--
--     hype_nginx   what the nginx module connects as: reads links, writes hits
--     hype_app     for applications (GRANT hype_app TO app): keeps links, calls
--                  create_link, claim and confirm, reads tables and views
--     hype_report  reads the views; for reports on the status page (GRANT
--                  hype_report TO hype_nginx)
--     the owner    everything; alone prunes hits by age, with hype.maintain()
--
-- Months and days are those of UTC.
--
-- Citus: hits are the only table that grows with the traffic, so they are the
-- one to distribute, by id; everything else stays on the coordinator:
--
--     SELECT citus_add_local_table_to_metadata('hype.referral_link');
--     SELECT create_distributed_table('hype.referral_hit', 'id');
--
-- Hence what would be refused there is not used with hits: foreign keys,
-- triggers, SELECT FOR UPDATE on more than one shard, modifying CTEs, joins in
-- an UPDATE, correlated subqueries.

\set hype_quiet :QUIET
\set QUIET on
\set ON_ERROR_STOP on

BEGIN;

SET LOCAL client_min_messages = warning;
SET LOCAL search_path = pg_catalog;
SET LOCAL lock_timeout = '10s';


-- Roles and schema

DO $$
DECLARE
    role       text;
    attributes text;
    setting    text;
    owner      text;
    installed  integer;
BEGIN
    IF current_setting('server_version_num')::integer < 150000 THEN
        RAISE EXCEPTION 'hype needs PostgreSQL 15 or newer, this is %',
            current_setting('server_version');
    END IF;

    -- SQL_ASCII takes any bytes, others lack most of what browsers send.

    IF current_setting('server_encoding') NOT IN ('UTF8', 'SQL_ASCII') THEN
        RAISE EXCEPTION 'hype needs a database with encoding UTF8, this has %',
            current_setting('server_encoding');
    END IF;

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
    -- hype.settle() needs each statement to see what was committed before it.
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

    SELECT pg_get_userbyid(nspowner) INTO owner
    FROM pg_namespace WHERE nspname = 'hype';

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

    IF to_regprocedure('hype.version()') IS NOT NULL THEN
        EXECUTE 'SELECT hype.version()' INTO installed;

        IF installed > 1 THEN
            RAISE EXCEPTION 'the installed schema "hype" has version %, '
                'this file has 1', installed;
        END IF;
    END IF;
END
$$;

COMMENT ON SCHEMA hype IS
    'Referral links, their hits, claims and confirmed referrals';

CREATE OR REPLACE FUNCTION hype.version() RETURNS integer
LANGUAGE sql IMMUTABLE
RETURN 1;

COMMENT ON FUNCTION hype.version() IS 'The version of this schema';


-- Tables are made once.  What a later version changes in them needs an ALTER
-- TABLE of its own, after these.

SELECT to_regclass('hype.referral_link') IS NULL AS hype_new \gset


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
COMMENT ON COLUMN hype.referral_link.expires IS
    'From then on it is as if the link were disabled';
COMMENT ON COLUMN hype.referral_link.created IS
    'When the link was made';
COMMENT ON COLUMN hype.referral_link.updated IS
    'When the link was last changed: kept by a trigger';
COMMENT ON SEQUENCE hype.referral_link_id_seq IS
    'Numbers for referral_link.id';
COMMENT ON INDEX hype.referral_link_pkey IS
    'The link of a hit';
COMMENT ON INDEX hype.referral_link_identifier_key IS
    'The link of a request';
COMMENT ON CONSTRAINT referral_link_identifier_check
    ON hype.referral_link IS
    'What a URL''s path can hold unescaped, and what the module accepts';
COMMENT ON CONSTRAINT referral_link_user_id_check ON hype.referral_link IS
    'The module may put the value into a header line: $hype_referrer';
COMMENT ON CONSTRAINT referral_link_destination_check
    ON hype.referral_link IS
    'No control characters and no spaces: the value becomes a header line';


CREATE OR REPLACE FUNCTION hype.stamp_link() RETURNS trigger
LANGUAGE plpgsql
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

    IF NEW.disabled THEN
        NEW.disabled_at := coalesce(NEW.disabled_at, OLD.disabled_at, since);
    ELSE
        NEW.disabled_at := NULL;
    END IF;

    RETURN NEW;
END
$$;

COMMENT ON FUNCTION hype.stamp_link() IS
    'Trigger: keeps referral_link.disabled_at and updated';


CREATE OR REPLACE FUNCTION hype.notify_link() RETURNS trigger
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    changed bigint;
BEGIN
    IF TG_OP = 'INSERT' THEN
        SELECT count(*) INTO changed FROM new_rows;
    ELSIF TG_OP <> 'TRUNCATE' THEN
        SELECT count(*) INTO changed FROM old_rows;
    END IF;

    IF changed IS NULL OR changed > 1000 THEN
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

COMMENT ON FUNCTION hype.notify_link() IS
    'Trigger: sends NOTIFY hype_link with the identifier of each changed link, '
    'old and new one, or without payload if all may have changed';

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
    IF create_link.identifier IS NOT NULL THEN
        INSERT INTO hype.referral_link
            (identifier, user_id, destination, label, expires)
        VALUES (create_link.identifier, create_link.user_id,
                create_link.destination, create_link.label,
                create_link.expires)
        RETURNING * INTO link;

        RETURN link;
    END IF;

    LOOP
        INSERT INTO hype.referral_link
            (identifier, user_id, destination, label, expires)
        VALUES (hype.new_identifier(), create_link.user_id,
                create_link.destination, create_link.label,
                create_link.expires)
        ON CONFLICT (identifier) DO NOTHING
        RETURNING * INTO link;

        IF FOUND THEN
            RETURN link;
        END IF;
    END LOOP;
END
$$;

COMMENT ON FUNCTION hype.create_link(text, text, text, text, timestamptz) IS
    'Makes a link; without an identifier it gets a random one. An identifier '
    'that is taken is an error (unique_violation)';


CREATE OR REPLACE FUNCTION hype.was_live(
    link hype.referral_link, at timestamptz
)
RETURNS boolean
LANGUAGE sql IMMUTABLE
RETURN NOT ((link).disabled AND (link).disabled_at <= at)
       AND ((link).expires IS NULL OR (link).expires > at);

COMMENT ON FUNCTION hype.was_live(hype.referral_link, timestamptz) IS
    'Whether the link was neither disabled nor expired at that time';


-- Hits
--
-- Written at up to 100,000 rows a second, so each index has to be worth what
-- it costs.  The one on random visitors costs most; those on users and days
-- are nearly free.

\if :hype_new

CREATE TABLE hype.referral_hit (
    id               uuid NOT NULL DEFAULT gen_random_uuid(),
    referral_link_id bigint NOT NULL,
    created          timestamptz NOT NULL DEFAULT now(),
    confirmed        timestamptz,
    authenticated    boolean NOT NULL DEFAULT false,
    bot              boolean NOT NULL DEFAULT false,
    visitor          uuid,
    user_id          text,
    ip               inet,
    user_agent       text,
    http_referer     text,
    next             text,
    PRIMARY KEY (id, created)
) PARTITION BY RANGE (created);

-- The hits of a visitor: for claims, and for whoever asks for a visitor's.

CREATE INDEX referral_hit_visitor_idx ON hype.referral_hit (visitor)
    WHERE visitor IS NOT NULL;

-- The hits of a user, for confirming.

CREATE INDEX referral_hit_user_id_idx ON hype.referral_hit (user_id, created)
    WHERE user_id IS NOT NULL;

-- The views, for one link.

CREATE INDEX referral_hit_referral_link_id_idx
    ON hype.referral_hit (referral_link_id, created);

-- hype.daily_hits, for some days: without it all months would be read.

CREATE INDEX referral_hit_day_idx
    ON hype.referral_hit USING brin (((created AT TIME ZONE 'UTC')::date))
    WITH (autosummarize = on);

\endif

COMMENT ON TABLE hype.referral_hit IS
    'One following of a link a row; a partition a month, made by '
    'hype.maintain()';
COMMENT ON COLUMN hype.referral_hit.id IS
    'UUIDv7 made by nginx, which makes a second insert harmless';
COMMENT ON COLUMN hype.referral_hit.referral_link_id IS
    'referral_link.id, without a foreign key: it would cost a third of the '
    'speed, and Citus can''t have it';
COMMENT ON COLUMN hype.referral_hit.created IS
    'Time of the request';
COMMENT ON COLUMN hype.referral_hit.confirmed IS
    'Time of the first confirmed referral that this hit was credited with';
COMMENT ON COLUMN hype.referral_hit.authenticated IS
    'The user was known when the hit was made';
COMMENT ON COLUMN hype.referral_hit.bot IS
    'hype_bot in nginx matched; not counted as a hit by the views, and never '
    'credited';
COMMENT ON COLUMN hype.referral_hit.visitor IS
    'The anonymous cookie''s UUID; NULL if authenticated or without consent';
COMMENT ON COLUMN hype.referral_hit.user_id IS
    'Who followed the link: known at once if authenticated, else set when the '
    'visitor is claimed';
COMMENT ON COLUMN hype.referral_hit.ip IS
    'Address of the client, as hype_ip in nginx has it';
COMMENT ON COLUMN hype.referral_hit.user_agent IS
    'User-Agent of the request';
COMMENT ON COLUMN hype.referral_hit.http_referer IS
    'Referer of the request';
COMMENT ON COLUMN hype.referral_hit.next IS
    'The target that the request asked for, safe or not';
COMMENT ON INDEX hype.referral_hit_pkey IS
    'A hit is inserted once';
COMMENT ON INDEX hype.referral_hit_visitor_idx IS
    'The hits of a visitor';
COMMENT ON INDEX hype.referral_hit_user_id_idx IS
    'The hits of a user, for confirming';
COMMENT ON INDEX hype.referral_hit_referral_link_id_idx IS
    'The hits of a link, for the views';
COMMENT ON INDEX hype.referral_hit_day_idx IS
    'The hits of some days, for hype.daily_hits';

-- LIKE brings the comments along.

\if :hype_new

CREATE TABLE hype.referral_hit_default
    (LIKE hype.referral_hit INCLUDING ALL);

ALTER TABLE hype.referral_hit
    ATTACH PARTITION hype.referral_hit_default DEFAULT;

\endif

COMMENT ON TABLE hype.referral_hit_default IS
    'Hits of months without a partition: none can fail for want of one';


-- Claims

\if :hype_new

CREATE TABLE hype.visitor_claim (
    visitor uuid PRIMARY KEY,
    user_id text NOT NULL CHECK (user_id <> ''),
    created timestamptz NOT NULL DEFAULT now()
);

CREATE INDEX visitor_claim_user_id_idx
    ON hype.visitor_claim (user_id);

\endif

COMMENT ON TABLE hype.visitor_claim IS
    'Visitors who turned out to be users; the first claim wins';
COMMENT ON COLUMN hype.visitor_claim.visitor IS
    'The anonymous cookie''s UUID';
COMMENT ON COLUMN hype.visitor_claim.user_id IS
    'The user that the visitor is';
COMMENT ON COLUMN hype.visitor_claim.created IS
    'When the claim was made';
COMMENT ON CONSTRAINT visitor_claim_user_id_check ON hype.visitor_claim IS
    'An empty user is none';
COMMENT ON INDEX hype.visitor_claim_pkey IS
    'The user of a visitor; one only';
COMMENT ON INDEX hype.visitor_claim_user_id_idx IS
    'The visitors of a user, for confirming';


\if :hype_new

CREATE TABLE hype.unsettled (
    id      bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    visitor uuid,
    user_id text,
    horizon xid8
);

CREATE INDEX unsettled_horizon_idx
    ON hype.unsettled (horizon);

\endif

COMMENT ON TABLE hype.unsettled IS
    'Visitors and users about whom transactions that ran side by side may have '
    'missed each other''s hits, claims or confirms; hype.settle() works it off';
COMMENT ON COLUMN hype.unsettled.id IS
    'Nothing but a key';
COMMENT ON COLUMN hype.unsettled.visitor IS
    'The visitor, if one is concerned';
COMMENT ON COLUMN hype.unsettled.user_id IS
    'The user, if one is concerned';
COMMENT ON COLUMN hype.unsettled.horizon IS
    'Only transactions older than this one can have missed it; NULL: not yet '
    'seen by hype.settle()';
COMMENT ON SEQUENCE hype.unsettled_id_seq IS
    'Numbers for unsettled.id';
COMMENT ON INDEX hype.unsettled_pkey IS
    'Nothing but a key';
COMMENT ON INDEX hype.unsettled_horizon_idx IS
    'Those to be looked at now';


-- Confirmed referrals

\if :hype_new

CREATE TABLE hype.confirmed_referral (
    event            text NOT NULL CHECK (event <> ''),
    user_id          text NOT NULL,
    referral_hit_id  uuid NOT NULL,
    referral_link_id bigint NOT NULL,
    referrer         text,
    value            numeric,
    created          timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (user_id, event)
);

CREATE INDEX confirmed_referral_referral_link_id_idx
    ON hype.confirmed_referral (referral_link_id);

\endif

COMMENT ON TABLE hype.confirmed_referral IS
    'Referred users who completed what the site wanted: once an event and user';
COMMENT ON COLUMN hype.confirmed_referral.event IS
    'What was completed, such as "signup"';
COMMENT ON COLUMN hype.confirmed_referral.user_id IS
    'The referred user; as long as only the visitor is known, its UUID';
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
COMMENT ON CONSTRAINT confirmed_referral_event_check
    ON hype.confirmed_referral IS
    'An event has a name';
COMMENT ON INDEX hype.confirmed_referral_pkey IS
    'Once an event and user; the user first, for claims';
COMMENT ON INDEX hype.confirmed_referral_referral_link_id_idx IS
    'The confirmed referrals of a link, for the views';


\if :hype_new

CREATE TABLE hype.unmatched_confirm (
    event   text NOT NULL,
    user_id text,
    visitor uuid,
    value   numeric,
    created timestamptz NOT NULL,
    UNIQUE NULLS NOT DISTINCT (user_id, visitor, event, created)
);

CREATE INDEX unmatched_confirm_visitor_idx
    ON hype.unmatched_confirm (visitor);

\endif

COMMENT ON TABLE hype.unmatched_confirm IS
    'Confirms of nginx that found no hit: the first and the latest of each '
    'event, user and visitor, tried again when a hit or claim arrives late';
COMMENT ON COLUMN hype.unmatched_confirm.event IS
    'As in confirmed_referral';
COMMENT ON COLUMN hype.unmatched_confirm.user_id IS
    'The user, if known';
COMMENT ON COLUMN hype.unmatched_confirm.visitor IS
    'The visitor, if known';
COMMENT ON COLUMN hype.unmatched_confirm.value IS
    'As in confirmed_referral';
COMMENT ON COLUMN hype.unmatched_confirm.created IS
    'Time of the request';
COMMENT ON INDEX hype.unmatched_confirm_user_id_visitor_event_created_key IS
    'Those of a user; a second call with the same values changes nothing';
COMMENT ON INDEX hype.unmatched_confirm_visitor_idx IS
    'Those of a visitor';


-- Hits, claims and confirms that belong together may arrive in any order, or
-- at once in transactions that can't see each other; the outcome is the same.
--
-- What sees the other, acts on it: hype.claim() gives the visitor's hits their
-- user; hype.settle(visitors, users), called in the transaction that writes
-- hits, applies claims to them.  What is left is a claim that was not
-- committed yet when settle() looked, made by a transaction that could not see
-- the hits yet either.  Locks would solve it, but hits must never wait for an
-- application's transaction.
--
-- So a claim leaves a row in hype.unsettled, and once that is committed,
-- hype.settle() stamps it with its own transaction id, the horizon.  Whoever
-- missed the claim had looked before that, and had its transaction id before
-- it looked.  When no transaction older than the horizon runs any more, all of
-- them have ended: what they wrote is visible, and the claim is applied to it.
-- The same goes for confirms that found no hit.
--
-- A transaction's id is needed, pg_snapshot_xmax() is no upper bound: it is
-- one past the newest transaction that has ended, and newer ones may run.
--
-- It relies on READ COMMITTED, in which each statement sees what was committed
-- before it began: applications may use other levels, writers of hits may not.

CREATE OR REPLACE FUNCTION hype.unsettle(visitors uuid[], users text[])
RETURNS void
LANGUAGE sql VOLATILE
BEGIN ATOMIC
    INSERT INTO hype.unsettled (visitor, user_id)
    SELECT u.visitor, u.user_id
    FROM unnest(visitors, users) AS u (visitor, user_id);

    SELECT pg_notify('hype_claim', '');
END;

COMMENT ON FUNCTION hype.unsettle(uuid[], text[]) IS
    'Has hype.settle() look at these visitors and users; sends NOTIFY '
    'hype_claim, whose listeners call it';


-- enable_seqscan here and below: these statements are for a few hits among
-- many, but their plans live as long as the connection, and one made while a
-- month's partition was small would read all of it.

CREATE OR REPLACE FUNCTION hype.apply_claims(visitors uuid[], users text[])
RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
AS $$
DECLARE
    hit     record;
    applied bigint := 0;
BEGIN
    -- A hit that is locked belongs to another transaction, so that claim is
    -- still unsettled: left to hype.settle(), as nothing here may wait.

    FOR hit IN
        SELECT h.id, h.created, h.visitor
        FROM hype.referral_hit h
        WHERE h.visitor = ANY (visitors) AND h.user_id IS NULL
    LOOP
        PERFORM 1
        FROM hype.referral_hit h
        WHERE h.id = hit.id AND h.created = hit.created AND h.user_id IS NULL
        FOR UPDATE SKIP LOCKED;

        CONTINUE WHEN NOT FOUND;

        UPDATE hype.referral_hit h
        SET user_id = users[array_position(visitors, hit.visitor)]
        WHERE h.id = hit.id AND h.created = hit.created;

        applied := applied + 1;
    END LOOP;

    RETURN applied;
END
$$;

COMMENT ON FUNCTION hype.apply_claims(uuid[], text[]) IS
    'Gives the hits of each claimed visitor, where they have none, the user at '
    'the same place of the other array; returns their number. Never waits';


CREATE OR REPLACE FUNCTION hype.attribute(
    event    text,
    user_id  text,
    visitor  uuid,
    value    numeric,
    model    text,
    since    timestamptz,
    until    timestamptz,
    at       timestamptz,
    OUT known boolean,
    OUT made hype.confirmed_referral
)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
AS $$
#variable_conflict use_column
DECLARE
    claimant text;
    subject  text;
    visitors uuid[];
    hit      record;
    link     hype.referral_link;
BEGIN
    SELECT c.user_id INTO claimant
    FROM hype.visitor_claim c
    WHERE c.visitor = attribute.visitor;

    subject := coalesce(attribute.user_id, claimant, attribute.visitor::text);

    visitors := ARRAY(SELECT c.visitor
                      FROM hype.visitor_claim c
                      WHERE c.user_id = subject);

    IF claimant IS NULL AND attribute.visitor IS NOT NULL THEN
        visitors := visitors || attribute.visitor;
    END IF;

    known := EXISTS (
        SELECT FROM hype.confirmed_referral c
        WHERE c.event = attribute.event
          AND c.user_id = ANY (visitors::text[] || subject)
    );

    IF known THEN
        RETURN;
    END IF;

    FOR hit IN
        SELECT h.id, h.created, h.referral_link_id
        FROM (SELECT u.id, u.created, u.referral_link_id
              FROM hype.referral_hit u
              WHERE u.user_id = subject
                AND u.created > since AND u.created <= until AND NOT u.bot
              UNION ALL
              SELECT v.id, v.created, v.referral_link_id
              FROM hype.referral_hit v
              WHERE v.visitor = ANY (visitors) AND v.user_id IS NULL
                AND v.created > since AND v.created <= until AND NOT v.bot
             ) AS h
        ORDER BY CASE WHEN model = 'first' THEN h.created END,
                 CASE WHEN model = 'first' THEN h.id END,
                 h.created DESC, h.id DESC
    LOOP
        SELECT l.* INTO link
        FROM hype.referral_link l
        WHERE l.id = hit.referral_link_id
          AND l.user_id IS DISTINCT FROM subject
          AND hype.was_live(l, hit.created);

        EXIT WHEN FOUND;
    END LOOP;

    IF link.id IS NULL THEN
        RETURN;
    END IF;

    -- Whoever else is about to confirm the same, waits here for our end.

    INSERT INTO hype.confirmed_referral
        (event, user_id, referral_hit_id, referral_link_id, referrer, value,
         created)
    VALUES (attribute.event, subject, hit.id, link.id, link.user_id,
            attribute.value, at)
    ON CONFLICT (user_id, event) DO NOTHING
    RETURNING * INTO made;

    known := true;

    IF NOT FOUND THEN
        RETURN;
    END IF;

    UPDATE hype.referral_hit h
    SET confirmed = at
    WHERE h.id = hit.id
      AND h.created = hit.created
      AND (h.confirmed IS NULL OR h.confirmed > at);

    IF attribute.user_id IS NULL AND claimant IS NULL THEN
        PERFORM hype.unsettle(ARRAY[attribute.visitor], NULL);
    END IF;
END
$$;

COMMENT ON FUNCTION hype.attribute(
    text, text, uuid, numeric, text, timestamptz, timestamptz, timestamptz
) IS
    'Confirms the event if a hit of the user or visitor deserves it. Returns '
    'whether it is confirmed, be it by this call or before, and the row if by '
    'this call';


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
SET enable_seqscan = off
AS $$
#variable_conflict use_column
DECLARE
    uid    text := nullif(record_confirm.user_id, '');
    result record;
    first  timestamptz;
    latest timestamptz;
BEGIN
    IF record_confirm.event IS NULL OR record_confirm.event = '' THEN
        RAISE EXCEPTION 'hype.record_confirm: the event is empty'
            USING ERRCODE = 'invalid_parameter_value';
    END IF;

    IF uid IS NULL AND record_confirm.visitor IS NULL THEN
        RAISE EXCEPTION 'hype.record_confirm: neither user nor visitor'
            USING ERRCODE = 'invalid_parameter_value';
    END IF;

    IF record_confirm.created IS NULL THEN
        RAISE EXCEPTION 'hype.record_confirm: no time'
            USING ERRCODE = 'invalid_parameter_value';
    END IF;

    result := hype.attribute(
        record_confirm.event, uid, record_confirm.visitor,
        record_confirm.value, 'last',
        record_confirm.created - interval '90 days',
        record_confirm.created, record_confirm.created);

    IF result.known THEN
        RETURN (result.made).event IS NOT NULL;
    END IF;

    INSERT INTO hype.unmatched_confirm (event, user_id, visitor, value, created)
    VALUES (record_confirm.event, uid, record_confirm.visitor,
            record_confirm.value, record_confirm.created)
    ON CONFLICT DO NOTHING;

    IF NOT FOUND THEN
        RETURN false;
    END IF;

    PERFORM hype.unsettle(ARRAY[record_confirm.visitor], ARRAY[uid]);

    -- A page that is visited again and again must not fill the table.

    SELECT min(u.created), max(u.created) INTO first, latest
    FROM hype.unmatched_confirm u
    WHERE (u.user_id = uid OR u.visitor = record_confirm.visitor)
      AND u.user_id IS NOT DISTINCT FROM uid
      AND u.visitor IS NOT DISTINCT FROM record_confirm.visitor
      AND u.event = record_confirm.event;

    DELETE FROM hype.unmatched_confirm u
    WHERE (u.user_id = uid OR u.visitor = record_confirm.visitor)
      AND u.user_id IS NOT DISTINCT FROM uid
      AND u.visitor IS NOT DISTINCT FROM record_confirm.visitor
      AND u.event = record_confirm.event
      AND u.created > first
      AND u.created < latest;

    RETURN false;
END
$$;

COMMENT ON FUNCTION hype.record_confirm(
    text, text, uuid, numeric, timestamptz
) IS
    'Confirms as of a time, for nginx: the last hit of the 90 days before it '
    'is credited. Returns whether this call did it; where there is no hit, it '
    'is tried again when one arrives late. A second call changes nothing';


CREATE OR REPLACE FUNCTION hype.waiting_confirms(visitors uuid[], users text[])
RETURNS SETOF hype.unmatched_confirm
LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT u.*
    FROM hype.unmatched_confirm u
    WHERE u.user_id = ANY (users)
       OR u.visitor = ANY (visitors
                           || ARRAY(SELECT c.visitor
                                    FROM hype.visitor_claim c
                                    WHERE c.user_id = ANY (users)));
END;

COMMENT ON FUNCTION hype.waiting_confirms(uuid[], text[]) IS
    'The unmatched confirms of these visitors and users, and of the visitors '
    'that these users have claimed';


CREATE OR REPLACE FUNCTION hype.retry_confirms(visitors uuid[], users text[])
RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
AS $$
DECLARE
    confirm   hype.unmatched_confirm;
    result    record;
    confirmed bigint := 0;
BEGIN
    FOR confirm IN
        SELECT w.*
        FROM hype.waiting_confirms(visitors, users) w
        ORDER BY w.created
    LOOP
        result := hype.attribute(
            confirm.event, confirm.user_id, confirm.visitor, confirm.value,
            'last', confirm.created - interval '90 days', confirm.created,
            confirm.created);

        CONTINUE WHEN NOT result.known;

        DELETE FROM hype.unmatched_confirm u
        WHERE (u.user_id = confirm.user_id OR u.visitor = confirm.visitor)
          AND u IS NOT DISTINCT FROM confirm;

        confirmed := confirmed + ((result.made).event IS NOT NULL)::integer;
    END LOOP;

    RETURN confirmed;
END
$$;

COMMENT ON FUNCTION hype.retry_confirms(uuid[], text[]) IS
    'Tries the unmatched confirms of these visitors and users again; returns '
    'the number of those that are confirmed now';


CREATE OR REPLACE FUNCTION hype.retry_confirms_at_once(
    visitors uuid[], users text[]
)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET lock_timeout = '1ms'
AS $$
BEGIN
    PERFORM hype.retry_confirms(visitors, users);
EXCEPTION WHEN lock_not_available THEN
    NULL;     -- hype.settle() will do it
END
$$;

COMMENT ON FUNCTION hype.retry_confirms_at_once(uuid[], text[]) IS
    'The same, or nothing at all if it would have to wait';


CREATE OR REPLACE FUNCTION hype.adopt_confirmed(visitors uuid[], users text[])
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
AS $$
DECLARE
    referral hype.confirmed_referral;
    claimant text;
    others   timestamptz;
BEGIN
    FOR referral IN
        SELECT c.*
        FROM hype.confirmed_referral c
        WHERE c.user_id = ANY (visitors::text[])
    LOOP
        claimant := users[array_position(visitors, referral.user_id::uuid)];

        IF referral.referrer = claimant THEN
            -- The visitor was the link's owner: that never was a referral,
            -- but another hit may be.

            DELETE FROM hype.confirmed_referral c
            WHERE c.user_id = referral.user_id AND c.event = referral.event;

            SELECT min(c.created) INTO others
            FROM hype.confirmed_referral c
            WHERE c.referral_link_id = referral.referral_link_id
              AND c.referral_hit_id = referral.referral_hit_id;

            UPDATE hype.referral_hit h
            SET confirmed = others
            WHERE h.id = referral.referral_hit_id;

            PERFORM hype.record_confirm(referral.event, claimant, NULL,
                                        referral.value, referral.created);
            CONTINUE;
        END IF;

        BEGIN
            UPDATE hype.confirmed_referral c
            SET user_id = claimant
            WHERE c.user_id = referral.user_id AND c.event = referral.event;
        EXCEPTION WHEN unique_violation THEN
            NULL;     -- the user has that event already; both were credited
        END;
    END LOOP;
END
$$;

COMMENT ON FUNCTION hype.adopt_confirmed(uuid[], text[]) IS
    'Replaces each visitor in confirmed_referral.user_id by the user at the '
    'same place of the other array, unless that user has the event already';


CREATE OR REPLACE FUNCTION hype.catch_up(visitors uuid[], users text[])
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
AS $$
DECLARE
    claimed   uuid[];
    claimants text[];
BEGIN
    SELECT array_agg(c.visitor), array_agg(c.user_id)
    INTO claimed, claimants
    FROM hype.visitor_claim c
    WHERE c.visitor = ANY (visitors);

    PERFORM hype.apply_claims(claimed, claimants);
    PERFORM hype.adopt_confirmed(claimed, claimants);
    PERFORM hype.retry_confirms(visitors, users || claimants);
END
$$;

COMMENT ON FUNCTION hype.catch_up(uuid[], text[]) IS
    'Applies claims of these visitors to all that is visible, then tries '
    'unmatched confirms of these visitors and users again';


CREATE OR REPLACE FUNCTION hype.settle_entries(entries bigint[], past xid8)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
AS $$
DECLARE
    visitors uuid[];
    users    text[];
    claimed  uuid[];
    waiting  uuid[];
BEGIN
    SELECT array_agg(DISTINCT u.visitor), array_agg(DISTINCT u.user_id)
    INTO visitors, users
    FROM hype.unsettled u
    WHERE u.id = ANY (entries);

    PERFORM hype.catch_up(visitors, users);

    -- Hits that are locked have been left out.

    SELECT array_agg(c.visitor) INTO claimed
    FROM hype.visitor_claim c
    WHERE c.visitor = ANY (visitors);

    waiting := ARRAY(SELECT h.visitor
                     FROM hype.referral_hit h
                     WHERE h.visitor = ANY (claimed) AND h.user_id IS NULL);

    DELETE FROM hype.unsettled u
    WHERE u.id = ANY (entries)
      AND u.horizon <= past
      AND (u.visitor = ANY (waiting)) IS NOT TRUE;
END
$$;

COMMENT ON FUNCTION hype.settle_entries(bigint[], xid8) IS
    'Catches up for these rows of hype.unsettled, and deletes those whose '
    'horizon has passed';


CREATE OR REPLACE FUNCTION hype.settle() RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET lock_timeout = '100ms'
AS $$
DECLARE
    can_stamp boolean := pg_current_xact_id_if_assigned() IS NULL;
    fresh     bigint[];
    entries   bigint[];
    entry     bigint;
    past      xid8;
BEGIN
    IF NOT pg_try_advisory_xact_lock(hashtextextended('hype.settle', 0)) THEN
        RETURN (SELECT count(*) FROM hype.unsettled);
    END IF;

    -- A horizon in the future comes from another cluster, by a dump.

    fresh := ARRAY(
        SELECT u.id
        FROM hype.unsettled u
        WHERE u.horizon IS NULL
           OR u.horizon >= pg_snapshot_xmax(pg_current_snapshot())
        ORDER BY u.id
        LIMIT 1000
    );

    -- Our transaction id is a horizon only if we get it now, after we have
    -- seen those rows, and it can't be if some are our own: a caller that has
    -- written before leaves them to the next one.

    IF can_stamp THEN
        UPDATE hype.unsettled u
        SET horizon = pg_current_xact_id()
        WHERE u.id = ANY (fresh);
    END IF;

    past := pg_snapshot_xmin(pg_current_snapshot());

    -- The statements that follow see all transactions before "past".

    entries := fresh || ARRAY(
        SELECT u.id
        FROM hype.unsettled u
        WHERE u.horizon <= past AND u.id <> ALL (fresh)
        ORDER BY u.id
        LIMIT 1000
    );

    BEGIN
        PERFORM hype.settle_entries(entries, past);
    EXCEPTION WHEN lock_not_available OR deadlock_detected THEN
        -- A transaction that confirms the same is open: go round it.

        FOREACH entry IN ARRAY entries[:50] LOOP
            BEGIN
                PERFORM hype.settle_entries(ARRAY[entry], past);
            EXCEPTION WHEN lock_not_available OR deadlock_detected THEN
                NULL;
            END;
        END LOOP;
    END;

    RETURN (SELECT count(*) FROM hype.unsettled);
END
$$;

COMMENT ON FUNCTION hype.settle() IS
    'Has hits, claims and confirms of transactions that ran side by side find '
    'each other. Returns how many are left: call again a little later if not '
    '0. Called on NOTIFY hype_claim, and by hype.maintain()';


CREATE OR REPLACE FUNCTION hype.settle(
    visitors uuid[], users text[] DEFAULT '{}'
)
RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
AS $$
DECLARE
    claimed   uuid[];
    claimants text[];
    applied   bigint := 0;
    waiting   uuid[];
    waiters   text[];
BEGIN
    -- From here on hype.settle() waits for our end.  COPY has seen to that,
    -- but for Citus, where hits are written by others.

    PERFORM pg_current_xact_id();

    SELECT array_agg(c.visitor), array_agg(c.user_id)
    INTO claimed, claimants
    FROM hype.visitor_claim c
    WHERE c.visitor = ANY (visitors);

    IF claimed IS NOT NULL THEN
        applied := hype.apply_claims(claimed, claimants);
    END IF;

    SELECT array_agg(u.visitor), array_agg(u.user_id)
    INTO waiting, waiters
    FROM (SELECT DISTINCT w.visitor, w.user_id
          FROM hype.waiting_confirms(visitors, users || claimants) w) AS u;

    IF waiting IS NOT NULL THEN
        PERFORM hype.unsettle(waiting, waiters);
        PERFORM hype.retry_confirms_at_once(visitors, users || claimants);
    END IF;

    RETURN applied;
END
$$;

COMMENT ON FUNCTION hype.settle(uuid[], text[]) IS
    'In the transaction that writes hits: applies claims of their visitors, '
    'and tries unmatched confirms of their visitors and users again. Returns '
    'the number of hits that got a user. Never waits for an application''s '
    'transaction. To be given: each visitor whose cookie was sent out before, '
    'and each user of an authenticated hit';


CREATE OR REPLACE FUNCTION hype.add_claims(visitors uuid[], user_ids text[])
RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    claimed   uuid[];
    claimants text[];
BEGIN
    -- In the order of visitors, so that two calls can't wait for each other.

    WITH added AS (
        INSERT INTO hype.visitor_claim (visitor, user_id)
        SELECT DISTINCT ON (c.visitor) c.visitor, c.user_id
        FROM unnest(visitors, user_ids)
             WITH ORDINALITY AS c (visitor, user_id, place)
        WHERE c.visitor IS NOT NULL AND c.user_id <> ''
        ORDER BY c.visitor, c.place
        ON CONFLICT DO NOTHING
        RETURNING visitor, user_id
    )
    SELECT array_agg(a.visitor), array_agg(a.user_id)
    INTO claimed, claimants
    FROM added a;

    IF claimed IS NULL THEN
        RETURN 0;
    END IF;

    PERFORM hype.unsettle(claimed, claimants);
    PERFORM hype.catch_up(claimed, claimants);

    RETURN cardinality(claimed);
END
$$;

COMMENT ON FUNCTION hype.add_claims(uuid[], text[]) IS
    'Makes the claims of visitors that are not claimed, returns their number';


CREATE OR REPLACE FUNCTION hype.claim(visitor uuid, user_id text)
RETURNS text
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
BEGIN
    IF claim.visitor IS NULL THEN
        RAISE EXCEPTION 'hype.claim: no visitor'
            USING ERRCODE = 'invalid_parameter_value';
    END IF;

    IF claim.user_id IS NULL OR claim.user_id = '' THEN
        RAISE EXCEPTION 'hype.claim: no user'
            USING ERRCODE = 'invalid_parameter_value';
    END IF;

    PERFORM hype.add_claims(ARRAY[claim.visitor], ARRAY[claim.user_id]);

    RETURN (SELECT c.user_id
            FROM hype.visitor_claim c
            WHERE c.visitor = claim.visitor);
END
$$;

COMMENT ON FUNCTION hype.claim(uuid, text) IS
    'The visitor is this user, unless claimed before: the first claim wins. '
    'All hits of the visitor, past and future, get that user. Returns the '
    'user that the visitor belongs to';


CREATE OR REPLACE FUNCTION hype.claim_batch(visitors uuid[], user_ids text[])
RETURNS bigint
LANGUAGE sql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET lock_timeout = '20ms'
AS $$
    SELECT hype.add_claims(visitors, user_ids)
$$;

COMMENT ON FUNCTION hype.claim_batch(uuid[], text[]) IS
    'hype.claim() for several, for nginx: earlier ones of the arrays win. '
    'Returns the number of new claims; fails with lock_not_available if an '
    'open transaction claims one of the visitors';


-- Batches from the spool, or of unknown fate

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
    identifiers       text[]
)
RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    inserted bigint;
BEGIN
    -- A hit that has its link was judged when it was made.

    INSERT INTO hype.referral_hit
        (id, referral_link_id, created, authenticated, bot, visitor, user_id,
         ip, user_agent, http_referer, next)
    SELECT r.id, coalesce(r.referral_link_id, l.id), r.created,
           r.authenticated, r.bot, r.visitor, r.user_id, r.ip, r.user_agent,
           r.http_referer, r.next
    FROM unnest(ids, referral_link_ids, replay.created, replay.authenticated,
                replay.bot, visitors, user_ids, ips, user_agents,
                http_referers, nexts, identifiers)
         AS r (id, referral_link_id, created, authenticated, bot, visitor,
               user_id, ip, user_agent, http_referer, next, identifier)
    LEFT JOIN hype.referral_link l
           ON r.referral_link_id IS NULL AND l.identifier = r.identifier
    WHERE r.referral_link_id IS NOT NULL OR hype.was_live(l, r.created)
    ON CONFLICT (id, created) DO NOTHING;

    GET DIAGNOSTICS inserted = ROW_COUNT;

    PERFORM hype.settle(visitors, user_ids);

    RETURN inserted;
END
$$;

COMMENT ON FUNCTION hype.replay(
    uuid[], bigint[], timestamptz[], boolean[], boolean[], uuid[], text[],
    inet[], text[], text[], text[], text[]
) IS
    'Inserts hits that are not there yet, then does what hype.settle(visitors, '
    'users) does; returns the number inserted. A hit without link gets that of '
    'its identifier, and is left out if there is none, or if it was disabled '
    'or expired at the time';


-- Confirming

CREATE OR REPLACE FUNCTION hype.confirm(
    event    text,
    user_id  text DEFAULT NULL,
    visitor  uuid DEFAULT NULL,
    value    numeric DEFAULT NULL,
    model    text DEFAULT 'last',
    "window" interval DEFAULT '90 days'
)
RETURNS SETOF hype.confirmed_referral
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    uid    text := nullif(confirm.user_id, '');
    result record;
BEGIN
    IF confirm.event IS NULL OR confirm.event = '' THEN
        RAISE EXCEPTION 'hype.confirm: the event is empty'
            USING ERRCODE = 'invalid_parameter_value';
    END IF;

    IF uid IS NULL AND confirm.visitor IS NULL THEN
        RAISE EXCEPTION 'hype.confirm: neither user nor visitor'
            USING ERRCODE = 'invalid_parameter_value';
    END IF;

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

    -- Whatever hit is visible was made before this call, whether or not the
    -- clocks of nginx and the database agree.

    result := hype.attribute(confirm.event, uid, confirm.visitor,
                             confirm.value, confirm.model,
                             now() - "window", 'infinity', now());

    IF (result.made).event IS NOT NULL THEN
        RETURN NEXT result.made;
    END IF;
END
$$;

COMMENT ON FUNCTION hype.confirm(
    text, text, uuid, numeric, text, interval
) IS
    'The user, or the visitor as long as no user has claimed it, completed the '
    'event: credits the first or last of their hits within the window, once an '
    'event and user, and returns the row to the one call that did. Never '
    'credited: one''s own link, a hit made while its link was disabled or '
    'expired, a bot. A link without owner is credited with referrer NULL';


CREATE OR REPLACE FUNCTION hype.to_numeric(val text) RETURNS numeric
LANGUAGE sql IMMUTABLE
RETURN CASE
    WHEN length(val) <= 100
         AND val ~ '^\s*[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d{1,2})?\s*$'
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
SET lock_timeout = '20ms'
AS $$
#variable_conflict use_column
DECLARE
    confirm   record;
    confirmed bigint := 0;
BEGIN
    FOR confirm IN
        SELECT c.event, c.user_id, c.visitor, hype.to_numeric(c.val) AS value,
               c.created
        FROM unnest(events, user_ids, visitors, vals, confirm_batch.created)
             AS c (event, user_id, visitor, val, created)
        WHERE c.event <> ''
          AND (c.user_id <> '' OR c.visitor IS NOT NULL)
          AND c.created IS NOT NULL
        ORDER BY c.created, c.event, c.user_id, c.visitor
    LOOP
        confirmed := confirmed
            + hype.record_confirm(confirm.event, confirm.user_id,
                                  confirm.visitor, confirm.value,
                                  confirm.created)::integer;
    END LOOP;

    RETURN confirmed;
END
$$;

COMMENT ON FUNCTION hype.confirm_batch(
    text[], text[], uuid[], text[], timestamptz[]
) IS
    'hype.record_confirm() for several, for nginx; values that are no number '
    'count as NULL. Returns the number confirmed; fails with '
    'lock_not_available if an open transaction confirms one of them';


-- Upkeep

CREATE OR REPLACE FUNCTION hype.add_partition(month timestamptz)
RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET timezone = 'UTC'
AS $$
DECLARE
    until timestamptz := month + interval '1 month';
    name  text := to_char(month, '"referral_hit_"YYYY_MM');
    moved bigint;
BEGIN
    EXECUTE format('CREATE TABLE hype.%I '
                   '(LIKE hype.referral_hit INCLUDING ALL)', name);
    EXECUTE format('COMMENT ON TABLE hype.%I IS %L', name,
                   to_char(month, '"Hits of "YYYY-MM'));

    -- CREATE TABLE PARTITION OF would lock out all hits; ATTACH only those
    -- who are in the default partition, while its few rows are read.

    LOCK TABLE hype.referral_hit_default IN ACCESS EXCLUSIVE MODE;

    EXECUTE format('INSERT INTO hype.%I SELECT * '
                   'FROM hype.referral_hit_default '
                   'WHERE created >= %L AND created < %L', name, month, until);
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
    expired timestamptz := date_trunc('month', now() - keep);
    part    record;
BEGIN
    IF (keep IS NOT NULL OR move_up_to > 20000)
       AND NOT pg_has_role(session_user, current_user, 'MEMBER')
    THEN
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

    IF NOT pg_try_advisory_xact_lock(hashtextextended('hype.maintain', 0))
    THEN
        RETURN;
    END IF;

    -- First, as it wants a transaction that has not written yet.

    PERFORM hype.settle();

    -- What can't be had within lock_timeout can be had tomorrow.

    BEGIN
        DELETE FROM hype.unmatched_confirm u
        WHERE u.created < now() - interval '7 days';

        IF keep IS NOT NULL THEN
            DELETE FROM hype.referral_hit_default h WHERE h.created < expired;
        END IF;
    EXCEPTION WHEN lock_not_available OR deadlock_detected THEN
        NULL;
    END;

    FOR part IN
        SELECT month, to_char(month, '"hype.referral_hit_"YYYY_MM') AS name,
               sum(n) AS found
        FROM (SELECT date_trunc('month', h.created) AS month, count(*) AS n
              FROM hype.referral_hit_default h
              WHERE isfinite(h.created)
              GROUP BY 1
              UNION ALL
              SELECT date_trunc('month', now()) + make_interval(months => i), 0
              FROM generate_series(0, ahead) AS i) AS months
        GROUP BY month
        ORDER BY month
    LOOP
        CONTINUE WHEN to_regclass(part.name) IS NOT NULL;

        object := part.name;
        hits := part.found;

        IF part.found > move_up_to THEN
            action := 'left in referral_hit_default';
            RETURN NEXT;
            CONTINUE;
        END IF;

        BEGIN
            hits := hype.add_partition(part.month);
            move_up_to := move_up_to - hits;
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

    -- Last, as a drop locks out all hits until the end of the transaction.

    FOR part IN
        SELECT i.inhrelid::regclass::text AS name
        FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
        WHERE i.inhparent = 'hype.referral_hit'::regclass
          AND substring(pg_get_expr(c.relpartbound, c.oid)
                        FROM 'TO \(''([^'']+)''\)$')::timestamptz <= expired
        ORDER BY 1
    LOOP
        object := part.name;
        hits := NULL;

        BEGIN
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

COMMENT ON FUNCTION hype.maintain(integer, interval, integer) IS
    'Daily upkeep, by nginx or pg_cron; one call at a time, others do nothing. '
    'Makes the partitions of this month and those ahead; moves hits out of the '
    'default partition, by month and up to that many, as moving locks it (for '
    'about 0.1 s each 20,000 hits); settles; forgets unmatched confirms after '
    '7 days. With keep, for members of the owner''s role only, drops months of '
    'hits that are wholly older. Waits for no lock longer than 200 ms: what '
    'was busy is done the next time';


-- Views

CREATE OR REPLACE VIEW hype.link_stats AS
SELECT s.referral_link_id, s.identifier, s.label, s.user_id, s.disabled,
       s.expires, s.hits, s.unique_visitors, s.bots, s.linked_users,
       c.confirmed, c.confirmations, c.value,
       round(c.confirmed::numeric / nullif(s.unique_visitors, 0), 4)
           AS conversion_rate,
       s.first_hit, s.last_hit
FROM (
    SELECT l.id AS referral_link_id, l.identifier, l.label, l.user_id,
           l.disabled, l.expires,
           count(h.id) FILTER (WHERE NOT h.bot) AS hits,
           count(DISTINCT h.visitor) FILTER (WHERE NOT h.bot)
           + count(DISTINCT h.user_id)
             FILTER (WHERE NOT h.bot AND h.visitor IS NULL)
               AS unique_visitors,
           count(h.id) FILTER (WHERE h.bot) AS bots,
           count(DISTINCT h.user_id) FILTER (WHERE NOT h.bot) AS linked_users,
           min(h.created) FILTER (WHERE NOT h.bot) AS first_hit,
           max(h.created) FILTER (WHERE NOT h.bot) AS last_hit
    FROM hype.referral_link l
    LEFT JOIN hype.referral_hit h ON h.referral_link_id = l.id
    GROUP BY l.id
) AS s
CROSS JOIN LATERAL (
    SELECT count(DISTINCT r.user_id) AS confirmed, count(*) AS confirmations,
           sum(r.value) AS value
    FROM hype.confirmed_referral r
    WHERE r.referral_link_id = s.referral_link_id
) AS c;

COMMENT ON VIEW hype.link_stats IS
    'What became of each link';
COMMENT ON COLUMN hype.link_stats.referral_link_id IS
    'referral_link.id';
COMMENT ON COLUMN hype.link_stats.identifier IS
    'As in referral_link';
COMMENT ON COLUMN hype.link_stats.label IS
    'As in referral_link';
COMMENT ON COLUMN hype.link_stats.user_id IS
    'The link''s owner';
COMMENT ON COLUMN hype.link_stats.disabled IS
    'As in referral_link';
COMMENT ON COLUMN hype.link_stats.expires IS
    'As in referral_link';
COMMENT ON COLUMN hype.link_stats.hits IS
    'Hits, without those of bots';
COMMENT ON COLUMN hype.link_stats.unique_visitors IS
    'Different visitors, and users who were known from the start';
COMMENT ON COLUMN hype.link_stats.bots IS
    'Hits of bots';
COMMENT ON COLUMN hype.link_stats.linked_users IS
    'Different users that these hits belong to';
COMMENT ON COLUMN hype.link_stats.confirmed IS
    'Different users, or visitors, with a confirmed referral';
COMMENT ON COLUMN hype.link_stats.confirmations IS
    'Confirmed referrals: each event of each of them';
COMMENT ON COLUMN hype.link_stats.value IS
    'The sum of their values';
COMMENT ON COLUMN hype.link_stats.conversion_rate IS
    'confirmed / unique_visitors';
COMMENT ON COLUMN hype.link_stats.first_hit IS
    'Time of the first hit';
COMMENT ON COLUMN hype.link_stats.last_hit IS
    'Time of the last hit';


CREATE OR REPLACE VIEW hype.daily_hits AS
SELECT (h.created AT TIME ZONE 'UTC')::date AS day, h.referral_link_id,
       l.identifier,
       count(*) FILTER (WHERE NOT h.bot) AS hits,
       count(DISTINCT h.visitor) FILTER (WHERE NOT h.bot)
       + count(DISTINCT h.user_id)
         FILTER (WHERE NOT h.bot AND h.visitor IS NULL) AS unique_visitors,
       count(*) FILTER (WHERE h.bot) AS bots
FROM hype.referral_hit h
LEFT JOIN hype.referral_link l ON l.id = h.referral_link_id
GROUP BY 1, 2, 3;

COMMENT ON VIEW hype.daily_hits IS
    'Hits of each link on each day that it has any';
COMMENT ON COLUMN hype.daily_hits.day IS
    'The day, in UTC';
COMMENT ON COLUMN hype.daily_hits.referral_link_id IS
    'referral_link.id';
COMMENT ON COLUMN hype.daily_hits.identifier IS
    'As in referral_link; NULL if the link was deleted';
COMMENT ON COLUMN hype.daily_hits.hits IS
    'Hits, without those of bots';
COMMENT ON COLUMN hype.daily_hits.unique_visitors IS
    'Different visitors, and users who were known from the start';
COMMENT ON COLUMN hype.daily_hits.bots IS
    'Hits of bots';


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
COMMENT ON COLUMN hype.funnel.referral_link_id IS
    'referral_link.id';
COMMENT ON COLUMN hype.funnel.identifier IS
    'As in referral_link';
COMMENT ON COLUMN hype.funnel.label IS
    'As in referral_link';
COMMENT ON COLUMN hype.funnel.user_id IS
    'The link''s owner';
COMMENT ON COLUMN hype.funnel.hits IS
    'As in link_stats';
COMMENT ON COLUMN hype.funnel.unique_visitors IS
    'As in link_stats';
COMMENT ON COLUMN hype.funnel.linked_users IS
    'As in link_stats';
COMMENT ON COLUMN hype.funnel.confirmed IS
    'As in link_stats';
COMMENT ON COLUMN hype.funnel.visitor_rate IS
    'unique_visitors / hits';
COMMENT ON COLUMN hype.funnel.linked_rate IS
    'linked_users / unique_visitors';
COMMENT ON COLUMN hype.funnel.confirmed_rate IS
    'confirmed / linked_users; above 1 if visitors confirm without logging in';
COMMENT ON COLUMN hype.funnel.conversion_rate IS
    'confirmed / unique_visitors';


-- Privileges

REVOKE ALL ON ALL FUNCTIONS IN SCHEMA hype FROM PUBLIC;

GRANT USAGE ON SCHEMA hype TO hype_nginx, hype_app, hype_report;
GRANT EXECUTE ON FUNCTION hype.version() TO hype_nginx, hype_app;

GRANT SELECT (id, identifier, user_id, destination, disabled, expires)
    ON hype.referral_link TO hype_nginx;
GRANT INSERT (id, referral_link_id, created, authenticated, bot, visitor,
              user_id, ip, user_agent, http_referer, next)
    ON hype.referral_hit TO hype_nginx;
GRANT EXECUTE ON FUNCTION
    hype.settle(),
    hype.settle(uuid[], text[]),
    hype.claim(uuid, text),
    hype.claim_batch(uuid[], text[]),
    hype.replay(uuid[], bigint[], timestamptz[], boolean[], boolean[], uuid[],
                text[], inet[], text[], text[], text[], text[]),
    hype.record_confirm(text, text, uuid, numeric, timestamptz),
    hype.confirm_batch(text[], text[], uuid[], text[], timestamptz[]),
    hype.maintain(integer, interval, integer)
TO hype_nginx;

GRANT SELECT ON hype.link_stats, hype.daily_hits, hype.funnel TO hype_report;

GRANT SELECT, INSERT, UPDATE ON hype.referral_link TO hype_app;
GRANT SELECT ON hype.referral_hit, hype.visitor_claim, hype.confirmed_referral,
                hype.link_stats, hype.daily_hits, hype.funnel TO hype_app;
GRANT EXECUTE ON FUNCTION
    hype.new_identifier(),
    hype.create_link(text, text, text, text, timestamptz),
    hype.claim(uuid, text),
    hype.confirm(text, text, uuid, numeric, text, interval)
TO hype_app;


-- The first partitions

DO $$
BEGIN
    PERFORM hype.maintain();
END
$$;

COMMIT;

\set QUIET :hype_quiet
\unset hype_quiet
\unset hype_new
