package Hype::Shim;

# Lets calls of nginx on its spool's files, for a host's address or a Kerberos
# ticket, fail or take their time (t/lib/shim.c):
#
#   my $shim = Hype::Shim->new or plan skip_all => ...;
#   my $nginx = $shim->around(sub { nginx(...) });
#
#   $shim->set('write 28 0', 'fsync 0 300');
#   $shim->set('fsync 0 -1');      it takes until the next set
#   $shim->set;                    nothing fails any more
#   $shim->syncs;                  how many fsync there were,
#   $shim->syncs_begun;            and how many have begun

use strict;
use warnings;

use Hype::Nginx ();
use Hype::Util qw(read_file run source_dir temp_dir write_file);


# undef where there is no compiler, or nginx has a sanitizer, which wants to be
# loaded first.

sub new
{
    my ($class) = @_;

    my $dir = temp_dir('shim');
    chmod 0711, $dir;

    return if $ENV{HYPE_VALGRIND} || Hype::Nginx::is_sanitized();

    my ($status, $output) = run(command => [
        $ENV{CC} // 'cc', '-shared', '-fPIC', '-O1', '-o', "$dir/shim.so",
        source_dir() . '/t/lib/shim.c', '-ldl']);

    if ($status) {
        print STDERR "# $output";
        return;
    }

    my $self = bless { file => "$dir/control", library => "$dir/shim.so" }, $class;

    $self->set;
    write_file("$self->{file}.log", '');
    chmod 0666, "$self->{file}.log";

    return $self;
}


sub around
{
    my ($self, $code) = @_;

    local $ENV{LD_PRELOAD} = $self->{library};
    local $ENV{HYPE_SHIM} = $self->{file};

    return $code->();
}


sub set
{
    my ($self, @lines) = @_;

    write_file("$self->{file}.new", join '', map { "$_\n" } @lines);
    chmod 0644, "$self->{file}.new";
    rename "$self->{file}.new", $self->{file};
    return $self;
}


sub syncs
{
    my ($self) = @_;

    return scalar(() = read_file("$self->{file}.log") =~ /end/g);
}


sub syncs_begun
{
    my ($self) = @_;

    return scalar(() = read_file("$self->{file}.log") =~ /begin/g);
}


1;
