# nginx is reloaded and ended.

use lib 't/lib';
use Hype::Test;
use Hype::Fault;

my $pg = cluster(config => "max_connections = 30\nsuperuser_reserved_connections = 3");
my @common = (pg => $pg, keepalive => 0);


sub spooled
{
    my @files = spool_files(@_);

    return scalar @files;
}


# No worker lingers

sub gone
{
    my ($nginx, $name, $seconds) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;
    return is_soon { scalar(my @leaving = $nginx->leaving) } 0,
        "$name: old workers are gone", $seconds // 5;
}


# Reloads

my $nginx = fault_nginx(pg => $pg);

fault 'reload', @common, nginx => $nginx, sub {
    my ($load) = @_;

    for (1 .. 5) {
        $load->more(200);
        $nginx->reload;
    }

    $load->more(200);
};

gone($nginx, 'reload');

fault 'reload, on connections that are kept', pg => $pg, nginx => $nginx,
    unanswered => 1, sub {
    my ($load) = @_;

    for (1 .. 5) {
        $load->more(200);
        $nginx->reload;
    }

    $load->more(200);
};

fault 'reload while a batch is under way', @common, nginx => $nginx, sub {
    my ($load) = @_;

    for (1 .. 3) {
        $load->more(100);
        with_lock($pg, 'hype.referral_hit', sub { $load->more(5); $nginx->reload });
    }

    $load->more(200);
};

fault 'reload while the database is away', @common, nginx => $nginx, sub {
    my ($load) = @_;

    for (1 .. 3) {
        $load->more(100);
        $pg->stop('immediate');
        $nginx->reload;
        $load->more(100);
        $nginx->reload;
        $pg->start;
    }

    $load->more(200);
};

gone($nginx, 'reload while the database is away');

fault 'reloads near max_connections', @common, nginx => $nginx, sub {
    my ($load) = @_;
    my @others = map { $pg->connect } 1 .. 15;

    for (1 .. 15) {
        $nginx->reload;
        $load->more(30);
    }

    undef @others;
    $load->more(200);
};

gone($nginx, 'reloads near max_connections');

# The end

for my $signal (qw(QUIT TERM)) {
    my $seconds;

    fault "$signal", pg => $pg, nginx => $nginx, unanswered => 1, sub {
        my ($load) = @_;

        for (1 .. 3) {
            $load->more(100);
            my $begin = time;
            $nginx->stop($signal, 20);
            $seconds = time - $begin;
            $nginx->start;
        }

        $load->more(100);
    };

    cmp_ok($seconds, '<', 1 + $Hype::Fault::slack, 'it takes not long');

    fault "$signal while the table is locked", pg => $pg, nginx => $nginx,
        unanswered => 1, sub {
        my ($load) = @_;

        for (1 .. 3) {
            $load->more(100);

            with_lock($pg, 'hype.referral_hit', sub {
                $load->more(5);
                my $begin = time;
                $nginx->stop($signal, 20);
                $seconds = time - $begin;
            });

            $nginx->start;
        }

        $load->more(100);
    };

    cmp_ok($seconds, '<', 2 + $Hype::Fault::slack, 'it takes not long');

    fault "$signal while the database is away", pg => $pg, nginx => $nginx,
        unanswered => 1, sub {
        my ($load) = @_;
        $load->more(100);
        $pg->stop;
        $load->more(200);
        $nginx->stop($signal, 20);
        $nginx->start;
        $load->more(100);
        $nginx->stop($signal, 20);
        $pg->start;
        $nginx->start;
        $load->more(100);
    };
}

# A visitor who waits keeps a worker, but not longer than that

$nginx->restart(database => 'timeout=8s', main => 'worker_shutdown_timeout 500ms;');
my ($link) = fault_links($pg);
$nginx->get("/ref/$link/") for 1 .. 4;

with_lock($pg, 'hype.referral_hit', sub {
    my $load = $nginx->visits_start(count => 10, connections => 10,
                                    path => "/ref/$link/?next=/shutdown");
    wait_for_waiting($nginx, 10);
    my $begin = time;
    $nginx->reload;
    gone($nginx, 'worker_shutdown_timeout', 0.5 + $Hype::Fault::slack);
    $load->wait;
});

is_soon { $pg->hits("next = '/shutdown'") } 10,
    'and the hits of those who were cut off are there';
is_soon { spooled($nginx) } 0, 'all of them';
is($pg->hits("next = '/shutdown'"), 10, 'once');

# One who does not wait any more does not keep it

$nginx->restart(database => 'timeout=60s', main => '');
$nginx->get("/ref/$link/") for 1 .. 4;
{
    my $begin = time;
    $nginx->quit;
    cmp_ok(time - $begin, '<', 2 + $Hype::Fault::slack,
           'no worker lingers for a visitor who was answered');
}

# Ended while hits wait in memory and files are synced

$nginx->restart(database => 'timeout=5s',
                http => 'hype_spool %%DIR%%/hype_spool sync=always;');
$nginx->get("/ref/$link/") for 1 .. 4;

with_lock($pg, 'hype.referral_hit', sub {
    my $load = $nginx->visits_start(count => 20, connections => 20, retry => 0,
                                    path => "/ref/$link/?next=/terminated");
    wait_for_waiting($nginx, 20);
    $nginx->stop('TERM');
    $load->wait;
});

$nginx->start;
is_soon { $pg->hits("next = '/terminated'") } 20, 'TERM: hits go to the spool';
is_soon { spooled($nginx) } 0, 'all of them';
is($pg->hits("next = '/terminated'"), 20, 'once');

# Other numbers of workers

$nginx->restart(database => '', http => '', workers => 4);

fault 'worker_processes is changed', @common, nginx => $nginx, sub {
    my ($load) = @_;
    $load->more(100);
    $pg->stop;
    $load->more(400);
    $nginx->reload(workers => 1);
    $load->more(100);
    $pg->start;
    $load->more(100);
    $nginx->reload(workers => 4);
    $load->more(100);
};

gone($nginx, 'worker_processes is changed');

# A process that is master and worker in one

$nginx->restart(workers => 0, main => 'master_process off;');

fault 'one process (master_process off)', @common, nginx => $nginx, sub {
    my ($load) = @_;
    $load->more(200);
    $pg->restart;
    $load->more(200);
};

$nginx->quit;

done_testing();
