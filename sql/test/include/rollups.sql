-- What each report has to be, as plain as can be, and where it is not.

CREATE TABLE gone (LIKE hype.referral_hit);

CREATE VIEW plain AS
SELECT h.referral_link_id AS link, h.created, h.bot, h.http_referer, h.next,
       h.source = 'code' AND NOT h.bot AS code,
       coalesce(c.user_id, h.user_id) AS user_id,
       CASE WHEN NOT bot THEN coalesce('v' || h.visitor, 'u' || h.user_id) END
           AS subject
FROM (SELECT * FROM hype.referral_hit UNION ALL SELECT * FROM gone) AS h
LEFT JOIN hype.visitor_claim c ON c.visitor = h.visitor;

CREATE VIEW plain_confirmed AS
SELECT referral_link_id AS link, value,
       coalesce('u' || user_id, 'v' || visitor) AS subject
FROM hype.confirmed_referral;

CREATE VIEW plain_link_stats AS
SELECT l.id, h.hits, h.unique_visitors, h.bots, h.linked_users, c.confirmed,
       c.confirmations, coalesce(c.value, 0),
       round(c.confirmed::numeric / nullif(h.unique_visitors, 0), 4),
       h.first_hit, h.last_hit, h.codes
FROM hype.referral_link l
CROSS JOIN LATERAL (
    SELECT count(*) FILTER (WHERE NOT bot) AS hits,
           count(DISTINCT subject) AS unique_visitors,
           count(*) FILTER (WHERE bot) AS bots,
           count(DISTINCT user_id) FILTER (WHERE NOT bot) AS linked_users,
           min(created) FILTER (WHERE NOT bot) AS first_hit,
           max(created) FILTER (WHERE NOT bot) AS last_hit,
           count(*) FILTER (WHERE code) AS codes
    FROM plain p WHERE p.link = l.id) AS h
CROSS JOIN LATERAL (
    SELECT count(DISTINCT subject) AS confirmed, count(*) AS confirmations,
           sum(value) AS value
    FROM plain_confirmed r WHERE r.link = l.id) AS c;

CREATE VIEW plain_site_stats AS
SELECT h.hits, h.unique_visitors, h.bots, h.linked_users, c.confirmed,
       c.confirmations, coalesce(c.value, 0),
       round(c.confirmed::numeric / nullif(h.unique_visitors, 0), 4),
       h.first_hit, h.last_hit, h.codes
FROM (
    SELECT count(*) FILTER (WHERE NOT bot) AS hits,
           count(DISTINCT subject) AS unique_visitors,
           count(*) FILTER (WHERE bot) AS bots,
           count(DISTINCT user_id) FILTER (WHERE NOT bot) AS linked_users,
           min(created) FILTER (WHERE NOT bot) AS first_hit,
           max(created) FILTER (WHERE NOT bot) AS last_hit,
           count(*) FILTER (WHERE code) AS codes
    FROM plain) AS h
CROSS JOIN (
    SELECT count(DISTINCT subject) AS confirmed, count(*) AS confirmations,
           sum(value) AS value
    FROM plain_confirmed) AS c;

CREATE VIEW plain_daily_hits AS
SELECT (created AT TIME ZONE 'UTC')::date AS day, link,
       (SELECT identifier FROM hype.referral_link l WHERE l.id = link),
       count(*) FILTER (WHERE NOT bot) AS hits,
       count(DISTINCT subject) AS unique_visitors,
       count(*) FILTER (WHERE bot) AS bots,
       count(*) FILTER (WHERE code) AS codes
FROM plain GROUP BY 1, 2;

-- A visitor of an owner's links counts once a link.

CREATE FUNCTION plain_hits_by(
    grain text, zone text, since timestamptz, until timestamptz,
    identifier text, owner text
)
RETURNS TABLE (bucket timestamptz, hits bigint, visitors bigint, bots bigint)
LANGUAGE sql STABLE AS $$
    SELECT date_trunc(grain, p.created, zone),
           count(*) FILTER (WHERE NOT bot),
           count(DISTINCT CASE WHEN owner IS NULL THEN (0, subject)
                          ELSE (link, subject) END)
               FILTER (WHERE subject IS NOT NULL),
           count(*) FILTER (WHERE bot)
    FROM plain p JOIN hype.referral_link l ON l.id = p.link
    WHERE (since IS NULL OR p.created >= since)
      AND (until IS NULL OR p.created < until)
      AND (plain_hits_by.identifier IS NULL
           OR l.identifier = plain_hits_by.identifier)
      AND (owner IS NULL OR l.user_id = owner)
    GROUP BY 1
$$;

