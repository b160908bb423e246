#!/usr/bin/perl

# A user who has no link gets one at the first view of the owner's page, once,
# whatever else goes on.

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

sub view {
	my ($user) = @_;

	return "SELECT hype.owner_page('$user', true) #>> '{links,0,identifier}'";
}

sub links {
	my ($user) = @_;

	return $c->query("SELECT count(*) FROM hype.referral_link
		WHERE user_id = '$user'");
}

# Another view waits for the first one to end

$a->query('BEGIN');
my $link = $a->query(view('alice'));
like($link, qr/^\w+$/, 'a view makes a link');
$b->send(view('alice'));
$c->wait_for_block($b);
is($c->query("SELECT (hype.owner_page('bob', true) #>> '{totals,links}')"), 1,
	'others do not wait');
is($c->query("SELECT (hype.owner_page('alice') #>> '{totals,links}')"), 0,
	'nor does who makes none');
$a->query('COMMIT');
is($b->finish(), $link, 'the other view has the same link');
is(links('alice'), 1, 'the only one');

# which may have come to nothing

$a->query('BEGIN');
$a->query(view('carol'));
$b->send(view('carol'));
$c->wait_for_block($b);
$a->query('ROLLBACK');
like($b->finish(), qr/^\w+$/, 'after a rollback the other one makes it');
is(links('carol'), 1, 'once');

# In higher isolation levels a transaction can't see it

for my $level ('REPEATABLE READ', 'SERIALIZABLE') {
	my $user = lc $level =~ s/ .*//r;

	$a->query("BEGIN ISOLATION LEVEL $level");
	$a->query('SELECT 1 FROM hype.referral_link LIMIT 1');
	$c->query(view($user));
	like($a->query(view($user)), qr/could not serialize/,
		"$level: an old snapshot is a serialization failure");
	$a->query('ROLLBACK');

	$c->query("DELETE FROM hype.referral_link WHERE user_id = '$user'");
	$a->query("BEGIN ISOLATION LEVEL $level");
	$a->query('SELECT 1 FROM hype.referral_link LIMIT 1');
	$c->query(view($user));
	like($a->query(view($user)), qr/could not serialize/,
		"$level: also when the first link was deleted");
	$a->query('ROLLBACK');
	is(links($user), 1, 'and there is one link');
}

done_testing();
