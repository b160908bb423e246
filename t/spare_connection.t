# With two connections for hits, one is free for those whom visitors wait for,
# however long PostgreSQL takes for claims and confirms.

use lib 't/lib';
use Hype::Test;
use Hype::Fault;

my $pg = database();
my ($link) = fault_links($pg);

$pg->exec(<<'END');
create function public.take_time() returns trigger language plpgsql as
    'begin perform pg_sleep(1.5); return new; end';
create trigger slow before insert on hype.pending_claim
    for each row execute function public.take_time();
create trigger slow before insert on hype.pending_confirm
    for each row execute function public.take_time();
END

my $nginx = fault_nginx(pg => $pg, workers => 1,
                        database => 'connections=3 timeout=5s');

sub visit { return $nginx->get("/ref/$link/") }

sub busy
{
    return $pg->value(<<'END');
select count(*) from pg_stat_activity
where usename = 'hype_nginx' and state = 'active' and query ~ '_batch'
END
}

# A busy machine may take a second for what should take milliseconds.

my @outcomes;
my $fast = 0;

for my $n (1 .. 3) {
    visit();
    my $visitor = visit()->cookie('hype_visitor');
    $nginx->get("/in?user=u$n", Cookie => "hype_visitor=$visitor");
    $nginx->get("/buy?user=u$n");
    wait_until { busy() } 20, 'a claim or a confirm to be written';

    my $begun = time;
    push @outcomes, map { visit()->header('X-Outcome') } 1 .. 3;
    $fast++ if time - $begun < 0.7;

    wait_until { !busy() && !spool_files($nginx) } 20, 'the spool to be empty';
}

is("@outcomes", join(' ', ('hit') x 9), 'hits are written meanwhile');
cmp_ok($fast, '>=', 2, 'and wait for none of them');

is_soon { $pg->value('select count(*) from hype.confirmed_referral') } 3,
    'which are written all the same', 20;

done_testing();
