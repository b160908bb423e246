# System calls on the spool's files fail, or take their time.

use lib 't/lib';
use Hype::Test;
use Hype::Fault;
use Hype::Shim;

my $shim = Hype::Shim->new or plan(skip_all => 'no library to preload');
my $pg = cluster();
my $nginx = fault_nginx(pg => $pg, workers => 2);
my ($link) = fault_links($pg);


sub outcome { scalar $nginx->get("/ref/$link/?next=/$_[0]")->header('X-Outcome') }


$nginx->stop;

push @{ $nginx->{allow} }, qr/\[crit\].* hype: spool: .*Input\/output error/,
    qr/\[crit\].* hype: spool: write .*No space left/;

for my $durability (qw(commit spool)) {
    $shim->set;
    $shim->around(sub { $nginx->restart(http => "hype_durability $durability;") });

    fault "the spool's disk fails (EIO), durability $durability", pg => $pg,
        nginx => $nginx, sub {
        my ($load) = @_;

        for my $fault ('write 5 0', 'short 0 0') {
            $load->more(100);
            $pg->stop;
            $load->more(100);
            $shim->set($fault);
            $load->more(300);
            $shim->set;
            $load->more(100);
            $pg->start;
            $load->more(100);
        }
    };

    like($nginx->error_log, qr/\[crit\].* hype: spool: write .*Input\/output/,
         'the log tells of it');
    $nginx->stop;
}

# fsync is waited for, but not by others

$shim->around(sub { $nginx->restart(workers => 1, database => 'timeout=10s',
                                    http => <<'END',
hype_durability spool;
hype_spool hype_spool sync=always;
END
    server => "$nginx->{server} location = /other { return 204; }") });
outcome('warm');
$shim->set('fsync 0 -1');

my $load = $nginx->visits_start(count => 5, connections => 5,
                                path => "/ref/$link/?next=/synced");
wait_for_waiting($nginx, 5);
is($nginx->get('/other')->status, 204, 'others are answered while files are synced');
wait_for_waiting($nginx, 5);
ok($load->running, 'an answer waits for that');
$shim->set;
my @answers = $load->wait;
is(grep({ $_->header('X-Outcome') eq 'spooled' } @answers), 5, 'and comes');

# what is written during a sync is synced after it

$shim->set('fsync 0 -1');
my $syncs = $shim->syncs;
my @loads = map {
    my $load = $nginx->visits_start(path => "/ref/$link/?next=/later");
    wait_for_waiting($nginx, $_);
    $load;
} 1 .. 3;
$shim->set;
$_->wait for @loads;
is_soon { $shim->syncs - $syncs > 1 ? 1 : 0 } 1,
    'what is written while files are synced is synced, too';

# the same when the database is away

for my $sync (qw(always 100ms)) {
    $nginx->stop;
    $shim->around(sub { $nginx->restart(http => "hype_spool hype_spool sync=$sync;") });
    $pg->stop if $pg->running;
    $shim->set('fsync 0 500');
    my ($before, $begun) = ($shim->syncs, $shim->syncs_begun);

    for my $n (1 .. 2) {
        is(outcome("away-$n"), 'spooled', "the database is away, sync=$sync");
        wait_until { $shim->syncs_begun > $begun } 10, 'a sync to begin';
    }

    $shim->set;
    is_soon { $shim->syncs - $before > 1 ? 1 : 0 } 1, 'the file is synced again';
}

$pg->start;
is_soon { $pg->hits("next like '/away-%'") } 4, 'hits arrive';

# a sync that fails

$nginx->stop;
$shim->around(sub { $nginx->restart(http => <<'END') });
hype_durability spool;
hype_spool hype_spool sync=always;
END

$shim->set('fsync 5 0');
is(outcome('unsynced'), 'spooled', 'a sync that fails: the visitor goes on');
is_soon { $pg->hits("next = '/unsynced'") } 1, 'and the hit arrives';
like($nginx->error_log, qr/\[crit\].* hype: spool: fsync/, 'the log tells of it');

$nginx->stop;

done_testing();
