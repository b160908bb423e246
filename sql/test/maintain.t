#!/usr/bin/perl

# hype.maintain() is in nobody's way, and waits for nobody.

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

my $exists = "SELECT to_regclass(to_char(now() AT TIME ZONE 'UTC'
	+ interval '4 months', '\"hype.referral_hit_\"YYYY_MM')) IS NOT NULL";

# One call at a time

$a->query("BEGIN");
$a->query("SELECT hype.maintain()");
is($b->query("SELECT hype.maintain(5)"), '', 'a second call does nothing');
is($b->query($exists), 'f', 'nothing at all');
$a->query("COMMIT");

# A transaction that has the default partition in use, such as pg_dump

$a->query("BEGIN");
$a->query("SELECT count(*) FROM hype.referral_hit");
like($b->query("SELECT hype.maintain(4)"), qr/^\(busy,hype.referral_hit_/,
	'maintain() does not wait for it');
is($b->query($exists), 'f', 'and makes no partition');
$a->query("COMMIT");

# Hits while a partition is made

$a->query("BEGIN");
$a->query("INSERT INTO hype.referral_hit (id, referral_link_id)
	VALUES (gen_random_uuid(), 1)");
$b->query("BEGIN");
like($b->query("SELECT hype.maintain(4)"), qr/^\(added,/,
	'an open transaction that writes hits is in nobody\'s way');
$c->query("SET lock_timeout = '1ms'");
is($c->query("INSERT INTO hype.referral_hit (id, referral_link_id)
	VALUES (gen_random_uuid(), 1)"), '',
	'hits are written while a partition is made');
$b->query("COMMIT");
$a->query("COMMIT");
is($b->query($exists), 't', 'the partition is there');

# A drop needs the whole table.

$c->query("CREATE TABLE hype.referral_hit_1999 PARTITION OF hype.referral_hit
	FOR VALUES FROM ('1999-01-01Z') TO ('2000-01-01Z')");
$a->query("BEGIN");
$a->query("INSERT INTO hype.referral_hit (id, referral_link_id)
	VALUES (gen_random_uuid(), 1)");
is($b->query("SELECT hype.maintain(4, '20 years')"),
	'(busy,hype.referral_hit_1999,)', 'a prune does not wait');
$a->query("COMMIT");
is($b->query("SELECT hype.maintain(4, '20 years')"),
	'(dropped,hype.referral_hit_1999,)', 'it is done the next time');

# It derives nothing of its own accord, but a prune counts all hits first.

$a->copy('1 1 -');
$b->query("SELECT hype.maintain(4, '20 years')");
is($b->query("SELECT hits = (SELECT count(*) FROM hype.referral_hit)
	FROM hype.link_total WHERE referral_link_id = 1"), 't',
	'hits are counted before some are pruned');

# While it runs, hits are written, claims and confirms are taken and derived.

$b->query("BEGIN");
$b->query("SELECT hype.maintain(4, '20 years')");
$c->query("SET lock_timeout = '1ms'");
is($c->copy('2 2 -'), '', 'an open call is in no hit\'s way');
is($c->query("SELECT hype.claim_batch('{" . Session::uuid(2) . "}', '{u}',
	'{2024-01-01Z}')"), 1, 'nor in that of a claim');
is($c->query("SELECT hype.confirm_batch('{e}', '{u}', '{NULL}', '{NULL}',
	'{2024-01-01Z}')"), 1, 'or a confirm');
$b->query("COMMIT");

done_testing();
