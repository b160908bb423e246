package Hype::Postgres;

# A private PostgreSQL, or a database of its own on the one that the test run
# shares, with the schema of sql/hype.sql in it.

use strict;
use warnings;

use Carp qw(croak);
use DBI ();
use Time::HiRes qw(sleep time);

use Hype::Util qw(at_end children free_port read_file run server_user
                  source_dir spawn stop_process temp_dir wait_until write_file);

my $databases = 0;
my %signals = (smart => 'TERM', fast => 'INT', immediate => 'QUIT',
               kill => 'KILL');


# A private cluster, started, with a database "hype".
#
#   config  lines for postgresql.conf
#   schema  0: without sql/hype.sql (an empty database)
#   tls     1: TLS over TCP; see ca_file
#   start   0: do not start it yet
#   dir     its folder (a new one)

sub new
{
    my ($class, %o) = @_;

    my $self = bless {
        %o,
        private => 1,
        dir => $o{dir} // temp_dir('pg'),
        user => server_user(),
        dbname => 'hype',
        password => $ENV{HYPE_PG_PASSWORD} // password(),
    }, $class;

    $self->{data} = "$self->{dir}/data";
    $self->{socket} = "$self->{dir}/s";
    $self->{log} = "$self->{dir}/log";
    $self->{port} = free_port();

    $self->_create;
    at_end(sub { $self->_end; 1 });

    my $start = $o{start} // 1;
    return $self if !$start && $self->{ready};

    $self->start;
    $self->_install if !$self->{ready};
    $self->stop if !$start;

    return $self;
}


# A fresh database: on the cluster that the test run shares, if there is one,
# else on a private cluster.  Takes the options of new(); all but "schema" imply
# a private one.

sub database
{
    my ($class, %o) = @_;

    my $shared = $ENV{HYPE_PG_SHARED};

    if (!defined $shared || grep { exists $o{$_} } qw(config start tls)) {
        return $class->new(%o);
    }

    my ($host, $port) = split /,/, $shared;
    my $schema = $o{schema} // 1;

    my $self = bless {
        %o,
        socket => $host,
        port => $port,
        password => $ENV{HYPE_PG_PASSWORD},
        dbname => "hype_${$}_" . ++$databases,
    }, $class;

    $self->_create_database($schema ? 'hype' : 'template0');
    at_end(sub { $self->_drop; 1 });

    return $self;
}


# Names

sub dbname { $_[0]{dbname} }
sub port { $_[0]{port} }
sub socket_dir { $_[0]{socket} }
sub dir { $_[0]{dir} }
sub data_dir { $_[0]{data} }
sub pid { $_[0]{pid} }
sub log { defined $_[0]{log} && -e $_[0]{log} ? read_file($_[0]{log}) : '' }


# A libpq connection string for the module: over the Unix socket, or with
# tcp => 1 over 127.0.0.1 (with a password).  Other keywords are added.

sub conninfo
{
    my ($self, %o) = @_;

    my $tcp = delete $o{tcp};
    my %c = (
        host => $tcp ? '127.0.0.1' : $self->{socket},
        port => $self->{port},
        dbname => $self->{dbname},
        user => 'hype_nginx',
        $tcp ? (password => $self->{password}) : (),
        %o,
    );

    return join ' ', map { "$_=$c{$_}" } grep { defined $c{$_} } sort keys %c;
}


# The certificate that a client of new(tls => 1) may trust; it is for 127.0.0.1
# and localhost:
#
#   $pg->conninfo(tcp => 1, sslmode => 'verify-full',
#                 sslrootcert => $pg->ca_file)

sub ca_file { "$_[0]{dir}/server.crt" }


# What psql, pg_prove and the like read from the environment.

sub env
{
    my ($self) = @_;

    return (
        PGHOST => $self->{socket},
        PGPORT => $self->{port},
        PGUSER => 'postgres',
        PGDATABASE => $self->{dbname},
    );
}


# Queries, as superuser.  Values come as psql -At shows them, NULL as undef.

# The rows, each an array of strings.

sub query
{
    my ($self, $sql, @values) = @_;

    return @{ $self->_try(sub {
        my ($dbh) = @_;
        my $sth = $dbh->prepare($sql);
        $sth->execute(@values);
        return $sth->{NUM_OF_FIELDS} ? $sth->fetchall_arrayref : [];
    }) };
}


# The first column of the first row.

sub value
{
    my ($self, $sql, @values) = @_;

    my ($row) = $self->query($sql, @values);
    return $row ? $row->[0] : undef;
}


# The rows as psql -At prints them: columns parted by "|".

