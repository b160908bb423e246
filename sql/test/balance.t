#!/usr/bin/perl

# hype.balance is the sum of the ledger at every moment, and neither it nor a
# pay-out reads all of a long ledger.

use strict;
use warnings;

use FindBin;
use lib $FindBin::Bin;

use Rewards;
use Session;
use Test::More;

my $c = Rewards::install();
my $other = Session->new();

# What differs between the view and the plain sums, in one statement

sub wrong {
	my ($session) = @_;

	return ($session // $c)->query("SELECT count(*) FROM (
		SELECT b.user_id, b.currency, b.pending, b.available, b.paid
		FROM hype.balance b
		FULL JOIN (
			SELECT beneficiary, currency,
				coalesce(sum(amount) FILTER (WHERE available_at > now()
					AND kind <> 'paid'), 0) AS pending,
				coalesce(sum(amount) FILTER (WHERE available_at <= now()
					OR kind = 'paid'), 0) AS available,
				coalesce(sum(-amount) FILTER (WHERE kind = 'paid'), 0) AS paid
			FROM hype.reward WHERE beneficiary IS NOT NULL GROUP BY 1, 2
		) AS p ON p.beneficiary = b.user_id AND p.currency = b.currency
		WHERE (b.pending, b.available, b.paid)
			IS DISTINCT FROM (p.pending, p.available, p.paid)) AS w");
}

# Entries of alice and others, that are available from some seconds ago to some
# seconds from now on

