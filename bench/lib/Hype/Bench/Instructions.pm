package Hype::Bench::Instructions;

# Instructions of a worker, counted by valgrind's callgrind: unlike the
# processor's own counters, it is to be had on any machine.

use strict;
use warnings;

use Carp qw(croak);

use Hype::Bench qw(load nginx postgres size);
use Hype::Util qw(read_file run temp_dir wait_until write_file);

my $visits = 300;
my $page = '/page?a=1&b=2';
my $runs = 0;


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
    --callgrind-out-file=$dir/out.%p $binary "\$@"
END
    chmod 0755, $wrapper;

    local $ENV{HYPE_NGINX} = $wrapper;
    my $nginx = nginx(workers => 1, @_);

    $nginx->{counts} = $dir;
    return $nginx;
}


sub instructions
{
    my ($nginx) = @_;

    my ($worker) = $nginx->workers;
    my $dir = $nginx->{counts};

    control('--zero', $worker);
    load($nginx, '-c', 1, '-n', $visits, $page);

    my %had = map { $_ => 1 } glob "$dir/out.$worker.*";
    control('--dump', $worker);

    my $count;

    wait_until {
        my ($file) = grep { !$had{$_} } glob "$dir/out.$worker.*";
        $file && read_file($file) =~ /^totals: (\d+)/m and $count = $1;
    } 10, 'the counts';

    return $count / $visits;
}


sub control
{
    my ($status, $output) = run(command => ['callgrind_control', @_]);

    croak "callgrind_control: $output" if $status;
}


1;
