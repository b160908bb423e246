package Hype::Load;

# Visitors who keep every answer they got, in a process of their own, while the
# test does harm to what serves them:
#
#   my $load = Hype::Load->start(port => $nginx->port, link => 'abc123');
#   $load->more(200);               waits for 200 more answers
#   $load->more_hits(50);           for 50 more hits that are committed
#   ...
#   my $run = $load->stop;          no new requests; waits for the open ones
#
# Each request is told from all others by its "next" argument, /<tag>-<number>,
# which the hit's row has, too: a row is found also for a request whose answer
# did not come.
#
#   port         where to
#   link         an identifier, or several: [..]
#   connections  how many at once (16)
#   rate         requests a second, about (1000); 0: as many as it can
#   keepalive    0: a connection for each request
#   timeout      seconds until an answer is given up (20)
#   returning    one in so many requests has the cookie of an earlier answer
#                (5; 0: none)
#   agent        bytes of User-Agent (4)
#   journeys     one in so many new visitors logs in (/in?user=), and then buys
#                (/buy?user=); each waits for the answer to what was before (0)
#
# The answers are hashes: i, kind (ref, in, buy), status, hit, visitor,
# outcome, user, begun, seconds, worker, and error where none came.

use strict;
use warnings;

use Carp qw(croak);
use IO::Select ();
use IO::Socket::INET ();
use List::Util qw(min);
use Socket qw(AF_UNIX SOCK_STREAM PF_UNSPEC);
use Storable ();
use Time::HiRes qw(sleep time);

use Hype::Util qw(at_end stop_process temp_dir wait_until);

my $loads = 0;


# What goes into server{} for these visitors.

sub server
{
    return <<'END';
    absolute_redirect off;
    keepalive_requests 1000000;
    add_header X-Hit $hype_hit always;
    add_header X-Visitor $hype_visitor always;
    add_header X-Outcome $hype_outcome always;
    add_header X-Worker $pid always;

    location = /hype_status { hype_status; }
    location /ref/ { hype_ref; }
    location /in { hype_user $arg_user; return 204; }
    location /buy {
        hype_user $arg_user;
        hype_confirm signup;
        return 204;
    }
END
}


sub start
{
    my ($class, %o) = @_;

    my $self = bless {
        connections => 16,
        rate => 1000,
        keepalive => 1,
        timeout => 20,
        returning => 5,
        agent => 4,
        %o,
        tag => sprintf('t%x-%d', $$, ++$loads),
    }, $class;

    $self->{link} = [$self->{link}] if !ref $self->{link};
    $self->{file} = temp_dir('load') . '/answers';

    my ($ours, $theirs) = IO::Socket->socketpair(AF_UNIX, SOCK_STREAM, PF_UNSPEC)
        or croak "socketpair: $!";
    my $pid = fork // croak "fork: $!";

    if (!$pid) {
        close $ours;
        $SIG{$_} = 'DEFAULT' for qw(INT TERM HUP);
        $SIG{PIPE} = 'IGNORE';
        my $ok = eval { $self->_run($theirs); 1 };
        print STDERR "# load: $@" if !$ok;
        POSIX::_exit(!$ok);
    }

    close $theirs;
    at_end(sub { stop_process($pid, 'KILL'); 1 });

    @$self{'pid', 'control'} = ($pid, $ours);
    return $self;
}


# Waits until so many more requests have been answered since the last call.

