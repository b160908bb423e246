#!/usr/bin/perl

# A database of version 1, with data of every kind, is upgraded while nginx of
# version 1 goes on writing hits: none waits long, all is right afterwards, also
# if the upgrade is broken off, or done again.  The same for a dump that is
# restored where transaction ids are lower.

use strict;
use warnings;

use FindBin;
use lib $FindBin::Bin;

use Session;
use Test::More;
use Time::HiRes qw(sleep time);

Session::create_database();

my $psql = 'psql -X -v VERBOSITY=terse';
my $file = "$FindBin::Bin/../hype.sql";

sub uuid { return Session::uuid(@_) }

is(qx($psql -q -f $FindBin::Bin/upgrade/version-1.sql 2>&1), '', 'version 1');

my $a = Session->new();
my $b = Session->new();
my $c = Session->new();

# What version 1 did for hits

sub copy {
	my ($s, $visitor, $user, @hits) = @_;

	$s->query("BEGIN");
	my $out = $s->copy(@hits);
	$out .= $s->query("SELECT hype.settle('{$visitor}', '{$user}')");

	return $out . $s->query("COMMIT");
}

$c->query("INSERT INTO hype.referral_link (id, identifier, user_id)
	VALUES (1, 'a', 'alice'), (2, 'b', 'bob')");
$c->query("INSERT INTO hype.referral_hit
	(id, referral_link_id, visitor, created, bot)
	SELECT gen_random_uuid(), 1 + i % 2, md5((i / 3)::text)::uuid,
		now() - i * interval '1 min', i % 50 = 0
	FROM generate_series(1, 30000) AS i");

# Claimed and not, known from the start, confirmed as user and as visitor

copy($c, '', 'known', '3 - known', '4 4 -', '5 5 -', '2 2 - 2');
$c->query("SELECT hype.claim('" . uuid(2) . "', 'claimed')");
$c->query("SELECT hype.record_confirm('e', 'known', NULL, 1, '2024-01-02Z')");
$c->query("SELECT hype.record_confirm('e', NULL, '" . uuid(4)
	. "', 2, '2024-01-02Z')");

# Unsettled: neither hit nor claim saw the other; unmatched: without a hit

$a->query("BEGIN");
$a->copy('6 6 -');
$c->query("SELECT hype.claim('" . uuid(6) . "', 'unsettled')");
$a->query("COMMIT");
$c->query("SELECT hype.record_confirm('e', 'unmatched', NULL, 3,
	'2024-01-02Z')");
$c->query("SELECT hype.record_confirm('e', NULL, '" . uuid(7) . "', 4,
	'2024-01-02Z')");

# nginx of version 1 goes on, in a process of its own.

pipe my $in, my $out or die $!;
pipe my $stop, my $stopper or die $!;

my $writer = fork // die $!;

if (!$writer) {
	close $stopper;
	open my $null, '>', '/dev/null';

	my $s = Session->new();
	my ($n, $longest, $wrong) = (0, 0, '');
	my $rin = '';

	vec($rin, fileno($stop), 1) = 1;

	until (select(my $ready = $rin, undef, undef, 0.005)) {
		my $began = time;
		my $id = 100000 + $n++;
		my $said;

		# Again, as nginx does, if the hit's partition is made at this
		# moment, or settle() was running when it was replaced.

		do {
			$said = copy($s, uuid($id), '', "$id $id -");
		} while ($said =~ /violates partition constraint|does not exist/);

		$wrong .= $said if $said !~ /^\d*$/;
		$longest = time - $began if time - $began > $longest;
	}

	printf $out "%d %.3f %s\n", $n, $longest, $wrong;
	close $out;
	undef $s;
	require POSIX;
	POSIX::_exit(0);
}

close $out;
close $stop;

# Broken off, after more and more of it

for my $after (0.1, 0.3, 0.6, 1) {
	my $upgrade = fork // die $!;

	if (!$upgrade) {
		open STDOUT, '>', '/dev/null';
		open STDERR, '>', '/dev/null';
		exec split(' ', $psql), '-f', $file;
	}

	sleep $after;
	kill 'KILL', $upgrade;
	waitpid $upgrade, 0;
}

# What they have begun may go on for a while.

my $said;
my $end = time + 60;

do {
	$said = qx($psql -f $file 2>&1);
} while ($said =~ /another upgrade of schema "hype" is running/ && time < $end);

# A fast machine has done it before it was killed.

like($said, qr/^hype: schema (?:upgraded from version 1 to|is up to date, version) 2\n\z/,
	'an upgrade, after some were broken off');
is($c->query("SELECT hype.version()"), 2, 'to version 2');

my $written = $c->query("SELECT count(*) FROM hype.referral_hit
	WHERE visitor > '" . uuid(100000) . "' AND visitor < '" . uuid(999999) . "'");

is(qx($psql -f $file 2>&1), "hype: schema is up to date, version 2\n",
	'and again');
$c->wait_for("SELECT count(*) > $written FROM hype.referral_hit
	WHERE visitor > '" . uuid(100000) . "' AND visitor < '" . uuid(999999) . "'");

close $stopper;

my ($n, $longest, $wrong) = split ' ', scalar(<$in>) // '', 3;

waitpid $writer, 0;
chomp $wrong;

is($wrong, '', "nginx wrote $n hits meanwhile");
cmp_ok($longest, '<', 1 + ($ENV{HYPE_SLACK} // 1.5), 'none of which took long');
is($c->query("SELECT count(*) FROM hype.referral_hit
	WHERE visitor BETWEEN '" . uuid(100000) . "' AND '" . uuid(999999) . "'"), $n,
	'all of them are there');

$c->derive();

# What was there, and what was left to do

sub users {
	my ($visitor) = @_;

	return $c->query("SELECT string_agg(coalesce(user_id, '-'), ' ')
		FROM hype.referral_hit WHERE visitor = '" . uuid($visitor) . "'");
}

sub confirmed {
	return $c->query("SELECT string_agg(coalesce(user_id, 'visitor '
			|| ltrim(visitor::text, '0-')) || ' ' || value, ', '
			ORDER BY value) FROM hype.confirmed_referral");
}

is(users(2), 'claimed', 'a claimed visitor');
is(users(5), '-', 'one who is not');
is(users(6), 'unsettled', 'a claim that was not settled');
is(confirmed(), 'known 1, visitor 4 2', 'confirmed users and visitors');
is($c->query("SELECT count(*) FROM hype.pending_confirm"), 2,
	'confirms without a hit');

$c->copy('7 7 -', '8 - unmatched');
$c->query("SELECT hype.claim('" . uuid(4) . "', 'then')");
$c->derive();
is(confirmed(), 'known 1, then 2, unmatched 3, visitor 7 4',
	'go with hits that come, and claims change visitors to users');

sub right {
	my ($name) = @_;

	is($c->query("SELECT string_agg(concat_ws(' ', s.referral_link_id, s.hits,
			s.unique_visitors, s.bots, s.linked_users, s.confirmed,
			s.confirmations, s.value), ', ' ORDER BY s.referral_link_id)
			FROM hype.link_stats s"),
		$c->query("SELECT string_agg(concat_ws(' ', l.id, h.hits,
				h.visitors, h.bots, h.users, c.confirmed, c.n, c.value), ', '
			ORDER BY l.id)
		FROM hype.referral_link l
		CROSS JOIN LATERAL (
			SELECT count(*) FILTER (WHERE NOT bot) AS hits,
				count(DISTINCT coalesce('v' || visitor, 'u' || user_id))
					FILTER (WHERE NOT bot) AS visitors,
				count(*) FILTER (WHERE bot) AS bots,
				count(DISTINCT user_id) FILTER (WHERE NOT bot) AS users
			FROM hype.referral_hit WHERE referral_link_id = l.id) AS h
		CROSS JOIN LATERAL (
			SELECT count(DISTINCT coalesce('u' || user_id, 'v' || visitor))
					AS confirmed, count(*) AS n, sum(value) AS value
			FROM hype.confirmed_referral WHERE referral_link_id = l.id) AS c"),
		$name);
}

right('statistics are right before all hits are counted');
$c->query("SELECT hype.roll_up()");
right('and after');

is($c->query("SELECT string_agg(DISTINCT regexp_replace(
		pg_get_indexdef(indexrelid), '^.* USING', ''), ', ')
	FROM pg_index i JOIN pg_inherits p ON p.inhrelid = i.indrelid
	WHERE p.inhparent = 'hype.referral_hit'::regclass AND indisvalid"),
	$c->query("SELECT string_agg(DISTINCT regexp_replace(
		pg_get_indexdef(indexrelid), '^.* USING', ''), ', ')
	FROM pg_index WHERE indrelid = 'hype.referral_hit'::regclass
		AND indisvalid"), 'all indexes are there');
is($c->query("SELECT count(*) FROM pg_index i
	JOIN pg_inherits p ON p.inhrelid = i.indrelid
	WHERE p.inhparent = 'hype.referral_hit'::regclass
		AND (NOT indisvalid OR NOT EXISTS (SELECT FROM pg_inherits h
			WHERE h.inhrelid = i.indexrelid))"), 0, 'and no others');

# A dump, restored

my $copy = "$ENV{PGDATABASE}_copy";

$c->query("UPDATE hype.referral_link SET disabled = true WHERE id = 2");
$c->copy('9 9 -', '10 10 - 2');
is(qx(createdb -T template0 $copy 2>&1), '', 'another database');
is(qx(pg_dump $ENV{PGDATABASE} | psql -Xq -v ON_ERROR_STOP=1 -o /dev/null -d $copy 2>&1),
	'', 'a dump is restored');

{
	local $ENV{PGDATABASE} = $copy;
	$c = Session->new();
}

right('statistics of the copy');

# As if it came from a cluster where transaction ids are higher

$c->query("UPDATE hype.referral_hit
	SET xact = (xact::text::bigint + 1000000000)::text::xid8");
$c->query("UPDATE hype.referral_link SET disabled_xact
	= (disabled_xact::text::bigint + 1000000000)::text::xid8");
$c->query("UPDATE hype.log_position SET done = format('%s:%s:',
	pg_snapshot_xmax(done)::text::bigint + 1000000000,
	pg_snapshot_xmax(done)::text::bigint + 1000000000)::pg_snapshot");
$c->copy('11 11 -', '12 - late 2 2100-01-01');
$c->query("SELECT hype.claim('" . uuid(11) . "', 'younger')");
$c->query("SELECT hype.claim('" . uuid(9) . "', 'older')");
$c->derive();
right('statistics where transaction ids are lower');
$c->query("SELECT hype.roll_up()");
right('and when all is counted again');
is(users(11) . users(9), 'youngerolder', 'claims go on there');
is($c->query("SELECT count(*) FROM hype.confirm('x', 'late',
	\"window\" => '100 years')"), 0, 'a link that was disabled there is so here');

undef $c;
$b->query("DROP DATABASE $copy WITH (FORCE)");

done_testing();
