# A hit, a claim and a confirmation reach the database late and in any order, and
# still make one confirmed referral.

use lib 't/lib';
use Hype::Test;

my $pg = database();
$pg->link('abc123', user_id => 'alice');
$pg->link('later', user_id => 'bob');

my %config = (
    workers => 2, database => 'timeout=2s',
    http => 'add_header Outcome $hype_outcome always;', server => <<'END');
location /ref/ { hype_ref; }
location /login { hype_user $http_x_user; return 204; }
location /paid { hype_user $http_x_user; hype_confirm sale value=$arg_value; return 204; }
END

# Three machines, each with a way to the database of its own: one that visitors
# come to, one where they log in, one where they pay.

my (%proxy, %nginx);

for (qw(hit claim confirm)) {
    $proxy{$_} = proxy($pg);
    $nginx{$_} = nginx(%config, pg => $proxy{$_});
}

# one link is known to nginx, the other is not
is($nginx{hit}->get('/ref/abc123')->header('Outcome'), 'hit', 'a visit');

my $n = 0;

# who is known when it is confirmed
my %who = (
    user => sub { ('X-User' => $_[1]) },
    visitor => sub { (Cookie => "hype_visitor=$_[0]") },
    both => sub { ('X-User' => $_[1], Cookie => "hype_visitor=$_[0]") },
);

for my $order ([qw(hit claim confirm)], [qw(hit confirm claim)],
               [qw(claim hit confirm)], [qw(claim confirm hit)],
               [qw(confirm hit claim)], [qw(confirm claim hit)])
{
    my @people;

    for (values %proxy) {
        $_->refuse;
        $_->cut;
    }

    # what really happens: a visit, a log-in, a purchase

    for my $who (sort keys %who) {
        for my $path ('/ref/abc123', '/ref/later') {
            my $r = $nginx{hit}->get($path);
            my $visitor = $r->cookie('hype_visitor');
            my $user = 'u' . ++$n;
            my @confirm = $who{$who}->($visitor, $user);

            is($r->header('Outcome'), 'spooled', '(no way to the database)')
                if $r->header('Outcome') ne 'spooled';
            $nginx{claim}->get('/login', Cookie => "hype_visitor=$visitor",
                               'X-User' => $user);
            $nginx{confirm}->get('/paid?value=7', @confirm) for 1 .. 2;

            push @people, [$visitor, $user, $who, $path];
        }
    }

    # what the database hears of it, each when the one before is there

    my @visitors = map { $_->[0] } @people;
    my @users = map { $_->[1] } @people;
    my %there = (
        hit => sub {
            $pg->value('select count(*) from hype.referral_hit
                        where visitor = any (?)', \@visitors);
        },
        claim => sub {
            $pg->value('select count(*) from hype.visitor_claim
                        where visitor = any (?)', \@visitors);
        },
        confirm => sub {
            $pg->value('select count(distinct coalesce(user_id, visitor::text))
                        from (select user_id, visitor
                              from hype.pending_confirm
                              union all
                              select user_id, visitor
                              from hype.confirmed_referral) as c
                        where user_id = any ($1) or visitor = any ($2)',
                       \@users, \@visitors);
        },
    );

    for my $what (@$order) {
        $proxy{$what}->admit;
        is_soon { $there{$what}->() } scalar @people,
            "@$order: the " . $what . 's arrive';
    }

    is_soon {
        $pg->text('select user_id, event, referrer, value
                   from hype.confirmed_referral
                   where user_id = any (?) order by 1', \@users);
    } join('', map({ "$_->[1]|sale|" . ($_->[3] =~ /later/ ? 'bob' : 'alice')
                     . "|7\n" } sort { $a->[1] cmp $b->[1] } @people)),
       '- one referral each';

    is_soon {
        $pg->text('select h.user_id, h.confirmed = c.created
                   from hype.referral_hit h
                   left join hype.confirmed_referral c
                          on c.referral_hit_id = h.id
                   where h.user_id = any (?) order by 1', \@users);
    } join('', map { "$_|t\n" } sort @users), '- and each hit says so';

    is_soon {
        $pg->value('select count(*) from hype.pending_confirm
                    where user_id = any (?) or visitor = any (?)',
                   \@users, \@visitors);
    } 0, '- no confirmation is left over';
}


# the database is away for all, workers are killed, it comes back

{
    my %users;

    for (values %proxy) {
        $_->refuse;
        $_->cut;
    }

    for (1 .. 20) {
        my $user = 'u' . ++$n;
        my $visitor = $nginx{hit}->get('/ref/abc123')->cookie('hype_visitor');

        $users{$user} = 1;
        $nginx{claim}->get('/login', Cookie => "hype_visitor=$visitor",
                           'X-User' => $user);
        $nginx{confirm}->get('/paid?value=7',
                             $n % 2 ? ('X-User' => $user)
                                    : (Cookie => "hype_visitor=$visitor"));
    }

    $nginx{$_}->kill_worker for qw(claim confirm);
    $nginx{hit}->restart;
    $_->admit for values %proxy;

    is_soon {
        $pg->text("select string_agg(user_id, ' ' order by user_id), count(*),
                          count(distinct referral_hit_id), min(referrer)
                   from hype.confirmed_referral
                   where user_id = any (?)", [keys %users]);
    } join(' ', sort keys %users) . "|20|20|alice\n",
       'an outage, killed workers, a restart: one referral each', 20;
}


# an application's own transaction confirms the same

{
    my $session = $pg->connect;
    my $visitor = $nginx{hit}->get('/ref/abc123')->cookie('hype_visitor');
    my $user = 'u' . ++$n;

    $nginx{claim}->get('/login', Cookie => "hype_visitor=$visitor",
                       'X-User' => $user);
    is_soon { $pg->hits('user_id = ?', $user) } 1, 'a claimed hit';

    $session->begin_work;
    my ($row) = $session->selectrow_array(
        'select referrer from hype.confirm(?, user_id => ?)', undef, 'sale', $user);
    is($row, 'alice', 'the application confirms');
    $nginx{hit}->get('/paid?value=1', 'X-User' => $user);
    $nginx{confirm}->get('/paid?value=2', 'X-User' => $user);

    my $slow = 0;
    my $end = time + 1.5;

    while (time < $end) {
        $slow++ if $nginx{hit}->get('/ref/abc123')->header('Outcome') ne 'hit';
    }

    is($slow, 0, '- nobody\'s hit waits for it');

    $session->rollback;
    is_soon {
        $pg->text('select referrer, value is not null
                   from hype.confirmed_referral where user_id = ?', $user);
    } "alice|t\n", '- it rolls back: what nginx has seen counts, once';
}


# many times at once, by two workers and the application

{
    my $user = 'u' . ++$n;
    $pg->exec("insert into hype.referral_hit (referral_link_id, user_id)
               values (1, '$user')");

    my $load = $nginx{confirm}->visits_start(
        count => 200, connections => 20, path => '/paid?value=3',
        headers => ['X-User' => $user]);

    my $credited = 0;

    do {
        $credited += $pg->value('select count(*) from hype.confirm(?, ?)', 'sale',
                                $user);
    } while ($load->running);

    $load->wait;

    is_soon {
        $pg->value('select count(*) from hype.confirmed_referral
                    where user_id = ?', $user);
    } 1, 'many at once: the referrer is credited once';
    cmp_ok($credited, '<=', 1, '- told to one caller at most');
}

done_testing();

