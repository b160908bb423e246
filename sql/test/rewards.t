#!/usr/bin/perl

# Rewards and pay-outs of many sessions at once: nothing is given or paid twice,
# and nobody is paid below zero, also where transactions are rolled back or can't
# be serialized.  And for any sequence of confirms, revocations, pay-outs and
# days: what was made is pending, available, paid, or taken back.

use strict;
use warnings;

use FindBin;
use lib $FindBin::Bin;

use List::Util qw(max);
use Session;
use Test::More;

Session->install();

my $a = Session->new();
my $b = Session->new();
my $c = Session->new();
my @levels = ('READ COMMITTED', 'REPEATABLE READ', 'SERIALIZABLE');
my $hits = 0;

sub uuid { return Session::uuid(@_) }

# Hits of users, each one a second after the one before.

sub hit {
	my ($link, @users) = @_;

	return $c->query("INSERT INTO hype.referral_hit
		(id, referral_link_id, created, user_id, authenticated)
		VALUES " . join ', ', map { $hits++; "('" . uuid($hits) . "', $link,
			now() - interval '60 days' + interval '$hits s', '$_', true)" }
			@users);
}

sub balance {
	my ($user, $currency) = @_;

	return $c->query("SELECT pending, available, paid FROM hype.balance
		WHERE user_id = '$user' AND currency = '$currency'");
}

sub confirm { return "SELECT referrer FROM hype.confirm('$_[0]', '$_[1]')" }

sub pay_out { return "SELECT hype.pay_out('$_[0]', '$_[1]', '$_[2]')" }

# Runs these statements, of a session each, at the same time; those that can't be
# serialized again, until all are done.  Returns what they say.

sub at_once {
	my ($sessions, $statements) = @_;

	my @said = ('') x @$statements;
	my @left = 0 .. $#$statements;
	my $again = 0;

	while (@left) {
		$sessions->[$_]->send($statements->[$_]) for @left;
		$said[$_] = $sessions->[$_]->finish() for @left;
		@left = grep { $said[$_] =~ /ERROR/ } @left;

		for (@left) {
			die $said[$_] if $said[$_] !~ /could not serialize|deadlock/;
			$sessions->[$_]->query('ROLLBACK');
			$again++;
		}
	}

	note("$again tried again");

	return @said;
}

$c->query("INSERT INTO hype.referral_link (id, identifier, user_id)
	VALUES (1, 'a', 'alice'), (2, 'b', 'bob'), (3, 'c', 'carl')");
$c->query("INSERT INTO hype.reward_rule (event, side, amount, currency,
		max_per_beneficiary)
	VALUES ('one', 'referrer', 10, 'one', NULL),
		('few', 'referrer', 1, 'few', 7), ('few', 'referred', 1, 'few', 1),
		('moved', 'referrer', 5, 'moved', NULL)");

# Two pay-outs: of one reference, and of two

hit(1, 'p1', 'p2', 'p3', 'p4');

for my $how (['COMMIT', 10, 10, 10], ['ROLLBACK', 10, 10, 10]) {
	my ($end, $first, $second, $paid) = @$how;

	$c->query(confirm('one', $end eq 'COMMIT' ? 'p1' : 'p2'));
	$a->query('BEGIN');
	is($a->query(pay_out('alice', 'one', "same $end")), $first,
		"a pay-out, then $end");
	$b->send(pay_out('alice', 'one', "same $end"));
	$c->wait_for_block($b);
	$a->query($end);
	is($b->finish(), $second, 'the same one waits for it');
}

is(balance('alice', 'one'), '0|0|20', 'each is paid once');

$c->query(confirm('one', 'p3'));
$a->query('BEGIN');
is($a->query(pay_out('alice', 'one', 'first')), 10, 'a pay-out');
$b->send(pay_out('alice', 'one', 'second'));
$c->wait_for_block($b);
$a->query('COMMIT');
is($b->finish(), 0, 'there is nothing left for another one');

for my $level (@levels[1, 2]) {
	for my $second ('same', 'other') {
		$c->query("DELETE FROM hype.confirmed_referral WHERE user_id = 'p4'");
		$c->query(confirm('one', 'p4'));
		$b->query("BEGIN ISOLATION LEVEL $level");
		$b->query("SELECT count(*) FROM hype.reward");
		is($a->query(pay_out('alice', 'one', "$level $second same")), 10,
			"$level: a pay-out");
		like($b->query(pay_out('alice', 'one', "$level $second $second")),
			qr/could not serialize/,
			"and the $second, with a snapshot from before it");
		$b->query('ROLLBACK');
	}
}

is($c->query("SELECT available FROM hype.balance WHERE user_id = 'alice'"), 0,
	'nothing is owed, and nothing owed back');

# A credit that is about to move is not paid; one that is about to be paid does
# not move.

sub record {
	my ($user) = @_;

	return "SELECT hype.record_confirm('moved', '$user', NULL, NULL, now())";
}

hit(1, 'm1', 'm2');
$c->query(record($_)) for 'm1', 'm2';
$c->derive();
is(balance('alice', 'moved'), '0|10|0', 'two credits');

hit(2, 'm1');
$a->query('BEGIN');
$a->query('SELECT count(*) FROM hype.derive()') for 1 .. 3;
is($a->query("SELECT referrer FROM hype.confirmed_referral
	WHERE user_id = 'm1'"), 'bob', 'one is about to move');
$b->send(pay_out('alice', 'moved', 'm 1'));
$c->wait_for_block($b);
$a->query('COMMIT');
is($b->finish(), 5, 'a pay-out waits, and does not have it');
is(balance('alice', 'moved'), '0|0|5', 'nor is it owed back');
is(balance('bob', 'moved'), '0|5|0', 'it has moved');

hit(3, 'm1', 'm2');
$a->query('BEGIN');
is($a->query(pay_out('bob', 'moved', 'm 2')), 5, 'one is about to be paid');
$c->query('SELECT count(*) FROM hype.derive()') for 1 .. 5;
$b->send("SELECT hype.record_confirm(event, user_id, NULL, NULL, created)
	FROM hype.confirmed_referral WHERE user_id = 'm1' AND event = 'moved'");
$c->wait_for_block($b);
$a->query('COMMIT');
$b->finish();
$c->derive();
$c->wait_for("SELECT count(*) = 0 FROM hype.pending_confirm
	WHERE due IS NOT NULL AND user_id = 'm1'");
is($c->query("SELECT string_agg(referrer, ' ' ORDER BY user_id)
	FROM hype.confirmed_referral WHERE event = 'moved'"), 'bob alice',
	'neither it nor the other one moves');
is(balance('bob', 'moved') . ', ' . balance('carl', 'moved'), '0|0|5, ',
	'who was paid, keeps it');

# What becomes available while a pay-out waits is paid, and held, too.

$c->query("INSERT INTO hype.reward_rule (event, side, amount, currency)
	VALUES ('held', 'referrer', 5, 'held')");
hit(1, 'h1', 'h2');

for my $user ('h1', 'h2') {
	if ($user eq 'h2') {
		$a->query('BEGIN');
		$a->query("SELECT count(*) FROM hype.revoke('held', 'h1')");
		$b->send(pay_out('alice', 'held', 'h 1'));
		$c->wait_for_block($b);
	}

	$c->query("SELECT hype.confirm_batch('{held}', '{$user}', '{NULL}', '{1}',
		ARRAY[now() - interval '1 hour'])");
	$c->wait_for("SELECT count(*) = 1 FROM hype.derive() d,
		hype.confirmed_referral WHERE event = 'held' AND user_id = '$user'");
}

$a->query('ROLLBACK');
is($b->finish(), 10, 'a pay-out that waits for a revocation, rolled back');
is($c->query("SELECT count(*) FROM hype.confirmed_referral
	WHERE event = 'held' AND NOT told"), 0, 'no credit that was paid moves');

# A hit of nobody is credited once an event, in any isolation level

for my $level ('READ COMMITTED', 'REPEATABLE READ', 'SERIALIZABLE') {
	my $event = lc $level =~ s/ .*//r;
	my $id = $c->query("INSERT INTO hype.referral_hit
		(id, referral_link_id, created)
		VALUES (gen_random_uuid(), 1, now()) RETURNING id");

	$c->query("SELECT hype.confirm('first', 'x$event', hit => '$id')");

	for my $s ($a, $b) {
		$s->query("BEGIN ISOLATION LEVEL $level");
		$s->query("SELECT count(*) FROM hype.confirmed_referral");
	}

	is($a->query("SELECT count(*) FROM hype.confirm('$event', 'x1',
		hit => '$id')"), 1, "$level: a hit of nobody");
	$b->send("SELECT count(*) FROM hype.confirm('$event', 'x2', hit => '$id')");
	$c->wait_for_block($b);
	$a->query('COMMIT');
	like($b->finish(), $level =~ /READ C/ ? qr/^0$/ : qr/could not serialize/,
		'is not credited to another one at the same time');
	$b->query('ROLLBACK');
}

# Two revocations

$a->query('BEGIN');
is($a->query("SELECT user_id FROM hype.revoke('moved', 'm2')"), 'm2',
	'a revocation');
$b->send("SELECT user_id FROM hype.revoke('moved', 'm2')");
$c->wait_for_block($b);
$a->query('COMMIT');
is($b->finish(), '', 'another one waits, and has nothing to do');
is(balance('alice', 'moved'), '0|-5|5', 'it is taken back once');

# A rule that fails stops its own confirm, and no other one.

$c->query("CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS
	\$\$ BEGIN RAISE EXCEPTION 'no'; END \$\$");
$c->query("CREATE TRIGGER fail BEFORE INSERT ON hype.reward FOR EACH ROW
	WHEN (NEW.user_id = 'bad') EXECUTE FUNCTION fail()");
hit(1, 'bad', 'good');
$c->query("SELECT hype.confirm_batch('{one,one}', '{bad,good}', '{NULL,NULL}',
	'{1,1}', ARRAY[now(), now()])");
$c->query('SELECT count(*) FROM hype.derive()') for 1 .. 3;
is($c->query("SELECT string_agg(user_id, ' ') FROM hype.confirmed_referral
	WHERE user_id IN ('bad', 'good')"), 'good', 'a reward that is refused');
$c->query("DROP TRIGGER fail ON hype.reward");
$c->wait_for("SELECT count(*) = 0 FROM hype.derive() d, hype.pending_confirm
	WHERE user_id = 'bad'");
is($c->query("SELECT count(*) FROM hype.reward WHERE user_id = 'bad'"), 1,
	'is given later');

# Who is at the limit of a rule, is in nobody's way.

$c->query("INSERT INTO hype.reward_rule (event, side, amount, currency,
		max_per_beneficiary)
	VALUES ('limit', 'referrer', 1, 'limit', 1)");
hit(1, map { "l$_" } 1 .. 5);
$a->query('BEGIN');
is($a->query(confirm('limit', 'l1')), 'alice', 'a reward with a limit, open');
$b->send(confirm('limit', 'l2'));
$c->wait_for_block($b);
$a->query('ROLLBACK');
is($b->finish(), 'alice', 'another one waits for it');
$a->query('BEGIN');
is($a->query(confirm('limit', 'l3')), 'alice', 'at the limit');
$b->query("SET lock_timeout = '1ms'");
is($b->query(confirm('limit', 'l4')), 'alice', 'nobody waits');
$b->query('RESET lock_timeout');
$a->query('COMMIT');
is(balance('alice', 'limit'), '0|1|0', 'there is one');

# An application's transaction that stays open has nginx's confirms of the same
# beneficiary wait, and no other ones.

$c->query("INSERT INTO hype.reward_rule (event, side, amount, currency,
		max_per_beneficiary)
	VALUES ('crowd', 'referrer', 1, 'crowd', 1000)");
hit(1, map { "w$_" } 0 .. 60);
hit(2, 'free');
$a->query('BEGIN');
$a->query(confirm('crowd', 'w0'));
$c->query("SELECT hype.confirm_batch('{crowd}', ARRAY['w' || i], '{NULL}',
	'{NULL}', ARRAY[now() - interval '1 minute'])
	FROM generate_series(1, 60) AS i");
$c->query('SELECT count(*) FROM hype.derive()') for 1 .. 20;
$c->query("SELECT hype.confirm_batch('{crowd}', '{free}', '{NULL}', '{NULL}',
	ARRAY[now()])");
$c->wait_for("SELECT (SELECT count(*) FROM hype.confirmed_referral
	WHERE user_id = 'free') = 1 FROM hype.derive()");
is(balance('bob', 'crowd'), '0|1|0', 'a confirm behind many that wait');
$a->query('COMMIT');
$c->wait_for("SELECT (SELECT count(*) FROM hype.confirmed_referral
	WHERE event = 'crowd') = 62 FROM hype.derive()");
is(balance('alice', 'crowd'), '0|61|0', 'which are confirmed then');

# Fifty at once

my @sessions = map { Session->new() } 1 .. 50;

srand(42);

for my $level (@levels) {
	my $who = join '', map { lc substr $_, 0, 1 } $level =~ /\w{3}/g;

	hit(1, map { "$who$_" } 1 .. 50);

	# the same confirm, and pay-out

	$c->query(pay_out('alice', 'one', "start $who"));
	my $before = $c->query("SELECT paid FROM hype.balance
		WHERE user_id = 'alice' AND currency = 'one'");

	my @said = at_once(\@sessions, [map {
		my $end = $_ % 5 ? 'COMMIT' : 'ROLLBACK';
		my $user = $who . (1 + $_ % 10);

		"BEGIN ISOLATION LEVEL $level;\n" . confirm('one', $user) . ";\n"
			. pay_out('alice', 'one', "$who " . $_ % 3)
			. " AS \"$who " . $_ % 3 . "\";\n$end"
	} 1 .. 50]);

	is($c->query("SELECT count(*) FROM hype.reward WHERE event = 'one'
			AND user_id ~ '^$who'"),
		$c->query("SELECT count(*) FROM hype.confirmed_referral
			WHERE event = 'one' AND user_id ~ '^$who'"),
		"$level: a reward for each confirmed user");
	$c->query(pay_out('alice', 'one', "end $who"));
	is($c->query("SELECT paid - $before FROM hype.balance
			WHERE user_id = 'alice' AND currency = 'one'"),
		10 * $c->query("SELECT count(*) FROM hype.confirmed_referral
			WHERE event = 'one' AND user_id ~ '^$who'"),
		"$level: each of which is paid once");
	is($c->query("SELECT count(*) FROM hype.reward WHERE kind = 'paid'
			AND amount > 0"), 0, "$level: and nobody below zero");

	# different users, of a referrer who gets a few only

	@said = at_once(\@sessions, [map {
		"BEGIN ISOLATION LEVEL $level;\n" . confirm('few', "$who$_") . ";\n"
			. ($_ % 4 ? 'COMMIT' : 'ROLLBACK')
	} 1 .. 50]);

	is($c->query("SELECT count(*) FROM hype.confirmed_referral
		WHERE event = 'few' AND user_id ~ '^$who'"), 38,
		"$level: many are confirmed");
	is($c->query("SELECT available FROM hype.balance
		WHERE user_id = 'alice' AND currency = 'few'"), 7,
		"$level: as many are rewarded as the rule allows");
	is($c->query("SELECT count(*) FROM hype.balance
		WHERE user_id ~ '^$who' AND currency = 'few' AND available = 1"), 38,
		"$level: each user has one");

	# revocations take each reward back once, and make room

	at_once(\@sessions, [map {
		my $user = $who . (1 + $_ % 25);

		"BEGIN ISOLATION LEVEL $level;\n"
			. "SELECT count(*) FROM hype.revoke('few', '$user');\n"
			. ($_ % 5 ? 'COMMIT' : 'ROLLBACK')
	} 1 .. 50]);

	is($c->query("SELECT count(*) FROM hype.reward r
			JOIN hype.confirmed_referral f ON f.id = r.confirmed_referral_id
			WHERE f.revoked IS NOT NULL AND f.event = 'few'
			GROUP BY f.id, r.reward_rule_id HAVING sum(r.amount) <> 0"), '',
		"$level: what is revoked is taken back once");
	$c->query("SELECT hype.revoke('few', f.user_id)
		FROM hype.confirmed_referral f WHERE f.event = 'few'");
	is($c->query("SELECT sum(k.n) FROM hype.reward_count k
		JOIN hype.reward_rule r ON r.id = k.reward_rule_id
		WHERE r.event = 'few'"), 0,
		"$level: nothing is left of it");
}

@sessions = ();

# Any sequence, against a model

$c->query("TRUNCATE hype.reward, hype.reward_rule, hype.reward_count,
	hype.confirmed_referral, hype.pending_confirm");
$c->query("INSERT INTO hype.reward_rule (event, side, amount, percent, currency,
		hold, max_per_beneficiary)
	VALUES ('signup', 'referrer', 100, NULL, 'points', '0', 6),
		('signup', 'referred', 20, NULL, 'points', '1 day', NULL),
		('order', 'referrer', NULL, 10, 'EUR', '3 days', NULL),
		('order', 'referrer', 1, NULL, 'points', '1 day', NULL)");

my %rules = (
	signup => [[1, 'referrer', 100, 0, 'points', 0, 6],
		[2, 'referred', 20, 0, 'points', 1]],
	order => [[3, 'referrer', 0, 0.1, 'EUR', 3],
		[4, 'referrer', 1, 0, 'points', 1]],
);
my %owner = (1 => 'alice', 2 => 'bob', 3 => 'carl');
my (%confirmed, %last, @entries, %references, %done);
my ($day, $made, $back, $wrong) = (0, 0, 0, 0);

$c->query("UPDATE hype.referral_hit SET created = created - interval '9 days'");

for my $n (1 .. 30) {
	my $link = 1 + $n % 3;

	hit($link, "x$n");
	$last{"x$n"} = $owner{$link};
}

$c->derive();

for my $step (1 .. 500) {
	my $user = 'x' . (1 + int rand 30);
	my $event = rand() < 0.5 ? 'signup' : 'order';
	my $key = "$event $user";
	my $known = $confirmed{$key};
	my $who = rand() < 0.7 ? (values %owner)[rand 3] : $user;
	my $currency = rand() < 0.5 ? 'points' : 'EUR';
	my $what = rand;
	my ($name, $said, $expected) = ('', '', '');

	if ($what < 0.35) {
		my $value = 1 + int(rand 1000) / 2;
		my $told = rand() < 0.5;

		$name = ($told ? 'told' : 'recorded') . " $key $value";
		$said = $c->query($told
			? "SELECT referrer FROM hype.confirm('$event', '$user',
				value => $value)"
			: "SELECT CASE WHEN hype.record_confirm('$event', '$user', NULL,
				$value, now()) THEN '$last{$user}' END");

		if (!$known) {
			$expected = $last{$user};
			$confirmed{$key} = { event => $event, user => $user,
				value => $value, referrer => $expected, told => $told,
				day => $day };
			give($confirmed{$key}, 'referrer', 'referred');
		}

	} elsif ($what < 0.5) {
		$name = "revoke $key";
		$said = $c->query("SELECT user_id
			FROM hype.revoke('$event', '$user')");

		if ($known && !$known->{revoked}) {
			$expected = $user;
			$known->{revoked} = $known->{told} = 1;
			take_back($known, 'referrer', 'referred');
		}

	} elsif ($what < 0.8) {
		my $reference = 'r' . int rand 200;
		my $p = $references{$reference};

		$name = "pay $who $currency $reference";
		$said = $c->query(pay_out($who, $currency, $reference));

		if ($p && $p->{who} eq "$who $currency") {
			$expected = $p->{amount};

		} elsif ($p) {
			$expected = qr/ERROR:  .*another user, or in another currency/;

		} else {
			$expected = max(0, (sums($who, $currency))[1]) + 0;
			$references{$reference} = { who => "$who $currency",
				amount => $expected };

			$_->{confirm}{told} = 1 for grep {
				$_->{who} eq "$who $currency" && $_->{day} <= $day
				&& $_->{amount} > 0 && $_->{confirm}
				&& grep { $_ eq $who } @{ $_->{confirm} }{qw(referrer user)}
			} @entries;

			push @entries, { who => "$who $currency", day => -1, paid => 1,
				amount => -$expected };
		}

	} elsif ($what < 0.9) {
		my $link = 1 + int rand 3;

		# all credit of the user that no one was told of moves to it

		$name = "hit $link $user";
		hit($link, $user);
		$c->derive();
		$last{$user} = $owner{$link};

		for (grep { $_->{user} eq $user && !$_->{told}
				&& $_->{referrer} ne $owner{$link} } values %confirmed) {
			take_back($_, 'referrer');
			$_->{referrer} = $owner{$link};
			give($_, 'referrer');
		}

	} elsif ($day < 25) {
		$name = 'a day passes';
		$day++;
		$c->query("UPDATE hype.confirmed_referral
			SET created = created - interval '1 day'");
		$c->query("SET hype.erasing = 'on'");
		$c->query("UPDATE hype.reward
			SET available_at = available_at - interval '1 day',
				created = created - interval '1 day'");
		$c->query("SET hype.erasing = 'off'");

	} else {
		next;
	}

	$done{ (split ' ', $name)[0] }++;

	if (ref $expected ? $said !~ $expected
		: $expected =~ /^[\d.]+$/ ? $said != $expected : $said ne $expected)
	{
		fail("step $step, $name: $said, not $expected");
		$wrong++;
	}

	for (map { my $w = $_; map { [$w, $_] } 'points', 'EUR' }
			values %owner, $user) {
		my ($has) = balance(@$_);
		my $should = join '|', map { 0 + $_ } sums(@$_);

		$has = $has eq '' ? '0|0|0' : join '|', map { 0 + $_ } split /\|/, $has;
		next if $has eq $should;

		fail("step $step, $name: @$_ has $has, not $should");
		$wrong++;
	}

	last if $wrong;
}

is($wrong, 0, 'every step does what it should');
cmp_ok($done{$_}, '>', 10, "$done{$_} times: $_")
	for qw(told recorded revoke pay hit a);

for my $currency ('points', 'EUR') {
	is($c->query("SELECT trim_scale(sum(pending + available + paid))
			FROM hype.balance WHERE currency = '$currency'"),
		$c->query("SELECT trim_scale(
				(SELECT sum(amount) FROM hype.reward
				WHERE kind = 'earned' AND currency = '$currency')
				+ (SELECT sum(amount) FROM hype.reward
				WHERE kind = 'taken_back' AND currency = '$currency'))"),
		"$currency: pending + available + paid + taken back is all that was made");
}

is($c->query("SELECT count(*) FROM hype.reward
	WHERE kind = 'paid' AND amount > 0"), 0, 'nobody was paid below zero');
is($c->query("SELECT count(*)
	FROM (SELECT confirmed_referral_id, reward_rule_id,
			sum(sign(amount)) AS n
		FROM hype.reward WHERE kind <> 'paid' GROUP BY 1, 2) AS r
	JOIN hype.confirmed_referral f ON f.id = r.confirmed_referral_id
	WHERE r.n NOT IN (0, 1) OR (f.revoked IS NOT NULL AND r.n <> 0)"), 0,
	'each reward is there once, or taken back');

done_testing();


# The model: what rules give, and what the entries add up to

sub give {
	my ($confirm, @sides) = @_;

	for (@{ $rules{$confirm->{event}} }) {
		my ($rule, $side, $amount, $part, $currency, $hold, $most) = @$_;

		next if !grep { $_ eq $side } @sides;

		my $who = $side eq 'referrer' ? $confirm->{referrer} : $confirm->{user};
		my @had = grep { $_->{rule} && $_->{rule} == $rule
			&& $_->{who} eq "$who $currency" } @entries;
		my $n = 0;

		$n += $_->{amount} > 0 ? 1 : -1 for @had;
		next if $most && $n >= $most;

		push @entries, { who => "$who $currency", rule => $rule,
			amount => $amount + sprintf('%.2f', $part * $confirm->{value} + 1e-9),
			day => $confirm->{day} + $hold, confirm => $confirm,
			side => $side, live => 1 };
	}
}

sub take_back {
	my ($confirm, @sides) = @_;

	for my $e (grep { $_->{live} && $_->{confirm} == $confirm } @entries) {
		next if !grep { $_ eq $e->{side} } @sides;

		$e->{live} = 0;
		push @entries, { %$e, amount => -$e->{amount} };
	}
}

sub sums {
	my ($who, $currency) = @_;

	my ($pending, $available, $paid) = (0, 0, 0);

	for (grep { $_->{who} eq "$who $currency" } @entries) {
		$paid -= $_->{amount} if $_->{paid};

		if ($_->{day} > $day) {
			$pending += $_->{amount};
		} else {
			$available += $_->{amount};
		}
	}

	return map { sprintf '%.2f', $_ } $pending, $available, $paid;
}
