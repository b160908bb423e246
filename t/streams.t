# Hits, claims and confirms have streams of their own: none waits for what another
# one is refused, and each has its share of the spool.

use lib 't/lib';
use Hype::Test;
use Hype::Fault;

my $pg = cluster();
my ($link) = fault_links($pg);
my %config = (pg => $pg, workers => 1, database => 'timeout=5s', server => <<'END');
    location /buyer {
        hype_user $arg_user;
        hype_confirm $arg_event;
        return 204;
    }
END

my $nginx = fault_nginx(%config);
my $dir = $nginx->dir . '/hype_spool';
my $n = 0;


sub visit { scalar $nginx->get("/ref/$link/?next=/$_[0]")->header('X-Outcome') }


# How long one answer of a hundred took at least

sub slow
{
    my @seconds = sort { $a <=> $b } map { $_->seconds } @_;
    return $seconds[@seconds * 0.99];
}


# The names of the files in the spool without what is each one's own

sub files
{
    my %count;
    $count{s{.*/[^.]*\.}{}r}++ for spool_files($nginx);
    return join ' ', sort keys %count;
}


sub lock_table
{
    my ($table) = @_;

    my $dbh = $pg->connect;
    $dbh->begin_work;
    $dbh->do("lock table hype.$table in access exclusive mode");
    return $dbh;
}


sub claimed { $pg->value("select count(*) from hype.visitor_claim where user_id like '$_[0]-%'") }
sub confirmed { $pg->value("select count(*) from hype.confirmed_referral where event = '$_[0]'") }


# Users who come by the link, log in, and do what counts

sub journeys
{
    my ($name, $count) = @_;

    for my $i (1 .. $count) {
        my $visitor = $nginx->get("/ref/$link/?next=/$name")->cookie('hype_visitor');
        $nginx->get("/in?user=$name-$i", Cookie => "hype_visitor=$visitor");
        $nginx->get("/buyer?user=$name-$i&event=$name");
    }
}


is(visit('warm'), 'hit', 'a hit');

# Each has files of its own, which a worker that is gone leaves to the next

$pg->stop;
journeys('files', 5);
is(files(), join(' ', sort qw(spool claims.spool confirms.spool)), 'files for each');
$nginx->stop('KILL');
$nginx->start;
$pg->start;
is_soon { $pg->hits("next = '/files'") } 5, 'hits are written';
is_soon { claimed('files') } 5, 'and claims';
is_soon { confirmed('files') } 5, 'and confirms';
is_soon { files() } '', 'and no file is left';

# A file of the version before has them all

$pg->stop;
journeys('mixed', 5);
$nginx->quit;

my $bytes = '';
my @old = spool_files($nginx);
my ($name) = grep { !/(?:claims|confirms)\.spool$/ } @old;
my ($mode, $uid, $gid) = (stat $name)[2, 4, 5];
$bytes .= read_file($_) for reverse sort @old;
unlink @old;
write_file("$name.new", $bytes);
chown $uid, $gid, "$name.new";
rename "$name.new", $name;

$nginx->start;
$pg->start;
is_soon { $pg->hits("next = '/mixed'") } 5, 'hits of an old file are written';
is_soon { claimed('mixed') } 5, 'and its claims';
is_soon { confirmed('mixed') } 5, 'and its confirms';
is_soon { files() } '', 'and it goes';

# What only claims or confirms wait for does not delay hits, nor each other

for my $locked (qw(claim confirm)) {
    my $lock = lock_table("pending_$locked");
    my $log = $nginx->mark;
    my %done = (claim => sub { claimed($locked) },
                confirm => sub { confirmed($locked) });
    my ($other) = grep { $_ ne $locked } keys %done;

    my @visitors = map {
        $nginx->get("/ref/$link/?next=/$locked-0")->cookie('hype_visitor')
    } 1 .. 20;

    for my $i (0 .. 19) {
        $nginx->get("/in?user=$locked-$i", Cookie => "hype_visitor=$visitors[$i]");
        $nginx->get("/buyer?event=$locked", Cookie => "hype_visitor=$visitors[$i]")
    }

    my @answers = $nginx->visits(count => 200, connections => 1,
                                 path => "/ref/$link/?next=/$locked");
    is(grep({ $_->header('X-Outcome') eq 'hit' } @answers), 200,
       "${locked}s wait for a lock: hits are written");

    # who waits for the lock does so for lock_timeout, which is "timeout"

    my @seconds = sort { $a <=> $b } map { $_->seconds } @answers;
    cmp_ok($seconds[-1], '<', 2.5, 'without delay');
    is_soon { files() } "${locked}s.spool", "only ${locked}s are in the spool";

    $lock->rollback;
    is_soon { files() } '', 'and then are written';
    is_soon { claimed('claim') } 20, 'all claims are there' if $locked eq 'claim';
    is_soon { confirmed($locked) } 20, 'all confirms are there';
    unlike($nginx->error_log($log), qr/set aside/, 'nothing is set aside');
}

