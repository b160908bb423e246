# nginx's binary is upgraded under load, by USR2.

use lib 't/lib';
use Hype::Test;
use Hype::Fault;
use Hype::Util qw(at_end children);

my $pg = cluster();
my $nginx = fault_nginx(pg => $pg, start => 0);

my $config = read_file($nginx->dir . '/nginx.conf');
$config =~ s/daemon off;/daemon on;/;
write_file($nginx->dir . '/nginx.conf', $config);

my $pid_file = $nginx->dir . '/nginx.pid';

# nginx renames the file, and writes a new one

my $pid_of = sub { 0 + (eval { read_file($_[0]) } || 0) };

run(command => $nginx->_command);
at_end(sub { kill 'KILL', map { $_, children($_) } grep { $_ }
             map { $pid_of->($_) } $pid_file, "$pid_file.oldbin"; 1 });

my $old = wait_until { $pid_of->($pid_file) } 20, 'nginx to start';

{
    local $nginx->{pid} = $old;

    fault 'upgrade (USR2)', pg => $pg, keepalive => 0, nginx => $nginx, sub {
        my ($load) = @_;
        $load->more(200);
        kill 'USR2', $old;
        my $new = wait_until {
            my $pid = $pid_of->($pid_file);
            $pid && $pid != $old && children($pid) >= 2 ? $pid : 0;
        } 20, 'the new binary';
        $load->more(100);
        kill 'WINCH', $old;
        wait_until { !children($old) || children($old) == 1 } 20,
            'the old workers to end';
        $load->more(100);
        kill 'QUIT', $old;
        wait_until { !kill 0, $old } 20, 'the old master to end';
        $nginx->{pid} = $new;
        $load->more(200);
    };

    kill 'QUIT', $nginx->{pid};
    wait_until { !kill 0, $nginx->{pid} } 20, 'nginx to end';
}

done_testing();
