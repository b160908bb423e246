#!/usr/bin/perl

# A schema of version 2 whose hits have neither source nor arguments gets these
# columns, while hits come in: no row is rewritten, no hit waits long, and all
# is as if it had been installed today.

use strict;
use warnings;

use FindBin;
use lib $FindBin::Bin;

use Session;
use Test::More;
use Time::HiRes qw(time);

my $file = "$FindBin::Bin/../hype.sql";

Session->install();

my $a = Session->new();
my $b = Session->new();
my $c = Session->new();

sub dump_of
{
	my $dump = qx(pg_dump -s);

	$dump =~ s/^\\(un)?restrict .*//mg;    # a random word

	return $dump;
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

my $today = dump_of();

# As it was

$c->query("ALTER TABLE hype.referral_hit DROP COLUMN source, DROP COLUMN args");
$c->query("DROP FUNCTION hype.replay($arrays)");
$c->query("DROP FUNCTION hype.replay($arrays, text[], text[])");
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

my $before = filenodes();

# A transaction that has hits in use, longer than a hit may wait

$a->query("BEGIN");
$a->copy('101 101 -');

my $pid = open my $upgrade, '-|', "psql -X -v VERBOSITY=terse -f $file 2>&1"
	or die $!;

$c->wait_for("SELECT count(*) > 0 FROM pg_locks
	WHERE NOT granted AND mode = 'AccessExclusiveLock'
		AND relation = 'hype.referral_hit'::regclass");

my $began = time;
is($b->copy('102 102 -'), '', 'a hit');
cmp_ok(time - $began, '<', 2, 'does not wait for the upgrade');

$a->query("COMMIT");

is(join('', <$upgrade>), "hype: schema is up to date, version 2\n",
	'the schema is upgraded');
close $upgrade;

is(filenodes(), $before, 'no row is rewritten');
is($c->query("SELECT count(*), count(source), count(args)
	FROM hype.referral_hit"), '102|0|0', 'all hits are there');

my $visitor = Session::uuid(103);

for my $n (12, 14) {
	my $extra = $n == 14 ? "'{code}', '{a=b}'," : '';

	is($c->query("SELECT hype.replay(ARRAY[gen_random_uuid()], '{1}',
			ARRAY[now()], '{f}', '{f}', '{$visitor}', '{NULL}', '{NULL}',
			'{NULL}', '{NULL}', '{NULL}', $extra '{NULL}')"), 1,
		"hits are replayed with $n arguments");
}

is($c->query("SELECT string_agg(concat(source, ' ', args), ', ' ORDER BY args)
	FROM hype.referral_hit WHERE visitor = '$visitor'"), 'code a=b,  ',
	'those of older modules without source and arguments');

$c->derive();
is($c->query("SELECT hits FROM hype.link_stats"), 104, 'they are counted');

ok(dump_of() eq $today, 'all else is as if it had been installed today');

done_testing();
