package Hype::Citus;

# A cluster of Citus: a coordinator and two workers, each a Hype::Postgres, with
# the schema and its hits distributed.  It takes a PostgreSQL with Citus, whose
# bin folder is in HYPE_CITUS:
#
#   use Hype::Citus;        # skips the test where there is none
#
#   my $citus = Hype::Citus->new;
#   my $nginx = nginx(pg => $citus->worker(1));
#   is($citus->coordinator->hits, 1);
#
# Other nodes reach the second worker by a proxy, whose faults are those of its
# network:
#
#   $citus->network->cut;

use strict;
use warnings;

use Carp qw(croak);
use Test::More ();

use Hype::Postgres ();
use Hype::Proxy ();


sub import
{
    if (!-x ($ENV{HYPE_CITUS} // '') . '/postgres') {
        Test::More::plan(skip_all => 'HYPE_CITUS is not the bin folder of a '
                         . 'PostgreSQL with Citus, which Debian does not have');
    }

    $ENV{HYPE_PG_BINDIR} = $ENV{HYPE_CITUS};
}


#   distribute   0: hits are not distributed yet

sub new
{
    my ($class, %o) = @_;

    my @nodes = map { Hype::Postgres->new(schema => 0, config => <<'END') } 0 .. 2;
shared_preload_libraries = 'citus'
wal_level = logical
max_wal_senders = 10
max_replication_slots = 10
max_prepared_transactions = 100
citus.node_conninfo = 'sslmode=disable'
citus.recover_2pc_interval = '1s'
END

    my $network = Hype::Proxy->new($nodes[2]);
    my $self = bless { nodes => \@nodes, network => $network }, $class;
    my ($coordinator, @workers) = @nodes;

    $_->exec('set client_min_messages = warning; create extension citus')
        for @nodes;

    # by their sockets: whoever may enter these folders is trusted

    $_->configure("citus.local_hostname = '" . $_->socket_dir . "'")->reload
        for @nodes;

    $coordinator->query('select citus_set_coordinator_host(?, ?)',
                        $coordinator->socket_dir, $coordinator->port);
    $coordinator->query('select citus_add_node(?, ?)', $self->address($_))
        for @workers;
    $coordinator->query("select citus_set_node_property(?, ?,
        'shouldhaveshards', true)", $coordinator->socket_dir,
        $coordinator->port);

    $self->install;
    $self->distribute if $o{distribute} // 1;

    return $self;
}


sub coordinator { $_[0]{nodes}[0] }
sub worker { $_[0]{nodes}[$_[1]] }
sub nodes { @{ $_[0]{nodes} } }
sub network { $_[0]{network} }


# Where other nodes find that one.

sub address
{
    my ($self, $node) = @_;

    my $host = $node == $self->worker(2) ? $self->network->dir
                                         : $node->socket_dir;
    return ($host, $node->port);
}


# Runs hype.sql, which is for the coordinator.

sub install
{
    my ($self) = @_;

    my ($status, $output) = $self->coordinator->psql('-q', '-f', 'sql/hype.sql');
    croak "sql/hype.sql:\n$output" if $status;

    return $self;
}


sub distribute
{
    my ($self) = @_;

    $self->coordinator->query('select hype.distribute()');
    return $self;
}


# Moves the shard of that value of "node" to a node of the cluster.

sub move
{
    my ($self, $value, $to) = @_;

    my ($shard, $host, $port) = @{ ($self->coordinator->query(<<'END', $value))[0] };
select s.shardid, n.nodename, n.nodeport
from (select get_shard_id_for_distribution_column('hype.referral_hit',
                                                  ?::smallint) as shardid) s
join pg_dist_placement p using (shardid) join pg_dist_node n using (groupid)
END

    $self->coordinator->query("select citus_move_shard_placement(?, ?, ?, ?, ?,
        shard_transfer_mode => 'block_writes')", $shard, $host, $port,
        $self->address($to));

    return $self;
}


# Derives until there is nothing more to do.

sub derive
{
    my ($self) = @_;

    for (1 .. 1000) {
        my $again = $self->coordinator->value('select again from hype.derive()');
        return $self if !defined $again || $again > 1000;
    }

    croak 'hype.derive() does not end';
}


1;
