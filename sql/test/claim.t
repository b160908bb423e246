#!/usr/bin/perl

# Claims and hits in transactions that run side by side: in the end each hit
# of a claimed visitor has its user, and no hit has waited for a claim.

use strict;
use warnings;

use FindBin;
use lib $FindBin::Bin;

use Session;
use Test::More;

Session->install();

my $a = Session->new();     # writes hits
my $b = Session->new();     # claims
my $c = Session->new();     # settles

sub uuid { return Session::uuid(@_) }

sub claim {
	my ($visitor, $user) = @_;

	return "SELECT hype.claim('" . uuid($visitor) . "', '$user')";
}

sub users {
	my ($visitor) = @_;

	return $c->query("SELECT string_agg(coalesce(user_id, '-'), ' '
		ORDER BY user_id) FROM hype.referral_hit
		WHERE visitor = '" . uuid($visitor) . "'");
}

$c->query("SELECT hype.create_link('alice')");

# No hit waits.

$a->query("SET lock_timeout = '1ms'");

# One after the other.

$a->copy('1 1 -');
is($b->query(claim(1, 'u1')), 'u1', 'hit, claim');
is(users(1), 'u1', 'the hit has the user');
$c->settle();

$b->query(claim(2, 'u2'));
is($a->copy('2 2 -'), 1, 'claim, hit');
is(users(2), 'u2', 'the hit has the user');
$c->settle();

# The hit's transaction is open when the claim commits.

$a->query("BEGIN");
$a->copy('3 3 -');
$b->query(claim(3, 'u3'));
is($c->query("SELECT hype.settle()"), 1, 'an older transaction is open');
is($c->query("SELECT hype.settle()"), 1, 'it still is');
$a->query("COMMIT");
is(users(3), '-', 'neither hit nor claim saw the other');
$c->settle();
is(users(3), 'u3', 'the hit has the user');

# The hit's transaction is the newest of all, nothing newer has ended: it is
# not below pg_snapshot_xmax().

$b->query("BEGIN");
$b->query(claim(4, 'u4'));
$a->query("BEGIN");
is($a->copy('4 4 -'), 0, 'a hit does not wait for an open claim');
$b->query("COMMIT");
is($c->query("SELECT hype.settle()"), 1, 'the newest transaction is open');
$a->query("COMMIT");
is(users(4), '-', 'neither hit nor claim saw the other');
$c->settle();
is(users(4), 'u4', 'the hit has the user');

# The hit commits first.

$b->query("BEGIN");
$b->query(claim(5, 'u5'));
$a->copy('5 5 -');
is($c->query("SELECT hype.settle()"), 0, 'a claim that is open is not seen');
$b->query("COMMIT");
is(users(5), '-', 'neither hit nor claim saw the other');
$c->settle();
is(users(5), 'u5', 'the hit has the user');

# The claim's snapshot is older than the hit.

$b->query("BEGIN ISOLATION LEVEL REPEATABLE READ");
$b->query("SELECT count(*) FROM hype.referral_hit");
$a->copy('6 6 -');
$b->query(claim(6, 'u6'));
$b->query("COMMIT");
is(users(6), '-', 'a claim in REPEATABLE READ did not see the hit');
$c->settle();
is(users(6), 'u6', 'the hit has the user');

# A claim that is rolled back is none.

$b->query("BEGIN");
$b->query(claim(7, 'u7'));
$a->copy('7 7 -');
$b->query("ROLLBACK");
$a->copy('8 7 -');
$c->settle();
is(users(7), '- -', 'a claim that was rolled back');
$b->query("BEGIN");
$b->query(claim(7, 'u7'));
$b->query("SAVEPOINT s");
$b->query(claim(8, 'u8'));
$b->query("ROLLBACK TO s");
$b->query("COMMIT");
$a->copy('9 8 -');
$c->settle();
is(users(7) . users(8), 'u7 u7-', 'a savepoint that was rolled back');

# The same claim again, in a transaction that stays open.

$b->query(claim(10, 'u10'));
$c->settle();
$b->query("BEGIN");
$b->query(claim(10, 'u10'));
is($a->copy('10 10 -', '11 10 -'), 2, 'a repeated claim is in no hit\'s way');
$b->query("COMMIT");

# Hits that are locked by a transaction that confirms.

$a->query("BEGIN");
$a->copy('12 12 -');
$b->query(claim(12, 'u12'));
is($c->query("SELECT hype.settle()"), 1, 'the hit\'s transaction is open');
$a->query("COMMIT");
$b->query("BEGIN");
like($b->query("SELECT * FROM hype.confirm('e', 'u12',
	\"window\" => '100 years')"), qr/alice/,
	'a confirm finds the hit before the claim is settled');
