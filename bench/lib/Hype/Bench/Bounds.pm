package Hype::Bench::Bounds;

# What PostgreSQL costs whoever writes: the bounds of what the rows can reach,
# and what each index costs.  Tables of docs/benchmarks.md.

use strict;
use warnings;

use Carp qw(croak);

use Hype::Bench qw(load median nginx postgres program rows_client size);
use Hype::Bench::Growth ();
use Hype::Bench::Instructions ();
use Hype::Bench::Report ();
use Hype::Bench::Rows ();

# In their order: name, heading, function that returns rows of cells

our @tables = (
    ['instructions', 'a visit, 64 connections | instructions of a worker',
     \&instructions],
    ['batches', 'rows in a batch | CPU time of PostgreSQL a row, µs',
     \&batches],
    ['indexes', 'without the index on | CPU time a row in batches of 32, µs'
     . ' | in batches of 1,000 | WAL a row, bytes | what it is for',
     \&indexes],
    ['neighbour', 'while a C client copies | its rows a second'
     . ' | p99 of visits, ms | p99 when all is quiet', \&neighbour],
);

# What each index is for, and what takes it away.

my @indexes = (
    ['`id, created` (the primary key)',
     'alter table hype.referral_hit drop constraint referral_hit_pkey',
     'that no hit is there twice, whatever is sent again'],
    ['`visitor, created`',
     'drop index hype.referral_hit_visitor_created_idx',
     'which hits a claim is for, and which one a confirm of a visitor credits'],
    ['`user_id, void, created`',
     'drop index hype.referral_hit_user_id_void_created_idx',
     'which hit a confirm credits; hits of anonymous visitors are not in it'
     . ' before a claim'],
    ['`xact, id`',
     'drop index hype.referral_hit_xact_id_idx',
     'the order of the log: what derivation, roll-ups and reports have not'
     . ' read yet'],
);


sub table
{
    my ($name, $head, $function) = @_;

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
    my @cases = (['none dropped', undef, ''], @indexes,
                 ['any of these', join('; ', map { $_->[1] } @indexes), '']);
    my %cells;

    for (1 .. size('pairs')) {
        for my $case (@cases) {
            my ($name, $drop) = @$case;
            my $pg = postgres()->fresh('hype_bench');

            $pg->exec($drop) if defined $drop;

            for my $rows (32, 1000) {
                my $run = Hype::Bench::Growth::append(
                    $pg->empty, $rows, '-t', size('seconds') / 2);
                push @{ $cells{$name}{$rows} }, $run->{postgres};
                push @{ $cells{$name}{wal} }, $run->{wal} if $rows == 32;
            }
        }
    }

    return map {
        my ($name, undef, $for) = @$_;
        [$name, map({ figure(@$_) } @{ $cells{$name} }{32, 1000}),
         Hype::Bench::Report::number(median(@{ $cells{$name}{wal} })), $for]
    } @cases;
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
            Hype::Bench::Rows::flushed($pg->empty);
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
