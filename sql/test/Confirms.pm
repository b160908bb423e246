# Confirms of a user or a visitor, for tests with several sessions.

package Confirms;

use strict;
use warnings;

use Exporter qw(import);
use Session;

our @EXPORT = qw(arguments confirm outcome);

# What a function is given: an event, a user, a visitor

sub arguments {
	my ($event, $user, $visitor) = @_;

	return "'$event'", defined $user ? "'$user'" : 'NULL',
		defined $visitor ? "'" . Session::uuid($visitor) . "'" : 'NULL';
}

sub confirm {
	my ($event, $user) = @_;

	return "SELECT referrer FROM hype.confirm('$event', '$user', "
		. '"window" => \'100 years\')';
}

# Who is confirmed, and the referrer

sub outcome {
	my ($session, $event) = @_;

	return $session->query("SELECT string_agg(coalesce(user_id, visitor::text) || ' '
		|| referrer, ', '
		ORDER BY user_id NULLS FIRST)
		FROM hype.confirmed_referral WHERE event = '$event'");
}

1;
