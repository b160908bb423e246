# Workers, or all of nginx, are killed (-9): what was answered is there.

use lib 't/lib';
use Hype::Test;
use Hype::Fault;

my $pg = cluster();
my $nginx = fault_nginx(pg => $pg);

fault 'workers are killed (-9)', pg => $pg, nginx => $nginx, unanswered => 1,
    sub {
    my ($load) = @_;

    for (1 .. 10) {
        $load->more(60);
        $nginx->kill_worker(($nginx->workers)[$_ % 2]);
    }

    $load->more(100);
};

fault 'workers are killed (-9) while the database is away', pg => $pg,
    nginx => $nginx, unanswered => 1, sub {
    my ($load) = @_;
    $load->more(100);
    $pg->stop;

    for (1 .. 5) {
        $load->more(100);
        $nginx->kill_worker(($nginx->workers)[$_ % 2]);
    }

    $pg->start;
    $load->more(100);
};

like($nginx->error_log, qr/\[notice\].*hype: adopted spool file ".*", \d+ bytes/,
     'files of dead workers are adopted');

fault 'master and workers are killed (-9)', pg => $pg, nginx => $nginx,
    unanswered => 1, sub {
    my ($load) = @_;
    $load->more(100);
    $nginx->stop('KILL');
    $nginx->start;
    $load->more(100);
    $pg->stop;
    $load->more(300);
    $nginx->stop('KILL');
    $nginx->start;
    $load->more(100);
    $nginx->stop('KILL');
    $pg->start;
    $nginx->start;
    $load->more(100);
};

$nginx->restart(http => 'hype_durability spool;');

fault 'master and workers are killed (-9), durability spool', pg => $pg,
    nginx => $nginx, unanswered => 1, sub {
    my ($load) = @_;

    for (1 .. 4) {
        $load->more(150);
        $nginx->stop('KILL');
        $nginx->start;
    }

    $load->more(100);
};

$nginx->quit;

done_testing();
