#!/usr/bin/perl

# Reports are exact at every moment: they tell what a plain query over all hits
# would, whatever has been rolled up, is being written, comes late, is claimed,
# or is pruned.  HYPE_TEST_SEED and HYPE_TEST_STEPS in the environment.

use strict;
use warnings;

use FindBin;
use lib $FindBin::Bin;

use Session;
use Test::More;

my $seed = $ENV{HYPE_TEST_SEED} // 7;
my $steps = $ENV{HYPE_TEST_STEPS} // 150;

srand($seed);

Session->install();

my $c = Session->new();
my @writers = map { Session->new() } 1 .. 4;

$c->query("SET jit = off");
is($c->query(plain()), '', 'plain queries');
$c->query("INSERT INTO hype.referral_link (id, identifier, user_id)
	VALUES (1, 'a', 'alice'), (2, 'b', 'alice'), (3, 'c', NULL),
	(4, 'never', 'zoe')");

$_->query("SET lock_timeout = '1ms'") for @writers;

# Writers whose transactions stay open, and one who derives in small steps.

my (%open, @wrong);
my ($checks, $hits) = (0, 0);

for my $step (1 .. $steps) {
	my $what = rand;

	if ($what < 0.6) {
		write_something($writers[rand @writers]);

	} else {
		derive_something();
	}

	check("step $step", $step) if $step % 3 == 0;
	last if @wrong;
}

$_->query("COMMIT") for grep { $open{$_} } @writers;
$c->derive();
check('at the end');

cmp_ok($checks, '>=', $steps / 8, "reports were compared $checks times");
is("@wrong", '', "all were exact (seed $seed)");
cmp_ok($c->query("SELECT min(n) FROM (SELECT count(*) FROM hype.referral_hit
	UNION ALL SELECT count(*) FROM hype.confirmed_referral
	UNION ALL SELECT count(*) FROM hype.visitor_claim
	UNION ALL SELECT count(*) FROM hype.hit_quarter) AS t (n)"), '>', 1,
	'with something in them');

# All of it once more, by hand and after a change by hand

@wrong = ();
$c->query("SELECT hype.roll_up('-infinity')");
check('counted again');
$c->query("DELETE FROM hype.referral_hit WHERE id IN (
	SELECT id FROM hype.referral_hit WHERE created >= '2024-03-10Z'
	ORDER BY created DESC LIMIT 20)");
$c->query("UPDATE hype.referral_hit SET bot = NOT bot WHERE id IN (
	SELECT id FROM hype.referral_hit WHERE created >= '2024-03-10Z'
	ORDER BY created LIMIT 20)");
$c->query("SELECT hype.roll_up('2024-03-10 12:00Z')");
check('counted again from a day on');
is("@wrong", '', 'roll_up(since) counts what was changed by hand');

# Totals outlive the hits, also if they are counted again, and with hits of
# pruned months that come late.

@wrong = ();

for my $round (1 .. 3) {
	is($c->query(prune('2024-04-01Z')), 't', 'hits are pruned') if $round == 1;
	$c->query(prune('2024-04-01Z')) if $round > 1;
	check("pruned, $round");
	write_something($writers[0]) for 1 .. 30;
	$writers[0]->query("COMMIT") if $open{$writers[0]};
	$open{$writers[0]} = 0;
	check("late hits, $round");
	$c->query("SELECT hype.roll_up('-infinity')");
	check("counted again, $round");
}

$c->query(prune('2026-01-01Z'));
check('all pruned');
is("@wrong", '', 'totals outlive the hits');
is($c->query("SELECT count(*) FROM hype.referral_hit"), 0, 'of which none is left');

done_testing();


sub write_something {
	my ($s) = @_;

	my $what = rand;
	my $out = '';

	if ($what < 0.25) {
		$s->query($open{$s} ? rand() < 0.75 ? "COMMIT" : "ROLLBACK" : "BEGIN");
		$open{$s} = !$open{$s};

	} elsif ($what < 0.7) {
		$out = $s->query("INSERT INTO hype.referral_hit (id, referral_link_id,
			created, bot, authenticated, visitor, user_id, http_referer, next,
			source)
			VALUES " . join ', ', map { hit() } 0 .. rand 4);

	} elsif ($what < 0.78) {
		$out = $s->query("SELECT hype.claim(" . visitor() . ", " . user() . ")");

	} elsif ($what < 0.86) {
		$out = $s->query("SELECT hype.claim_batch(ARRAY[" . visitor()
			. "], ARRAY[" . user() . "], ARRAY[" . moment() . "])");

	} elsif ($what < 0.93) {
		$out = $s->query("SELECT hype.confirm(" . event() . ", " . user()
			. ", NULL, " . int(rand 10) . ", \"window\" => '100 years')");

	} else {
		$out = $s->query("SELECT hype.confirm_batch(ARRAY[" . event()
			. "], ARRAY[" . (rand() < 0.5 ? user() : 'NULL')
			. "]::text[], ARRAY[" . visitor() . "], ARRAY['" . int(rand 10)
			. "'], ARRAY['2024-12-01Z'::timestamptz])");
	}

	return if $out !~ /ERROR/;
	die $out if $out !~ /lock timeout/;

	$s->query("ROLLBACK") if $open{$s};
	$open{$s} = 0;
}

sub derive_something {
	my $what = rand;
	my $lock = "hype.lock_log('roll_up', true)";
	my $out = $c->query(
		$what < 0.4 ? "SELECT hype.count_hits(" . int(1 + rand 9) . ") FROM $lock"
		: $what < 0.5 ? "SELECT hype.count_claims(2) FROM $lock"
		: $what < 0.6 ? "SELECT hype.count_confirmed(2) FROM $lock"
		: $what < 0.7 ? "BEGIN; SELECT hype.count_hits(9) FROM $lock;
			SELECT hype.derive(); ROLLBACK"
		: $what < 0.85 ? "SELECT hype.derive()"
		: $what < 0.9 ? "SELECT hype.roll_up()"
		: $what < 0.95 ? "SELECT hype.roll_up(" . moment() . ")"
		: "SELECT hype.maintain()");

	die $out if $out =~ /ERROR/;
}

sub check {
	my ($when, $step) = @_;

	# linked_users has the user of a claim that an earlier one replaces until
	# the roll-ups follow.

	return if defined $step && $c->query("SELECT count(*)
		FROM hype.pending_claim WHERE was <> '{}'");

	my $out = $c->query("SELECT string_agg(d, E'\\n')
		FROM differences(" . ($step // 'NULL') . ") AS d");

	$checks++;
	push @wrong, "$when: $out" if $out ne '' && !@wrong;
}

# Few visitors and moments, so that they meet: at the turns of summer time, and
# on a few days.

sub visitor {
	return "'" . Session::uuid(1 + int rand 12) . "'::uuid";
}

sub user {
	return "'" . (qw(u1 u2 u3 u4 alice))[rand 5] . "'";
}

sub event {
	return "'e" . int(rand 3) . "'";
}

sub moment {
	my $day = rand() < 0.7 ? (qw(2024-04-06 2024-10-05 2024-03-10 2024-11-03))[rand 4]
		: sprintf '2024-%02d-%02d', 2 + rand 3, 1 + rand 28;

	return sprintf "'$day %02d:%02d:00Z'::timestamptz", (int(rand 4),
		14 + int rand 3, 5 + int rand 2)[rand 3], 5 * int rand 12;
}

sub hit {
	my $who = rand;
	my $bot = rand() < 0.1 ? 'true' : 'false';

	return "('" . Session::uuid(1000 + ++$hits) . "', " . (1 + int rand 3)
		. ', ' . moment() . ", $bot, " . ($who < 0.8 ? 'false, ' . visitor()
		. ', NULL' : $who < 0.95 ? 'true, NULL, ' . user()
		: 'false, NULL, NULL') . ', ' . ("'https://A.example/x'",
		"'https://u\@b.example:8080'", "'nonsense'", 'NULL')[rand 4]
		. ", '/n" . int(rand 3) . "?q=" . int(rand 100) . "', "
		. (rand() < 0.3 ? "'code'" : 'NULL') . ')';
}

# Prunes what is older, and notes which hits are gone.

sub prune {
	my ($until) = @_;

	return "BEGIN;
		CREATE TEMPORARY TABLE before AS SELECT * FROM hype.referral_hit;
		DO \$\$ BEGIN PERFORM hype.maintain(3, now() - '$until'); END \$\$;
		INSERT INTO gone SELECT * FROM before b WHERE NOT EXISTS (
			SELECT FROM hype.referral_hit h WHERE h.id = b.id);
		DROP TABLE before;
		COMMIT;
		SELECT count(*) > 0 FROM gone";
}

# What each report has to be, as plain as can be

sub plain {
	return <<'SQL';
CREATE TABLE gone (LIKE hype.referral_hit);

CREATE VIEW plain AS
SELECT h.referral_link_id AS link, h.created, h.bot, h.http_referer, h.next,
       h.source = 'code' AND NOT h.bot AS code,
       coalesce(c.user_id, h.user_id) AS user_id,
       CASE WHEN NOT bot THEN coalesce('v' || h.visitor, 'u' || h.user_id) END
           AS subject
FROM (SELECT * FROM hype.referral_hit UNION ALL SELECT * FROM gone) AS h
LEFT JOIN hype.visitor_claim c ON c.visitor = h.visitor;

CREATE VIEW plain_confirmed AS
SELECT referral_link_id AS link, value,
       coalesce('u' || user_id, 'v' || visitor) AS subject
FROM hype.confirmed_referral;

CREATE VIEW plain_link_stats AS
SELECT l.id, h.hits, h.unique_visitors, h.bots, h.linked_users, c.confirmed,
       c.confirmations, coalesce(c.value, 0),
       round(c.confirmed::numeric / nullif(h.unique_visitors, 0), 4),
       h.first_hit, h.last_hit, h.codes
FROM hype.referral_link l
CROSS JOIN LATERAL (
    SELECT count(*) FILTER (WHERE NOT bot) AS hits,
           count(DISTINCT subject) AS unique_visitors,
           count(*) FILTER (WHERE bot) AS bots,
           count(DISTINCT user_id) FILTER (WHERE NOT bot) AS linked_users,
           min(created) FILTER (WHERE NOT bot) AS first_hit,
           max(created) FILTER (WHERE NOT bot) AS last_hit,
           count(*) FILTER (WHERE code) AS codes
    FROM plain p WHERE p.link = l.id) AS h
CROSS JOIN LATERAL (
    SELECT count(DISTINCT subject) AS confirmed, count(*) AS confirmations,
           sum(value) AS value
    FROM plain_confirmed r WHERE r.link = l.id) AS c;

CREATE VIEW plain_site_stats AS
SELECT h.hits, h.unique_visitors, h.bots, h.linked_users, c.confirmed,
       c.confirmations, coalesce(c.value, 0),
       round(c.confirmed::numeric / nullif(h.unique_visitors, 0), 4),
       h.first_hit, h.last_hit, h.codes
FROM (
    SELECT count(*) FILTER (WHERE NOT bot) AS hits,
           count(DISTINCT subject) AS unique_visitors,
           count(*) FILTER (WHERE bot) AS bots,
           count(DISTINCT user_id) FILTER (WHERE NOT bot) AS linked_users,
           min(created) FILTER (WHERE NOT bot) AS first_hit,
           max(created) FILTER (WHERE NOT bot) AS last_hit,
           count(*) FILTER (WHERE code) AS codes
    FROM plain) AS h
CROSS JOIN (
    SELECT count(DISTINCT subject) AS confirmed, count(*) AS confirmations,
           sum(value) AS value
    FROM plain_confirmed) AS c;

CREATE VIEW plain_daily_hits AS
SELECT (created AT TIME ZONE 'UTC')::date AS day, link,
       (SELECT identifier FROM hype.referral_link l WHERE l.id = link),
       count(*) FILTER (WHERE NOT bot) AS hits,
       count(DISTINCT subject) AS unique_visitors,
       count(*) FILTER (WHERE bot) AS bots,
       count(*) FILTER (WHERE code) AS codes
FROM plain GROUP BY 1, 2;

-- A visitor of an owner's links counts once a link.

CREATE FUNCTION plain_hits_by(
    grain text, zone text, since timestamptz, until timestamptz,
    identifier text, owner text
)
RETURNS TABLE (bucket timestamptz, hits bigint, visitors bigint, bots bigint)
LANGUAGE sql STABLE AS $$
    SELECT date_trunc(grain, p.created, zone),
           count(*) FILTER (WHERE NOT bot),
           count(DISTINCT CASE WHEN owner IS NULL THEN (0, subject)
                          ELSE (link, subject) END)
               FILTER (WHERE subject IS NOT NULL),
           count(*) FILTER (WHERE bot)
    FROM plain p JOIN hype.referral_link l ON l.id = p.link
    WHERE (since IS NULL OR p.created >= since)
      AND (until IS NULL OR p.created < until)
      AND (plain_hits_by.identifier IS NULL
           OR l.identifier = plain_hits_by.identifier)
      AND (owner IS NULL OR l.user_id = owner)
    GROUP BY 1
$$;

CREATE FUNCTION plain_hits_from(dimension text, since date, until date)
RETURNS TABLE (value text, hits bigint)
LANGUAGE sql STABLE AS $$
    SELECT CASE dimension WHEN 'referer' THEN hype.referer_host(http_referer)
           ELSE split_part(next, '?', 1) END, count(*)
    FROM plain p JOIN hype.referral_link l ON l.id = p.link
    WHERE NOT bot
      AND (since IS NULL OR (p.created AT TIME ZONE 'UTC')::date >= since)
      AND (until IS NULL OR (p.created AT TIME ZONE 'UTC')::date < until)
      AND (dimension = 'next' OR hype.referer_host(http_referer) IS NOT NULL)
    GROUP BY 1
$$;

CREATE FUNCTION plain_hits_within(
    since timestamptz, before timestamptz, site boolean
)
RETURNS TABLE (link bigint, hits bigint, visitors bigint, bots bigint)
LANGUAGE sql STABLE AS $$
    SELECT CASE WHEN site THEN hype.site() ELSE p.link END,
           count(*) FILTER (WHERE NOT bot), count(DISTINCT subject),
           count(*) FILTER (WHERE bot)
    FROM plain p
    WHERE p.created >= since AND p.created < before
    GROUP BY 1
$$;

-- Which reports are wrong, all as of one snapshot: it is stable.

CREATE FUNCTION differ(report text, plain text) RETURNS SETOF text
LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN QUERY EXECUTE format(
        'SELECT %3$L || '' is '' || r::text FROM (%1$s EXCEPT ALL %2$s) AS r '
        'UNION ALL '
        'SELECT %3$L || '' should be '' || p::text '
        'FROM (%2$s EXCEPT ALL %1$s) AS p', report, plain,
        substring(report FROM 'FROM (.*)'));
END
$$;

CREATE FUNCTION differences(step integer) RETURNS SETOF text
LANGUAGE plpgsql STABLE AS $$
DECLARE
    part record;
BEGIN
    RETURN QUERY SELECT differ(
        'SELECT referral_link_id, hits, unique_visitors, bots, linked_users, '
        'confirmed, confirmations, coalesce(value, 0), conversion_rate, '
        'first_hit, last_hit, codes FROM hype.link_stats',
        'SELECT * FROM plain_link_stats');

    RETURN QUERY SELECT differ(
        'SELECT referral_link_id, hits, unique_visitors, linked_users, '
        'confirmed, conversion_rate FROM hype.funnel',
        'SELECT id, hits, unique_visitors, linked_users, confirmed, round '
        'FROM plain_link_stats');

    RETURN QUERY SELECT differ(
        'SELECT hits, unique_visitors, bots, linked_users, confirmed, '
        'confirmations, coalesce(value, 0), conversion_rate, first_hit, '
        'last_hit, codes FROM hype.site_stats', 'SELECT * FROM plain_site_stats');

    RETURN QUERY SELECT differ('SELECT * FROM hype.daily_hits',
                               'SELECT * FROM plain_daily_hits');

    -- Some of the many ways to call the others each time

    FOR part IN
        SELECT 'by' AS name, format('%L, %L, %s', grain, zone, rest) AS rest,
               row_number() OVER () AS n
        FROM unnest(ARRAY['hour', 'day', 'week', 'month']) AS grain,
             unnest(ARRAY[
                 'NULL, NULL, NULL, NULL',
                 '''2024-03-10 15:15Z'', ''2024-10-05 15:30Z'', NULL, NULL',
                 'NULL, NULL, ''b'', NULL',
                 '''2024-04-06 14:30Z'', NULL, NULL, ''alice''',
                 'NULL, ''2024-10-05 15:00Z'', NULL, NULL']) AS rest,
             unnest(ARRAY['UTC', 'Asia/Kathmandu', 'America/St_Johns',
                          'Australia/Lord_Howe']) AS zone
        UNION ALL
        SELECT 'from', format('%L, %s', dimension, rest),
               row_number() OVER () AS n
        FROM unnest(ARRAY['referer', 'next']) AS dimension,
             unnest(ARRAY['NULL, NULL', '''2024-03-10'', ''2024-10-05''',
                          '''2024-03-10'', NULL']) AS rest
        UNION ALL
        SELECT 'within', format('%s, %s', range, site),
               row_number() OVER () AS n
        FROM unnest(ARRAY['false', 'true']) AS site,
             unnest(ARRAY['''2024-03-10Z'', ''2024-03-11Z''',
                          '''2024-03-10 05:15Z'', ''2024-04-10Z''',
                          '''2024-10-04 14:00Z'', ''2024-11-03 14:30Z'''])
                 AS range
    LOOP
        CONTINUE WHEN step IS NOT NULL AND part.n % 7 <> step % 7;

        RETURN QUERY SELECT differ(
            format(CASE part.name WHEN 'within'
                   THEN 'SELECT referral_link_id, hits, unique_visitors, bots '
                        'FROM hype.hits_%s(%s) WHERE hits + bots > 0'
                   ELSE 'SELECT * FROM hype.hits_%s(%s)' END,
                   part.name, part.rest),
            format('SELECT * FROM plain_hits_%s(%s)', part.name, part.rest));
    END LOOP;
END
$$;
SQL
}
