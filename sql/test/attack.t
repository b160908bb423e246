#!/usr/bin/perl

# What users may do, on purpose or not: nobody gets another's referral, and nobody
# holds up others.

use strict;
use warnings;

use FindBin;
use lib $FindBin::Bin;

use Confirms qw(batch);
use Session;
use Test::More;

Session->install();

my $c = Session->new();

sub uuid { return Session::uuid(@_) }
sub outcome { return Confirms::credited($c, @_) }

# The rows of hits that a statement reads: the counters are those of this
# session since it told others of them, which it does not within a transaction.

sub reads {
	my ($sql) = @_;

	my $read = "SELECT sum(n) FROM (
		SELECT pg_stat_get_xact_tuples_returned(i.indexrelid)
		FROM pg_index i JOIN pg_inherits p ON p.inhrelid = i.indrelid
		WHERE p.inhparent = 'hype.referral_hit'::regclass
		UNION ALL
		SELECT pg_stat_get_xact_tuples_returned(p.inhrelid)
		FROM pg_inherits p
		WHERE p.inhparent = 'hype.referral_hit'::regclass) AS r (n)";

	$c->query("BEGIN");

	my $n = $c->query($read);

	$c->query($sql);
	$n = $c->query($read) - $n;
	$c->query("COMMIT");

	return $n;
}

$c->query("INSERT INTO hype.referral_link (id, identifier, user_id)
	VALUES (1, 'a', 'alice'), (2, 'b', 'bob'), (3, 'm', 'mallory')");

# A user whose id is a UUID, and a visitor who has the same one.

my $id = uuid(1);

$c->copy("1 - $id 1", '2 1 - 2');
$c->query(batch('signup', $id));
$c->query(batch('signup', undef, 1));
$c->derive();
is(outcome('signup'), "user $id: alice, visitor 1: bob",
	'a user and a visitor of the same UUID');

$c->query("SELECT hype.claim('$id', 'mallory')");
$c->derive();
is(outcome('signup'), "user $id: alice, user mallory: bob",
	'the user\'s is not moved when the visitor is claimed');
is($c->query("SELECT user_id FROM hype.referral_hit WHERE id = '" . uuid(1)
	. "'"), $id, 'nor is the hit');

$c->query("SELECT hype.claim('" . uuid(3) . "', '$id')");
$c->copy('3 3 - 1');
$c->query(batch('signup', undef, 3));
$c->query(batch('signup', $id, 1));
$c->derive();
is(outcome('signup'), "user $id: alice, user mallory: bob",
	'nor is either credited twice');
is($c->query("SELECT hype.confirm('signup', '$id', \"window\" => '100 years')"),
	'', 'not even by an application');
is($c->query("SELECT confirmed FROM hype.link_stats WHERE identifier = 'a'"), 1,
	'and each is counted once');

$c->copy('4 4 - 3');
$c->query(batch('own', undef, 4));
$c->copy("5 - @{[uuid(4)]} 1");
$c->query(batch('own', uuid(4)));
$c->derive();
$c->query("SELECT hype.claim('" . uuid(4) . "', 'mallory')");
$c->derive();
is(outcome('own'), 'user ' . uuid(4) . ': alice, user mallory: bob',
	'nor deleted when the visitor turns out to own the link');

# A user who has followed his own link many times, and another's before.

$c->copy("6 - mallory 2");
$c->query("INSERT INTO hype.referral_hit
	(id, referral_link_id, user_id, authenticated, created)
	SELECT gen_random_uuid(), 3, 'mallory', true,
		'2024-01-01 00:01Z'::timestamptz + i * interval '1 ms'
	FROM generate_series(1, 100000) AS i");
$c->derive();
cmp_ok(reads("SELECT hype.confirm('app', 'mallory', \"window\" => '100 years')"),
	'<', 5000, 'an application\'s confirm reads few of many own hits');
is(outcome('app'), 'user mallory: bob', 'and finds the one that counts');
$c->query(batch('nginx', 'mallory'));
cmp_ok(reads("SELECT hype.derive()"), '<', 10000, 'so does one of nginx');
$c->derive();
is(outcome('nginx'), 'user mallory: bob', 'which finds it, too');

# A visitor with many hits, where ANALYZE has seen none

$c->query("ANALYZE hype.referral_hit");
$c->query("INSERT INTO hype.referral_hit
	(id, referral_link_id, visitor, created)
	SELECT gen_random_uuid(), 1, '" . uuid(7) . "',
		'2024-01-01 00:01Z'::timestamptz + i * interval '1 ms'
	FROM generate_series(1, 40000) AS i");
$c->derive();
$c->query("SELECT hype.claim_batch('{" . uuid(7) . "}', '{busy}',
	'{2024-01-01Z}')");

my ($steps, $most) = (0, 0);
my $left = "SELECT count(*) FROM hype.pending_claim WHERE NOT applied";

while ($c->query($left) ne 0 && $steps < 1000) {
	my $n = reads("SELECT hype.derive()");

	$most = $n if $n > $most;
	$steps++;
}

cmp_ok($steps, '>', 1, 'a claim of many hits is worked off in steps');
cmp_ok($most, '<', 30000, 'each of which reads few hits');
is($c->query("SELECT count(*) FROM hype.referral_hit WHERE user_id = 'busy'"),
	40000, 'and all of them get the user');

# A user who opens confirm pages with cookies of his own making: what waits of
# him stays little, however many there are.

$c->query("SELECT hype.confirm_batch(array_agg('pages'::text),
	array_agg('pages'::text), array_agg(md5(i::text)::uuid),
	array_agg('1'::text), array_agg('2024-01-02Z'::timestamptz
		+ i * interval '1 s'))
	FROM generate_series(1, 1000) AS i");
$c->derive();
is($c->query("SELECT count(*) FROM hype.pending_confirm
	WHERE event = 'pages'"), 20, 'of many confirms of one user few wait');
$c->copy('50 - pages 1');
$c->derive();
is($c->query("SELECT referrer || ' ' || created FROM hype.confirmed_referral
	WHERE event = 'pages'"), 'alice 2024-01-02 00:00:01+00',
	'the first of them counts');

done_testing();
