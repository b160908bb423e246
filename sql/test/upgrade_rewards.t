#!/usr/bin/perl

# A schema of version 2 from before there were rewards and events is upgraded: it
# is as a new one is, and goes on with what was confirmed before.

use strict;
use warnings;

use FindBin;
use lib $FindBin::Bin;

use Session;
use Test::More;

Session::create_database();

my $psql = "psql -X -v VERBOSITY=terse -q -f $FindBin::Bin/../hype.sql";

is(qx($psql 2>&1), '', 'a new schema');

my $new = definitions();
my $c = Session->new();

$c->query("DROP TABLE hype.reward_rule, hype.reward, hype.reward_count,
	hype.event CASCADE");
$c->query("DROP TRIGGER confirmed_referral_reward ON hype.confirmed_referral");
$c->query("DROP TRIGGER visitor_claim_event ON hype.visitor_claim");
$c->query("ALTER TABLE hype.confirmed_referral
	DROP COLUMN revoked CASCADE, DROP COLUMN reason CASCADE");
$c->query("INSERT INTO hype.referral_link (id, identifier, user_id)
	VALUES (1, 'a', 'alice')");
$c->copy('1 - u1 1 now', '2 - u2 1 now');
$c->query("INSERT INTO hype.confirmed_referral
	(event, user_id, referral_hit_id, referral_link_id, referrer, told)
	VALUES ('e', 'u1', '" . Session::uuid(1) . "', 1, 'alice', true)");
isnt(definitions(), $new, 'without rewards and events');
is(qx($psql 2>&1), '', 'is upgraded');
is(definitions(), $new, 'and is as a new one is');

$c->query("INSERT INTO hype.reward_rule (event, side, amount)
	VALUES ('e', 'referrer', 1)");
$c->query("SELECT hype.confirm('e', 'u2')");
is($c->query("SELECT available FROM hype.balance"), 1, 'it gives rewards');
is($c->query("SELECT string_agg(kind, ' ' ORDER BY id)
	FROM hype.events_after(0)"), 'confirm reward', 'and tells of it');
is($c->query("SELECT referrer FROM hype.revoke('e', 'u1')"), 'alice',
	'what was confirmed before, is revoked');
is($c->query("SELECT confirmed FROM hype.link_stats"), 1, 'and does not count');

done_testing();


sub definitions {
	my $dump = qx(pg_dump -s);

	return $dump =~ s/^\\(?:un)?restrict .*//mgr;
}
