#!/usr/bin/perl

# A schema of version 2 whose hits have no source, arguments and node gets these
# columns, while hits come in: no row is rewritten, no hit waits long, and all
# is as if it had been installed today.

use strict;
use warnings;

use FindBin;
use lib $FindBin::Bin;

use Session;
use Test::More;

my $file = "$FindBin::Bin/../hype.sql";

Session->install();

my $a = Session->new();
my $b = Session->new();
my $c = Session->new();

sub dump_of
{
	my $dump = qx(pg_dump -s);

	$dump =~ s/^\\(un)?restrict .*//mg;    # a random word

	# What was granted is in the order in which that was done.

	my @grants = $dump =~ /^GRANT .*\n/mg;
	$dump =~ s/^GRANT .*\n//mg;

	return $dump . join '', sort @grants;
}

sub filenodes
{
	return $c->query("SELECT string_agg(concat(relname, ' ', relfilenode), ', '
			ORDER BY relname)
		FROM pg_class WHERE relname LIKE 'referral\\_hit%' AND relkind = 'r'");
}

my $arrays = 'uuid[], bigint[], timestamptz[], boolean[], boolean[], uuid[],
	text[], inet[], text[], text[], text[], text[]';

$c->query("INSERT INTO hype.referral_link (id, identifier) VALUES (1, 'a')");
$c->copy(map { "$_ $_ - 1 " . ($_ % 2 ? 'now' : '2024-01-01Z') } 1 .. 100);
$c->query("SELECT hype.maintain()");

my $shop = "hype_test_shop_$$";
my $till = "hype_test_till_$$";

for my $user ('text', 'bigint') {
	my $confirm = "hype.confirm(text, $user, uuid, numeric, text, interval, uuid)";

	$c->query("CREATE ROLE $shop") if $user eq 'text';
	$c->query("CREATE ROLE $till") if $user eq 'text';
	$c->query("GRANT EXECUTE ON FUNCTION $confirm TO $shop WITH GRANT OPTION");
	$c->query("GRANT EXECUTE ON FUNCTION $confirm TO $till");
}

my $today = dump_of();

# As it was

