package Hype::Bench::Report;

# What the rows say: a line each, a file for programs, a table and a plot for
# people.

use strict;
use warnings;

use File::Basename qw(dirname);
use File::Path qw(make_path);
use JSON::PP ();
use POSIX qw(strftime);

use Hype::Bench qw(median);
use Hype::Util qw(read_file write_file);


# The median of the ratios, with the least and the most; ratios of pairs, as
# what disturbs one half of a pair is likely to disturb the other.

sub result
{
    my (%r) = @_;

    my @ratios = sort { $a <=> $b } map { $_->[0] / $_->[1] } @{ $r{pairs} };

    $r{ours} = median(map { $_->[0] } @{ $r{pairs} });
    $r{theirs} = median(map { $_->[1] } @{ $r{pairs} });
    @r{'low', 'ratio', 'high'} = ($ratios[0], median(@ratios), $ratios[-1]);
    $r{met} = ($r{relation} eq '<' ? $r{ratio} <= $r{goal}
                                   : $r{ratio} >= $r{goal})
              ? JSON::PP::true : JSON::PP::false;

    return \%r;
}


sub line
{
    my ($r) = @_;

    return sprintf "%-11s %5s  (%s to %s; goal %s %s)  %s against %s %s\n",
        $r->{name}, ratio($r->{ratio}), ratio($r->{low}), ratio($r->{high}),
        $r->{relation} eq '<' ? 'at most' : 'at least', $r->{goal},
        number($r->{ours}), number($r->{theirs}),
        $r->{unit} =~ s/\xc2\xb5s/us/r;
}


sub ratio { $_[0] < 1.1 && $_[0] > 0.99 ? sprintf '%.3f', $_[0]
                                        : sprintf '%.2f', $_[0] }


# 1,234,567 or 12.3

sub number
{
    my ($n) = @_;

    my $text = $n >= 1000 ? sprintf '%.0f', $n : sprintf '%.4g', $n;
    1 while $text =~ s/^(\d+)(\d{3})/$1,$2/;
    return $text;
}


sub write_all
{
    my ($base, $size, @results) = @_;

    make_path(dirname($base));

    my $json = JSON::PP->new->utf8(0)->pretty->canonical;

    write_file("$base.json", $json->encode({
        when => strftime('%Y-%m-%d', gmtime),
        size => $size,
        machine => machine(),
        rows => \@results,
    }));
    write_file("$base.md", table(@results));
    write_file("$base.svg", plot(@results));

    print "written: $base.json, $base.md, $base.svg\n";
    publish($base, table(@results)) if $size eq 'whole';
}


# Where people look for it, in the place of the table that is there.

sub publish
{
    my ($base, $table) = @_;

    my %plot = (
        'docs/benchmarks.md' => 'benchmarks.svg',
    );

    for my $file (sort keys %plot) {
        my $text = read_file($file);
        my $new = "$table\n![The figures, as parts of their goals]($plot{$file})\n";

        write_file($file, replace($text, 'bench', $new)
                          // die "$file has no place for the table\n");
    }

    write_file('docs/benchmarks.svg', read_file("$base.svg"));
    print "changed: docs/benchmarks.md, docs/benchmarks.svg\n";
}


# A table of "bounds", in its place.

sub publish_bounds
{
    my ($name, $table) = @_;

    my $file = 'docs/benchmarks.md';

    write_file($file, replace(read_file($file), $name, $table)
                      // die "$file has no place for \"$name\"\n");
}


# The text, with something else between a mark and the end of it, or undef.

sub replace
{
    my ($text, $mark, $new) = @_;

    return $text =~ s/(<!-- $mark -->\n).*?(<!-- end -->\n)/$1$new$2/s
           ? $text : undef;
}


sub machine
{
    my ($model) = read_file('/proc/cpuinfo') =~ /^model name\s*:\s*(.+)/m;
    my ($memory) = read_file('/proc/meminfo') =~ /^MemTotal:\s*(\d+)/m;
    my ($nginx) = `nginx -v 2>&1` =~ m{nginx/(\S+)};

    chomp(my $processors = `nproc`);
    chomp(my $kernel = `uname -sr`);

    return {
        processor => $model // '?',
        processors => $processors + 0,
        memory => sprintf('%.0f GB', $memory / 2 ** 20),
        kernel => $kernel,
        nginx => $nginx // '?',
        postgresql => Hype::Bench::postgres()->value('show server_version'),
    };
}


sub table
{
    my (@results) = @_;

    return join '', "| what | against | goal | measured | spread |\n",
        "| --- | --- | --- | --- | --- |\n",
        map {
            sprintf "| %s: %s | %s: %s | %s %s | %s%s | %s to %s |\n",
                $_->{what}, amount($_, 'ours'), $_->{against},
                amount($_, 'theirs'), $_->{relation} eq '<' ? '≤' : '≥',
                $_->{goal}, $_->{met} ? '' : '**not met:** ',
                ratio($_->{ratio}), ratio($_->{low}), ratio($_->{high})
        } @results;
}


sub amount
{
    my ($r, $side) = @_;

    return number($r->{$side}) . ($r->{unit} eq '' ? '' : " $r->{unit}");
}


# Each ratio as a part of its goal, on the side of the line that is good.

sub plot
{
    my (@results) = @_;

    my ($left, $width, $step) = (330, 300, 26);
    my $height = 40 + $step * @results;
    my $line = $left + $width / 2;
    my $bars = '';
    my $y = 34;

    for my $r (@results) {
        my @x = map { $left + place($r, $_) * $width }
                $r->{low}, $r->{ratio}, $r->{high};
        @x[0, 2] = @x[2, 0] if $x[0] > $x[2];

        my $colour = $r->{met} ? '#2a7d4f' : '#c0392b';
        my $name = $r->{what} =~ s/"/&quot;/gr;
        my $relation = $r->{relation} eq '<' ? '≤' : '≥';

        $bars .= sprintf <<'END', $left - 10, $y + 4, $name, $x[0], $x[2], $y,
<text x="%d" y="%d" text-anchor="end">%s</text>
<line x1="%.1f" x2="%.1f" y1="%d" y2="%6$d" stroke="%s" stroke-width="2"/>
<circle cx="%.1f" cy="%6$d" r="5" fill="%7$s"/>
<text x="%d" y="%d">%s (%s %s)</text>
END
            $colour, $x[1], $left + $width + 10, $y + 4, ratio($r->{ratio}),
            $relation, $r->{goal};

        $y += $step;
    }

    return sprintf <<'END', $height, $line, $height - 8, $bars;
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 760 %1$d" font-family="sans-serif" font-size="12">
<rect width="760" height="%1$d" fill="#fff"/>
<line x1="%2$d" x2="%2$d" y1="20" y2="%3$d" stroke="#888" stroke-dasharray="4 3"/>
<text x="%2$d" y="14" text-anchor="middle" fill="#555">goal; better to the right</text>
%4$s</svg>
END
}


# 0.5 is the goal; half and double of it are at the ends.

sub place
{
    my ($r, $ratio) = @_;

    my $better = $r->{relation} eq '<' ? $r->{goal} / $ratio
                                       : $ratio / $r->{goal};
    my $x = 0.5 + log($better) / log(2) / 2;

    return $x < 0 ? 0 : $x > 1 ? 1 : $x;
}


1;
