package Hype::Lint;

# What the tests of t/lint have in common.

use strict;
use warnings;

use Exporter qw(import);

use Hype::Util qw(read_file source_dir);

our @EXPORT = qw(flags sources);

chdir source_dir() or die $!;


sub sources { return ('ngx_http_hype_module.c', glob('src/*/*.c')) }


# The compiler's flags for what it is to include, as nginx's makefile has them

sub flags
{
    my $build = $ENV{BUILD} // 'build';
    my ($makefile) = glob("$build/nginx-*/objs/Makefile")
        or die "no nginx is configured\n";
    my ($top) = $makefile =~ m{(.*)/objs/};
    my ($list) = read_file($makefile) =~ /^ALL_INCS = (.*?)\n\n/ms;

    return map { '-I' . (m{^/} ? $_ : "$top/$_") } $list =~ /-I (\S+)/g;
}


1;
