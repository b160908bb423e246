#!/usr/bin/perl

# Rewards and pay-outs of fifty sessions at once: nothing is given or paid twice,
# and nobody is paid below zero, also where transactions are rolled back or can't
# be serialized.

use strict;
use warnings;

use FindBin;
use lib $FindBin::Bin;

use Rewards;
use Session;
use Test::More;

my $c = install();
my @levels = ('READ COMMITTED', 'REPEATABLE READ', 'SERIALIZABLE');

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

$c->query("INSERT INTO hype.reward_rule (event, side, amount, currency,
		max_per_beneficiary)
	VALUES ('one', 'referrer', 10, 'one', NULL),
		('few', 'referrer', 1, 'few', 7), ('few', 'referred', 1, 'few', 1)");

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

done_testing();
