#!/usr/bin/perl

# hype.sql installs and upgrades: in a line, as often as one likes, also for an
# owner of the database who is no superuser, and while the module is at work.

use strict;
use warnings;

use FindBin;
use lib $FindBin::Bin;

use Session;
use Test::More;

my $installed = "hype: schema version 2 installed\n";
my $up_to_date = "hype: schema is up to date, version 2\n";
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

is(Session->install("SET SESSION AUTHORIZATION $owner"), $installed,
	'the owner of the database installs, and is told so');
is(Session->install("SET SESSION AUTHORIZATION $owner"), $up_to_date,
	'and again');
is(Session->install('\\set QUIET on', "SET SESSION AUTHORIZATION $owner"), '',
	'without a word if psql is quiet');

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

my $refused = qr/schema "hype" belongs to "$owner", not to/;

like(Session->install(), $refused, 'a superuser does not upgrade it');
like(Session->install("SET SESSION AUTHORIZATION $other"), $refused,
	'nor does somebody else');
is(Session->install("SET SESSION AUTHORIZATION $owner"), $up_to_date,
	'the owner does');
is($b->query("SELECT count(*) FROM (
	SELECT relowner FROM pg_class WHERE relnamespace = 'hype'::regnamespace
	UNION ALL
	SELECT proowner FROM pg_proc WHERE pronamespace = 'hype'::regnamespace
	) AS o (owner) WHERE owner <> '$owner'::regrole"), 0,
	'and everything stays the owner\'s');

# While transactions are open that have everything in use

$a->query("BEGIN");
$a->copy('2 2 -');
$a->query("SELECT hype.create_link('alice', identifier => 'kept')");
$a->query("SELECT hype.claim('" . Session::uuid(2) . "', 'u')");
$a->query("SELECT hype.record_confirm('e', 'x', NULL, NULL, now())");
is(Session->install("SET SESSION AUTHORIZATION $owner"), $up_to_date,
	'an upgrade waits for no transaction');
$a->query("COMMIT");
is($b->query("SELECT count(*) FROM hype.referral_hit, hype.referral_link"), 2,
	'and data stay');

# A newer schema

$b->query("CREATE OR REPLACE FUNCTION hype.version() RETURNS integer
	LANGUAGE sql IMMUTABLE RETURN 1000");
like(Session->install("SET SESSION AUTHORIZATION $owner"),
	qr/schema "hype" has version 1000, this file has 2/,
	'a newer schema is left alone');

$b->query("DROP SCHEMA hype CASCADE");

# The owner of the database lays a trap for the superuser who installs

my $database = $b->query("SELECT current_database()");

$b->query("ALTER DATABASE $database SET role = '$owner'");
like(Session->install(),
	qr/the database has "role=$owner" set: ".*" would act as "$owner"/,
	'ALTER DATABASE ... SET role');
is($b->query("SELECT count(*) FROM pg_namespace WHERE nspname = 'hype'"), 0,
	'installs nothing');
$b->query("ALTER DATABASE $database RESET role");

my $trap = "RESET ROLE; EXECUTE ''ALTER ROLE $owner SUPERUSER''; RETURN";
my $function = 'LANGUAGE plpgsql AS';

for my $trap (
	'CREATE VIEW hype.unsettled AS SELECT 1 AS visitor',
	"CREATE FUNCTION hype.version() RETURNS integer $function
		'BEGIN $trap 1; END'",
	"CREATE FUNCTION hype.maintain() RETURNS integer $function
		'BEGIN $trap 1; END'",
	"CREATE FUNCTION hype.trap() RETURNS trigger $function
		'BEGIN $trap NULL; END';
	CREATE TABLE hype.log_position (LIKE pg_class);
	CREATE TRIGGER trap BEFORE INSERT ON hype.log_position
		FOR EACH STATEMENT EXECUTE FUNCTION hype.trap()",
	"CREATE TYPE hype.t AS (a integer);
	CREATE FUNCTION hype.eq(text, hype.t) RETURNS boolean $function
		'BEGIN $trap true; END';
	CREATE FUNCTION hype.as_text(hype.t) RETURNS text $function
		'BEGIN $trap NULL; END';
	CREATE OPERATOR hype.= (LEFTARG = text, RIGHTARG = hype.t,
		FUNCTION = hype.eq);
	CREATE CAST (hype.t AS text) WITH FUNCTION hype.as_text(hype.t)
		AS IMPLICIT",
) {
	my ($what) = $trap =~ /CREATE \w+ (\S+)/;

	$b->query("SET SESSION AUTHORIZATION $owner; CREATE SCHEMA hype; $trap");
	$b->query("RESET SESSION AUTHORIZATION");

	like(Session->install(), $refused, "$what is not touched");

	# ... nor when the schema alone is a superuser's

	$b->query("ALTER SCHEMA hype OWNER TO CURRENT_USER");
	like(Session->install(),
		qr/ hype\.\w+(\(\))? belongs to "$owner", not to/,
		"also in a superuser's schema");

	is($b->query("SELECT rolsuper FROM pg_roles WHERE rolname = '$owner'"),
		'f', 'and its owner gains nothing');
	$b->query("DROP SCHEMA hype CASCADE");
}

$b->query("SET SESSION AUTHORIZATION $owner; CREATE SCHEMA evil;
	CREATE FUNCTION evil.current_setting(text) RETURNS text $function
		'BEGIN $trap ''1''; END'");
$b->query("DO \$\$ BEGIN EXECUTE format('ALTER DATABASE %I SET search_path
	= evil, pg_catalog', current_database()); END \$\$");
$b->query("RESET SESSION AUTHORIZATION");
is(Session->install(), $installed, 'a search_path is not followed');
is($b->query("SELECT rolsuper FROM pg_roles WHERE rolname = '$owner'"), 'f',
	'and its owner gains nothing');
$b->query("DO \$\$ BEGIN EXECUTE format('ALTER DATABASE %I RESET search_path',
	current_database()); END \$\$");
$b->query("DROP SCHEMA evil CASCADE");

# Two at once

$b->query("DROP SCHEMA hype CASCADE");

my $install = "psql -X -f $FindBin::Bin/../hype.sql 2>&1";

is(join('', sort split /^/, qx($install & $install; wait)),
	$up_to_date . $installed, 'two at once');

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
