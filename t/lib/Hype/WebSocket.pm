package Hype::WebSocket;

# WebSocket (RFC 6455), as far as a test needs it: messages of a client, on a
# connection that http_read() has read the handshake's answer from, and an
# application.
#
#   serve($port);                 # until the test ends
#   transmit($socket, 'hello');
#   is(receive($socket), 'HELLO');

use strict;
use warnings;

use Carp qw(croak);
use Digest::SHA qw(sha1_base64);
use Exporter qw(import);
use IO::Select ();
use IO::Socket::INET ();
use POSIX qw(_exit);

use Hype::Util qw(at_end stop_process);

our @EXPORT = qw(frame receive serve transmit);


# The application: who is logged in has a session; says what it was asked for,
# then answers each message in capital letters.

sub serve
{
    my ($port) = @_;

    my $listener = IO::Socket::INET->new(
        LocalAddr => '127.0.0.1', LocalPort => $port, Listen => 16,
        ReuseAddr => 1) or croak "listen: $!";

    my $pid = fork // croak "fork: $!";

    if ($pid) {
        at_end(sub { defined stop_process($pid, 'KILL') });
        return;
    }

    $SIG{$_} = 'DEFAULT' for qw(TERM INT HUP);
    $SIG{CHLD} = 'IGNORE';
    open STDOUT, '>', '/dev/null';

    while (my $socket = $listener->accept) {
        next if fork;
        _converse($socket);
        _exit(0);
    }

    _exit(0);
}


sub _converse
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

    while (my ($opcode, $text) = _unframe(_reader($socket))) {
        print $socket frame($opcode, $opcode == 1 ? uc $text : $text);
        return if $opcode == 8;
    }
}


# Client messages: sent, and the next one that comes

sub transmit
{
    my ($socket, $text) = @_;

    print $socket frame(1, $text, 1);
}


sub receive
{
    my ($socket) = @_;

    my ($opcode, $payload) = _unframe(_reader($socket));
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
    return $head . $mask . _masked($payload, $mask);
}


sub _masked
{
    my ($payload, $mask) = @_;

    return $payload ^ substr($mask x (length($payload) / 4 + 1), 0, length $payload);
}


sub _unframe
{
    my ($read) = @_;

    my ($first, $second) = unpack 'CC', $read->(2) // return;
    my $n = $second & 0x7f;

    $n = unpack 'n', $read->(2) if $n == 126;
    $n = unpack 'Q>', $read->(8) if $n == 127;

    my $mask = $second & 0x80 ? $read->(4) : undef;
    my $payload = $n ? $read->($n) : '';

    return ($first & 0x0f, defined $mask ? _masked($payload, $mask) : $payload);
}


# Exactly so many bytes, of which http_read() may have taken some; undef if they
# don't come

sub _reader
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


1;
