# When nginx calls hype.derive(), and what it makes of the answer.  The function
# is replaced by one that does what the test tells it.

use lib 't/lib';
use Hype::Test;
use Hype::Status;

my $pg = cluster();
my %config = (
    pg => $pg, workers => 2, database => 'timeout=5s', log_level => 'notice',
    http => 'add_header Outcome $hype_outcome always;',
    server => status_server() . 'location /ref/ { hype_ref; }');

$pg->link('abc');
$pg->exec(<<'END');
alter function hype.derive() rename to derive_of_the_schema;
create table calls (n serial, pid integer default pg_backend_pid());
create sequence done minvalue 0;
create table plan (id serial, again integer, set_aside text[], error text,
                   code text, seconds float default 0, held boolean default 'f',
                   always boolean default 'f');

create function hype.derive() returns table (again integer, set_aside text[])
language plpgsql security definer set search_path = public as $$
declare
    it plan;
begin
    insert into calls default values;
    select * into it from plan where id > (select last_value from done)
        order by id limit 1;

    if not it.always then
        perform setval('done', it.id);    -- whatever becomes of this call
    end if;

    if it.error is not null then
        raise exception '%', it.error using errcode = it.code;
    end if;

    if it.held then
        perform pg_advisory_xact_lock_shared(77);    -- of the test
    end if;

    perform pg_sleep(it.seconds);
    return query select it.again, it.set_aside;
end $$;

create view waits as select * from pg_stat_activity
    where query like '%FROM hype.derive() %' and usename = 'hype_nginx';
END

my $nginx = nginx(%config);
my $holder = $pg->connect;

sub calls { return $pg->value('select count(*) from calls') }
sub derive { return status($nginx)->{derive} }

# What the next call does, or all of them until the plan is empty

sub plans
{
    my (%o) = @_;

    my @names = sort keys %o;
    $pg->query('insert into plan (' . join(', ', @names) . ') values ('
               . join(', ', ('?') x @names) . ')', @o{@names});
}


# The next call does not end before this is called off

sub hold
{
    $holder->do('select pg_advisory_lock(77)');
    plans(held => 1);
}

sub release { $holder->do('select pg_advisory_unlock(77)') }


# One more call than now, or some, each time that something happens

sub called
{
    my ($name, $what, $seconds) = @_;

    quiet();
    my $before = calls();
    $what->();
    is_soon { calls() > $before } 1, $name, $seconds;
}


# No call is to come: none for some looks of the worker at what was written.

sub quiet
{
    my ($last, $since) = (-1, 0);

    wait_until {
        my $n = calls();
        ($last, $since) = ($n, time) if $n != $last;
        time - $since > 0.8;
    } 20, 'the calls to end';
}


# When

is_soon { calls() > 0 } 1, 'it is called when nginx starts';
quiet();

my $calls = calls();
$nginx->get('/status') for 1 .. 10;
quiet();
is(calls(), $calls, 'not all the time while nothing is written');

called('after a hit, by whichever worker', sub { $nginx->get('/ref/abc') })
    for 1 .. 4;
called('after a claim or a confirm, which notify', sub {
    $pg->exec(q(notify hype_claim));
});
called('also those of other databases\' sessions at once', sub {
    $pg->exec('notify hype_claim') for 1 .. 20;
});

