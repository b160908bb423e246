-- hype.arg_stats: hits by argument and value, from roll-ups.

SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS pgtap;
\ir include/derive.sql

SELECT plan(41);

INSERT INTO hype.referral_link (id, identifier, user_id)
VALUES (900001, 'a', 'alice'), (900002, 'b', 'bob');

CREATE FUNCTION pg_temp.hits(
    n integer, args text, day date DEFAULT '2024-01-01',
    bot boolean DEFAULT false
)
RETURNS void LANGUAGE sql AS $$
    INSERT INTO hype.referral_hit
        (id, referral_link_id, created, visitor, args, bot)
    SELECT gen_random_uuid(), 900001 + i % 2, day + interval '1 hour',
           gen_random_uuid(), hits.args, hits.bot
    FROM generate_series(1, n) AS i
$$;

-- As text, so that what is rolled up and what is not can be compared

CREATE FUNCTION pg_temp.stats(day date DEFAULT NULL) RETURNS text
LANGUAGE sql AS $$
    SELECT string_agg(concat_ws(' ', to_char(s.day, 'DD'), s.name, s.value,
                                s.hits), ', '
                      ORDER BY s.day, s.name, s.value COLLATE "C")
    FROM hype.arg_stats s
    WHERE s.day = coalesce(stats.day, s.day) AND s.day < '2025-01-01'
$$;

-- Taking them apart

SELECT is((SELECT string_agg(format('%s=%s', name, value), ' ')
           FROM hype.args_of(args)), expected, args)
FROM (VALUES
    ('a=1&b=2', 'a=1 b=2'),
    ('a&b=&=c&a=x=y', 'a= b= =c a=x=y'),
    ('a=x+y%20z&b%3D=c', 'a=x y z b%3D=c'),
    ('a=%C3%A4%2B%26', 'a=ä+&'),
    ('a=%c3%a4%', 'a=ä%'),
    ('a=%zz%4', 'a=%zz%4'),
    ('a=%FF+b', 'a=%FF+b'),
    ('a=x%00y', 'a=x%00y'),
    ('a=ä%25', 'a=ä%'),
    ('a=%F0%9F%98%80%EF%BF%BD%ED%9F%BF', 'a=😀' || U&'\FFFD' || U&'\D7FF'),
    ('a=%C0%AF', 'a=%C0%AF'),
    ('a=%F4%90%80%80', 'a=%F4%90%80%80')
) AS v (args, expected);
SELECT is_empty($$ SELECT * FROM hype.args_of(NULL) $$, 'no arguments');
SELECT is_empty($$ SELECT * FROM hype.args_of('') $$, 'an empty query');

-- Before and after they are rolled up

SELECT pg_temp.hits(3, 'utm_source=mail&sub=x'),
       pg_temp.hits(2, 'utm_source=mail&utm_source=web&utm_source=web'),
       pg_temp.hits(1, 'sub=%58&utm_source=&utm_source'),
       pg_temp.hits(4, NULL),
       pg_temp.hits(5, 'utm_source=mail', bot => true),
       pg_temp.hits(1, 'utm_source=mail', '2024-01-02');

SELECT is(pg_temp.stats(),
          '01 sub X 1, 01 sub x 3, 01 utm_source mail 5, '
          '01 utm_source web 2, 02 utm_source mail 1',
          'before hits are rolled up');
SELECT is(hype.report('{"until": "2024-01-01"}') -> 'arguments',
          '[{"name": "utm_source", "value": "mail", "hits": 5, "confirmed": 0},
            {"name": "sub", "value": "x", "hits": 3, "confirmed": 0},
            {"name": "utm_source", "value": "web", "hits": 2, "confirmed": 0},
            {"name": "sub", "value": "X", "hits": 1, "confirmed": 0}]',
          'in a report');

CREATE TEMPORARY TABLE before AS SELECT pg_temp.stats() AS stats;
CALL pg_temp.derive();
SELECT hype.roll_up();
SELECT is(pg_temp.stats(), (SELECT stats FROM before), 'and after');
SELECT is((SELECT count(*) FROM hype.unrolled_args()), 0::bigint,
          'all of them are');
SELECT is(hype.report('{"from": "2024-01-02", "until": "2024-01-02"}')
          -> 'arguments',
          '[{"name": "utm_source", "value": "mail", "hits": 1,
             "confirmed": 0}]',
          'a report of a day');
SELECT pg_temp.hits(1, 'utm_source=mail', '2024-01-02');
SELECT is(pg_temp.stats('2024-01-02'), '02 utm_source mail 2', 'and some more');
SELECT hype.roll_up();
SELECT is(pg_temp.stats('2024-01-02'), '02 utm_source mail 2', 'also after');
SELECT hype.roll_up('2024-01-01Z');
SELECT is(pg_temp.stats(), replace((SELECT stats FROM before), 'mail 1',
                                   'mail 2'), 'counted again');
SELECT is((SELECT string_agg(value, ' ') FROM hype.hits_from('next')), NULL,
          'they are no other origins');

-- What is bounded

SELECT pg_temp.hits(1, 'sub=' || i, '2024-03-01')
FROM generate_series(1, 600) AS i;
SELECT hype.roll_up();
SELECT pg_temp.hits(1, 'sub=' || i || '&utm_source=mail', '2024-03-01')
FROM generate_series(401, 1100) AS i;
SELECT hype.roll_up();
SELECT results_eq($$
    SELECT name, count(*), sum(hits), max(hits) FILTER (WHERE value = '')
    FROM hype.arg_stats WHERE day = '2024-03-01' GROUP BY name ORDER BY 1
$$, $$
    VALUES ('sub', 1001::bigint, 1300::numeric, 100::bigint),
           ('utm_source', 1, 700, NULL)
$$, '1,000 values a day of each argument');
SELECT pg_temp.hits(1, 'sub=' || repeat('%C3%A4', 15) || repeat('x', 300),
                    '2024-03-02');
