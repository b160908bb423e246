-- Identifiers: aliases, renaming, and that none ever becomes another link's.

BEGIN;
SET LOCAL client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS pgtap;

SELECT plan(56);

INSERT INTO hype.referral_link (id, identifier, user_id)
VALUES (1, 'alice', 'alice'), (2, 'bob', 'bob'), (3, 'gone', 'carol'),
       (4, 'dave', 'dave');
SELECT setval('hype.referral_link_id_seq', 1000) \g /dev/null

CREATE FUNCTION pg_temp.aliases(link bigint) RETURNS text LANGUAGE sql AS $$
    SELECT string_agg(identifier, ' ' ORDER BY identifier COLLATE "C")
    FROM hype.link_alias WHERE referral_link_id = link
$$;

-- Aliases

SELECT lives_ok($$
    INSERT INTO hype.link_alias (identifier, referral_link_id)
    VALUES ('ALICE', 1), ('a', 1)
$$, 'a link may have several aliases');

SELECT throws_ok(format($$
    INSERT INTO hype.link_alias (identifier, referral_link_id) VALUES (%L, 1)
$$, i), '23514', format('hype.link_alias: "%s" can''t be an identifier', i),
    format('"%s" is refused', i))
FROM unnest(ARRAY['', 'a b', 'a/b', repeat('x', 65)]) AS i;

SELECT throws_ok($$
    INSERT INTO hype.link_alias (identifier, referral_link_id)
    VALUES ('nobody', 99)
$$, '23503', 'hype.link_alias: there is no link 99',
    'so is one of no link');
SELECT throws_ok($$
    INSERT INTO hype.link_alias (identifier, referral_link_id)
    VALUES ('alice', 1)
$$, '23505', 'hype.link_alias: "alice" is the link''s own identifier',
    'one that the link has');
SELECT throws_ok($$
    INSERT INTO hype.link_alias (identifier, referral_link_id)
    VALUES ('bob', 1)
$$, '23505', 'hype: the identifier "bob" is taken',
    'one that another link has');
SELECT throws_ok($$
    INSERT INTO hype.link_alias (identifier, referral_link_id) VALUES ('a', 2)
$$, '23505', 'duplicate key value violates unique constraint '
             '"link_alias_pkey"', 'and one that another link has as an alias');
SELECT throws_ok($$
    UPDATE hype.link_alias SET referral_link_id = 2 WHERE identifier = 'a'
$$, '23505', 'hype: the identifier "a" is taken', 'nor can it be moved');
SELECT is(pg_temp.aliases(1), 'ALICE a', 'the aliases stay as they were');

SELECT throws_ok($$ SELECT hype.create_link(identifier => 'a') $$, '23505',
                 'hype.create_link: the identifier "a" is taken',
                 'an alias can''t be a new link''s identifier');
SELECT throws_ok($$
    INSERT INTO hype.referral_link (identifier) VALUES ('a')
$$, '23505', 'hype: the identifier "a" is taken', 'nor by hand');
SELECT throws_ok($$
    UPDATE hype.referral_link SET identifier = 'a' WHERE id = 2
$$, '23505', 'hype: the identifier "a" is taken', 'nor another link''s');

DELETE FROM hype.link_alias WHERE identifier = 'a';
SELECT throws_ok($$
    INSERT INTO hype.link_alias (identifier, referral_link_id) VALUES ('a', 2)
$$, '23505', 'hype: the identifier "a" is taken',
    'nor can it be when the alias was deleted');
SELECT lives_ok($$
    INSERT INTO hype.link_alias (identifier, referral_link_id) VALUES ('a', 1)
$$, 'but its link may have it back');

-- Renaming

SELECT results_eq($$
    SELECT id, identifier, user_id FROM hype.rename_link('alice', 'alicia')
$$, $$ VALUES (1::bigint, 'alicia', 'alice') $$,
    'rename_link() returns the link');
SELECT is(pg_temp.aliases(1), 'ALICE a alice',
          'the former identifier is an alias');
SELECT is((hype.rename_link('alice', 'alicia')).identifier, 'alicia',
          'again, by the alias: nothing changes');
SELECT is(pg_temp.aliases(1), 'ALICE a alice', 'nor do the aliases');
SELECT is((hype.rename_link('a', 'ally')).identifier, 'ally',
          'an alias names the link, too');
SELECT is(pg_temp.aliases(1), 'ALICE a alice alicia',
          'whose own identifier becomes an alias');
SELECT is((hype.rename_link('ally', 'alice')).identifier, 'alice',
          'a link may have a former identifier back');
SELECT is(pg_temp.aliases(1), 'ALICE a alicia ally',
          'which is an alias no more');

SELECT throws_ok(format('SELECT hype.rename_link(%L, %L)', i, new),
                 state, message, message)
FROM (VALUES
    ('alice', 'a b', '23514',
     'hype.rename_link: "a b" can''t be an identifier'),
    ('alice', '', '23514', 'hype.rename_link: "" can''t be an identifier'),
    ('alice', NULL, '22023', 'hype.rename_link: no new identifier'),
    ('nobody', 'new', 'P0002',
     'hype.rename_link: no link has the identifier "nobody"'),
    (NULL, 'new', 'P0002',
     'hype.rename_link: no link has the identifier "<NULL>"'),
    ('alice', 'bob', '23505',
     'hype.rename_link: the identifier "bob" is taken'),
    ('bob', 'ally', '23505',
     'hype.rename_link: the identifier "ally" is taken')
) AS v (i, new, state, message);
SELECT is(identifier || ' ' || pg_temp.aliases(id), 'alice ALICE a alicia ally',
          'an error changes nothing')
