package Hype::Patroni;

# A cluster of three PostgreSQLs that Patroni manages, with etcd, and the schema
# of sql/hype.sql in its database:
#
#   my $patroni = Hype::Patroni->new;
#   $patroni->settled(1);           all nodes are there, one synchronous
#   my $primary = $patroni->primary;                 a Hype::Patroni::Node
#   my $nginx = nginx(http => $patroni->hype_database, ...);
#   my $other = nginx(http => $patroni->haproxy, ...);
#
#   $primary->kill; $primary->start;     Patroni and PostgreSQL
#   $primary->isolate; $primary->join;   its network
#   $patroni->patronictl('pause');
#
# The configurations are those of examples/patroni, with other addresses.  A node
# reaches etcd, and is reached by the others, through proxies that can fail.

use strict;
use warnings;

use Carp qw(croak);
use IO::Socket::INET ();
use JSON::PP ();
use MIME::Base64 qw(decode_base64 encode_base64);

use Hype::Example qw(example_file);
use Hype::HTTP ();
use Hype::Patroni::Node ();
use Hype::Postgres ();
use Hype::Util qw(at_end free_port read_file run server_user spawn stop_process
                  temp_dir wait_until write_file);


sub new
{
    my ($class) = @_;

    my $self = bless {
        password => Hype::Postgres::password(),
        api => _api(),
    }, $class;

    $self->{etcd} = $self->_etcd;
    $self->{nodes} = [map { Hype::Patroni::Node->new(
        name => "db$_", etcd => $self->{etcd}, api => $self->{api},
        password => $self->{password})
    } 1 .. 3];

    my ($first, @others) = $self->nodes;

    $first->start;
    $self->primary->install;

    $_->start for @others;
    return $self;
}


sub nodes { @{ $_[0]{nodes} } }


# The node that has the leader lock, and can be written to; another one than $old.

sub primary
{
    my ($self, $old) = @_;

    return wait_until {
        my $leader = $self->leader;
        $leader && (!$old || $leader != $old) && $leader->is_primary && $leader;
    } 90, 'a primary';
}


# The node that etcd names.  One that ran for itself may take itself for it.

