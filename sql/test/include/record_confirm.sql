-- What the tests of confirms of nginx have in common.

\ir derive.sql

CREATE FUNCTION pg_temp.v(n integer) RETURNS uuid LANGUAGE sql IMMUTABLE AS
    $$ SELECT lpad(n::text, 32, '0')::uuid $$;

INSERT INTO hype.referral_link (id, identifier, user_id)
VALUES (900001, 'a', 'alice');

CREATE FUNCTION pg_temp.hit(
    n integer, created timestamptz, visitor integer, user_id text DEFAULT NULL
)
RETURNS void LANGUAGE sql AS $$
    INSERT INTO hype.referral_hit
        (id, referral_link_id, created, visitor, user_id, authenticated)
    VALUES (pg_temp.v(n), 900001, hit.created, pg_temp.v(hit.visitor),
            hit.user_id, hit.user_id IS NOT NULL)
$$;

CREATE FUNCTION pg_temp.outcome(event text) RETURNS text LANGUAGE sql AS $$
    SELECT string_agg(coalesce(user_id, visitor::text) || ' ' || referrer || ' '
                      || right(referral_hit_id::text, 3)::integer || ' '
                      || coalesce(value::text, '-') || ' '
                      || to_char(created AT TIME ZONE 'UTC', 'MM-DD'), ', '
                      ORDER BY coalesce(user_id, visitor::text))
    FROM hype.confirmed_referral c WHERE c.event = outcome.event
$$;

CREATE FUNCTION pg_temp.waiting(event text) RETURNS bigint LANGUAGE sql AS
    $$ SELECT count(*) FROM hype.pending_confirm u
       WHERE u.event = waiting.event $$;
