# Clients that go away while their hit is under way: it counts, once.

use lib 't/lib';
use Hype::Test;
use Hype::Fault;
use Hype::Nginx;
use Socket qw(SOL_SOCKET SO_LINGER);

my $pg = cluster();
my ($link, @cold) = fault_links($pg, 200);
my $http2_port = free_port();
my $listen = Hype::Nginx::listen_http2(undef, $http2_port);

my $nginx = fault_nginx(pg => $pg, database => 'timeout=10s', http => <<"END",
server {
    $listen
    location /ref/ { hype_ref; }
}
END
    server => 'location = /status { stub_status; }');


# Waits until so many requests are under way, beside the one that asks.

sub under_way
{
    my ($n) = @_;

    wait_until {
        my ($writing) = $nginx->get('/status')->body =~ /Writing: (\d+)/;
        $writing == $n + 1;
    } 20, "$n requests to be under way";
}


# Ways to go: reset, closed, closed for writing only, and not at all

my %leave = (
    RST => sub {
        my ($socket) = @_;
        setsockopt $socket, SOL_SOCKET, SO_LINGER, pack 'ii', 1, 0;
        close $socket;
    },
    FIN => sub { close $_[0] },
    'half a FIN' => sub { shutdown $_[0], 1 },
    nothing => sub { },
);


sub start
{
    my ($next, $identifier) = @_;

    my $socket = $nginx->open;
    print $socket "GET /ref/$identifier/?next=/$next HTTP/1.1\r\n"
        . "Host: localhost\r\n\r\n";
    return $socket;
}


sub counts
{
    my ($prefix, $n, $name) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;
    is_soon { $pg->hits('next like ?', "/$prefix-%") } $n, $name;

    my $found = $pg->hits('next like ?', "/$prefix-%");
    my $different = $pg->value('select count(distinct next) from '
        . 'hype.referral_hit where next like ?', "/$prefix-%");
    report($name, $n, 0, $found, $n - $different, $found - $different);

    return is($different, $n, 'once');
}


$nginx->get("/ref/$link/") for 1 .. 10;

for my $how (sort keys %leave) {
    my @sockets;

    with_lock($pg, 'hype.referral_hit', sub {
        @sockets = map { start("hit-$_", $link) } 1 .. 40;
        under_way(40);
        $leave{$how}->($_) for @sockets;
    });

    counts('hit', 40, "a client leaves by $how while its hit is written");

    if ($how eq 'nothing') {
        is(grep({ http_read($_)->status == 302 } @sockets), 40,
           'who stays is answered');
    }

    $pg->exec('delete from hype.referral_hit');

    # the same while the link is looked up, which is not in the cache

    with_lock($pg, 'hype.referral_link', sub {
        @sockets = map { start("link-$_", shift @cold) } 1 .. 20;
        under_way(20);
        $leave{$how}->($_) for @sockets;
    });

    counts('link', 20, "a client leaves by $how while its link is looked up");
    $pg->exec('delete from hype.referral_hit');
}

# All at once, at any moment

my @sockets;
for my $n (1 .. 300) {
    push @sockets, start("any-$n", $link);
    my @ways = @leave{qw(RST FIN)};
    $ways[rand 2]->(shift @sockets) while @sockets > rand 8;
}
is($nginx->get("/ref/$link/")->status, 302, 'nginx goes on');
is_soon {
    my ($active) = $nginx->get('/status')->body =~ /connections: (\d+)/;
    $active <= @sockets + 1 ? 1 : 0;
} 1, 'no connection is left';
cmp_ok($pg->hits("next like '/any-%'"), '<=', 300, 'no hit counts twice');
is($pg->value('select count(*) from (select next from hype.referral_hit where '
              . "next like '/any-%' group by next having count(*) > 1) as t"), 0,
   'not one');

# A pipeline of requests on one connection

my $socket = $nginx->open;
print $socket map { "GET /ref/$link/?next=/pipe-$_ HTTP/1.1\r\nHost: localhost\r\n\r\n" }
    1 .. 20;
is(grep({ http_read($socket)->location =~ m{/pipe-$_$} } 1 .. 20), 20,
   'requests in a pipeline are answered in turn');
counts('pipe', 20, 'each is a hit');

# HTTP/2: streams that are reset, and connections

my %frames = (DATA => 0, HEADERS => 1, RST_STREAM => 3, SETTINGS => 4, PING => 6,
              GOAWAY => 7);


sub frame
{
    my ($type, $flags, $stream, $payload) = @_;

    return substr(pack('N', length $payload), 1)
        . pack('CCN', $frames{$type}, $flags, $stream) . $payload;
}


# HPACK, "literal header field without indexing, new name"

sub header
{
    my ($name, $value) = @_;

    return "\0" . join '', map { chr(length $_) . $_ } $name, $value;
}


sub http2_open
{
    my $socket = http_open($http2_port);
    print $socket "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" . frame('SETTINGS', 0, 0, '');
    return $socket;
}


sub http2_start
{
    my ($socket, $stream, $next) = @_;

    my $headers = header(':method', 'GET') . header(':scheme', 'http')
        . header(':authority', 'localhost')
        . header(':path', "/ref/$link/?next=/$next");
    print $socket frame('HEADERS', 5, $stream, $headers);
}


# Sends frames, and waits until nginx has read them: it answers a PING behind them.

sub http2_send
{
    my ($socket, @frames) = @_;

    my $payload = 'all-read';
    print $socket @frames, frame('PING', 0, 0, $payload);

    my $read = '';

    while ($read !~ /\Q$payload\E/) {
        sysread $socket, $read, 4096, length $read or die "no PING: $!\n";
    }
}


my %leave2 = (
    RST_STREAM => sub {
        my ($socket, @streams) = @_;
        http2_send($socket, map { frame('RST_STREAM', 0, $_, pack 'N', 8) } @streams);
    },
    GOAWAY => sub {
        http2_send($_[0], frame('GOAWAY', 0, 0, pack 'NN', 0, 0))
    },
    RST => $leave{RST},
    FIN => $leave{FIN},
);

for my $how (sort keys %leave2) {
    my @sockets = map { http2_open() } 1 .. 4;
    my @streams = map { $_ * 2 + 1 } 0 .. 9;

    with_lock($pg, 'hype.referral_hit', sub {
        for my $n (0 .. $#sockets) {
            http2_start($sockets[$n], $_, "h2-$n-$_") for @streams;
        }

        under_way(40);
        $leave2{$how}->($_, @streams) for @sockets;
    });

    counts('h2', 40, "HTTP/2: a client leaves by $how");
    $pg->exec('delete from hype.referral_hit');
}

is(curl('--http2-prior-knowledge', "http://127.0.0.1:$http2_port/ref/$link/")->status,
   302, 'HTTP/2 goes on');

$nginx->quit;

done_testing();
