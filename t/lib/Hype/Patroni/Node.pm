package Hype::Patroni::Node;

# A node of Hype::Patroni: Patroni, and the PostgreSQL that it starts, promotes
# and stops.  It takes the queries of a Hype::Postgres.

use strict;
use warnings;

use parent 'Hype::Postgres';

use Carp qw(croak);
use JSON::PP ();
use Time::HiRes qw(sleep);

use Hype::Example qw(example_file);
use Hype::HTTP ();
use Hype::Proxy ();
use Hype::Util qw(at_end children free_port read_file server_user spawn
                  stop_process temp_dir wait_until write_file);


sub new
{
    my ($class, %o) = @_;

    my $self = bless {
        %o,
        dir => temp_dir($o{name}),
        user => server_user(),
        dbname => 'hype',
        port => free_port(),
        rest => free_port(),
    }, $class;

    my $dir = $self->{dir};

    $self->{socket} = "$dir/s";
    $self->{data} = "$dir/data";
    $self->{log} = "$dir/log";

    mkdir $self->{socket};
    chmod 0700, $self->{socket};

    # what the others, nginx, and itself reach through a network
    $self->{link} = {
        etcd => Hype::Proxy->tcp($self->{etcd}),
        peers => Hype::Proxy->tcp($self->{port}),
        rest => Hype::Proxy->tcp($self->{rest}),
        clients => Hype::Proxy->tcp($self->{port}),
    };

    write_file("$dir/patroni.yml", $self->_config);
    $self->_own($dir, $self->{socket}, "$dir/patroni.yml");
    chmod 0600, "$dir/patroni.yml";

    at_end(sub { $self->_end; 1 });
    return $self;
}


sub client_port { $_[0]{link}{clients}->port }
sub rest_port { $_[0]{link}{rest}->port }


# Its Patroni.

sub start
{
    my ($self) = @_;

    croak "$self->{name} is running" if defined $self->{patroni};

    $self->{patroni} = spawn(
        command => ['patroni', "$self->{dir}/patroni.yml"],
        user => $self->{user}, output => $self->{log}, death => 'TERM');

    return $self;
}


# A request to Patroni's REST API: a Hype::Response.

sub patroni
{
    my ($self, $method, $path, $data) = @_;

    my $body = defined $data ? JSON::PP->new->canonical->encode($data) : '';
    my $socket = Hype::HTTP::http_open($self->{rest});

    print {$socket} "$method $path HTTP/1.0\r\nContent-Type: application/json\r\n"
        . 'Content-Length: ' . length($body) . "\r\n\r\n$body";

    return Hype::HTTP::http_read($socket, method => $method, timeout => 60);
}


# Whether it has the leader's lock, and can be written to

