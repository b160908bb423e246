package Hype::Response;

# An HTTP answer as it came: the header lines in their order, with repeats.

use strict;
use warnings;


# From the bytes up to and with the empty line, and the body.

sub new
{
    my ($class, $head, $body) = @_;

    my ($line, @lines) = split /\r?\n/, $head;
    my ($status) = $line =~ m{^HTTP/\S+ +(\d+)};

    return bless {
        head => $head,
        line => $line,
        status => $status // 0,
        headers => [map { /^([^:]*):[ \t]*(.*?)[ \t]*$/ ? [$1, $2] : () }
                    @lines],
        body => $body // '',
    }, $class;
}


# One that did not come, or not whole.

sub failed
{
    my ($class, $error, $bytes) = @_;

    return bless {
        head => $bytes // '',
        line => '',
        status => 0,
        headers => [],
        body => '',
        error => $error,
    }, $class;
}


# (answer, its length in bytes), or nothing while it is incomplete.  "closed"
# says that no more bytes will come.

sub parse
{
    my ($class, $bytes, $method, $closed) = @_;

    $bytes =~ /\r?\n\r?\n/g or return;
    my $start = pos $bytes;

    my $self = $class->new(substr($bytes, 0, $start));
    my $status = $self->{status};

    if (($method // '') eq 'HEAD' || $status == 204 || $status == 304
        || $status && $status < 200)
    {
        return ($self, $start);
    }

    my $length = $self->header('Content-Length');
    my $coding = $self->header('Transfer-Encoding') // '';

    if (lc $coding eq 'chunked') {
        my $at = $start;

        while (substr($bytes, $at) =~ /^([0-9A-Fa-f]+)[^\n]*\n/) {
            my $size = hex $1;
            my $data = $at + length $&;
            return if length $bytes < $data + $size + 2;
            return ($self, $data + 2) if $size == 0;

            $self->{body} .= substr $bytes, $data, $size;
            $at = $data + $size + 2;
        }

        return;
    }

    if (defined $length) {
        return if length $bytes < $start + $length;
        $self->{body} = substr $bytes, $start, $length;
        return ($self, $start + $length);
    }

    return if !$closed;

    $self->{body} = substr $bytes, $start;
    return ($self, length $bytes);
}


sub status { $_[0]{status} }
sub status_line { $_[0]{line} }
sub headers { $_[0]{headers} }
sub body { $_[0]{body} }
sub error { $_[0]{error} }
sub seconds { $_[0]{seconds} }

# All of the head, byte for byte.

sub head { $_[0]{head} }


# A header's value (the first line's), or in list context every line's.

sub header
{
    my ($self, $name) = @_;

    my @values = map { $_->[1] } grep { lc $_->[0] eq lc $name }
                 @{ $self->{headers} };

    return wantarray ? @values : $values[0];
}


sub location { scalar $_[0]->header('Location') }


# The value that a Set-Cookie line gives a cookie, and that line's attributes:
#
#   $r->cookie('hype_visitor')             '0b5c…'
#   $r->cookie_attributes('hype_visitor')  'Max-Age=31536000; Path=/; …'

sub cookie
{
    my ($self, $name) = @_;

    return ($self->_cookie($name))[0];
}


sub cookie_attributes
{
    my ($self, $name) = @_;

    return ($self->_cookie($name))[1];
}


sub _cookie
{
    my ($self, $name) = @_;

    for my $line ($self->header('Set-Cookie')) {
        return ($1, $2) if $line =~ /^\Q$name\E=([^;]*)(?:;[ ]?(.*))?$/;
    }

    return;
}


1;
