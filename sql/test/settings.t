#!/usr/bin/perl

# Settings of a database, a role or a session change nothing of what is kept.

use strict;
use warnings;
use utf8;

use FindBin;
use lib $FindBin::Bin;

use Session;
use Test::More;

Session->install();

my $s = Session->new();

# An application that does not talk UTF-8

my $user = "U&'m\\00FCller'";
my $other = "U&'\\65E5\\672C'";

sub add {
	my ($user, $hours) = @_;

	$s->query("INSERT INTO hype.referral_hit
		(id, referral_link_id, created, authenticated, user_id)
		VALUES (gen_random_uuid(), 1, now() - interval '$hours hours', true,
			$user)");
}

my $stats = "SELECT hits, unique_visitors FROM hype.site_stats";

$s->query("SELECT hype.create_link('alice', identifier => 'a')");
add($user, 3);
add($other, 3);
$s->query("SELECT hype.roll_up()");
add($user, 2);
add($other, 2);

$s->query("SET client_encoding = 'LATIN1'");
is($s->query($stats), '4|2', 'users are the same in any client_encoding');
like($s->query("SELECT hype.roll_up()"), qr/^\d+$/, 'roll-ups are made in any');
is($s->query("SELECT hype.erase($user)"), 2, 'a user is erased');

$s->query("RESET client_encoding");
is($s->query($stats), '4|2', 'and counts once');
is($s->query("SELECT count(*) FROM hype.visit
	WHERE subject = hype.user_key($user)"), 0, 'nothing is left of the user');
is($s->query("SELECT hype.replay(ARRAY[gen_random_uuid()], '{1}',
		ARRAY[now() - interval '1 day'], '{t}', '{f}', '{NULL}', ARRAY[$user],
		'{NULL}', '{NULL}', '{NULL}', '{NULL}', '{NULL}')"), 0,
	'and a spool brings nothing back');

# Pruning

$s->query("INSERT INTO hype.referral_hit (id, referral_link_id, created, visitor)
	VALUES (gen_random_uuid(), 1, '2020-01-05Z', gen_random_uuid())");
like($s->query("SELECT hype.maintain()"), qr/referral_hit_2020_01/,
	'an old month has a partition');

$s->query("BEGIN ISOLATION LEVEL REPEATABLE READ");
like($s->query("SELECT hype.maintain(3, '1 year')"),
	qr/pruning needs READ COMMITTED/,
	'pruning refuses to overlook hits that are being written');
$s->query("ROLLBACK");

$s->query("SET standard_conforming_strings = off");
$s->query("SET escape_string_warning = off");
like($s->query("SELECT hype.maintain(3, '1 year')"),
	qr/dropped,hype.referral_hit_2020_01/,
	'prunes without standard_conforming_strings, too');

done_testing();
