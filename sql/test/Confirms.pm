# Confirms of a user or a visitor, for tests with several sessions.

package Confirms;

use strict;
use warnings;

use Exporter qw(import);
use Session;

our @EXPORT = qw(arguments batch confirm credited outcome);

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

# What nginx appends

sub batch {
	my ($event, $user, $visitor, $created) = @_;

	$user = defined $user ? "'$user'" : 'NULL';
	$visitor = defined $visitor ? "'" . Session::uuid($visitor) . "'" : 'NULL';
	$created ||= '2024-01-02Z';

	return "SELECT hype.confirm_batch('{$event}', ARRAY[$user]::text[], "
		. "ARRAY[$visitor]::uuid[], '{1}', '{$created}')";
}

# Who is confirmed, and the referrer

sub outcome {
	my ($session, $event) = @_;

	return $session->query("SELECT string_agg(coalesce(user_id, visitor::text) || ' '
		|| referrer, ', '
		ORDER BY user_id NULLS FIRST)
		FROM hype.confirmed_referral WHERE event = '$event'");
}

# The same in words, with small numbers for visitors

sub credited {
	my ($session, $event) = @_;

	return $session->query("SELECT string_agg(coalesce('user ' || user_id,
			'visitor ' || ltrim(visitor::text, '0-')) || ': ' || referrer, ', '
			ORDER BY user_id NULLS LAST, visitor)
		FROM hype.confirmed_referral WHERE event = '$event'");
}

1;
