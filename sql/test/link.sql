-- Links: what they may hold, and hype.create_link().

BEGIN;
SET LOCAL client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS pgtap;

SELECT plan(46);

-- Identifiers

SELECT lives_ok(format($$
    INSERT INTO hype.referral_link (identifier) VALUES (%L)
$$, i), format('identifier "%s" is taken', i))
FROM unnest(ARRAY['a', 'A', 'aB3_.~-', repeat('x', 64)]) AS i;

SELECT throws_ok(format($$
    INSERT INTO hype.referral_link (identifier) VALUES (%L)
$$, i), '23514', NULL, format('identifier %s is refused', to_json(i)))
FROM unnest(ARRAY['', ' ', 'a b', 'a/b', 'a%20', 'ä', E'a\n', 'a?b',
                  repeat('x', 65)]) AS i;

SELECT throws_ok($$
    INSERT INTO hype.referral_link (identifier) VALUES ('a')
$$, '23505', NULL, 'an identifier is unique');

-- Owners and destinations

SELECT lives_ok(format($$
    INSERT INTO hype.referral_link (identifier, destination)
    VALUES (%L, %L)
$$, 'd' || n, d), format('destination "%s" is taken', d))
FROM unnest(ARRAY['/', '/a?b=c#d', 'https://example.com/', 'app://open',
                  'https://example.com/ü'])
     WITH ORDINALITY AS t (d, n);

SELECT throws_ok(format($$
    INSERT INTO hype.referral_link (identifier, destination)
    VALUES ('refused', %L)
$$, d), '23514', NULL, format('destination %s is refused', to_json(d)))
FROM unnest(ARRAY['', '/a b', E'/a\r\nSet-Cookie:x', E'/a\t', U&'/\007f',
                  U&'/\0085', U&'/\00a0']) AS d;

SELECT lives_ok($$
    INSERT INTO hype.referral_link (identifier, user_id)
    VALUES ('owned', 'Jörg 42')
$$, 'an owner may have spaces and umlauts');
SELECT throws_ok(format($$
    INSERT INTO hype.referral_link (identifier, user_id)
    VALUES ('refused', %L)
$$, u), '23514', NULL, format('owner %s is refused', to_json(u)))
FROM unnest(ARRAY['', E'a\nb']) AS u;

-- Times

INSERT INTO hype.referral_link (identifier) VALUES ('stamp');

CREATE FUNCTION pg_temp.stamp() RETURNS hype.referral_link LANGUAGE sql AS
    $$ SELECT * FROM hype.referral_link WHERE identifier = 'stamp' $$;

SELECT ok((s).updated = (s).created AND (s).disabled_at IS NULL,
          'a new link is neither updated nor disabled')
FROM pg_temp.stamp() AS s;

UPDATE hype.referral_link SET label = 'x' WHERE identifier = 'stamp';
SELECT ok((s).updated > (s).created, 'a change is stamped')
FROM pg_temp.stamp() AS s;

UPDATE hype.referral_link SET disabled = true WHERE identifier = 'stamp';
SELECT ok((s).disabled_at BETWEEN now() AND clock_timestamp(),
          'so is disabling')
FROM pg_temp.stamp() AS s;

CREATE TEMPORARY TABLE before AS
    SELECT (s).disabled_at FROM pg_temp.stamp() AS s;
UPDATE hype.referral_link SET label = 'y', disabled_at = NULL
WHERE identifier = 'stamp';
SELECT is((s).disabled_at, b.disabled_at, 'which later changes leave')
FROM pg_temp.stamp() AS s, before AS b;

UPDATE hype.referral_link SET disabled_at = '2020-01-01'
WHERE identifier = 'stamp';
SELECT is((s).disabled_at, '2020-01-01', 'but it may be set')
FROM pg_temp.stamp() AS s;

