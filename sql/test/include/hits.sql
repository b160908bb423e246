-- Hits of a test: pg_temp.v(n) is their id, or the visitor.

CREATE FUNCTION pg_temp.v(n integer) RETURNS uuid LANGUAGE sql IMMUTABLE AS
    $$ SELECT lpad(n::text, 32, '0')::uuid $$;

-- Hits "n" days ago.

CREATE FUNCTION pg_temp.hit(
    n integer, link text, days numeric, visitor integer DEFAULT NULL,
    user_id text DEFAULT NULL, bot boolean DEFAULT false
)
RETURNS void LANGUAGE sql AS $$
    INSERT INTO hype.referral_hit
        (id, referral_link_id, created, visitor, user_id, authenticated, bot)
    SELECT pg_temp.v(n), l.id, now() - days * interval '1 day',
           pg_temp.v(hit.visitor), hit.user_id, hit.user_id IS NOT NULL, bot
    FROM hype.referral_link l WHERE l.identifier = link
$$;
