-- A dump that was restored into another cluster: its transaction ids are in the
-- future there.

BEGIN;
SET LOCAL client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS pgtap;

SELECT plan(6);

SELECT id AS link
FROM hype.create_link(user_id => 'alice', identifier => 'restored') \gset

INSERT INTO hype.referral_hit (referral_link_id, visitor)
SELECT :link, gen_random_uuid() FROM generate_series(1, 3000);

SELECT hype.roll_up() \g /dev/null

UPDATE hype.referral_link SET disabled = true WHERE id = :link;
UPDATE hype.referral_link SET disabled_xact = '9000000000000'
WHERE id = :link;
UPDATE hype.referral_hit SET xact = '9000000000000';
UPDATE hype.log_position SET done = '9000000000001:9000000000001:';

SELECT is(hype.rebase_step(), true, 'ids of another cluster are found');
SELECT is(hype.rebase_step(), true, 'and cleared step by step');
SELECT is(hype.rebase_step(), true, 'then all is counted again');
SELECT is(hype.rebase_step(), false, 'and no more is to be done');

SELECT is((SELECT disabled_xact FROM hype.referral_link WHERE id = :link),
          NULL::xid8, 'a disabled link goes by its time');

SELECT hype.roll_up() \g /dev/null

SELECT is((SELECT (hits, unique_visitors)::text FROM hype.link_stats
           WHERE referral_link_id = :link),
          '(3000,3000)', 'hits are counted, each once');

SELECT * FROM finish();
ROLLBACK;
