-- What users see of their own links, hype.owner_page(): theirs, and nobody
-- else's.

SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS pgtap;
\ir include/derive.sql

SELECT plan(39);

CREATE FUNCTION pg_temp.v(n integer) RETURNS uuid LANGUAGE sql
    RETURN ('00000000-0000-4000-8000-' || lpad(n::text, 12, '0'))::uuid;

CREATE FUNCTION pg_temp.links(user_id text) RETURNS bigint LANGUAGE sql
    RETURN (SELECT count(*) FROM hype.referral_link l
            WHERE l.user_id = links.user_id);


-- The first link

SELECT is(hype.owner_page('new') - 'days',
          '{"user": "new", "links": [], "rewards": [],
            "totals": {"links": 0, "hits": 0, "visitors": 0, "confirmed": 0,
                       "confirmations": 0, "value": null}}',
          'who has no link sees none');
SELECT is(pg_temp.links('new'), 0::bigint, 'and gets none');
SELECT is(jsonb_array_length(hype.owner_page('new') -> 'days'), 30, '30 days');

CREATE TEMPORARY TABLE page AS SELECT hype.owner_page('new', true) AS p;

SELECT is(pg_temp.links('new'), 1::bigint, 'unless one is asked for');
SELECT is(p #>> '{links,0,identifier}',
          (SELECT l.identifier FROM hype.referral_link l
           WHERE l.user_id = 'new'), 'which is shown at once')
