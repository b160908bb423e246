-- hype_nginx and hype_app can do their work, and nothing else.

BEGIN;
SET LOCAL client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS pgtap;

SELECT plan(142);

INSERT INTO hype.referral_link (id, identifier, user_id)
VALUES (900001, 'a', 'alice');
INSERT INTO hype.reward_rule (event, side, amount)
VALUES ('e', 'referrer', 1);
CREATE ROLE hype_stranger;

-- The module

SELECT is(rolcanlogin, true, 'hype_nginx may log in')
FROM pg_roles WHERE rolname = 'hype_nginx';
SELECT is(rolsuper OR rolcreaterole OR rolcreatedb OR rolreplication
          OR rolbypassrls, false, 'and has no powers')
FROM pg_roles WHERE rolname = 'hype_nginx';
SELECT ok(s.setconfig @> ARRAY['lock_timeout=2s',
                               'default_transaction_isolation=read committed'],
          'it waits no longer than 2 s for a lock, in READ COMMITTED')
FROM pg_db_role_setting s
WHERE s.setrole = 'hype_nginx'::regrole AND s.setdatabase = 0;

SET LOCAL SESSION AUTHORIZATION hype_nginx;

COPY hype.referral_hit (id, referral_link_id, created, authenticated, bot, visitor, user_id, ip, user_agent, http_referer, next, source, args) FROM STDIN;
00000000-0000-0000-0000-000000000001	900001	2024-01-01 00:00:00Z	f	f	00000000-0000-0000-0000-000000000009	\N	192.0.2.1	agent	\N	/	\N	a=b
\.
SELECT pass('hype_nginx writes hits by COPY');
SELECT lives_ok($$
    INSERT INTO hype.referral_hit
        (id, referral_link_id, created, authenticated, bot, visitor, user_id,
         ip, user_agent, http_referer, next)
    VALUES ('00000000-0000-0000-0000-000000000002', 900001, '2024-01-01Z',
            false, false, NULL, NULL, NULL, NULL, NULL, NULL)
    ON CONFLICT DO NOTHING
$$, 'and by INSERT');

SELECT lives_ok(statement, 'hype_nginx: ' || statement)
FROM unnest(ARRAY[
    'SELECT id, identifier, user_id, destination, disabled, expires '
        'FROM hype.referral_link',
    'SELECT identifier, referral_link_id FROM hype.link_alias',
    'SELECT hype.derive()',
    'SELECT hype.roll_up()',
    'SELECT hype.claim(''00000000-0000-0000-0000-000000000009'', ''u'')',
    'SELECT hype.claim_batch(''{}'', ''{}'', ''{}'')',
    'SELECT hype.replay(''{}'', ''{}'', ''{}'', ''{}'', ''{}'', ''{}'', '
        '''{}'', ''{}'', ''{}'', ''{}'', ''{}'', ''{}'')',
    'SELECT hype.replay(''{}'', ''{}'', ''{}'', ''{}'', ''{}'', ''{}'', '
        '''{}'', ''{}'', ''{}'', ''{}'', ''{}'', ''{}'', '
        '''{}'', ''{}'')',
    'SELECT hype.replay(''{}'', ''{}'', ''{}'', ''{}'', ''{}'', ''{}'', '
        '''{}'', ''{}'', ''{}'', ''{}'', ''{}'', ''{}'', nodes => ''{}'')',
    'SELECT hype.my_node()',
    'SELECT hype.record_confirm(''e'', ''u'', NULL, NULL, ''2024-01-02Z'')',
    'SELECT hype.confirm_batch(''{}'', ''{}'', ''{}'', ''{}'', ''{}'')',
    'SELECT hype.probe(''hit'', 200), hype.probe(''claim'', 200), '
        'hype.probe(''confirm'', 200)',
    'SELECT hype.settle(''{}'', ''{}'')',
    'SELECT hype.settle()',
    'SELECT hype.claim_batch(''{}'', ''{}'')',
    'SELECT hype.owner_page(''u'', true, ''/ref/'')',
    'SELECT hype.maintain()',
    'SELECT hype.version()',
    'LISTEN hype_link'
]) AS statement;

