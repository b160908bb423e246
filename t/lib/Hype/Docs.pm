package Hype::Docs;

# The documentation's pages, and the examples in them: what stands between
# "```language" and "```".

use strict;
use warnings;

use Carp qw(croak);
use Exporter qw(import);

use Hype::Util qw(read_file source_dir);

our @EXPORT = qw(pages blocks block left_out);

my (%pages, %used);


# By their names from the project's folder on.

sub pages
{
    if (!%pages) {
        my $source = source_dir();

        %pages = map { s{^\Q$source\E/}{}r => read_file($_) }
                 map { glob "$source/$_" }
                 qw(README.md docs/*.md examples/*.md examples/*/*.md);
    }

    return \%pages;
}


# Each with its language ("" if it has none), where it is, and its text, less what
# all of its lines are indented by.

sub blocks
{
    my ($page) = @_;

    my ($number, @blocks, $block) = (0);

    for my $line (split /\n/, pages()->{$page} // croak "no page $page") {
        $number++;

        if ($line =~ /^(\s*)```(\w*)/) {
            if ($block) {
                push @blocks, $block;
                undef $block;

            } else {
                $block = { language => $2, name => "$page:$number", text => '',
                           page => $page, indent => length $1 };
            }

        } elsif ($block) {
            $line =~ s/^ {0,$block->{indent}}//;
            $block->{text} .= "$line\n";
        }
    }

    return @blocks;
}


# The text of the one that matches.

sub block
{
    my ($page, $pattern) = @_;

    my @found = grep { $_->{text} =~ $pattern } blocks($page);
    croak scalar(@found) . " examples match $pattern in $page" if @found != 1;

    $used{ $found[0]{name} } = 1;
    return $found[0]{text};
}


# Those of other languages than these, of which block() has not been asked for, and
# that do not match: left_out([qw(nginx sql)], [$page, $pattern], ...).  And the
# patterns that none matches.

sub left_out
{
    my ($languages, @others) = @_;

    my %languages = map { $_ => 1 } @$languages;
    my (@left, %matched);

    for my $block (map { blocks($_) } sort keys %{ pages() }) {
        next if $used{ $block->{name} } || $languages{ $block->{language} };

        my @found = grep {
            $_->[0] eq $block->{page} && $block->{text} =~ $_->[1]
        } @others;

        push @left, $block->{name} if !@found;
        $matched{$_} = 1 for @found;
    }

    return @left, map { "$_->[0]: $_->[1]" } grep { !$matched{$_} } @others;
}


1;
