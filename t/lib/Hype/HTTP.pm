package Hype::HTTP;

# A client that sends the bytes it is given and keeps what came back as it was:
# for single requests, and for many over many connections.

use strict;
use warnings;

use Carp qw(croak);
use Exporter qw(import);
use IO::Select ();
use IO::Socket::INET ();
use Storable ();
use Time::HiRes qw(time);

use Hype::Response ();
use Hype::Util qw(at_end run stop_process temp_dir);

our @EXPORT_OK = qw(curl http_get http_open http_raw http_read http_request
                    visits visits_start);


# http_get($port, '/ref/abc', Cookie => 'a=b', ...): a Hype::Response.
# Headers may repeat; Host is "localhost" and Connection "close" unless given.

sub http_get
{
    my ($port, $path, @headers) = @_;

    return http_request($port, 'GET', $path, @headers);
}


sub http_request
{
    my ($port, $method, $path, @headers) = @_;

    return http_raw($port, _request($method, $path, 'close', @headers),
                    method => $method);
}


# Sends bytes as they are and reads one answer.

sub http_raw
{
    my ($port, $bytes, %o) = @_;

    my $socket = http_open($port);
    print {$socket} $bytes;

    return http_read($socket, %o);
}


# A connection, for what the above can't do: print to it, http_read() from it,
# close it early.

sub http_open
{
    my ($port) = @_;

    my $socket = IO::Socket::INET->new(
        PeerAddr => '127.0.0.1', PeerPort => $port, Proto => 'tcp')
        or croak "connect to 127.0.0.1:$port: $!";

    binmode $socket;
    $socket->autoflush(1);
    return $socket;
}


# The next answer on a connection.  Its status is 0, and "error" says why, if
# none came within "timeout" (10) seconds.  "method" is the request's.

