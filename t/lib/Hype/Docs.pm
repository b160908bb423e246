package Hype::Docs;

# The documentation's pages, and the examples in them: what stands between
# "```language" and "```".

use strict;
use warnings;

use Carp qw(croak);
use Exporter qw(import);

use Hype::Util qw(read_file source_dir);

our @EXPORT = qw(pages blocks block left_out steps broken_links);

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


# Each with its language ("" if it has none), where it is, its text, less what all of
# its lines are indented by, the title of its section, and the paragraph before it.

sub blocks
{
    my ($page) = @_;

    my ($number, @blocks, $block) = (0);
    my ($section, $before, $apart) = ('', '', 0);

    for my $line (split /\n/, pages()->{$page} // croak "no page $page") {
        $number++;

        if ($line =~ /^(\s*)```(\w*)/) {
            if ($block) {
                push @blocks, $block;
                undef $block;

            } else {
                $block = { language => $2, name => "$page:$number", text => '',
                           page => $page, indent => length $1,
                           section => $section, before => $before };
                $apart = 1;
            }

        } elsif ($block) {
            $line =~ s/^ {0,$block->{indent}}//;
            $block->{text} .= "$line\n";

        } elsif ($line =~ /^#+ (.*)/) {
            $section = $1;

        } elsif ($line eq '') {
            $apart = 1;

        } else {
            $before = '' if $apart;
            $before .= "$line\n";
            $apart = 0;
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


# The examples of a section as a script for sh, word for word: commands as they stand,
# nginx's configuration into the file of /etc, and SQL to the psql, that the paragraph
# before names.  Those that match $without are left out.

sub steps
{
    my ($page, $section, $without) = @_;

    my $script = '';
    my ($psql, $file);

    for my $block (grep { $_->{section} eq $section } blocks($page)) {
        my ($language, $text, $before) = @$block{qw(language text before)};

        next if $language eq 'text' || $without && $text =~ $without;

        ($file) = $before =~ m{`(/etc/[^`]+)`} if $language eq 'nginx';
        $psql = $1 if $before =~ /`([^`]*psql[^`]*)`/;

        $script .= $language eq 'sh' ? $text
                   : $language eq 'sql' ? "$psql << 'END'\n${text}END\n"
                   : $language eq 'nginx' && $file
                   ? "sudo tee $file > /dev/null << 'END'\n${text}END\n"
                   : croak "$block->{name}: what is to be done with it?";
    }

    return $script;
}


# Links of a page to pages and to sections of pages that are not there.

sub broken_links
{
    my ($root, $page) = @_;

    my @broken;
    my ($folder) = $page =~ m{^(.*/)?};

    for my $link (read_file("$root/$page") =~ /\]\(([^)\s]+)\)/g) {
        next if $link =~ /^https?:/;

        my ($file, $section) = split /#/, $link;
        my $target = $file ne '' ? ($folder // '') . $file : $page;
        1 while $target =~ s{[^/]+/\.\./}{};

        push @broken, $link
            if !-e "$root/$target"
               || defined $section && !_titles("$root/$target")->{$section};
    }

    return @broken;
}


# As GitHub names them.

sub _titles
{
    my ($file) = @_;

    my %titles;

    for my $title (read_file($file) =~ /^#+ (.*)/mg) {
        $title = lc $title;
        $title =~ s/[^\w\- ]//g;
        $title =~ tr/ /-/;
        $titles{$title} = 1;
    }

    return \%titles;
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
