#!/usr/bin/perl

# An identifier is one link's, whoever takes it at the same time; who changes a
# link tells nginx of its aliases, too.

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

$c->query("INSERT INTO hype.referral_link (id, identifier)
	VALUES (101, 'one'), (102, 'two'), (103, 'three')");

# What takes an identifier, for link 101, 102, 103 or a new one

my %takes = (
	'a new link' => "SELECT hype.create_link(identifier => '%s')",
	'a rename' => "SELECT hype.rename_link(
		(SELECT identifier FROM hype.referral_link WHERE id = 101), '%s')",
	'an UPDATE' => "UPDATE hype.referral_link SET identifier = '%s'
		WHERE id = 102",
	'an alias' => "INSERT INTO hype.link_alias (identifier, referral_link_id)
		VALUES ('%s', 103)",
);

my $n = 0;

for my $level ('READ COMMITTED', 'REPEATABLE READ', 'SERIALIZABLE') {
	for my $first (sort keys %takes) {
		for my $second (sort grep { $_ ne $first } keys %takes) {
			my $identifier = 'i' . $n++;
			my $name = lc($level) . ": $first, then $second";

			$b->query("BEGIN ISOLATION LEVEL $level; SELECT 1");
			$a->query("BEGIN ISOLATION LEVEL $level");
			$a->query(sprintf $takes{$first}, $identifier);
			$b->send(sprintf $takes{$second}, $identifier);
			$c->wait_for_block($b);
			$a->query("COMMIT");

			like($b->finish(), $level eq 'READ COMMITTED'
				? qr/is taken|duplicate key/
				: qr/is taken|duplicate key|could not serialize/, $name);
			$b->query("ROLLBACK");

			is($c->query("SELECT count(DISTINCT id) FROM (
					SELECT id FROM hype.referral_link
					WHERE identifier = '$identifier'
					UNION ALL
					SELECT referral_link_id FROM hype.link_alias
					WHERE identifier = '$identifier') AS l"), 1,
				'it is one link\'s');
		}
	}
}

# What is rolled back is free

$a->query("BEGIN");
$a->query("SELECT hype.create_link(identifier => 'free')");
$b->send("INSERT INTO hype.link_alias (identifier, referral_link_id)
	VALUES ('free', 103)");
$c->wait_for_block($b);
$a->query("ROLLBACK");
is($b->finish(), '', 'an identifier whose link was rolled back is free');

# Two renames of one link

$c->query("INSERT INTO hype.referral_link (id, identifier) VALUES (109, 'r0')");
$a->query("BEGIN");
$a->query("SELECT hype.rename_link('r0', 'r1')");
$b->send("SELECT identifier FROM hype.rename_link('r0', 'r2')");
$c->wait_for_block($b);
$a->query("COMMIT");
is($b->finish(), 'r2', 'the later rename wins');
is($c->query("SELECT string_agg(identifier, ' ' ORDER BY identifier)
	FROM hype.link_alias WHERE referral_link_id = 109"), 'r0 r1',
	'all former identifiers lead to the link');

# An alias that is made while its link is disabled, and the other way round

$c->query("LISTEN hype_link");

sub heard {
	return join ' ', sort map {
		/^Asynchronous notification "hype_link" with payload "(.*?)"/ ? $1 : ()
	} split /\n/, $c->query("SELECT 1");
}

$a->query("BEGIN");
$a->query("INSERT INTO hype.link_alias (identifier, referral_link_id)
	VALUES ('r3', 109)");
$b->send("UPDATE hype.referral_link SET disabled = true WHERE id = 109");
$c->wait_for_block($b);
heard();
$a->query("COMMIT");
$b->finish();
is(heard(), 'r0 r1 r2 r3 r3', 'a changed link is told of by all its names');

$a->query("BEGIN");
$a->query("UPDATE hype.referral_link SET disabled = false WHERE id = 109");
$b->send("INSERT INTO hype.link_alias (identifier, referral_link_id)
	VALUES ('r4', 109)");
$c->wait_for_block($b);
heard();
$a->query("COMMIT");
$b->finish();
is(heard(), 'r0 r1 r2 r3 r4', 'an alias comes after a change under way');

$a->query("DELETE FROM hype.referral_link WHERE id = 109");
is(heard(), 'r0 r1 r2 r3 r4', 'a deleted link by all its names');

# Truncating begins anew

$a->query("TRUNCATE hype.referral_link");
is($a->query("SELECT count(*) FROM hype.link_alias"), 0,
	'without links there are no aliases');
is($a->query("SELECT identifier FROM hype.create_link(identifier => 'two')"),
	'two', 'and all identifiers are free');

done_testing();
