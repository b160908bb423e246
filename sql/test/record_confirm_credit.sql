-- hype.record_confirm(): whose credit it is afterwards, when hits, claims and
-- confirms come late, and links are deleted or given away.

SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS pgtap;
\ir include/record_confirm.sql

SELECT plan(12);

-- Links that are deleted or given away afterwards

INSERT INTO hype.referral_link (id, identifier, user_id)
VALUES (900011, 'deleted', 'bob'), (900012, 'given', 'bob');
INSERT INTO hype.referral_hit
    (id, referral_link_id, created, user_id, authenticated)
VALUES (pg_temp.v(801), 900001, '2024-01-01Z', 'l1', true),
       (pg_temp.v(802), 900011, '2024-01-02Z', 'l1', true),
       (pg_temp.v(803), 900012, '2024-01-02Z', 'l2', true);
SELECT hype.confirm_batch('{l,l}', '{l1,l2}', '{NULL,NULL}', '{1,1}',
                          '{2024-01-05Z,2024-01-05Z}');
CALL pg_temp.derive();
SELECT is(pg_temp.outcome('l'), 'l1 bob 802 1 01-05, l2 bob 803 1 01-05',
          'the last hit of each');
DELETE FROM hype.referral_link WHERE identifier = 'deleted';
UPDATE hype.referral_link SET user_id = 'carol' WHERE identifier = 'given';
SELECT hype.claim_batch(ARRAY[pg_temp.v(801)], '{l1}', '{2024-01-06Z}');
CALL pg_temp.derive();
SELECT is(pg_temp.outcome('l'), 'l1 bob 802 1 01-05, l2 bob 803 1 01-05',
          'a claim of another visitor takes no credit from a deleted link');
SELECT hype.confirm_batch('{l,l}', '{l1,l2}', '{NULL,NULL}', '{1,1}',
                          '{2024-01-04Z,2024-01-04Z}');
CALL pg_temp.derive();
SELECT is(pg_temp.outcome('l'), 'l1 bob 802 1 01-05, l2 bob 803 1 01-04',
          'nor does an earlier confirm, from it or from the former owner');
SELECT pg_temp.hit(804, '2024-01-03Z', NULL, 'l1');
CALL pg_temp.derive();
SELECT is(pg_temp.outcome('l'), 'l1 alice 804 1 01-05, l2 bob 803 1 01-04',
          'but a later hit does');
-- A credit stays with its referrer though the link is deleted, and does not go
-- to an earlier hit's; nor to whom the link is given.

INSERT INTO hype.referral_link (id, identifier, user_id)
VALUES (900021, 'given.away', 'gina'), (900022, 'deleted.later', 'dave');
INSERT INTO hype.referral_hit
    (id, referral_link_id, created, user_id, authenticated)
VALUES (pg_temp.v(991), 900021, '2002-01-01Z', 'g', true),
       (pg_temp.v(992), 900021, '2002-01-02Z', 'd', true),
       (pg_temp.v(993), 900022, '2002-01-03Z', 'd', true);
SELECT hype.record_confirm('stays', u, NULL, 1, '2002-01-09Z')
FROM unnest(ARRAY['d', 'g']) AS u;
DELETE FROM hype.referral_link WHERE identifier = 'deleted.later';
UPDATE hype.referral_link SET user_id = 'hugo' WHERE identifier = 'given.away';
INSERT INTO hype.referral_hit
    (id, referral_link_id, created, user_id, authenticated)
VALUES (pg_temp.v(994), 900021, '2002-01-01Z', 'd', true),
       (pg_temp.v(995), 900021, '2002-01-04Z', 'g', true);
CALL pg_temp.derive();
SELECT is(pg_temp.outcome('stays'),
          'd dave 993 1 01-09, g gina 995 1 01-09',
          'a late hit does not move what a deleted or given link has earned');
SELECT hype.record_confirm('stays', u, NULL, 1, '2002-01-09Z')
FROM unnest(ARRAY['d', 'g']) AS u;
SELECT is(pg_temp.outcome('stays'),
          'd dave 993 1 01-09, g gina 995 1 01-09',
          'nor does the confirm that comes again');

-- An earlier confirm of a user, with a visitor whose claim is still to come