sub http_read
{
    my ($socket, %o) = @_;

    my $end = time + ($o{timeout} // 10);
    my $select = IO::Select->new($socket);
    my $buffer = ${*$socket}{hype_rest} // '';

    while (1) {
        my ($answer, $length) = Hype::Response->parse($buffer, $o{method});

        if ($answer) {
            ${*$socket}{hype_rest} = substr $buffer, $length;
            return $answer;
        }

        my $left = $end - time;
        return Hype::Response->failed('timed out', $buffer)
            if $left <= 0 || !$select->can_read($left);

        my $n = sysread $socket, $buffer, 65536, length $buffer;
        next if $n;

        return Hype::Response->failed("read: $!", $buffer) if !defined $n;

        ($answer) = Hype::Response->parse($buffer, $o{method}, 1);
        return $answer // Hype::Response->failed('closed', $buffer);
    }
}


# curl(@arguments): its last answer, for HTTP/2 and TLS.

sub curl
{
    my (@arguments) = @_;

    my $dir = temp_dir('curl');
    my ($status, $output) = run(
        command => ['curl', '-sS', '--max-time', '10', '-D', "$dir/headers",
                    '-o', "$dir/body", @arguments]);

    return Hype::Response->failed("curl: $output") if $status;

    my $headers = Hype::Util::read_file("$dir/headers");
    my $body = -e "$dir/body" ? Hype::Util::read_file("$dir/body") : '';

    # HTTP/2's status line has no reason, and -D holds informational ones too
    my @answers = split /(?<=\r\n\r\n)/, $headers;

    return Hype::Response->new($answers[-1], $body);
}


# Many requests at once, every answer kept, in the order of the requests.
#
#   port         where to
#   count        how many (1)
#   connections  over how many connections (16)
#   path         '/ref/abc', or sub { my ($i) = @_; ... }
#   headers      [Name => value, ...], or a sub of $i
#   keepalive    0: a connection for each
#   seconds      stop sending after that long, whatever the count
#   timeout      an answer's (30 s)
#   retry        0: see below
#   answered     sub { my ($answer, $i) = @_; ... } as each arrives
#
# An answer that did not come has status 0 and an error.  When nginx closes a
# connection that has served before without a byte of an answer, the request is
# sent again over another, as browsers do: an idle connection is closed so.

sub visits
{
    my (%o) = @_;

    my $count = $o{count} // (defined $o{seconds} ? ~0 : 1);
    my $stop = defined $o{seconds} ? time + $o{seconds} : undef;
    my $keepalive = $o{keepalive} // 1;
    my $retry = $o{retry} // 1;
    my $timeout = $o{timeout} // 30;
    my $next = 0;
    my @answers;
    my %busy;

    my $readers = IO::Select->new;
    my $writers = IO::Select->new;

    my $begin = sub {
        my ($socket, $i) = @_;

        if (!defined $i) {
            return if $next >= $count || defined $stop && time >= $stop;
            $i = $next++;
        }

        my $used = defined $socket;
        $socket //= eval { http_open($o{port}) };

        if (!$socket) {
            $answers[$i] = Hype::Response->failed("connect: $!");
            select undef, undef, undef, 0.01;
            return 1;
        }

        $socket->blocking(0);

        my @headers = ref $o{headers} eq 'CODE' ? $o{headers}->($i)
                    : @{ $o{headers} // [] };
        my $path = ref $o{path} eq 'CODE' ? $o{path}->($i) : $o{path};

        $busy{$socket} = {
            socket => $socket, i => $i, used => $used, in => '', begun => time,
            out => _request('GET', $path, $keepalive ? 'keep-alive' : 'close',
                            @headers),
        };

        $readers->add($socket);
        $writers->add($socket);
        return 1;
    };

    my $finish = sub {
        my ($c, $answer, $reuse) = @_;

        my $socket = $c->{socket};
        delete $busy{$socket};
        $readers->remove($socket);
        $writers->remove($socket);

        if ($answer->{error} && $c->{used} && $c->{in} eq '' && $retry
            && $answer->{error} ne 'timed out')
        {
            close $socket;
            return $begin->(undef, $c->{i});
        }

        $answer->{seconds} = time - $c->{begun};
        $answers[$c->{i}] = $answer;
        $o{answered}->($answer, $c->{i}) if $o{answered};

        close $socket if !$reuse;
        $begin->($reuse ? $socket : undef);
    };

    while (keys %busy < ($o{connections} // 16)) {
        last if !$begin->();
    }

    while (%busy || $begin->()) {
        my ($r, $w) = IO::Select->select($readers, $writers, undef, 1);

        for my $socket (@{ $w // [] }) {
            my $c = $busy{$socket} or next;
            my $n = syswrite $socket, $c->{out};

            if (!defined $n) {
                next if $!{EAGAIN};
                $finish->($c, Hype::Response->failed("write: $!"));
                next;
            }

            substr $c->{out}, 0, $n, '';
            $writers->remove($socket) if $c->{out} eq '';
        }

        for my $socket (@{ $r // [] }) {
            my $c = $busy{$socket} or next;
            my $n = sysread $socket, $c->{in}, 65536, length $c->{in};

            if (!defined $n) {
                next if $!{EAGAIN};
                $finish->($c, Hype::Response->failed("read: $!", $c->{in}));
                next;
            }

            my ($answer) = Hype::Response->parse($c->{in}, 'GET', $n == 0);

            if ($answer) {
                my $closing = ($answer->header('Connection') // '') eq 'close';
                $finish->($c, $answer, $n && $keepalive && !$closing);

            } elsif ($n == 0) {
                $finish->($c, Hype::Response->failed('closed', $c->{in}));
            }
        }

        for my $c (values %busy) {
            next if time - $c->{begun} < $timeout;
            $finish->($c, Hype::Response->failed('timed out', $c->{in}));
        }
    }

    return @answers;
}


# The same in a process of its own, while the test does something else:
#
#   my $load = visits_start(...);
#   ...
#   my @answers = $load->wait;

sub visits_start
{
    my (%o) = @_;

    my $file = temp_dir('visits') . '/answers';
    my $pid = fork // croak "fork: $!";

    if (!$pid) {
        $SIG{$_} = 'DEFAULT' for qw(INT TERM HUP);
        my $ok = eval { Storable::store([visits(%o)], $file); 1 };
        print STDERR "# $@" if !$ok;
        POSIX::_exit(!$ok);
    }

    at_end(sub { stop_process($pid, 'KILL'); 1 });

    return bless { pid => $pid, file => $file }, 'Hype::HTTP::Load';
}


sub _request
{
    my ($method, $path, $connection, @headers) = @_;

    my %given;
    for (my $i = 0; $i < @headers; $i += 2) {
        $given{lc $headers[$i]} = 1;
    }

    unshift @headers, Connection => $connection if !$given{connection};
    unshift @headers, Host => 'localhost' if !$given{host};

    my $text = "$method $path HTTP/1.1\r\n";
    while (my ($name, $value) = splice @headers, 0, 2) {
        $text .= "$name: $value\r\n";
    }

    return "$text\r\n";
}


package Hype::HTTP::Load;

# Waits for the end of it and returns the answers.

sub wait
{
    my ($self) = @_;

    local $?;
    waitpid $self->{pid}, 0;
    die "the load failed\n" if $?;

    return @{ Storable::retrieve($self->{file}) };
}


sub running
{
    my ($self) = @_;

    return kill(0, $self->{pid}) && !-e $self->{file};
}


1;
