# A primary with a synchronous standby, and one conninfo for both.

use lib 't/lib';
use Hype::Test;
use Hype::Fault;

my $primary = cluster(config => <<'END');
wal_level = replica
max_wal_senders = 5
hot_standby = on
END

my $standby = $primary->standby;


sub synchronous
{
    my ($pg, $names) = @_;

    $pg->exec("alter system set synchronous_standby_names = '$names'");
    $pg->reload;
}


my $hosts = sub {
    my (@pg) = @_;

    my $conninfo = $pg[0]->conninfo(
        host => join(',', map { $_->socket_dir } @pg),
        port => join(',', map { $_->port } @pg),
        target_session_attrs => 'read-write');

    return qq(hype_database "$conninfo" timeout=1s;);
};

wait_until {
    $primary->value("select count(*) from pg_stat_replication where state = 'streaming'")
} 30, 'the standby to stream';

synchronous($primary, '*');

# The standby comes first in the list, and is read-only.

my $nginx = fault_nginx(pg => $primary,
                        http => $hosts->($standby, $primary));

fault 'a read-only standby is the first of two hosts', pg => $primary,
    nginx => $nginx, sub { $_[0]->more(300) };

is($primary->value('select sync_state from pg_stat_replication'), 'sync',
   'the standby is a synchronous one');

# While it is away, no commit ends: each connection is given up after a while,
# but its backend is not, and they must not become more and more.

my $dbh = $primary->connect;

fault 'the synchronous standby is away', pg => $primary, nginx => $nginx,
    rate => 100, settle => 60, sub {
    my ($load) = @_;
    $load->more(100);
    $standby->stop;
    $load->more(1500);
    cmp_ok($dbh->selectrow_array('select count(*) from pg_stat_activity where '
                                 . q(wait_event = 'SyncRep')),
           '<=', 4, 'backends that wait for it');
    $standby->start;
    $load->more(100);
};

undef $dbh;

wait_until {
    $primary->value("select count(*) from pg_stat_replication where state = 'streaming'")
} 30, 'the standby to stream again';

# Failover: what the primary has committed, and what its clients were told, is
# with the standby.

my ($link) = fault_links($primary);

fault 'failover to a synchronous standby', pg => $standby, nginx => $nginx,
    link => [$link], sub {
    my ($load) = @_;
    $load->more(300);
    $primary->stop('kill');
    $load->more(300);
    $standby->value('select pg_promote()');
    wait_until { $standby->hits("next like '/$load->{tag}-%'") > 500 } 30,
        'hits to arrive at the new primary';
    $load->more(300);
};

# A switch-over, from that one to a standby of its own

$standby->exec('alter system reset synchronous_standby_names');
$standby->reload;

my $new = $standby->standby;

wait_until {
    $standby->value("select count(*) from pg_stat_replication where state = 'streaming'")
} 30, 'the new standby to stream';

synchronous($standby, '*');
$nginx->restart(http => $hosts->($standby, $new));

fault 'switch-over', pg => $new, nginx => $nginx, link => [$link], sub {
    my ($load) = @_;
    $load->more(200);
    $standby->stop('fast');
    $new->value('select pg_promote()');
    $new->exec('alter system reset synchronous_standby_names');
    $new->reload;
    $load->more(200);
};

# A server that lets us in, but not write

fault 'the database becomes read-only', pg => $new, nginx => $nginx,
    link => [$link], sub {
    my ($load) = @_;
    $load->more(100);
    $new->exec('alter role hype_nginx set default_transaction_read_only = on');
    $new->terminate;
    $load->more(300);
    $new->exec('alter role hype_nginx reset default_transaction_read_only');
    $load->more(100);
};

$nginx->quit;

done_testing();
