-- Claims: all hits of a visitor get the user, whatever comes first.  What
-- takes two sessions is in claim.t.

SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS pgtap;
\ir include/derive.sql

SELECT plan(39);

CREATE FUNCTION pg_temp.v(n integer) RETURNS uuid LANGUAGE sql IMMUTABLE AS
    $$ SELECT lpad(n::text, 32, '0')::uuid $$;

CREATE FUNCTION pg_temp.hit(visitor integer, created timestamptz DEFAULT now())
RETURNS void LANGUAGE sql AS $$
    INSERT INTO hype.referral_hit (referral_link_id, visitor, created)
    VALUES (1, pg_temp.v(visitor), created)
$$;

CREATE FUNCTION pg_temp.users_of(n integer) RETURNS text LANGUAGE sql AS $$
    SELECT string_agg(coalesce(user_id, '-'), ' ' ORDER BY user_id)
    FROM hype.referral_hit WHERE visitor = pg_temp.v(n)
$$;

-- Hits, then the claim

SELECT pg_temp.hit(1), pg_temp.hit(1, now() - interval '5 years'),
       pg_temp.hit(1, now() + interval '40 days'), pg_temp.hit(2);

SELECT is(hype.claim(pg_temp.v(1), 'alice'), 'alice',
          'claim() returns the user');
SELECT is(pg_temp.users_of(1), 'alice alice alice',
          'all hits of the visitor are the user''s, in any partition');
SELECT is(pg_temp.users_of(2), '-', 'those of another visitor are not');
SELECT is(hype.claim(pg_temp.v(1), 'bob'), 'alice', 'the first claim wins');
SELECT is(hype.claim(pg_temp.v(1), 'alice'), 'alice',
          'a repeated claim is harmless');
SELECT is(pg_temp.users_of(1), 'alice alice alice', 'and changes nothing');
SELECT is((SELECT count(*) FROM hype.visitor_claim
           WHERE visitor = pg_temp.v(1)), 1::bigint, 'there is one claim');

-- The claim, then hits

SELECT is(hype.claim(pg_temp.v(3), 'carol'), 'carol',
          'a visitor without hits can be claimed');
SELECT pg_temp.hit(3), pg_temp.hit(3), pg_temp.hit(4);
SELECT is(pg_temp.users_of(3), '- -', 'hits of a claimed visitor');
CALL pg_temp.derive();
SELECT is(pg_temp.users_of(3), 'carol carol', 'soon are the user''s');
SELECT is(pg_temp.users_of(4), '-', 'those of nobody stay nobody''s');
SELECT pg_temp.hit(1);
CALL pg_temp.derive();
SELECT is(pg_temp.users_of(1), 'alice alice alice alice',
          'also after the visitor''s earlier ones');

-- A hit that was authenticated keeps its user.

INSERT INTO hype.referral_hit
    (referral_link_id, visitor, user_id, authenticated)
VALUES (1, pg_temp.v(5), 'dave', true);
SELECT pg_temp.hit(5);
SELECT hype.claim(pg_temp.v(5), 'erin');
SELECT is(pg_temp.users_of(5), 'dave erin',
          'a hit that has a user keeps it');

-- Batches of nginx

SELECT pg_temp.hit(n) FROM generate_series(11, 16) AS n;
SELECT is(hype.claim_batch(
    ARRAY[pg_temp.v(12), pg_temp.v(11), pg_temp.v(12), pg_temp.v(1), NULL,
          pg_temp.v(13), pg_temp.v(14), pg_temp.v(15)],
    ARRAY['x', 'a', 'b', 'y', 'z', '', NULL, 'z'],
    ARRAY[now(), now(), now() - interval '1 s', now(), now(), now(), now(),
          NULL]), 3::bigint,
    'claim_batch() says how many claims it took');
SELECT is(pg_temp.users_of(11), '-', 'it only takes them');
CALL pg_temp.derive();
SELECT is(pg_temp.users_of(11), 'a', 'one visitor');
SELECT is(pg_temp.users_of(12), 'b', 'the earliest wins');
SELECT is(pg_temp.users_of(1), 'alice alice alice alice',
          'also over a later batch');
SELECT is(pg_temp.users_of(13) || pg_temp.users_of(14)
          || pg_temp.users_of(15), '---',
          'what lacks a user or a time is no claim');
SELECT hype.claim_batch(ARRAY[pg_temp.v(12)], ARRAY['c'],
                        ARRAY[now() - interval '1 h']),
       hype.claim_batch(ARRAY[pg_temp.v(12)], ARRAY['d'], ARRAY[now()]);
CALL pg_temp.derive();
SELECT is(pg_temp.users_of(12), 'c', 'whichever is derived first');
SELECT hype.claim_batch(ARRAY[pg_temp.v(12)], ARRAY['c'],
                        ARRAY[now() - interval '1 h']);