UPDATE hype.referral_link SET disabled = false WHERE identifier = 'stamp';
SELECT is((s).disabled_at, NULL, 'and goes when the link is enabled')
FROM pg_temp.stamp() AS s;

INSERT INTO hype.referral_link (identifier, disabled) VALUES ('off', true);
SELECT ok(disabled_at IS NOT NULL, 'a link may be disabled from the start')
FROM hype.referral_link WHERE identifier = 'off';

INSERT INTO hype.referral_link (identifier, disabled, disabled_at, expires)
VALUES ('live.on', false, NULL, NULL),
       ('live.off', true, '2020-01-02Z', NULL),
       ('live.old', false, NULL, '2020-01-02Z');

SELECT results_eq($$
    SELECT identifier || ' ' || hour, hype.was_live(l, hour, NULL)
    FROM hype.referral_link l,
         (VALUES ('2020-01-01 23:00Z'::timestamptz), ('2020-01-02 00:00Z'))
             AS t (hour)
    WHERE identifier ~ '^live'
    ORDER BY l.id, hour
$$, $$
    SELECT i || ' ' || t::timestamptz, live
    FROM (VALUES ('live.on', '2020-01-01 23:00Z', true),
                 ('live.on', '2020-01-02 00:00Z', true),
                 ('live.off', '2020-01-01 23:00Z', true),
                 ('live.off', '2020-01-02 00:00Z', false),
                 ('live.old', '2020-01-01 23:00Z', true),
                 ('live.old', '2020-01-02 00:00Z', false)) AS v (i, t, live)
$$, 'was_live() compares with disabled_at and expires');

-- create_link()

SELECT results_eq($$
    SELECT identifier, user_id, destination, label, expires
    FROM hype.create_link('alice', '/shop', 'summer', 'Summer', '2099-01-01')
$$, $$
    VALUES ('summer', 'alice', '/shop', 'Summer', '2099-01-01'::timestamptz)
$$, 'create_link() returns the link it made');

SELECT throws_ok($$ SELECT hype.create_link(identifier => 'summer') $$,
                 '23505', 'hype.create_link: the identifier "summer" is taken',
                 'an identifier that is taken is an error');
SELECT throws_ok($$ SELECT hype.create_link(identifier => 'a/b') $$,
                 '23514', 'hype.create_link: "a/b" can''t be an identifier',
                 'so is a malformed one');

CREATE TEMPORARY TABLE made AS
    SELECT l.*
    FROM generate_series(1, 500) AS n, hype.create_link('bob', '/' || n) AS l;

SELECT is((SELECT count(*) FROM made
           WHERE identifier ~ '^[2-9a-hjkmnp-z]{8}$'), 500::bigint,
          'made-up identifiers are short and have no look-alike characters');
SELECT is((SELECT count(DISTINCT identifier) FROM hype.referral_link
           WHERE user_id = 'bob'), 500::bigint, 'and are different');
SELECT is((SELECT count(DISTINCT substr(identifier, n, 1))
           FROM made, generate_series(1, 8) AS n), 31::bigint,
          'and use all of the alphabet');
SELECT ok((SELECT min(c) > 60 AND max(c) < 200
           FROM (SELECT count(*) AS c
                 FROM made, generate_series(1, 8) AS n
                 GROUP BY substr(identifier, n, 1)) AS counts),
          'evenly');

-- A generator that comes up with a taken one twice.

CREATE TEMPORARY SEQUENCE tries;
CREATE OR REPLACE FUNCTION hype.new_identifier() RETURNS text
LANGUAGE sql VOLATILE AS $$
    SELECT CASE WHEN nextval('pg_temp.tries') < 3 THEN 'summer'
                ELSE 'winter' END
$$;
SELECT is((hype.create_link('carol')).identifier, 'winter',
          'a collision is tried again');
SELECT is(user_id, 'alice', 'and leaves the other link alone')
FROM hype.referral_link WHERE identifier = 'summer';

SELECT * FROM finish();
ROLLBACK;
