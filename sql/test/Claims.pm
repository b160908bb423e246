# Claims of visitors, for tests with several sessions.

package Claims;

use strict;
use warnings;

use Exporter qw(import);
use Session;

our @EXPORT = qw(claim record);

sub claim {
	my ($visitor, $user) = @_;

	return "SELECT hype.claim('" . Session::uuid($visitor) . "', '$user')";
}

# What nginx sends, with the time of the request.

sub record {
	my ($visitor, $user, $created) = @_;

	return "SELECT hype.claim_batch('{" . Session::uuid($visitor) . "}', '{$user}', "
		. "'{$created}')";
}

1;