sub is_primary
{
    my ($self) = @_;

    return 0 if $self->{frozen};
    my $r = eval { $self->patroni('GET', '/primary') };

    return $r && $r->status == 200 && ($self->in_recovery // 1) == 0;
}


# 1 if it is read-only, 0 if not, undef if it can't be asked

sub in_recovery
{
    my ($self) = @_;

    return eval {
        $self->connect(dbname => 'postgres')
             ->selectrow_array('select pg_is_in_recovery()::int');
    };
}


sub install
{
    my ($self) = @_;

    $self->_create_database('template0');
    my ($status, $output) = $self->psql('-q', '-f', 'sql/hype.sql');
    croak "sql/hype.sql:\n$output" if $status;
    $self->exec("alter role hype_nginx password '$self->{password}'");
}


# Its processes: Patroni (unless $postgres) and PostgreSQL.

sub processes
{
    my ($self, $postgres) = @_;

    my $file = "$self->{data}/postmaster.pid";
    my ($pid) = -e $file ? split /\n/, read_file($file) : ();
    my @all = $postgres ? () : $self->{patroni} // ();

    push @all, $pid, children($pid) if $pid && $self->_is_ours($pid);
    return @all;
}


# Ends them by SIGKILL: the machine has gone.

sub kill
{
    my ($self, $postgres) = @_;

    my @all = $self->processes($postgres);
    CORE::kill('KILL', @all);
    delete $self->{dbh};
    $self->{link}{peers}->cut;

    stop_process(delete $self->{patroni}, undef, 10) if !$postgres;
    wait_until { !grep { CORE::kill(0, $_) } @all } 20, 'a node to be gone';

    return $self;
}


# Halts all of them, or Patroni alone ("patroni"), and continues them.

sub freeze
{
    my ($self, $what) = @_;

    $self->{frozen} = 1;
    delete $self->{dbh};

    if ($what) {
        CORE::kill('STOP', $self->{patroni});
    } else {
        # those that are started meanwhile, too
        CORE::kill('STOP', $self->processes) for 1 .. 2;
    }

    return $self;
}


sub thaw
{
    my ($self, $postgres) = @_;

    CORE::kill('CONT', reverse $self->processes($postgres));
    delete $self->{frozen} if !$postgres;
    return $self;
}


# Cuts links of its network, all or those named: nothing passes, and nothing is
# refused.  join() has the packets of before arrive, as TCP does.

sub isolate
{
    my ($self, @links) = @_;

    @links = sort keys %{ $self->{link} } if !@links;
    $self->{link}{$_}->freeze for @links;
    return $self;
}


sub join
{
    my ($self) = @_;

    $_->thaw for values %{ $self->{link} };
    return $self;
}


# Ends all that was done to it.

sub recover
{
    my ($self) = @_;

    $self->thaw->join;
    $self->start if !defined $self->{patroni};
    return $self;
}


# What a killed one has on its disk: a copy of it, started alone.

sub remains
{
    my ($self) = @_;

    my $copy = Hype::Postgres->new(start => 0);
    my $data = $copy->data_dir;

    $copy->_run('rm', '-rf', $data);
    $copy->_run('cp', '-a', $self->{data}, $data);

    return $copy->start;
}


# examples/patroni/patroni.yml for this one

sub _config
{
    my ($self) = @_;

    my $text = example_file('patroni/patroni.yml');
    my $link = $self->{link};
    my $bin = Hype::Postgres::program('initdb') =~ s{/initdb$}{}r;
    my ($dir, $name, $password) = @$self{qw(dir name password)};

    my @replace = (
        'name: db1' => "name: $name",
        'etcd3:' => $self->{api} == 2 ? 'etcd:' : 'etcd3:',
        'hosts: etcd1.example.com:2379,etcd2.example.com:2379,'
            . 'etcd3.example.com:2379'
            => 'hosts: 127.0.0.1:' . $link->{etcd}->port
               . "\n  use_proxies: true",
        'listen: 0.0.0.0:8008' => "listen: 127.0.0.1:$self->{rest}",
        'db1.example.com:8008' => '127.0.0.1:' . $link->{rest}->port,
        'listen: 0.0.0.0:5432' => "listen: 127.0.0.1:$self->{port}",
        'db1.example.com:5432' => '127.0.0.1:' . $link->{peers}->port,
        '/var/lib/postgresql/17/app' => $self->{data},
        '/usr/lib/postgresql/17/bin' => $bin,
        '/var/lib/postgresql/patroni.pgpass' => "$dir/pgpass",
        'change-this-1' => $password,
        'change-this-2' => $password,
        # its folder lets in who may
        'local all all peer' => 'local all all trust',
        '/run/postgresql' => "$self->{socket}\n    fsync: 'off'"
            . "\n    shared_buffers: 32MB\n    timezone: UTC"
            # a shutdown waits so long for a standby that is cut off
            . "\n    wal_sender_timeout: 5s",
        # not this machine's
        'mode: automatic' => "mode: 'off'",
    );

    while (my ($from, $to) = splice @replace, 0, 2) {
        $text =~ s/\Q$from\E(?=\n)/$to/
            or croak "\"$from\" is not in examples/patroni/patroni.yml";
    }

    return $text;
}


# A file of a server that was killed may name another's process.

sub _is_ours
{
    my ($self, $pid) = @_;

    open my $fh, '<', "/proc/$pid/cmdline" or return 0;
    return (<$fh> // '') =~ /\Q$self->{data}\E/;
}


sub _end
{
    my ($self) = @_;

    my @all = $self->processes;
    my $patroni = delete $self->{patroni};
    CORE::kill('KILL', @all);
    stop_process($patroni, undef, 5) if defined $patroni;
}


1;
