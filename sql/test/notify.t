#!/usr/bin/perl

# Changes of links, and new claims, are told to those who listen.

use strict;
use warnings;

use FindBin;
use lib $FindBin::Bin;

use Session;
use Test::More;

Session->install();

my $s = Session->new();
my $l = Session->new();

# psql says what it has heard when it has run a statement.

sub heard {
	my $out = $l->query("SELECT 1");

	return join ' ', sort map {
		/^Asynchronous notification "(\w+)"(?: with payload "(.*?)")? received/
			? "$1:" . (defined $2 ? $2 : '') : ()
	} split /\n/, $out;
}

sub changed {
	my ($name, $sql, $expected) = @_;

	$s->query($sql);
	is(heard(), $expected, $name);
}

$l->query("LISTEN hype_link; LISTEN hype_claim");

changed('an insert', "INSERT INTO hype.referral_link (identifier)
	VALUES ('n1'), ('n2')", 'hype_link:n1 hype_link:n2');
changed('create_link()', "SELECT hype.create_link(identifier => 'n3')",
	'hype_link:n3');
changed('an update', "UPDATE hype.referral_link SET disabled = true
	WHERE identifier = 'n1'", 'hype_link:n1');
changed('a rename', "UPDATE hype.referral_link SET identifier = 'n4'
	WHERE identifier = 'n1'", 'hype_link:n1 hype_link:n4');
changed('an upsert', "INSERT INTO hype.referral_link (identifier)
	VALUES ('n4'), ('n5') ON CONFLICT (identifier) DO UPDATE SET label = 'x'",
	'hype_link:n4 hype_link:n5');
changed('a delete', "DELETE FROM hype.referral_link WHERE identifier = 'n2'",
	'hype_link:n2');
changed('an update of nothing', "UPDATE hype.referral_link SET label = 'x'
	WHERE identifier = 'nobody'", '');
changed('a rollback', "BEGIN; UPDATE hype.referral_link SET label = 'y';
	ROLLBACK", '');

# Many at once

$s->query("DELETE FROM hype.referral_link");
heard();
$s->query("INSERT INTO hype.referral_link (identifier)
	SELECT 'm' || i FROM generate_series(1, 1000) AS i");
is(scalar(split / /, heard()), 1000, 'a thousand links, one by one');
$s->query("INSERT INTO hype.referral_link (identifier) VALUES ('n6')");
heard();
changed('an update of more', "UPDATE hype.referral_link SET label = 'y'",
	'hype_link:');
changed('a delete of more', "DELETE FROM hype.referral_link", 'hype_link:');
changed('an insert of more', "INSERT INTO hype.referral_link (identifier)
	SELECT 'o' || i FROM generate_series(1, 1001) AS i", 'hype_link:');
changed('a truncate', "TRUNCATE hype.referral_link", 'hype_link:');

# Claims and confirms

my $visitor = Session::uuid(1);

changed('a claim', "SELECT hype.claim('$visitor', 'u')", 'hype_claim:');
changed('the same claim again', "SELECT hype.claim('$visitor', 'u')", '');
changed('a confirm',
	"SELECT hype.record_confirm('e', 'x', NULL, NULL, now())", 'hype_claim:');
changed('claims of nginx', "SELECT hype.claim_batch(ARRAY[gen_random_uuid(),
	gen_random_uuid()], '{a,b}', ARRAY[now(), now()])", 'hype_claim:');
changed('none', "SELECT hype.claim_batch('{}', '{}', '{}')", '');
changed('confirms of nginx', "SELECT hype.confirm_batch('{e,e}', '{a,b}',
	'{NULL,NULL}', '{1,2}', ARRAY[now(), now()])", 'hype_claim:');
changed('none', "SELECT hype.confirm_batch('{}', '{}', '{}', '{}', '{}')", '');
changed('hits', "INSERT INTO hype.referral_hit
	(id, referral_link_id, visitor) VALUES (gen_random_uuid(), 1, '$visitor')",
	'');
changed('a step', "SELECT hype.derive()", '');
changed('a probe', "SELECT hype.probe('claim', 100), hype.probe('hit', 100),
	hype.probe('confirm', 100)", '');

done_testing();
