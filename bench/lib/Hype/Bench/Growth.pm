package Hype::Bench::Growth;

# The rows about what must not grow with the number of hits.

use strict;
use warnings;

use Time::HiRes qw(time);

use Hype::Bench qw(alternate median pairs postgres rows_client size);
use Hype::Bench::Fill qw(filled subjects);

my %shared;

my %reports = (
    link => "select * from hype.link_stats where identifier = 'b0000000'",
    week => "select * from hype.hits_by('day', 'UTC', date_trunc('day', now())"
            . " - interval '6 days')",
    top => 'select * from hype.funnel order by hits desc limit 10',
);

my $all = 'select referral_link_id, count(*) from hype.referral_hit'
          . ' group by referral_link_id order by count(*) desc limit 10';


# Hits in batches as 64 connections make them, right after a checkpoint, when
# each page that is changed for the first time is logged as a whole.

sub appended
{
    return @{ $shared{appended} //= [_appended()] };
}


sub _appended
{
    my $large = filled(size('table'));
    my $empty = postgres()->fresh('hype_bench');

    return alternate(map {
        my ($pg, $empty) = @$_;
        sub {
            $pg->empty if $empty;
            append($pg, 32, '-n', size('batches'));
        }
    } [$large, 0], [$empty, 1]);
}


sub append
{
    my ($pg, $batch, @arguments) = @_;

    $pg->exec('checkpoint');

    my $before = wal($pg);
    my $run = rows_client($pg, '-b', $batch, @arguments, 'copy');
    $run->{wal} = (wal($pg) - $before) / $run->{rows};

    return $run;
}


sub wal
{
    my ($pg) = @_;

    return $pg->value("select pg_wal_lsn_diff(pg_current_wal_insert_lsn(),"
                      . " '0/0')");
}


sub wal_ratio
{
    return pairs(sub { $_->{wal} }, sub { $_->{wal} }, appended());
}


sub wal_bytes
{
    return map { [$_->[0]{wal}, 450] } appended();
}


sub append_cpu
{
    return pairs(sub { $_->{postgres} }, sub { $_->{postgres} }, appended());
}


# The reports, each in milliseconds, and what it takes to read all hits.

sub reported
{
    return @{ $shared{reported} //= [_reported()] };
}


sub _reported
{
    my $many = filled(size('table'));
    my $few = filled(size('few'));

    return alternate(
        sub { +{ reports($many), all => milliseconds($many, $all, 1) } },
        sub { +{ reports($few) } });
}


sub reports
{
    my ($pg) = @_;

    return map { $_ => milliseconds($pg, $reports{$_}, 5) } keys %reports;
}


# The median, when what it reads has been read before.

sub milliseconds
{
    my ($pg, $sql, $times) = @_;

    my @took;

    for (0 .. $times) {
        my $begun = time;
        $pg->query($sql);
        push @took, (time - $begun) * 1000;
    }

    return median(@took[1 .. $#took]);
}


sub report
{
    my ($name) = @_;

    return sub { pairs(sub { $_->{$name} }, sub { $_->{$name} }, reported()) };
}


sub slowest_report
{
    return map {
        my ($run) = @$_;
        my ($slowest) = sort { $b <=> $a } @$run{keys %reports};
        [$slowest, $run->{all}]
    } reported();
}


# A claim of a visitor, and a confirm of a user, with many hits and with ten.
# Each is rolled back, so that the next one finds the same.

sub subject
{
    my ($sql, @subjects) = @_;

    return sub {
        my $pg = $shared{subjects} //= subjects(size('subject'));

        return alternate(map {
            my $statement = sprintf $sql, $_;
            sub { undone($pg, $statement, 11) }
        } @subjects);
    };
}


sub claim
{
    return subject("select hype.claim('%s', 'somebody')",
                   map { Hype::Bench::Fill::visitor($_) } 1, 2)->();
}


sub confirm
{
    return subject("select * from hype.confirm('signup', '%s')",
                   'many', 'few')->();
}


sub undone
{
    my ($pg, $sql, $times) = @_;

    my @took;

    for (0 .. $times) {
        $pg->exec('begin');
        my $begun = time;
        $pg->query($sql);
        push @took, (time - $begun) * 1000;
        $pg->exec('rollback');
    }

    $pg->exec('vacuum hype.referral_hit');
    return median(@took[1 .. $#took]);
}


1;
