# WebSocket (RFC 6455) through a location with hype_user: the handshake claims the
# visitor, once, and bytes pass both ways for as long as either side likes.

use lib 't/lib';
use Hype::Test;
use Hype::Status;
use Hype::Util qw(at_end stop_process);
use Digest::SHA qw(sha1_base64);
use IO::Select ();
use IO::Socket::INET ();
use POSIX ();

my $key = 'dGhlIHNhbXBsZSBub25jZQ==';
my $accept = 's3pPLMBiTxaQ9kYGzzhZRbK+xOo=';

my $pg = database();
$pg->link('abc', destination => '/welcome');

my $application = free_port();
serve();

my $nginx = nginx(pg => $pg, http => <<'HTTP', server => <<"SERVER");
absolute_redirect off;

map $http_upgrade $connection_upgrade {
    default  upgrade;
    ""       close;
}
HTTP
location /ref/ { hype_ref; }
location = /status { hype_status json; }

location / {
    hype_ref_param ref mode=direct;
    hype_user \$upstream_http_x_hype_user;
    hype_confirm connected;

    proxy_pass http://127.0.0.1:$application;
    proxy_http_version 1.1;
    proxy_set_header Upgrade \$http_upgrade;
    proxy_set_header Connection \$connection_upgrade;
    proxy_hide_header X-Hype-User;
}
SERVER

claims();
leaves_others_alone();
is_no_visit();
outlives_a_reload();

done_testing();


sub claims
{
    my $visitor = visitor();
    my ($socket, $r) = handshake('/ws', Cookie => "session=42; hype_visitor=$visitor");

    is($r->status, 101, 'a user: switching protocols');
    is($r->header('Sec-WebSocket-Accept'), $accept, '... for that key');
    is($r->header('Upgrade'), 'websocket', '... to WebSocket');
    is($r->header('X-Hype-User'), undef, '... the user is between us');
    like($r->header('Set-Cookie'), qr/^hype_visitor=; Max-Age=0; /,
         '... the cookie is cleared');

    # while it is open

    is_soon { $pg->hits("user_id = '42'") } 1, '... the hit is claimed';
    is(receive($socket), 'GET /ws HTTP/1.1', 'bytes come');

    for my $text ('hello', 'x' x 125, 'y' x 126, 'z' x 100_000) {
        transmit($socket, $text);
        is(receive($socket), uc $text, '... and go: ' . length $text);
    }

    ok(!IO::Select->new($socket)->can_read(0), 'no byte too many');

    print $socket frame(8, pack('n', 1000), 1);
    is(receive($socket), pack('n', 1000), 'it is closed by a handshake');
    is(sysread($socket, my $rest, 1), 0, '... and then the connection');

    is($pg->value('select count(*) from hype.visitor_claim'), 1, 'one claim');
    is(status($nginx, '/status')->{claims}, 1, '... was made');
    is($pg->value('select count(*) from hype.confirmed_referral'), 0,
       'an answer of 101 confirms nothing');
}


sub leaves_others_alone
{
    my $visitor = visitor();
    my ($socket, $r) = handshake('/ws', Cookie => "hype_visitor=$visitor");

    is($r->status, 101, 'nobody is known');
    is_deeply([$r->header('Set-Cookie')], [], '... the cookie stays');
    is_deeply([$r->header('Cache-Control')], [], '... nothing is added');
    is(receive($socket), 'GET /ws HTTP/1.1', '... bytes come');
    transmit($socket, 'a');
    is(receive($socket), 'A', '... and go');

    # the application refuses

    ($socket, $r) = handshake('/refuse',
                              Cookie => "session=43; hype_visitor=$visitor");
    is($r->status, 403, 'a handshake that is refused');
    is_soon { $pg->hits("visitor = '$visitor' and user_id = '43'") } 1,
            '... is an answer as any other';
}


# A page that opens a WebSocket with its own query

sub is_no_visit
{
    $pg->exec('truncate hype.referral_hit');

    for my $case (
        ['of a browser', 'Sec-Fetch-Mode' => 'websocket', 'Sec-Fetch-Dest' => 'empty'],
        ['of an old browser'],
    ) {
        my ($name, @headers) = @$case;
        my ($socket, $r) = handshake('/ws?ref=abc&x=1', @headers);

        is($r->status, 101, "?ref= $name");
        is_deeply([$r->header('Set-Cookie')], [], '... no cookie');
        is(receive($socket), 'GET /ws?ref=abc&x=1 HTTP/1.1',
           '... the application gets it as it came');
    }

    is($nginx->get('/ref/abc', Upgrade => 'websocket', Connection => 'Upgrade',
                   'Sec-WebSocket-Key' => $key)->status, 302, 'a referral link');
    is($pg->hits, 0, '... no hit');

    my $r = $nginx->get('/x?ref=abc', Upgrade => 'h2c', Connection => 'Upgrade');
    is($r->location, '/x', 'an upgrade to something else is a visit');
    is($pg->hits, 1, '... a hit');
}