is($a->copy('13 12 -'), 1, 'another hit of the visitor does not wait for it');
is($c->query("SELECT hype.settle()"), 1, 'nor does settle()');
$b->query("COMMIT");
$c->settle();
is(users(12), 'u12 u12', 'which comes back to it');

# A claim that another transaction is about to make.

$b->query("BEGIN");
$b->query(claim(14, 'u14'));
like($c->query("SELECT hype.claim_batch('{" . uuid(14) . "}', '{x}')"),
	qr/lock timeout/, 'claim_batch() waits only a moment');
$c->send(claim(14, 'u15'));
$a->wait_for_block($c);
$b->query("COMMIT");
is($c->finish(), 'u14', 'the first claim wins');

$b->query("BEGIN");
$b->query(claim(16, 'u16'));
$c->send(claim(16, 'u17'));
$a->wait_for_block($c);
$b->query("ROLLBACK");
is($c->finish(), 'u17', 'unless it is rolled back');

# settle() in two sessions, and in a transaction that has written.

$b->query("BEGIN");
$b->query("SELECT hype.settle()");
$b->query(claim(18, 'u18'));
$c->query(claim(19, 'u19'));
cmp_ok($c->query("SELECT hype.settle()"), '>', 0,
	'settle() does not wait for another');
cmp_ok($b->query("SELECT hype.settle()"), '>', 1,
	'settle() leaves claims of its own transaction');
$b->query("COMMIT");
$c->settle();

$a->query("BEGIN");
$a->copy('20 20 -');
$b->query("BEGIN");
$b->query("CREATE TEMPORARY TABLE t ()");
$c->query(claim(20, 'u20'));
is($b->query("SELECT hype.settle()"), 1, 'a transaction that has written');
is($b->query("SELECT count(*) FROM hype.unsettled WHERE horizon IS NULL"), 1,
	'is no horizon');
$b->query("ROLLBACK");
$a->query("COMMIT");
$c->settle();
is(users(20), 'u20', 'a later one takes them');

# Another cluster's horizon.

$c->query(claim(21, 'u21'));
$c->query("UPDATE hype.unsettled SET horizon = '1000000000000'");
$c->settle();
pass('a horizon in the future');

# Two-phase commit, where it is enabled.

SKIP: {
	skip 'max_prepared_transactions is 0', 2
		unless $c->query("SHOW max_prepared_transactions");

	$a->query("BEGIN");
	$a->copy('22 22 -');
	$a->query("PREPARE TRANSACTION 'hype'");
	$b->query(claim(22, 'u22'));
	is($c->query("SELECT hype.settle()"), 1, 'a prepared transaction is open');
	$a->query("COMMIT PREPARED 'hype'");
	$c->settle();
	is(users(22), 'u22', 'the hit has the user');
}

# Anything goes.  A step that would have to wait for another session's open
# claim is given up.

$c->query("TRUNCATE hype.referral_hit, hype.visitor_claim");
$b->query("SET lock_timeout = '1ms'");

srand(42);

my @sessions = ($a, $b, map { Session->new() } 1 .. 4);
my (%open, %level);
my ($waited, $hits) = (0, 0);

$_->query("SET lock_timeout = '1ms'") for @sessions;

for my $step (1 .. 1000) {
	my $s = $sessions[rand @sessions];
	my $visitor = 1 + int rand 40;
	my $what = rand;

	if ($what < 0.3) {
		$s->query($open{$s} ? rand() < 0.8 ? "COMMIT" : "ROLLBACK" : "BEGIN");
		$open{$s} = !$open{$s};

	} elsif ($what < 0.7) {
		my $out = $s->copy(++$hits . " $visitor -");
		$waited++ if $out !~ /^\d+$/;

	} elsif ($what < 0.85) {
		my $out = $s->query(claim($visitor, "user$step"));

		if ($out =~ /ERROR/ && $open{$s}) {
			$s->query("ROLLBACK");
			$open{$s} = 0;
		}

	} else {
		$c->query("SELECT hype.settle()");
	}
}

for (@sessions) {
	$_->query("COMMIT") if $open{$_};
}

$c->settle();

is($waited, 0, 'no hit has waited or failed');
cmp_ok($c->query("SELECT count(*) FROM hype.visitor_claim"), '>', 20,
	'there are claims');
is($c->query("SELECT count(*)
	FROM hype.referral_hit h JOIN hype.visitor_claim c USING (visitor)
	WHERE h.user_id IS DISTINCT FROM c.user_id"), 0,
	'each hit of a claimed visitor has its user');
is($c->query("SELECT count(*) FROM hype.referral_hit h
	WHERE h.user_id IS NOT NULL AND NOT EXISTS (
		SELECT FROM hype.visitor_claim c WHERE c.visitor = h.visitor)"), 0,
	'and no other hit has one');

done_testing();
