# Changes of links on the coordinator of Citus, as an nginx sees them that is
# connected to a worker, which NOTIFY does not reach.

use lib 't/lib';
use Hype::Test;
use Hype::Citus;
use Hype::Workers;

my $citus = Hype::Citus->new;
my $pg = $citus->coordinator;
my $server = worker_server();

my ($nginx, $other) = map { nginx(pg => $citus->worker($_), workers => 2,
                                  http => <<"END") } 1, 2;
hype_zone hype:1m valid=1h unknown=1h;
$server
END

ask_workers($pg, $nginx);

my $other_says = sub {
    my ($identifier) = @_;
    return $other->get("/ref/$identifier/")->header('X-Outcome');
};

# A change acts while it is relayed: not because a link has not been cached

$pg->link('abc', destination => '/one', user_id => 'anna');
is(all(\&outcome, 'abc'), 'hit', 'a link is known at a worker');
is(all(\&outcome, 'new'), 'unknown', 'another one is not');

sub disable { "update hype.referral_link set disabled = $_[0]
               where identifier = 'abc'" }

for my $round (1 .. 5) {
    acts(disable('true'), \&outcome, 'abc', 'disabled', "disabled ($round)");
    acts(disable('false'), \&outcome, 'abc', 'hit', "enabled ($round)");
    acts("update hype.referral_link set destination = '/$round'
          where identifier = 'abc'", \&location, 'abc', "/$round",
         "another destination ($round)");
}

acts(q(select hype.create_link(identifier => 'new')), \&outcome, 'new', 'hit',
     'a link that was unknown is made');
acts(q(insert into hype.link_alias values ('alias', 1)), \&outcome, 'alias',
     'hit', 'an alias');
acts(q(select hype.rename_link('new', 'renamed')), \&outcome, 'renamed', 'hit',
     'another name');
acts(q(delete from hype.referral_link where identifier = 'renamed'), \&outcome,
     'renamed', 'unknown', 'a link is deleted');

my @times = act_times();
note sprintf 'a change takes %.0f ms (median), %.0f at most, until it acts',
    $times[@times / 2], $times[-1];

# An application's claim and confirm: no nginx is connected to the coordinator

my $visitor = '01890a5d-ac96-774b-bcce-b302099a8057';

is($other->get('/ref/abc/', Cookie => "hype_visitor=$visitor")
       ->header('X-Outcome'), 'hit', 'a visit at the other worker');
$pg->query('select hype.claim(?, ?)', $visitor, 'bob');
is_soon { $pg->hits('user_id = ?', 'bob') } 1,
    'an application claims, and a worker hears of it', 10;

is($citus->worker(1)->value("select string_agg(r, ' ' order by r)
       from unnest('{hype_nginx,hype_app,hype_report,public}'::text[]) as r
       where has_function_privilege(r, 'hype.relay()', 'execute')"),
   'hype_nginx', 'nobody else may call what relays');

# Who is away does not hinder a change, and follows it later

sub changes_go_on
{
    my ($fault) = @_;

    is($other_says->('abc'), 'hit', "$fault: the other worker knows the link");

    return sub {
        acts(disable('true'), \&outcome, 'abc', 'disabled',
             "$fault: a change acts at this worker");
        acts(disable('false'), \&outcome, 'abc', 'hit', '- and the next one');
        $pg->exec(disable('true'));
    };
}

my $go_on = changes_go_on('another worker hangs');
$citus->worker(2)->freeze;
$go_on->();
$citus->worker(2)->thaw;
is_soon { $other_says->('abc') } 'disabled', '- that one follows', 20;

$pg->exec(disable('false'));
is_soon { $other_says->('abc') } 'hit', 'and hears the next change', 20;

$go_on = changes_go_on('another worker is killed');
$citus->worker(2)->stop('kill');
$go_on->();
$citus->worker(2)->start;
is_soon { $other_says->('abc') } 'disabled', '- that one follows', 20;
$pg->exec(disable('false'));

# The coordinator away: what is cached serves on

for my $fault ('stop', 'freeze') {
    is_soon { all(\&outcome, 'abc') } 'hit', "$fault: a link is cached", 20;

    $pg->$fault;
    is(all(\&outcome, 'abc'), 'hit', '- and serves while the coordinator is away');
    is(all(\&location, 'abc'), '/5', '- also later');
    $fault eq 'stop' ? $pg->start : $pg->thaw;

    $pg->exec("update hype.referral_link set disabled = true
               where identifier = 'abc'");
    is_soon { all(\&outcome, 'abc') } 'disabled',
        '- a change acts when it is there again', 20;
    $pg->exec(disable('false'));
}

is_soon { all(\&outcome, 'abc') } 'hit', 'and the next one', 20;

# Nothing of it without Citus

my $plain = cluster(config => "log_statement = 'all'");
$plain->link('abc');

my $alone = nginx(pg => $plain, workers => 1, server => <<'END');
location /ref/ { hype_ref; }
END

$alone->get('/ref/abc/');
is_soon { $plain->log =~ /SELECT again, line FROM hype\.derive/ ? 1 : 0 } 1,
    'one PostgreSQL: an nginx works';
$plain->exec('select pg_sleep(1)');
unlike($plain->log, qr/statement: SELECT hype\.relay/, '- and does not ask for a relay');

done_testing();