INSERT INTO hype.referral_hit (id, referral_link_id, created, visitor)
VALUES (pg_temp.v(996), 900001, '2003-01-01Z', pg_temp.v(996));
SELECT hype.record_confirm('both', NULL, pg_temp.v(996), 1, '2003-01-03Z');
SELECT lives_ok($$
    SELECT hype.record_confirm('both', 'both', pg_temp.v(996), 1, '2003-01-02Z')
$$, 'a confirm by user and visitor, before one of the visitor');
SELECT is((SELECT count(*) FROM hype.confirmed_referral
           WHERE event = 'both' AND visitor = pg_temp.v(996)), 1::bigint,
          'is one row, of the visitor');

-- A hit that an earlier claim gives to another user

INSERT INTO hype.referral_hit (id, referral_link_id, created, visitor)
VALUES (pg_temp.v(997), 900001, '2004-01-01Z', pg_temp.v(997));
SELECT hype.claim_batch(ARRAY[pg_temp.v(997)], '{later}', '{2004-01-08Z}');
SELECT hype.confirm_batch('{once}', '{later}', '{NULL}', '{1}', '{2004-01-05Z}');
CALL pg_temp.derive();
SELECT hype.claim_batch(ARRAY[pg_temp.v(997)], '{earlier}', '{2004-01-02Z}');
CALL pg_temp.derive();
SELECT hype.confirm_batch('{once}', '{earlier}', '{NULL}', '{1}', '{2004-01-09Z}');
CALL pg_temp.derive();
SELECT is(pg_temp.outcome('once'), 'earlier alice 997 1 01-09',
          'is credited once, and not to the user who has lost it');

-- The link is given to the user who was credited by it

INSERT INTO hype.referral_link (id, identifier, user_id)
VALUES (900023, 'present', 'alice');
INSERT INTO hype.referral_hit
    (id, referral_link_id, created, user_id, authenticated)
VALUES (pg_temp.v(998), 900023, '2005-01-01Z', 'gifted', true);
SELECT hype.record_confirm('gift', 'gifted', NULL, 1, '2005-01-02Z');
UPDATE hype.referral_link SET user_id = 'gifted' WHERE identifier = 'present';
SELECT hype.claim(pg_temp.v(999), 'gifted');
CALL pg_temp.derive();
SELECT is(pg_temp.outcome('gift'), 'gifted alice 998 1 01-02',
          'leaves the credit where it was');

-- A visitor who turns out to own the first link

INSERT INTO hype.referral_link (id, identifier, user_id)
VALUES (900024, 'owned', 'owner'), (900025, 'bobs', 'bob'),
       (900026, 'owned2', 'owner');
INSERT INTO hype.referral_hit
    (id, referral_link_id, created, visitor, user_id, authenticated)
VALUES (pg_temp.v(901), 900024, '2006-01-01Z', pg_temp.v(901), NULL, false),
       (pg_temp.v(902), 900025, '2006-01-02Z', NULL, 'owner', true),
       (pg_temp.v(903), 900001, '2006-01-05Z', NULL, 'owner', true),
       (pg_temp.v(904), 900026, '2006-01-03Z', pg_temp.v(904), NULL, false);
SELECT hype.confirm_batch('{own,own2}', '{NULL,NULL}',
                          ARRAY[pg_temp.v(901), pg_temp.v(904)], '{1,1}',
                          '{2006-01-04Z,2006-01-04Z}');
CALL pg_temp.derive();
SELECT hype.confirm_batch('{own}', '{owner}', '{NULL}', '{1}', '{2006-01-06Z}');
CALL pg_temp.derive();
SELECT hype.claim_batch(ARRAY[pg_temp.v(901), pg_temp.v(904)], '{owner,owner}',
                        '{2006-01-03Z,2006-01-03Z}');
CALL pg_temp.derive();
SELECT is(pg_temp.outcome('own'), 'owner bob 902 1 01-04',
          'is credited by the other hit, as of the first confirm');
SELECT hype.claim_batch(ARRAY[pg_temp.v(904)], '{zoe}', '{2006-01-02Z}');
CALL pg_temp.derive();
SELECT is(pg_temp.outcome('own2'), 'zoe owner 904 1 01-04',
          'and the confirm is another''s if the visitor is');

SELECT * FROM finish();
