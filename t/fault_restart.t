# PostgreSQL is away, comes, goes and comes again: visitors go on.

use lib 't/lib';
use Hype::Test;
use Hype::Fault;

my $pg = cluster();
my @links = fault_links($pg, 3);

# nginx starts without a database, and recovers by itself

$pg->stop;

my $nginx = fault_nginx(pg => $pg);

fault 'nginx starts without PostgreSQL', pg => $pg, nginx => $nginx,
    link => \@links, sub {
    my ($load) = @_;
    $load->more(100);
    $pg->start;
    wait_until { $pg->hits > 300 } 30, 'hits to arrive';
};

is_soon { $nginx->get("/ref/$links[0]/")->header('X-Outcome') } 'hit',
    'after that a hit is in the table before its answer';

# restarts

for my $how (qw(fast immediate kill)) {
    fault "PostgreSQL restarts ($how)", pg => $pg, nginx => $nginx, sub {
        my ($load) = @_;

        for (1 .. 2) {
            $load->more(100);
            $pg->restart($how);
        }

        $load->more(200);
    };
}

fault 'PostgreSQL is away for a while', pg => $pg, nginx => $nginx, sub {
    my ($load) = @_;
    $load->more(100);
    $pg->stop('immediate');
    $load->more(1000);
    $pg->start;
    $load->more(200);
};

# backends

fault 'backends are terminated again and again', pg => $pg, nginx => $nginx,
    sub {
    my ($load) = @_;

    for (1 .. 30) {
        $load->more(20);
        $pg->terminate;
    }

    $load->more(100);
};

fault 'a backend is killed (-9)', pg => $pg, nginx => $nginx, sub {
    my ($load) = @_;

    for (1 .. 2) {
        $load->more(100);

        my $pid = wait_until {
            eval { $pg->value('select pid from pg_stat_activity'
                              . " where usename = 'hype_nginx' limit 1") }
        } 20, 'a backend';

        delete $pg->{dbh};
        kill 'KILL', $pid;
        wait_until { !kill 0, $pid } 20, 'its end';
    }

    $load->more(200);
};

fault 'PostgreSQL hangs (SIGSTOP)', pg => $pg, nginx => $nginx, sub {
    my ($load) = @_;
    $load->more(100);
    $pg->freeze;
    $load->more(1000);
    $pg->thaw;
    $load->more(200);
};

unlike($nginx->error_log, qr/password/, 'no password in the log');

is_soon { $nginx->get("/ref/$links[0]/")->header('X-Outcome') } 'hit',
    'and all is as it was';

$nginx->quit;

done_testing();
