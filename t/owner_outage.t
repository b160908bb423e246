# hype_links while the database is away, slow, or refuses: 503 soon, and visitors
# notice nothing of it.

use lib 't/lib';
use Hype::Test;
use Hype::Status;

my $pg = cluster();
my $nginx = nginx(pg => $pg, database => 'timeout=2s', server => <<'END');
    hype_user $arg_user;

    location /ref/ { hype_ref; hype_user ""; }
    location = /links { hype_links; }
    location = /page { hype_links html; hype_user $http_x_user; }
    location = /status { hype_status; }
END

my $slack = 2 + ($ENV{HYPE_SLACK} // 1.5);

sub view { return $nginx->get("/links?user=$_[0]") }

sub unavailable
{
    my ($answer, $problem, $name) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    is($answer->status, 503, $name);
    is($answer->header('Retry-After'), 5, 'says when to come again');
    is($answer->header('Cache-Control'), 'no-store', 'nobody stores it');
    is(json($answer)->{problem}, $problem, 'and why');
    ok(!exists json($answer)->{links}, 'nothing else');
}

$pg->link('a');
is(view('alice')->status, 200, 'a page');


# Slow: a view waits for as long as a visitor, the others for nobody

my $locker = $pg->connect;
$locker->begin_work;
$locker->do('lock table hype.referral_link in share mode');

my $start = time;
my $waiting = $nginx->open;
print {$waiting} "GET /links?user=slow HTTP/1.1\r\nHost: localhost\r\n\r\n";
wait_until {
    $pg->value(q(select count(*) from pg_stat_activity
                 where wait_event_type = 'Lock' and query ~ 'owner_page')) == 1
} 20, 'a view to wait';

is($nginx->get('/ref/a')->status, 302, 'a visit does not');
is_soon { $pg->hits } 1, 'and its hit is there';

unavailable(http_read($waiting), 'pending', 'who waits for a lock');
cmp_ok(time - $start, '<', $slack, 'does not wait for long');

wait_until {
    $pg->value(q(select count(*) from pg_stat_activity
                 where wait_event_type = 'Lock' and query ~ 'owner_page')) == 0
} 20, 'lock_timeout';
unavailable(view('slow'), 'pending', 'who asks again after lock_timeout');

unavailable(view('next'), 'pending', 'so does the next one');
$locker->rollback;
is_soon { view('slow')->status } 200, 'and then there is the page';
is($pg->value(q(select count(*) from hype.referral_link
                where user_id = 'slow')), 1, 'with one link');

my $gone = $nginx->open;
$pg->freeze;
print {$gone} "GET /links?user=gone HTTP/1.1\r\nHost: localhost\r\n\r\n";
wait_until { status($nginx)->{queue}{waiting} == 1 } 20, 'one to wait';
close $gone;
is_soon { status($nginx)->{queue}{waiting} } 0, 'who has gone does not wait';
$pg->thaw;
is_soon { view('gone')->status } 200, 'nor do others';


# Away

$pg->stop;
is_soon { view('alice')->status } 503, 'without a database';
unavailable(view('alice'), 'away', 'nothing is shown');

my $page = $nginx->get('/page', 'X-User' => 'alice');
is($page->status, 503, 'the page, too');
is($page->header('Retry-After'), 5, 'says when to come again');
is($page->header('Content-Type'), 'text/html; charset=utf-8', 'as a page');
like($page->body, qr/id="data">\{"problem": "away"/, 'that knows why');
is($nginx->get('/page?js', 'X-User' => 'alice')->status, 200,
   'and has its files');
is($nginx->request('HEAD', '/links?user=alice')->status, 503, 'HEAD, too');
is($nginx->get('/ref/a')->status, 302, 'visitors as ever');

$start = time;
view("u$_") for 1 .. 20;
cmp_ok(time - $start, '<', 5, 'many views do not wait one after the other');

$pg->start;
is_soon { view('alice')->status } 200, 'and again when it is back';

$pg->terminate;
is_soon { view('bob')->status } 200, 'also when its connection was cut';


# Refused

$pg->exec(q(create function refuse() returns trigger language plpgsql as $$
            begin raise exception 'no links
today'; end $$;
            create trigger refuse before insert on hype.referral_link
            for each row when (new.user_id = 'eve') execute function refuse()));

$nginx->restart;      # the log has one such line in ten seconds
my $at = $nginx->mark;
unavailable(view('eve'), 'failed', 'whose link is refused');
like($nginx->error_log($at),
     qr/\[error\].* hype: PostgreSQL can't show a user's links: ERROR:  no links\b/,
     'the log says why');
is(view('alice')->status, 200, 'others see theirs');
is($nginx->request('HEAD', '/links?user=eve')->status, 200,
   'HEAD makes nothing, which nobody refuses');

$pg->exec('drop function hype.owner_page(bigint, boolean, text),
           hype.owner_page(text, boolean, text)');
is_soon { view('alice')->status } 503, 'an older schema';
unavailable(view('zoe'), 'failed', 'shows nothing');
is($nginx->get('/ref/a')->status, 302, 'but hits are as good');
is(status($nginx)->{database}{state}, 'up', 'and so is the database');

$nginx->quit;

done_testing();
