-- Copies the links and hits of django-hype, whose tables are hype_referrallink and
-- hype_referralhit, into the schema "hype".
--
--     psql -d app -f move.sql
--     psql -d app -v event=signup -f move.sql
--
-- Run it as the owner of the schema, who has to be able to read Django's tables.  They
-- have to be in the same database, in a schema of the search_path.  You can run it at any
-- time, any number of times: it adds what is new or has changed in Django's tables, and
-- keeps everything else.  Django's tables are only read.
--
--     links    identifier, owner, disabled and dates are kept.  If a link is in both
--              tables, the one that was changed last counts.
--     hits     ids (UUIDs) and dates are kept.  The visitor of an anonymous hit is the
--              id of the hit, as that is the value of django-hype's cookie.
--     users    their primary keys, as text.  A hit that got its user by the cookie
--              becomes a claim: the next hit with this cookie belongs to the same user.
--     event    the confirmed hits become confirmed referrals of this event, so that
--              hype.confirm('signup', ...) does not credit anyone again.
--
-- A link whose identifier the module does not accept (empty, or with letters that are
-- not ASCII) is left out with its hits; they are listed.

\set QUIET on
\set ON_ERROR_STOP on

BEGIN;

SET LOCAL client_min_messages = warning;

SELECT count(*) > 0 AS left_out
FROM hype_referrallink
WHERE identifier !~ '^[A-Za-z0-9_.~-]{1,64}$'
\gset

\if :left_out

SELECT id, identifier AS "links that are left out"
FROM hype_referrallink
WHERE identifier !~ '^[A-Za-z0-9_.~-]{1,64}$'
ORDER BY id;

\endif

INSERT INTO hype.referral_link AS ours
    (identifier, user_id, disabled, disabled_at, created, updated)
SELECT l.identifier, l.user_id::text, l.disabled,
       CASE WHEN l.disabled THEN l.updated END, l.created, l.updated
FROM hype_referrallink l
WHERE l.identifier ~ '^[A-Za-z0-9_.~-]{1,64}$'
ON CONFLICT (identifier) DO UPDATE
SET user_id = excluded.user_id, disabled = excluded.disabled,
    disabled_at = excluded.disabled_at
WHERE ours.updated < excluded.updated;

-- Hits can be of any month: without a partition they go to the default partition, and
-- from there into those of their months, below.

CREATE TEMPORARY TABLE moved ON COMMIT DROP AS
SELECT h.id, ours.id AS referral_link_id, h.created, h.confirmed, h.authenticated,
       CASE WHEN NOT h.authenticated THEN h.id END AS visitor,
       h.hit_user_id::text AS user_id, h.ip,
       nullif(h.user_agent, '') AS user_agent,
       nullif(h.http_referer, '') AS http_referer,
       nullif(h.next, '') AS next, ours.user_id AS referrer
FROM hype_referralhit h
JOIN hype_referrallink l ON l.id = h.referral_link_id
JOIN hype.referral_link ours USING (identifier);

INSERT INTO hype.referral_hit
    (id, referral_link_id, created, confirmed, authenticated, visitor, user_id, ip,
     user_agent, http_referer, next)
SELECT id, referral_link_id, created, confirmed, authenticated, visitor, user_id, ip,
       user_agent, http_referer, next
FROM moved
ON CONFLICT DO NOTHING;

-- The claims and confirms of these hits

SELECT hype.claim_batch(array_agg(m.visitor), array_agg(m.user_id),
                        array_agg(m.created))
FROM moved m
WHERE m.visitor IS NOT NULL AND m.user_id IS NOT NULL
  AND NOT EXISTS (SELECT FROM hype.visitor_claim c WHERE c.visitor = m.visitor)
\g /dev/null

UPDATE hype.referral_hit h
SET confirmed = m.confirmed
FROM moved m
WHERE h.id = m.id AND h.created = m.created AND h.confirmed IS NULL
  AND m.confirmed IS NOT NULL;

\if :{?event}

INSERT INTO hype.confirmed_referral
    (event, user_id, referral_hit_id, referral_link_id, referrer, created, told)
SELECT DISTINCT ON (user_id)
       :'event', user_id, id, referral_link_id, referrer, confirmed, true
FROM moved
WHERE confirmed IS NOT NULL AND user_id IS NOT NULL
ORDER BY user_id, confirmed
ON CONFLICT DO NOTHING;

\endif

COMMIT;

-- Partitions, claims and roll-ups

SELECT FROM hype.maintain(move_up_to => 2000000000) \g /dev/null
SELECT hype.roll_up() \g /dev/null

SELECT count(*) AS "django-hype's links",
       (SELECT count(*) FROM hype_referralhit) AS "its hits",
       (SELECT count(*) FROM hype.referral_link) AS "links",
       (SELECT count(*) FROM hype.referral_hit) AS "hits"
FROM hype_referrallink;