{
    quiet();
    $calls = calls();
    $pg->exec('do $$ begin
                   for i in 1 .. 200 loop notify hype_claim; commit; end loop;
               end $$');
    quiet();
    cmp_ok(calls() - $calls, '<', 100, 'several are one call');
}

hold();
$calls = calls();
$pg->exec('notify hype_claim');
is_soon { $pg->value(q(select count(*) from waits where state = 'active')) } 1,
    'a call that is under way';
$pg->exec('notify hype_claim');
release();
is_soon { calls() } $calls + 2, 'what it may have missed: it is called again';

plans(again => 0) for 1 .. 20;
$calls = calls();
$pg->exec('notify hype_claim');
is_soon { calls() } $calls + 21, 'as often as it says at once';

plans(again => 300);
$calls = calls();
$pg->exec('notify hype_claim');
is_soon { calls() } $calls + 2, 'and after the time that it says';

is_soon { derive()->{age} } 0, 'nothing is left then';
plans(again => 1000) for 1 .. 3;
$pg->exec('notify hype_claim');
is_soon { derive()->{age} > 1 } 1, 'which the status says, while something is';
is_soon { derive()->{age} } 0, 'and no longer';


# On what

my ($pid) = $pg->query('select distinct pid from calls order by pid desc');
is($pg->value('select count(distinct pid) from calls'), 1, 'one connection');
is($pg->value('select count(*) from waits where pid = ?', $pid->[0]), 1,
   'does nothing else, and stays open');

hold();
$pg->exec('notify hype_claim');
is_soon { $pg->value(q(select count(*) from waits where state = 'active')) } 1,
    'it takes long';
my %outcomes = map { $_->header('Outcome') => 1 }
               $nginx->visits(count => 200, path => '/ref/abc');
$nginx->get('/ref/new');
is(join(' ', %outcomes), 'hit 1', 'hits are written meanwhile');
is($pg->value(q(select count(*) from waits where state = 'active')), 1,
   'as it is still under way');
release();


# What the database has set aside

plans(set_aside => [ qq(17: \e[31m"no -- never"\r\n;), '18: two', '19: three' ]);
$pg->exec('notify hype_claim');

is_soon { status($nginx)->{batches}{rejected} } 3, 'what is set aside is counted';
like($nginx->error_log,
     qr/\[error\].* hype: confirms are set aside in hype\.pending_confirm, one of them: 17: +\[31m"no -- never"  ;$/m,
     'and logged, without control characters');
is(() = $nginx->error_log =~ /are set aside/g, 1, 'once in a while');


# Errors

my $mark = $nginx->mark;
my $errors = derive()->{errors};

plans(error => 'a bug', code => 'XX000', always => 1);
quiet();
$calls = status($nginx)->{derive}{calls};
$pg->exec('notify hype_claim');
is_soon { derive()->{errors} >= $errors + 2 } 1, 'it is tried again after an error';
cmp_ok(derive()->{calls} - $calls, '<', 6, 'not all the time');
is(() = $nginx->error_log($mark) =~ /refused by PostgreSQL: ERROR:  a bug/g, 1,
   'one line tells of it');
is(status($nginx)->{database}{state}, 'up', 'the database is up');
is($nginx->get('/ref/abc')->header('Outcome'), 'hit', 'hits are hits');
cmp_ok(derive()->{age}, '>', 0, 'what they lead to waits');

$pg->exec('truncate plan');
is_soon { derive()->{age} } 0, 'until it works again', 20;
$mark = $nginx->mark;

plans(error => 'nothing to wait for', code => '55P03', always => 1);
$pg->exec('notify hype_claim');
is_soon {
    scalar(() = $nginx->error_log($mark) =~ /refused by PostgreSQL: ERROR:  nothing/g)
} 1, 'any other error';
is(status($nginx)->{database}{state}, 'up', 'says nothing of the database, either');
is($nginx->get('/ref/abc')->header('Outcome'), 'hit', 'nor of hits');
$pg->exec('truncate plan');
is_soon {
    scalar(() = $nginx->error_log($mark) =~ /works again, after \d+ errors/g)
} 1, 'and ends', 20;

$pg->exec('alter function hype.derive() rename to derive_of_the_test');
$pg->exec('notify hype_claim');
is_soon {
    scalar(() = $nginx->error_log($mark)
           =~ /hype\.derive\(\) does not exist.*, is sql\/hype\.sql installed/g)
} 1, 'a schema without it';
is($nginx->get('/ref/abc')->header('Outcome'), 'hit', '- hits are hits');
$pg->exec('alter function hype.derive_of_the_test() rename to derive');
is_soon { derive()->{age} } 0, '- until it is there', 20;


# Connections that are lost

called('when the connections are new', sub { $pg->terminate });

plans(seconds => 60);
$pg->exec('notify hype_claim');
is_soon { $pg->value(q(select count(*) from waits where state = 'active')) } 1,
    'a call that does not end';
$pg->terminate;
$calls = calls();
is_soon { calls() > $calls } 1, 'is cut off, and repeated';

$pg->restart;
is_soon { calls() > 0 } 1, 'after a restart of PostgreSQL';
called('a hit has it called', sub { $nginx->get('/ref/abc') });

$nginx->reload;
is_soon { scalar $nginx->leaving } 0, 'after a reload';
called('a hit has it called', sub { $nginx->get('/ref/abc') });
is($pg->value('select count(*) from waits'), 1, 'on one connection');


# A statement that hangs ends at the server, so that there are not more and more

plans(seconds => 600);
$pg->exec('notify hype_claim');
is_soon { $pg->value(q(select count(*) from waits where state = 'active')) } 1,
    'a call that hangs';
$mark = $nginx->mark;
is_soon {
    $nginx->error_log($mark) =~ /canceling statement due to statement timeout/
} 1, 'is cancelled', 20;
is($nginx->get('/ref/abc')->header('Outcome'), 'hit', 'hits are hits');
is_soon { derive()->{age} } 0, 'and called again', 20;


$nginx->quit;


# Behind a pooler

my $pool = pgbouncer($pg);
$nginx = nginx(%config, pg => $pool);
$calls = calls();
is_soon { calls() > $calls + 2 } 1, 'behind a pooler it is called each second';
is_soon { derive()->{age} < 2 } 1, 'so that little is left';

done_testing();
