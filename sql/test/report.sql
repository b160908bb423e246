-- hype.report(): what the status page shows, for what it is asked for.

BEGIN;
SET LOCAL client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS pgtap;

SELECT plan(59);

INSERT INTO hype.referral_link (id, identifier, user_id, label, disabled,
                                expires)
VALUES (900001, 'a', 'alice', 'Spring 100%', false, NULL),
       (900002, 'b', 'bob', NULL, true, NULL),
       (900003, 'c', NULL, repeat('x', 300), false, '2024-02-01Z'),
       (900004, 'd', 'alice', 'O''Hara "\', false, '2999-01-01Z');

-- Days of Auckland (UTC+13) begin at 11:00 of the day before.  For "a":
-- visitor 1 on three days, who becomes a user and confirms twice; visitor 2
-- and a bot.  For "b" visitor 1 before that, and 2 later.

INSERT INTO hype.referral_hit
    (id, referral_link_id, created, visitor, authenticated, bot, http_referer,
     next)
SELECT gen_random_uuid(), link, created::timestamptz,
       lpad(visitor::text, 32, '0')::uuid, false, bot, referer, next
FROM (VALUES
    (900001, '2024-01-01 09:00Z', 1, false, 'https://x.example/p', '/one?q=1'),
    (900001, '2024-01-02 10:00Z', 1, false, 'https://x.example/q', '/one'),
    (900001, '2024-01-02 12:00Z', 1, false, 'https://y.example/', NULL),
    (900001, '2024-01-02 12:00Z', 2, false, NULL, NULL),
    (900001, '2024-01-02 12:00Z', 3, true, NULL, NULL),
    (900002, '2024-01-01 08:00Z', 1, false, NULL, '/two'),
    (900002, '2024-03-01 12:30Z', 2, false, NULL, '/two')
) AS v (link, created, visitor, bot, referer, next);

SELECT hype.claim(lpad('1', 32, '0')::uuid, 'u');
SELECT hype.record_confirm('signup', 'u', NULL, 1.5, '2024-01-03Z'),
       hype.record_confirm('paid', 'u', NULL, 20, '2024-02-05Z'),
       hype.record_confirm('signup', NULL, lpad('2', 32, '0')::uuid, NULL,
                           '2024-03-02Z');

-- The owner of a link changes: what was credited stays.

UPDATE hype.referral_link SET user_id = 'zoe' WHERE identifier = 'b';

CREATE FUNCTION pg_temp.rows_of(arguments jsonb, VARIADIC keys text[])
RETURNS SETOF jsonb LANGUAGE sql AS $$
    SELECT (SELECT jsonb_agg(r.row -> k.key ORDER BY k.n)
            FROM unnest(keys) WITH ORDINALITY AS k (key, n))
    FROM hype.report(arguments) AS report,
         jsonb_array_elements(coalesce(report -> 'links', report -> 'owners'))
             WITH ORDINALITY AS r (row, n)
    ORDER BY r.n
$$;

CREATE FUNCTION pg_temp.found(arguments jsonb) RETURNS text
LANGUAGE sql AS $$
    SELECT string_agg(r ->> 0, '') FROM pg_temp.rows_of(
        arguments, CASE arguments ->> 'by' WHEN 'owner' THEN 'user_id'
                   ELSE 'identifier' END) AS r
$$;

CREATE TEMPORARY TABLE question (n integer, arguments jsonb);
INSERT INTO question VALUES
    (1, '{}'), (2, '{"by": "owner"}'),
    (3, '{"from": "2024-01-02", "until": "2024-01-02"}'),
    (4, '{"from": "2024-01-02", "zone": "Pacific/Auckland"}'),
    (5, '{"until": "2024-02-01", "by": "owner", "sort": "value"}');
CREATE TEMPORARY TABLE early AS
SELECT q.n, hype.report(q.arguments) AS report FROM question q;

-- All of the time

SELECT results_eq(
    $$ SELECT jsonb_object_keys(hype.report()) ORDER BY 1 $$,
    $$ SELECT unnest(string_to_array('arguments by days events from funnel grain links '
       'order page pages referers search size sort total until zone', ' '))
       ORDER BY 1 $$, 'what a report has');
SELECT is(hype.report() -> 'funnel', '{"hits": 6, "visitors": 2, "linked": 1,
    "confirmed": 2, "bots": 1, "confirmations": 3, "value": 21.5}',
    'the funnel of the site');
