# The network between nginx and PostgreSQL fails in all the ways it can.

use lib 't/lib';
use Hype::Test;
use Hype::Fault;
use Hype::Status;

my $pg = cluster();
my $proxy = proxy($pg);

my $nginx = fault_nginx(pg => $proxy,
                        database => 'timeout=500ms connect_timeout=1s');

my @common = (pg => $pg, nginx => $nginx, within => 0.5);

fault 'the network halts', @common, sub {
    my ($load) = @_;
    $load->more(100);
    $proxy->freeze;
    $load->more(1000);
    $proxy->thaw;
    $load->more(100);
};

fault 'it halts from the server only', @common, sub {
    my ($load) = @_;
    $load->more(100);
    $proxy->freeze('server');
    $load->more(1000);
    $proxy->thaw;
    $load->more(100);
};

fault 'it halts in mid-batch', @common, sub {
    my ($load) = @_;

    for my $bytes (10, 150, 1000) {
        $load->more(100);
        $proxy->freeze_at(client => $bytes);
        $load->more(500);
        $proxy->thaw;
        $load->more(100);
    }
};

fault 'connections are cut', @common, sub {
    my ($load) = @_;

    for (1 .. 20) {
        $load->more(50);
        $proxy->cut;
    }

    $load->more(100);
};

fault 'connections are cut in mid-batch', @common, sub {
    my ($load) = @_;

    for my $bytes (map { $_ * 37 } 1 .. 20) {
        $load->more(30);
        $proxy->cut_at(client => $bytes);
    }

    $proxy->thaw;
    $load->more(100);
};

fault 'connections are cut in mid-answer', @common, sub {
    my ($load) = @_;

    for my $bytes (map { $_ * 23 } 1 .. 20) {
        $load->more(30);
        $proxy->cut_at(server => $bytes);
    }

    $proxy->thaw;
    $load->more(100);
};

fault 'new connections halt while they are made', @common, sub {
    my ($load) = @_;

    for my $bytes (1, 30, 300, 500) {
        $load->more(50);
        $proxy->cut;
        $proxy->freeze_at(server => $bytes);
        $load->more(500);
        $proxy->thaw;
    }

    $load->more(100);
};

fault 'new connections are refused', @common, sub {
    my ($load) = @_;
    $load->more(100);
    $proxy->refuse;
    $proxy->cut;
    $load->more(500);
    $proxy->admit;
    $load->more(100);
};

# A commit whose reply is lost: CopyDone comes after the trailer of the data.
# What is done by a function is asked for again as well.

my $copy_done = "\xff\xffc\0\0\0\4";

fault 'replies to COMMIT are lost', @common, sub {
    my ($load) = @_;

    for (1 .. 20) {
        $load->more(40);
        $proxy->lose_reply($copy_done);
    }

    $load->more(100);
};

fault 'replies to claims and confirms are lost', @common, sub {
    my ($load) = @_;

    for (1 .. 10) {
        $load->more(40);
        $proxy->lose_reply('hype.claim_batch');
        $load->more(40);
        $proxy->lose_reply('hype.confirm_batch');
    }

    $load->more(100);
};

fault 'replies to replays are lost', @common, sub {
    my ($load) = @_;

    for (1 .. 10) {
        $load->more(40);
        $proxy->lose_reply($copy_done);
        $load->more(5);
        $proxy->lose_reply('hype.replay');
    }

    $load->more(100);
};

# A reader that takes large batches in small pieces

fault 'a slow reader of large batches', @common, agent => 4000, rate => 500,
    connections => 64, sub {
    my ($load) = @_;
    $load->more(100);

    for (1 .. 4) {
        $proxy->freeze('client');
        $load->more(200);
        $proxy->thaw;
        $proxy->freeze_at(client => 100_000);
        $load->more(20);
    }

    $proxy->thaw;
    $load->more(100);
};

$nginx->quit;

# One connection that is being made does not hold up another one that is there

$nginx = fault_nginx(pg => $proxy, workers => 1,
                     database => 'connections=3 timeout=3s connect_timeout=60s');
my ($link) = fault_links($pg);

is_soon {
    $nginx->visits(count => 100, connections => 64, path => "/ref/$link/");
    $pg->value('select count(*) from pg_stat_activity where '
               . q(application_name = 'nginx hype' and query like 'COPY%'));
} 2, 'two connections write hits';

$proxy->freeze_new;
$pg->value('select pg_terminate_backend(pid) from pg_stat_activity where '
           . q(application_name = 'nginx hype' and query like 'COPY%')
           . ' order by backend_start limit 1');
wait_until {
    status($nginx, '/hype_status')->{database}{connections}{connecting}
} 20, 'a connection that is being made';

my $begin = time;
my @answers = $nginx->visits(count => 100, connections => 16,
                             path => "/ref/$link/");
is(grep({ $_->header('X-Outcome') eq 'hit' } @answers), 100,
   'while one of two is being made, the other one is used');
cmp_ok(time - $begin, '<', 3, 'without waiting for it');

$proxy->thaw;
$nginx->quit;

done_testing();
