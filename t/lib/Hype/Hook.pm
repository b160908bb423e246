package Hype::Hook;

# An HTTP server for webhooks, that keeps what it is sent and fails on request.
#
#   my $hook = Hype::Hook->new;     # of $hook->url
#   $hook->answer(204);
#   $hook->start;
#   ...
#   is($_->{start}, 'POST /hook HTTP/1.1') for $hook->requests;

use strict;
use warnings;

use IO::Socket::INET ();
use JSON::PP qw(decode_json);
use POSIX ();

use Hype::Util qw(at_end free_port read_file stop_process temp_dir write_file);


sub new
{
    my ($class) = @_;

    my $dir = temp_dir('hook');
    my $self = bless { port => free_port(), mode => "$dir/mode",
                       log => "$dir/requests" }, $class;

    write_file($self->{log}, '');
    at_end(sub { $self->stop; 1 });

    return $self;
}


sub url { return "http://127.0.0.1:$_[0]{port}/hook" }


# What the server answers: a status; "close": nothing; "hang": nothing, ever

sub answer
{
    my ($self, $how) = @_;

    my $mode = $self->{mode};
    write_file("$mode.new", $how);
    rename "$mode.new", $mode or die "$mode: $!";
}


sub start
{
    my ($self) = @_;

    my $listener = IO::Socket::INET->new(
        LocalAddr => '127.0.0.1', LocalPort => $self->{port}, Listen => 100,
        ReuseAddr => 1) or die "port $self->{port}: $@";

    $self->{pid} = fork // die "fork: $!";
    return if $self->{pid};

    $SIG{CHLD} = 'IGNORE';

    while (my $connection = $listener->accept) {
        my $child = fork // die "fork: $!";
        $self->_serve($connection) if !$child;
        close $connection;
    }
}


sub stop
{
    my ($self) = @_;

    stop_process(delete $self->{pid}, 'KILL') if $self->{pid};
}


sub _serve
{
    my ($self, $connection) = @_;

    local $/ = "\r\n\r\n";
    my $head = <$connection> // POSIX::_exit(0);
    my ($length) = $head =~ /^content-length: (\d+)/mi
        or POSIX::_exit(0);

    # a sender that is killed may have sent a part of it

    my $n = read $connection, my ($body), $length;
    POSIX::_exit(0) if ($n // 0) < $length;

    my $how = read_file($self->{mode});

    open my $out, '>>', $self->{log} or die "$self->{log}: $!";
    syswrite $out, $head . $body . "\0";

    if ($how eq 'hang') {
        sysread $connection, my ($end), 1;

    } elsif ($how ne 'close') {
        print $connection "HTTP/1.1 $how Whatever\r\nLocation: /elsewhere\r\n"
                          . "Content-Length: 0\r\nConnection: close\r\n\r\n";
        $connection->flush;
    }

    POSIX::_exit(0);
}


# Each with its headers, by their names in lower case, and what it is as JSON

sub requests
{
    my ($self) = @_;

    return map {
        my ($head, $body) = split /\r\n\r\n/, $_, 2;
        my ($start, @lines) = split /\r\n/, $head;

        +{ (map { my ($name, $value) = split /: /, $_, 2; (lc $name, $value) }
                @lines),
           start => $start, body => $body, json => decode_json($body) }
    } split /\0/, read_file($self->{log});
}


1;
