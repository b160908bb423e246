#!/usr/bin/perl

# A form that is sent twice at the same time is one code.

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

$c->query("SELECT hype.create_link('alice', identifier => 'friend')");

my $refer = "SELECT referral_hit_id FROM hype.refer('friend', 'bob')";

$a->query("BEGIN");
my $hit = $a->query($refer);
is($c->query("SELECT count(*) FROM pg_locks
	WHERE locktype = 'advisory' AND pid = $a->{backend}"), 0,
	'it locks nothing that any role could lock');
$b->send($refer);
$c->wait_for_block($b);
is($c->query("SELECT referrer FROM hype.refer('friend', 'carol')"), 'alice',
	'another user does not wait');
$a->query("COMMIT");
is($b->finish(), $hit, 'the second one gets the hit of the first');

$a->query("BEGIN");
$a->query("SELECT hype.claim(gen_random_uuid(), 'bob')");
$a->query("SELECT hype.derive(), hype.erase('nobody'), hype.maintain()");
is($c->query("SELECT count(*) FROM pg_locks
	WHERE locktype = 'advisory' AND pid = $a->{backend}
		AND mode <> 'ShareLock'"), 0, 'nor does anything else');
$a->query("ROLLBACK");

$a->query("BEGIN");
$a->query("SELECT hype.refer('friend', 'dave')");
$b->send("SELECT referral_hit_id FROM hype.refer('friend', 'dave')");
$c->wait_for_block($b);
$a->query("ROLLBACK");
is($c->query("SELECT count(*) FROM hype.referral_hit WHERE id = '"
	. $b->finish() . "'"), 1, 'if that was rolled back it makes its own');

$a->query("BEGIN ISOLATION LEVEL REPEATABLE READ");
$a->query("SELECT 1");
$b->query("SELECT hype.refer('friend', 'erin')");
like($a->query("SELECT hype.refer('friend', 'erin')"),
	qr/ERROR:  could not serialize access/, 'with an old snapshot it fails');
$a->query("ROLLBACK");
$a->query("BEGIN ISOLATION LEVEL REPEATABLE READ");
is($a->query("SELECT count(*) FROM hype.refer('friend', 'erin')"), 1,
	'and succeeds when it is tried again');
$a->query("COMMIT");

is($c->query("SELECT count(*) FROM hype.referral_hit"), 4, 'a hit a user');

done_testing();