CREATE FUNCTION plain_hits_from(dimension text, since date, until date)
RETURNS TABLE (value text, hits bigint)
LANGUAGE sql STABLE AS $$
    SELECT CASE dimension WHEN 'referer' THEN hype.referer_host(http_referer)
           ELSE split_part(next, '?', 1) END, count(*)
    FROM plain p JOIN hype.referral_link l ON l.id = p.link
    WHERE NOT bot
      AND (since IS NULL OR (p.created AT TIME ZONE 'UTC')::date >= since)
      AND (until IS NULL OR (p.created AT TIME ZONE 'UTC')::date < until)
      AND (dimension = 'next' OR hype.referer_host(http_referer) IS NOT NULL)
    GROUP BY 1
$$;

CREATE FUNCTION plain_hits_within(
    since timestamptz, before timestamptz, site boolean
)
RETURNS TABLE (link bigint, hits bigint, visitors bigint, bots bigint)
LANGUAGE sql STABLE AS $$
    SELECT CASE WHEN site THEN hype.site() ELSE p.link END,
           count(*) FILTER (WHERE NOT bot), count(DISTINCT subject),
           count(*) FILTER (WHERE bot)
    FROM plain p
    WHERE p.created >= since AND p.created < before
    GROUP BY 1
$$;

-- Which reports are wrong, all as of one snapshot: it is stable.

CREATE FUNCTION differ(report text, plain text) RETURNS SETOF text
LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN QUERY EXECUTE format(
        'SELECT %3$L || '' is '' || r::text FROM (%1$s EXCEPT ALL %2$s) AS r '
        'UNION ALL '
        'SELECT %3$L || '' should be '' || p::text '
        'FROM (%2$s EXCEPT ALL %1$s) AS p', report, plain,
        substring(report FROM 'FROM (.*)'));
END
$$;

CREATE FUNCTION differences(step integer) RETURNS SETOF text
LANGUAGE plpgsql STABLE AS $$
DECLARE
    part record;
BEGIN
    RETURN QUERY SELECT differ(
        'SELECT referral_link_id, hits, unique_visitors, bots, linked_users, '
        'confirmed, confirmations, coalesce(value, 0), conversion_rate, '
        'first_hit, last_hit, codes FROM hype.link_stats',
        'SELECT * FROM plain_link_stats');

    RETURN QUERY SELECT differ(
        'SELECT referral_link_id, hits, unique_visitors, linked_users, '
        'confirmed, conversion_rate FROM hype.funnel',
        'SELECT id, hits, unique_visitors, linked_users, confirmed, round '
        'FROM plain_link_stats');

    RETURN QUERY SELECT differ(
        'SELECT hits, unique_visitors, bots, linked_users, confirmed, '
        'confirmations, coalesce(value, 0), conversion_rate, first_hit, '
        'last_hit, codes FROM hype.site_stats', 'SELECT * FROM plain_site_stats');

    RETURN QUERY SELECT differ('SELECT * FROM hype.daily_hits',
                               'SELECT * FROM plain_daily_hits');

    -- Some of the many ways to call the others each time

    FOR part IN
        SELECT 'by' AS name, format('%L, %L, %s', grain, zone, rest) AS rest,
               row_number() OVER () AS n
        FROM unnest(ARRAY['hour', 'day', 'week', 'month']) AS grain,
             unnest(ARRAY[
                 'NULL, NULL, NULL, NULL',
                 '''2024-03-10 15:15Z'', ''2024-10-05 15:30Z'', NULL, NULL',
                 'NULL, NULL, ''b'', NULL',
                 '''2024-04-06 14:30Z'', NULL, NULL, ''alice''',
                 'NULL, ''2024-10-05 15:00Z'', NULL, NULL']) AS rest,
             unnest(ARRAY['UTC', 'Asia/Kathmandu', 'America/St_Johns',
                          'Australia/Lord_Howe']) AS zone
        UNION ALL
        SELECT 'from', format('%L, %s', dimension, rest),
               row_number() OVER () AS n
        FROM unnest(ARRAY['referer', 'next']) AS dimension,
             unnest(ARRAY['NULL, NULL', '''2024-03-10'', ''2024-10-05''',
                          '''2024-03-10'', NULL']) AS rest
        UNION ALL
        SELECT 'within', format('%s, %s', range, site),
               row_number() OVER () AS n
        FROM unnest(ARRAY['false', 'true']) AS site,
             unnest(ARRAY['''2024-03-10Z'', ''2024-03-11Z''',
                          '''2024-03-10 05:15Z'', ''2024-04-10Z''',
                          '''2024-10-04 14:00Z'', ''2024-11-03 14:30Z'''])
                 AS range
    LOOP
        CONTINUE WHEN step IS NOT NULL AND part.n % 7 <> step % 7;

        RETURN QUERY SELECT differ(
            format(CASE part.name WHEN 'within'
                   THEN 'SELECT referral_link_id, hits, unique_visitors, bots '
                        'FROM hype.hits_%s(%s) WHERE hits + bots > 0'
                   ELSE 'SELECT * FROM hype.hits_%s(%s)' END,
                   part.name, part.rest),
            format('SELECT * FROM plain_hits_%s(%s)', part.name, part.rest));
    END LOOP;
END
$$;
