# PostgreSQL's hosts: names, several of them, black holes, standbys, TLS.

use lib 't/lib';
use Hype::Test;
use Hype::Fault;
use Hype::Shim;
use Socket qw(PF_INET SOCK_STREAM inet_aton pack_sockaddr_in);

my $pg = cluster();

sub with
{
    my ($conninfo, %o) = @_;

    return fault_nginx(pg => $pg, %o,
        http => hype_database($conninfo, delete $o{database}));
}


sub hype_database
{
    my ($conninfo, $parameters) = @_;

    return qq(hype_database "$conninfo" ) . ($parameters // '') . ';';
}


sub conninfo
{
    return $pg->conninfo(tcp => 1, @_);
}


# A port that takes no connection and refuses none: its backlog is full.

sub black_hole
{
    my $port = free_port();
    my $address = pack_sockaddr_in($port, inet_aton('127.0.0.1'));
    my @sockets;

    for my $n (0 .. 3) {
        socket my $socket, PF_INET, SOCK_STREAM, 0 or die "socket: $!";
        push @sockets, $socket;

        if ($n == 0) {
            setsockopt $socket, Socket::SOL_SOCKET, Socket::SO_REUSEADDR, 1;
            bind $socket, $address or die "bind: $!";
            listen $socket, 0 or die "listen: $!";

        } else {
            IO::Handle::blocking($socket, 0);
            connect $socket, $address;
        }
    }

    return ($port, @sockets);
}


my ($hole, @held) = black_hole();
my ($link) = fault_links($pg);

# A black hole, and a visitor who waits for a link and then for a hit: not
# longer for both of them than "timeout"

my $nginx = with(conninfo(port => $hole), workers => 1,
                 database => 'timeout=2s connect_timeout=10s');

my $begin = time;
my $r = $nginx->get("/ref/$link/");

is($r->status, 302, 'a visitor is answered without a database');
is($r->header('X-Outcome'), 'spooled', 'the hit is spooled');
cmp_ok(time - $begin, '<', 2 + $Hype::Fault::slack, 'after "timeout" at the latest');

my @answers = $nginx->visits(count => 200, path => "/ref/$link/",
                             connections => 32);
is(grep({ $_->status == 302 } @answers), 200, 'many are answered');

$begin = time;
$nginx->quit;
cmp_ok(time - $begin, '<', 6, 'nginx does not wait for a connection to end');

# Host names

$nginx->restart(http => hype_database(conninfo(host => 'localhost')));
is_soon { $pg->hits('next is null') } 201, 'hits of before arrive';
fault 'a host name', pg => $pg, nginx => $nginx, sub { $_[0]->more(200) };

$nginx->restart(http => hype_database(conninfo(host => 'no-such-host.invalid')));
is($nginx->get("/ref/$link/")->status, 302,
   'an unknown host name: visitors are answered');
is_soon {
    $nginx->error_log =~ /hype: no connection to PostgreSQL: \S/ ? 1 : 0
} 1, 'and the log says why there is no connection';

$nginx->restart(http => hype_database(conninfo(
    host => 'no-such-host.invalid,localhost')));
is_soon { $pg->hits('next is null') } 202, 'another is known';
$nginx->quit;

# A name server that takes its time

SKIP: {
    my $shim = Hype::Shim->new or skip 'no library to preload', 8;

    $nginx = $shim->around(sub {
        with(conninfo(host => 'localhost'), start => 0,
             database => 'timeout=500ms connect_timeout=700ms',
             server => 'location = /other { return 204; }');
    });
    $shim->set('getaddrinfo 0 2000');
    $shim->around(sub { $nginx->start });

    fault 'a slow name server', pg => $pg, nginx => $nginx, within => 0.5,
        spooled => 1, sub {
        my ($load) = @_;
        $load->more(200);

        my $begin = time;
        is($nginx->get('/other')->status, 204, 'other requests are answered');
        cmp_ok(time - $begin, '<', 0.4 + $Hype::Fault::slack / 3, 'meanwhile');

        # it is waited for nevertheless, over several attempts
        wait_until { $pg->hits("next like '/$load->{tag}-%'") } 20, 'a hit';
    };

    $pg->terminate;
    $shim->set('getaddrinfo 1 0');

    fault 'a failing name server', pg => $pg, nginx => $nginx, within => 0.5,
        sub {
        my ($load) = @_;
        $load->more(100);
        $pg->terminate;
        $load->more(200);
        $shim->set;
        $load->more(100);
    };

    $nginx->quit;
}

# Several hosts

my $closing = Hype::Proxy->tcp(free_port());

for (['refuses', free_port()], ['is a black hole', $hole],
     ['closes connections', $closing->port])
{
    my ($what, $port) = @$_;

    $nginx = with(conninfo(host => '127.0.0.1,127.0.0.1',
                           port => "$port," . $pg->port),
                  database => 'connect_timeout=500ms');

    fault "the first of two hosts $what", pg => $pg, nginx => $nginx, sub {
        my ($load) = @_;
        $load->more(200);
        wait_until { $pg->hits("next like '/$load->{tag}-%'") } 20, 'a hit';
        $load->more(200);
    };

    is_soon { $nginx->get("/ref/$link/")->header('X-Outcome') } 'hit',
        'the second is in use';

    $nginx->quit;
}

# A password that is changed

$nginx = with(conninfo());

fault 'the password is changed', pg => $pg, nginx => $nginx, sub {
    my ($load) = @_;
    $load->more(100);
    $pg->exec(q(alter role hype_nginx password 'another'));
    $pg->terminate;
    $load->more(500);
    $pg->exec(qq(alter role hype_nginx password '$pg->{password}'));
    $load->more(100);
};

unlike($nginx->error_log, qr/\Q$pg->{password}\E/, 'it is not in the log');
$nginx->quit;

# TLS, with a certificate to be verified

my $tls = cluster(tls => 1);

my $secure = sub {
    return $tls->conninfo(tcp => 1, sslmode => 'verify-full', @_);
};

$nginx = fault_nginx(pg => $tls, http => hype_database(
    $secure->(host => 'localhost', sslrootcert => $tls->ca_file)));

fault 'PostgreSQL restarts behind TLS', pg => $tls, nginx => $nginx, sub {
    my ($load) = @_;
    $load->more(200);
    $tls->restart;
    $load->more(200);
};

is($tls->value('select bool_and(ssl) from pg_stat_ssl join pg_stat_activity'
               . " using (pid) where usename = 'hype_nginx'"), 't',
   'all connections are encrypted');
$nginx->quit;

my $other = cluster(tls => 1, start => 0);

$nginx = fault_nginx(pg => $tls, http => hype_database(
    $secure->(sslrootcert => $other->ca_file)));

($link) = fault_links($tls);
is($nginx->get("/ref/$link/")->header('X-Outcome'), 'spooled',
   'an untrusted certificate is no connection');
is($tls->value("select count(*) from pg_stat_activity where usename = 'hype_nginx'"),
   0, 'indeed');
like($nginx->error_log, qr/certificate verify failed/, 'the log says why');

$nginx->restart(http => hype_database($secure->(sslrootcert => $tls->ca_file)));
is_soon { $tls->hits('next is null') } 1, 'the hit arrives with the right one';
$nginx->quit;
$tls->stop;

done_testing();
