package Hype::Bench::Instructions;

# Instructions of a worker, counted by valgrind's callgrind: unlike the
# processor's own counters, it is to be had on any machine.

use strict;
use warnings;

use IO::Socket::INET ();

use Hype::Bench qw(load nginx postgres size);
use Hype::Util qw(read_file temp_dir wait_until write_file);

my $visits = 1000;
my $page = '/page';


# Of a page that has nothing to do with referrals, with the module and without.

sub pairs
{
    my $pg = postgres()->fresh('hype_bench');

    my %nginx = (
        ours => counted(database => $pg->conninfo, server => <<'END'),
            hype_ref_param ref;
            hype_user $upstream_http_x_hype_user;
            try_files /index.html =404;
END
        theirs => counted(server => 'try_files /index.html =404;'),
    );

    # what is made at the first request
    load($_, '-c', 1, '-n', 50, $page) for values %nginx;

    my @pairs = map { [map { instructions($nginx{$_}) } 'ours', 'theirs'] }
                1 .. size('pairs');

    $_->stop for values %nginx;
    return @pairs;
}


sub counted
{
    my $dir = temp_dir('callgrind');
    chmod 0777, $dir;

    my $wrapper = "$dir/nginx";
    my $binary = Hype::Nginx::_binary();

    write_file($wrapper, <<"END");
#!/bin/sh
exec valgrind --tool=callgrind --trace-children=yes \\
    --compress-strings=no --dump-before=ngx_reopen_files --callgrind-out-file=$dir/out.%p \\
    $binary "\$@"
END
    chmod 0755, $wrapper;

    local $ENV{HYPE_NGINX} = $wrapper;
    my $nginx = nginx(workers => 1, @_);

    # the worker opens its logs anew, and is not root
    chmod 0777, $nginx->dir . '/logs', glob $nginx->dir . '/logs/*';

    $nginx->{counts} = $dir;
    return $nginx;
}


sub instructions
{
    my ($nginx, @load) = @_;

    @load = ('-c', 1, '-n', $visits, $page) if !@load;

    counts($nginx);
    my $run = load($nginx, @load);

    return counts($nginx) / $run->{visits};
}


# Since the last call: callgrind writes them when the worker opens its logs anew.

sub counts
{
    my ($nginx) = @_;

    my ($worker) = $nginx->workers;
    my $file = sprintf '%s/out.%d.%d', $nginx->{counts}, $worker,
                       ++$nginx->{counted};
    my ($count, $looks);

    kill 'USR1', $worker;

    # an event makes sure that it sees the signal

    wait_until {
        visit_nothing($nginx) if ++$looks % 50 == 0;
        -e $file && read_file($file) =~ /^totals: (\d+)/m and $count = $1;
    } 60, 'the counts';

    return $count;
}



sub visit_nothing
{
    my ($nginx) = @_;

    IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $nginx->port);
}


1;
