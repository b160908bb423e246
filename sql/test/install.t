#!/usr/bin/perl

# hype.sql installs and upgrades: quietly, as often as one likes, also for an
# owner of the database who is no superuser, and while the module is at work.

use strict;
use warnings;

use FindBin;
use lib $FindBin::Bin;

use Session;
use Test::More;

my $owner = "hype_test_owner_$$";
my $other = "hype_test_other_$$";

Session->install();

my $a = Session->new();
my $b = Session->new();

$b->query("DROP SCHEMA hype CASCADE");
$b->query("CREATE ROLE $owner CREATEROLE; CREATE ROLE $other");

# Nobody in particular

like(Session->install("SET SESSION AUTHORIZATION $other"),
	qr/permission denied for database/, 'a role without rights');
is($b->query("SELECT to_regnamespace('hype') IS NULL"), 't',
	'leaves nothing behind');

# An owner of the database

$b->query("DO \$\$ BEGIN
	EXECUTE format('ALTER DATABASE %I OWNER TO $owner', current_database());
	END \$\$");

is(Session->install("SET SESSION AUTHORIZATION $owner"), '',
	'the owner of the database installs without a word');
is(Session->install("SET SESSION AUTHORIZATION $owner"), '', 'and again');

$b->query("SET SESSION AUTHORIZATION hype_nginx");
is($b->copy('1 1 -'), '', 'hype_nginx writes hits');
is($b->query("SELECT hype.claim_batch('{" . Session::uuid(1) . "}', '{u}',
	'{2024-01-01Z}')"), 1, 'makes claims');
is($b->query("SELECT count(*) FROM hype.derive()"), 1, 'derives');
like($b->query("SELECT hype.maintain(5)"), qr/^\(added,/,
	'and makes partitions');
like($b->query("SELECT hype.maintain(5, '1 year')"), qr/only "$owner" may/,
	'but does not prune');
$b->query("SET SESSION AUTHORIZATION $owner");
is($b->query("SELECT hype.maintain(5, '20 years')"), '', 'the owner does');
$b->query("RESET SESSION AUTHORIZATION");

# Others

is(Session->install(), '', 'a superuser upgrades');
is($b->query("SELECT count(*) FROM (
	SELECT relowner FROM pg_class WHERE relnamespace = 'hype'::regnamespace
	UNION ALL
	SELECT proowner FROM pg_proc WHERE pronamespace = 'hype'::regnamespace
	) AS o (owner) WHERE owner <> '$owner'::regrole"), 0,
	'and everything stays the owner\'s');
like(Session->install("SET SESSION AUTHORIZATION $other"),
	qr/schema "hype" belongs to "$owner", and "$other" may not act for it/,
	'somebody else may not upgrade');

# While transactions are open that have everything in use

$a->query("BEGIN");
$a->copy('2 2 -');
$a->query("SELECT hype.create_link('alice', identifier => 'kept')");
$a->query("SELECT hype.claim('" . Session::uuid(2) . "', 'u')");
$a->query("SELECT hype.record_confirm('e', 'x', NULL, NULL, now())");
is(Session->install(), '',
	'an upgrade waits for no transaction');
$a->query("COMMIT");
is($b->query("SELECT count(*) FROM hype.referral_hit, hype.referral_link"), 2,
	'and data stay');

# A newer schema

$b->query("CREATE OR REPLACE FUNCTION hype.version() RETURNS integer
	LANGUAGE sql IMMUTABLE RETURN 1000");
like(Session->install(), qr/schema "hype" has version 1000, this file has 2/,
	'a newer schema is left alone');

# Two at once

$b->query("DROP SCHEMA hype CASCADE");

my $install = "psql -X -f $FindBin::Bin/../hype.sql 2>&1";

is(qx($install & $install; wait), '', 'two at once');

# A database that can't hold what browsers send

my $latin = "$ENV{PGDATABASE}_latin1";

$b->query("CREATE DATABASE $latin ENCODING 'LATIN1' TEMPLATE template0
	LC_COLLATE 'C' LC_CTYPE 'C'");
like(qx(PGDATABASE=$latin $install),
	qr/hype needs a database with encoding UTF8, this has LATIN1/,
	'another encoding is refused');
$b->query("DROP DATABASE $latin");

$b->query("DROP SCHEMA hype CASCADE");
$b->query("DO \$\$ BEGIN
	EXECUTE format('ALTER DATABASE %I OWNER TO %I', current_database(),
		session_user); END \$\$");
is($b->query("DROP ROLE $owner, $other"), '', 'nothing is left of the owner');

done_testing();
