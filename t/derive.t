# What follows from hits, claims and confirms is there soon after they are
# written, whoever writes them, and no hit waits for it.

use lib 't/lib';
use Hype::Test;
use Hype::Status;

my $pg = cluster();
my %config = (
    pg => $pg, workers => 2, database => 'timeout=5s',
    http => 'add_header Outcome $hype_outcome always;',
    server => status_server() . <<'END');
location /ref/ { hype_ref; }
location = /user { hype_user $http_x_user; return 204; }
location = /paid { hype_user $http_x_user; hype_confirm paid; return 204; }
location = /report { hype_status html reports=1ms; }
END

my $link = $pg->link('abc', user_id => 'alice');
$pg->exec('grant hype_report to hype_nginx');
my $nginx = nginx(%config);
my $n = 0;

sub new_visitor { return $pg->value('select gen_random_uuid()') }
sub user { return 'u' . ++$n }


# The hit of a visitor, a new one if there is none

sub visit
{
    my ($visitor) = @_;

    my $r;

    # after a restart, one worker may be connected, and the other one not yet

    wait_until {
        $r = $nginx->get('/ref/abc', $visitor
                         ? (Cookie => "hype_visitor=$visitor") : ());
        $visitor || $r->header('Outcome') eq 'hit';
    } 10, 'a hit';

    is($r->header('Outcome'), 'hit', '(a hit)')
        if $r->header('Outcome') ne 'hit';

    return $r->cookie('hype_visitor');
}


sub claim
{
    my ($visitor, $user) = @_;

    $nginx->get('/user', Cookie => "hype_visitor=$visitor", 'X-User' => $user);
}


# Their users, as soon as each of that many hits has one

