#!/usr/bin/perl

# Confirms side by side with each other, with hits and with claims.

use strict;
use warnings;

use FindBin;
use lib $FindBin::Bin;

use Session;
use Test::More;

Session->install();

my $a = Session->new();
my $b = Session->new();
my $c = Session->new();
my $d = Session->new();

my $n;

sub uuid { return Session::uuid(@_) }

sub confirm {
	my ($event, $user) = @_;

	return "SELECT referrer FROM hype.confirm('$event', '$user', "
		. '"window" => \'100 years\')';
}

# What is said at once of a user or a visitor, and what nginx appends.

sub arguments {
	my ($event, $user, $visitor) = @_;

	return "'$event'", defined $user ? "'$user'" : 'NULL',
		defined $visitor ? "'" . uuid($visitor) . "'" : 'NULL';
}

sub record {
	return sprintf "SELECT hype.record_confirm(%s, %s, %s, NULL, "
		. "'2024-01-02 00:00Z')", arguments(@_);
}

sub batch {
	return sprintf "SELECT hype.confirm_batch(ARRAY[%s], ARRAY[%s]::text[], "
		. "ARRAY[%s]::uuid[], '{NULL}', '{2024-01-02 00:00Z}')", arguments(@_);
}

sub step {
	return $c->query("SELECT count(*) FROM hype.derive()");
}

sub outcome {
	my ($event) = @_;

	return $c->query("SELECT string_agg(coalesce(user_id, visitor::text) || ' '
		|| referrer, ', '
		ORDER BY user_id NULLS FIRST)
		FROM hype.confirmed_referral WHERE event = '$event'");
}

$c->query("SELECT hype.create_link('alice')");

# A hundred calls at once, as far as there are connections.

my $calls = $c->query("SELECT least(100, current_setting('max_connections')::int
	- (SELECT count(*) FROM pg_stat_activity) - 10)");
my @sessions = map { Session->new() } 1 .. $calls;

# An administrator who takes time.

my $admin = Session->new();
$admin->query("BEGIN");

$a->copy('1 - u1', '2 - u2');

$a->query("BEGIN");
is($a->query(confirm('signup', 'u1')), 'alice', 'one call is credited');
$_->send(confirm('signup', 'u1')) for @sessions;
$b->wait_for_block(@sessions);
$a->query("COMMIT");
is(join('', map { $_->finish() } @sessions), '',
	"$calls that wait for it are not");

$a->query("BEGIN");
$a->query(confirm('signup', 'u2'));
$_->send(confirm('signup', 'u2')) for @sessions;
$b->wait_for_block(@sessions);
$a->query("ROLLBACK");
is(join('', map { $_->finish() } @sessions), 'alice',
	'if it is rolled back, one of them is');
is(outcome('signup'), 'u1 alice, u2 alice', 'each user is confirmed once');

$a->copy('3 - u3');
$_->send(confirm('signup', 'u3')) for @sessions;
is(join('', map { $_->finish() } @sessions), 'alice', 'one, without an order');

@sessions = ();

# One call knows the visitor, another one the user, whoever comes first.  The
# second one has another hit.

sub credit {
	my ($event, $user, $visitor) = @_;

	return sprintf "SELECT referrer FROM hype.confirm(%s, %s, %s,
		\"window\" => '100 years')", arguments($event, $user, $visitor);
}

$n = 20;

