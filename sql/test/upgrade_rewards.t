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

# A ledger whose balances have no totals yet

$c->query("SELECT hype.pay_out('alice', 'points', 'p')");
$c->query("DROP TRIGGER reward_inserted ON hype.reward");
$c->query("DROP TRIGGER reward_updated ON hype.reward");
$c->query("DROP TRIGGER reward_truncated ON hype.reward");
$c->query("DROP TABLE hype.reward_total, hype.reward_change,
	hype.reward_position CASCADE");
$c->query("DROP INDEX hype.confirmed_referral_referrer_told_idx,
	hype.reward_available_at_id_idx, hype.reward_beneficiary_available_at_idx");
$c->query("CREATE INDEX confirmed_referral_referrer_idx
	ON hype.confirmed_referral (referrer) WHERE referrer IS NOT NULL");
$c->query("CREATE INDEX reward_beneficiary_currency_idx
	ON hype.reward (beneficiary, currency) WHERE beneficiary IS NOT NULL");
$c->query("INSERT INTO hype.reward_rule (event, side, amount, hold)
	VALUES ('held', 'referrer', 2, '1 day')");
$c->query("SELECT hype.confirm('held', 'u1')");
isnt(definitions(), $new, 'a ledger without totals');
is(qx($psql 2>&1), '', 'is upgraded');
is(definitions(), $new, 'and is as a new one is');
is($c->query("SELECT pending, available, paid FROM hype.balance"), '2|0|1',
	'with its balances');
$c->query("SELECT hype.revoke('held', 'u1'), hype.roll_up()");
is($c->query("SELECT pending, available, paid FROM hype.balance"), '0|0|1',
	'which go on');

# Functions that had other names of arguments, or another result, comments that
# are gone, and functions that are no longer there

$c->query("DROP FUNCTION hype.confirm_pending(bigint)");
$c->query("CREATE FUNCTION hype.confirm_pending(entry bigint) RETURNS void
	LANGUAGE sql AS ''");
my $args = $c->query("SELECT pg_get_function_identity_arguments(oid)
	FROM pg_proc WHERE oid = 'hype.replay'::regproc");
$c->query("DROP FUNCTION hype.replay");
$args =~ s/(.*), (identifiers \S+), (.*), nodes \S+/$1, $3, $2/;
$c->query("CREATE FUNCTION hype.replay($args) RETURNS bigint
	LANGUAGE sql RETURN 0");
$args =~ s/, sources.*//;
$c->query("CREATE FUNCTION hype.replay($args, identifiers text[])
	RETURNS bigint LANGUAGE sql RETURN hype.replay(ids, referral_link_ids,
		created, authenticated, bot, visitors, user_ids, ips, user_agents,
		http_referers, nexts, NULL, NULL, identifiers)");
$c->query("CREATE FUNCTION hype.check_value(text, numeric) RETURNS void
	LANGUAGE sql AS ''");
$c->query("COMMENT ON SEQUENCE hype.referral_link_id_seq IS 'numbers'");
$c->query("GRANT EXECUTE ON FUNCTION hype.replay($args, identifiers text[])
	TO hype_report WITH GRANT OPTION");
isnt(definitions(), $new, 'with former functions');
is(qx($psql 2>&1), '', 'is upgraded, too');
is($c->query("SELECT has_function_privilege('hype_report', 'hype.replay'::regproc,
	'EXECUTE WITH GRANT OPTION')"), 't', 'what was granted stays');
$c->query("REVOKE EXECUTE ON FUNCTION hype.replay FROM hype_report");
is(definitions(), $new, 'and is as a new one is');

done_testing();


sub definitions {
	my $dump = qx(pg_dump -s);

	return $dump =~ s/^\\(?:un)?restrict .*//mgr;
}