sub text
{
    my ($self, $sql, @values) = @_;

    return join '', map { join('|', map { $_ // '' } @$_) . "\n" }
           $self->query($sql, @values);
}


# Runs one or more statements.

sub exec
{
    my ($self, $sql) = @_;

    $self->_try(sub { $_[0]->do($sql) });
    return $self;
}


# Runs a file, or arguments of your own, with psql: (exit status, output).

sub psql
{
    my ($self, @arguments) = @_;

    my %env = $self->env;
    local @ENV{keys %env} = values %env;

    return run(command => [program('psql'), '-X', '-v', 'ON_ERROR_STOP=1',
                           @arguments],
               chdir => source_dir());
}


# A connection of your own (DBI), e.g. to hold a lock.

sub connect
{
    my ($self, %o) = @_;

    my $dsn = 'dbi:Pg:' . join ';', map { "$_->[0]=$_->[1]" }
              [host => $self->{socket}], [port => $self->{port}],
              [dbname => $o{dbname} // $self->{dbname}];

    return DBI->connect($dsn, $o{user} // 'postgres', undef, {
        AutoCommit => 1,
        PrintError => 0,
        RaiseError => 1,
        AutoInactiveDestroy => 1,
        pg_bool_tf => 1,
        pg_enable_utf8 => 0,
        pg_expand_array => 0,
        pg_server_prepare => 0,
    });
}


# Links

# Adds a referral link and returns its id.
#
#   $pg->link('abc123', destination => '/welcome', disabled => 't')

sub link
{
    my ($self, $identifier, %columns) = @_;

    $columns{identifier} = $identifier;
    $columns{user_id} //= 'owner';
    my @names = sort keys %columns;

    return $self->value(
        'insert into hype.referral_link (' . join(', ', @names) . ') values ('
        . join(', ', ('?') x @names) . ') returning id', @columns{@names});
}


# The number of hits.

sub hits
{
    my ($self, $where, @values) = @_;

    return $self->value('select count(*) from hype.referral_hit where '
                        . ($where // 'true'), @values);
}


# Starting and stopping (private clusters only)

sub start
{
    my ($self) = @_;

    $self->_private;
    croak 'PostgreSQL is running' if $self->running;

    # the lock file of a killed server is no hindrance, its last backends are
    $self->{pid} = spawn(
        command => [program('postgres'), '-D', $self->{data},
                    '-p', $self->{port}, '-k', $self->{socket}],
        user => $self->{user}, output => $self->{log}, death => 'QUIT');

    wait_until {
        croak "PostgreSQL did not start:\n" . $self->log
            if defined stop_process($self->{pid}, undef, 0);
        eval { $self->connect(dbname => 'postgres'); 1 };
    } 60, 'PostgreSQL to start';

    return $self;
}


# Stops it: "fast" (default), "smart", "immediate", or "kill" (-9).

sub stop
{
    my ($self, $how) = @_;

    $self->_private;
    delete $self->{dbh};

    my $pid = $self->{pid} // return $self;
    my @children = $how && $how eq 'kill' ? children($pid) : ();

    defined stop_process($pid, $signals{ $how // 'fast' }, 30)
        or croak 'PostgreSQL did not stop';
    delete $self->{pid};

    wait_until { !grep { kill 0, $_ } @children } 30, 'backends to end';

    return $self;
}


sub restart
{
    my ($self, $how) = @_;

    return $self->stop($how)->start;
}


# Halts (SIGSTOP) and continues all of its processes: a server that hangs.

sub freeze
{
    my ($self) = @_;

    $self->_private;
    kill 'STOP', $self->{pid}, children($self->{pid});
    return $self;
}


sub thaw
{
    my ($self) = @_;

    kill 'CONT', children($self->{pid}), $self->{pid};
    return $self;
}


sub running
{
    my ($self) = @_;

    return $self->{private} ? defined $self->{pid} : 1;
}


# A streaming standby of it, started.  The primary needs wal_level = replica and
# max_wal_senders.

sub standby
{
    my ($self) = @_;

    my $standby = Hype::Postgres->new(start => 0);
    my $data = $standby->data_dir;

    $standby->_run('rm', '-rf', $data);
    $standby->_run(program('pg_basebackup'), '-D', $data,
                   '-h', $self->socket_dir, '-p', $self->port, '-U', 'postgres',
                   '-R', '-c', 'fast', '--no-sync');

    return $standby->start;
}


# Ends the module's connections, as an administrator or a fail-over would.

sub terminate
{
    my ($self, $user) = @_;

    return scalar $self->query(
        'select pg_terminate_backend(pid) from pg_stat_activity'
        . ' where usename = ? and datname = ?',
        $user // 'hype_nginx', $self->{dbname});
}


# Lines for postgresql.conf; a reload or restart is up to the caller.

sub configure
{
    my ($self, $text) = @_;

    $self->_private;
    open my $fh, '>>', "$self->{data}/postgresql.conf" or croak $!;
    print $fh "$text\n";
    close $fh;
    return $self;
}


sub reload
{
    my ($self) = @_;

    $self->_private;
    kill 'HUP', $self->{pid};
    return $self;
}


# A password for hype_nginx; the clusters of a test run have the same.

sub password
{
    return join '', map { ('a' .. 'z', 0 .. 9)[rand 36] } 1 .. 20;
}


# Making one

sub _create
{
    my ($self) = @_;

    my $schema = $self->{schema} // 1;
    my $template = $ENV{HYPE_PG_TEMPLATE};

    mkdir $_ for $self->{dir}, $self->{socket};
    chmod 0700, $self->{socket};
    $self->_own($self->{dir}, $self->{socket});

    if (defined $template && $schema) {
        $self->_run('cp', '-a', $template, $self->{data});
        $self->{ready} = 1;

    } else {
        $self->_run(program('initdb'), '-D', $self->{data}, '-U', 'postgres',
                    '-A', 'trust', '-E', 'UTF8', '--locale=C.UTF-8',
                    '--no-sync');
    }

    # Whoever may enter the socket's folder is trusted; over TCP it takes the
    # password, because other users of this machine can get there.

    write_file("$self->{data}/pg_hba.conf", <<'END');
local all all trust
local replication all trust
host all all 127.0.0.1/32 scram-sha-256
END

    $self->configure(<<"END");
listen_addresses = '127.0.0.1'
unix_socket_directories = '$self->{socket}'
max_connections = 100
shared_buffers = 32MB
fsync = off
full_page_writes = off
wal_level = minimal
max_wal_senders = 0
log_line_prefix = '%m [%p] %u '
logging_collector = off
timezone = 'UTC'
END

    $self->_certify if $self->{tls};
    $self->configure($self->{config}) if defined $self->{config};
}


sub _certify
{
    my ($self) = @_;

    my $dir = $self->{dir};

    $self->_run('openssl', 'req', '-x509', '-newkey', 'ec',
                '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2',
                '-subj', '/CN=localhost',
                '-addext', 'subjectAltName=DNS:localhost,IP:127.0.0.1',
                '-keyout', "$dir/server.key", '-out', "$dir/server.crt");

    $self->configure(<<"END");
ssl = on
ssl_cert_file = '$dir/server.crt'
ssl_key_file = '$dir/server.key'
END
}


sub _install
{
    my ($self) = @_;

    $self->_create_database('template0');
    $self->{ready} = 1;

    return if !($self->{schema} // 1);

    my ($status, $output) = $self->psql('-q', '-f', 'sql/hype.sql');
    croak "sql/hype.sql:\n$output" if $status;
    $self->exec("alter role hype_nginx password '$self->{password}'");
}


sub _create_database
{
    my ($self, $template) = @_;

    # "is being accessed by other users" passes
    my $end = time + 10;

    while (1) {
        my $dbh = $self->connect(dbname => 'postgres');
        return if eval {
            $dbh->do("create database $self->{dbname} template $template");
        };
        croak $@ if time > $end;
        sleep 0.05;
    }
}


sub _drop
{
    my ($self) = @_;

    delete $self->{dbh};
    eval {
        $self->connect(dbname => 'postgres')
             ->do("drop database if exists $self->{dbname} with (force)");
    };
}


sub _end
{
    my ($self) = @_;

    delete $self->{dbh};
    my $pid = delete $self->{pid} // return;
    kill 'CONT', $pid, children($pid);
    defined stop_process($pid, 'QUIT', 5) or stop_process($pid, 'KILL', 5);
}


sub _own
{
    my ($self, @paths) = @_;

    return if !defined $self->{user};
    my ($uid, $gid) = (getpwnam $self->{user})[2, 3];
    chown $uid, $gid, @paths;
}


sub _run
{
    my ($self, @command) = @_;

    my ($status, $output) = run(command => \@command, user => $self->{user});
    croak "@command:\n$output" if $status;
}


sub _try
{
    my ($self, $code) = @_;

    if ($self->{dbh} && !$self->{dbh}->ping) {
        delete $self->{dbh};
    }

    $self->{dbh} //= $self->connect;
    return $code->($self->{dbh});
}


sub _private
{
    my ($self) = @_;

    croak 'the shared PostgreSQL is not for this test to stop'
        if !$self->{private};
}


# PostgreSQL's programs: the newest installed, or those in HYPE_PG_BINDIR.

sub program
{
    my ($name) = @_;

    my @dirs = grep { -x "$_/initdb" } defined $ENV{HYPE_PG_BINDIR}
        ? $ENV{HYPE_PG_BINDIR} : glob '/usr/lib/postgresql/*/bin';
    @dirs or croak 'no PostgreSQL server found; install the package postgresql';

    my ($dir) = sort { _version($b) <=> _version($a) } @dirs;

    return "$dir/$name";
}


sub _version
{
    my ($path) = @_;

    return $path =~ m{/(\d+)/} ? $1 : 0;
}


1;