SELECT is(hype.report() -> 'events', '[
    {"event": "signup", "confirmed": 2, "value": 1.5},
    {"event": "paid", "confirmed": 1, "value": 20}]', 'by event');
SELECT is(hype.report() -> 'referers', '[{"value": "x.example", "hits": 2},
    {"value": "y.example", "hits": 1}]', 'by host of the Referer');
SELECT is(hype.report() -> 'pages', '[{"value": "/one", "hits": 2},
    {"value": "/two", "hits": 2}]', 'by page, without its arguments');
SELECT is(hype.report() -> 'days', '[]', 'without arguments the last 30 days');
SELECT is(hype.report() ->> 'grain', 'day', 'by day');

SELECT results_eq($$
    SELECT * FROM pg_temp.rows_of('{}', 'identifier', 'user_id', 'hits',
        'visitors', 'bots', 'linked_users', 'confirmed', 'confirmations',
        'value', 'conversion_rate', 'disabled', 'expired')
$$, $$ VALUES
    ('["a", "alice", 4, 2, 1, 1, 1, 2, 21.5, 0.5000, false, false]'::jsonb),
    ('["b", "zoe", 2, 2, 0, 1, 1, 1, null, 0.5000, true, false]'),
    ('["c", null, 0, 0, 0, 0, 0, 0, null, null, false, true]'),
    ('["d", "alice", 0, 0, 0, 0, 0, 0, null, null, false, false]')
$$, 'links, the most hits first');
SELECT is(length(r ->> 1), 200, 'a long label is cut')
FROM pg_temp.rows_of('{"search": "c"}', 'identifier', 'label') AS r
WHERE r ->> 0 = 'c';

SELECT results_eq($$
    SELECT * FROM pg_temp.rows_of('{"by": "owner", "sort": "confirmed"}',
        'user_id', 'links', 'hits', 'visitors', 'linked_users', 'confirmed',
        'confirmations', 'value')
$$, $$ VALUES
    ('["alice", 2, 4, 2, 1, 1, 2, 21.5]'::jsonb),
    ('["bob", 0, 0, 0, 0, 1, 1, null]'),
    ('["zoe", 1, 2, 2, 1, 0, 0, null]'),
    ('[null, 1, 0, 0, 0, 0, 0, null]')
$$, 'owners: hits are those of their links, what is credited stays credited');

-- A part of it

SELECT is(r -> 'funnel', '{"hits": 3, "visitors": 2, "linked": 0,
    "confirmed": 0, "bots": 1, "confirmations": 0, "value": null}',
    'a day of UTC: the user was one the day before')
FROM hype.report('{"from": "2024-01-02", "until": "2024-01-02"}') AS r;
SELECT is(hype.report('{"from": "2024-01-02", "zone": "Pacific/Auckland",
                        "until": "2024-01-02"}') -> 'funnel' -> 'hits', '1',
          'the same day of Auckland');
SELECT is(hype.report('{"from": "2024-01-03", "zone": "Pacific/Auckland",
                        "until": "2024-01-03"}') -> 'funnel',
          '{"hits": 2, "visitors": 2, "linked": 0, "confirmed": 1, "bots": 1,
            "confirmations": 1, "value": 1.5}', 'and the next day');
SELECT is(hype.report('{"from": "2024-01-03", "zone": "Pacific/Auckland",
                        "until": "2024-01-03"}') -> 'days',
          '[{"day": "2024-01-03", "time": 1704196800, "hits": 2, "visitors": 2,
             "bots": 1}]', 'by hour');
SELECT results_eq($$
    SELECT * FROM pg_temp.rows_of(
        '{"from": "2024-01-02", "until": "2024-02-29"}', 'identifier', 'hits',
        'visitors', 'bots', 'linked_users', 'confirmed', 'confirmations',
        'value', 'conversion_rate')
$$, $$ VALUES
    ('["a", 3, 2, 1, 0, 1, 2, 21.5, 0.5000]'::jsonb),
    ('["b", 0, 0, 0, 0, 0, 0, null, null]'),
    ('["c", 0, 0, 0, 0, 0, 0, null, null]'),
    ('["d", 0, 0, 0, 0, 0, 0, null, null]')
$$, 'links in two months');
SELECT results_eq($$
    SELECT * FROM pg_temp.rows_of(
        '{"from": "2024-03-01", "by": "owner"}', 'user_id', 'hits',
        'confirmed', 'value')
$$, $$ VALUES ('["zoe", 1, 0, null]'::jsonb), ('["alice", 0, 0, null]'),
              ('["bob", 0, 1, null]'), ('[null, 0, 0, null]')
$$, 'owners since March');
SELECT is(hype.report('{"from": "2024-01-02", "until": "2024-01-31"}')
          -> 'referers', '[{"value": "x.example", "hits": 1},
                           {"value": "y.example", "hits": 1}]',
          'origins of these days');
