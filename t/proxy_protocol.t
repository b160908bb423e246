# The PROXY protocol, versions 1 and 2: a hit has the client's address, with
# realip, also where the load balancer connects through a Unix socket.

use lib 't/lib';
use Hype::Test;
use IO::Socket::UNIX ();
use Socket qw(AF_INET6 inet_aton inet_pton);

my $pg = database();
$pg->link('abc');

my $port = free_port();
my $http2_port = free_port();
my $http2 = Hype::Nginx->listen_http2($http2_port)
    =~ s/(listen [^;]*)/$1 proxy_protocol/r;

my $nginx = nginx(pg => $pg, http => <<"HTTP", server => <<'SERVER');
server {
    listen 127.0.0.1:$port proxy_protocol;
    listen unix:%%DIR%%/socket proxy_protocol;
    $http2
    set_real_ip_from 127.0.0.1;
    set_real_ip_from unix:;
    real_ip_header proxy_protocol;
    absolute_redirect off;

    location /ref/ {
        hype_ref;
    }

    location /masked/ {
        hype_ref;
        hype_ip masked;
    }

    location /page {
        hype_user \$arg_user;
        return 200 "\$remote_addr";
    }
}

server {
    listen 127.0.0.1:$port proxy_protocol;
    server_name untrusted;
    set_real_ip_from 192.0.2.1;
    real_ip_header proxy_protocol;

    location /ref/ {
        hype_ref;
    }
}
HTTP
location / { return 204; }
SERVER

my %header = (
    'TCP4' => text_header('TCP4 198.51.100.77 203.0.113.1 56324 443'),
    'TCP6' => text_header('TCP6 2001:db8:1:2:3:4:5:6 2001:db8::1 56324 443'),
    'UNKNOWN' => text_header('UNKNOWN'),
    '2, TCP4' => binary_header(0x21, 0x11, inet_aton('198.51.100.77')
        . inet_aton('203.0.113.1') . pack('nn', 56324, 443)),
    '2, TCP6' => binary_header(0x21, 0x21, inet_pton(AF_INET6, '2001:db8:1:2:3:4:5:6')
        . inet_pton(AF_INET6, '2001:db8::1') . pack('nn', 56324, 443)),
    '2, with a TLV' => binary_header(0x21, 0x11, inet_aton('198.51.100.77')
        . inet_aton('203.0.113.1') . pack('nnCn/a', 56324, 443, 2, 'example.com')),
    '2, LOCAL' => binary_header(0x20, 0, ''),
);

for my $case (
    ['TCP4', '/ref/abc' => '198.51.100.77'],
    ['TCP4', '/masked/abc' => '198.51.100.0'],
    ['TCP6', '/ref/abc' => '2001:db8:1:2:3:4:5:6'],
    ['TCP6', '/masked/abc' => '2001:db8:1::'],
    ['UNKNOWN', '/ref/abc' => '127.0.0.1'],
    ['2, TCP4', '/ref/abc' => '198.51.100.77'],
    ['2, TCP6', '/ref/abc' => '2001:db8:1:2:3:4:5:6'],
    ['2, with a TLV', '/ref/abc' => '198.51.100.77'],
    ['2, LOCAL', '/ref/abc' => '127.0.0.1'],
    ['TCP4', '/ref/abc' => '127.0.0.1', 'untrusted'],
) {
    my ($header, $path, $ip, $host) = @$case;
    my $name = "$header, $path" . ($host ? ", $host" : '');

    my $r = visit(http_open($port), $header{$header}, $path, $host);
    is($r->status, 302, $name);
    is(rows('host(ip)'), "$ip\n", "... the hit's address");
}

# Through a Unix socket

my $socket = IO::Socket::UNIX->new(Peer => $nginx->dir . '/socket')
    or die "connect: $!";
is(visit($socket, $header{TCP4}, '/ref/abc')->status, 302, 'a Unix socket');
is(rows('host(ip)'), "198.51.100.77\n", "... the client's address");

# A connection is one client's, for all of its requests

$socket = http_open($port);
is(visit($socket, $header{TCP4}, '/ref/abc?next=/1')->location, '/1', 'keep-alive');
is(visit($socket, '', '/ref/abc?next=/2')->location, '/2', '... again');
is(rows('host(ip)'), "198.51.100.77\n198.51.100.77\n", '... two hits from it');

# HTTP/2, whose client sends a header of version 1 with its own address

my $r = curl('--haproxy-protocol', '--http2-prior-knowledge',
             "http://127.0.0.1:$http2_port/ref/abc");
like($r->status_line, qr{^HTTP/2 302}, 'HTTP/2');
is(rows('host(ip)'), "127.0.0.1\n", '... its address');

# A visitor is claimed as anywhere

my $visitor = visit(http_open($port), $header{TCP4}, '/ref/abc')->cookie('hype_visitor');
$r = visit(http_open($port), $header{TCP6}, '/page?user=42', undef,
           "hype_visitor=$visitor");
is($r->body, '2001:db8:1:2:3:4:5:6', 'a user on another network');
is_soon { $pg->hits("user_id = '42' and host(ip) = '198.51.100.77'") } 1,
        '... is the one who followed the link';

# What has no such header, or a bad one, is closed before there is a request

$pg->exec('truncate hype.referral_hit');

for my $bytes ('', text_header('TCP4 198.51.100.77'), 'PROXY ' . 'x' x 200,
               binary_header(0x21, 0x11, "\x01\x02"))
{
    my $r = visit(http_open($port), $bytes, '/ref/abc');
    isnt($r->status, 302, 'no good header: ' . ($bytes =~ s/[^ -~]+/./gr || 'none'));
}

is($pg->hits, 0, 'no hits');

done_testing();


sub text_header { return "PROXY $_[0]\r\n" }


sub binary_header
{
    my ($command, $family, $payload) = @_;

    return "\r\n\r\n\0\r\nQUIT\n" . pack('CCn/a', $command, $family, $payload);
}


sub visit
{
    my ($socket, $header, $path, $host, $cookie) = @_;

    $host //= 'localhost';
    $socket->autoflush(1);
    print $socket "${header}GET $path HTTP/1.1\r\nHost: $host\r\n"
        . ($cookie ? "Cookie: $cookie\r\n" : '') . "\r\n";

    return http_read($socket);
}


sub rows
{
    my ($columns) = @_;

    return $pg->text("delete from hype.referral_hit returning $columns");
}
