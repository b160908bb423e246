#!/usr/bin/perl

# Values and times that nobody means break no report, now or later.

use strict;
use warnings;

use FindBin;
use lib $FindBin::Bin;

use Session;
use Test::More;

Session->install();

my $s = Session->new();

$s->query("SELECT hype.create_link('alice', identifier => 'a')");
$s->query("INSERT INTO hype.referral_hit
	(id, referral_link_id, created, authenticated, user_id)
	SELECT gen_random_uuid(), 1, now() - interval '1 hour', true, 'u' || i
	FROM generate_series(1, 5) AS i");

# What a confirmed referral is worth

for my $value ('NaN', 'Infinity', '-Infinity', '9e131071', '-1e200') {
	like($s->query("SELECT hype.confirm('worth', 'u1', value => '$value')"),
		qr/hype\.confirm: the value is/, "confirm() refuses $value");
	like($s->query("SELECT hype.record_confirm('worth', 'u1', NULL, '$value',
			now())"),
		qr/hype\.record_confirm: the value is/, 'so does record_confirm()');
}

$s->query("SELECT hype.confirm('worth', 'u$_', value => '9e199')") for 1 .. 3;
$s->query("SELECT hype.roll_up()");
is($s->query("SELECT value = 27e199 FROM hype.site_stats"), 't',
	'large values add up');

# A user's id that is too long for an index

$s->query("SELECT hype.confirm_batch('{e, e}', ARRAY['u5',
	(SELECT string_agg(md5(i::text), '') FROM generate_series(1, 300) AS i)],
	'{NULL, NULL}', '{1, 1}', ARRAY[now(), now()])");
like($s->query("SELECT hype.derive()"), qr/^\(\d+,\)$/,
	'a confirm that cannot wait holds up nothing');
is($s->query("SELECT user_id FROM hype.confirmed_referral WHERE event = 'e'"),
	'u5', 'the others are confirmed');
like($s->query("SELECT hype.roll_up()"), qr/^\d+$/, 'and roll-ups are made');
is($s->query("SELECT tries FROM hype.pending_confirm"), 1, 'it is tried again');

# Hits of a clock that is far off, and their removal

my $totals = "SELECT hits, unique_visitors, linked_users FROM hype.site_stats";

for my $time ('infinity', '294276-12-31 23:59Z', '4714-11-24 00:00Z BC',
	'-infinity')
{
	$s->query("INSERT INTO hype.referral_hit
		(id, referral_link_id, created, visitor)
		VALUES (gen_random_uuid(), 1, '$time', gen_random_uuid())");

	for my $when ('at first', 'rolled up') {
		is($s->query("SELECT sum(h.hits) FROM unnest(ARRAY['hour', 'day',
				'week', 'month']) AS g,
				unnest(ARRAY['UTC', 'Asia/Tokyo', 'America/Lima']) AS z,
				hype.hits_by(g, z) h"), 60,
			"a hit of $time breaks no report $when");

		$s->query("SELECT hype.roll_up()");
	}

	$s->query("DELETE FROM hype.referral_hit WHERE created = '$time'");
	$s->query("SELECT hype.roll_up()");
	like($s->query($totals), qr/^\d\|5\|5$/, 'without it all others count');
}

done_testing();
