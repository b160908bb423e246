# What the server, or what is between, does to nginx's sessions.

use lib 't/lib';
use Hype::Test;
use Hype::Status;

my $pg = cluster();
my @options = (pg => $pg, workers => 1, server => status_server() . <<'END');
    location /ref/ { hype_ref; add_header X-Outcome $hype_outcome always; }
END

$pg->link('abc');

sub outcome
{
    my ($nginx) = @_;

    return $nginx->get('/ref/abc/')->header('X-Outcome');
}


# The oldest of its sessions that is idle: since how many seconds, and which

sub idle
{
    my ($column) = @_;

    return $pg->value(<<"END") // '';
select $column from pg_stat_activity
where usename = 'hype_nginx' and state = 'idle' order by state_change limit 1
END
}


# Those for links, for hits and for the derivation, after a second

sub all_idle
{
    return $pg->value(<<'END');
select count(*) from pg_stat_activity
where usename = 'hype_nginx' and state = 'idle'
  and backend_start < now() - interval '1 s'
END
}


sub errors { return join "\n", grep { /\[(?:warn|error|crit|alert)\]/ }
                               split /\n/, $_[0]->error_log }

# A time-out of idle sessions does not concern nginx's

$pg->exec(q(alter role hype_nginx set idle_session_timeout = '1s'));

my $nginx = nginx(@options);

is(outcome($nginx), 'hit', 'a hit');
my $pid = idle('pid');
is_soon { idle('state_change < now() - interval \'2 s\'') } 't', 'a pause';
is(idle('pid'), $pid, 'the session is the same');
is(outcome($nginx), 'hit', 'and takes another hit');

$pg->exec('alter role hype_nginx reset idle_session_timeout');

# An administrator ends sessions that are idle

for my $time (1, 2) {
    is_soon { all_idle() } 3, 'a pause';
    $pg->terminate;
    is_soon { scalar(() = $nginx->error_log =~ /idle connection to PostgreSQL ended/g) }
        3 * $time, 'idle sessions are ended';
    is_soon { status($nginx)->{database}{connections}{idle} } 3, 'they are back';
}

is(status($nginx)->{database}{errors}, 0, 'which is no error');
is(outcome($nginx), 'hit', 'nor a reason to spool');
is(errors($nginx), '', 'or to log');

# A link that was changed meanwhile is seen: the new session listens

$pg->terminate;
$pg->exec(q(update hype.referral_link set destination = '/changed'));
is_soon { $nginx->get('/ref/abc/')->header('Location') =~ m{/changed$} ? 1 : 0 } 1,
    'changes of links are heard of';

$nginx->quit;

# A pooler does so as well

my $pool = pgbouncer($pg, client_idle_timeout => 1);

$nginx = nginx(@options, pg => $pool);

is(outcome($nginx), 'hit', 'a hit through a pooler');
is_soon { $nginx->error_log =~ /idle connection to PostgreSQL ended/ ? 1 : 0 } 1,
    'which ends a session that is idle';
is(outcome($nginx), 'hit', 'a hit after that');
is_soon { $nginx->error_log =~ /(?:idle connection to PostgreSQL ended.*){4}/s ? 1 : 0 }
    1, 'again and again';
is(outcome($nginx), 'hit', 'does not matter');
is(errors($nginx), '', 'to anybody');

$nginx->quit;

done_testing();
