#!/usr/bin/perl

# A user who is erased stays erased, whatever is written at the same time.

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

sub claim {
	my ($visitor, $user) = @_;

	return "SELECT hype.claim_batch('{" . uuid($visitor) . "}', '{$user}',
		ARRAY[now() - interval '1 hour'])";
}

sub hit {
	my ($id, $visitor, $user) = @_;

	$visitor = $visitor ? "'" . uuid($visitor) . "'" : 'NULL';

	return "INSERT INTO hype.referral_hit
		(id, referral_link_id, created, visitor, authenticated, user_id)
		VALUES ('" . uuid($id) . "', 1, now() - interval '1 hour', $visitor,
			" . ($user ? "true, '$user'" : 'false, NULL') . ")";
}

sub traces {
	my ($what) = @_;

	return $c->query("SELECT string_agg(t, ' ') FROM (
			SELECT 'hit' FROM hype.referral_hit h
			WHERE strpos(h::text, '$what') > 0
			UNION ALL SELECT 'claim' FROM hype.visitor_claim h
			WHERE strpos(h::text, '$what') > 0
			UNION ALL SELECT 'pending claim' FROM hype.pending_claim h
			WHERE strpos(h::text, '$what') > 0
			UNION ALL SELECT 'confirm' FROM hype.pending_confirm h
			WHERE strpos(h::text, '$what') > 0
			UNION ALL SELECT 'confirmed' FROM hype.confirmed_referral h
			WHERE strpos(h::text, '$what') > 0
			UNION ALL SELECT 'user' FROM hype.link_user h
			WHERE strpos(h::text, '$what') > 0
			UNION ALL SELECT 'visit' FROM hype.visit h
			WHERE strpos(h::text, '$what') > 0
			UNION ALL SELECT 'reward' FROM hype.reward h
			WHERE strpos(h::text, '$what') > 0
			UNION ALL SELECT 'event' FROM hype.event h
			WHERE strpos(h::text, '$what') > 0
			UNION ALL SELECT 'link' FROM hype.referral_link h
			WHERE strpos(h::text, '$what') > 0) AS x (t)");
}