sub reaches
{
    my ($visitor, $user, $hits, $name, $seconds) = @_;

    my $start = time;

    is_soon {
        $pg->text('select count(*), count(user_id), min(user_id)
                   from hype.referral_hit where visitor = ?', $visitor);
    } "$hits|$hits|$user\n", $name, 60;

    local $Test::Builder::Level = $Test::Builder::Level + 1;
    cmp_ok(time - $start, '<', ($seconds // 1) + ($ENV{HYPE_SLACK} // 1.5),
           '- soon');
}


# Claims

{
    my ($visitor, $user) = (visit(), user());
    claim($visitor, $user);
    reaches($visitor, $user, 1, 'a claim by nginx reaches a hit');

    ($visitor, $user) = (visit(), user());
    $pg->query('select hype.claim(?, ?)', $visitor, $user);
    reaches($visitor, $user, 1, 'one by the application, too');

    visit($visitor) for 1 .. 3;
    reaches($visitor, $user, 4, 'and later hits');

    ($visitor, $user) = (new_visitor(), user());
    $pg->query('select hype.claim(?, ?)', $visitor, $user);
    visit($visitor);
    reaches($visitor, $user, 1, 'also where it came before any hit');
}

for my $by ('nginx', 'the application') {
    my ($visitor, $user) = (new_visitor(), user());

    $pg->query(<<'END', $link, $visitor);
insert into hype.referral_hit (referral_link_id, visitor, created)
select ?, ?, now() - i * interval '1 second' from generate_series(1, 100000) as i
END

    my $load = $nginx->visits_start(seconds => 2, connections => 4,
                                    path => '/ref/abc');
    my $start = time;

    if ($by eq 'nginx') {
        claim($visitor, $user);
    } else {
        $pg->query('select hype.claim(?, ?)', $visitor, $user);
    }

    cmp_ok(time - $start, '<', 1 + ($ENV{HYPE_SLACK} // 1.5),
           "100,000 hits: a claim by $by does not wait");
    reaches($visitor, $user, 100_000, '- and reaches all', 40);

    my @answers = $load->wait;
    is(scalar(grep { ($_->header('Outcome') // '') ne 'hit' } @answers), 0,
       '- other hits are hits meanwhile');
}


# Confirms

sub confirmed
{
    my ($user, $name) = @_;

    my $start = time;

    is_soon {
        $pg->text('select event, referrer from hype.confirmed_referral
                   where user_id = ?', $user);
    } "paid|alice\n", $name;

    local $Test::Builder::Level = $Test::Builder::Level + 1;
    cmp_ok(time - $start, '<', 1 + ($ENV{HYPE_SLACK} // 1.5), '- soon');
}

for my $where ('', ' after a restart of PostgreSQL', ' after a reload') {
    $pg->restart if $where =~ /restart/;
    $nginx->reload if $where =~ /reload/;

    is_soon { $nginx->get('/ref/abc')->header('Outcome') } 'hit',
        "hits are written$where";

    my ($visitor, $user) = (visit(), user());
    claim($visitor, $user);
    $nginx->get('/paid', 'X-User' => $user);
    confirmed($user, "a confirm by a page$where");
}


# A connection of its own

is($pg->value(<<'END'), 1, 'one connection derives, and does nothing else');
select count(distinct pid) from pg_stat_activity
where usename = 'hype_nginx' and query like '%hype.derive()%'
END

{
    my $lock = $pg->connect;
    $lock->begin_work;
    $lock->do('lock table hype.confirmed_referral in access exclusive mode');

    $nginx->get('/report?report');
    my ($visitor, $user) = (visit(), user());
    claim($visitor, $user);
    $nginx->get('/paid', 'X-User' => $user);

    my @answers = $nginx->visits(seconds => 2, connections => 4,
                                 path => '/ref/abc');
    is(scalar(grep { ($_->header('Outcome') // '') ne 'hit' } @answers), 0,
       'a lock that reports and the derivation wait for: hits are hits');
    cmp_ok(scalar @answers, '>', 50, '- many');

    $lock->rollback;
    reaches($visitor, $user, 1, '- once it is gone, the claim', 3);
    is_soon {
        $pg->value('select count(*) from hype.confirmed_referral
                    where user_id = ?', $user);
    } 1, '- and the confirm, are there';
}


# A trigger of the site that fails

{
    $pg->exec(<<'END');
create table credits (user_id text);
create function credit() returns trigger language plpgsql security definer as $$
begin
    insert into public.credits values (new.referrer);
    return new;
end $$;
create trigger credit after insert on hype.confirmed_referral
    for each row execute function credit();
alter table credits rename to credits_of_old;
END

    my $mark = $nginx->mark;
    my $aside = q(select error from hype.pending_confirm where tries >= 5);
    my ($visitor, $user) = (visit(), user());
    claim($visitor, $user);
    $nginx->get('/paid', 'X-User' => $user);

    my @answers;
    push @answers, $nginx->get('/ref/abc')
        while @answers < 5000 && !$pg->value($aside);

    is(scalar(grep { $_->header('Outcome') ne 'hit' } @answers), 0,
       'a trigger fails: hits are hits');
    like($pg->value($aside), qr/relation "public\.credits" does not exist/,
       '- the confirm is set aside after some tries');
    is_soon {
        $nginx->error_log($mark)
            =~ /hype: confirms are set aside in hype\.pending_confirm, one of them: \d+: .*"public\.credits"/
    } 1, '- and logged';
    is(status($nginx)->{batches}{rejected}, 1, '- and counted');
    reaches($visitor, $user, 1, '- the claim reaches the hit');

    $pg->exec('alter table credits_of_old rename to credits');
    my $other = user();
    claim(visit(), $other);
    $nginx->get('/paid', 'X-User' => $other);
    confirmed($other, '- others are confirmed');

    $pg->exec("update hype.pending_confirm set due = now(), tries = 0
               where tries >= 5; notify hype_claim");
    confirmed($user, '- and then this one is, too');
}

$nginx->quit;


# Behind a pooler

{
    $nginx = nginx(%config, pg => pgbouncer($pg));

    my ($visitor, $user) = (visit(), user());
    $pg->query('select hype.claim(?, ?)', $visitor, $user);
    reaches($visitor, $user, 1, 'behind a pooler: a claim by the application', 2);

    ($visitor, $user) = (visit(), user());
    claim($visitor, $user);
    $nginx->get('/paid', 'X-User' => $user);
    reaches($visitor, $user, 1, 'and by nginx', 2);
    confirmed($user, 'and a confirm');
}

done_testing();
