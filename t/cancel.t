# A statement that takes too long is cancelled at the server: however long it is
# tried again, each worker has one backend at work at most.

use lib 't/lib';
use Hype::Test;
use List::Util qw(max);

my $pg = cluster();
my $workers = 4;
my $nginx = nginx(pg => $pg, workers => $workers, database => 'timeout=500ms',
    server => <<'END');
    location /ref/ { hype_ref; add_header X-Outcome $hype_outcome always; }
END

$pg->link('abc');

# How many backends wait in the trigger

my $sleeping = <<'END';
select count(*) from pg_stat_activity
where usename = 'hype_nginx' and wait_event = 'PgSleep'
END

sub trigger
{
    my ($seconds) = @_;

    $pg->exec(<<"END");
create or replace function slow() returns trigger language plpgsql as \$\$
begin
    if new.next like '/slow%' then
        perform pg_sleep($seconds);
    end if;
    return new;
end \$\$;
END
}


trigger(60);
$pg->exec(q(create trigger slow before insert on hype.referral_hit
            for each row execute function slow()));

my $made = 400;
my @answers = $nginx->visits(count => $made, connections => 32, path => sub {
    my ($i) = @_;
    return '/ref/abc/?next=/' . ($i % 4 ? 'quick' : 'slow') . "-$i";
});

is(grep({ $_->status == 302 } @answers), $made, 'visitors are answered');

my $most = 0;

is_soon {
    $most = max($most, $pg->value($sleeping));
    scalar(() = $nginx->error_log =~ /canceling statement due to user request/g)
        >= 2 ? 1 : 0;
} 1, 'statements are cancelled, and tried again', 40;

# for as long as a connection was once kept without an answer

my $end = time + 10;

is_soon {
    $most = max($most, $pg->value($sleeping));
    time > $end ? 1 : 0;
} 1, 'and again', 20;

cmp_ok($most, '>', 0, 'they take long');
cmp_ok($most, '<=', $workers, 'one backend of each worker at most is at work');

trigger(0);

is_soon { $pg->value('select count(distinct next) from hype.referral_hit') } $made,
    'all hits arrive once they can', 60;
is($pg->hits, $made, 'once');
is($pg->value($sleeping), 0, 'no backend is left at work');

$nginx->quit;

# A worker that exits cancels what it does not wait for

trigger(60);
$nginx = nginx(pg => $pg, workers => 1, database => 'timeout=500ms',
               server => 'location /ref/ { hype_ref; }');
$nginx->get('/ref/abc/?next=/slow-exit');
is_soon { $pg->value($sleeping) } 1, 'a worker with a statement under way';
$nginx->quit;
is_soon { $pg->value($sleeping) } 0, 'cancels it when it exits';

# A server that takes no cancel request: the connection is not used while the
# request may still come, and the worker can leave

my $proxy = proxy($pg);
$nginx = nginx(pg => $proxy, workers => 1, database => 'timeout=500ms',
               server => 'location /ref/ { hype_ref; }');
$nginx->get('/ref/abc/?next=/slow-proxy');
wait_until { $pg->value($sleeping) } 20, 'a statement under way';
my $connections = $proxy->connections;
$proxy->freeze_new;
wait_until { $proxy->connections > $connections } 20, 'a cancel request';
$pg->value('select pg_cancel_backend(pid) from pg_stat_activity
            where usename = ? and wait_event = ?', 'hype_nginx', 'PgSleep');
is_soon { $nginx->error_log =~ /ended: no answer to a cancel request/ ? 1 : 0 } 1,
    'a connection whose next statement may be cancelled is given up';

my $begin = time;
$nginx->quit;
cmp_ok(time - $begin, '<', 4, 'a worker does not wait for the request');

trigger(0);
$proxy->thaw;
$nginx->start;
is_soon { $pg->hits("next = '/slow-proxy'") } 1, 'the hit arrives all the same';
$nginx->quit;

# Another connection takes what comes meanwhile

trigger(60);
$nginx = nginx(pg => $proxy, workers => 1,
               database => 'timeout=2s connections=4', server => <<'END');
    location /ref/ { hype_ref; add_header X-Outcome $hype_outcome always; }
END

my $slow = $nginx->visits_start(count => 1, path => '/ref/abc/?next=/slow-other');
$slow->wait;
wait_until { $pg->value($sleeping) == 2 } 20, 'the hit, and its copy in the spool';
is_soon { $nginx->get('/ref/abc/')->header('X-Outcome') } 'hit',
    'a third connection for hits';
$connections = $proxy->connections;
$proxy->freeze_new;
wait_until { $proxy->connections > $connections } 20, 'a cancel request';
trigger(0);
$pg->value('select pg_cancel_backend(pid) from pg_stat_activity
            where usename = ? and wait_event = ?', 'hype_nginx', 'PgSleep');
is($nginx->get('/ref/abc/')->header('X-Outcome'), 'hit',
   'a hit while one waits for its cancel request') for 1 .. 5;
$proxy->thaw;
is_soon { $pg->hits("next = '/slow-other'") } 1, 'the slow one arrives';
$nginx->quit;

done_testing();