sub outlives_a_reload
{
    my $visitor = visitor();
    my ($socket) = handshake('/ws');
    receive($socket);

    $nginx->reload;

    is(scalar(my @leaving = $nginx->leaving), 1, 'reload: the old worker stays');
    transmit($socket, 'still here');
    is(receive($socket), 'STILL HERE', '... for the connection');

    handshake('/ws', Cookie => "session=44; hype_visitor=$visitor");
    is_soon { $pg->hits("user_id = '44'") } 1, '... the new one claims';

    close $socket;
    is_soon { scalar(my @left = $nginx->leaving) } 0,
            '... the old one leaves when the connection is closed';
}


# A new visitor, who has one hit

sub visitor
{
    return $nginx->get('/ref/abc')->cookie('hype_visitor');
}


# The client

sub handshake
{
    my ($path, @headers) = @_;

    my $socket = $nginx->open;
    my $text = "GET $path HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n"
        . "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
        . "Sec-WebSocket-Key: $key\r\n";

    while (my ($name, $value) = splice @headers, 0, 2) {
        $text .= "$name: $value\r\n";
    }

    print $socket "$text\r\n";
    my $r = http_read($socket);
    return ($socket, $r);
}


sub transmit
{
    my ($socket, $text) = @_;

    print $socket frame(1, $text, 1);
}


sub receive
{
    my ($socket) = @_;

    my ($opcode, $payload) = unframe(reader($socket));
    return $payload // 'nothing';
}


# Both of them: RFC 6455, 5.2

sub frame
{
    my ($opcode, $payload, $masked) = @_;

    my $n = length $payload;
    my $bit = $masked ? 0x80 : 0;
    my $head = chr(0x80 | $opcode)
        . ($n < 126 ? chr($bit | $n)
           : $n < 65536 ? pack('Cn', $bit | 126, $n) : pack('CQ>', $bit | 127, $n));

    return $head . $payload if !$masked;

    my $mask = pack 'N', int rand 2**32;
    return $head . $mask . masked($payload, $mask);
}


sub masked
{
    my ($payload, $mask) = @_;

    return $payload ^ substr($mask x (length($payload) / 4 + 1), 0, length $payload);
}


sub unframe
{
    my ($read) = @_;

    my ($first, $second) = unpack 'CC', $read->(2) // return;
    my $n = $second & 0x7f;

    $n = unpack 'n', $read->(2) if $n == 126;
    $n = unpack 'Q>', $read->(8) if $n == 127;

    my $mask = $second & 0x80 ? $read->(4) : undef;
    my $payload = $n ? $read->($n) : '';

    return ($first & 0x0f, defined $mask ? masked($payload, $mask) : $payload);
}


# Exactly so many bytes, of which http_read() may have taken some; undef if they
# don't come

sub reader
{
    my ($socket) = @_;

    my $select = IO::Select->new($socket);

    return sub {
        my ($n) = @_;
        my $bytes = substr ${*$socket}{hype_rest} //= '', 0, $n, '';

        while (length $bytes < $n) {
            return undef if !$select->can_read(30);
            sysread $socket, $bytes, $n - length $bytes, length $bytes
                or return undef;
        }

        return $bytes;
    };
}


# The application: who is logged in has a session; says what it was asked for,
# then answers each message in capital letters.

sub serve
{
    my $listener = IO::Socket::INET->new(
        LocalAddr => '127.0.0.1', LocalPort => $application, Listen => 16,
        ReuseAddr => 1) or die "listen: $!";

    my $pid = fork // die "fork: $!";

    if ($pid) {
        at_end(sub { defined stop_process($pid, 'KILL') });
        return;
    }

    $SIG{$_} = 'DEFAULT' for qw(TERM INT HUP);
    $SIG{CHLD} = 'IGNORE';
    open STDOUT, '>', '/dev/null';

    while (my $socket = $listener->accept) {
        next if fork;
        converse($socket);
        POSIX::_exit(0);
    }

    POSIX::_exit(0);
}


sub converse
{
    my ($socket) = @_;

    $socket->autoflush(1);
    my $request = '';

    while ($request !~ /\r\n\r\n/) {
        sysread $socket, $request, 65536, length $request or return;
    }

    my ($line) = $request =~ /^(.*)\r\n/;
    my $user = $request =~ /^Cookie:.*\bsession=(\w+)/mi
        ? "X-Hype-User: $1\r\n" : '';
    my ($sent) = $request =~ /^Sec-WebSocket-Key: *(\S+)\r$/mi;

    if (!$sent || $line =~ m{ /refuse}) {
        print $socket "HTTP/1.1 403 Forbidden\r\n${user}Content-Length: 0\r\n"
            . "Connection: close\r\n\r\n";
        return;
    }

    my $answer = sha1_base64($sent . '258EAFA5-E914-47DA-95CA-C5AB0DC85B11') . '=';

    print $socket "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
        . "Connection: Upgrade\r\nSec-WebSocket-Accept: $answer\r\n$user\r\n"
        . frame(1, $line);

    while (my ($opcode, $text) = unframe(reader($socket))) {
        print $socket frame($opcode, $opcode == 1 ? uc $text : $text);
        return if $opcode == 8;
    }
}
