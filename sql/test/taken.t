#!/usr/bin/perl

# The upgrade of a schema that does not know yet which identifiers are taken,
# while links are made.

use strict;
use warnings;

use FindBin;
use lib $FindBin::Bin;

use Session;
use Test::More;

Session->install();

my $a = Session->new();
my $b = Session->new();

# As it was before

$a->query("DROP TABLE hype.taken_identifier, hype.link_alias CASCADE;
	ALTER TABLE hype.link_total DROP COLUMN codes CASCADE;
	ALTER TABLE hype.hit_quarter DROP COLUMN codes CASCADE;
	CREATE OR REPLACE FUNCTION hype.notify_link() RETURNS trigger
		LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'");

$a->query("INSERT INTO hype.referral_link (id, identifier, user_id)
	VALUES (101, 'one', 'alice'), (102, 'two', 'bob'), (103, 'gone', 'carol')");
$a->query("UPDATE hype.referral_link SET identifier = 'uno' WHERE id = 101");
$a->query("INSERT INTO hype.former_identifier VALUES
	('gone', now(), 103), ('two', now() - interval '2 days', 101),
	('moved', now() - interval '2 days', 101),
	('moved', now() - interval '1 day', 102)");
$a->query("DELETE FROM hype.referral_link WHERE id = 103");
$a->query("INSERT INTO hype.link_total (referral_link_id, hits)
	VALUES (101, 7), (hype.site(), 7)");

# A link that is being made: the upgrade waits for it, and other links for that.

$b->query("BEGIN");
$b->query("INSERT INTO hype.referral_link (id, identifier)
	VALUES (104, 'meanwhile')");

my $upgrade = fork // die $!;

if (!$upgrade) {
	exec "psql -Xq -v VERBOSITY=terse -f $FindBin::Bin/../hype.sql 2>&1"
		or die $!;
}

$a->wait_for("SELECT count(*) > 0 FROM pg_stat_activity
	WHERE datname = current_database() AND wait_event_type = 'Lock'
		AND query ~ '^LOCK TABLE hype.referral_link'");

is($a->query("SELECT count(*) FROM hype.referral_link"), 2,
	'links are looked up meanwhile');
$b->query("COMMIT");
waitpid $upgrade, 0;
is($?, 0, 'upgraded');

is($a->query("SELECT string_agg(i || ' ' || coalesce(t.referral_link_id::text,
			'-'), ', ' ORDER BY i)
		FROM unnest(ARRAY['uno', 'one', 'two', 'gone', 'moved', 'meanwhile',
			'free']) AS i
		LEFT JOIN hype.taken_identifier t ON t.key = hype.user_key(i)"),
	'free -, gone 103, meanwhile 104, moved 102, one 101, two 102, uno 101',
	'each identifier is that of its present, or else its last link');

for my $identifier (qw(one gone moved meanwhile)) {
	like($a->query("SELECT hype.create_link(identifier => '$identifier')"),
		qr/the identifier "$identifier" is taken/, "$identifier is taken");
}

like($a->query("INSERT INTO hype.link_alias (identifier, referral_link_id)
	VALUES ('two', 101)"), qr/the identifier "two" is taken/,
	'what another link has now');
is($a->query("INSERT INTO hype.link_alias (identifier, referral_link_id)
	VALUES ('one', 101)"), '', 'a link may have its own former one back');

is($a->query("SELECT hype.link_at('two', now() - interval '3 days')"), 101,
	'a late hit goes to the link of its time');
is($a->query("SELECT hits || ' ' || codes FROM hype.link_stats
	WHERE referral_link_id = 101"), '7 0', 'no hit was a code');

done_testing();
