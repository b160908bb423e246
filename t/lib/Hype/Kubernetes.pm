package Hype::Kubernetes;

# The manifests of examples/kubernetes (see t/lib/manifests.py).

use strict;
use warnings;

use Exporter qw(import);
use JSON::PP qw(decode_json);

use Hype::Util qw(run source_dir);

our @EXPORT = qw(check_manifests manifest manifests);

my $all;


# All of them, each as its kind

sub manifests
{
    if (!$all) {
        my ($status, $output) = check_manifests(
            glob(source_dir() . '/examples/kubernetes/*.yaml'));

        die $output if $status;
        $all = decode_json($output);
    }

    return @$all;
}


sub manifest
{
    my ($kind, $name) = @_;

    my @found = grep { $_->{kind} eq $kind && $_->{metadata}{name} eq $name }
                manifests();
    @found == 1 or die scalar(@found) . " of $kind $name\n";

    return $found[0];
}


# (exit status, JSON or what is wrong)

sub check_manifests
{
    return run(command => ['/usr/bin/python3', '-B',
                           source_dir() . '/t/lib/manifests.py', @_]);
}


1;
