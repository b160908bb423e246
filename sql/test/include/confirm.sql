-- What the tests of hype.confirm() have in common.

\ir hits.sql

INSERT INTO hype.referral_link (id, identifier, user_id)
VALUES (900001, 'a', 'alice'), (900002, 'b', 'bob'), (900003, 'c', 'carol'),
       (900004, 'campaign', NULL);

-- The number of the hit credited, and to whom.

CREATE FUNCTION pg_temp.credited(
    event text, user_id text DEFAULT NULL, visitor integer DEFAULT NULL,
    model text DEFAULT 'last', days integer DEFAULT 90
)
RETURNS text LANGUAGE sql AS $$
    SELECT referral_hit_id::text::numeric || ' ' || coalesce(referrer, '-')
    FROM (SELECT replace(referral_hit_id::text, '-', '') AS referral_hit_id,
                 referrer
          FROM hype.confirm(event, user_id, pg_temp.v(visitor), NULL, model,
                            make_interval(days => days))) AS c
$$;
