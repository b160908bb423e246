package Hype::Bench::Postgres;

# The cluster of the benchmark: as one in use is, and kept from run to run, as
# its large table takes minutes to fill.

use strict;
use warnings;

use parent 'Hype::Postgres';

use Carp qw(croak);
use File::Path qw(make_path);

use Hype::Bench ();
use Hype::Util qw(children free_port source_dir write_file);


sub new
{
    my ($class) = @_;

    return $class->SUPER::new(dir => folder(), config => <<"END");
full_page_writes = on
wal_level = replica
shared_buffers = 1GB
max_wal_size = 8GB
checkpoint_timeout = 30min
autovacuum = off
END
}


# PostgreSQL's user has to get there.

sub folder
{
    my $dir = $ENV{HYPE_BENCH_DIR};

    if (!defined $dir) {
        my $build = $ENV{BUILD} // source_dir() . '/build';

        make_path($build);
        $dir = Hype::Util::_open_to_all($build) ? "$build/bench/pg"
                                                : "/var/tmp/hype-bench-$>";
    }

    make_path($dir);
    return $dir;
}


# One that is there is taken as it is, but for the port and fsync.

sub _create
{
    my ($self) = @_;

    if (-e "$self->{data}/PG_VERSION") {
        unlink "$self->{data}/postmaster.pid";
        $self->{ready} = 1;

    } else {
        $self->SUPER::_create;
    }

    my $fsync = $ENV{HYPE_BENCH_FSYNC} // 'on';
    write_file("$self->{data}/postgresql.auto.conf", "fsync = $fsync\n");
}


# A database with the schema as it is now, and a link of that number of
# identifiers from b0000000 on.

sub fresh
{
    my ($self, $name, $links) = @_;

    local $self->{dbname} = $name;
    delete $self->{dbh};

    my $dbh = $self->connect(dbname => 'postgres');
    $dbh->do('set client_min_messages = warning');
    $dbh->do("drop database if exists $name with (force)");

    $self->_create_database('template0');

    $self->install;
    $self->links($links // 1);
    delete $self->{dbh};

    return bless { %$self, dbname => $name, private => 0 }, ref $self;
}


sub install
{
    my ($self) = @_;

    my ($status, $output) = $self->psql('-q', '-f', 'sql/hype.sql');
    croak "sql/hype.sql:\n$output" if $status;
}


# One that is there already.

sub other
{
    my ($self, $name) = @_;

    return bless { %$self, dbname => $name, private => 0, dbh => undef },
        ref $self;
}


sub links
{
    my ($self, $n) = @_;

    $self->exec("insert into hype.referral_link"
                . " (identifier, user_id, destination)"
                . " select 'b' || lpad(n::text, 7, '0'), n::text, '/welcome'"
                . " from generate_series(0, $n - 1) as n");
    $self->exec('vacuum analyze hype.referral_link');
}


sub empty
{
    my ($self) = @_;

    $self->exec('truncate hype.referral_hit');
    return $self;
}


# CPU time of all its processes; those that end meanwhile are not counted.

sub cpu_times
{
    my ($self) = @_;

    return Hype::Bench::cpu_times($self->{pid}, children($self->{pid}));
}


sub cpu_since
{
    my ($self, $before) = @_;

    return Hype::Bench::cpu_since($before, $self->{pid},
                                  children($self->{pid}));
}


1;