FROM page;
SELECT is(p #>> '{links,0,url}',
          '/ref/' || (p #>> '{links,0,identifier}') || '/', 'with its URL')
FROM page;
SELECT is(p #>> '{totals,links}', '1', 'and counted') FROM page;
SELECT is(hype.owner_page('new', true) #> '{links,0,identifier}',
          p #> '{links,0,identifier}', 'once') FROM page;
SELECT is(pg_temp.links('new'), 1::bigint, 'not again');
SELECT matches(hype.owner_page('new', false, 'https://x.example/r/')
                   #>> '{links,0,url}',
               '^https://x\.example/r/[a-z0-9]+/$',
               'a URL begins as is asked for');

UPDATE hype.referral_link SET disabled = true WHERE user_id = 'new';
SELECT is(hype.owner_page('new', true) #>> '{links,0,disabled}', 'true',
          'who has one that is disabled sees so');
SELECT is(pg_temp.links('new'), 1::bigint, 'and gets no other');

DELETE FROM hype.referral_link WHERE user_id = 'new';
SELECT is(hype.owner_page('new', true) #>> '{totals,links}', '1',
          'where it was deleted there is a new one');

SELECT is(hype.owner_page(42, true) ->> 'user', '42', 'ids are numbers, too');
SELECT is(pg_temp.links('42'), 1::bigint, 'of the same users');
SELECT is(hype.owner_page('x', NULL, NULL) #>> '{totals,links}', '0',
          'NULL is as nothing');

SELECT throws_ok(q, '22023', 'hype.owner_page: no user', q)
FROM unnest(ARRAY['SELECT hype.owner_page('''')',
                  'SELECT hype.owner_page(NULL::text, true)']) AS q;
SELECT throws_ok('SELECT hype.owner_page(E''a\tb'', true)', '23514', NULL,
                 'nor one whose id can''t own links');


-- What became of them

INSERT INTO hype.referral_link
    (id, identifier, user_id, label, disabled, expires, created)
VALUES (900001, 'o-1', 'alice', 'First', false, NULL, '2024-01-02Z'),
       (900002, 'o-2', 'alice', NULL, false, 'infinity', '2024-01-01Z'),
       (900003, 'o-3', 'alice', NULL, true, NULL, '2023-01-01Z'),
       (900004, 'o-4', 'alice', NULL, false, '2024-06-01Z', '2023-01-01Z'),
       (900005, 'o-5', 'bob', 'Secret', false, NULL, '2024-01-01Z');

INSERT INTO hype.reward_rule (event, side, amount, currency, hold)
VALUES ('signup', 'referrer', 10, 'points', '0'),
       ('order', 'referrer', 2.5, 'EUR', '30 days');

INSERT INTO hype.referral_hit (id, referral_link_id, created, visitor, bot)
SELECT gen_random_uuid(), link, now() - age::interval, pg_temp.v(visitor), bot
FROM (VALUES (900001, '0', 1, false), (900001, '1 day', 1, false),
             (900001, '29 days', 2, false), (900001, '40 days', 3, false),
             (900001, '0', 4, true), (900002, '1 day', 1, false),
             (900005, '0', 7, false), (900005, '0', 8, false))
    AS v (link, age, visitor, bot);

SELECT hype.claim(pg_temp.v(2), 'carol');
SELECT hype.confirm('signup', 'carol'), hype.confirm('order', 'carol',
                                                     value => 99.90);

CREATE FUNCTION pg_temp.page() RETURNS jsonb LANGUAGE sql
    RETURN hype.owner_page('alice', true, 'http://h/ref/');

-- All of it the same before it is rolled up and after.

CREATE TEMPORARY TABLE alice AS SELECT pg_temp.page() AS p;

SELECT is((SELECT string_agg(l ->> 'identifier', ' ')
           FROM jsonb_array_elements(p -> 'links') AS l),
          'o-2 o-1 o-3 o-4', 'those that work first, then the oldest')
FROM alice;
SELECT is(p #> '{links,1}',
          '{"identifier": "o-1", "url": "http://h/ref/o-1/", "label": "First",
            "created": "2024-01-02T00:00:00+00:00", "disabled": false,
            "expires": null, "expired": false, "hits": 4, "visitors": 3,
            "confirmed": 1, "confirmations": 2, "value": 99.90}',
          'a link with all that became of it') FROM alice;
SELECT is((p #> '{links,0}') - ARRAY['url', 'label', 'created'],
          '{"identifier": "o-2", "disabled": false, "expires": null,
            "expired": false, "hits": 1, "visitors": 1, "confirmed": 0,
            "confirmations": 0, "value": null}',
          'what never expires does not say so') FROM alice;
SELECT is(jsonb_build_array(p #> '{links,2,disabled}', p #> '{links,3,expired}',
                            p #> '{links,3,expires}'),
          '[true, true, "2024-06-01T00:00:00+00:00"]',
          'disabled and expired ones say so') FROM alice;
SELECT is(p -> 'totals',
          '{"links": 4, "hits": 5, "visitors": 4, "confirmed": 1,
            "confirmations": 2, "value": 99.90}', 'sums') FROM alice;
SELECT is(p -> 'rewards',
          '[{"currency": "EUR", "pending": 2.5, "available": 0, "paid": 0},
            {"currency": "points", "pending": 0, "available": 10, "paid": 0}]',
          'rewards of each currency by state') FROM alice;
SELECT is(jsonb_build_array(jsonb_array_length(p -> 'days'),
                            p #> '{days,0,hits}', p #> '{days,28,hits}',
                            p #> '{days,28,visitors}', p #> '{days,29,hits}',
                            p #> '{days,10,hits}', p #> '{days,29,day}'),
          jsonb_build_array(30, 1, 2, 2, 1, 0,
                            (now() AT TIME ZONE 'UTC')::date),
          'hits on each day, without bots') FROM alice;
SELECT doesnt_match(p::text, 'bob', 'nothing of others: owners') FROM alice;
SELECT doesnt_match(p::text, 'carol', 'and who was referred') FROM alice;

CALL pg_temp.derive();
SELECT hype.roll_up();
SELECT is(pg_temp.page(), p, 'the same once it is rolled up') FROM alice;

SELECT hype.pay_out('alice', 'points', 'r1'), hype.revoke('signup', 'carol');
SELECT is(pg_temp.page() -> 'rewards',
          '[{"currency": "EUR", "pending": 2.5, "available": 0, "paid": 0},
            {"currency": "points", "pending": 0, "available": -10,
             "paid": 10}]', 'paid, and owed back');
SELECT hype.pay_out('alice', 'point', 'r2');
SELECT is(jsonb_array_length(pg_temp.page() -> 'rewards'), 2,
          'a currency of which there was never anything is left out');
SELECT is(pg_temp.page() #> '{links,1,confirmations}', '1',
          'what is revoked does not count');

SELECT is(p - ARRAY['days', 'rewards'],
          '{"user": "bob", "links": [{"identifier": "o-5", "label": "Secret",
             "url": "/ref/o-5/", "created": "2024-01-01T00:00:00+00:00",
             "disabled": false, "expires": null, "expired": false, "hits": 2,
             "visitors": 2, "confirmed": 0, "confirmations": 0,
             "value": null}],
            "totals": {"links": 1, "hits": 2, "visitors": 2, "confirmed": 0,
             "confirmations": 0, "value": null}}', 'another user''s page')
FROM hype.owner_page('bob') AS p;

SELECT is(hype.owner_page(u, true) #> '{totals,hits}', '0',
          'nobody is alice: ' || u)
FROM unnest(ARRAY['Alice', 'alice ', 'ali%', 'alice'' OR ''1''=''1']) AS u;

SELECT hype.erase('new');
SELECT is_empty($$ SELECT FROM hype.first_link f
                   WHERE f.subject = hype.user_key('new') $$,
                'who is erased leaves nothing here');

INSERT INTO hype.referral_link (identifier, user_id)
SELECT 'many-' || n, 'many' FROM generate_series(1, 130) AS n;
SELECT is(jsonb_build_array(jsonb_array_length(p -> 'links'),
                            p #> '{totals,links}'),
          '[100, 130]', '100 links are listed')
FROM hype.owner_page('many') AS p;

SELECT * FROM finish();
