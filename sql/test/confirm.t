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

sub uuid { return Session::uuid(@_) }

sub confirm {
	my ($event, $user) = @_;

	return "SELECT referrer FROM hype.confirm('$event', '$user', "
		. '"window" => \'100 years\')';
}

# What nginx sends, for a user or a visitor.

sub record {
	my ($event, $user, $visitor) = @_;

	$user = defined $user ? "'$user'" : 'NULL';
	$visitor = defined $visitor ? "'" . uuid($visitor) . "'" : 'NULL';

	return "SELECT hype.record_confirm('$event', $user, $visitor, NULL, "
		. "'2024-01-02 00:00Z')";
}

sub outcome {
	my ($event) = @_;

	return $c->query("SELECT string_agg(user_id || ' ' || referrer, ', '
		ORDER BY user_id)
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

# confirm_batch() next to an open confirm

$a->copy('4 - u4');
$b->query("BEGIN");
$b->query(confirm('signup', 'u4'));
like($c->query("SELECT hype.confirm_batch('{signup}', '{u4}', '{NULL}',
	'{NULL}', '{2024-01-02 00:00Z}')"), qr/lock timeout/,
	'confirm_batch() waits only a moment');
$b->query("COMMIT");
is($c->query("SELECT hype.confirm_batch('{signup}', '{u4}', '{NULL}', '{NULL}',
	'{2024-01-02 00:00Z}')"), 0, 'then it has nothing to do');

# Hit, claim and confirm in three transactions of which none sees the others,
# ended in any order.

my @orders = ([0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]);
my $n = 100;

for my $known ('user', 'visitor', 'both') {
	for my $order (@orders) {
		$n++;

		my @order = map { ($a, $b, $c)[$_] } @$order;
		my @names = map { ('hit', 'claim', 'confirm')[$_] } @$order;

		$_->query("BEGIN") for $a, $b, $c;
		$a->copy("$n $n -");
		$b->query("SELECT hype.claim('" . uuid($n) . "', 'u$n')");
		$c->query(record("o$n", $known ne 'visitor' ? "u$n" : undef,
			$known ne 'user' ? $n : undef));
		$_->query("COMMIT") for @order;

		$c->settle();
		is(outcome("o$n"), "u$n alice", "$known known: " . join ', ', @names);
	}
}

# The same with a user who was known at once.

for my $first ($a, $c) {
	$n++;
	$_->query("BEGIN") for $a, $c;
	$a->copy("$n - u$n");
	$c->query(record("o$n", "u$n"));
	$_->query("COMMIT") for $first, $first == $a ? $c : $a;
	$c->settle();
	is(outcome("o$n"), "u$n alice", 'authenticated: '
		. ($first == $a ? 'hit, confirm' : 'confirm, hit'));
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
	$c->settle();
	is(outcome("o$n"), "u$n alice", 'settle() brings them together');
}

# The claim is settled while a confirm that has missed it goes on: it is held
# up first by another that is about to confirm the same, then by the hit.

$a->copy('8 8 -');
$b->query("BEGIN");
$b->query("INSERT INTO hype.confirmed_referral
	VALUES ('slow', '" . uuid(8) . "', '" . uuid(8) . "', 1, 'alice')");
$a->send(record('slow', undef, 8));
$c->wait_for_block($a);
$c->query("SELECT hype.claim('" . uuid(8) . "', 'u8')");
is($c->query("SELECT hype.settle()"), 1, 'a claim during a confirm');

my $d = Session->new();

$d->query("BEGIN");
$d->query("SELECT 1 FROM hype.referral_hit WHERE id = '" . uuid(8) . "'
	FOR UPDATE");
$b->query("ROLLBACK");
$c->wait_for("SELECT $d->{backend} = ANY (pg_blocking_pids($a->{backend}))");
$c->settle();
$d->query("ROLLBACK");
is($a->finish(), 't', 'is settled before the confirm is done');
is(outcome('slow'), uuid(8) . ' alice', 'which has missed it');
$c->settle();
is(outcome('slow'), 'u8 alice', 'and is settled later');

# A late hit does not wait for an open confirm of its user.

$c->query(record('late', 'u9'));
$c->settle();
$b->query("BEGIN");
$b->query("INSERT INTO hype.confirmed_referral
	VALUES ('late', 'u9', '" . uuid(1) . "', 1, 'alice')");
$a->query("SET statement_timeout = '5s'");
is($a->copy('9 - u9'), 0, 'a hit whose confirm is locked');
is(outcome('late'), '', 'leaves it');
$a->query("BEGIN");
$a->copy('10 10 -');
$c->query("SELECT hype.claim('" . uuid(10) . "', 'u10')");
$a->query("COMMIT");
is($c->query("SELECT hype.settle()"), 2, 'so does settle()');
is($c->query("SELECT user_id FROM hype.referral_hit
	WHERE visitor = '" . uuid(10) . "'"), 'u10', 'which goes on with others');
$b->query("ROLLBACK");
$c->settle();
is(outcome('late'), 'u9 alice', 'which is done later');

# A hit's transaction is rolled back, with what it has confirmed.

$c->query(record('undone', 'u11'));
$c->settle();
$a->query("BEGIN");
$a->copy('11 - u11');
$a->query("ROLLBACK");
$c->settle();
is(outcome('undone'), '', 'a hit that was rolled back');
$a->copy('11 - u11');
is(outcome('undone'), 'u11 alice', 'and written again');
$c->settle();

# A link is disabled when that is said, not when the transaction began.

$admin->query("SELECT pg_sleep_until(now() + interval '10.1 seconds')");
$admin->query("SELECT hype.create_link('dora', identifier => 'slow')");
$admin->query("UPDATE hype.referral_link SET disabled = true
	WHERE identifier = 'slow'");
is($admin->query("SELECT disabled_at > now() + interval '10 seconds'
	FROM hype.referral_link WHERE identifier = 'slow'"), 't',
	'disabled at the end of a long transaction');
$admin->query("ROLLBACK");

is($c->query("SELECT count(*) FROM hype.unmatched_confirm"), 0,
	'no confirm is left');
is($c->query("SELECT count(*) FROM hype.confirmed_referral r
	LEFT JOIN hype.referral_hit h ON h.id = r.referral_hit_id
	WHERE h.confirmed IS NULL"), 0, 'all hits are marked');

done_testing();
