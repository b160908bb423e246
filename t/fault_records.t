# Whatever error PostgreSQL gives: where it is a record's, that one is set aside
# after some tries, and the others are written; where it is everybody's, all are
# kept.

use lib 't/lib';
use Hype::Test;
use Hype::Fault;

my $pg = cluster();
my ($link) = fault_links($pg);
my $nginx = fault_nginx(pg => $pg, workers => 1, database => 'timeout=10s');
my $dir = $nginx->dir . '/hype_spool';
my $rejected = "$dir/rejected.records";
my $trigger;

$pg->exec(<<'END');
create function site() returns trigger language plpgsql as $$
begin
    if tg_argv[0] = 'slow' then
        perform pg_sleep(60);
    end if;
    raise exception using errcode = tg_argv[0],
        message = 'the site says no to ' || new.user_agent;
end $$;
END


# A trigger that raises this for some hits, or all

sub trigger
{
    my ($code, $when) = @_;

    $pg->exec('drop trigger site on hype.referral_hit') if $trigger;
    $trigger = $code;
    $pg->exec("create trigger site before insert on hype.referral_hit
               for each row $when execute function site('$code')") if $code;
}


sub visit
{
    my ($next, $agent, @headers) = @_;

    return scalar $nginx->get("/ref/$link/?next=/$next", 'User-Agent' => $agent,
                              @headers)->header('X-Outcome');
}


sub rejected
{
    return scalar(() = set_aside($rejected) =~ /^INSERT INTO/mg);
}


sub outcomes
{
    my %count;
    $count{ $_->header('X-Outcome') // 'none' }++ for @_;
    return join ' ', map { "$_=$count{$_}" } sort keys %count;
}


visit('warm', 'good');

# For certain records only

for my $code (qw(55000 42501 XX000 40001 40P01 57014 42P01 55P03 53100 0A000
                   25006 26000 08001 57P01)) {
    trigger($code, "when (new.user_agent = 'evil')");

    my $log = $nginx->mark;
    my $load = $nginx->visits_start(
        count => 120, connections => 40,
        path => sub { "/ref/$link/?next=/$code-$_[0]" },
        headers => sub { ('User-Agent' => $_[0] % 50 == 7 ? 'evil' : 'good') });

    my @answers = $load->wait;
    is(outcomes(@answers), 'dropped=3 hit=117', "$code for three hits of many");
    is($pg->hits("next like '/$code-%'"), 117, 'the others are in the table');
    is(rejected(), 3, 'three are set aside');
    like($nginx->error_log,
         qr/\[error\].*hype: records that PostgreSQL refuses are set aside in rejected\.records: 1, the last: ERROR: +the site says no to evil/,
         'and the log says so');
    like(set_aside($rejected), qr/^-- \{"type": "note", "created": "[^"]+", "reason": "ERROR: +the site says no to evil"\}$/m,
         'and why');

    # from the spool, where others do not wait for it either

    $pg->stop;
    is(join(' ', map { visit("$code-late-$_", $_ == 2 ? 'evil' : 'good') } 1 .. 5),
       'spooled spooled spooled spooled spooled', 'in the spool');
    $pg->start;
    is_soon { $pg->hits("next like '/$code-late-%'") } 4, 'all but one arrive';
    is_soon { rejected() } 4, 'which is set aside';
    is_soon { scalar(my @files = spool_files($nginx)) } 0, 'the spool is empty';

    trigger();
    restore($pg, $rejected);
    is($pg->hits("next like '/$code-%'"), 125, 'all are in the table');
}

# A visitor does not wait for it longer than for anything else, nor do others

$nginx->restart(database => 'timeout=200ms');
trigger('40001', "when (new.user_agent = 'evil')");
is_soon { visit('again', 'good') } 'hit', 'a hit';

# The timeout is shorter than the tries of a record take.  A busy machine may not
# write a hit of others within it: then they try again.

{
    my ($rounds, $good) = (0, 0);

    while ($good < 20 && $rounds < 5) {
        $rounds++;
        my $load = $nginx->visits_start(
            count => 1, path => "/ref/$link/?next=/waits",
            headers => sub { ('User-Agent' => 'evil') });
        $good = grep { visit('waits', 'good') eq 'hit' } 1 .. 20;
        my ($answer) = $load->wait;
        is($answer->header('X-Outcome'), 'spooled', 'the visitor is let go');
        cmp_ok($answer->seconds, '<', 0.2 + $Hype::Fault::slack, 'in time');
        is_soon { rejected() } $rounds, 'later the hit is set aside';
        is_soon { scalar(my @files = spool_files($nginx)) } 0, 'once';
        is(rejected(), $rounds, 'and for all');
    }

    is($good, 20, 'others do not notice');
    trigger();
    restore($pg, $rejected);
    is($pg->hits("next = '/waits'"), 21 * $rounds, 'and it can be written');
}

# Many of them do not hold up the others

trigger('XX000', "when (new.user_agent = 'evil')");
$pg->stop;
visit("many-$_", $_ % 2 ? 'evil' : 'good') for 1 .. 600;
$pg->start;
is_soon { $pg->hits("next like '/many-%'") } 300, 'every other one is refused', 20;
is_soon { rejected() } 300, 'and set aside', 20;
trigger();
restore($pg, $rejected);
is($pg->hits("next like '/many-%'"), 600, 'and all are in the table');

# For all records, with or without a visitor's agent: nothing is set aside

for my $code (qw(55000 42501 XX000 40001 57014 42P01 23514 P0001)) {
    trigger($code, '');

    my $log = $nginx->mark;
    my @outcomes = map { visit("all-$code-$_", 'good') } 1 .. 30;
    is(grep({ $_ eq 'spooled' } @outcomes), 30, "$code for all hits");
    wait_for_errors($nginx, 4);
    is($pg->hits("next like '/all-$code-%'"), 0, 'they are not written');
    is(rejected(), 0, 'nor set aside');
    like($nginx->error_log($log),
         qr/\[error\].*hype: refused by PostgreSQL: ERROR: +the site says no/,
         'the log says so');

    trigger();
    is_soon { $pg->hits("next like '/all-$code-%'") } 30, 'but once it is healed';
    is_soon { visit('healed', 'good') } 'hit', 'and it goes on';
}

# Where the probe is refused, too, as by a constraint that no real hit violates,
# those that are written tell of those that are not

$pg->exec('alter function hype.probe rename to probe_');
trigger('XX000', "when (new.user_agent = 'evil')");
$pg->stop;
visit("unprobed-$_", $_ == 50 ? 'evil' : 'good') for 1 .. 100;
$pg->start;
is_soon { $pg->hits("next like '/unprobed-%'") } 99, 'no probe: others are written', 20;
is_soon { visit('between', 'good'); rejected() } 1, 'that one is set aside', 30;
is_soon { scalar(my @files = spool_files($nginx)) } 0, 'the spool is empty';
$pg->exec('alter function hype.probe_ rename to probe');
trigger();
restore($pg, $rejected);

# A worker that is killed while a record is tried again

push @{ $nginx->{allow} }, qr/worker process \d+ exited on signal 9/;
trigger('40001', "when (new.user_agent = 'evil')");
$pg->stop;
visit("killed-$_", $_ == 3 ? 'evil' : 'good') for 1 .. 6;
$pg->start;
is_soon { $pg->hits("next like '/killed-%'") } 5, 'the others are there';
kill 'KILL', $nginx->workers;
is_soon { rejected() } 1, 'the next worker sets it aside';
is_soon { scalar(my @files = spool_files($nginx)) } 0, 'and the spool is empty';
is($pg->hits("next like '/killed-%'"), 5, 'no row is there twice');
trigger();
restore($pg, $rejected);

# One that takes too long

$pg->exec(q(alter role hype_nginx set statement_timeout = '300ms'));
trigger('slow', "when (new.user_agent = 'evil')");
$pg->stop;
visit("slow-$_", $_ == 7 ? 'evil' : 'good') for 1 .. 20;
$pg->start;
is_soon { $pg->hits("next like '/slow-%'") } 19, 'one takes too long: others are written';
is_soon { rejected() } 1, 'that one is set aside', 20;
like(set_aside($rejected), qr/"reason": "ERROR: +canceling statement/, 'and why');
$pg->exec('alter role hype_nginx reset statement_timeout');
$pg->terminate;
trigger();
restore($pg, $rejected);

# Confirms

$pg->exec(q(alter table hype.pending_confirm
            add constraint no_evil check (user_id <> 'evil')));
$nginx->get("/buy?user=$_") for qw(one two evil three four);
is_soon { $pg->value('select count(*) from hype.pending_confirm') } 4,
    'a confirm of five is refused';
is_soon { scalar(() = set_aside($rejected) =~ /^SELECT hype\.confirm_batch/mg) }
    1, 'and set aside';
$pg->exec('alter table hype.pending_confirm drop constraint no_evil');
restore($pg, $rejected);
is($pg->value("select count(*) from hype.pending_confirm where user_id = 'evil'"),
   1, 'and restored');

# A session that has a setting of its own is made anew

my $mark = $nginx->mark;
$pg->exec(q(alter role hype_nginx set statement_timeout = '1ms'));
$pg->terminate;

$pg->exec(<<'END');
create function delay() returns trigger language plpgsql as $$
begin
    perform pg_sleep(0.05);
    return null;
end $$;
create trigger delay after insert on hype.referral_hit
    for each statement execute function delay();
END

is_soon { visit('timeout', 'good') } 'spooled', 'statement_timeout is 1 ms';
is_soon { $nginx->error_log($mark) =~ /canceling statement due to statement timeout/ ? 1 : 0 }
    1, 'the log says so', 30;    # one line in 10 seconds
is(rejected(), 0, 'nothing is set aside');
$pg->exec('alter role hype_nginx reset statement_timeout');
is_soon { visit('reset', 'good') } 'hit', 'after RESET hits are written again', 15;
is(rejected(), 0, 'and nothing is set aside');
$pg->exec('drop trigger delay on hype.referral_hit');

# Hits of a month whose partition is made at that moment: hits go to the default
# partition, and are refused there

my $month = $pg->value(q(select to_char(now() at time zone 'UTC', 'YYYY_MM')));

for my $round (1 .. 3) {
    is_soon { scalar(my @files = spool_files($nginx)) } 0, 'nothing is in the spool';
    $pg->exec("alter table hype.referral_hit detach partition
               hype.referral_hit_$month");
    $pg->exec("create table kept as select * from hype.referral_hit_$month;
               drop table hype.referral_hit_$month");

    my $load = $nginx->visits_start(count => 3000, connections => 64,
                                    path => "/ref/$link/?next=/attach-$round");
    wait_until { $pg->hits("next = '/attach-$round'") } 20, 'some hits';
    $pg->exec('select hype.maintain()');
    my @answers = $load->wait;
    my %outcome;
    $outcome{ $_->header('X-Outcome') }++ for @answers;
    is(($outcome{hit} // 0) + ($outcome{spooled} // 0), 3000,
       'a partition is made: all hits are kept')
        or diag(explain(\%outcome));
    is_soon { $pg->hits("next = '/attach-$round'") } 3000, 'and written', 20;
    is(rejected(), 0, 'none is set aside');
    $pg->exec('drop table kept');
}

$nginx->quit;
$pg->stop;

done_testing();
