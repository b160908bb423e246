package Hype::Bench;

# What the rows of the benchmark are measured with: a PostgreSQL and nginx of
# its own, load, and the CPU time of processes as the kernel accounts for it.

use strict;
use warnings;

use Carp qw(croak);
use Exporter qw(import);
use IPC::Open2 qw(open2);
use JSON::PP qw(decode_json);
use Time::HiRes qw(sleep time);

use Hype::Bench::Postgres ();
use Hype::Nginx ();
use Hype::Util qw(children source_dir wait_until);

our @EXPORT_OK = qw(alternate cpu_since cpu_times load median nginx pairs
                    postgres program rows_client size);

# What is to be measured with: as the table has it, or for the impatient.
# HYPE_BENCH_TABLE=100000 and so on set one of them.

my %sizes = (
    whole => {
        pairs => 5,
        seconds => 3,
        table => 20_000_000,
        few => 1_000_000,
        batches => 50_000,
        subject => 1_000_000,
        links => 1_000_000,
        backlog => 1_000_000,
        hits => 10_000_000,
    },
    quick => {
        pairs => 5,
        seconds => 1,
        table => 1_000_000,
        few => 50_000,
        batches => 50_000,
        subject => 100_000,
        links => 100_000,
        backlog => 100_000,
        hits => 1_000_000,
    },
);

my $sizes = $sizes{whole};
my $postgres;


sub choose { $sizes = $sizes{ $_[0] } // croak "no size \"$_[0]\"" }

sub size
{
    my ($name) = @_;

    return $ENV{'HYPE_BENCH_' . uc $name} // $sizes->{$name}
           // croak "no size of \"$name\"";
}


sub program { ($ENV{BUILD} // source_dir() . '/build') . "/bench/$_[0]" }


# The cluster, started at the first use.

sub postgres
{
    return $postgres //= Hype::Bench::Postgres->new;
}


# An nginx with these lines in http and server; with the module if there is a
# "database" (a Hype::Postgres's connection string).

sub nginx
{
    my (%o) = @_;

    my $database = $o{database}
        ? "hype_database \"$o{database}\" timeout=10s"
          . ' connections=' . ($o{connections} // 2) . ';' : '';

    return Hype::Nginx->new(
        log_level => 'warn',
        workers => $o{workers} // processors(),
        module => defined $o{database},
        main => $o{main} // '',
        http => <<"END",
    keepalive_requests 1000000000;
    keepalive_timeout 1h;
    $database
    @{[ $o{http} // '' ]}

    server {
        listen 127.0.0.1:%%PORT%% reuseport backlog=1024;
        @{[ ($o{server} // '') =~ /\baccess_log\b/ ? '' : 'access_log off;' ]}
        absolute_redirect off;
        @{[ $o{server} // '' ]}
    }
END
    );
}


sub processors
{
    my $n = `nproc`;
    chomp $n;
    return $n;
}


# Visits a server, see bench/load.c, and returns what that prints, with the CPU
# time of the workers in microseconds a visit as {worker}.

sub load
{
    my ($nginx, @arguments) = @_;

    my $before = cpu_times($nginx->workers);

    open my $fh, '-|', program('load'), '-p', $nginx->port, @arguments
        or croak "load: $!";
    my $line = <$fh> // '';
    close $fh or croak 'load failed';

    my $result = decode_json($line);
    $result->{worker} = cpu_since($before) / $result->{visits};

    croak "wrong answers: $line" if $result->{other};
    return $result;
}


# Writes rows as a C client does, see bench/rows.c, and returns what that prints,
# with the CPU time of PostgreSQL in microseconds a row as {postgres}.

sub rows_client
{
    my ($pg, @arguments) = @_;

    my $before = $pg->cpu_times;
    my $pid = open2(my $out, my $in, program('rows'), @arguments,
                    $pg->conninfo(user => 'postgres'));
    my $line = <$out> // '';
    my $used = $pg->cpu_since($before);

    close $in;
    waitpid $pid, 0;
    croak 'rows failed' if $? || $line eq '';

    my $result = decode_json($line);
    $result->{postgres} = $used / $result->{rows};
    return $result;
}


# CPU time of processes, all of their threads, by process id, in nanoseconds.

sub cpu_times
{
    my (@pids) = @_;

    return { map { $_ => cpu_time($_) } @pids };
}


# Microseconds since then.

sub cpu_since
{
    my ($before, @pids) = @_;

    my $sum = 0;
    @pids = keys %$before if !@pids;

    for my $pid (@pids) {
        $sum += (cpu_time($pid) // next) - ($before->{$pid} // 0);
    }

    return $sum / 1000;
}


sub cpu_time
{
    my ($pid) = @_;

    my $sum;

    for my $file (glob "/proc/$pid/task/*/schedstat") {
        open my $fh, '<', $file or next;
        $sum += (split ' ', <$fh> // '0')[0];
    }

    return $sum;
}


# Two ways in turn, as many times as there shall be pairs: [[a, b], ...].

sub alternate
{
    my ($ours, $theirs) = @_;

    my @pairs;

    for (1 .. size('pairs')) {
        my $a = $ours->();
        my $b = $theirs->();

        push @pairs, [$a, $b];
    }

    return @pairs;
}


# Figures of them: pairs(sub { $_->{rate} }, @pairs); a second function is for
# the other side.

sub pairs
{
    my ($figure, $other, @pairs) = @_;

    return map {
        my ($a, $b) = @$_;
        [do { local $_ = $a; $figure->($a) }, do { local $_ = $b; $other->($b) }]
    } @pairs;
}


sub median
{
    my @sorted = sort { $a <=> $b } @_;

    return @sorted % 2 ? $sorted[$#sorted / 2]
                       : ($sorted[@sorted / 2 - 1] + $sorted[@sorted / 2]) / 2;
}


1;
