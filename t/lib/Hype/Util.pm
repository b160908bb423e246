package Hype::Util;

# What the rest of the library stands on: a private folder, free ports, child
# processes that end with the test, and waiting for conditions.

use strict;
use warnings;

use Carp qw(croak);
use Cwd qw(abs_path);
use Exporter qw(import);
use File::Basename qw(dirname);
use File::Path qw(remove_tree);
use File::Temp ();
use IO::Socket::INET ();
use POSIX qw(:sys_wait_h setsid _exit);
use Socket qw(SOCK_STREAM SOL_SOCKET SO_REUSEADDR PF_INET
              inet_aton pack_sockaddr_in unpack_sockaddr_in);
use Time::HiRes qw(sleep time);

our @EXPORT_OK = qw(
    as_uri
    at_end
    children
    free_port
    read_file
    run
    server_user
    source_dir
    spawn
    stop_process
    temp_dir
    wait_until
    write_file
);

my $source_dir = abs_path(dirname(__FILE__) . '/../../..');
my $temp_dir;
my %numbers;
my @reserved;
my @at_end;
my $owner = $$;


# The root of the project's tree.

sub source_dir
{
    return $source_dir;
}


# A new folder in this process's own one, e.g. temp_dir('nginx'), removed at the
# end.  The names are short: a Unix socket's path has 107 bytes at most.

sub temp_dir
{
    my ($name) = @_;

    my $dir = _private_dir();

    if (defined $name) {
        my $n = $numbers{$name}++;
        $dir .= "/$name" . ($n ? $n : '');
        mkdir $dir or croak "mkdir $dir: $!";
    }

    return $dir;
}


sub _private_dir
{
    if (!defined $temp_dir) {
        my $base = $ENV{TMPDIR} || '/tmp';
        $base = '/tmp' if length $base > 60 || !_open_to_all($base);

        $temp_dir = File::Temp::tempdir('hype-XXXXXX', DIR => $base);
        $owner = $$;

        # PostgreSQL and nginx's workers may run as another user
        chmod 0711, $temp_dir;
    }

    return $temp_dir;
}


sub _open_to_all
{
    my ($dir) = @_;

    return 1 if $> != 0;

    for (my $d = $dir; ; $d = dirname($d)) {
        my @st = stat $d or return 0;
        return 0 unless $st[2] & 01;
        return 1 if $d eq '/' || $d eq '.';
    }
}


# The user that servers run as: PostgreSQL refuses to be root.

sub server_user
{
    return undef if $> != 0;

    for my $name ('postgres', 'nobody') {
        return $name if defined getpwnam($name);
    }

    croak 'no unprivileged user to run PostgreSQL as';
}


# A TCP port on 127.0.0.1, out of the range of the kernel's own choice and held
# by a bound socket.  It gets SO_REUSEADDR when it is bound: nobody else who
# searches gets the port, and a server, which sets SO_REUSEADDR first, does.

sub free_port
{
    for (1 .. 1000) {
        my $port = 10240 + int rand 20000;

        socket my $held, PF_INET, SOCK_STREAM, 0 or croak "socket: $!";
        bind $held, pack_sockaddr_in($port, inet_aton('127.0.0.1')) or next;
        setsockopt $held, SOL_SOCKET, SO_REUSEADDR, 1;

        push @reserved, $held;
        return $port;
    }

    croak 'no free port';
}


# wait_until { condition } $seconds, $what: the condition's true value, looked
# at every 20 ms.  Dies with a message when it stays false.

sub wait_until (&;$$)
{
    my ($condition, $seconds, $what) = @_;

    $seconds //= 10;
    my $end = time + $seconds;

    while (1) {
        my $value = $condition->();
        return $value if $value;
        last if time >= $end;
        sleep 0.02;
    }

    croak sprintf 'timed out after %gs: %s', $seconds, $what // 'wait_until';
}


# Starts a child in a session of its own, so that Ctrl-C reaches the test alone,
# and that is signalled (pdeathsig) should the test be killed.
#
#   spawn(command => [...], user => $name, output => $file, death => 'TERM')

