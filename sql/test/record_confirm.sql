-- hype.record_confirm() and confirm_batch(): confirms from nginx, which may
-- come late and out of order.  What takes two sessions is in confirm.t.

SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS pgtap;
\ir include/record_confirm.sql

SELECT plan(74);

-- As of its time

SELECT pg_temp.hit(1, '2024-01-01Z', NULL, 'u'),
       pg_temp.hit(2, '2024-03-01Z', NULL, 'u'),
       pg_temp.hit(3, '2024-05-01Z', NULL, 'u');

SELECT ok(hype.record_confirm('e1', 'u', NULL, 5, '2024-03-20Z'),
          'true if it confirms');
SELECT is(pg_temp.outcome('e1'), 'u alice 2 5 03-20',
          'the last hit before its time');
SELECT ok(NOT hype.record_confirm('e1', 'u', NULL, 6, '2024-03-20Z'),
          'false if it was confirmed');
SELECT is(pg_temp.outcome('e1'), 'u alice 2 5 03-20', 'nothing changes');
SELECT is((SELECT confirmed FROM hype.referral_hit WHERE id = pg_temp.v(2)),
          '2024-03-20Z', 'the hit is marked');
SELECT ok(NOT hype.record_confirm('e2', 'u', NULL, NULL, '2023-12-31Z'),
          'hits after its time do not count');
SELECT ok(NOT hype.record_confirm('e3', 'u', NULL, NULL, '2024-08-01Z'),
          'nor do those more than 90 days before');
SELECT ok(hype.record_confirm('e4', 'u', NULL, NULL, '2024-03-10Z'),
          'an earlier confirm of another event that comes later');
SELECT is((SELECT confirmed FROM hype.referral_hit WHERE id = pg_temp.v(2)),
          '2024-03-10Z', 'the hit is marked with the first');

-- Hit, claim and confirm, in any order

CREATE FUNCTION pg_temp.do_hit(n integer, offs integer) RETURNS void
LANGUAGE sql AS $$
    SELECT pg_temp.hit(n + offs, '2024-01-01Z', n)
$$;
CREATE FUNCTION pg_temp.do_claim(n integer, offs integer) RETURNS void
LANGUAGE sql AS $$ SELECT hype.claim(pg_temp.v(n), 'u' || n) $$;
CREATE FUNCTION pg_temp.do_confirm(n integer, offs integer) RETURNS void
LANGUAGE sql AS $$
    SELECT hype.record_confirm(
        'o' || n, CASE WHEN offs < 2000 THEN 'u' || n END,
        CASE WHEN offs > 1000 THEN pg_temp.v(n) END, 7, '2024-01-02Z')
$$;

CREATE TEMPORARY TABLE orders AS
    SELECT row_number() OVER ()::integer AS n, ARRAY[a, b, c] AS steps, derive
    FROM unnest(ARRAY['hit', 'claim', 'confirm']) AS a,
         unnest(ARRAY['hit', 'claim', 'confirm']) AS b,
         unnest(ARRAY['hit', 'claim', 'confirm']) AS c,
         unnest(ARRAY[false, true]) AS derive
    WHERE a <> b AND b <> c AND a <> c;

CREATE PROCEDURE pg_temp.in_order(base integer, offs integer)
LANGUAGE plpgsql AS $$
DECLARE
    o    orders;
    step text;
BEGIN
    FOR o IN SELECT * FROM orders LOOP
        FOREACH step IN ARRAY o.steps LOOP
            EXECUTE format('SELECT pg_temp.do_%s(%s, %s)', step, base + o.n,
                           offs);
            COMMIT;

            IF o.derive THEN
                CALL pg_temp.derive();
            END IF;
        END LOOP;
    END LOOP;
    CALL pg_temp.derive();
END
$$;

CREATE FUNCTION pg_temp.outcome(n integer) RETURNS text LANGUAGE sql AS $$
    SELECT pg_temp.outcome('o' || n) || ' '
           || (SELECT user_id FROM hype.referral_hit
               WHERE visitor = pg_temp.v(n)) || ' '
           || pg_temp.waiting('o' || n)
$$;

CALL pg_temp.in_order(100, 500);
SELECT is(pg_temp.outcome(100 + n),
          format('u%s alice %s 7 01-02 u%1$s 0', 100 + n, 600 + n),
          'user known: ' || array_to_string(steps, ', '))
