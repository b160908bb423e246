# A row that PostgreSQL refuses does not hold up the others, and is kept as a
# statement that psql can run.

use lib 't/lib';
use Hype::Test;
use Hype::Fault;

my $pg = cluster();
my ($link) = fault_links($pg);

my $nginx = fault_nginx(pg => $pg, workers => 1, database => 'timeout=10s',
                        server => <<'END');
    location = /outcome { return 204; }
END

my $rejected = $nginx->dir . '/hype_spool/rejected.records';


# Many hits in one batch: they wait for a lock.

sub together
{
    my (%o) = @_;

    my $dbh = $pg->connect;
    $dbh->begin_work;
    $dbh->do('lock table hype.referral_hit');

    my $load = $nginx->visits_start(connections => $o{count}, %o);
    wait_for_waiting($nginx, $o{count});
    $dbh->rollback;

    return $load->wait;
}


sub outcomes
{
    my %count;
    $count{ $_->header('X-Outcome') // 'none' }++ for @_;
    return join ' ', map { "$_=$count{$_}" } sort keys %count;
}


# One row of many

$pg->exec(<<'END');
alter table hype.referral_hit
    add constraint no_evil check (user_agent is distinct from 'evil')
END

my %evil = map { $_ => 1 } 17;

my @answers = together(
    count => 200, path => sub { "/ref/$link/?next=/one-$_[0]" },
    headers => sub { ('User-Agent' => $evil{ $_[0] } ? 'evil' : 'good') });

is(grep({ $_->status == 302 } @answers), 200, 'all visitors are redirected');
is(outcomes(@answers), 'dropped=1 hit=199', 'one hit is refused');
is($pg->hits("next like '/one-%'"), 199, 'the others are in the table');

my $text = set_aside($rejected);
is(() = $text =~ /^INSERT INTO/mg, 1, 'it alone is set aside');
like($text, qr/^-- \{"type": "note", "created": "[^"]+", "reason": "ERROR: +new row .* violates check constraint \\"no_evil\\""\}$/m,
     'with the reason');
like($nginx->error_log, qr/\[error\].*hype: records that PostgreSQL refuses are set aside in rejected\.records: 1, the last: ERROR: .*no_evil/,
     'the log says so');
is((stat $rejected)[2] & 0777, 0600, 'nobody else may read the file');

$pg->exec('alter table hype.referral_hit drop constraint no_evil');
restore($pg, $rejected);
is($pg->value("select visitor from hype.referral_hit where next = '/one-17'"),
   $answers[17]->cookie('hype_visitor'), 'and its row is the hit');
is($pg->value("select id from hype.referral_hit where next = '/one-17'"),
   $answers[17]->header('X-Hit'), 'with its id');

# Several rows, each with another reason, one of them what looks like a hit
# that is there already

$pg->exec(<<'END');
create function refuse() returns trigger language plpgsql as $$
begin
    case new.user_agent
        when 'raises' then raise 'no';
        when 'unique' then raise unique_violation;
        when 'null' then raise not_null_violation;
        when 'range' then raise numeric_value_out_of_range;
        when 'long' then raise program_limit_exceeded;
        else null;
    end case;
    return new;
end $$;
create trigger refuse before insert on hype.referral_hit
    for each row execute function refuse();
END

my @agents = qw(raises unique null range long);

@answers = together(
    count => 150, path => sub { "/ref/$link/?next=/many-$_[0]" },
    headers => sub {
        ('User-Agent' => $_[0] % 20 == 10 ? $agents[$_[0] / 20 % 5] : 'good')
    });

is(outcomes(@answers), 'dropped=7 hit=143', 'seven hits are refused');
is($pg->hits("next like '/many-%'"), 143, 'the others are in the table');
is(() = set_aside($rejected) =~ /^INSERT INTO/mg, 7, 'seven are set aside');

$pg->exec('alter table hype.referral_hit disable trigger refuse');
restore($pg, $rejected);
is($pg->hits("next like '/many-%'"), 150, 'all are in the table');
$pg->exec('alter table hype.referral_hit enable trigger refuse');

# Refused when it is read from the spool

$pg->stop;
@answers = map {
    $nginx->get("/ref/$link/?next=/late-$_", 'User-Agent' =>
                $_ == 5 ? 'unique' : $_ == 9 ? 'raises' : 'good')
} 1 .. 20;
is(outcomes(@answers), 'spooled=20', 'hits are spooled');
$pg->start;
is_soon { $pg->hits("next like '/late-%'") } 18, 'all but two arrive';
is_soon {
    scalar(() = set_aside($rejected) =~ /^INSERT INTO/mg)
} 2, 'which are set aside';
$pg->exec('alter table hype.referral_hit disable trigger refuse');
restore($pg, $rejected);
is($pg->hits("next like '/late-%'"), 20, 'all are in the table');

# A unique index of the owner's own: what it refuses is no hit that is there

my ($partition) = $pg->value('select tableoid::regclass from hype.referral_hit limit 1');
$pg->exec("create unique index own on $partition (next)");
@answers = map { $nginx->get("/ref/$link/?next=/own-$_") } 1, 2, 2, 3;
is(outcomes(@answers), 'dropped=1 hit=3', 'a unique index of one\'s own');
is(() = set_aside($rejected) =~ /^INSERT INTO/mg, 1, 'what it refuses is set aside');
$pg->exec('drop index hype.own');
restore($pg, $rejected);
is($pg->hits("next like '/own-%'"), 4, 'and restored');

# Refused after its visitor has gone on: it is in the batch, and in the spool

# (behind a pooler, where lock_timeout is not that of nginx)

my $pool = pgbouncer($pg);
$nginx->restart(pg => $pool, database => 'timeout=300ms');
is_soon { $nginx->get("/ref/$link/")->header('X-Outcome') } 'hit', 'PgBouncer';
$pg->exec("alter table hype.referral_hit add constraint slow check (next <> '/slow') not valid");

{
    my $dbh = $pg->connect;
    $dbh->begin_work;
    $dbh->do('lock table hype.referral_hit');
    is($nginx->get("/ref/$link/?next=/slow")->header('X-Outcome'), 'spooled',
       'a visitor does not wait');
    $dbh->rollback;
}

is_soon { -e $rejected ? 1 : 0 } 1, 'the hit is refused later';
is_soon { scalar(my @files = spool_files($nginx)) } 0, 'and out of the spool';
is(() = set_aside($rejected) =~ /^INSERT INTO/mg, 1, 'set aside once');
$pg->exec('alter table hype.referral_hit drop constraint slow');
restore($pg, $rejected);
is($pg->hits("next = '/slow'"), 1, 'and restored');
$nginx->restart(pg => $pg, database => 'timeout=10s');

# Claims and confirms

my @visitors = map {
    $nginx->get("/ref/$link/")->cookie('hype_visitor')
} 1 .. 10;

$pg->exec(<<'END');
alter table hype.pending_claim add constraint no_evil check (user_id <> 'evil');
alter table hype.confirmed_referral
    add constraint no_evil check (user_id <> 'good-3')
END

for my $n (1 .. 9) {
    my $user = $n == 4 ? 'evil' : "good-$n";
    my @cookie = (Cookie => "hype_visitor=$visitors[$n]");
    is($nginx->get("/in?user=$user", @cookie)->status, 204, "claim $n");
    is($nginx->get("/buy?user=$user")->status, 204, "confirm $n");
}

is_soon { $pg->value("select count(*) from hype.visitor_claim where user_id like 'good-%'") }
    8, 'all claims but one arrive';
is_soon { $pg->value("select count(*) from hype.confirmed_referral where user_id like 'good-%'") }
    7, 'all confirms but one';
is_soon {
    ($pg->value(q(select user_id || error from hype.pending_confirm where tries >= 5)) // '')
        =~ /^good-3.*"no_evil"/
} 1, 'which is kept with its error', 20;
like($nginx->error_log,
     qr/\[error\].*hype: confirms are set aside in hype\.pending_confirm, one of them: \d+: .*no_evil/,
     'and logged');

$pg->exec(<<'END');
alter table hype.pending_claim drop constraint no_evil;
alter table hype.confirmed_referral drop constraint no_evil;
update hype.pending_confirm set due = now(), tries = 0 where tries >= 5;
notify hype_claim
END
restore($pg, $rejected);
is_soon { $pg->value("select visitor from hype.visitor_claim where user_id = 'evil'") // '' }
    $visitors[4], 'the claim is restored';
is_soon { $pg->value("select count(*) from hype.confirmed_referral where user_id = 'good-3'") }
    1, 'and the confirm';

# Bytes that PostgreSQL would refuse are made acceptable, so nothing is set aside

my $r = $nginx->get("/ref/$link/?next=/bytes%00%ff%c0%80", Referer =>
                    "\xed\xa0\x80 \xf5 \\. \\N", 'User-Agent' => "\xff\xfe");
is($r->header('X-Outcome'), 'hit', 'bytes that are no UTF-8');
ok(!-e $rejected, 'are not refused');

# Every row is refused: that is no record's fault, and all are kept

$pg->exec(<<'END');
alter table hype.referral_hit add constraint none check (false) not valid
END

@answers = together(count => 100, path => "/ref/$link/?next=/none");
is(outcomes(@answers), 'spooled=100', 'a table that refuses all');
wait_for_errors($nginx, 4);
ok(!-e $rejected, 'nothing is set aside');
$pg->exec('alter table hype.referral_hit drop constraint none');
is_soon { $pg->hits("next = '/none'") } 100, 'and all are written in the end';

# Without a spool the log has it

$nginx->restart(http => 'hype_spool off;');
push @{ $nginx->{allow} }, qr/hype: dropped record/;
$pg->exec("alter table hype.referral_hit add constraint last check (next <> '/last') not valid");
$r = $nginx->get("/ref/$link/?next=/last");
is($r->header('X-Outcome'), 'dropped', 'without a spool a hit is dropped');
like($nginx->error_log, qr/\[alert\].* hype: dropped records: 1, of which dropped\.records has 0, the last: ERROR: .*\"last\"$/m,
     'with an alert');
$pg->exec('alter table hype.referral_hit drop constraint last');

my $record = join '', $nginx->error_log
    =~ /\[alert\].* hype: dropped record, part \d+ of \d+: ([0-9a-f]+)$/mg;
my $file = $nginx->dir . '/from_log';
write_file($file, pack 'H*', $record);
restore($pg, $file);
is($pg->value("select id from hype.referral_hit where next = '/last'"),
   $r->header('X-Hit'), 'and the record, which restores it');

$nginx->quit;
$pg->stop;

done_testing();
