-- Typed codes: hype.refer(), and what is counted of them.

SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS pgtap;
\ir include/derive.sql

SELECT plan(48);

INSERT INTO hype.referral_link (id, identifier, user_id, disabled, expires)
VALUES (900001, 'friend', 'alice', false, NULL),
       (900002, 'Bob', 'bob', false, NULL),
       (900003, 'bob', 'robert', false, NULL),
       (900004, 'summer', NULL, false, now() + interval '1 day'),
       (900005, 'off', 'alice', true, NULL),
       (900006, 'old', 'alice', false, now() - interval '1 second'),
       (900007, '42s', '42', false, NULL);
INSERT INTO hype.link_alias (identifier, referral_link_id)
VALUES ('pal', 900001);

CREATE FUNCTION pg_temp.codes() RETURNS bigint LANGUAGE sql AS
    $$ SELECT count(*) FROM hype.referral_hit WHERE source = 'code' $$;

-- What it records and returns

SELECT results_eq($$
    SELECT referrer, referral_link_id FROM hype.refer('friend', 'carol')
$$, $$ VALUES ('alice', 900001::bigint) $$, 'the referrer and the link');
SELECT results_eq($$
    SELECT referral_link_id, source, user_id, authenticated, bot,
           num_nulls(visitor, ip, user_agent, http_referer, next, args)
    FROM hype.referral_hit
    WHERE id = (SELECT referral_hit_id FROM hype.refer('friend', 'carol'))
$$, $$ VALUES (900001::bigint, 'code', 'carol', true, false, 6) $$,
    'and the hit, which it has recorded');
SELECT is(substr(id::text, 15, 1), '7', 'its id is of version 7')
FROM hype.referral_hit WHERE source = 'code';
SELECT ok(abs(extract(epoch FROM created) * 1000
              - ('x' || substr(replace(id::text, '-', ''), 1, 12))
                ::bit(48)::bigint) < 60000, 'and of now')
FROM hype.referral_hit WHERE source = 'code';

-- As people type them

SELECT is((SELECT referral_link_id FROM hype.refer(typed, 'u' || n)),
          link::bigint,
          format('%s is link %s', to_json(typed), link))
FROM (VALUES
    (1, 'FRIEND', 900001), (2, ' friend', 900001), (3, E'friend\r\n', 900001),
    (4, 'fri end', 900001), (5, E'\u200bFriend).', 900001),
    (6, '"friend', NULL), (7, 'friend/', 900001), (8, E'friend\u00a0!', 900001),
    (9, 'pal', 900001), (10, 'PAL', 900001), (11, 'Bob', 900002),
    (12, 'Bob ', 900002), (13, 'BOB', 900003), (14, 'bob', 900003),
    (15, 'summer', 900004), (16, 'fr/iend', NULL), (17, repeat('x', 65), NULL),
    (18, repeat('x', 100000), NULL), (19, 'friend pal', NULL)
) AS t (n, typed, link);

-- What makes no hit

CREATE TEMPORARY TABLE before AS SELECT pg_temp.codes() AS n;
SELECT is_empty(format('SELECT * FROM hype.refer(%L, %L)', typed, who), name)
FROM (VALUES
    ('nobody', 'carol', 'an unknown code'), ('', 'carol', 'an empty one'),
    (NULL, 'carol', 'none'), ('off', 'carol', 'a disabled link'),
    ('old', 'carol', 'an expired one'), ('friend', 'alice', 'one''s own'),
    ('PAL', 'alice', 'one''s own by an alias'), ('42s', '42', 'a number''s')
) AS t (typed, who, name);
SELECT is_empty($$ SELECT * FROM hype.refer('42s', 42) $$, 'as a number');
SELECT is(pg_temp.codes(), n, 'no hit was made') FROM before;

SELECT throws_ok(format('SELECT * FROM hype.refer(''friend'', %s)', who),
                 '22023', 'hype.refer: no user', 'no user: ' || who)
FROM unnest(ARRAY['NULL::text', '''''', 'NULL::bigint']) AS who;

-- Once a day and link

SELECT is((SELECT referral_hit_id FROM hype.refer('FRIEND', 'carol')), h.id,
          'typed again: the same hit')
FROM hype.referral_hit h WHERE user_id = 'carol';
SELECT isnt((SELECT referral_hit_id FROM hype.refer('Bob', 'carol')), h.id,
            'another code: another hit')
FROM hype.referral_hit h WHERE user_id = 'carol' AND referral_link_id = 900001;
UPDATE hype.referral_hit SET created = created - interval '25 hours'
WHERE user_id = 'carol';
SELECT is(pg_temp.codes(), n + 1, 'no more hits than codes') FROM before;
SELECT isnt((SELECT referral_hit_id FROM hype.refer('friend', 'carol')), h.id,
            'another day: another hit')
FROM hype.referral_hit h WHERE user_id = 'carol' AND referral_link_id = 900001;

-- It is credited, at once

BEGIN;
SELECT hype.refer('friend', 7) \g /dev/null
SELECT is((SELECT referrer FROM hype.confirm('signup', 7)), 'alice',
          'hype.confirm() credits it in the same transaction');
COMMIT;

-- Counted, before and after the roll-up, without bots

INSERT INTO hype.referral_hit (id, referral_link_id, created, bot, source)
VALUES (gen_random_uuid(), 900001, now(), true, 'code'),
       (gen_random_uuid(), 900001, now(), false, NULL),
       (gen_random_uuid(), 900001, now() - interval '3 days', false, 'code');

CREATE FUNCTION pg_temp.counted() RETURNS text LANGUAGE sql AS $$
    SELECT concat_ws(' ',
        (SELECT hits || '/' || codes FROM hype.link_stats
         WHERE identifier = 'friend'),
        (SELECT sum(hits) || '/' || sum(codes) FROM hype.daily_hits
         WHERE identifier = 'friend'),
        (SELECT codes FROM hype.daily_hits
         WHERE identifier = 'friend'
           AND day = (now() AT TIME ZONE 'UTC')::date - 3),
        (SELECT hits || '/' || codes FROM hype.site_stats))
$$;
CREATE FUNCTION pg_temp.expected() RETURNS text LANGUAGE sql AS $$
    SELECT concat_ws(' ', f, f, 1, count(*) || '/' || count(source))
    FROM hype.referral_hit, (
        SELECT count(*) || '/' || count(source) FROM hype.referral_hit
        WHERE referral_link_id = 900001 AND NOT bot) AS t (f)
    WHERE NOT bot GROUP BY f
$$;

SELECT is(pg_temp.counted(), pg_temp.expected(), 'codes are hits');
SELECT matches(pg_temp.counted(), '^14/13 ', 'each of them');
CALL pg_temp.derive();
SELECT hype.roll_up() \g /dev/null
SELECT is(pg_temp.counted(), pg_temp.expected(), 'rolled up');
SELECT is((SELECT codes FROM hype.link_total
           WHERE referral_link_id = 900001), 13::bigint, 'in the totals');
SELECT hype.refer('friend', 'late') \g /dev/null
SELECT is(pg_temp.counted(), pg_temp.expected(), 'and one more');
DELETE FROM hype.referral_hit WHERE user_id IN ('u1', 'late');
SELECT is(pg_temp.counted(), pg_temp.expected(), 'hits are deleted');
SELECT hype.roll_up('-infinity') \g /dev/null
SELECT is(pg_temp.counted(), pg_temp.expected(), 'all is counted again');

SELECT * FROM finish();
