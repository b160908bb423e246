#!/usr/bin/perl

# Anything goes: claims of applications and of nginx, steps, and hits, also in
# transactions that stay open or are rolled back.  What would have to wait for
# another session's open claim is given up.

use strict;
use warnings;

use FindBin;
use lib $FindBin::Bin;

use Claims;
use Session;
use Test::More;

Session->install();

my $c = Session->new();

$c->query("SELECT hype.create_link('alice')");
$c->query("CREATE TABLE made (visitor uuid, user_id text,
	created timestamptz)");

srand(42);

my @sessions = map { Session->new() } 1 .. 6;
my %open;
my ($waited, $hits) = (0, 0);

$_->query("SET lock_timeout = '1ms'") for @sessions;

for my $step (1 .. 1500) {
	my $s = $sessions[rand @sessions];
	my $visitor = 1 + int rand 40;
	my $what = rand;
	my $out = '';

	if ($what < 0.3) {
		$s->query($open{$s} ? rand() < 0.8 ? "COMMIT" : "ROLLBACK" : "BEGIN");
		$open{$s} = !$open{$s};

	} elsif ($what < 0.6) {
		$waited++ if $s->copy(++$hits . " $visitor -") ne '';

	} elsif ($what < 0.7) {
		$out = $s->query(claim($visitor, "user$step"));

	} elsif ($what < 0.8) {
		my $created = sprintf '2023-01-01 %02d:%02dZ', rand 24, rand 60;

		$s->query("BEGIN") if !$open{$s};
		$waited++ if $s->query(record($visitor, "user$step", $created)) ne 1;
		$s->query("INSERT INTO made VALUES ('" . Session::uuid($visitor)
			. "', 'user$step', '$created')");
		$s->query("COMMIT") if !$open{$s};

	} else {
		$out = $s->query("SELECT hype.derive()");
		$waited++ if $out =~ /ERROR/;
	}

	if ($out =~ /ERROR/ && $open{$s}) {
		$s->query("ROLLBACK");
		$open{$s} = 0;
	}
}

for (@sessions) {
	$_->query("COMMIT") if $open{$_};
}

$c->derive();

is($waited, 0, 'no hit, no claim of nginx and no step has waited or failed');
cmp_ok($c->query("SELECT count(*) FROM hype.visitor_claim"), '>', 30,
	'there are claims');
is($c->query("SELECT count(*)
	FROM hype.referral_hit h JOIN hype.visitor_claim c USING (visitor)
	WHERE h.user_id IS DISTINCT FROM c.user_id"), 0,
	'each hit of a claimed visitor has its user');
is($c->query("SELECT count(*) FROM hype.referral_hit h
	WHERE h.user_id IS NOT NULL AND NOT EXISTS (
		SELECT FROM hype.visitor_claim c WHERE c.visitor = h.visitor)"), 0,
	'and no other hit has one');
is($c->query("SELECT count(*)
	FROM hype.visitor_claim c
	JOIN (SELECT DISTINCT ON (visitor) * FROM made
		ORDER BY visitor, created, user_id) AS m USING (visitor)
	WHERE (c.user_id, c.created) IS DISTINCT FROM (m.user_id, m.created)"), 0,
	'of nginx\'s claims the earliest counts');

done_testing();
