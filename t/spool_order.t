# The spool is drained in order, also what several files of a worker that is gone
# have, and the next worker's own files behind them.

use lib 't/lib';
use Hype::Test;

my $pg = cluster();
$pg->link('abc123', destination => '/welcome');

my $nginx = nginx(pg => $pg, workers => 1, server => 'location /ref/ { hype_ref; }',
                  http => 'hype_spool %%DIR%%/hype_spool;', allow => [qr/./]);

my $long = 'x' x 7000;

visit('first', 1);
$pg->stop('fast');

# two whole files and more, of 16 MB each; and one and more

visit('old', 6000);
my ($pid) = $nginx->workers;
$nginx->reload;
wait_until { !kill 0, $pid } 10, 'the old worker to end';
visit('new', 4000);

cmp_ok(scalar(() = glob $nginx->dir . '/hype_spool/*.spool'), '>=', 4,
       'there are several files');

$pg->start;
is_soon { $pg->hits } 10001, 'all hits arrive', 60;

# one worker writes batch after batch, each a transaction

is($pg->value(<<'END'), 0, 'none before one that is older');
select count(*)
from hype.referral_hit n
where next like '/new%'
  and xmin::text::bigint <= (select max(xmin::text::bigint)
                             from hype.referral_hit where next like '/old%')
END

done_testing();


sub visit
{
    my ($name, $count) = @_;

    my @answers = $nginx->visits(
        count => $count, connections => 8,
        path => sub { "/ref/abc123/?next=/$name-$_[0]-$long" },
        headers => ['User-Agent' => $long, Referer => $long]);

    die "wrong answers" if grep { $_->status != 302 } @answers;
}