$c->query("INSERT INTO hype.referral_link (id, identifier, user_id, destination)
	VALUES (1, 'a', 'alice', '/alice'), (2, 'mallory', 'mallory', '/mallory')");

# What is committed while hype.erase() is at work

$a->query("BEGIN");
$a->query("SELECT * FROM hype.derive()");
$b->query("BEGIN");
$b->send("SELECT hype.erase('mallory')");
$c->wait_for_block($b);
$a->query("COMMIT");
$b->finish();

$c->query(hit(10, 0, 'mallory'));
$c->query(hit(11, 9));
$c->query(claim(9, 'mallory'));
$c->query("SELECT hype.confirm_batch('{e}', '{mallory}', '{NULL}', '{1}',
	ARRAY[now() - interval '1 hour'])");
$c->query("SELECT hype.derive()");
$b->query("COMMIT");

$c->derive();
$c->query("SELECT hype.roll_up()");
is(traces('mallory'), '', 'nothing of the user comes back');
is(traces(uuid(9)), '', 'nor of the visitor who turned out to be the user');

# A claim that is in a spool still, of hits that are not

$c->query("INSERT INTO hype.reward_rule (event, side, amount)
	SELECT e, s, 1 FROM unnest('{v,late}'::text[]) AS e,
		unnest('{referrer,referred}'::text[]) AS s");

$c->query(hit(20, 20));
$c->query(hit(21, 21));
$c->query("SELECT hype.confirm('v', visitor => '" . uuid(20) . "')");
$c->query("SELECT hype.claim('" . uuid(21) . "', 'carol')");
$c->derive();
$c->query("SELECT hype.roll_up()");

my $totals = "SELECT hits, unique_visitors, confirmed FROM hype.site_stats";
my $before = $c->query($totals);

is($c->query("SELECT hype.erase('trudy')"), 0, 'a user of whom nothing is known');
$c->query(claim(20, 'trudy'));
$c->query("UPDATE hype.visitor_claim SET created = now() - interval '1 day'");
$c->query(claim(21, 'trudy'));
$c->derive();
$c->query("SELECT hype.roll_up()");

is(traces('trudy'), '', 'stays unknown');
is(traces(uuid(20)), '', 'and the visitor is erased, too');
isnt(traces(uuid(21)), '', 'but not one who is another user');
is($c->query($totals), $before, 'totals stay');

# Of two claims that are not worked off the earlier counts: the visitor is not
# the one who is erased.

$c->query(hit(30, 30));
$c->query("SELECT hype.claim_batch(ARRAY['" . uuid(30) . "', '" . uuid(30)
	. "']::uuid[], '{yves,xenia}',
	ARRAY[now() - interval '1 hour', now() - interval '30 minutes'])");
$c->query("SELECT hype.claim_batch('{" . uuid(30) . "}', '{xenia}',
	ARRAY[now() - interval '30 minutes'])");
is($c->query("SELECT hype.erase('xenia')"), 0, 'a user with a later claim');
$c->derive();
is($c->query("SELECT user_id FROM hype.referral_hit
	WHERE visitor = '" . uuid(30) . "'"), 'yves', 'has no hits of the other');

# An application's confirm that ends after its user was erased

$c->query(hit(31, 31));
$b->query("BEGIN");
$b->query("SELECT hype.claim('" . uuid(31) . "', 'olaf')");
$b->query("SELECT hype.confirm('late', 'olaf')");
$c->query("SELECT hype.erase('olaf')");
$b->query("COMMIT");
$c->derive();
is($c->query("SELECT count(*) FROM hype.confirmed_referral
	WHERE user_id = 'olaf'"), 0, 'is nobody\'s');
is(traces('olaf') . traces(uuid(31)), '', 'also in the ledger, and in events');
is($c->query("SELECT string_agg(side || ' ' || coalesce(beneficiary, '-') || ' '
		|| amount, ', ' ORDER BY id) FROM hype.reward WHERE event = 'late'"),
	'referrer alice 1, referred - 1, referred - -1',
	'where only the referrer is owed anything');

# Later visits are the user's again

$c->query("SELECT hype.claim_batch('{" . uuid(20) . "}', '{trudy}',
	ARRAY[clock_timestamp()])");
$c->derive();
is($c->query("SELECT user_id FROM hype.visitor_claim
	WHERE visitor = '" . uuid(20) . "'"), 'trudy', 'claims of later count');

# A referrer is erased while a referral is being revoked

$c->query("INSERT INTO hype.reward_rule (event, side, amount)
	VALUES ('taken', 'referrer', 1)");
$c->query("INSERT INTO hype.referral_link (id, identifier, user_id)
	VALUES (50, 'gina', 'gina')");
$c->query("INSERT INTO hype.referral_hit
	(referral_link_id, created, authenticated, user_id)
	SELECT id, now() - interval '1 hour', true, 'guest' FROM hype.referral_link
	WHERE identifier = 'gina'");
is($c->query("SELECT referrer FROM hype.confirm('taken', 'guest')"), 'gina',
	'a referrer');
$b->query("BEGIN");
$b->query("SELECT hype.revoke('taken', 'guest')");
$a->send("SELECT hype.erase('gina')");
$c->wait_for_block($a);
$b->query("COMMIT");
is($a->finish(), 0, 'is erased when the revocation has ended');
is($c->query("SELECT sum(amount) FROM hype.reward WHERE event = 'taken'"), 0,
	'and owed nothing, once');

# A referrer is paid while being erased, and the other way round

my %links = (otto => 52, olga => 53);

for my $user (sort keys %links) {
	$c->query("INSERT INTO hype.referral_link (id, identifier, user_id)
		VALUES ($links{$user}, '$user', '$user')");
	$c->query("INSERT INTO hype.referral_hit
		(referral_link_id, created, authenticated, user_id)
		SELECT id, now() - interval '1 hour', true, 'g$links{$user}'
		FROM hype.referral_link WHERE identifier = '$user'");
	is($c->query("SELECT referrer FROM hype.confirm('taken', 'g$links{$user}')"),
		$user, "$user is owed something");
}

my $late = Session->new();

$late->query("BEGIN ISOLATION LEVEL REPEATABLE READ");
$late->query("SELECT count(*) FROM hype.balance");
$b->query("BEGIN");
$b->query("SELECT hype.erase('otto')");
$a->send("SELECT hype.pay_out('otto', 'points', 'otto')");
$c->wait_for_block($a);
$b->query("COMMIT");
is($a->finish(), 0, 'what was taken back from who is erased is not paid');
is($c->query("SELECT available, paid FROM hype.balance
	WHERE user_id = 'otto'"), '0|0', 'nor owed back');
$late->send("SELECT hype.pay_out('otto', 'points', 'otto, late')");
like($late->finish(), qr/could not serialize/, 'nor by an older snapshot');
$late->query("ROLLBACK");

$b->query("BEGIN");
is($b->query("SELECT hype.pay_out('olga', 'points', 'last')"), 1, 'who is paid');
$a->send("SELECT hype.erase('olga')");
$c->wait_for_block($a);
$b->query("COMMIT");
$a->finish();
is(traces('olga'), '', 'is erased when that has ended');
is($c->query("SELECT amount FROM hype.reward WHERE reference = 'last'"), -1,
	'and the ledger has what was paid');

# Two who are in the same rows at once

$c->query("INSERT INTO hype.referral_link (id, identifier, user_id)
	VALUES (51, 'hans', 'hans')");
$c->query("INSERT INTO hype.referral_hit (referral_link_id, created, visitor)
	SELECT id, now() - interval '3 hours', '" . uuid(40) . "'
	FROM hype.referral_link WHERE identifier = 'hans'");
$c->query("SELECT hype.confirm_batch('{taken}', '{NULL}',
	'{" . uuid(40) . "}', '{1}', ARRAY[now() - interval '2 hours'])");
$c->derive();
$c->query(claim(40, 'ines'));
$c->derive();

my $d = Session->new();

$b->query("BEGIN");
$b->query("SELECT hype.lock_log('roll_up', true)");
$a->send("SELECT hype.erase('ines')");
$c->wait_for_block($a);
$d->send("SELECT hype.erase('hans')");
$c->wait_for_block($d);
$b->query("COMMIT");
is($a->finish(), 1, 'a user is erased');
is($d->finish(), 0, 'and then the referrer');
is(traces('ines') . traces('hans'), '', 'nothing is left of both');

done_testing();