sub more
{
    my ($self, $n, $seconds) = @_;

    $self->{goal} = $self->answered + $n;
    my $end = time + ($seconds // 60);

    while ($self->answered < $self->{goal}) {
        croak sprintf 'only %d of %d more answers came', $n - $self->{goal}
            + $self->answered, $n if time > $end;
        sleep 0.01;
    }

    return $self;
}


# Waits until so many more visits are hits that are committed.

sub more_hits
{
    my ($self, $n, $seconds) = @_;

    my $goal = $self->hits + $n;

    wait_until { $self->hits >= $goal } $seconds // 60, "$n more hits";
    return $self;
}


sub answered { $_[0]->_tell('answered') }
sub hits { $_[0]->_tell('hits') }
sub sent { $_[0]->_tell('sent') }


sub stop
{
    my ($self) = @_;

    return $self->{run} if $self->{run};

    $self->_tell('stop');

    local $?;
    waitpid $self->{pid}, 0;
    croak 'the load failed' if $?;

    $self->{run} = Storable::retrieve($self->{file});
    return $self->{run};
}


sub _tell
{
    my ($self, $word) = @_;

    my $control = $self->{control};
    print {$control} "$word\n";
    $control->flush;

    my $answer = <$control> // croak 'the load has gone';
    chomp $answer;
    return $answer;
}


# The load's own process

sub _run
{
    my ($self, $control) = @_;

    my $readers = IO::Select->new($control);
    my $writers = IO::Select->new;
    my (@answers, @cookies, @todo, @idle, %busy);
    my ($answered, $hits, $sent, $stopping) = (0, 0, 0, 0);
    my $begun = time;

    my $finish = sub {
        my ($c, $answer) = @_;

        $readers->remove($c->{socket});
        $writers->remove($c->{socket});
        delete $busy{ $c->{socket} };

        $answer->{seconds} = time - $c->{begun};
        @$answer{qw(i kind begun)} = @$c{qw(i kind begun)};
        $answer->{user} = $c->{user} if defined $c->{user};
        $answer->{sent_visitor} = $c->{cookie} if defined $c->{cookie};
        $answer->{sent_bytes} = $c->{sent};
        push @answers, $answer;
        $answered++ if !$answer->{error};
        $hits++ if ($answer->{outcome} // '') eq 'hit';

        if ($answer->{status} == 302 && $answer->{cookie}) {
            push @cookies, $answer->{cookie} if @cookies < 200;
            push @todo, ['in', $answer->{cookie}, "$self->{tag}-$c->{i}"]
                if $self->{journeys} && !defined $c->{cookie}
                   && $c->{i} % $self->{journeys} == 0;

        } elsif ($c->{kind} eq 'in' && $answer->{status} == 204) {
            push @todo, ['buy', undef, $c->{user}];
        }

        if ($answer->{error} || !$self->{keepalive} || delete $answer->{close}) {
            close $c->{socket};
        } else {
            push @idle, $c->{socket};
        }
    };

    my $begin = sub {
        # nginx may have closed it, as it does with idle ones at a reload
        while (@idle && IO::Select->new($idle[-1])->can_read(0)) {
            close pop @idle;
        }

        my $socket = pop @idle // IO::Socket::INET->new(
            PeerAddr => '127.0.0.1', PeerPort => $self->{port}, Proto => 'tcp');

        return if !$socket;

        $socket->blocking(0);

        my $c = { socket => $socket, i => $sent, begun => time, in => '',
                  kind => 'ref', sent => 0 };
        my $target;

        if (my $todo = shift @todo) {
            @$c{qw(kind cookie user)} = @$todo;
            $target = "/$c->{kind}?user=$c->{user}";

        } else {
            my $links = $self->{link};
            my $link = $links->[$sent % @$links];
            $target = "/ref/$link?next=/$self->{tag}-$sent";

            if ($self->{returning} && @cookies
                && $sent % $self->{returning} == 0)
            {
                $c->{cookie} = $cookies[$sent % @cookies];
            }
        }

        $c->{out} = "GET $target HTTP/1.1\r\nHost: localhost\r\n"
            . 'Connection: ' . ($self->{keepalive} ? 'keep-alive' : 'close')
            . "\r\nUser-Agent: " . 'a' x $self->{agent} . "\r\n"
            . (defined $c->{cookie} ? "Cookie: hype_visitor=$c->{cookie}\r\n" : '')
            . "\r\n";

        $sent++;
        $busy{$socket} = $c;
        $readers->add($socket);
        $writers->add($socket);
    };

    while (1) {
        my $wait = 0.2;

        if (!$stopping || $self->{journeys} && @todo) {
            my $allowed = $self->{rate} ? (time - $begun) * $self->{rate} : ~0;

            # what could not be sent is not made up for later in one burst
            if ($allowed > $sent + 200 && $self->{rate}) {
                $begun = time - $sent / $self->{rate};
            }

            while (keys %busy < $self->{connections} && $sent < $allowed) {
                last if $stopping && !@todo;
                if (!$begin->()) { $wait = 0.01; last }
            }

            if ($self->{rate} && keys %busy < $self->{connections}) {
                $wait = min($wait, 0.005);
            }

        } elsif (!%busy) {
            last;
        }

        my ($r, $w) = IO::Select->select($readers, $writers, undef, $wait);

        for my $socket (@{ $w // [] }) {
            my $c = $busy{$socket} or next;
            my $n = syswrite $socket, $c->{out};

            if (!defined $n) {
                $finish->($c, { status => 0, error => "write: $!" })
                    if !$!{EAGAIN};
                next;
            }

            $c->{sent} += $n;
            substr $c->{out}, 0, $n, '';
            $writers->remove($socket) if $c->{out} eq '';
        }

        for my $socket (@{ $r // [] }) {
            if ($socket == $control) {
                my $line = <$control> // return;
                $stopping = 1 if $line eq "stop\n";
                my %counts = (sent => $sent, hits => $hits);
                syswrite $control, ($counts{$line =~ s/\n//r} // $answered) . "\n";
                next;
            }

            my $c = $busy{$socket} or next;
            my $n = sysread $socket, $c->{in}, 65536, length $c->{in};

            if (!$n) {
                next if !defined $n && $!{EAGAIN};
                $finish->($c, { status => 0,
                                error => defined $n ? 'closed' : "read: $!" });
                next;
            }

            my $answer = _parse($c->{in}) or next;
            $finish->($c, $answer);
        }

        for my $c (values %busy) {
            next if time - $c->{begun} < $self->{timeout};
            $finish->($c, { status => 0, error => 'timed out' });
        }
    }

    Storable::store({ sent => $sent, answers => \@answers, tag => $self->{tag} },
                    $self->{file});
}


sub _parse
{
    my ($bytes) = @_;

    my $end = index $bytes, "\r\n\r\n";
    return if $end < 0;

    my $head = substr $bytes, 0, $end + 2;
    my ($status) = $head =~ m{^HTTP/1\.1 (\d+)};
    my ($length) = $head =~ /^Content-Length: (\d+)/mi;

    return if length $bytes < $end + 4 + ($length // 0);

    my %answer = (status => $status // 0);
    $answer{lc $1} = $2
        while $head =~ /^X-(Hit|Visitor|Outcome|Worker): (.+)\r$/mg;
    $answer{cookie} = $1
        if $head =~ /^Set-Cookie: hype_visitor=([0-9a-f-]{36})/mi;
    $answer{cleared} = 1 if $head =~ /^Set-Cookie: hype_visitor=;/mi;
    $answer{location} = $1 if $head =~ /^Location: (.*)\r$/m;
    $answer{close} = 1 if $head =~ /^Connection: close/mi;

    return \%answer;
}


1;
