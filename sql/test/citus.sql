-- What hits that Citus could distribute are on a PostgreSQL without it.

SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS pgtap;

SELECT plan(13);

INSERT INTO hype.referral_link (id, identifier) VALUES (900001, 'a');

SELECT is(hype.my_node(), 0::smallint, 'there is one node, 0');
SELECT is(hype.distributed(), false, 'hits are not distributed');

INSERT INTO hype.referral_hit (id, referral_link_id, created)
VALUES ('00000000-0000-7000-8000-000000000001', 900001, '2026-01-01Z');

SELECT is(node, 0::smallint, 'a hit has that node')
FROM hype.referral_hit WHERE id = '00000000-0000-7000-8000-000000000001';
SELECT col_not_null('hype', 'referral_hit', 'node', 'and always one');
SELECT is(pg_get_constraintdef(oid), 'PRIMARY KEY (id, created)',
          'which is not in the key')
FROM pg_constraint WHERE conname = 'referral_hit_pkey'
 AND conrelid = 'hype.referral_hit'::regclass;

-- A hit that was sent to Citus, and is replayed here

CREATE FUNCTION pg_temp.replay() RETURNS bigint LANGUAGE sql AS $$
    SELECT hype.replay(
        '{00000000-0000-7000-8000-000000000001,
          00000000-0000-7000-8000-000000000002}', '{900001,900001}',
        '{2026-01-01Z,2026-01-01Z}', '{f,f}', '{f,f}', '{NULL,NULL}',
        '{NULL,NULL}', '{NULL,NULL}', '{NULL,NULL}', '{NULL,NULL}',
        '{NULL,NULL}', '{NULL,NULL}', nodes => '{129,640}')
$$;

SELECT is(pg_temp.replay(), 1::bigint, 'a hit that was sent to Citus');
SELECT is(pg_temp.replay(), 0::bigint, 'comes once');
SELECT is(node, 0::smallint, 'and has the node of this server')
FROM hype.referral_hit WHERE id = '00000000-0000-7000-8000-000000000002';

-- hype.distribute() refuses, and changes nothing

SELECT throws_like('SELECT hype.distribute()',
                   'hype.distribute: the extension "citus" is not there',
                   'without Citus there is nothing to distribute');
SELECT is(pg_get_constraintdef(oid), 'PRIMARY KEY (id, created)',
          'nothing is changed')
FROM pg_constraint WHERE conname = 'referral_hit_pkey'
 AND conrelid = 'hype.referral_hit'::regclass;
SELECT has_trigger('hype', 'referral_hit', 'referral_hit_deleted',
                   'nor dropped');

-- A confirm is counted, whatever an application has set

SET hype.log_confirmed = 'off';
INSERT INTO hype.referral_hit (referral_link_id, user_id)
VALUES (900001, 'bob');
SELECT hype.confirm('paid', 'bob');
SELECT hype.roll_up();
SELECT is(confirmed, 1::bigint, 'no setting hides a confirm')
FROM hype.link_stats WHERE identifier = 'a';

SET ROLE hype_nginx;
SELECT is(hype.my_node(), 0::smallint, 'nginx may ask for its node');
RESET ROLE;

SELECT * FROM finish();
