# PostgreSQL makes visitors wait: locks, slow transactions, time-outs of its own.

use lib 't/lib';
use Hype::Test;
use Hype::Fault;

my $pg = cluster();
my $timeout = 0.5;

my $nginx = fault_nginx(pg => $pg, database => 'timeout=500ms');
my @common = (pg => $pg, nginx => $nginx, within => $timeout);

sub spooled
{
    my @files = spool_files(@_);

    return scalar @files;
}


fault 'the table is locked', @common, spooled => 1, sub {
    my ($load) = @_;
    $load->more(100);
    with_lock($pg, 'hype.referral_hit', sub { $load->more(800) });
    $load->more(100);
};

# One visitor at a time: the time-out itself

my ($link) = fault_links($pg);
is_soon { $nginx->get("/ref/$link/")->header('X-Outcome') } 'hit', 'without a lock';
is_soon { spooled($nginx) } 0, 'nothing is left in the spool';

with_lock($pg, 'hype.referral_hit', sub {
    my $begin = time;
    my $r = $nginx->get("/ref/$link/?next=/waited");
    my $seconds = time - $begin;

    is($r->status, 302, 'a visitor is redirected nevertheless');
    is($r->header('X-Outcome'), 'spooled', 'the hit is spooled');
    cmp_ok($seconds, '>', $timeout * 0.8, 'after the time-out');
    cmp_ok($seconds, '<', $timeout + $Hype::Fault::slack, 'and no later');
    is(spooled($nginx), 1, 'in a file');
});

is_soon { $pg->hits("next = '/waited'") } 1, 'it is in the table later';
is_soon { spooled($nginx) } 0, 'and out of the spool';
is($pg->hits("next = '/waited'"), 1, 'once');

# Without a spool hits wait in memory

my $memory = fault_nginx(pg => $pg, database => 'timeout=500ms',
                         http => 'hype_spool off;');

fault 'the table is locked, without a spool', pg => $pg, nginx => $memory,
    within => $timeout, spooled => 1, sub {
    my ($load) = @_;
    $load->more(100);
    with_lock($pg, 'hype.referral_hit', sub { $load->more(800) });
    $load->more(100);
};

# What does not fit into memory (16 MB) is dropped: logged, and counted

push @{ $memory->{allow} }, qr/hype: dropped record/;

my @answers;

$pg->stop;
@answers = map { $memory->visits(
    count => 2000, connections => 16, path => "/ref/$link/?next=/much",
    headers => ['User-Agent' => 'a' x 7000, Referer => 'b' x 7000,
                Cookie => 'hype_visitor=none'])
} 1 .. 5;
$pg->start;