SELECT throws_ok(statement, '42501', NULL, 'hype_nginx, not: ' || statement)
FROM unnest(ARRAY[
    'SELECT * FROM hype.referral_hit',
    'SELECT label FROM hype.referral_link',
    'UPDATE hype.referral_link SET disabled = true',
    'INSERT INTO hype.referral_link (identifier) VALUES (''x'')',
    'UPDATE hype.referral_hit SET user_id = ''x''',
    'DELETE FROM hype.referral_hit',
    'TRUNCATE hype.referral_hit',
    'INSERT INTO hype.referral_hit (referral_link_id, confirmed) '
        'VALUES (900001, now())',
    'SELECT * FROM hype.visitor_claim',
    'SELECT * FROM hype.confirmed_referral',
    'SELECT * FROM hype.link_stats',
    'SELECT * FROM hype.taken_identifier',
    'INSERT INTO hype.link_alias (identifier, referral_link_id) '
        'VALUES (''x'', 900001)',
    'SELECT hype.create_link()',
    'SELECT hype.rename_link(''a'', ''b'')',
    'SELECT hype.refer(''a'', ''u'')',
    'SELECT hype.is_taken(''a'', 1)',
    'SELECT hype.make_first_link(''u'')',
    'SELECT hype.owner_stats(''u'', ''/ref/'')',
    'SELECT * FROM hype.first_link',
    'SELECT hype.erase(''u'')',
    'SELECT hype.export(''u'')',
    'SELECT hype.confirm(''e'', ''u'')',
    'SELECT hype.revoke(''e'', ''u'')',
    'SELECT hype.pay_out(''alice'', ''points'', ''r'')',
    'SELECT hype.events_after(0)',
    'SELECT hype.log_event(''pay_out'', ''{}'')',
    'SELECT * FROM hype.reward',
    'SELECT * FROM hype.balance',
    'SELECT hype.claim_hit(''00000000-0000-0000-0000-000000000001'', ''u'')',
    'SELECT hype.apply_claim(1, 1)',
    'SELECT hype.roll_up(now())',
    'SELECT hype.uncount(now())',
    'SELECT * FROM hype.hits_by(''day'')',
    'SELECT hype.report()',
    'UPDATE hype.log_position SET done = ''1:1:''',
    'INSERT INTO hype.pending_claim (visitor, user_id, created) '
        'VALUES (gen_random_uuid(), ''x'', now())',
    'DELETE FROM hype.pending_confirm',
    'INSERT INTO hype.referral_hit (referral_link_id, xact) '
        'VALUES (900001, ''1'')',
    'SELECT hype.maintain(3, ''1 day'')',
    'SELECT hype.distribute()',
    'SELECT hype.set_up_workers()',
    'SELECT hype.maintain(3, NULL, 1000000)',
    'CREATE TABLE hype.x ()'
]) AS statement;

-- Applications

RESET SESSION AUTHORIZATION;
SET LOCAL SESSION AUTHORIZATION hype_app;

SELECT lives_ok(statement, 'hype_app: ' || statement)
FROM unnest(ARRAY[
    'SELECT hype.create_link(''alice'')',
    'UPDATE hype.referral_link SET disabled = true WHERE identifier = ''a''',
    'UPDATE hype.referral_link SET disabled = false WHERE identifier = ''a''',
    'SELECT hype.claim(''00000000-0000-0000-0000-000000000009'', ''u'')',
    'SELECT hype.confirm(''e'', ''u'')',
    'SELECT hype.revoke(''nothing'', ''u''), hype.revoke(''nothing'', 1)',
    'SELECT hype.pay_out(''alice'', ''points'', ''r''), '
        'hype.pay_out(1, ''points'', ''s'')',
    'SELECT hype.events_after(0)',
    'SELECT * FROM hype.reward_rule, hype.reward, hype.balance, hype.event',
    'LISTEN hype_event',
    'SELECT hype.claim_hit(''00000000-0000-0000-0000-000000000001'', ''u''), '
        'hype.claim_hit(''00000000-0000-0000-0000-000000000001'', 1), '
        'hype.confirm(''e2'', '
            'hit => ''00000000-0000-0000-0000-000000000001'')',
    'SELECT hype.export(''nobody''), hype.export(1)',
    'SELECT hype.owner_page(''nobody''), hype.owner_page(1, true)',
    'SELECT hype.erase(''nobody''), hype.erase(1)',
    'SELECT * FROM hype.referral_link, hype.referral_hit, hype.visitor_claim, '
        'hype.confirmed_referral, hype.link_stats, hype.daily_hits, '
        'hype.funnel, hype.site_stats',
    'SELECT * FROM hype.hits_by(''day''), hype.hits_from(''referer''), '
        'hype.report(), hype.arg_stats, hype.args_of(''a=%20&b=+'')',
    'INSERT INTO hype.referral_link (identifier) VALUES (''mine'')',
    'UPDATE hype.referral_link SET identifier = ''ours'' '
        'WHERE identifier = ''mine''',
    'SELECT hype.rename_link(''ours'', ''theirs'')',
    'SELECT hype.refer(''ours'', ''u''), hype.refer(''ours'', 1)',
    'INSERT INTO hype.link_alias (identifier, referral_link_id) '
        'SELECT ''x'', id FROM hype.referral_link '
        'WHERE identifier = ''theirs''',
    'SELECT * FROM hype.link_alias',
    'DELETE FROM hype.link_alias WHERE identifier = ''x'''
]) AS statement;