$c->query("ALTER TABLE hype.referral_hit DROP COLUMN source, DROP COLUMN args,
	DROP COLUMN node");
$c->query("DROP VIEW hype.arg_stats");
$c->query("DROP FUNCTION hype.args_of(text)");
$c->query("ALTER TABLE hype.hit_origin DROP COLUMN confirmed");
$c->query("ALTER TABLE hype.confirmed_change DROP COLUMN day, DROP COLUMN args");
$c->query("CREATE OR REPLACE TRIGGER confirmed_referral_log
	AFTER INSERT OR DELETE
		OR UPDATE OF referral_link_id, user_id, visitor, value
	ON hype.confirmed_referral
	FOR EACH ROW EXECUTE FUNCTION hype.log_confirmed()");
$c->query("DROP FUNCTION hype.replay($arrays, text[], text[], smallint[])");
$c->query("DROP FUNCTION hype.hits_to_replay($arrays, text[], text[])");
$c->query("CREATE FUNCTION hype.hits_to_replay($arrays) RETURNS bigint
	LANGUAGE sql RETURN 0");
$c->query("CREATE FUNCTION hype.replay(ids uuid[],
		referral_link_ids bigint[], created timestamptz[],
		authenticated boolean[], bot boolean[], visitors uuid[], user_ids text[],
		ips inet[], user_agents text[], http_referers text[], nexts text[],
		identifiers text[]) RETURNS bigint
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
	AS 'BEGIN RETURN 0; END'");

# ... hype.confirm() without a hit, which others were granted

for my $user ('text', 'bigint') {
	my $default = $user eq 'text' ? 'DEFAULT NULL' : '';
	my $confirm = "hype.confirm(text, $user, uuid, numeric, text, interval)";

	$c->query("DROP FUNCTION hype.confirm(text, $user, uuid, numeric, text,
		interval, uuid)");
	$c->query("CREATE FUNCTION hype.confirm(event text, user_id $user $default,
			visitor uuid DEFAULT NULL, value numeric DEFAULT NULL,
			model text DEFAULT 'last', \"window\" interval DEFAULT '90 days')
		RETURNS SETOF hype.confirmed_referral
		LANGUAGE sql RETURN NULL::hype.confirmed_referral");
	$c->query("REVOKE ALL ON FUNCTION $confirm FROM PUBLIC;
		GRANT EXECUTE ON FUNCTION $confirm TO hype_app, $till;
		GRANT EXECUTE ON FUNCTION $confirm TO $shop WITH GRANT OPTION");
}

# A column of the site's own that has such a name

for my $column ('node text', 'node smallint', 'args jsonb',
	'source text GENERATED ALWAYS AS (user_agent) STORED')
{
	my ($name) = split ' ', $column;

	$c->query("ALTER TABLE hype.referral_hit ADD COLUMN $column");
	like(qx(psql -X -v VERBOSITY=terse -f $file 2>&1),
		qr/ERROR:  hype.referral_hit has a column "$name" of your own/,
		"a column \"$column\" is told");
	is($c->query("SELECT count(*) FROM pg_attribute
		WHERE attrelid = 'hype.referral_hit'::regclass
			AND attname IN ('source', 'args', 'node')"), 1,
		'nothing is changed');
	$c->query("ALTER TABLE hype.referral_hit RENAME COLUMN $name TO own;
		ALTER TABLE hype.referral_hit DROP COLUMN own");
}

my $before = filenodes();

# A transaction that has hits in use, longer than a hit may wait

$a->query("BEGIN");
$a->copy('101 101 -');

my $pid = open my $upgrade, '-|', "psql -X -v VERBOSITY=terse -f $file 2>&1"
	or die $!;

$c->wait_for("SELECT count(*) > 0 FROM pg_locks
	WHERE NOT granted AND mode = 'AccessExclusiveLock'
		AND relation = 'hype.referral_hit'::regclass");

$b->query("SET lock_timeout = '2s'");
is($b->copy('102 102 -'), '', 'a hit does not wait for the upgrade');

$a->query("COMMIT");

is(join('', <$upgrade>), "hype: schema is up to date, version 2\n",
	'the schema is upgraded');
close $upgrade;

is(filenodes(), $before, 'no row is rewritten');
is($c->query("SELECT count(*), count(source), count(args)
	FROM hype.referral_hit"), '102|0|0', 'all hits are there');

my $visitor = Session::uuid(103);

for my $n (12, 14) {
	my $extra = $n == 14 ? ", '{code}', '{a=b}'" : '';

	is($c->query("SELECT hype.replay(ARRAY[gen_random_uuid()], '{1}',
			ARRAY[now()], '{f}', '{f}', '{$visitor}', '{NULL}', '{NULL}',
			'{NULL}', '{NULL}', '{NULL}', '{NULL}'$extra)"), 1,
		"hits are replayed with $n arguments");
}

is($c->query("SELECT string_agg(concat(source, ' ', args), ', ' ORDER BY args)
	FROM hype.referral_hit WHERE visitor = '$visitor'"), 'code a=b,  ',
	'those of older modules without source and arguments');

$c->derive();
is($c->query("SELECT hits FROM hype.link_stats"), 104, 'they are counted');

ok(dump_of() eq $today, 'all else is as if it had been installed today');
is($c->query("SELECT count(*) FROM hype.confirm('e', 42)"), 0,
	'hype.confirm() is there, once');
is(qx(psql -X -f $file 2>&1), "hype: schema is up to date, version 2\n",
	'once more');
ok(dump_of() eq $today, 'changes nothing');

$c->query("DROP OWNED BY $shop, $till; DROP ROLE $shop, $till");

done_testing();
