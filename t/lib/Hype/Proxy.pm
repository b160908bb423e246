package Hype::Proxy;

# A proxy between nginx and PostgreSQL that fails on request, for faults that a
# real server does not show when it should:
#
#   my $proxy = proxy($pg);
#   my $nginx = nginx(pg => $proxy, ...);
#
#   $proxy->freeze;                 nothing passes, connections stay
#   $proxy->freeze('server');       nothing from the server
#   $proxy->freeze_new;             nothing on connections that are made now
#   $proxy->thaw;
#   $proxy->cut;                    ends the connections there are
#   $proxy->refuse; $proxy->admit;  ends new ones at once
#   $proxy->cut_at(server => 100);  ... each connection after 100 more bytes
#   $proxy->freeze_at(server => 100);
#   $proxy->lose_reply('COMMIT');   once the client has sent this: the server
#                                   gets it, its answer is lost and the
#                                   connection ends
#   $proxy->cut_after('refused');   once the server has sent an error with this:
#                                   the client gets it, and no more
#   $proxy->connections;            how many there are
#   $proxy->dir;                    where its socket is
#
# A method returns when it is in effect.
#
#   my $link = Hype::Proxy->tcp($port);     to any server on 127.0.0.1
#   $link->port;                            where it listens

use strict;
use warnings;

use Carp qw(croak);
use IO::Handle ();
use IO::Select ();
use IO::Socket::INET ();
use IO::Socket::UNIX ();
use Socket qw(AF_UNIX SOCK_STREAM PF_UNSPEC);

use Hype::Util qw(at_end free_port server_user stop_process temp_dir);


sub new
{
    my ($class, $pg) = @_;

    my $dir = temp_dir('proxy');
    my $port = $pg->port;
    my $path = "$dir/.s.PGSQL.$port";

    my $listener = IO::Socket::UNIX->new(Local => $path, Listen => 128)
        or croak "$path: $!";

    # nginx's workers and no one else
    my $user = server_user();
    chown((getpwnam $user)[2, 3], $dir, $path) if defined $user;
    chmod 0700, $dir;

    my $server = $pg->socket_dir . "/.s.PGSQL.$port";

    return bless {
        pg => $pg,
        dir => $dir,
        control => _start($listener, sub {
            return IO::Socket::UNIX->new(Peer => $server);
        }),
    }, $class;
}


sub tcp
{
    my ($class, $server) = @_;

    my $port = free_port();
    my $listener = IO::Socket::INET->new(LocalAddr => '127.0.0.1',
        LocalPort => $port, Listen => 128, ReuseAddr => 1) or croak "listen: $!";

    return bless {
        port => $port,
        control => _start($listener, sub {
            return IO::Socket::INET->new(PeerAddr => '127.0.0.1',
                                         PeerPort => $server);
        }),
    }, $class;
}


# Its process; how it is told what to do.

sub _start
{
    my ($listener, $connect) = @_;

    my ($ours, $theirs) =
        IO::Socket->socketpair(AF_UNIX, SOCK_STREAM, PF_UNSPEC)
        or croak "socketpair: $!";

    my $pid = fork // croak "fork: $!";

    if (!$pid) {
        close $ours;
        $SIG{$_} = 'DEFAULT' for qw(TERM HUP);
        $SIG{INT} = $SIG{PIPE} = 'IGNORE';
        eval { _serve($listener, $theirs, $connect) };
        print STDERR "# proxy: $@" if $@;
        POSIX::_exit(0);
    }

    close $theirs;
    close $listener;
    at_end(sub { stop_process($pid, 'KILL'); 1 });

    return $ours;
}


sub port { $_[0]{port} }
sub dir { $_[0]{dir} }


# As that of Hype::Postgres, through the proxy

sub conninfo
{
    my ($self, %o) = @_;

    return $self->{pg}->conninfo(host => $self->{dir}, %o);
}


