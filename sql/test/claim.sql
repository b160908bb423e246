-- Claims: all hits of a visitor get the user, whatever comes first.  What
-- takes two sessions is in claim.t.

BEGIN;
SET LOCAL client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS pgtap;

SELECT plan(26);

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
SELECT is(hype.settle(ARRAY[pg_temp.v(3), pg_temp.v(4)]), 2::bigint,
          'settle(visitors) says how many hits got a user');
SELECT is(pg_temp.users_of(3), 'carol carol', 'they are the user''s');
SELECT is(pg_temp.users_of(4), '-', 'those of nobody stay nobody''s');
SELECT is(hype.settle(ARRAY[pg_temp.v(3), pg_temp.v(4)]), 0::bigint,
          'the second time there is nothing to do');
SELECT pg_temp.hit(1);
SELECT is(hype.settle(ARRAY[pg_temp.v(4), pg_temp.v(1), pg_temp.v(1)],
                      ARRAY['zoe']), 1::bigint,
          'a visitor may be named twice, users may come along');
SELECT is(hype.settle('{}'), 0::bigint, 'or nobody at all');
SELECT is(hype.settle(NULL, NULL), 0::bigint, 'or NULL');

-- A hit that was authenticated keeps its user.

INSERT INTO hype.referral_hit
    (referral_link_id, visitor, user_id, authenticated)
VALUES (1, pg_temp.v(5), 'dave', true);
SELECT pg_temp.hit(5);
SELECT hype.claim(pg_temp.v(5), 'erin');
SELECT is(pg_temp.users_of(5), 'dave erin',
          'a hit that has a user keeps it');

-- Batches

SELECT pg_temp.hit(n) FROM generate_series(11, 15) AS n;
SELECT is(hype.claim_batch(
    ARRAY[pg_temp.v(12), pg_temp.v(11), pg_temp.v(12), pg_temp.v(1), NULL,
          pg_temp.v(13), pg_temp.v(14)],
    ARRAY['b', 'a', 'x', 'y', 'z', '', NULL]), 2::bigint,
    'claim_batch() says how many claims are new');
SELECT is(pg_temp.users_of(11), 'a', 'one visitor');
SELECT is(pg_temp.users_of(12), 'b', 'the first in the array wins');
SELECT is(pg_temp.users_of(1), 'alice alice alice alice',
          'unless claimed before');
SELECT is(pg_temp.users_of(13) || pg_temp.users_of(14), '--',
          'what lacks a user is no claim');
SELECT is(hype.claim_batch('{}', '{}'), 0::bigint, 'an empty batch');

-- Mistakes

SELECT throws_ok($$ SELECT hype.claim(NULL, 'alice') $$, '22023',
                 'hype.claim: no visitor');
SELECT throws_ok($$ SELECT hype.claim(pg_temp.v(9), NULL) $$, '22023',
                 'hype.claim: no user');
SELECT throws_ok($$ SELECT hype.claim(pg_temp.v(9), '') $$, '22023',
                 'hype.claim: no user');

-- Not settled before the transaction ends

SELECT cmp_ok(hype.settle(), '>=', 1::bigint,
              'settle() leaves claims of its own transaction');

SELECT * FROM finish();
ROLLBACK;
