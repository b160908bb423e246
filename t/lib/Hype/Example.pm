package Hype::Example;

# The examples of examples/, as texts for an nginx of the test's own:
#
#   my $nginx = nginx(pg => $pg, http => example('static',
#       'proxy_pass http://127.0.0.1:8080' => "proxy_pass http://127.0.0.1:$port"));
#
# What would be the machine's is replaced: the database (unless the test does it),
# folders, and the port 80.  All else is tested as it stands in the file.

use strict;
use warnings;

use Carp qw(croak);
use Exporter qw(import);

use Hype::Util qw(read_file source_dir);

our @EXPORT = qw(example example_file example_nginx);


# examples/<name>/nginx.conf; further arguments: what is replaced by what.

sub example
{
    my ($name, @replace) = @_;

    my $text = example_file("$name/nginx.conf");

    while (my ($from, $to) = splice @replace, 0, 2) {
        my $n = $text =~ s/\Q$from\E/$to/g;
        croak "\"$from\" is not in the example \"$name\"" if !$n;
    }

    return example_nginx($text);
}


# What stands for this machine in an example of nginx's: its folders, addresses
# and, if the test has not said it, the database, with a timeout that a busy machine
# keeps.

sub example_nginx
{
    my ($text, $port) = @_;

    $port //= '%%PORT%%';

    $text =~ s{/var/(?:lib|log|cache)/nginx/}{%%DIR%%/}g;
    $text =~ s/^\s*listen +\[::\]:80;\n//mg;
    $text =~ s/^(\s*listen) +80;/$1 127.0.0.1:$port;/mg;
    $text =~ s{hype_database "host=/run/postgresql [^"]*"}{hype_database "%%DB%%"};
    $text =~ s{hype_database "%%DB%%";}{hype_database "%%DB%%" timeout=5s;};

    return $text;
}


sub example_file
{
    my ($path) = @_;

    return read_file(source_dir() . "/examples/$path");
}


1;
