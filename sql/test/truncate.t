#!/usr/bin/perl

# Reports follow TRUNCATE of confirmed referrals, which a trigger for rows does
# not see, also while another session rolls up.

use strict;
use warnings;

use FindBin;
use lib $FindBin::Bin;

use Session;
use Test::More;

Session->install();

my $a = Session->new();
my $b = Session->new();

$a->query("INSERT INTO hype.referral_link (id, identifier, user_id)
	VALUES (1, 'a', 'alice'), (2, 'b', 'bob')");
$a->query("INSERT INTO hype.referral_hit
	(id, referral_link_id, created, authenticated, user_id)
	SELECT gen_random_uuid(), 1 + i % 2, now() - interval '1 hour', true,
		'u' || i FROM generate_series(1, 9) AS i");

my $stats = "SELECT string_agg(format('%s %s %s', confirmed, confirmations,
	coalesce(value, 0)), ', ' ORDER BY n) FROM (
		SELECT 0 AS n, confirmed, confirmations, value FROM hype.site_stats
		UNION ALL
		SELECT referral_link_id, confirmed, confirmations, value
		FROM hype.link_stats) AS s";

sub confirm {
	my ($event, @users) = @_;

	$a->query("SELECT hype.confirm('$event', 'u$_', value => $_)") for @users;
}

# Some rolled up, some being rolled up, some not yet

confirm('e', 1, 2, 3);
$a->query("SELECT hype.roll_up()");
confirm('f', 1, 2);
$b->query("BEGIN");
$b->query("SELECT hype.count_confirmed(10)");
confirm('g', 2);
is($a->query($stats), '3 6 11, 1 3 6, 2 3 5', 'confirmed referrals count');

is($a->query("TRUNCATE hype.confirmed_referral"), '', 'until they are gone');
is($a->query($stats), '0 0 0, 0 0 0, 0 0 0', 'at once');
$b->query("COMMIT");
is($a->query($stats), '0 0 0, 0 0 0, 0 0 0', 'and when the other has ended');
$a->query("SELECT hype.roll_up()");
is($a->query($stats), '0 0 0, 0 0 0, 0 0 0', 'and all is rolled up');

confirm('e', 1, 4);
is($a->query($stats), '2 2 5, 1 1 4, 1 1 1', 'new ones count from then on');
$a->query("SELECT hype.roll_up()");
is($a->query($stats), '2 2 5, 1 1 4, 1 1 1', 'once');

# What is deleted by hand: the last hit is one that is there, to a quarter of an
# hour

$a->query("TRUNCATE hype.referral_hit");
$a->query("INSERT INTO hype.referral_hit
	(id, referral_link_id, created, authenticated, user_id)
	SELECT gen_random_uuid(), 1, date_trunc('hour', now()) - i * interval '30 h',
		true, 'u' || i FROM generate_series(1, 4) AS i");
$a->query("SELECT hype.roll_up()");
$a->query("DELETE FROM hype.referral_hit WHERE user_id IN ('u1', 'u2')");
$a->query("SELECT hype.roll_up()");
is($a->query("SELECT last_hit = (SELECT max(created) FROM hype.referral_hit)
	FROM hype.link_stats WHERE referral_link_id = 1"), 't',
	'the last hit after a deletion');

done_testing();
