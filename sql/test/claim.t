#!/usr/bin/perl

# Claims and hits in transactions that run side by side: in the end each hit
# of a claimed visitor has its user, and no hit has waited for a claim.

use strict;
use warnings;

use FindBin;
use lib $FindBin::Bin;

use Claims;
use Session;
use Test::More;

Session->install();

my $a = Session->new();     # writes hits
my $b = Session->new();     # claims
my $c = Session->new();     # derives

sub uuid { return Session::uuid(@_) }

sub users {
	my ($visitor) = @_;

	return $c->query("SELECT string_agg(coalesce(user_id, '-'), ' '
		ORDER BY user_id) FROM hype.referral_hit
		WHERE visitor = '" . uuid($visitor) . "'");
}

sub claimant {
	my ($visitor) = @_;

	return $c->query("SELECT user_id FROM hype.visitor_claim
		WHERE visitor = '" . uuid($visitor) . "'");
}

# One step, which returns whatever others are about.

sub step {
	my ($s) = @_;

	return $s->query("SELECT count(*) FROM hype.derive()");
}

$c->query("SELECT hype.create_link('alice')");

# Neither a hit nor a claim of nginx waits.

$a->query("SET lock_timeout = '1ms'");

# One after the other.

$a->copy('1 1 -');
is($b->query(claim(1, 'u1')), 'u1', 'hit, claim');
is(users(1), 'u1', 'the hit has the user at once');
$c->derive();

$b->query(claim(2, 'u2'));
$a->copy('2 2 -');
is(users(2), '-', 'claim, hit');
$c->derive();
is(users(2), 'u2', 'the hit has the user');

$b->query(record(200, 'u200', '2024-01-01Z'));
is(claimant(200), '', 'a claim of nginx is appended');
$c->derive();
is(claimant(200), 'u200', 'and made soon');
$a->copy('200 200 -');
$c->derive();
is(users(200), 'u200', 'for hits that come later, too');

# The hit's transaction is open when the claim commits.

$a->query("BEGIN");
$a->copy('3 3 -');
$b->query(claim(3, 'u3'));
$c->derive();
pass('an older transaction is in nobody\'s way');
$b->query(claim(300, 'u300'));
$a->copy('300 300 -');
my $d = Session->new();

$d->copy('301 301 -');
$d->query(claim(301, 'u301'));
$d->copy('302 301 -');
$c->derive();
is(users(301), 'u301 u301', 'and does not delay others');
$a->query("COMMIT");
is(users(3), '-', 'neither hit nor claim saw the other');
$c->derive();
is(users(3) . users(300), 'u3u300', 'the hit has the user');

# The hit's transaction is the newest of all, nothing newer has ended: it is
# not below pg_snapshot_xmax().

$b->query("BEGIN");
$b->query(claim(4, 'u4'));
$a->query("BEGIN");
is($a->copy('4 4 -'), '', 'a hit does not wait for an open claim');
$b->query("COMMIT");
$c->derive();
$a->query("COMMIT");
is(users(4), '-', 'neither hit nor claim saw the other');
$c->derive();
is(users(4), 'u4', 'the hit has the user');

# The hit commits first, and is read.

$b->query("BEGIN");
$b->query(claim(5, 'u5'));
$a->copy('5 5 -');
$c->derive();
is(users(5), '-', 'a claim that is open is not seen');
$b->query("COMMIT");
is(users(5), '-', 'neither hit nor claim saw the other');
$c->derive();
is(users(5), 'u5', 'the hit has the user');

# An earlier claim replaces one that the roll-ups have.

sub linked {
	return $c->query("SELECT linked_users FROM hype.link_stats
		WHERE identifier = 'linked'") . $c->query("SELECT linked_users
		FROM hype.hits_within('2024-01-01Z', '2024-01-02Z', false)
		WHERE referral_link_id = 77");
}

$c->query("INSERT INTO hype.referral_link (id, identifier) VALUES (77, 'linked')");
$a->copy('70 70 - 77');
$c->query(record(70, 'u70', '2024-01-01 12:00Z'));
$c->query("SELECT hype.roll_up()");
is(linked(), '11', 'a user of a link');
$c->query(record(70, 'u71', '2024-01-01 11:00Z'));
$c->query("SELECT hype.follow_logs('10 s')");
is(claimant(70), 'u71', 'the earlier claim wins');
is($c->query("SELECT was FROM hype.pending_claim"), '{u70}',
	'the roll-ups do not have it yet');
is(linked(), '11', 'reports have, which count one user');
$c->query("SELECT hype.roll_up()");
is(linked(), '11', 'as they do afterwards');

# The claim's snapshot is older than the hit.

$b->query("BEGIN ISOLATION LEVEL REPEATABLE READ");
$b->query("SELECT count(*) FROM hype.referral_hit");
$a->copy('6 6 -');
$c->derive();
$b->query(claim(6, 'u6'));
$b->query("COMMIT");
is(users(6), '-', 'a claim in REPEATABLE READ did not see the hit');
$c->derive();
is(users(6), 'u6', 'the hit has the user');

# A claim that is rolled back is none.

$b->query("BEGIN");
$b->query(claim(7, 'u7'));
$a->copy('7 7 -');
$b->query("ROLLBACK");
$a->copy('8 7 -');
$c->derive();
is(users(7), '- -', 'a claim that was rolled back');
$b->query("BEGIN");
$b->query(claim(7, 'u7'));
$b->query("SAVEPOINT s");
$b->query(claim(8, 'u8'));
$b->query(record(8, 'u8', '2024-01-01Z'));
$b->query("ROLLBACK TO s");
$b->query("COMMIT");
$a->copy('9 8 -');
$c->derive();
is(users(7) . users(8), 'u7 u7-', 'a savepoint that was rolled back');

# A step that is rolled back has done nothing, and is done again.

$b->query(claim(9, 'u9'));
$a->copy('90 9 -');
$b->query("BEGIN");
step($b);
$b->query("ROLLBACK");
is(users(9), '-', 'a step that was rolled back');
$c->derive();
is(users(9), 'u9', 'is done again');

# The same claim again, in a transaction that stays open.

$b->query(claim(10, 'u10'));
$c->derive();
$b->query("BEGIN");
$b->query(claim(10, 'u10'));
is($a->copy('10 10 -', '11 10 -'), '', 'a repeated claim is in no hit\'s way');
$c->derive();
is(users(10), 'u10 u10', 'nor in that of a step');
$b->query("COMMIT");

# Hits that are locked by a transaction that confirms.

$a->query("BEGIN");
$a->copy('12 12 -');
$b->query(claim(12, 'u12'));
$a->query("COMMIT");
$b->query("BEGIN");
like($b->query("SELECT * FROM hype.confirm('e', 'u12',
	\"window\" => '100 years')"), qr/alice/,
	'a confirm finds the hit before it has its user');
is($a->copy('13 12 -'), '', 'another hit of the visitor does not wait for it');
step($c) for 1 .. 3;
is(users(12), 'u12 -', 'nor does a step, which goes on with others');
$b->query("COMMIT");
$c->derive();
is(users(12), 'u12 u12', 'and comes back to it');

# A claim that another transaction is about to make.

$b->query("BEGIN");
$b->query(claim(14, 'u14'));
$a->query("BEGIN");
is($a->query(record(14, 'x', '2100-01-01Z')), 1, 'claim_batch() never waits');
$a->query("COMMIT");
$a->query(record(15, 'u15', '2024-01-01Z'));
step($c) for 1 .. 3;
is(claimant(15), 'u15', 'a step goes on with others');
$c->send(claim(14, 'u15'));
$a->wait_for_block($c);
$b->query("COMMIT");
is($c->finish(), 'u14', 'the first claim wins');
$c->derive();
is(claimant(14), 'u14', 'also over a later one of nginx');
$b->query(record(14, 'y', '2024-01-01Z'));
$c->derive();
is(claimant(14), 'y', 'but not over an earlier one');

$b->query("BEGIN");
$b->query(claim(16, 'u16'));
$c->send(claim(16, 'u17'));
$a->wait_for_block($c);
$b->query("ROLLBACK");
is($c->finish(), 'u17', 'unless it is rolled back');

# derive() in two sessions, and in a transaction that has written.

$b->query("BEGIN");
step($b);
is($c->query("SELECT again FROM hype.derive()"), 200,
	'derive() does not wait for another');
$b->query(claim(18, 'u18'));
$c->query(claim(19, 'u19'));
$b->query("COMMIT");
$c->derive();

$a->query("BEGIN");
$a->copy('20 20 -');
$b->query("BEGIN");
$b->query("CREATE TEMPORARY TABLE t ()");
$c->query(claim(20, 'u20'));
$b->query(claim(21, 'u21'));
step($b);
$a->query("COMMIT");
$a->copy('21 21 -');
$b->query("COMMIT");
$c->derive();
is(users(20) . users(21), 'u20u21', 'a transaction that has written');

# Two-phase commit, where it is enabled.

SKIP: {
	skip 'max_prepared_transactions is 0', 2
		unless $c->query("SHOW max_prepared_transactions");

	$a->query("BEGIN");
	$a->copy('22 22 -');
	$a->query("PREPARE TRANSACTION 'hype'");
	$b->query(claim(22, 'u22'));
	$c->derive();
	is(users(22), '', 'a prepared transaction is open');
	$a->query("COMMIT PREPARED 'hype'");
	$c->derive();
	is(users(22), 'u22', 'the hit has the user');
}

# Many hits, more than a step takes: at once, and one after the other, of which
# another transaction has two.

my $many = uuid(4242);
my $left = "SELECT count(*) FROM hype.referral_hit
	WHERE visitor = '$many' AND user_id IS DISTINCT FROM 'many'";

$a->query("INSERT INTO hype.referral_hit
	(id, referral_link_id, visitor, created)
	SELECT gen_random_uuid(), 1, '$many',
		'2024-01-01Z'::timestamptz + greatest(0, i - 1200) * interval '1 s'
	FROM generate_series(1, 3000) AS i");
$b->query('BEGIN');
$b->query("UPDATE hype.referral_hit SET next = '/' WHERE visitor = '$many'
	AND created IN (SELECT '2024-01-01Z'::timestamptz + i * interval '1 s'
		FROM unnest('{100,1500}'::integer[]) AS i)");
$a->query(record(4242, 'many', '2024-01-03Z'));
step($c) for 1 .. 20;
is($c->query($left), 2, 'many hits, but those that are locked');
$b->query('COMMIT');
$c->derive();
is($c->query($left), 0, 'and these when they are free');

# A step that reads as many hits as it may does not know that there are no more.
# The next one is called for a hit that was committed since.

$b->query(claim(4343, 'soon'));
$c->derive();
$a->query("INSERT INTO hype.referral_hit (id, referral_link_id, visitor)
	SELECT gen_random_uuid(), 1, gen_random_uuid() FROM generate_series(1, 2)");
is($c->query('SELECT hype.follow_step(2)'), 2, 'a step reads all there is');
$a->query("INSERT INTO hype.referral_hit (id, referral_link_id, visitor)
	VALUES (gen_random_uuid(), 1, '" . uuid(4343) . "')");
step($c);
is(users(4343), 'soon', 'a hit of a claimed visitor is in the next step');

done_testing();
