# What the tests of rewards have in common: links of alice, bob and carl, hits,
# and the statements that a site runs.

package Rewards;

use strict;
use warnings;

use Exporter qw(import);
use Session;

our @EXPORT = qw(install balance confirm hit pay_out);

my ($session, $hits);

# Installs the schema, makes the links, and returns a session.

sub install {
	Session->install();
	$session = Session->new();
	$session->query("INSERT INTO hype.referral_link (id, identifier, user_id)
		VALUES (1, 'a', 'alice'), (2, 'b', 'bob'), (3, 'c', 'carl')");

	return $session;
}

# Hits of users, each one a second after the one before.

sub hit {
	my ($link, @users) = @_;

	return $session->query("INSERT INTO hype.referral_hit
		(id, referral_link_id, created, user_id, authenticated)
		VALUES " . join ', ', map { $hits++; "('" . Session::uuid($hits)
			. "', $link, now() - interval '60 days' + interval '$hits s', "
			. "'$_', true)" } @users);
}

sub balance {
	my ($user, $currency) = @_;

	return $session->query("SELECT pending, available, paid FROM hype.balance
		WHERE user_id = '$user' AND currency = '$currency'");
}

sub confirm { return "SELECT referrer FROM hype.confirm('$_[0]', '$_[1]')" }

sub pay_out { return "SELECT hype.pay_out('$_[0]', '$_[1]', '$_[2]')" }

1;