sub spawn
{
    my (%o) = @_;

    my @command = ('setpriv', '--pdeathsig', $o{death} // 'TERM');

    if (defined $o{user}) {
        push @command, '--reuid', $o{user}, '--regid', (getpwnam $o{user})[3],
            '--clear-groups';
    }

    push @command, '--', @{ $o{command} };

    my $pid = fork // croak "fork: $!";
    return $pid if $pid;

    setsid();
    $SIG{$_} = 'DEFAULT' for qw(INT TERM HUP QUIT PIPE CHLD);

    open STDIN, '<', '/dev/null';

    if (defined $o{output}) {
        open STDOUT, '>>', $o{output} or _exit(126);
        open STDERR, '>&', \*STDOUT;
    }

    chdir($o{chdir} // '/');
    no warnings 'exec';
    exec { $command[0] } @command;
    print STDERR "$command[0]: $!\n";
    _exit(127);
}


# Sends a signal to a child and waits for its end: its wait status, or undef if
# it is still there after that many seconds.

sub stop_process
{
    my ($pid, $signal, $seconds) = @_;

    local $?;
    kill $signal, $pid if defined $signal;

    my $end = time + ($seconds // 10);

    while (1) {
        my $r = waitpid $pid, WNOHANG;
        return $? if $r == $pid;
        return 0 if $r == -1;
        return undef if time >= $end;
        sleep 0.01;
    }
}


# The processes that a process has started.

sub children
{
    my ($pid) = @_;

    return if !defined $pid;
    open my $fh, '<', "/proc/$pid/task/$pid/children" or return;
    return split ' ', scalar(<$fh>) // '';
}


# Runs a command, optionally as another user: (exit status, output).

sub run
{
    my (%o) = @_;

    my $dir = temp_dir();
    my $file = "$dir/run.$$." . ++$numbers{run};
    write_file($file, '');

    local $?;
    my $pid = spawn(%o, output => $file);
    waitpid $pid, 0;

    my $status = $? >> 8 || $? & 127;
    my $output = read_file($file);
    unlink $file;

    return ($status, $output);
}


sub read_file
{
    my ($file) = @_;

    open my $fh, '<:raw', $file or croak "$file: $!";
    local $/;
    return scalar(<$fh>) // '';
}


sub write_file
{
    my ($file, $text) = @_;

    open my $fh, '>:raw', $file or croak "$file: $!";
    print $fh $text;
    close $fh or croak "$file: $!";
}


# Registers what to do at the end of this process; last in, first out.

sub at_end
{
    my ($code) = @_;

    push @at_end, [$$, $code];
}


$SIG{$_} = sub { exit 1 } for qw(INT TERM HUP);


END {
    my $status = $?;
    my $failed = 0;

    $SIG{$_} = 'IGNORE' for qw(INT TERM HUP);

    while (my $item = pop @at_end) {
        my ($pid, $code) = @$item;
        next if $pid != $$;
        eval { $code->() or $failed = 1; 1 }
            or do { print STDERR "# $@"; $failed = 1 };
    }

    if (defined $temp_dir && $owner == $$) {
        if ($ENV{HYPE_KEEP} && ($status || $failed)) {
            print STDERR "# kept: $temp_dir\n";

        } else {
            remove_tree($temp_dir, { safe => 0, error => \my $ignored });
        }
    }

    $? = $status || $failed;
}


# Bytes as they stand in a "Location": what may not be in a URI reference (RFC
# 3986) is percent-encoded.

sub as_uri
{
    my ($bytes) = @_;

    $bytes =~ s{%(?![0-9A-Fa-f]{2})|[^-A-Za-z0-9._~:/?#\[\]\@!\$&'()*+,;=%]}
               {sprintf '%%%02X', ord $&}ge;
    $bytes =~ s/(?<=#)(.*)/$1 =~ s,#,%23,gr/se;

    return $bytes;
}


1;
