# A spool that can't be written to: its disk is full, its directory is read-only, or
# gone.

use lib 't/lib';
use Hype::Test;
use Hype::Fault;
use Hype::Util qw(at_end server_user);

my $pg = cluster();
my $nginx = fault_nginx(pg => $pg, workers => 2);
my $mounted = 0;
my $dir = $nginx->dir . '/hype_spool';
my @owner = defined server_user() ? (getpwnam server_user())[2, 3] : ($>, $));


sub spooled { scalar(my @files = spool_files($nginx)) }


# A full disk

SKIP: {
    skip 'a small disk takes root, and leave to mount it', 7
        if $> != 0;

    $nginx->stop;
    system("mount -t tmpfs -o size=64k none $dir 2>/dev/null") == 0
        or skip 'no leave to mount a small disk', 7;
    $mounted = 1;
    at_end(sub { system('umount', '-l', $dir) if $mounted; 1 });
    chown @owner, $dir;

    push @{ $nginx->{allow} }, qr/\[crit\].* hype: spool: .*No space left on device/;
    $nginx->restart(main => '');

    fault q(the spool's disk is full), pg => $pg, nginx => $nginx, spooled => 1,
        sub {
        my ($load) = @_;
        $load->more(100);
        $pg->stop;
        $load->more(1500);
        $pg->start;
        $load->more(100);
    };

    $nginx->restart(http => 'hype_durability spool;');
    my $log = $nginx->mark;
    system("dd if=/dev/zero of=$dir/filler bs=4096 2>/dev/null");

    fault q(the spool's disk is full, durability spool), pg => $pg,
        nginx => $nginx, spooled => 0, sub {
        my ($load) = @_;
        $load->more(300);
        unlink "$dir/filler";
        wait_until { $nginx->error_log($log) =~ /the spool works again/ } 20,
            'the spool to work again';
        $load->more(100);
    };

    like($nginx->error_log($log),
         qr/\[crit\].* hype: spool: write ".*" failed .*No space left on device/,
         'the log tells of it');
    $nginx->stop;
    system('umount', $dir);
    $mounted = 0;
}

# A directory that can't be written to, or is gone

push @{ $nginx->{allow} }, qr/\[crit\].* hype: spool: .*(?:Permission denied|No such file)/;

for my $durability (qw(commit spool)) {
    $nginx->restart(main => '', http => "hype_durability $durability;");

    SKIP: {
        skip 'all may write', 3 if $> != 0;

        fault "the spool's directory is read-only, durability $durability", pg => $pg,
            nginx => $nginx, sub {
            my ($load) = @_;
            chmod 0500, $dir;
            $load->more(200);
            $pg->stop;
            $load->more(200);
            $pg->start;
            $load->more(100);
            chmod 0700, $dir;
            $load->more(100);
        };
    }

    wait_until { spooled() == 0 } 20, 'the spool to be empty';
    rename $dir, "$dir.away";

    fault "the spool's directory is gone, durability $durability", pg => $pg,
        nginx => $nginx, sub {
        my ($load) = @_;
        $load->more(200);
        $pg->stop;
        $load->more(200);
        $pg->start;
        $load->more(100);
        rename "$dir.away", $dir;
        $load->more(100);
    };

    $nginx->stop;
}

done_testing();