sub freeze { $_[0]->_tell('freeze', $_[1] // 'both') }
sub freeze_new { $_[0]->_tell('freeze_new') }
sub thaw { $_[0]->_tell('thaw') }
sub cut { $_[0]->_tell('cut') }
sub refuse { $_[0]->_tell('refuse') }
sub admit { $_[0]->_tell('admit') }
sub connections { $_[0]->_tell('connections') }
sub cut_at { $_[0]->_tell('limit', 'cut', @_[1, 2]) }
sub freeze_at { $_[0]->_tell('limit', 'freeze', @_[1, 2]) }
sub cut_after { $_[0]->_tell('cut_after', $_[1]) }
sub lose_reply { $_[0]->_tell('lose_reply', $_[1]) }


sub _tell
{
    my ($self, @words) = @_;

    my $control = $self->{control};
    print {$control} join("\t", @words), "\n";
    $control->flush;

    my $answer = <$control> // croak 'the proxy has gone';
    chomp $answer;
    return $answer;
}


# The proxy's own process

sub _serve
{
    my ($listener, $control, $connect) = @_;

    my %state = (frozen => {}, limit => undef, refuse => 0);
    my %ends;           # a socket => its end of a connection
    my $readers = IO::Select->new($listener, $control);
    my $writers = IO::Select->new;

    my $drop = sub {
        my ($end) = @_;

        for my $e ($end, $end->{peer}) {
            $_->remove($e->{socket}) for $readers, $writers;
            delete $ends{ $e->{socket} };
            close $e->{socket};
        }
    };

    my $watch = sub {
        for my $e (values %ends) {
            my $on = !$state{frozen}{both} && !$state{frozen}{ $e->{side} }
                  && !$e->{frozen} && $e->{peer}{out} eq '';
            $on ? $readers->add($e->{socket}) : $readers->remove($e->{socket});
        }
    };

    # What a peer does not take now must not keep others waiting.

    my $pass = sub {
        my ($end, $data) = @_;

        my $peer = $end->{peer};
        $peer->{out} .= $data;
        my $n = syswrite $peer->{socket}, $peer->{out};
        substr $peer->{out}, 0, $n // ($!{EAGAIN} ? 0 : length $peer->{out}), '';

        my $waits = $peer->{out} eq '' ? 0 : 1;
        return if $waits == ($peer->{waits} // 0);

        $peer->{waits} = $waits;
        $waits ? $writers->add($peer->{socket})
               : $writers->remove($peer->{socket});
        $watch->();
    };

    my %commands = (
        freeze => sub { $state{frozen}{ $_[0] } = 1 },
        freeze_new => sub { $state{freeze_new} = 1 },
        thaw => sub {
            $state{frozen} = {};
            $state{freeze_new} = 0;
            $state{limit} = undef;
            delete @$_{'frozen', 'left'} for values %ends;
        },
        cut => sub { while (my ($e) = values %ends) { $drop->($e) } },
        refuse => sub { $state{refuse} = 1 },
        admit => sub { $state{refuse} = 0 },
        connections => sub { keys(%ends) / 2 },
        limit => sub {
            my ($action, $side, $bytes) = @_;
            $state{limit} = { action => $action, side => $side };
            $_->{left} = $bytes for grep { $_->{side} eq $side } values %ends;
            $state{limit}{bytes} = $bytes;
        },
        lose_reply => sub { $state{lose_reply} = $_[0] },
        cut_after => sub { $state{cut_after} = $_[0] },
    );

    while (1) {
        my ($r, $w) = IO::Select->select($readers, $writers);

        for my $end (map { $ends{$_} // () } @{ $w // [] }) {
            $pass->($end->{peer}, '');
        }

        for my $socket (@{ $r // [] }) {
            if ($socket == $control) {
                my $line = '';
                sysread($control, $line, 4096) or return;
                chomp $line;
                my ($command, @arguments) = split /\t/, $line;
                my $answer = $commands{$command}->(@arguments);
                $watch->();
                syswrite $control, ($command eq 'connections' ? $answer : 'ok')
                                   . "\n";
                next;
            }

            if ($socket == $listener) {
                my $client = $listener->accept or next;
                my $server = $state{refuse} ? undef : $connect->();

                if (!$server) {
                    close $client;
                    next;
                }

                my ($c, $s) = ({ socket => $client, side => 'client' },
                               { socket => $server, side => 'server' });
                @$c{'peer', 'seen', 'out'} = ($s, '', '');
                @$s{'peer', 'out'} = ($c, '');
                $_->blocking(0) for $client, $server;
                @ends{$client, $server} = ($c, $s);
                $_->{frozen} = $state{freeze_new} for $c, $s;

                for my $e ($c, $s) {
                    $e->{left} = $state{limit}{bytes}
                        if $state{limit} && $state{limit}{side} eq $e->{side};
                }

                $watch->();
                next;
            }

            my $end = $ends{$socket} or next;
            my $data;

            my $n = sysread $socket, $data, 65536;

            if (!$n) {
                next if !defined $n && $!{EAGAIN};
                $drop->($end);
                next;
            }

            if ($end->{side} eq 'server' && $end->{peer}{doomed}) {
                $drop->($end);
                next;
            }

            if (defined $state{cut_after} && $end->{side} eq 'server'
                && $data =~ /\Q$state{cut_after}\E/)
            {
                delete $state{cut_after};
                $data =~ s/Z\x00\x00\x00\x05[ITE]\z//;    # "ReadyForQuery"
                $pass->($end, $data);
                $drop->($end);
                next;
            }

            if (defined $end->{left}) {
                my $more = length($data) > $end->{left};
                $data = substr $data, 0, $end->{left};
                $end->{left} -= length $data;
                $pass->($end, $data);

                if ($more || $end->{left} == 0) {
                    if ($state{limit}{action} eq 'cut') {
                        $drop->($end);
                    } else {
                        $end->{frozen} = 1;
                        $watch->();
                    }
                }

                next;
            }

            if (defined $state{lose_reply} && $end->{side} eq 'client') {
                my $recent = $end->{seen} . $data;

                if ($recent =~ /\Q$state{lose_reply}\E/i) {
                    delete $state{lose_reply};
                    $end->{doomed} = 1;
                }

                $end->{seen} = substr $recent, -200;
            }

            $pass->($end, $data);
        }
    }
}


1;
