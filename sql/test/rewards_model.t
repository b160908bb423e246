#!/usr/bin/perl

# Rewards against a model: for any sequence of confirms, revocations, pay-outs and
# days, what was made is pending, available, paid, or taken back.

use strict;
use warnings;

use FindBin;
use lib $FindBin::Bin;

use List::Util qw(max);
use Rewards;
use Session;
use Test::More;

my $c = install();

srand(42);

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
