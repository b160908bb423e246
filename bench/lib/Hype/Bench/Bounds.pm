package Hype::Bench::Bounds;

# What PostgreSQL costs whoever writes: the bounds of what the rows can reach,
# and what each index costs.  Tables for docs/benchmarks.md.

use strict;
use warnings;

use Carp qw(croak);

use Hype::Bench qw(load median nginx postgres program rows_client size);
use Hype::Bench::Instructions ();
use Hype::Bench::Report ();
use Hype::Bench::Rows ();

# In their order: heading, function that returns rows of cells

our @tables = (
    ['a visit, 64 connections | instructions of a worker', \&instructions],
    ['rows in a batch | CPU time of PostgreSQL a row, µs', \&batches],
    ['without the index on | CPU time a row in batches of 32, µs'
     . ' | in batches of 1,000', \&indexes],
    ['while a C client copies | its rows a second | p99 of visits, ms'
     . ' | p99 when all is quiet', \&neighbour],
);


sub table
{
    my ($head, $function) = @_;

    my $columns = () = $head =~ /\|/g;

    return "| $head |\n" . '| --- ' x ($columns + 1) . "|\n"
           . join '', map { '| ' . join(' | ', @$_) . " |\n" } $function->();
}


# Of the worker's own: the kernel's are not counted.

sub instructions
{
    my $pg = postgres()->fresh('hype_bench');
    my %ours = (database => $pg->conninfo);
    my @cases = (
        ['"return 302" with "add_header Set-Cookie"',
         server => $Hype::Bench::Rows::return],
        ['the same with a buffered access_log', %Hype::Bench::Rows::logged],
        ['"commit"', %ours, server => $Hype::Bench::Rows::ref],
        ['"spool", until the hit is in PostgreSQL', %ours,
         server => 'hype_durability spool; ' . $Hype::Bench::Rows::ref],
    );

    return map {
        my ($name, @config) = @$_;
        my $nginx = Hype::Bench::Instructions::counted(@config);
        my @visits = ('-n', 5000, '/ref/b0000000/');

        load($nginx, @visits);
        Hype::Bench::Rows::drained($pg, $nginx);
        Hype::Bench::Instructions::counts($nginx);
        load($nginx, @visits);
        Hype::Bench::Rows::drained($pg, $nginx);

        my $count = Hype::Bench::Instructions::counts($nginx) / 5000;
        $nginx->stop;
        [$name, Hype::Bench::Report::number($count)]
    } @cases;
}


# COPY by a plain C client, one batch after the other.

sub batches
{
    my $pg = postgres()->fresh('hype_bench');

    return map {
        my $rows = $_;
        my @runs = map {
            rows_client($pg->empty, '-t', size('seconds'), '-b', $rows,
                        'copy')->{postgres}
        } 1 .. size('pairs');

        [$rows, figure(@runs)]
    } 1, 16, 32, 64, 256, 1000;
}


sub indexes
{
    my @names = qw(visitor user_id referral_link_id day);
    my %dropped = (map({ $_ => [$_] } @names), 'none dropped' => [],
                   'any of these' => [@names]);
    my %cells;

    for (1 .. size('pairs')) {
        for my $case (keys %dropped) {
            my $pg = postgres()->fresh('hype_bench');

            $pg->exec("drop index hype.referral_hit_${_}_idx")
                for @{ $dropped{$case} };

            for my $rows (32, 1000) {
                my $run = rows_client($pg->empty, '-t', size('seconds') / 2,
                                      '-b', $rows, 'copy');
                push @{ $cells{$case}{$rows} }, $run->{postgres};
            }
        }
    }

    return map { [$_, map { figure(@$_) } @{ $cells{$_} }{32, 1000}] }
           'none dropped', @names, 'any of these';
}


# Visits of the module beside a client that has nothing to do with it.

sub neighbour
{
    my $pg = postgres()->fresh('hype_bench');
    my $nginx = nginx(database => $pg->conninfo,
                      server => $Hype::Bench::Rows::ref);
    my @visits = ('-c', 16, '-r', 200, '-t', size('seconds'),
                  '/ref/b0000000/');
    my @rows;

    for my $rows (1000, 256) {
        my (@rate, @live, @quiet);

        for (1 .. size('pairs')) {
            Hype::Bench::Rows::settled($pg->empty);
            push @quiet, load($nginx, @visits)->{p99} / 1000;

            my $pid = open my $copy, '-|', program('rows'), '-b', $rows, '-t',
                size('seconds') + 1, 'copy', $pg->conninfo(user => 'postgres')
                or croak "rows: $!";

            push @live, load($nginx, @visits)->{p99} / 1000;
            (readline $copy) =~ /"rows_rate": ([\d.]+)/ and push @rate, $1;
            kill 'TERM', $pid;
        }

        push @rows, ["in batches of $rows",
                     Hype::Bench::Report::number(median(@rate)),
                     figure(@live), figure(@quiet)];
    }

    $nginx->stop;
    return @rows;
}


sub figure
{
    my @sorted = sort { $a <=> $b } @_;

    return sprintf '%.1f (%.1f to %.1f)', median(@sorted), @sorted[0, -1];
}


1;
