package Hype::Stored;

# What nginx's cache in the folder "pages" has stored.

use strict;
use warnings;

use Exporter qw(import);
use Test::More ();

use Hype::Util qw(read_file run);

our @EXPORT = qw(stored stored_is_clean);


# The cache's files; nginx has written a page some time after it has sent it.

sub stored
{
    my ($nginx) = @_;

    my ($status, $files) = run(
        command => ['find', $nginx->dir . '/pages', '-type', 'f']);
    return grep { !/\.\d+$/ } split /\n/, $files;
}


# No file of the cache has any of our bytes in it.

sub stored_is_clean
{
    my ($nginx, $name, @visitors) = @_;

    my @files = stored($nginx);
    my $bytes = join '', map { read_file($_) } @files;

    Test::More::ok(@files > 0, "$name: it is stored");

    my @found = grep { $bytes =~ /\Q$_/i } 'hype_visitor', 'private',
        'abc123', 'ref=', 'other', @visitors;
    Test::More::is("@found", '', '- with nothing of ours');
}


1;