sub earn {
	my ($n, $from, $to) = @_;

	$c->query("INSERT INTO hype.reward
		(kind, event, side, beneficiary, amount, currency, available_at, n)
		SELECT 'earned', 'e', 'referrer',
			CASE WHEN i % 2 = 0 THEN 'alice' ELSE 'u' || i % 50 END,
			1 + i % 3, 'points',
			clock_timestamp() + ($from + i * ($to - $from) / ${n}.0)
				* interval '1 s', 1
		FROM generate_series(1, $n) AS i");
}

$c->query("ALTER TABLE hype.reward DISABLE TRIGGER reward_event");
earn(10000, -1000, 2);
is(wrong(), 0, 'before anything is added up');
$c->query("SELECT hype.roll_up()");
is(wrong(), 0, 'and after');
$other->query("BEGIN");
$other->query("SELECT now()");
earn(1000, -1000, 2);
is(wrong(), 0, 'with some more');
$c->query("SELECT * FROM hype.derive()");
is(wrong(), 0, 'of which some are added up');

# While time passes; for the other's transaction it does not

my ($times, $wrong) = (0, 0);
my $pending;

do {
	$c->query("SELECT hype.roll_up()") if $times++ % 3 == 0;
	$wrong += wrong();
	$pending = $c->query("SELECT pending > 0 FROM hype.balance
		WHERE user_id = 'alice'");
} while ($pending eq 't' && $times < 100_000);

is($pending, 'f', 'all has become available');
is($wrong, 0, "and was right $times times");
$c->query("SELECT hype.roll_up()");
is($other->query("SELECT pending > 0 FROM hype.balance
	WHERE user_id = 'alice'"), 't', 'but not in a transaction that began before');
is(wrong($other), 0, 'which sees what is right at its time');
$other->query("COMMIT");

# What is committed after others that are available later

$other->query("BEGIN");
$other->query("INSERT INTO hype.reward
	(kind, beneficiary, amount, currency, available_at, n)
	VALUES ('earned', 'alice', 1000000, 'points', now(), 1)");
earn(100, -1, 0);
$c->query("SELECT hype.roll_up()");
is(wrong(), 0, 'while an entry is not committed');
$c->query("SET lock_timeout = '1ms'");
is($c->query("INSERT INTO hype.reward
	(kind, beneficiary, amount, currency, available_at, n)
	VALUES ('earned', 'alice', 1, 'points', now(), 1)"), '',
	'another one of the same user waits for nothing');
is($c->query("SELECT again FROM hype.derive()") =~ /ERROR/, '',
	'nor do the totals');
$c->query("RESET lock_timeout");
$other->query("COMMIT");
is(wrong(), 0, 'when it is');
$c->query("SELECT hype.roll_up()");
is(wrong(), 0, 'and when it is added up');
is($c->query("SELECT count(*) FROM hype.reward_change"), 0, 'as all are');

# A long ledger

sub reads {
	my ($statement) = @_;
	my $rows = "SELECT sum(pg_stat_get_xact_tuples_returned(oid))
		FROM (SELECT 'hype.reward'::regclass UNION ALL
			SELECT indexrelid FROM pg_index
			WHERE indrelid = 'hype.reward'::regclass) AS r (oid)";

	$c->query("BEGIN");
	my $before = $c->query($rows);
	$c->query($statement);
	my $read = $c->query($rows) - $before;
	$c->query("COMMIT");

	return $read;
}

$c->query("ANALYZE hype.reward");
cmp_ok(reads("SELECT * FROM hype.balance WHERE user_id = 'alice'"), '<', 100,
	'a balance reads few entries');
cmp_ok(reads("SELECT * FROM hype.balance WHERE available > 0"), '<', 100,
	'so do all of them');
cmp_ok(reads("SELECT hype.owner_page('alice')"), '<', 100,
	'and the owner\'s page');
cmp_ok(reads(pay_out('alice', 'points', 'p 1')), '<', 100, 'and a pay-out');
is(wrong(), 0, 'which is right');
is($c->query("SELECT available, paid > 1000000 FROM hype.balance
	WHERE user_id = 'alice'"), '0|t', 'and has paid all');

# A limit, where there are more

$c->query("INSERT INTO hype.reward_rule (id, event, side, amount, currency)
	VALUES (1, 'limit', 'referrer', 1, 'points')");
$c->query("INSERT INTO hype.reward (kind, event, side, beneficiary, amount,
		currency, available_at, reward_rule_id, n)
	SELECT 'earned', 'limit', 'referrer', 'alice', 1, 'points', now(), 1, i
	FROM generate_series(1, 2000) AS i");
$c->query("UPDATE hype.reward_rule SET max_per_beneficiary = 10");
hit(1, 'u1', 'u2');
$c->query(confirm('limit', 'u1'));
cmp_ok(reads(confirm('limit', 'u2')), '<', 100,
	'a confirm beyond a limit that is younger than the rewards');

# Somebody is erased, while the totals are about to follow

$c->query("SELECT hype.roll_up()");
earn(100, -1, 0);
$other->query("BEGIN");
$other->query("SELECT hype.count_rewards(10)");
$c->send("SELECT hype.erase('alice')");
$other->wait_for_block($c);
$other->query("COMMIT");
$c->finish();
is(wrong(), 0, 'somebody is erased');
is($c->query("SELECT count(*) FROM hype.balance WHERE user_id = 'alice'")
	. $c->query("SELECT count(*) FROM hype.reward_total
		WHERE beneficiary = 'alice'"), '00', 'and has no balance');
$c->query("SELECT hype.roll_up()");
is(wrong(), 0, 'totals follow');

# Several at once

my @sessions = map { Session->new() } 1 .. 4;

for my $round (1 .. 10) {
	$_->send("INSERT INTO hype.reward
		(kind, event, side, beneficiary, amount, currency, available_at, n)
		SELECT 'earned', 'e', 'referrer', 'bob', 1, 'points', now(), 1
		FROM generate_series(1, 20)") for @sessions[0, 1];
	$sessions[2]->send(pay_out('bob', 'points', "b $round"));
	$sessions[3]->send("SELECT hype.roll_up()");
	$wrong += wrong() for 1 .. 3;
	$_->finish() for @sessions;
}

is($wrong, 0, 'right at every moment while several write');
is($c->query("SELECT available + paid FROM hype.balance
	WHERE user_id = 'bob'"), 400, 'and nothing is lost');

$c->query("TRUNCATE hype.reward");
is($c->query("SELECT count(*) FROM hype.balance"), 0, 'a ledger that is emptied');

done_testing();
