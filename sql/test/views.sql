-- The views tell what happened.

BEGIN;
SET LOCAL client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS pgtap;

SELECT plan(9);

INSERT INTO hype.referral_link (id, identifier, user_id, label)
VALUES (900001, 'a', 'alice', 'A'), (900002, 'b', 'bob', NULL),
       (900003, 'c', NULL, NULL);

-- For "a": visitor 1 twice, of whom a user is made who confirms twice;
-- visitor 2, who turns out to be the same user; visitor 3, who confirms
-- without logging in; visitor 4; user "known" twice; a hit without consent;
-- two bots, one a user.  For "b" a bot only.

INSERT INTO hype.referral_hit
    (id, referral_link_id, created, visitor, user_id, authenticated, bot)
SELECT gen_random_uuid(), link, created::timestamptz,
       lpad(visitor::text, 32, '0')::uuid, user_id, user_id IS NOT NULL, bot
FROM (VALUES
    (900001, '2024-01-01 00:00Z', 1, NULL, false),
    (900001, '2024-01-01 23:59Z', 1, NULL, false),
    (900001, '2024-01-02 00:00Z', 2, NULL, false),
    (900001, '2024-01-02 00:00Z', 3, NULL, false),
    (900001, '2024-01-02 00:00Z', 4, NULL, false),
    (900001, '2024-01-02 00:00Z', NULL, 'known', false),
    (900001, '2024-01-03 00:00Z', NULL, 'known', false),
    (900001, '2024-01-03 00:00Z', NULL, NULL, false),
    (900001, '2024-01-01 00:00Z', 5, NULL, true),
    (900001, '2024-01-04 00:00Z', NULL, 'robot', true),
    (900002, '2024-01-01 00:00Z', 5, NULL, true)
) AS v (link, created, visitor, user_id, bot);

SELECT hype.claim(lpad('1', 32, '0')::uuid, 'u');
SELECT hype.claim(lpad('2', 32, '0')::uuid, 'u');
SELECT hype.record_confirm('signup', 'u', NULL, 1.5, '2024-01-05Z'),
       hype.record_confirm('paid', 'u', NULL, 20, '2024-01-05Z'),
       hype.record_confirm('signup', NULL, lpad('3', 32, '0')::uuid, NULL,
                           '2024-01-05Z');

SELECT results_eq($$
    SELECT * FROM hype.link_stats WHERE identifier = 'a'
$$, $$
    VALUES (900001::bigint, 'a', 'A', 'alice', false, NULL::timestamptz,
            8::bigint, 5::bigint, 2::bigint, 2::bigint, 2::bigint, 3::bigint,
            21.5, 0.4000, '2024-01-01 00:00Z'::timestamptz,
            '2024-01-03 00:00Z'::timestamptz, 0::bigint)
$$, 'link_stats of a link');

SELECT results_eq($$
    SELECT identifier, hits, unique_visitors, bots, linked_users, confirmed,
           confirmations, value, conversion_rate, last_hit
    FROM hype.link_stats WHERE referral_link_id IN (900002, 900003)
    ORDER BY 1
$$, $$
    VALUES ('b', 0::bigint, 0::bigint, 1::bigint, 0::bigint, 0::bigint,
            0::bigint, NULL::numeric, NULL::numeric, NULL::timestamptz),
           ('c', 0, 0, 0, 0, 0, 0, NULL, NULL, NULL)
$$, 'link_stats of links without hits');

SELECT results_eq($$
    SELECT * FROM hype.daily_hits WHERE identifier = 'a' ORDER BY day
$$, $$
    VALUES ('2024-01-01'::date, 900001::bigint, 'a', 2::bigint, 1::bigint,
            1::bigint, 0::bigint),
           ('2024-01-02', 900001, 'a', 4, 4, 0, 0),
           ('2024-01-03', 900001, 'a', 2, 1, 0, 0),
           ('2024-01-04', 900001, 'a', 0, 0, 1, 0)
$$, 'daily_hits of a link');

SET LOCAL timezone = 'Pacific/Auckland';
SELECT is((SELECT sum(hits) FROM hype.daily_hits
           WHERE referral_link_id = 900001 AND day = '2024-01-01'),
          2::numeric, 'in days of UTC, wherever the client is');

SELECT results_eq($$
    SELECT * FROM hype.funnel WHERE identifier = 'a'
$$, $$
    VALUES (900001::bigint, 'a', 'A', 'alice', 8::bigint, 5::bigint,
            2::bigint, 2::bigint, 0.6250, 0.4000, 1.0000, 0.4000)
$$, 'funnel of a link');

SELECT results_eq($$
    SELECT hits, visitor_rate, linked_rate, confirmed_rate, conversion_rate
    FROM hype.funnel WHERE identifier = 'c'
$$, $$
    VALUES (0::bigint, NULL::numeric, NULL::numeric, NULL::numeric,
            NULL::numeric)
$$, 'funnel of a link without hits');

SELECT is((SELECT count(*) FROM hype.link_stats),
          (SELECT count(*) FROM hype.referral_link),
          'link_stats has all links');
SELECT is((SELECT count(*) FROM hype.funnel),
          (SELECT count(*) FROM hype.referral_link),
          'so has funnel');

DELETE FROM hype.referral_link WHERE identifier = 'b';
SELECT results_eq($$
    SELECT identifier, hits, bots FROM hype.daily_hits
    WHERE referral_link_id = 900002
$$, $$ VALUES (NULL::text, 0::bigint, 1::bigint) $$,
    'daily_hits keeps hits of links that were deleted');

SELECT * FROM finish();
ROLLBACK;
