# What nginx does with a node, as it gets one on Citus: a PostgreSQL with a
# hype.my_node() that returns one.  See t/citus.t for Citus itself.

use lib 't/lib';
use Hype::Test;
use Hype::Fault;

my $pg = cluster();
my ($link) = fault_links($pg);

$pg->exec(<<'END');
grant insert on hype.referral_hit to hype_nginx;

create function be_node(node integer) returns void language plpgsql as $$
begin
    execute format('create or replace function hype.my_node() returns smallint
                    language sql immutable return %s::smallint', node);
end $$;

-- The nodes that hits are replayed with

create table replayed (id uuid, node smallint);
alter function hype.replay set schema public;
create function hype.replay(uuid[], bigint[], timestamptz[], boolean[],
    boolean[], uuid[], text[], inet[], text[], text[], text[], text[], text[],
    text[], smallint[])
returns bigint language sql security definer as $$
    insert into public.replayed select * from unnest($1, $15);
    select public.replay($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13,
                         $14, $15);
$$;
END

$pg->query('select be_node(129)');

my $nginx = fault_nginx(pg => $pg, workers => 1);

sub burst
{
    my ($next, $count) = @_;

    my %outcome;
    $outcome{ $_->header('X-Outcome') }++ for $nginx->visits(
        count => $count, connections => 20, path => "/ref/$link/?next=/$next",
        headers => [Referer => "http://example/\xff"]);
    return join ' ', map { "$_=$outcome{$_}" } sort keys %outcome;
}

sub replayed
{
    my ($next) = @_;

    return $pg->text('select r.node, count(distinct id)
        from replayed r join hype.referral_hit h using (id) where h.next = ?
        group by r.node', "/$next");
}

sub nodes
{
    my ($next) = @_;

    return $pg->text('select node, count(*) from hype.referral_hit
        where next = ? group by node order by node', "/$next");
}

is(burst('one', 1), 'hit=1', 'one hit');
is(nodes('one'), "129|1\n", 'has the node of its connection');
is(burst('many', 300), 'hit=300', 'many hits');
is(nodes('many'), "129|300\n", 'have it, too');

is($pg->value(<<'END'), 1, 'and all else that hits have without a node');
select count(distinct (referral_link_id, authenticated, bot, ip, user_agent,
                       http_referer))
from hype.referral_hit
END

# Its shard is moved away

$pg->query('select be_node(257)');
is_soon { burst('moved', 1); nodes('moved') =~ /^257/m ? 'other' : 'same' }
    'other', 'within a second nginx takes another one';

# A batch that may have been committed, and a connection that has another node

my $held = $pg->connect;
$held->begin_work;
$held->do('lock table hype.referral_hit in share row exclusive mode');
my $late = $nginx->visits_start(count => 30, connections => 30,
                                path => "/ref/$link/?next=/late");
is_soon { $pg->value("select count(*) from pg_locks where not granted
    and mode = 'RowExclusiveLock'") > 0 ? 'waits' : 'none' } 'waits',
    'a batch that PostgreSQL does not answer';
is(grep({ $_->header('X-Outcome') eq 'spooled' } $late->wait), 30,
   'is spooled');

my ($status, $output) = run(command => [source_dir() . '/build/hype-spool',
                                        '--check', spool_files($nginx)]);
like($output, qr/hits: 30/, 'hype-spool reads records with a node');

$pg->query('select be_node(385)');
$pg->terminate;
$held->rollback;

is_soon { $pg->hits("next = '/late'") } 30, 'it is written';
like(replayed('late'), qr/^257\|\d+\n$/,
     'what was sent as a hit of the node that it was sent to, and no other');

# A spool that another nginx leaves

$pg->stop;
is(burst('away', 20), 'spooled=20', 'PostgreSQL is away');
$nginx->stop;
$pg->start;
$nginx->start;
is_soon { $pg->hits("next = '/away'") } 20, 'hits that were never sent';
is(replayed('away') || nodes('away'), "385|20\n",
   'get the node of the connection that takes them');

# A spool that a killed nginx has written to PostgreSQL, but not removed: the hits may
# be there with the node of its connection, where no other node meets them.

$nginx->stop;
$nginx->restart(http => 'hype_durability spool;');
is(burst('warm', 1), 'spooled=1', 'hits are written by way of the spool');
is_soon { nodes('warm') } "385|1\n", 'each once';
$held = $pg->connect;
$held->begin_work;
$held->do('lock table hype.referral_hit in share row exclusive mode');
is(burst('killed', 20), 'spooled=20', 'some more');
my %files = map { m{([^/]+)$}; $1 => read_file($_) } spool_files($nginx);
$held->rollback;
is_soon { nodes('killed') } "385|20\n", 'are written';
$nginx->stop;
spool_put($nginx, %files);

$pg->query('select be_node(513)');
$pg->exec('alter table hype.referral_hit add constraint copied check (node <> 513)');
$nginx->start;
is_soon { scalar(my @left = spool_files($nginx)) } 0, 'are read again';
is(replayed('killed'), "513|20\n", 'and looked for');
is(nodes('killed'), "385|20\n", 'they are there once');

$nginx->stop;
$pg->exec('alter table hype.referral_hit drop constraint copied');
$pg->query('select be_node(385)');
$nginx->restart(http => '');

# Row-level security, which refuses COPY

$pg->exec(<<'END');
alter table hype.referral_hit enable row level security;
create policy write on hype.referral_hit for insert to hype_nginx
    with check (true);
END

is(burst('secured', 100), 'hit=100', 'with row-level security');
is(replayed('secured'), "385|100\n", 'hits are replayed, with the node');

# Records with a node, and a PostgreSQL that has none

$pg->exec('alter table hype.referral_hit disable row level security');
$held = $pg->connect;
$held->begin_work;
$held->do('lock table hype.referral_hit in share row exclusive mode');
is(burst('back', 10), 'spooled=10', 'a spool of records with a node');
$nginx->stop('KILL');
$held->disconnect;
$pg->restart('immediate');
$pg->exec('drop function hype.replay;
    alter function public.replay set schema hype');
$pg->query('select be_node(0)');
$nginx->start;
is_soon { $pg->hits("next = '/back'") } 10, 'is written there, too';
is(nodes('back'), "0|10\n", 'without one');

done_testing();
