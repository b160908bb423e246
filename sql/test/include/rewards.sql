-- What the tests of rewards have in common.

CREATE FUNCTION pg_temp.v(n integer) RETURNS uuid LANGUAGE sql IMMUTABLE AS
    $$ SELECT lpad(n::text, 32, '0')::uuid $$;

INSERT INTO hype.referral_link (id, identifier, user_id)
VALUES (900001, 'a', 'alice'), (900002, 'b', 'bob'), (900003, 'campaign', NULL);

-- A hit "n" days ago

CREATE FUNCTION pg_temp.hit(
    n integer, link bigint, days numeric, user_id text DEFAULT NULL,
    visitor integer DEFAULT NULL
)
RETURNS void LANGUAGE sql AS $$
    INSERT INTO hype.referral_hit
        (id, referral_link_id, created, visitor, user_id, authenticated)
    VALUES (pg_temp.v(n), link, now() - days * interval '1 day',
            pg_temp.v(hit.visitor), hit.user_id, hit.user_id IS NOT NULL)
$$;

CREATE FUNCTION pg_temp.balance(
    user_id text, currency text DEFAULT 'points'
)
RETURNS text LANGUAGE sql AS $$
    SELECT concat_ws(' ', b.pending, b.available, b.paid)
    FROM hype.balance b
    WHERE b.user_id = balance.user_id AND b.currency = balance.currency
$$;