FROM hype.referral_link WHERE id = 1;

-- By hand the former identifier leads nowhere, but is nobody else's

UPDATE hype.referral_link SET identifier = 'bobby' WHERE id = 2;
SELECT is(pg_temp.aliases(2), NULL, 'an UPDATE makes no alias');
SELECT throws_ok($$ SELECT hype.create_link(identifier => 'bob') $$, '23505',
                 'hype.create_link: the identifier "bob" is taken',
                 'the former identifier stays the link''s');
SELECT throws_ok($$ SELECT hype.rename_link('alice', 'bob') $$, '23505',
                 'hype.rename_link: the identifier "bob" is taken',
                 'and can''t be given to another link');
UPDATE hype.referral_link SET identifier = 'ally' WHERE id = 1;
SELECT is(pg_temp.aliases(1), 'ALICE a alicia',
          'an alias that becomes the identifier is none any more');
SELECT throws_ok($$
    UPDATE hype.referral_link
    SET identifier = CASE id WHEN 1 THEN 'bobby' ELSE 'ally' END
    WHERE id IN (1, 2)
$$, '23505', NULL, 'two can''t be swapped');

-- Deleted links

INSERT INTO hype.link_alias (identifier, referral_link_id)
VALUES ('gone.too', 3);
DELETE FROM hype.referral_link WHERE id = 3;
SELECT is(pg_temp.aliases(3), NULL, 'a deleted link has no aliases');
SELECT throws_ok(format('SELECT hype.create_link(identifier => %L)', i),
                 '23505',
                 format('hype.create_link: the identifier "%s" is taken', i),
                 format('"%s" of a deleted link stays taken', i))
FROM unnest(ARRAY['gone', 'gone.too']) AS i;

INSERT INTO hype.referral_link (id, identifier) VALUES (5, 'e'), (6, 'f')
ON CONFLICT (identifier) DO NOTHING;
SELECT lives_ok($$
    INSERT INTO hype.referral_link (id, identifier) VALUES (7, 'e'), (8, 'g')
    ON CONFLICT (identifier) DO NOTHING
$$, 'an INSERT may leave out what is there');

-- Hits whose link was not known when they were made

CREATE FUNCTION pg_temp.link_at(identifier text, at timestamptz)
RETURNS bigint LANGUAGE sql
AS 'SELECT hype.link_at(link_at.identifier, at)';

SELECT is(pg_temp.link_at('ally', now()), 1::bigint,
          'link_at(): the link''s own identifier');
SELECT is(pg_temp.link_at('alicia', 'infinity'), 1::bigint, 'an alias');
SELECT is(pg_temp.link_at('gone.too', now()), 3::bigint,
          'an alias of a link that is gone since');
SELECT is(pg_temp.link_at('gone.too', 'infinity'), NULL, 'and later');
SELECT is(pg_temp.link_at('Alicia alicia', now()), 1::bigint,
          'the second one where nothing has the first');
SELECT is(pg_temp.link_at('ALICE bobby', now()), 1::bigint,
          'else the first');

-- Reports, export, erasing

SELECT is(identifier, 'ally', 'link_stats has the link''s own identifier')
FROM hype.link_stats WHERE referral_link_id = 1;
SELECT is(hype.links_of('alicia', NULL), ARRAY[1::bigint],
          'reports of one link find it by an alias, too');
SELECT is(jsonb_path_query_array(hype.export('alice'),
                                 '$.aliases[*].identifier'),
          '["ALICE", "a", "alicia"]', 'export() has the aliases');

SELECT is(hype.rename_link('dave', 'davy') IS NULL, false, 'renamed');
SELECT hype.erase('dave') \g /dev/null
SELECT is_empty($$
    SELECT t FROM hype.referral_link t WHERE t::text ~ 'dav[ey]'
    UNION ALL SELECT NULL FROM hype.link_alias t WHERE t::text ~ 'dav[ey]'
    UNION ALL SELECT NULL FROM hype.former_identifier t
              WHERE t::text ~ 'dav[ey]'
    UNION ALL SELECT NULL FROM hype.taken_identifier t
              WHERE t.key = hype.user_key('dave')
                AND t.referral_link_id IS NOT NULL
$$, 'erase() leaves no identifier');
SELECT throws_ok(format('SELECT hype.create_link(identifier => %L)', i),
                 '23505',
                 format('hype.create_link: the identifier "%s" is taken', i),
                 format('but "%s" can''t be another link''s', i))
FROM unnest(ARRAY['dave', 'davy']) AS i;
SELECT throws_ok($$
    UPDATE hype.referral_link SET identifier = 'dave' WHERE id = 4
$$, '23505', 'hype: the identifier "dave" is taken', 'nor the link''s again');

-- Of two links at once

INSERT INTO hype.referral_link (identifier, user_id)
VALUES ('turn-b', 'bob'), ('turn-a', 'alice');
SELECT throws_ok($$
    UPDATE hype.referral_link
    SET identifier = CASE identifier WHEN 'turn-b' THEN 'turn-c'
                     ELSE 'turn-b' END
    WHERE identifier IN ('turn-a', 'turn-b')
$$, '23505', NULL, 'one is not given another one''s identifier');

SELECT * FROM finish();
ROLLBACK;
