# What the spool is for: hits of an outage, and of "hype_durability spool".

use lib 't/lib';
use Hype::Test;
use Hype::Fault;

my $pg = cluster();
my $nginx = fault_nginx(pg => $pg, workers => 1);
my ($link) = fault_links($pg);


sub outcome { scalar $nginx->get("/ref/$link/?next=/$_[0]")->header('X-Outcome') }
sub spooled { scalar(my @files = spool_files($nginx)) }


# The order of a worker's hits

$nginx->get("/ref/$link/");
$pg->stop;
is(grep({ outcome("order-$_") eq 'spooled' } 1 .. 300), 300, 'hits are spooled');
$pg->start;
is_soon { $pg->hits("next like '/order-%'") } 300, 'and arrive';
is($pg->value(q(select string_agg(substr(next, 8), ' ' order by ctid)
                from hype.referral_hit where next like '/order-%')),
   join(' ', 1 .. 300), 'in their order');
is_soon { spooled() } 0, 'the spool is empty';

# durability

$nginx->restart(http => 'hype_durability spool;', workers => 2);

fault 'durability spool', pg => $pg, nginx => $nginx, spooled => 1, rate => 0,
    sub { $_[0]->more(3000) };

fault 'durability spool, PostgreSQL restarts', pg => $pg, nginx => $nginx,
    spooled => 1, sub {
    my ($load) = @_;
    $load->more(200);
    $pg->restart('immediate');
    $load->more(400);
};

for my $sync (qw(always 50ms)) {
    $nginx->restart(http => "hype_durability spool; hype_spool hype_spool sync=$sync;");
    fault "durability spool, sync=$sync", pg => $pg, nginx => $nginx,
        spooled => 1, sub { $_[0]->more(1000) };
}

# A backlog is worked off while new hits go on

$nginx->restart(http => '', workers => 2);

fault 'a backlog of 10,000 hits', pg => $pg, nginx => $nginx, rate => 0,
    journeys => 100, sub {
    my ($load) = @_;
    $load->more(100);
    $pg->stop;
    $load->more(10_000);
    $pg->start;
    wait_until { spooled() == 0 || $load->answered % 7 == 0 } 20;
    $load->more(500);
};

$nginx->quit;

done_testing();
