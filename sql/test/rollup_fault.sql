-- Roll-ups that fail hold up neither claims nor confirms, and lose nothing.

SET client_min_messages = error;
CREATE EXTENSION IF NOT EXISTS pgtap;

SELECT plan(9);

INSERT INTO hype.referral_link (id, identifier, user_id)
VALUES (900001, 'a', 'alice');
SELECT hype.roll_up();

CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE 'no';
END
$$;
CREATE TRIGGER refuse BEFORE INSERT ON hype.hit_quarter
    FOR EACH ROW EXECUTE FUNCTION refuse();

INSERT INTO hype.referral_hit (referral_link_id, visitor, created)
VALUES (900001, '00000000-0000-0000-0000-000000000001', now() - interval '1 h');
UPDATE hype.log_position SET rolled = '-infinity';
SELECT hype.claim_batch('{00000000-0000-0000-0000-000000000001}', '{u}',
                        ARRAY[now()]);
SELECT hype.confirm_batch('{signup}', '{u}', '{NULL}', '{1}', ARRAY[now()]);

SELECT hype.derive();
SELECT hype.derive();
SELECT is(again, 1000, 'roll-ups fail, and are tried again') FROM hype.derive();
SELECT is((SELECT user_id FROM hype.referral_hit), 'u', 'a claim is applied');
SELECT is((SELECT referrer FROM hype.confirmed_referral), 'alice',
          'a confirm is credited');
SELECT is((SELECT hits FROM hype.site_stats), 1::bigint,
          'reports are right all the same');

DROP TRIGGER refuse ON hype.hit_quarter;
SELECT hype.derive();
SELECT is((SELECT hits FROM hype.link_total
           WHERE referral_link_id = hype.site()), 1::bigint,
          'the roll-ups have it later');
SELECT is((SELECT hits FROM hype.site_stats), 1::bigint, 'once');

-- What no nginx writes, but its role may

INSERT INTO hype.referral_hit (referral_link_id, created, http_referer, next)
VALUES (900001, '294276-12-31 23:59:59.999999Z', NULL, NULL),
       (900001, now(), repeat('x', 30000000), repeat('/y', 15000000));
SELECT lives_ok('SELECT hype.roll_up()', 'odd hits are counted');
SELECT is((SELECT hits FROM hype.link_total
           WHERE referral_link_id = hype.site()), 3::bigint, 'all of them');
SELECT lives_ok('SELECT hype.report()', 'and reported');

SELECT * FROM finish();