SELECT throws_ok(statement, '42501', NULL, 'hype_app, not: ' || statement)
FROM unnest(ARRAY[
    'DELETE FROM hype.referral_link',
    'INSERT INTO hype.referral_hit (referral_link_id) VALUES (900001)',
    'UPDATE hype.referral_hit SET user_id = ''x''',
    'INSERT INTO hype.visitor_claim SELECT gen_random_uuid(), ''x''',
    'INSERT INTO hype.former_identifier VALUES (''x'', now(), 1)',
    'SELECT hype.give_up_identifier(''x'', 1)',
    'SELECT hype.take_identifiers(''{x}'', ''{1}'')',
    'SELECT * FROM hype.taken_identifier',
    'DELETE FROM hype.taken_identifier',
    'UPDATE hype.link_alias SET identifier = ''y''',
    'SELECT hype.derive()',
    'SELECT hype.roll_up()',
    'UPDATE hype.confirmed_referral SET referrer = ''x''',
    'UPDATE hype.confirmed_referral SET revoked = NULL',
    'INSERT INTO hype.reward_rule (event, side, amount) '
        'VALUES (''e'', ''referrer'', 1)',
    'UPDATE hype.reward SET amount = 1',
    'INSERT INTO hype.reward (kind, beneficiary, amount, currency, '
        'available_at, n) VALUES (''earned'', ''u'', 1, ''EUR'', now(), 1)',
    'UPDATE hype.event SET kind = ''claim''',
    'SELECT hype.log_event(''pay_out'', ''{}'')',
    'SELECT hype.take_back(1, ''{1}'')',
    'SELECT hype.revoke_confirmed(1, NULL)'
]) AS statement;

-- Reports

RESET SESSION AUTHORIZATION;
SELECT ok(NOT pg_has_role('hype_nginx', 'hype_report', 'MEMBER'),
          'reports are for whoever turns them on');
SELECT is(rolcanlogin OR rolsuper, false, 'hype_report has no powers')
FROM pg_roles WHERE rolname = 'hype_report';

GRANT hype_report TO hype_nginx;
SET LOCAL SESSION AUTHORIZATION hype_nginx;
SET LOCAL ROLE hype_report;

SELECT lives_ok('SELECT * FROM hype.link_stats, hype.daily_hits, hype.funnel, '
                'hype.site_stats, hype.balance, hype.hits_by(''hour''), '
                'hype.hits_from(''next''), hype.report(), hype.arg_stats, '
                'hype.args_of(''a=%20''), '
                'hype.report(''{"from": "2024-01-01", "by": "owner"}'') AS r',
                'hype_report reads the views');

SELECT throws_ok(statement, '42501', NULL, 'hype_report, not: ' || statement)
FROM unnest(ARRAY[
    'SELECT * FROM hype.referral_link',
    'SELECT * FROM hype.referral_hit',
    'SELECT * FROM hype.visitor_claim',
    'SELECT * FROM hype.confirmed_referral',
    'SELECT * FROM hype.visit',
    'SELECT * FROM hype.reward',
    'SELECT * FROM hype.event',
    'SELECT hype.revoke(''e'', ''u'')',
    'SELECT hype.pay_out(''alice'', ''points'', ''r'')',
    'SELECT hype.events_after(0)',
    'SELECT * FROM hype.unrolled_hits()',
    'SELECT * FROM hype.hits_within(now(), now(), true)',
    'SELECT * FROM hype.confirmed_within(now(), now(), ''owner'')',
    'SELECT hype.report_rows(hype.report_arguments(''{}''))',
    'INSERT INTO hype.referral_hit (referral_link_id) VALUES (900001)',
    'SELECT hype.create_link()',
    'SELECT hype.owner_page(''alice'')',
    'SELECT hype.claim(''00000000-0000-0000-0000-000000000009'', ''u'')',
    'SELECT hype.maintain()'
]) AS statement;

RESET ROLE;

-- Others

RESET SESSION AUTHORIZATION;
GRANT USAGE ON SCHEMA hype TO hype_stranger;

SELECT is_empty($$
    SELECT oid::regprocedure FROM pg_proc
    WHERE pronamespace = 'hype'::regnamespace
      AND has_function_privilege('hype_stranger', oid, 'EXECUTE')
$$, 'others can call no function');
SELECT is_empty($$
    SELECT oid::regclass FROM pg_class
    WHERE relnamespace = 'hype'::regnamespace
      AND relkind IN ('r', 'p', 'v')
      AND has_table_privilege('hype_stranger', oid,
                              'SELECT, INSERT, UPDATE, DELETE')
$$, 'nor touch a table');
SELECT is_empty($$
    SELECT oid::regclass FROM pg_class
    WHERE relnamespace = 'hype'::regnamespace
      AND relkind IN ('r', 'p', 'v')
      AND has_any_column_privilege('hype_stranger', oid,
                                   'SELECT, INSERT, UPDATE')
$$, 'nor a column');

SELECT is((SELECT user_id FROM hype.referral_hit
           WHERE visitor = '00000000-0000-0000-0000-000000000009'),
          'u', 'the claim was made');
SELECT is((SELECT referrer FROM hype.confirmed_referral WHERE event = 'e'),
          'alice', 'and the referral confirmed');
SELECT is((SELECT paid FROM hype.balance WHERE user_id = 'alice'), 1::numeric,
          'rewarded, and paid');
SELECT is((SELECT string_agg(kind, ' ' ORDER BY id) FROM hype.events_after(0)),
          'claim confirm reward pay_out', 'and it is told');

SELECT * FROM finish();
ROLLBACK;