FROM orders;
CALL pg_temp.in_order(200, 2000);
SELECT is(pg_temp.outcome(200 + n),
          format('u%s alice %s 7 01-02 u%1$s 0', 200 + n, 200 + n),
          'visitor known: ' || array_to_string(steps, ', '))
FROM orders;
CALL pg_temp.in_order(300, 1500);
SELECT is(pg_temp.outcome(300 + n),
          format('u%s alice %s 7 01-02 u%1$s 0', 300 + n, 800 + n),
          'both known: ' || array_to_string(steps, ', '))
FROM orders;

-- Late hits of users who were known

SELECT ok(NOT hype.record_confirm('l1', 'late', NULL, NULL, '2024-02-01Z'),
          'a confirm before its hit');
CALL pg_temp.derive();
SELECT is(pg_temp.waiting('l1'), 1::bigint, 'is kept');
SELECT pg_temp.hit(400, '2024-01-01Z', NULL, 'other');
CALL pg_temp.derive();
SELECT is(pg_temp.outcome('l1'), NULL, 'hits of another user change nothing');
SELECT pg_temp.hit(401, '2024-01-01Z', NULL, 'late');
CALL pg_temp.derive();
SELECT is(pg_temp.outcome('l1'), 'late alice 401 - 02-01',
          'until its hit arrives');
SELECT is(pg_temp.waiting('l1'), 0::bigint, 'then it is done');

SELECT hype.record_confirm('l2', NULL, pg_temp.v(402), NULL, '2024-02-01Z');
SELECT hype.claim(pg_temp.v(402), 'late2');
SELECT pg_temp.hit(402, '2024-01-01Z', NULL, 'late2');
CALL pg_temp.derive();
SELECT is(pg_temp.outcome('l2'), 'late2 alice 402 - 02-01',
          'a confirm of a visitor, a hit of the user who claimed it');

SELECT hype.record_confirm('l3', 'late3', NULL, NULL, '2024-02-01Z');
SELECT pg_temp.hit(403, '2024-02-02Z', NULL, 'late3');
CALL pg_temp.derive();
SELECT is(pg_temp.outcome('l3'), NULL, 'a hit after the confirm');
SELECT is(pg_temp.waiting('l3'), 1::bigint, 'leaves it waiting');

SELECT hype.record_confirm('l4', NULL, pg_temp.v(404), NULL, '2024-02-01Z');
SELECT pg_temp.hit(404, '2024-01-01Z', 404);
CALL pg_temp.derive();
SELECT is(pg_temp.outcome('l4'), pg_temp.v(404) || ' alice 404 - 02-01',
          'a visitor whom nobody has claimed');
SELECT hype.claim(pg_temp.v(404), 'alice');
CALL pg_temp.derive();
SELECT is(pg_temp.outcome('l4'), NULL, 'and who owns the link');
SELECT is(pg_temp.waiting('l4'), 1::bigint, 'may have another hit yet');

-- Of many attempts the first and the latest are kept.

SELECT hype.record_confirm('m', 'many', NULL, n,
                           '2024-01-01Z'::timestamptz + n * interval '1 day')
FROM unnest(ARRAY[5, 9, 3, 4, 7, 3, 9]) AS n;
CALL pg_temp.derive();
SELECT results_eq($$
    SELECT value FROM hype.pending_confirm WHERE event = 'm' ORDER BY created
$$, ARRAY[3::numeric, 9], 'of many attempts two are kept');
CALL pg_temp.derive();
SELECT pg_temp.hit(501, '2024-01-06Z', NULL, 'many');
CALL pg_temp.derive();
SELECT is(pg_temp.outcome('m'), 'many alice 501 9 01-10',
          'the first one that has a hit counts');
SELECT is(pg_temp.waiting('m'), 1::bigint,
          'what had none before it, goes with the next');
SELECT hype.record_confirm('m', 'many', NULL, 1, '2024-01-04Z');
CALL pg_temp.derive();
SELECT is(pg_temp.outcome('m'), 'many alice 501 9 01-10',
          'and changes nothing');

-- Who is credited for a hit that was pruned stays so, whatever comes later.

SELECT pg_temp.hit(651, '2001-01-01Z', 651);
SELECT hype.record_confirm('p', 'pruned', pg_temp.v(651), 1, '2001-01-02Z');
SELECT hype.claim(pg_temp.v(651), 'pruned');
CALL pg_temp.derive();
SELECT hype.maintain(keep => '20 years');
SELECT hype.claim(pg_temp.v(652), 'pruned');
CALL pg_temp.derive();
SELECT is_empty($$
    SELECT id FROM hype.referral_hit WHERE created < '2002-01-01'
$$, 'a hit is pruned');
SELECT is(pg_temp.outcome('p'), 'pruned alice 651 1 01-02',
          'its credit stays when the user is seen with another visitor');

