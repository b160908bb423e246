# What was in a batch of a connection that is lost goes by another one that is
# there, and does not wait until the lost one is made again.

use lib 't/lib';
use Hype::Test;
use Hype::Fault;

my $pg = cluster();
my ($link) = fault_links($pg);
my $nginx = fault_nginx(pg => $pg, workers => 1,
                        database => 'connections=3 timeout=20s');

$pg->exec(<<'END');
create function slow() returns trigger language plpgsql as $$
begin
    perform pg_advisory_xact_lock_shared(77);
    return new;
end $$;
create trigger slow before insert on hype.referral_hit for each row
    when (new.user_agent = 'slow') execute function slow();
END

my $holder = $pg->connect;
my @clients = map { $nginx->open } 1 .. 2;

is($nginx->get("/ref/$link/")->status, 302, 'one connection writes');

# two at a time, so that a second one is opened

$holder->do('select pg_advisory_lock(77)');
follow($_) for @clients;
$holder->do('select pg_advisory_unlock(77)');
is(http_read($_)->header('X-Outcome'), 'hit', 'and another one') for @clients;

$holder->do('select pg_advisory_lock(77)');
follow($clients[0], 1);

$pg->exec('alter role hype_nginx connection limit 0');
$pg->value("select pg_terminate_backend(pid) from pg_stat_activity
            where wait_event = 'advisory'");
$holder->do('select pg_advisory_unlock(77)');

my $begin = time;
is(http_read($clients[0])->header('X-Outcome'), 'hit',
   'the hit of a lost connection');
cmp_ok(time - $begin, '<', 10, 'goes by the other');

$pg->exec('alter role hype_nginx connection limit -1');
$nginx->quit;

is($pg->hits, 4, 'each once');

done_testing();


# Sends a request whose hit waits in the database, as so many do then.

sub follow
{
    my ($client, $waiting) = @_;

    $waiting //= 1 + waiting();

    print {$client} "GET /ref/$link/?next=/x HTTP/1.1\r\n"
                    . "Host: localhost\r\nUser-Agent: slow\r\n\r\n";

    wait_until { waiting() == $waiting } 10, 'the hit to be written';
}


sub waiting
{
    return $pg->value("select count(*) from pg_stat_activity
                       where wait_event = 'advisory' and state = 'active'");
}