# and the other way round

{
    my $lock = lock_table('referral_hit');

    is(visit('held'), 'spooled', 'hits wait for a lock');
    $nginx->get("/in?user=held-$_", Cookie => 'hype_visitor='
                . $pg->value('select gen_random_uuid()')) for 1 .. 20;
    is_soon { files() } 'spool', 'claims are written all the same';
    $lock->rollback;
    is_soon { $pg->hits("next = '/held'") } 1, 'then hits are';
    is_soon { claimed('held') } 20, 'and the claims are in effect';
}

# Claims that are refused, whatever they are, do not keep hits from being written,
# and wait

$pg->exec('alter function hype.claim_batch(uuid[], text[], timestamptz[])
           rename to claim_batch_');

$nginx->get("/in?user=missing-$_", Cookie => 'hype_visitor='
            . $pg->value('select gen_random_uuid()')) for 1 .. 20;
is_soon { $nginx->error_log =~ /refused by PostgreSQL: .*claim_batch/ ? 1 : 0 } 1,
    'a function is missing';
my @answers = map { visit('missing') } 1 .. 300;
is(grep({ $_ eq 'hit' } @answers), 300, 'hits are written');
is(files(), 'claims.spool', 'claims are kept');
$pg->exec('alter function hype.claim_batch_ rename to claim_batch');
is_soon { claimed('missing') } 20, 'once it is there, they are written', 20;

# A hit is one when it is committed: not as long as nobody knows its link

$pg->stop;
is(visit('known'), 'spooled', 'a link that is known is spooled');
is($nginx->get('/ref/nobody-knows/?next=/nobody')->header('X-Outcome'), 'spooled',
   'so is one that is not');
$pg->start;
is_soon { $pg->hits("next = '/known'") } 1, 'the one has a row';
is_soon { files() } '', 'the spool is empty';
is($pg->hits("next = '/nobody'"), 0, 'and the other none');

{
    my $proxy = proxy($pg);
    my $through = fault_nginx(pg => $proxy, workers => 1);
    my %outcome;
    my $end = time + 4;
    my $i = 0;

    while (time < $end) {
        $proxy->cut if $i++ % 20 == 10;
        my $r = $through->get("/ref/unknown-$i/?next=/broken");
        $outcome{ $r->header('X-Outcome') }++;
    }

    is($outcome{hit} // 0, 0, 'no unknown identifier is a hit while connections '
       . 'break') or diag(explain(\%outcome));
    $through->quit;
}

# A flood of confirms fills its share of a small spool, and costs no hit

$nginx->restart(%config, http => 'hype_spool hype_spool max_size=400k;',
                server => $nginx->{server});
push @{ $nginx->{allow} }, qr/hype: dropped records/;
is_soon { visit('small') } 'hit', 'a small spool';
$pg->stop;
is_soon { visit('small') } 'spooled', 'the database is away';

my $flood = $nginx->visits_start(
    count => 30_000, connections => 16,
    path => sub { '/buyer?event=flood&user=flood-' . $_[0] . 'x' x 200 });
my @hits = map { visit("flood-$_") } 1 .. 500;
$flood->wait;
push @hits, map { visit("flood-$_") } 501 .. 700;
is(grep({ $_ eq 'spooled' } @hits), 700, 'a flood of confirms: no hit is dropped');
my $dropped = $nginx->dir . '/hype_spool/dropped.records';
cmp_ok(-s $dropped, '<=', 400 * 1024 / 32, 'dropped confirms have a file of their own');
like(set_aside($dropped), qr/^SELECT hype\.confirm_batch/m, 'that tells them');

my $size = 0;
$size += -s $_ for grep { /confirms\.spool$/ } spool_files($nginx);
cmp_ok($size, '<=', 100 * 1024, 'they have no more than a quarter');
cmp_ok($size, '>', 80 * 1024, 'which is theirs');
$pg->start;
is_soon { $pg->hits("next like '/flood-%'") } 700, 'all hits are written';

# A flood of them does not delay hits, nor do hits keep them from being written

$nginx->restart(%config, http => '', server => $nginx->{server});
is_soon { visit('flood') } 'hit', 'a large spool';

{
    my $alone = slow($nginx->visits(count => 2000, connections => 16,
                                    path => "/ref/$link/?next=/alone"));
    my $confirms = $nginx->visits_start(
        count => 10_000, connections => 8,
        path => sub { "/buyer?event=flood2&user=f-$_[0]" });
    my $visits = $nginx->visits_start(count => 10_000, connections => 16,
                                      path => "/ref/$link/?next=/beside");
    my @answers = $visits->wait;
    $confirms->wait;
    is(grep({ $_->header('X-Outcome') eq 'hit' } @answers), 10_000,
       'a flood of both: hits are written');
    cmp_ok(slow(@answers), '<', 0.2 + 4 * $alone, 'at once');
    is_soon { files() } '', 'and confirms, too', 60;
}

$nginx->quit;
$pg->stop;

done_testing();
