#!/usr/bin/perl

# Reports are exact at every moment: they tell what a plain query over all hits
# would, whatever has been rolled up, is being written, comes late, is claimed,
# or is pruned.  HYPE_TEST_SEED and HYPE_TEST_STEPS in the environment.

use strict;
use warnings;

use FindBin;
use lib $FindBin::Bin;

use Session;
use Test::More;

my $seed = $ENV{HYPE_TEST_SEED} // 7;
my $steps = $ENV{HYPE_TEST_STEPS} // 150;

srand($seed);

Session->install();

my $c = Session->new();
my @writers = map { Session->new() } 1 .. 4;

$c->query("SET jit = off");
is($c->query(plain()), '', 'plain queries');
$c->query("INSERT INTO hype.referral_link (id, identifier, user_id)
	VALUES (1, 'a', 'alice'), (2, 'b', 'alice'), (3, 'c', NULL),
	(4, 'never', 'zoe')");

$_->query("SET lock_timeout = '1ms'") for @writers;

# Writers whose transactions stay open, and one who derives in small steps.

my (%open, @wrong);
my ($checks, $hits) = (0, 0);

for my $step (1 .. $steps) {
	my $what = rand;

	if ($what < 0.6) {
		write_something($writers[rand @writers]);

	} else {
		derive_something();
	}

	check("step $step", $step) if $step % 3 == 0;
	last if @wrong;
}

$_->query("COMMIT") for grep { $open{$_} } @writers;
$c->derive();
check('at the end');

cmp_ok($checks, '>=', $steps / 8, "reports were compared $checks times");
is("@wrong", '', "all were exact (seed $seed)");
cmp_ok($c->query("SELECT min(n) FROM (SELECT count(*) FROM hype.referral_hit
	UNION ALL SELECT count(*) FROM hype.confirmed_referral
	UNION ALL SELECT count(*) FROM hype.visitor_claim
	UNION ALL SELECT count(*) FROM hype.hit_quarter) AS t (n)"), '>', 1,
	'with something in them');

# All of it once more, by hand and after a change by hand

@wrong = ();
$c->query("SELECT hype.roll_up('-infinity')");
check('counted again');
$c->query("DELETE FROM hype.referral_hit WHERE id IN (
	SELECT id FROM hype.referral_hit WHERE created >= '2024-03-10Z'
	ORDER BY created DESC LIMIT 20)");
$c->query("UPDATE hype.referral_hit SET bot = NOT bot WHERE id IN (
	SELECT id FROM hype.referral_hit WHERE created >= '2024-03-10Z'
	ORDER BY created LIMIT 20)");
$c->query("SELECT hype.roll_up('2024-03-10 12:00Z')");
check('counted again from a day on');
is("@wrong", '', 'roll_up(since) counts what was changed by hand');

# Totals outlive the hits, also if they are counted again, and with hits of
# pruned months that come late.

@wrong = ();

for my $round (1 .. 3) {
	is($c->query(prune('2024-04-01Z')), 't', 'hits are pruned') if $round == 1;
	$c->query(prune('2024-04-01Z')) if $round > 1;
	check("pruned, $round");
	write_something($writers[0]) for 1 .. 30;
	$writers[0]->query("COMMIT") if $open{$writers[0]};
	$open{$writers[0]} = 0;
	check("late hits, $round");
	$c->query("SELECT hype.roll_up('-infinity')");
	check("counted again, $round");
}

$c->query(prune('2026-01-01Z'));
check('all pruned');
is("@wrong", '', 'totals outlive the hits');
is($c->query("SELECT count(*) FROM hype.referral_hit"), 0, 'of which none is left');

done_testing();


sub write_something {
	my ($s) = @_;

	my $what = rand;
	my $out = '';

	if ($what < 0.25) {
		$s->query($open{$s} ? rand() < 0.75 ? "COMMIT" : "ROLLBACK" : "BEGIN");
		$open{$s} = !$open{$s};

	} elsif ($what < 0.7) {
		$out = $s->query("INSERT INTO hype.referral_hit (id, referral_link_id,
			created, bot, authenticated, visitor, user_id, http_referer, next,
			source)
			VALUES " . join ', ', map { hit() } 0 .. rand 4);

	} elsif ($what < 0.78) {
		$out = $s->query("SELECT hype.claim(" . visitor() . ", " . user() . ")");

	} elsif ($what < 0.86) {
		$out = $s->query("SELECT hype.claim_batch(ARRAY[" . visitor()
			. "], ARRAY[" . user() . "], ARRAY[" . moment() . "])");

	} elsif ($what < 0.93) {
		$out = $s->query("SELECT hype.confirm(" . event() . ", " . user()
			. ", NULL, " . int(rand 10) . ", \"window\" => '100 years')");

	} else {
		$out = $s->query("SELECT hype.confirm_batch(ARRAY[" . event()
			. "], ARRAY[" . (rand() < 0.5 ? user() : 'NULL')
			. "]::text[], ARRAY[" . visitor() . "], ARRAY['" . int(rand 10)
			. "'], ARRAY['2024-12-01Z'::timestamptz])");
	}

	return if $out !~ /ERROR/;
	die $out if $out !~ /lock timeout/;

	$s->query("ROLLBACK") if $open{$s};
	$open{$s} = 0;
}

sub derive_something {
	my $what = rand;
	my $lock = "hype.lock_log('roll_up', true)";
	my $out = $c->query(
		$what < 0.4 ? "SELECT hype.count_hits(" . int(1 + rand 9) . ") FROM $lock"
		: $what < 0.5 ? "SELECT hype.count_claims(2) FROM $lock"
		: $what < 0.6 ? "SELECT hype.count_confirmed(2) FROM $lock"
		: $what < 0.7 ? "BEGIN; SELECT hype.count_hits(9) FROM $lock;
			SELECT hype.derive(); ROLLBACK"
		: $what < 0.85 ? "SELECT hype.derive()"
		: $what < 0.9 ? "SELECT hype.roll_up()"
		: $what < 0.95 ? "SELECT hype.roll_up(" . moment() . ")"
		: "SELECT hype.maintain()");

	die $out if $out =~ /ERROR/;
}

sub check {
	my ($when, $step) = @_;

	my $out = $c->query("SELECT string_agg(d, E'\\n')
		FROM differences(" . ($step // 'NULL') . ") AS d");

	$checks++;
	push @wrong, "$when: $out" if $out ne '' && !@wrong;
}

# Few visitors and moments, so that they meet: at the turns of summer time, and
# on a few days.

sub visitor {
	return "'" . Session::uuid(1 + int rand 12) . "'::uuid";
}

sub user {
	return "'" . (qw(u1 u2 u3 u4 alice))[rand 5] . "'";
}

sub event {
	return "'e" . int(rand 3) . "'";
}

sub moment {
	my $day = rand() < 0.7 ? (qw(2024-04-06 2024-10-05 2024-03-10 2024-11-03))[rand 4]
		: sprintf '2024-%02d-%02d', 2 + rand 3, 1 + rand 28;

	return sprintf "'$day %02d:%02d:00Z'::timestamptz", (int(rand 4),
		14 + int rand 3, 5 + int rand 2)[rand 3], 5 * int rand 12;
}

sub hit {
	my $who = rand;
	my $bot = rand() < 0.1 ? 'true' : 'false';

	return "('" . Session::uuid(1000 + ++$hits) . "', " . (1 + int rand 3)
		. ', ' . moment() . ", $bot, " . ($who < 0.8 ? 'false, ' . visitor()
		. ', NULL' : $who < 0.95 ? 'true, NULL, ' . user()
		: 'false, NULL, NULL') . ', ' . ("'https://A.example/x'",
		"'https://u\@b.example:8080'", "'nonsense'", 'NULL')[rand 4]
		. ", '/n" . int(rand 3) . "?q=" . int(rand 100) . "', "
		. (rand() < 0.3 ? "'code'" : 'NULL') . ')';
}

# Prunes what is older, and notes which hits are gone.

sub prune {
	my ($until) = @_;

	return "BEGIN;
		CREATE TEMPORARY TABLE before AS SELECT * FROM hype.referral_hit;
		DO \$\$ BEGIN PERFORM hype.maintain(3, now() - '$until'); END \$\$;
		INSERT INTO gone SELECT * FROM before b WHERE NOT EXISTS (
			SELECT FROM hype.referral_hit h WHERE h.id = b.id);
		DROP TABLE before;
		COMMIT;
		SELECT count(*) > 0 FROM gone";
}

# What each report has to be

sub plain {
	open my $fh, '<', "$FindBin::Bin/include/rollups.sql" or die $!;
	local $/;

	return scalar <$fh>;
}