CALL pg_temp.derive();
SELECT is(pg_temp.users_of(12), 'c', 'a repeated one is harmless');
SELECT is(hype.claim_batch('{}', '{}', '{}'), 0::bigint, 'an empty batch');
SELECT is((SELECT count(*) FROM hype.pending_claim WHERE NOT applied),
          0::bigint, 'nothing is left');

-- nginx has heard of a claim before an application does

SELECT hype.claim_batch(ARRAY[pg_temp.v(16)], ARRAY['first'],
                        ARRAY[now() - interval '1 s']);
SELECT is(hype.claim(pg_temp.v(16), 'second'), 'first',
          'claim() knows what nginx has sent');
CALL pg_temp.derive();
SELECT is(pg_temp.users_of(16), 'first', 'and that is what counts');

-- Version 1 of nginx

SELECT is(hype.claim_batch(ARRAY[pg_temp.v(17), NULL], '{v1,x}'), 1::bigint,
          'claims without a time');
SELECT pg_temp.hit(17);
SELECT is(hype.settle(ARRAY[pg_temp.v(17)], '{}'), 0::bigint,
          'settle(visitors, users) has nothing to do');
SELECT is(hype.settle(NULL, NULL), 0::bigint, 'nor for nobody');
SELECT cmp_ok(hype.settle(), '>=', 0::bigint, 'settle() derives');
CALL pg_temp.derive();
SELECT is(pg_temp.users_of(17), 'v1', 'they are claims as of their arrival');
SELECT is(hype.claim_batch('{}', '{}'), 0::bigint, 'an empty batch');

-- Mistakes

SELECT throws_ok($$ SELECT hype.claim(NULL, 'alice') $$, '22023',
                 'hype.claim: no visitor');
SELECT throws_ok($$ SELECT hype.claim(pg_temp.v(9), NULL) $$, '22023',
                 'hype.claim: no user');
SELECT throws_ok($$ SELECT hype.claim(pg_temp.v(9), '') $$, '22023',
                 'hype.claim: no user');

-- More hits than a step takes

INSERT INTO hype.referral_hit (referral_link_id, visitor, created)
SELECT 1, pg_temp.v(20), now() - n * interval '1 s'
FROM generate_series(1, 3000) AS n;
SELECT is(hype.claim(pg_temp.v(20), 'busy'), 'busy', 'a busy visitor');
SELECT is((SELECT count(*) FROM hype.referral_hit WHERE user_id = 'busy'),
          100::bigint, 'has some hits at once');
CALL pg_temp.derive();
SELECT is((SELECT count(*) FROM hype.referral_hit WHERE user_id = 'busy'),
          3000::bigint, 'and all soon');

-- A user with many confirms: all follow a hit from before them, whichever comes
-- first, hit or claim.

SELECT hype.create_link('mary', identifier => 'mary'),
       hype.create_link('nora', identifier => 'nora');

CREATE PROCEDURE pg_temp.confirmed_often(
    n integer, first_claim boolean
) LANGUAGE plpgsql AS $$
DECLARE
    who text := 'often' || n;
BEGIN
    INSERT INTO hype.referral_hit
        (referral_link_id, created, user_id, authenticated)
    SELECT l.id, now() - interval '3 days', who, true
    FROM hype.referral_link l WHERE l.identifier = 'mary';
    PERFORM hype.confirm_batch(
        array_agg('order' || i), array_agg(who),
        array_agg(NULL::uuid), array_agg('1'::text),
        array_agg(now() - interval '1 day'))
    FROM generate_series(1, 250) AS i;
    COMMIT;
    CALL pg_temp.derive();

    FOR step IN 1..2 LOOP
        IF (step = 1) = first_claim THEN
            PERFORM hype.claim_batch(ARRAY[pg_temp.v(n)], ARRAY[who],
                                     ARRAY[now()]);
        ELSE
            INSERT INTO hype.referral_hit (referral_link_id, created, visitor)
            SELECT l.id, now() - interval '2 days', pg_temp.v(n)
            FROM hype.referral_link l WHERE l.identifier = 'nora';
        END IF;

        COMMIT;
        CALL pg_temp.derive();
    END LOOP;
END
$$;

CALL pg_temp.confirmed_often(701, true);
CALL pg_temp.confirmed_often(702, false);

SELECT is((SELECT string_agg(DISTINCT referrer, ' ')
           FROM hype.confirmed_referral WHERE user_id = 'often' || n), 'nora',
          'each confirm follows the hit, ' || name)
FROM (VALUES (701, 'claim first'), (702, 'hit first')) AS v (n, name);

SELECT * FROM finish();
