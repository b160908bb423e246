#!/usr/bin/perl

# Confirms of applications side by side with each other and with claims.

use strict;
use warnings;

use FindBin;
use lib $FindBin::Bin;

use Confirms qw(arguments confirm);
use Session;
use Test::More;

Session->install();

my $a = Session->new();
my $b = Session->new();
my $c = Session->new();

sub uuid { return Session::uuid(@_) }
sub outcome { return Confirms::outcome($c, @_) }

$c->query("SELECT hype.create_link('alice')");

my $n = 20;

# A hundred calls at once, as far as there are connections.

my $calls = $c->query("SELECT least(100, current_setting('max_connections')::int
	- (SELECT count(*) FROM pg_stat_activity) - 10)");
my @sessions = map { Session->new() } 1 .. $calls;

# An administrator who takes time.

my $admin = Session->new();
$admin->query("BEGIN");

$a->copy('1 - u1', '2 - u2');

$a->query("BEGIN");
is($a->query(confirm('signup', 'u1')), 'alice', 'one call is credited');
$_->send(confirm('signup', 'u1')) for @sessions;
$b->wait_for_block(@sessions);
$a->query("COMMIT");
is(join('', map { $_->finish() } @sessions), '',
	"$calls that wait for it are not");

$a->query("BEGIN");
$a->query(confirm('signup', 'u2'));
$_->send(confirm('signup', 'u2')) for @sessions;
$b->wait_for_block(@sessions);
$a->query("ROLLBACK");
is(join('', map { $_->finish() } @sessions), 'alice',
	'if it is rolled back, one of them is');
is(outcome('signup'), 'u1 alice, u2 alice', 'each user is confirmed once');

$a->copy('3 - u3');
$_->send(confirm('signup', 'u3')) for @sessions;
is(join('', map { $_->finish() } @sessions), 'alice', 'one, without an order');

@sessions = ();

# One call knows the visitor, another one the user, whoever comes first.  The
# second one has another hit.

sub credit {
	my ($event, $user, $visitor) = @_;

	return sprintf "SELECT referrer FROM hype.confirm(%s, %s, %s,
		\"window\" => '100 years')", arguments($event, $user, $visitor);
}

for my $first ($a, $b) {
	for my $claimed (1, 0) {
		my $second = $first == $a ? $b : $a;
		my $name = ($first == $a ? 'visitor, user' : 'user, visitor')
			. ($claimed ? '' : ', not claimed');

		$n++;
		$c->copy("$n $n -");
		$_->query("BEGIN") for $a, $b;

		for ($first, $second) {
			if ($_ == $b && $claimed) {
				$b->query("SELECT hype.claim('" . uuid($n) . "', 'u$n')");
			}

			my $call = credit("once$n", $_ == $b ? "u$n" : undef,
				$_ == $b && $claimed ? undef : $n);

			if ($_ == $first) {
				is($_->query($call), 'alice', "$name: the first is told");
			} else {
				$c->copy($n + 1000 . " $n -");
				$_->send($call);
			}
		}

		$c->wait_for_block($second);
		$first->query("COMMIT");
		is($second->finish(), '', "$name: the second is not");
		$second->query("COMMIT");
		$c->derive();
		is($c->query("SELECT count(*) FROM hype.confirmed_referral
			WHERE event = 'once$n'"), 1, "$name: it is confirmed once");
	}
}

# A link is disabled when that is said, not when the transaction began.

$admin->query("SELECT pg_sleep_until(now() + interval '10.1 seconds')");
$admin->query("SELECT hype.create_link('dora', identifier => 'slow')");
$admin->query("UPDATE hype.referral_link SET disabled = true
	WHERE identifier = 'slow'");
is($admin->query("SELECT disabled_at > now() + interval '10 seconds'
	FROM hype.referral_link WHERE identifier = 'slow'"), 't',
	'disabled at the end of a long transaction');
$admin->query("ROLLBACK");

# A claim comes while an application confirms the visitor, by a hit that is
# marked already: derive() does not wait for it.

$c->query("SELECT hype.create_link('mallory', identifier => 'own')");
my $own = $c->query("SELECT id FROM hype.referral_link
	WHERE identifier = 'own'");

for my $case (['alice', 15, 1], ['mallory', 16, $own]) {
	my ($owner, $visitor, $link) = @$case;
	my $confirm = "visitor => '" . uuid($visitor) . "',
		\"window\" => '100 years')";

	$a->copy("$visitor $visitor - $link");
	$b->query("SELECT hype.confirm('first', $confirm");
	$b->query("BEGIN");
	is($b->query("SELECT referrer FROM hype.confirm('missed$visitor',
		$confirm"), $owner, 'an application confirms a visitor');
	$c->query("SELECT hype.claim_batch('{" . uuid($visitor) . "}',
		'{mallory}', '{2024-01-03 00:00Z}')");
	$c->query("SELECT count(*) FROM hype.derive()") for 1 .. 3;
	$b->query("COMMIT");
	$c->derive();
}

is(outcome('missed15'), 'mallory alice', 'the user has it afterwards');
is(outcome('missed16'), '', 'but not by the user\'s own link');

# A user is confirmed while a claim gives the user what the visitor was confirmed
# for: the claim waits, and finds both.

$a->copy('17 17 -', '18 - u17');
is($c->query("SELECT hype.record_confirm('adopted', NULL, '" . uuid(17) . "', NULL,
	'2024-01-05Z')"), 't', 'a visitor is confirmed');
$a->query("BEGIN");
is($a->query("SELECT referrer FROM hype.confirm('adopted', 'u17',
	\"window\" => '100 years')"), 'alice', 'and the user, who is told');
$b->send("SELECT hype.claim('" . uuid(17) . "', 'u17')");
$c->wait_for_block($b);
$a->query("COMMIT");
is($b->finish(), 'u17', 'the claim of both waits for that');
is(outcome('adopted'), 'u17 alice', 'and leaves what was told');

done_testing();