my %outcomes;
$outcomes{ $_->header('X-Outcome') // $_->status }++ for @answers;
is($outcomes{spooled} + $outcomes{dropped}, 10_000,
   'more hits than fit are answered, too') or diag(explain(\%outcomes));
cmp_ok($outcomes{dropped}, '>', 500, 'some are dropped');
is_soon { $pg->hits("next = '/much'") } $outcomes{spooled},
    'the others get into the table', 60;

$memory->quit;

my @lines = $memory->error_log =~ /\[alert\].* hype: dropped records: (\d+), of which/mg;
my $logged = 0;
$logged += $_ for @lines;
is($logged, $outcomes{dropped}, 'alerts count them');
cmp_ok(scalar @lines, '<', 40, 'in few lines');
is(() = $memory->error_log =~ /\[alert\].* hype: dropped record, part 1 of/g,
   $outcomes{dropped}, 'each with the record');

# A transaction of the application that has claimed a visitor, and does not end

{
    my $r = $nginx->get("/ref/$link/?next=/claimed");
    my $visitor = $r->cookie('hype_visitor');
    my $dbh = $pg->connect;

    $dbh->begin_work;
    $dbh->do('select hype.claim(?, ?)', undef, $visitor, 'the-application');

    fault 'an open transaction has claimed a visitor', @common, sub {
        my ($load) = @_;
        $load->more(50);
        $nginx->get('/in?user=late', Cookie => "hype_visitor=$visitor");
        $load->more(500);
        $dbh->commit;
    };

    is($pg->value('select user_id from hype.visitor_claim where visitor = ?',
                  $visitor), 'the-application', 'the first claim wins');
    is_soon { $pg->hits("user_id = 'the-application'") } 1, 'and gets its hit';
}

# PostgreSQL's own time-outs, and deadlocks

$pg->exec(<<'END');
create function slow() returns trigger language plpgsql as $$
begin
    perform pg_sleep(0.3);
    return null;
end $$;
END

fault 'statement_timeout', @common, sub {
    my ($load) = @_;
    $load->more(50);
    $pg->exec('create trigger slow after insert on hype.referral_hit '
              . 'for each statement execute function slow()');
    $pg->exec(q(alter role hype_nginx set statement_timeout = '100ms'));
    $pg->terminate;
    $load->more(500);
    $pg->exec('alter role hype_nginx reset statement_timeout');
    $pg->exec('drop trigger slow on hype.referral_hit');
    $pg->terminate;
    $load->more(50);
};

fault 'transactions that end with a deadlock', @common, sub {
    my ($load) = @_;

    $pg->exec(<<'END');
create function deadlock() returns trigger language plpgsql as $$
begin
    if random() < 0.3 then
        raise deadlock_detected;
    elsif random() < 0.3 then
        raise serialization_failure;
    end if;
    return null;
end $$;
create trigger deadlock after insert on hype.referral_hit
    for each statement execute function deadlock();
END
    $load->more(600);
    $pg->exec('drop trigger deadlock on hype.referral_hit');
    $load->more(50);
};

# Batches whose connection is lost while they are being worked on: the old
# backend does not notice, and commits when its batch has been sent again.
# First the rows are there, not yet committed; then not yet there.

my $proxy = proxy($pg);
my $through = fault_nginx(pg => $proxy,
                          database => 'timeout=500ms connect_timeout=1s');

for my $when (qw(after before)) {
    fault "the old backend commits later ($when)", pg => $pg,
        nginx => $through, within => $timeout, sub {
        my ($load) = @_;

        for (1 .. 3) {
            $load->more(100);
            $pg->exec('create sequence public.turn');
            $pg->exec(<<"END");
create or replace function later() returns trigger language plpgsql
security definer as \$\$
begin
    if nextval('public.turn') = 1 then
        perform pg_sleep(1.5);
    end if;
    return null;
end \$\$;
create trigger later $when insert on hype.referral_hit
    for each statement execute function later();
END
            wait_until {
                $pg->value('select count(*) from pg_stat_activity '
                           . "where wait_event = 'PgSleep'")
            } 20, 'the slow transaction';

            $proxy->cut;
            $load->more(300);

            wait_until {
                !$pg->value('select count(*) from pg_stat_activity '
                            . "where wait_event = 'PgSleep'")
            } 20, 'its end';

            $pg->exec('drop trigger later on hype.referral_hit');
            $pg->exec('drop sequence public.turn');
        }
    };
}

$through->quit;

# The same behind a pooler, where lock_timeout is the role's: a batch is given
# up by the module alone, and its backend goes on waiting for the lock.

my $pool = pgbouncer($pg);
my $pooled = fault_nginx(pg => $pool,
                         database => 'timeout=500ms connect_timeout=1s');

fault 'the table is locked, behind PgBouncer', pg => $pg, nginx => $pooled,
    within => $timeout, sub {
    my ($load) = @_;
    $load->more(100);
    with_lock($pg, 'hype.referral_hit', sub { $load->more(1500) });
    $load->more(100);
};

fault 'PostgreSQL restarts behind PgBouncer', pg => $pg, nginx => $pooled,
    sub {
    my ($load) = @_;
    $load->more(100);
    $pg->restart;
    $load->more(300);
    $pg->terminate;
    $load->more(100);
};

# A visitor who is answered while the batch of his hit waits, and then claimed,
# before the hit is there: it gets its user all the same

$pooled->restart(http => 'hype_spool off;');
is_soon { $pooled->get("/ref/$link/")->header('X-Outcome') } 'hit', 'no spool';

{
    my $dbh = $pg->connect;
    $dbh->begin_work;
    $dbh->do('lock table hype.referral_hit in share mode');

    my $r = $pooled->get("/ref/$link/?next=/early");
    is($r->header('X-Outcome'), 'spooled', 'a visitor does not wait');

    my $visitor = $r->cookie('hype_visitor');
    $pg->value('select hype.claim(?, ?)', $visitor, 'early');
    wait_until {
        !$pg->value('select count(*) from hype.pending_claim where not applied')
    } 10, 'the claim to be applied';

    $dbh->rollback;
    is_soon { $pg->hits("next = '/early' and user_id = 'early'") } 1,
        'a claim made while the hit is in flight';
}

$pooled->quit;
$nginx->quit;

done_testing();