-- Batches

SELECT pg_temp.hit(701, '2024-01-01Z', NULL, 'b1'),
       pg_temp.hit(702, '2024-01-01Z', 702),
       pg_temp.hit(703, '2024-01-01Z', NULL, 'b3'),
       pg_temp.hit(704, '2024-01-01Z', NULL, 'b4');
SELECT is(hype.confirm_batch(
    ARRAY['b', 'b', 'b', 'b', '', NULL, 'b', 'b', 'b'],
    ARRAY['b1', '', 'b3', 'b1', 'b1', 'b1', '', 'b4', 'b4'],
    ARRAY[NULL, pg_temp.v(702), NULL, NULL, NULL, NULL, NULL, NULL, NULL],
    ARRAY['12.50', 'abc', '', '99', '1', '1', '1', NULL, NULL],
    ARRAY['2024-01-02Z', '2024-01-02Z', '2024-01-02Z', '2024-01-03Z',
          '2024-01-02Z', '2024-01-02Z', '2024-01-02Z', '2024-01-05Z',
          '2024-01-04Z']::timestamptz[]),
    6::bigint, 'confirm_batch() says how many it took');
SELECT is(pg_temp.outcome('b'), NULL, 'it only takes them');
CALL pg_temp.derive();
SELECT is(pg_temp.outcome('b'),
    pg_temp.v(702) || ' alice 702 - 01-02, b1 alice 701 12.50 01-02, '
    'b3 alice 703 - 01-02, b4 alice 704 - 01-04',
    'the earliest of each, values that are no number left out');
SELECT is(hype.confirm_batch('{}', '{}', '{}', '{}', '{}'), 0::bigint,
          'an empty batch');

-- Numbers

SELECT results_eq($$
    SELECT hype.to_numeric(v)
    FROM unnest(ARRAY['1', '-1.50', '+.5', '1.', ' 7 ', '1e3', '1E-2', '',
                      ' ', '.', '-', 'e5', '1e', '1,5', '0x10', 'NaN',
                      'Infinity', '1e999', '1 2', repeat('9', 101), NULL])
         AS v
$$, ARRAY[1, -1.50, .5, 1, 7, 1000, 0.01, NULL, NULL, NULL, NULL, NULL, NULL,
          NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL]::numeric[],
    'what is a number, and what is not');

SELECT is_empty($$
    SELECT to_hex(c) FROM unnest(ARRAY[
        9, 10, 11, 12, 13, 32, 133, 160, 5760, 8192, 8193, 8194, 8195, 8196,
        8197, 8198, 8199, 8200, 8201, 8202, 8203, 8232, 8233, 8239, 8287,
        12288, 65279, 1635, 65299]) AS c
    WHERE c NOT IN (9, 32)
      AND coalesce(hype.to_numeric(chr(c) || '7'),
                   hype.to_numeric('7' || chr(c)),
                   hype.to_numeric('1' || chr(c) || '7')) IS NOT NULL
$$, 'white space of Unicode and digits of other scripts make no number');

-- Mistakes

SELECT throws_ok($$
    SELECT hype.record_confirm('', 'u', NULL, NULL, now())
$$, '22023', 'hype.record_confirm: the event is empty');
SELECT throws_ok($$
    SELECT hype.record_confirm('e', '', NULL, NULL, now())
$$, '22023', 'hype.record_confirm: neither user nor visitor');
SELECT throws_ok($$
    SELECT hype.record_confirm('e', 'u', NULL, NULL, NULL)
$$, '22023', 'hype.record_confirm: no time');

-- What an application confirms is for the application to repeat.

SELECT is_empty($$ SELECT * FROM hype.confirm('app', 'nobody') $$,
                'confirm() without a hit');
SELECT is(pg_temp.waiting('app'), 0::bigint, 'is not kept');

-- Forgotten after a week

SELECT hype.record_confirm('w', 'w' || n, NULL, NULL,
                           now() - n * interval '1 day')
FROM unnest(ARRAY[6, 8]) AS n;
CALL pg_temp.derive();
SELECT hype.maintain();
SELECT is(pg_temp.waiting('w'), 1::bigint, 'maintain() forgets old ones');

SELECT * FROM finish();
