# A backlog of hits, claims and confirms, as they come one after the other, is
# written in a few large batches.

use lib 't/lib';
use Hype::Test;
use Hype::Fault;
use JSON::PP;

my $pg = cluster();
my ($link) = fault_links($pg);
my $nginx = fault_nginx(pg => $pg, workers => 1, server => <<'END');
    location = /status { hype_status json; }
END
my $n = 300;

is($nginx->get("/ref/$link/")->header('X-Outcome'), 'hit', 'a hit');
$pg->stop;

for my $i (1 .. $n) {
    my $visitor = $nginx->get("/ref/$link/?next=/$i")->cookie('hype_visitor');
    $nginx->get("/in?user=u$i", Cookie => "hype_visitor=$visitor");
    $nginx->get("/buy?user=u$i");
}

$pg->start;

is_soon { $pg->value(q(select count(*) from hype.referral_hit
                       where user_id = 'u' || substr(next, 2))) }
    $n, 'hits are written, and claimed', 30;
is_soon { $pg->value('select count(*) from hype.confirmed_referral') } $n,
    'and confirmed', 30;
is_soon { scalar(my @files = spool_files($nginx)) } 0, 'the spool is empty';

my $batches = decode_json($nginx->get('/status')->body)->{batches};
is($batches->{records}, 3 * $n + 1, 'each record is written once');
cmp_ok($batches->{count}, '<=', 40, 'in few batches');

done_testing();
