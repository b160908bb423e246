package Hype::PgBouncer;

# A PgBouncer in front of a database, to be given to nginx instead:
#
#   my $pool = pgbouncer($pg, pool_mode => 'transaction');
#   my $nginx = nginx(pg => $pool, ...);
#
# Further options are settings of its [pgbouncer] section.

use strict;
use warnings;

use IO::Socket::UNIX ();
use Carp qw(croak);

use Hype::Util qw(at_end free_port read_file server_user spawn stop_process
                  temp_dir wait_until write_file);


sub new
{
    my ($class, $pg, %settings) = @_;

    my $dir = temp_dir('bouncer');
    my $port = free_port();
    my $user = server_user();

    %settings = (
        auth_type => 'any',
        ignore_startup_parameters => 'extra_float_digits,options',
        listen_port => $port,
        max_client_conn => 500,
        pool_mode => 'transaction',
        unix_socket_dir => $dir,
        %settings,
    );

    my $database = $pg->dbname;
    my $server = sprintf 'host=%s port=%d dbname=%s user=hype_nginx',
        $pg->socket_dir, $pg->port, $database;

    write_file("$dir/ini", "[databases]\n$database = $server\n[pgbouncer]\n"
        . join('', map { "$_ = $settings{$_}\n" } sort keys %settings));

    # nginx's workers and no one else
    chown((getpwnam $user)[2, 3], $dir, "$dir/ini") if defined $user;
    chmod 0700, $dir;

    my $pid = spawn(command => ['/usr/sbin/pgbouncer', "$dir/ini"],
                    user => $user, output => "$dir/log");

    at_end(sub { defined stop_process($pid, 'KILL') });

    wait_until {
        croak "PgBouncer did not start:\n" . read_file("$dir/log")
            if defined stop_process($pid, undef, 0);
        IO::Socket::UNIX->new("$dir/.s.PGSQL.$port");
    } 10, 'PgBouncer to start';

    return bless { pg => $pg, dir => $dir, port => $port, pid => $pid }, $class;
}


sub conninfo
{
    my ($self, %o) = @_;

    return $self->{pg}->conninfo(host => $self->{dir}, port => $self->{port},
                                 %o);
}


sub log { read_file("$_[0]{dir}/log") }


1;