for my $first ($a, $b) {
	for my $claimed (1, 0) {
		my $second = $first == $a ? $b : $a;
		my $name = ($first == $a ? 'visitor, user' : 'user, visitor')
			. ($claimed ? '' : ', not claimed');

		$n++;
		$c->copy("$n $n -");
		$_->query("BEGIN") for $a, $b;

		for ($first, $second) {
			if ($_ == $b && $claimed) {
				$b->query("SELECT hype.claim('" . uuid($n) . "', 'u$n')");
			}

			my $call = credit("once$n", $_ == $b ? "u$n" : undef,
				$_ == $b && $claimed ? undef : $n);

			if ($_ == $first) {
				is($_->query($call), 'alice', "$name: the first is told");
			} else {
				$c->copy($n + 1000 . " $n -");
				$_->send($call);
			}
		}

		$c->wait_for_block($second);
		$first->query("COMMIT");
		is($second->finish(), '', "$name: the second is not");
		$second->query("COMMIT");
		$c->derive();
		is($c->query("SELECT count(*) FROM hype.confirmed_referral
			WHERE event = 'once$n'"), 1, "$name: it is confirmed once");
	}
}

# Confirms of nginx next to an open one

$a->copy('4 - u4', '5 - u5');
$b->query("BEGIN");
$b->query(confirm('signup', 'u4'));
$a->query("SET lock_timeout = '1ms'");
is($a->query(batch('signup', 'u4')), 1, 'confirm_batch() waits for nobody');
is($a->query(batch('signup', 'u5')), 1, 'nor does another');
step() for 1 .. 3;
is(outcome('signup'), 'u1 alice, u2 alice, u3 alice, u5 alice',
	'which is confirmed meanwhile');
$b->query("COMMIT");
$c->derive();
is(outcome('signup'), 'u1 alice, u2 alice, u3 alice, u4 alice, u5 alice',
	'as the one is afterwards');
is($c->query("SELECT count(*) FROM hype.pending_confirm"), 0,
	'and once only');

# Hit, claim and confirm in three transactions of which none sees the others,
# ended in any order.

my @orders = ([0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]);
$n = 100;

for my $confirm (\&record, \&batch) {
	for my $known ('user', 'visitor', 'both') {
		for my $order (@orders) {
			for my $steps (0, 1) {
				$n++;

				my @order = map { ($a, $b, $c)[$_] } @$order;
				my @names = map { ('hit', 'claim', 'confirm')[$_] } @$order;

				$_->query("BEGIN") for $a, $b, $c;
				$a->copy("$n $n -");
				$b->query("SELECT hype.claim('" . uuid($n) . "', 'u$n')");
				$c->query($confirm->("o$n", $known ne 'visitor' ? "u$n" : undef,
					$known ne 'user' ? $n : undef));

				for (@order) {
					$_->query("COMMIT");
					$d->derive() if $steps;
				}

				$d->derive();
				is(outcome("o$n"), "u$n alice", "$known known: "
					. join ', ', @names);
			}
		}
	}
}

# The same with a user who was known at once.

for my $confirm (\&record, \&batch) {
	for my $first ($a, $c) {
		$n++;
		$_->query("BEGIN") for $a, $c;
		$a->copy("$n - u$n");
		$c->query($confirm->("o$n", "u$n"));

		for ($first, $first == $a ? $c : $a) {
			$_->query("COMMIT");
			$d->derive();
		}

		is(outcome("o$n"), "u$n alice", 'authenticated: '
			. ($first == $a ? 'hit, confirm' : 'confirm, hit'));
	}
}

# A visitor is confirmed while it is claimed.

for my $first ($b, $c) {
	$n++;
	$_->query("BEGIN") for $b, $c;
	$b->query("SELECT hype.claim('" . uuid($n) . "', 'u$n')");
	$a->copy("$n $n -");
	$c->query(record("o$n", undef, $n));
	$_->query("COMMIT") for $first, $first == $b ? $c : $b;
	is(outcome("o$n"), uuid($n) . ' alice', 'the confirm misses the claim');
	$c->derive();
	is(outcome("o$n"), "u$n alice", 'derive() brings them together');
}

# The claim is derived while a confirm that has missed it goes on: it is held
# up first by another that is about to confirm the same, then by the hit.

$a->copy('8 8 -');
$b->query("BEGIN");
$b->query("INSERT INTO hype.confirmed_referral
	(event, visitor, referral_hit_id, referral_link_id, referrer, created)
	VALUES ('slow', '" . uuid(8) . "', '" . uuid(8) . "', 1, 'alice',
		'2024-01-02 00:00Z')");
$a->query("RESET lock_timeout");
$a->send(record('slow', undef, 8));
$c->wait_for_block($a);
$c->query("SELECT hype.claim('" . uuid(8) . "', 'u8')");
step();
$d->query("BEGIN");
$d->query("SELECT 1 FROM hype.referral_hit WHERE id = '" . uuid(8) . "'
	FOR UPDATE");
$b->query("ROLLBACK");
$c->wait_for("SELECT $d->{backend} = ANY (pg_blocking_pids($a->{backend}))");
step() for 1 .. 3;
$d->query("ROLLBACK");
is($a->finish(), 't', 'a claim during a confirm');
is(outcome('slow'), uuid(8) . ' alice', 'which has missed it');
$c->derive();
is(outcome('slow'), 'u8 alice', 'and follows it later');

# A late hit does not wait for an open confirm of its user.

$c->query(batch('late', 'u9'));
$c->derive();
$b->query("BEGIN");
$b->query("INSERT INTO hype.confirmed_referral
	(event, user_id, referral_hit_id, referral_link_id, referrer)
	VALUES ('late', 'u9', '" . uuid(1) . "', 1, 'alice')");
$a->query("SET statement_timeout = '5s'");
is($a->copy('9 - u9'), '', 'a hit whose confirm is locked');
step() for 1 .. 3;
is(outcome('late'), '', 'leaves it');
$a->query("BEGIN");
$a->copy('10 10 -');
$c->query("SELECT hype.claim('" . uuid(10) . "', 'u10')");
$a->query("COMMIT");
step() for 1 .. 3;
is($c->query("SELECT user_id FROM hype.referral_hit
	WHERE visitor = '" . uuid(10) . "'"), 'u10',
	'so does a step, which goes on with others');
$b->query("ROLLBACK");
$c->derive();
is(outcome('late'), 'u9 alice', 'which is done later');

# An application's open claim and confirm are in nobody's way, though a hit of
# the same visitor comes, and a confirm waits for it.

$c->query(batch('busy', undef, 12));
$c->query(batch('busy', 'u13'));
$c->derive();
$a->copy('12 12 -');
$b->query("BEGIN");
$b->query("SELECT hype.claim('" . uuid(12) . "', 'u12')");
$b->query("SELECT hype.confirm('other', 'u12', \"window\" => '100 years')");
$a->copy('13 - u13', '14 12 -');
step() for 1 .. 5;
is(outcome('busy'), uuid(12) . ' alice, u13 alice',
	'an open claim and confirm are in nobody\'s way');
$b->query("COMMIT");
$c->derive();
is(outcome('busy'), 'u12 alice, u13 alice', 'and are followed');

# A hit's transaction is rolled back, with what it has confirmed.

$c->query(batch('undone', 'u11'));
$c->derive();
$a->query("BEGIN");
$a->copy('11 - u11');
$a->query("ROLLBACK");
$c->derive();
is(outcome('undone'), '', 'a hit that was rolled back');
$a->copy('11 - u11');
$c->derive();
is(outcome('undone'), 'u11 alice', 'and written again');

# A link is disabled when that is said, not when the transaction began.

$admin->query("SELECT pg_sleep_until(now() + interval '10.1 seconds')");
$admin->query("SELECT hype.create_link('dora', identifier => 'slow')");
$admin->query("UPDATE hype.referral_link SET disabled = true
	WHERE identifier = 'slow'");
is($admin->query("SELECT disabled_at > now() + interval '10 seconds'
	FROM hype.referral_link WHERE identifier = 'slow'"), 't',
	'disabled at the end of a long transaction');
$admin->query("ROLLBACK");

is($c->query("SELECT count(*) FROM hype.pending_confirm"), 0,
	'no confirm is left');
is($c->query("SELECT count(*) FROM hype.confirmed_referral r
	LEFT JOIN hype.referral_hit h ON h.id = r.referral_hit_id
	WHERE h.confirmed IS NULL"), 0, 'all hits are marked');

# A claim comes while an application confirms the visitor, by a hit that is
# marked already: derive() does not wait for it.

$c->query("SELECT hype.create_link('mallory', identifier => 'own')");
my $own = $c->query("SELECT id FROM hype.referral_link
	WHERE identifier = 'own'");

for my $case (['alice', 15, 1], ['mallory', 16, $own]) {
	my ($owner, $visitor, $link) = @$case;
	my $confirm = "visitor => '" . uuid($visitor) . "',
		\"window\" => '100 years')";

	$a->copy("$visitor $visitor - $link");
	$b->query("SELECT hype.confirm('first', $confirm");
	$b->query("BEGIN");
	is($b->query("SELECT referrer FROM hype.confirm('missed$visitor',
		$confirm"), $owner, 'an application confirms a visitor');
	$c->query("SELECT hype.claim_batch('{" . uuid($visitor) . "}',
		'{mallory}', '{2024-01-03 00:00Z}')");
	$c->query("SELECT count(*) FROM hype.derive()") for 1 .. 3;
	$b->query("COMMIT");
	$c->derive();
}

is(outcome('missed15'), 'mallory alice', 'the user has it afterwards');
is(outcome('missed16'), '', 'but not by the user\'s own link');

# A user is confirmed while a claim gives the user what the visitor was confirmed
# for: the claim waits, and finds both.

$a->copy('17 17 -', '18 - u17');
is($c->query("SELECT hype.record_confirm('adopted', NULL, '" . uuid(17) . "', NULL,
	'2024-01-05Z')"), 't', 'a visitor is confirmed');
$a->query("BEGIN");
is($a->query("SELECT referrer FROM hype.confirm('adopted', 'u17',
	\"window\" => '100 years')"), 'alice', 'and the user, who is told');
$b->send("SELECT hype.claim('" . uuid(17) . "', 'u17')");
$c->wait_for_block($b);
$a->query("COMMIT");
is($b->finish(), 'u17', 'the claim of both waits for that');
is(outcome('adopted'), 'u17 alice', 'and leaves what was told');

done_testing();