sub leader
{
    my ($self) = @_;

    my $name = $self->{api} == 2 ? $self->_leader_v2 : $self->_leader_v3;

    return (grep { $_->{name} eq ($name // '') } $self->nodes)[0];
}


sub _leader_v2
{
    my ($self) = @_;

    my $r = eval {
        Hype::HTTP::http_get($self->{etcd}, '/v2/keys/service/app/leader')
    };

    return $r && $r->status == 200
        ? JSON::PP::decode_json($r->body)->{node}{value} : undef;
}


sub _leader_v3
{
    my ($self) = @_;

    my $body = JSON::PP::encode_json({
        key => encode_base64('/service/app/leader', '') });
    my $r = eval {
        Hype::HTTP::http_raw($self->{etcd}, "POST /v3/kv/range HTTP/1.0\r\n"
            . 'Content-Length: ' . length($body) . "\r\n\r\n$body")
    };

    return if !$r || $r->status != 200;

    my ($key) = @{ JSON::PP::decode_json($r->body)->{kvs} // [] };
    return $key ? decode_base64($key->{value}) : undef;
}


# With version 3 of etcd's API, a primary that runs again takes the leader lock
# back in a Patroni before 3.0.3, and what the new primary has committed is lost.

sub _api
{
    my ($status, $output) = run(command => ['patroni', '--version']);
    my ($major, $minor, $patch) = $output =~ /(\d+)\.(\d+)\.(\d+)/
        or croak "patroni --version: $output";

    return $major * 1e4 + $minor * 100 + $patch < 30003 ? 2 : 3;
}


# The synchronous standby, or one of the standbys.

sub standby
{
    my ($self) = @_;

    my ($name) = $self->primary->value('select application_name from'
        . ' pg_stat_replication order by sync_state = ? desc limit 1', 'sync');

    return (grep { $_->{name} eq $name } $self->nodes)[0];
}


# Waits until two standbys follow the primary; one of them, or none, as a
# synchronous one.

sub settled
{
    my ($self, $synchronous) = @_;

    wait_until {
        my $primary = $self->leader;
        $primary && $primary->is_primary && '2|' . ($synchronous ? 1 : 0) eq (eval {
            join '|', map { @$_ } $primary->query(
                'select count(*), count(*) filter (where sync_state = ?)'
                . q( from pg_stat_replication where state = 'streaming'), 'sync')
        } // '');
    } 120, 'all nodes to follow the primary';

    return $self;
}


# Changes what patronictl edit-config does.

sub configure
{
    my ($self, %settings) = @_;

    my $r = $self->primary->patroni('PATCH', '/config', \%settings);
    croak 'PATCH /config: ' . ($r->{error} // $r->body) if $r->status != 200;

    return $self;
}


sub switch_over
{
    my ($self, $to) = @_;

    my $r = $self->primary->patroni('POST', '/switchover', {
        leader => $self->primary->{name}, candidate => $to->{name} });
    croak 'POST /switchover: ' . ($r->{error} // $r->body) if $r->status != 200;

    return $to;
}


# What an operator does

sub patronictl
{
    my ($self, @command) = @_;

    my ($node) = $self->nodes;
    my ($status, $output) = run(user => $node->{user}, command => [
        'patronictl', '-c', "$node->{dir}/patroni.yml", @command]);
    croak "patronictl @command: $output" if $status;

    return $output;
}


# "hype_database" of examples/patroni/nginx.conf, for this cluster

sub hype_database
{
    my ($self) = @_;

    my @nodes = $self->nodes;
    my $hosts = 'host=' . join(',', ('127.0.0.1') x @nodes)
              . ' port=' . join(',', map { $_->client_port } @nodes);

    return $self->_directive(qr/^(hype_database .*?;)/ms,
        qr/host=\S+ port=\S+/ => $hosts);
}


sub _directive
{
    my ($self, $pattern, $hosts, $here) = @_;

    my ($text) = example_file('patroni/nginx.conf') =~ $pattern
        or croak 'the example has no hype_database';
    $text =~ s/^# ?//mg;

    for my $pair ([$hosts, $here], [qr/dbname=\S+/, 'dbname=hype'],
                  [qr/passfile=\S+?(?="|\s)/, "password=$self->{password}"])
    {
        my ($from, $to) = @$pair;
        $text =~ s/$from/$to/ or croak "$from is not in $text";
    }

    return $text;
}


# An HAProxy in front of it, with examples/patroni/haproxy.cfg

sub haproxy
{
    my ($self) = @_;

    my $dir = temp_dir('haproxy');
    my $port = free_port();
    my $text = example_file('patroni/haproxy.cfg');

    $text =~ s/127\.0\.0\.1:5000/127.0.0.1:$port/ or croak 'no bind';

    for my $node ($self->nodes) {
        my $to = sprintf '127.0.0.1:%d check port %d',
            $node->client_port, $node->rest_port;
        $text =~ s/\Q$node->{name}\E\.example\.com:5432 check port 8008/$to/
            or croak "no server $node->{name}";
    }

    write_file("$dir/haproxy.cfg", $text);
    chmod 0755, $dir;
    chmod 0644, "$dir/haproxy.cfg";

    my $pid = spawn(command => ['/usr/sbin/haproxy', '-db', '-f',
                                "$dir/haproxy.cfg"],
                    user => server_user(), output => "$dir/log");
    at_end(sub { defined stop_process($pid, 'KILL') });

    wait_until {
        croak "HAProxy did not start:\n" . read_file("$dir/log")
            if defined stop_process($pid, undef, 0);
        IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $port);
    } 20, 'HAProxy to start';

    return $self->_directive(qr/^(# hype_database .*?;)/ms,
        qr/host=\S+ port=\S+/ => "host=127.0.0.1 port=$port");
}


# etcd, on a port that is returned

sub _etcd
{
    my ($self) = @_;

    my $dir = temp_dir('etcd');
    my $user = server_user();
    my ($port, $peers) = (free_port(), free_port());

    chown((getpwnam $user)[2, 3], $dir) if defined $user;

    my $pid = spawn(command => ['env', $self->_etcd_settings($port, $peers),
                                "ETCD_DATA_DIR=$dir/data", 'etcd'],
                    user => $user, output => "$dir/log");
    at_end(sub { defined stop_process($pid, 'KILL') });

    wait_until {
        croak "etcd did not start:\n" . read_file("$dir/log")
            if defined stop_process($pid, undef, 0);
        my $r = eval { Hype::HTTP::http_get($port, '/health') };
        $r && $r->status == 200;
    } 30, 'etcd to start';

    return $port;
}


# What examples/patroni/etcd says, for one that is alone

sub _etcd_settings
{
    my ($self, $port, $peers) = @_;

    my $text = example_file('patroni/etcd');

    if ($self->{api} == 2) {
        $text =~ s/^# (?=ETCD_ENABLE_V2=true$)//m or croak 'no ETCD_ENABLE_V2';
    }

    $text =~ s/^(ETCD_INITIAL_CLUSTER=\S+?),.*/$1/m or croak 'no other etcd';
    $text =~ s/etcd1\.example\.com|0\.0\.0\.0/127.0.0.1/g;
    $text =~ s/:2379$/:$port/mg;
    $text =~ s/:2380$/:$peers/mg;

    return $text =~ /^(ETCD_\S+)$/mg;
}


1;
