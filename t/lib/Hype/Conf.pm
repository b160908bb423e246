package Hype::Conf;

# What nginx -t has to say on a configuration, for use after Hype::Test:
#
#   wrong('a mistake', 'the error', http => ..., server => ...);
#   right('what may be', http => ...);
#   warned('what may be', qr/the warning/, http => ...);
#
# PostgreSQL is away.  test_config() is that of an nginx that was not started.

use strict;
use warnings;

use Exporter qw(import);
use Test::More ();

use Hype::Nginx ();

our @EXPORT = qw(right test_config warned wrong);

my $nginx;


sub test_config
{
    my (%config) = @_;

    $nginx //= Hype::Nginx->new(start => 0);
    return $nginx->test_config(server => '', %config);
}


# It is refused with this error; returns that with the place.

sub wrong
{
    my ($text, $error, %config) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my ($status, $output) = test_config(%config);
    my ($emerg) = $output =~ /\[emerg\] (?:\d+#\d+: )?(.*)/;
    my $message = $emerg // ($status ? $output : 'no error');

    Test::More::isnt($status, 0, $text);
    Test::More::is($message =~ s/ in \S+nginx\.conf:\d+$//r, $error,
                   '... says why');
    return $message;
}


# It passes, and nothing is said but warnings that t/conf_warn.t looks at.

sub right
{
    my ($text, %config) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my ($status, $output) = test_config(%config);

    Test::More::is($status, 0, $text) or Test::More::diag($output);

    $output =~ s/^.*\[warn\].*(?:has no "sslmode"|set by the client).*\n//mg;
    Test::More::unlike($output, qr/\[(?:warn|error|crit|alert|emerg)\]/,
                       '... without a word') or Test::More::diag($text);
}


# It passes, with this one warning.

sub warned
{
    my ($text, $warning, %config) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my ($status, $output) = test_config(%config);

    Test::More::is($status, 0, $text) or Test::More::diag($output);
    my @warnings = $output =~ /\[warn\] (?:\d+#\d+: )?(.*)/g;
    Test::More::is(scalar @warnings, 1, '... with a warning');
    Test::More::like($warnings[0] // '', $warning, '... of this');
}


1;