SELECT is(hype.report('{"until": "2024-01-31"}') -> 'events',
          '[{"event": "signup", "confirmed": 1, "value": 1.5}]',
          'events of these days');

SELECT is(hype.report(arguments) ->> 'grain', grain, format('grain: %s', arguments))
FROM (VALUES
    ('{"from": "2024-01-01", "until": "2024-01-02"}'::jsonb, 'hour'),
    ('{"from": "2024-01-01", "until": "2024-01-03"}', 'day'),
    ('{"from": "2024-01-01", "until": "2024-04-01"}', 'day'),
    ('{"from": "2024-01-01", "until": "2024-12-31"}', 'week'),
    ('{"from": "2023-01-01", "until": "2024-12-31"}', 'month'),
    ('{"from": "2999-01-01", "until": "2999-12-31"}', 'hour')
) AS v (arguments, grain);

-- It is the same when all is rolled up.

SELECT hype.roll_up();
SELECT is(hype.report(q.arguments), e.report, format('rolled up: %s', q.arguments))
FROM question q JOIN early e USING (n) ORDER BY n;

-- Search, order, pages

SELECT is(pg_temp.found(arguments), wanted, format('found: %s', arguments))
FROM (VALUES
    ('{"search": "ALICE"}'::jsonb, 'ad'), ('{"search": "spring"}', 'a'),
    ('{"search": "100%"}', 'a'), ('{"search": "o''hara \"\\"}', 'd'),
    ('{"search": "%"}', 'a'), ('{"search": "_"}', NULL),
    ('{"search": "ob", "by": "owner"}', 'bob'),
    ('{"sort": "identifier"}', 'abcd'),
    ('{"sort": "identifier", "order": "desc"}', 'dcba'),
    ('{"sort": "user_id"}', 'adbc'), ('{"sort": "value"}', 'abcd'),
    ('{"sort": "value", "order": "asc"}', 'abcd'),
    ('{"sort": "bots", "order": "asc"}', 'bcda'),
    ('{"size": "2"}', 'ab'), ('{"size": "2", "page": "2"}', 'cd'),
    ('{"size": "3", "page": "9", "part": "rows"}', 'd'),
    ('{"sort": "links", "by": "owner", "size": "1"}', 'alice')
) AS v (arguments, wanted);

SELECT is(r - 'links', '{"total": 2, "page": 2, "size": 1, "search": "alice",
    "sort": "hits", "order": "desc", "by": "link", "zone": "UTC",
    "from": null, "until": null}',
    'rows alone, and where they are; a page beyond the last one is that')
FROM hype.report('{"search": "alice", "size": "1", "page": "7",
                   "part": "rows"}') AS r;

-- Bad arguments

SELECT throws_ok(format('SELECT hype.report(%L)', arguments), '22023',
                 'hype.report: ' || message, arguments::text)
FROM (VALUES
    ('[]', 'the arguments are no JSON object'),
    ('{"x": "1"}', 'unknown argument "x"'),
    ('{"sort": "hits; DROP TABLE x"}',
     'sort is "hits; DROP TABLE x", not the name of a column'),
    ('{"sort": "identifier", "by": "owner"}',
     'sort is "identifier", which these rows have not'),
    ('{"order": "asc, 1"}', 'order is "asc, 1", not asc or desc'),
    ('{"page": "0"}', 'page is "0", not a number from 1 to 999999'),
    ('{"size": "201"}',
     'size is "201", not a number from 1 to 200, or to 5000 with part=rows'),
    ('{"from": "yesterday"}',
     'from is "yesterday", not a day such as 2026-01-31'),
    ('{"from": "2024-02-30"}', 'from or until is no day'),
    ('{"from": "2024-02-02", "until": "2024-02-01"}', 'from is after until'),
    ('{"zone": "Mars/Base"}', 'there is no time zone "Mars/Base"'),
    ('{"by": null}', 'by is "", not link or owner')
) AS v (arguments, message);

SELECT * FROM finish();
ROLLBACK;