SELECT hype.roll_up();
SELECT is((SELECT value FROM hype.arg_stats WHERE day = '2024-03-02'),
          repeat('ä', 15) || repeat('x', 235), 'values of 250 characters');
SELECT pg_temp.hits(1, string_agg('sub=' || i, '&' ORDER BY i), '2024-03-05')
FROM generate_series(1, 100) AS i;
SELECT hype.roll_up();
SELECT is((SELECT string_agg(value, ' ' ORDER BY value) FROM hype.arg_stats
           WHERE day = '2024-03-05'), '1 2 3 4 5 6 7 8',
          'the first values of a hit');
SELECT pg_temp.hits(1, repeat('n', 2000) || '=' || repeat('v', 40),
                    '2024-03-03');
SELECT hype.roll_up();
SELECT is((SELECT length(name) FROM hype.arg_stats WHERE day = '2024-03-03'),
          100, 'names of 100');

-- What was confirmed: of the hit that is credited, on its day

CREATE FUNCTION pg_temp.confirmed() RETURNS text LANGUAGE sql AS $$
    SELECT string_agg(concat_ws(' ', to_char(s.day, 'DD'), s.name, s.value,
                                s.hits, s.confirmed), ', '
                      ORDER BY s.day, s.name, s.value)
    FROM hype.arg_stats s
    WHERE s.day BETWEEN '2024-05-01' AND '2024-05-31'
$$;

INSERT INTO hype.referral_hit
    (id, referral_link_id, created, user_id, authenticated, args)
VALUES (lpad('1', 32, '0')::uuid, 900001, '2024-05-01Z', 'u1', true,
        'sub=a&utm_source=mail'),
       (lpad('2', 32, '0')::uuid, 900001, '2024-05-02Z', 'u2', true, 'sub=b'),
       (lpad('3', 32, '0')::uuid, 900002, '2024-05-03Z', 'u2', true, 'sub=c'),
       (lpad('4', 32, '0')::uuid, 900002, '2024-05-04Z', 'u3', true, NULL);
SELECT hype.roll_up();

SELECT is((SELECT count(*) FROM hype.confirm('e', u, "window" => '100 years')),
          1::bigint, u || ' confirms')
FROM unnest(ARRAY['u1', 'u2', 'u3']) AS u;
SELECT is(pg_temp.confirmed(),
          '01 sub a 1 1, 01 utm_source mail 1 1, 02 sub b 1 0, 03 sub c 1 1',
          'before it is rolled up');
SELECT hype.roll_up();
SELECT is(pg_temp.confirmed(),
          '01 sub a 1 1, 01 utm_source mail 1 1, 02 sub b 1 0, 03 sub c 1 1',
          'and after');
SELECT is((SELECT count(*) FROM hype.confirmed_change), 0::bigint,
          'all of it is');
SELECT is(hype.report('{"from": "2024-05-03", "until": "2024-05-03"}')
          -> 'arguments',
          '[{"name": "sub", "value": "c", "hits": 1, "confirmed": 1}]',
          'in a report');

-- The credit moves; it is taken back.

UPDATE hype.confirmed_referral
SET referral_hit_id = lpad('2', 32, '0')::uuid, referral_link_id = 900001
WHERE user_id = 'u2';
DELETE FROM hype.confirmed_referral WHERE user_id = 'u1';
SELECT is(pg_temp.confirmed(),
          '01 sub a 1 0, 01 utm_source mail 1 0, 02 sub b 1 1, 03 sub c 1 0',
          'a credit moves, another one is taken back');
SELECT hype.roll_up();
SELECT is(pg_temp.confirmed(),
          '01 sub a 1 0, 01 utm_source mail 1 0, 02 sub b 1 1, 03 sub c 1 0',
          'also in the roll-ups');
SELECT hype.roll_up('2024-05-01Z');
SELECT is(pg_temp.confirmed(),
          '01 sub a 1 0, 01 utm_source mail 1 0, 02 sub b 1 1, 03 sub c 1 0',
          'and counted again');

-- Of a value that is beyond the 1,000

INSERT INTO hype.referral_hit
    (id, referral_link_id, created, user_id, authenticated, args)
VALUES (lpad('5', 32, '0')::uuid, 900001, '2024-03-01Z', 'u5', true,
        'sub=beyond');
SELECT is((SELECT count(*) FROM hype.confirm('e', 'u5',
                                             "window" => '100 years')),
          1::bigint, 'a value that is beyond the 1,000');
SELECT hype.roll_up();
SELECT results_eq($$
    SELECT hits, confirmed FROM hype.arg_stats
    WHERE day = '2024-03-01' AND value = ''
$$, $$ VALUES (101::bigint, 1::bigint) $$, 'is added up with the others');

TRUNCATE hype.confirmed_referral;
SELECT is((SELECT sum(confirmed) FROM hype.arg_stats), 0::numeric,
          'none is confirmed any more');

-- Nothing that a URL has holds up the others.

SELECT pg_temp.hits(1, 'sub=' || e, '2024-03-04')
FROM (VALUES ('%FF%FE'), ('%00'), ('%'), ('%ed%a0%80'), ('')) AS v (e);
SELECT hype.roll_up();
SELECT is(pg_temp.stats('2024-03-04'),
          '04 sub % 1, 04 sub %00 1, 04 sub %FF%FE 1, 04 sub %ed%a0%80 1',
          'what is no text');

SELECT * FROM finish();
