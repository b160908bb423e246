#!/usr/bin/perl

# Confirms of nginx side by side with hits, with claims and with applications.

use strict;
use warnings;

use FindBin;
use lib $FindBin::Bin;

use Claims ();
use Confirms qw(arguments batch confirm);
use Session;
use Test::More;

Session->install();

my $a = Session->new();
my $b = Session->new();
my $c = Session->new();
my $d = Session->new();

my $n = 100;

sub uuid { return Session::uuid(@_) }
sub outcome { return Confirms::outcome($c, @_) }
sub claimed { return Claims::record(@_) }

# What nginx appends

sub record {
	return sprintf "SELECT hype.record_confirm(%s, %s, %s, NULL, "
		. "'2024-01-02 00:00Z')", arguments(@_);
}

sub step {
	return $c->query("SELECT count(*) FROM hype.derive()");
}

$c->query("SELECT hype.create_link('alice')");

# Confirms of nginx next to an open one

$a->copy('4 - u4', '5 - u5');
$b->query("BEGIN");
$b->query(confirm('signup', 'u4'));
$a->query("SET lock_timeout = '1ms'");
is($a->query(batch('signup', 'u4')), 1, 'confirm_batch() waits for nobody');
is($a->query(batch('signup', 'u5')), 1, 'nor does another');
step() for 1 .. 3;
is(outcome('signup'), 'u5 alice',
	'which is confirmed meanwhile');
$b->query("COMMIT");
$c->derive();
is(outcome('signup'), 'u4 alice, u5 alice',
	'as the one is afterwards');
is($c->query("SELECT count(*) FROM hype.pending_confirm"), 0,
	'and once only');

# Hit, claim and confirm in three transactions of which none sees the others,
# ended in any order.

my @orders = ([0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]);
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

# A hit is about to be credited once more, while its first credit moves to another.

$a->copy('40 - u40');
$c->query(batch('moved', 'u40'));
$c->derive();
$b->query("BEGIN");
$b->query(confirm('stays', 'u40'));
$a->copy('41 - u40 1 2024-01-01 12:00Z');
step() for 1 .. 3;
$b->query("COMMIT");
$c->wait_for("SELECT referral_hit_id = '" . uuid(41)
	. "' FROM hype.confirmed_referral, hype.derive() WHERE event = 'moved'");
is($c->query("SELECT count(*) FROM hype.referral_hit
	WHERE user_id = 'u40' AND confirmed IS NOT NULL"), 2, 'both are marked');

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

is($c->query("SELECT count(*) FROM hype.pending_confirm"), 0,
	'no confirm is left');
is($c->query("SELECT count(*) FROM hype.confirmed_referral r
	LEFT JOIN hype.referral_hit h ON h.id = r.referral_hit_id
	WHERE h.confirmed IS NULL"), 0, 'all hits are marked');

# A link is given to another owner; then an earlier claim shows that its hit was
# never the user's who was confirmed by it.

$c->query("SELECT hype.create_link('alice', identifier => 'given')");
$a->copy('50 50 - 2');
$c->query(claimed(50, 'later', '2024-01-01 12:00Z'));
$c->query(batch('given', 'later'));
$c->derive();
is(outcome('given'), 'later alice', 'confirmed by a visitor\'s hit');
$c->query("UPDATE hype.referral_link SET user_id = 'bob'
	WHERE identifier = 'given'");
$c->query(claimed(50, 'earlier', '2024-01-01 06:00Z'));
$c->query(batch('given', 'earlier'));
$c->derive();
is(outcome('given'), 'earlier bob', 'which is credited once');

done_testing();
