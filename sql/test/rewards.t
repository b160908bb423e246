#!/usr/bin/perl

# Rewards and pay-outs of sessions side by side: nothing is given or paid twice,
# what is paid does not move, and nobody waits who does not have to.

use strict;
use warnings;

use FindBin;
use lib $FindBin::Bin;

use Rewards;
use Session;
use Test::More;

my $c = install();
my $a = Session->new();
my $b = Session->new();
my @levels = ('READ COMMITTED', 'REPEATABLE READ', 'SERIALIZABLE');

$c->query("INSERT INTO hype.reward_rule (event, side, amount, currency)
	VALUES ('one', 'referrer', 10, 'one'), ('moved', 'referrer', 5, 'moved')");

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

done_testing();
