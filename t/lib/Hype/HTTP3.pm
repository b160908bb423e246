package Hype::HTTP3;

# A client of HTTP/3, for one connection at a time: t/lib/http3.py does the work.
#
#   plan(skip_all => $_) for Hype::HTTP3::missing();
#
#   my $client = Hype::HTTP3->new($port);
#   my $r = $client->get('/ref/abc', Cookie => 'a=b');     # a Hype::Response
#   my @r = $client->all(map { ['GET', $_] } '/ref/abc', '/ref/def');

use strict;
use warnings;

use Carp qw(croak);
use IPC::Open2 qw(open2);
use JSON::PP ();

use Hype::Nginx ();
use Hype::Response ();
use Hype::Util qw(at_end run source_dir stop_process temp_dir);

my $json = JSON::PP->new->latin1->allow_nonref;


# What there is to be said against it here: nothing, if all is there.

sub missing
{
    return 'this nginx has no HTTP/3' if !Hype::Nginx::built_with('http_v3_module');
    return 'no python3-aioquic' if (run(command => ['python3', '-c', 'import aioquic']))[0];
    return;
}


# What a server needs to listen on a port, with a certificate of its own; also
# over TCP.

sub listen_http3
{
    my ($port) = @_;

    my $dir = temp_dir('http3');

    my ($status, $output) = run(command => ['openssl', 'req', '-x509', '-newkey',
        'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', 1,
        '-subj', '/CN=localhost', '-keyout', "$dir/key.pem", '-out',
        "$dir/cert.pem"]);
    croak $output if $status;

    return <<"END";
listen 127.0.0.1:$port quic;
listen 127.0.0.1:$port ssl;
ssl_certificate     $dir/cert.pem;
ssl_certificate_key $dir/key.pem;
ssl_protocols       TLSv1.3;
END
}


sub new
{
    my ($class, $port) = @_;

    my $pid = open2(my $out, my $in, 'python3', source_dir() . '/t/lib/http3.py',
                    $port);
    at_end(sub { defined stop_process($pid, 'KILL') });

    my $self = bless { in => $in, out => $out }, $class;
    $self->connect;
    return $self;
}


# A function of http3.py

sub do
{
    my ($self, @command) = @_;

    print { $self->{in} } $json->encode(\@command), "\n";
    my $line = readline $self->{out};

    return $json->decode($line // croak "the client of HTTP/3 has ended");
}


# A new connection, with requests as early data if given: whether they were
# taken as such.

sub connect
{
    my ($self, @early) = @_;

    my $said = $self->do('connect', @early ? [map { _request(@$_) } @early] : ());
    croak 'HTTP/3: ' . ($said->{error} // 'no connection') if !$said->{connected};

    return $said->{early};
}


# ([method, path, body, Name => value ...], ...)

sub send
{
    my ($self, @requests) = @_;

    return $self->do('send', [map { _request(@$_) } @requests]);
}


# The answers to what was sent last, in that order.  aioquic knows no
# informational ones.

sub answers
{
    my ($self, $seconds) = @_;

    return map { _response($_) } @{ $self->do('answers', $seconds // 10) };
}


sub all
{
    my ($self, @requests) = @_;

    $self->send(@requests);
    return $self->answers;
}


sub get { return shift->request('GET', shift, undef, @_) }
sub request { my $self = shift; return ($self->all([@_]))[0] }


sub _request
{
    my ($method, $path, $body, @headers) = @_;

    my @pairs;
    while (my ($name, $value) = splice @headers, 0, 2) {
        push @pairs, [$name, $value];
    }

    return [$method, $path, \@pairs, $body];
}


sub _response
{
    my ($answer) = @_;

    return Hype::Response->failed($answer->{error} // 'no answer')
        if !$answer->{ended} || !@{ $answer->{head} };

    my ($status, @fields) = @{ $answer->{head} };
    my $head = join '', "HTTP/3 $status->[1]\r\n",
        (map { "$_->[0]: $_->[1]\r\n" } @fields), "\r\n";

    return Hype::Response->new($head, $answer->{body});
}


1;
