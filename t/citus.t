# Hits distributed by Citus, from an nginx at each node of the cluster.

use lib 't/lib';
use Hype::Test;
use Hype::Citus;
use Hype::Fault;

my $citus = Hype::Citus->new(distribute => 0);
my $pg = $citus->coordinator;

$pg->link('abc', user_id => 'alice', destination => '/to');

# A column of the site's own

$pg->exec('alter table hype.referral_hit add column shop text');

# What is there before keeps its place in the log

$pg->exec("insert into hype.referral_hit (referral_link_id, created, visitor)
    select 1, now() - i * interval '1 hour', gen_random_uuid()
    from generate_series(1, 1000) i");
$pg->query('select hype.derive()');

is($pg->value('select hype.my_node()'), 0, 'not distributed: node 0');
$citus->distribute;
is($pg->hits, 1000, 'hits are there after they were distributed');
is($pg->hits('node <> 0'), 0, 'with the node that they had');
$citus->derive;
is($pg->value('select hits from hype.link_stats'), 1000, 'each is counted once');

# An nginx at each node

my @nginx = map {
    fault_nginx(pg => $_, workers => 1, server => <<'END');
location = /user { hype_user $http_x_user; return 204; }
location = /paid { hype_user $http_x_user; hype_confirm paid; return 204; }
END
} $citus->nodes;

for my $i (0 .. $#nginx) {
    my $r = $nginx[$i]->get('/ref/abc/');
    is($r->header('X-Outcome'), 'hit', "node $i: a hit");

    my ($row) = $pg->query('select node, node & 127, referral_link_id
        from hype.referral_hit where id = ?', $r->header('X-Hit'));
    is($row->[1], $i, "node $i: of that server's transactions");
    is($row->[2], 1, "node $i: of the link");
    is($pg->value("select groupid from pg_dist_placement where shardid =
           get_shard_id_for_distribution_column('hype.referral_hit',
                                                ?::smallint)", $row->[0]), $i,
       "node $i: in a shard of that server");

    my $dbh = ($citus->nodes)[$i]->connect;
    $dbh->begin_work;
    is($dbh->selectrow_array('insert into hype.referral_hit (referral_link_id)
        values (1) returning node & 127'), $i,
       "node $i: also a hit that names no node");
    $dbh->rollback;
}

# A visitor who comes by one node, logs in at another and buys at the third

my $visitor = $nginx[1]->get('/ref/abc/')->cookie('hype_visitor');
$nginx[0]->get('/ref/abc/', Cookie => "hype_visitor=$visitor");
$nginx[2]->get('/user', 'X-User' => 'bob', Cookie => "hype_visitor=$visitor");

is_soon { $pg->hits('user_id = ?', 'bob') } 2, 'a claim reaches all hits';

$nginx[1]->get('/paid', 'X-User' => 'bob');
is_soon { $pg->text('select event, user_id, referrer
    from hype.confirmed_referral') } "paid|bob|alice\n", 'a confirm is credited';

is($pg->value("select count(*) from hype.confirm('signup', user_id => 'bob')"),
   1, 'hype.confirm()');

# Of two confirms the earlier counts, which comes later, and moves the credit

$pg->exec("insert into hype.referral_hit (referral_link_id, created, user_id)
    select 1, now() - i * interval '1 hour', 'carol'
    from generate_series(1, 3, 2) i");

my $credit = sub {
    my ($hours) = @_;

    $pg->query("select hype.confirm_batch('{paid}', '{carol}', '{NULL}',
        '{NULL}', array[now() - ? * interval '1 hour'])", $hours);
    $citus->derive;

    return $pg->value("select round(extract(epoch from now() - h.created)
        / 3600) from hype.confirmed_referral c
        join hype.referral_hit h on h.id = c.referral_hit_id
        where c.user_id = 'carol'");
};

is($credit->(0), 1, 'a confirm is credited to the last hit');
is($credit->(2), 3, 'an earlier confirm moves it to the hit before');
is($pg->hits("user_id = 'carol' and confirmed is not null"), 1,
   'one hit is marked');

is_soon { $pg->text('select hits, unique_visitors, linked_users, confirmed
    from hype.link_stats') } "1007|1005|2|2\n", 'reports have all of it';

# A hit that is replayed before its first attempt has reached the database

my $late = '0f0e0d0c-0b0a-7908-8706-0504030201';

sub replayed_before
{
    my ($name, $i, $id, $between) = @_;

    my $dbh = ($citus->nodes)[$i]->connect;
    my $node = $dbh->selectrow_array('select hype.my_node()');
    my @hit = ($id, '2026-01-01Z', $node);

    $between->($node);

    is($dbh->selectrow_array("select hype.replay(array[?::uuid], '{1}',
           array[?::timestamptz], '{f}', '{f}', array[?::uuid], '{NULL}',
           '{NULL}', '{NULL}', '{NULL}', '{NULL}', '{NULL}',
           nodes => array[?::smallint])", undef, @hit[0, 1], "${late}99", $node),
       1, "$name: a hit is replayed");
    ok(!eval { $dbh->do('insert into hype.referral_hit
           (id, created, node, referral_link_id) values (?, ?, ?, 1)', undef,
           @hit) }, '- its first attempt comes too late');
    like($@, qr/duplicate key/, '- as the hit is there');

    return $node;
}

replayed_before("node $_", $_, "${late}0$_", sub { }) for 0 .. $#nginx;

for my $i (0, 1) {
    my $node = replayed_before("node $i, its shard was moved", $i, "${late}1$i",
                               sub { $citus->move($_[0], $citus->worker(2)) });
    $citus->move($node, ($citus->nodes)[$i]);
}

is_deeply([map { $pg->query("select hype.replay(array[?::uuid], '{1}',
              '{2026-01-01Z}', '{f}', '{f}', array[?::uuid], '{NULL}', '{NULL}',
              '{NULL}', '{NULL}', '{NULL}', '{NULL}', nodes => '{228}')",
              "${late}20", "${late}99") } 1, 2], [[1], [0]],
    'a hit of a server that was removed is replayed, once');
is($pg->value('select node & 127 from hype.referral_hit where id = ?',
              "${late}20"), 0, '- by the one that there is');

$pg->query("select hype.claim_batch(array[?::uuid], '{dan}', array[now()])",
           "${late}99");
is_soon { $citus->derive; $pg->hits("user_id = 'dan'") } 6,
    'a claim finds each of them';

# Faults

my %load = (pg => $pg, nginx => $nginx[1], rate => 200, journeys => 8,
            settle => 60);

fault 'Citus: hits by a worker', %load, sub {
    my ($load) = @_;
    $load->more(500);
};

fault 'Citus: the shard is moved to another worker, and back', %load, sub {
    my ($load) = @_;

    my $latest = 'select node from hype.referral_hit where node & 127 = 1
        order by created desc limit 1';

    $load->more(200);
    my $node = $pg->value($latest);
    $citus->move($node, $citus->worker(2));
    is_soon { $pg->value($latest) == $node ? 'same' : 'other' } 'other',
        'nginx takes another shard of its server', 30;

    $load->more(200);
    $citus->move($node, $citus->worker(1));
    $load->more(200);
};

fault 'Citus: backends of a worker are terminated', %load, sub {
    my ($load) = @_;

    for (1 .. 10) {
        $load->more(50);
        $citus->worker(1)->terminate;
    }
};

fault 'Citus: a worker is killed', %load, sub {
    my ($load) = @_;

    for (1 .. 2) {
        $load->more(200);
        $citus->worker(1)->restart('kill');
    }

    $load->more(200);
};

fault 'Citus: a worker hangs', %load, sub {
    my ($load) = @_;
    $load->more(200);
    $citus->worker(1)->freeze;
    $load->more(600);
    $citus->worker(1)->thaw;
    $load->more(200);
};

# While a worker is away, others take hits; what is derived waits for it.

sub others_go_on
{
    my ($load, $fault) = @_;

    $load->more(200);

    my $outcome = sub { $_[0]->get('/ref/abc/')->header('X-Outcome') };

    for my $i (0, 1) {
        is_soon { $outcome->($nginx[$i]) } 'hit', "$fault: a hit at node $i";
    }

    $load->more(200);

    for my $i (0, 1) {
        is_soon { $outcome->($nginx[$i]) } 'hit', "$fault: also later at $i";
    }
}

fault 'Citus: another worker hangs', %load, sub {
    my ($load) = @_;
    $load->more(100);
    $citus->worker(2)->freeze;
    others_go_on($load, 'another worker hangs');
    $citus->worker(2)->thaw;
    $load->more(100);
};

fault 'Citus: another worker is stopped', %load, sub {
    my ($load) = @_;
    $load->more(100);
    my $before = length $nginx[1]->error_log;

    $citus->worker(2)->stop('kill');
    others_go_on($load, 'another worker is stopped');

    # nginx tries again after up to 10 seconds, and logs a line in as many, whose
    # last one may be of the fault before.

    is_soon { substr($nginx[1]->error_log, $before)
                  =~ /connection to the remote node/ ? 1 : 0 }
        1, 'the log says why nothing is derived', 60;

    $citus->worker(2)->start;
    $load->more(100);
};

fault 'Citus: the network of another worker ends connections', %load, sub {
    my ($load) = @_;
    $load->more(100);
    $citus->network->refuse;
    $citus->network->cut;
    others_go_on($load, 'connections end');
    $citus->network->admit;
    $load->more(100);
};

fault 'Citus: the network of another worker passes nothing', %load, sub {
    my ($load) = @_;
    $load->more(100);
    $citus->network->freeze;
    others_go_on($load, 'nothing passes');
    $citus->network->thaw;
    $load->more(100);
};

fault 'Citus: the coordinator is killed', %load, sub {
    my ($load) = @_;
    $load->more(200);
    $pg->restart('kill');
    $load->more(200);
};

# All that was derived is that of all hits

$citus->derive;
is($pg->value('select sum(hits) from hype.link_stats'), $pg->hits('not bot'),
   'each hit is counted once');

# hype.sql once more

$citus->install->derive;
is($pg->value('select sum(hits) from hype.link_stats'), $pg->hits('not bot'),
   'hype.sql can be run again');

done_testing();
