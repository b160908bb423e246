# sync=always: an answer waits until the record's file is synced, also where there
# are more files than a thread takes at a time, or no descriptor for it.

use lib 't/lib';
use Hype::Test;
use Hype::Fault;
use Hype::Shim;
use Hype::Status;

my $shim = Hype::Shim->new or plan(skip_all => 'no library to preload');
my $pg = cluster();
my $nginx = fault_nginx(pg => $pg, start => 0, workers => 1,
    database => 'timeout=60s', allow => [qr/\[crit\].* hype: spool: /],
    http => "hype_durability spool; hype_spool hype_spool sync=always;\n");
my ($link) = fault_links($pg);

$shim->around(sub { $nginx->start });


sub outcome { scalar $nginx->get("/ref/$link/?next=/$_[0]")->header('X-Outcome') }

sub waiting { Hype::Status::status($nginx, '/hype_status')->{queue}{waiting} }


is(outcome('first'), 'spooled', 'a hit');
$pg->stop;

$shim->set('dup 24 0');
my $syncs = $shim->syncs;
is(outcome('undupped'), 'spooled', 'no descriptor is left for the thread');
cmp_ok($shim->syncs, '>', $syncs, 'the file is synced all the same');

# Nothing is written to a file whose end may be torn

my @visits;
$shim->set('fsync 0 -1');
$syncs = $shim->syncs;

for my $n (1 .. 9) {
    is_soon {
        my $visits = $nginx->visits_start(path => "/ref/$link/?next=/$n");
        push @visits, $visits;
        wait_until { waiting() == $n || !$visits->running } 20, 'a visit';
        waiting();
    } $n, "a hit in file $n waits";

    $shim->set('short 0 0', 'ftruncate 5 0', 'fsync 0 -1');
    is(outcome('torn'), 'spooled', 'a record is torn');
    $shim->set('fsync 0 -1');
}

$shim->set('fsync 0 500');
wait_until { waiting() == 0 } 30, 'the answers';
cmp_ok($shim->syncs - $syncs, '>=', 9, 'all files are synced before the last answer');

$shim->set;
my @answers = map { $_->wait } @visits;
is(grep({ $_->header('X-Outcome') ne 'spooled' } @answers), 0, 'hits were spooled');
$pg->start;
is_soon { $pg->hits } 2 + 9 + @answers, 'all arrive', 30;
$nginx->stop;

done_testing();
