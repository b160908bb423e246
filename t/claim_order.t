# Once all is written, every hit of a claimed visitor has that user, whichever
# of them reached the database first.

use lib 't/lib';
use Hype::Test;

my $pg = database();
$pg->link('abc123', user_id => 'alice');

my %config = (
    pg => $pg, workers => 2, database => 'timeout=500ms',
    http => 'add_header Outcome $hype_outcome always;', server => <<'END');
location /ref/ { hype_ref; }
location /user { hype_user $http_x_user; return 204; }
END

my $nginx = nginx(%config);

# one on another machine, so to say: what holds up the first does not hold it up

my $other = nginx(%config);


# a claim that nobody hears of

{
    my $session = $pg->connect;
    my $admin = $pg->connect(dbname => 'postgres');
    my $dbname = $pg->dbname;
    my $visitor = new_visitor();

    is_soon {
        $pg->value("select count(*) from pg_stat_activity where datname
                    = current_database() and state = 'idle'
                    and query like '%FROM hype.derive() %'")
    } 2, 'nginx has derived, and nothing is left';

    $session->begin_work;
    $session->do('insert into hype.referral_hit (referral_link_id, visitor)
                  values (1, ?)', undef, $visitor);

    $admin->do("alter database $dbname allow_connections false");
    $pg->terminate;
    is_soon {
        $pg->value("select count(*) from pg_stat_activity where usename
                    = 'hype_nginx' and datname = current_database()")
    } 0, 'nginx is not connected';

    $pg->query('select hype.claim(?, ?)', $visitor, 'u0');
    $session->commit;

    $admin->do("alter database $dbname allow_connections true");
    settled('it was not told of a claim, and looks when it is connected again',
            "$visitor u0");
}


# one after the other

my $visitor = visit();
claim($visitor, 'u1');
settled('a hit, then the claim', "$visitor u1");

visit($visitor) for 1 .. 3;
settled('the claim, then hits', ("$visitor u1") x 3);

$visitor = new_visitor();
claim($visitor, 'u2');
is_soon { claimed($visitor) } 1, 'a claim before any hit';
visit($visitor);
settled('- and then the hit', "$visitor u2");


# hits are held back, and not the claim

for my $mode ('share row exclusive', 'access exclusive') {
    my $lock = lock_table('referral_hit', $mode);
    my $new = visit(undef, 'spooled');
    my $old = new_visitor();
    visit($old, 'spooled') for 1 .. 4;

    claim($_, "u-$_", $other) for $new, $old;

    if ($mode eq 'share row exclusive') {
        is_soon { claimed($new, $old) } 2,
            'hits wait for a lock, and have been claimed';
    } else {
        pass('hits and claims wait for a lock');
    }

    visit($old, 'spooled');

    $lock->rollback;
    settled('- all of them get the user, late as they are',
            "$new u-$new", ("$old u-$old") x 5);
}


# claims are held back, and not the hits

for my $mode ('share row exclusive', 'access exclusive') {
    my $lock = lock_table('visitor_claim', $mode);
    my $new = visit(undef);
    my $old = new_visitor();
    claim($_, "u-$_", $other) for $new, $old;
    my $outcome = $mode eq 'access exclusive' ? qr/hit|spooled/ : 'hit';
    visit($old, $outcome) for 1 .. 4;

    is($pg->value('select count(user_id) from hype.referral_hit'), 0,
       "claims wait for a lock ($mode)");

    $lock->rollback;
    settled('- all hits get the user', "$new u-$new", ("$old u-$old") x 4);
}


# transactions at the same time, that can't see each other

{
    my $session = $pg->connect;
    my $visitor = new_visitor();

    $session->begin_work;
    $session->do('insert into hype.referral_hit (referral_link_id, visitor)
                  values (1, ?)', undef, $visitor);

    claim($visitor, 'u3', $other);
    is_soon { claimed($visitor) } 1, 'a claim while a hit is being written';
    $session->commit;
    visit();      # whichever nginx has written something derives
    settled('- the hit gets the user', "$visitor u3");
}

{
    my $session = $pg->connect;
    my $visitor = visit();

    $session->begin_work;
    $session->do('select hype.claim(?, ?)', undef, $visitor, 'u4');

    visit($visitor) for 1 .. 3;
    my $others = visits_at_once(40);
    is(scalar(grep { $_->header('Outcome') eq 'hit' } @$others), 40,
       'an application is about to claim: hits of others are recorded');
    is($pg->value('select count(user_id) from hype.referral_hit'), 0,
       '- the claim is not in effect yet');

    $session->commit;
    settled('- all hits get the user', ("$visitor u4") x 4);

    $visitor = visit();
    $session->begin_work;
    $session->do('select hype.claim(?, ?)', undef, $visitor, 'u5');
    visit($visitor);
    $session->rollback;
    claim($visitor, 'u6');
    settled('it has changed its mind: the next claim counts',
            ("$visitor u6") x 2);
}


# an application's transaction that takes long, and nginx claims the same
# visitor meanwhile: nobody waits for it

{
    my $session = $pg->connect;
    my $visitor = visit();

    visits_at_once(20);
    clear();
    $session->begin_work;
    $session->do('select hype.claim(?, ?)', undef, $visitor, 'u7');
    claim($visitor, 'u8') for 1 .. 4;

    my @slow;
    my $end = time + 1.5;

    while (time < $end) {
        my $r = $nginx->get('/ref/abc123');
        push @slow, $r if $r->header('Outcome') ne 'hit';
    }

    is(scalar @slow, 0,
       'nginx wants to claim the same visitor: nobody\'s hit is delayed');

    clear();
    visit($visitor, qr/hit|spooled/);
    $session->commit;
    settled('- the application was first', "$visitor u7");
}


# hits wait for a lock, and there is no spool

$nginx->reload(%config, http => $config{http} . 'hype_spool off;');

{
    my $lock = lock_table('referral_hit', 'share row exclusive');
    my @new = map { visit(undef, 'spooled') } 1 .. 6;

    claim($_, "u-$_", $other) for @new;
    wait_until { claimed(@new) == @new } 10, 'the claims';
    $lock->rollback;
    settled('without a spool: hits that wait for a lock and have been claimed',
            map { "$_ u-$_" } @new);
}

done_testing();


# Visits a link, and returns the visitor.

sub visit
{
    my ($visitor, $outcome) = @_;

    $outcome //= 'hit';
    my $r = $nginx->get('/ref/abc123', $visitor
                        ? (Cookie => "hype_visitor=$visitor") : ());

    like($r->header('Outcome'), qr/^$outcome$/, "($outcome)")
        if $r->header('Outcome') !~ /^$outcome$/;

    return $r->cookie('hype_visitor');
}


sub visits_at_once
{
    my ($count) = @_;

    return [$nginx->visits(count => $count, connections => 8,
                           path => '/ref/abc123')];
}


# Logs in, by the one nginx or the other.

sub claim
{
    my ($visitor, $user, $where) = @_;

    my $r = ($where // $nginx)->get('/user', Cookie => "hype_visitor=$visitor",
                        'X-User' => $user);

    is($r->cookie('hype_visitor'), '', '(the cookie is cleared)')
        if ($r->cookie('hype_visitor') // '-') ne '';
}


sub new_visitor { return $pg->value('select gen_random_uuid()') }


sub claimed
{
    my (@visitors) = @_;

    return $pg->value('select count(*) from hype.visitor_claim
                       where visitor = any (?)', \@visitors);
}


# Who the hits of these visitors belong to, some time later; the next ones are
# alone.

sub settled
{
    my ($name, @expected) = @_;

    is_soon {
        join "\n", map { "$_->[0] $_->[1]" } $pg->query(<<'END');
select visitor, coalesce(user_id, '-') from hype.referral_hit
where visitor in (select visitor from hype.visitor_claim)
order by visitor
END
    } join("\n", sort @expected), $name;

    clear();
}


sub clear
{
    $pg->exec('delete from hype.referral_hit');
}


# Another session's lock.

sub lock_table
{
    my ($table, $mode) = @_;

    my $session = $pg->connect;
    $session->begin_work;
    $session->do("lock table hype.$table in $mode mode");

    return $session;
}
