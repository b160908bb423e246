#!/usr/bin/perl

# What sites and administrators may do to the schema, and applications to others:
# triggers, publications, columns, open transactions.  Nothing holds up others.

use strict;
use warnings;

use FindBin;
use lib $FindBin::Bin;

use Confirms qw(batch);
use Session;
use Test::More;

Session->install();

my $c = Session->new();
my $d = Session->new();

sub uuid { return Session::uuid(@_) }
sub outcome { return Confirms::credited($c, @_) }

$c->query("INSERT INTO hype.referral_link (id, identifier, user_id)
	VALUES (1, 'a', 'alice')");

# A trigger that fails an assertion, and one that takes too long

$c->query("CREATE FUNCTION hang() RETURNS trigger LANGUAGE plpgsql AS \$\$
	BEGIN
		ASSERT NEW.user_id <> 'assert', 'wrong';
		IF NEW.user_id = 'slow' THEN
			PERFORM pg_sleep(60);
		END IF;
		RETURN NEW;
	END \$\$");
$c->query("CREATE TRIGGER hang BEFORE INSERT ON hype.confirmed_referral
	FOR EACH ROW EXECUTE FUNCTION hang()");
$c->copy('60 - assert 1', '61 - slow 1', '62 - behind 1');
$c->query(batch('hang', $_)) for qw(assert slow behind);
$c->query("SET statement_timeout = '500ms'");
$c->query("SELECT hype.derive()") for 1 .. 3;
$c->query("RESET statement_timeout");
is(outcome('hang'), 'user behind: alice', 'no trigger stops those behind it');
is($c->query("SELECT string_agg(user_id, ' ' ORDER BY user_id)
	FROM hype.pending_confirm WHERE event = 'hang' AND tries > 0"),
	'assert slow', 'which are tried again');
$c->query("DROP TRIGGER hang ON hype.confirmed_referral");
$c->query("UPDATE hype.pending_confirm SET due = now() WHERE event = 'hang'");
$c->derive();
is(outcome('hang'), 'user assert: alice, user behind: alice, user slow: alice',
	'with success when nothing stops them');

# Triggers of the site that refuse some

$c->query("CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS \$\$
	BEGIN
		IF NEW.user_id ~ '^bad' THEN
			RAISE EXCEPTION E'refused;\n by the site';
		END IF;
		RETURN NEW;
	END \$\$");
$c->query("CREATE TRIGGER refuse BEFORE INSERT OR UPDATE
	ON hype.confirmed_referral FOR EACH ROW EXECUTE FUNCTION refuse()");
$c->copy('10 - bad 1', '11 - good 1', '12 - bad2 1');
$c->query(batch('trigger', $_)) for qw(bad good bad2 bad);

my @aside;
my $end = time + 60;

while (time < $end) {
	my ($again, $aside) = split /\|/, $c->query("SELECT coalesce(again, 9999),
		array_to_string(set_aside, E'\\n') FROM hype.derive()"), 2;

	push @aside, split /\n/, $aside;
	last if $again > 2000;
}

is(outcome('trigger'), 'user good: alice', 'those who are not refused go on');
is(scalar(@aside), 3, 'others are set aside, once each');
like($aside[0], qr/^\d+: refused;  by the site$/,
	'which is told with the reason, on one line');
is($c->query("SELECT count(*) FROM hype.pending_confirm
	WHERE error IS NOT NULL AND due < now() + interval '1 hour'"), 3,
	'and are tried again, ever more rarely');
$c->query("DROP TRIGGER refuse ON hype.confirmed_referral");
$c->query("UPDATE hype.pending_confirm SET due = now()
	WHERE error IS NOT NULL");
$c->derive();
is(outcome('trigger'), 'user bad: alice, user bad2: alice, user good: alice',
	'which succeeds when nothing refuses them');

$c->query("CREATE TRIGGER refuse BEFORE UPDATE ON hype.referral_hit
	FOR EACH ROW EXECUTE FUNCTION refuse()");
$c->copy('13 13 - 1', '14 14 - 1');
$c->query("SELECT hype.claim_batch('{" . uuid(13) . "," . uuid(14) . "}',
	'{bad3,good3}', '{2024-01-01Z,2024-01-01Z}')");
$c->query("SELECT hype.derive()") for 1 .. 3;
is($c->query("SELECT string_agg(coalesce(user_id, '-'), ' ' ORDER BY visitor)
	FROM hype.referral_hit WHERE visitor IN ('" . uuid(13) . "', '" . uuid(14)
	. "')"), '- good3', 'a hit that may not get its user holds up no other');
$c->query("UPDATE hype.pending_claim SET tries = 1000000, due = now()");
unlike($c->query("SELECT hype.derive()"), qr/ERROR/,
	'also after very many tries');
$c->query("DROP TRIGGER refuse ON hype.referral_hit");
$c->query("UPDATE hype.pending_claim SET due = now() WHERE NOT applied");
$c->derive();
is($c->query("SELECT user_id FROM hype.referral_hit WHERE visitor = '"
	. uuid(13) . "'"), 'bad3', 'and gets it when it may');

# A publication of all tables, of which each needs a replica identity

like($c->query("CREATE PUBLICATION everything FOR ALL TABLES; SELECT 'made'"),
	qr/made/, 'a publication of all tables');
$c->copy('20 20 - 1', '21 - u21 1');
$c->query("SELECT hype.claim_batch('{" . uuid(20) . "}', '{u20}',
	'{2024-01-01Z}')");
$c->query(batch('published', undef, $_)) for 20, 22;
$c->query(batch('published', $_)) for qw(u20 u21 nobody);
$c->derive();
is(outcome('published'), 'user u20: alice, user u21: alice',
	'claims and confirms are derived');
unlike($c->query("SELECT hype.roll_up('-infinity')"), qr/ERROR/,
	'reports counted');
unlike($c->query("SELECT hype.maintain(5)"), qr/ERROR/, 'upkeep is done');
unlike($c->query("SELECT hype.maintain(5, '20 years')"), qr/ERROR/,
	'and old hits are pruned');
$c->query("DROP PUBLICATION everything");

# A column that is generated, and one that was dropped

$c->query("ALTER TABLE hype.referral_hit ADD COLUMN hour integer
	GENERATED ALWAYS AS (date_part('hour', created AT TIME ZONE 'UTC')::integer)
	STORED");
$c->query("ALTER TABLE hype.referral_hit ADD COLUMN junk text DEFAULT 'x'");
$c->query("ALTER TABLE hype.referral_hit DROP COLUMN junk");
$d = Session->new();
$d->copy('30 30 - 1 2001-01-01 07:00Z', '31 - u31 1');
my $n = $d->query("SELECT count(*) FROM hype.referral_hit");
my $out = $d->query("SELECT hype.maintain(9)");
unlike($out, qr/ERROR/, 'partitions are made with a generated column');
like($out, qr/added,hype.referral_hit_2001_01,1/, 'and hits are moved');
is($d->query("SELECT hour FROM hype.referral_hit_2001_01"), 7,
	'with what was generated');
is($d->query("SELECT count(*) FROM hype.referral_hit"), $n, 'none is lost');
$d->query("SELECT hype.claim('" . uuid(30) . "', 'u30')");
$d->query(batch('generated', 'u31'));
$d->derive();
is(outcome('generated'), 'user u31: alice', 'confirms are derived');
is($d->query("SELECT user_id FROM hype.referral_hit_2001_01"), 'u30',
	'and claims');
unlike($d->query("SELECT hype.roll_up('-infinity')"), qr/ERROR/,
	'reports are counted');
is($d->query("SELECT hits = (SELECT count(*) FROM hype.referral_hit)
	FROM hype.site_stats"), 't', 'rightly');

# Transactions that stay open

my $app = Session->new();
my $long = Session->new();

$long->query("BEGIN");
$long->query("CREATE TEMPORARY TABLE t ()");
$app->query("BEGIN");
$app->query("SELECT hype.claim('" . uuid(40) . "', 'u40')");
$c->copy('40 40 - 1', '41 41 - 1', '42 - u42 1', '43 - u43 1');
$app->query("SELECT hype.confirm('open', 'u42', \"window\" => '100 years')");
$d->query("SET lock_timeout = '1ms'");
is($d->query("SELECT hype.claim_batch('{" . uuid(41) . "," . uuid(40) . "}',
	'{u41,x}', '{2024-01-01Z,2100-01-01Z}')"), 2, 'claims are taken');
is($d->query(batch('open', $_)), 1, 'confirms, too') for qw(u42 u43);
$c->query("SELECT hype.derive()") for 1 .. 4;
is(outcome('open'), 'user u43: alice',
	'open transactions of applications hold up nobody\'s confirm');
is($c->query("SELECT user_id FROM hype.referral_hit WHERE visitor = '"
	. uuid(41) . "'"), 'u41', 'and nobody\'s claim');
is($d->copy('44 40 - 1', '45 - u42 1'), '', 'and no hit');
$c->query("SELECT hype.derive()") for 1 .. 4;
$app->query("COMMIT");
$c->derive();
is(outcome('open'), 'user u42: alice, user u43: alice', 'all is right after');
is($c->query("SELECT string_agg(DISTINCT user_id, ' ') FROM hype.referral_hit
	WHERE visitor = '" . uuid(40) . "'"), 'u40', 'also that claim');
$long->query("COMMIT");

done_testing();
