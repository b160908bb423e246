# The row of a hit, column by column; and that it is there in time.

use lib 't/lib';
use Hype::Test;

my $pg = database();
my $link = $pg->link('abc');
$pg->link('other');

my $nginx = nginx(pg => $pg, database => 'timeout=30s', server => <<'END');
large_client_header_buffers 4 64k;
add_header Hit $hype_hit;

location /ref/ {
    hype_ref;
    hype_user $arg_user;
    hype_bot $arg_bot;
}
END

my $variant = '[89ab][0-9a-f]{3}-[0-9a-f]{12}';

# One row, as a hash; it is gone then

sub row
{
    my $sth = $pg->connect->prepare('delete from hype.referral_hit returning *,
        extract(epoch from created) as seconds');
    $sth->execute;
    my $rows = $sth->fetchall_arrayref({});

    is(@$rows, 1, 'one row');
    return $rows->[0] // {};
}

# PostgreSQL's and nginx's clock is the machine's; a hit has milliseconds

my $before = int(time * 1000) / 1000;
my $r = $nginx->get('/ref/abc/?next=/x%20y', 'User-Agent' => 'Mozilla/5.0 (X11)',
                    Referer => 'https://from.example/page?a=b');
my $after = time;
my $row = row();

is($row->{id}, $r->header('Hit'), 'id: $hype_hit');
like($row->{id}, qr/^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-$variant$/,
     'id: a UUIDv7');
is(substr($row->{id} =~ tr/-//dr, 0, 12),
   sprintf('%012x', $row->{seconds} * 1000 + 0.5), 'id: of the time of created');
is($row->{referral_link_id}, $link, 'referral_link_id');
cmp_ok($row->{seconds}, '>=', $before, 'created: not before the request');
cmp_ok($row->{seconds}, '<=', $after, 'created: not after the answer');
is($row->{visitor}, $r->cookie('hype_visitor'), 'visitor: the cookie');
like($row->{visitor}, qr/^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-$variant$/,
     'visitor: a UUIDv7');
is(substr($row->{visitor}, 0, 13), substr($row->{id}, 0, 13),
   'visitor: of the time of created');
isnt($row->{visitor}, $row->{id}, 'visitor: not the id');
is($row->{user_id}, undef, 'user_id: not known');
is($row->{authenticated}, 'f', 'authenticated: no');
is($row->{bot}, 'f', 'bot: no');
is($row->{ip}, '127.0.0.1', 'ip');
is($row->{user_agent}, 'Mozilla/5.0 (X11)', 'user_agent');
is($row->{http_referer}, 'https://from.example/page?a=b', 'http_referer');
is($row->{next}, '/x y', 'next');
is($row->{confirmed}, undef, 'confirmed: not yet');

$nginx->get('/ref/other?user=42&bot=1');
$row = row();

isnt($row->{referral_link_id}, $link, 'another link');
is($row->{visitor}, undef, 'a known user: no visitor');
is($row->{user_id}, '42', 'user_id');
is($row->{authenticated}, 't', 'authenticated');
is($row->{bot}, 't', 'bot');
is($row->{$_}, undef, "$_: none") for qw(user_agent http_referer next);

# What headers can have

my $replacement = "\xef\xbf\xbd";

for my $case (
    ['' => undef, 'empty'],
    ['x' x 30000 => 'x' x 2048, 'long'],
    ["\xc3\xa4\xf0\x9f\x98\x80" => "\xc3\xa4\xf0\x9f\x98\x80", 'UTF-8'],
    ["a\xffb\xc3" => "a${replacement}b$replacement", 'no UTF-8'],
    ["a\tb" => "a\tb", 'a tab'],
    ["\x01\x1b[31m\x7f" => "\x01\x1b[31m\x7f", 'control characters'],
    ["'; drop table x; --\\" => "'; drop table x; --\\", 'SQL'],
    ['\\N' => '\\N', 'what COPY knows'],
    ['{a,"b"}' => '{a,"b"}', 'what an array is'],
) {
    my ($value, $expected, $name) = @$case;

    $nginx->get('/ref/abc', 'User-Agent' => $value, Referer => $value);
    $row = row();

    is($row->{user_agent}, $expected, "user_agent: $name");
    is($row->{http_referer}, $expected, "http_referer: $name");
}

# The row is there once the redirect is

my $there = 0;

for (1 .. 200) {
    my $hit = $nginx->get('/ref/abc')->header('Hit');
    $there += $pg->hits('id = ?', $hit);
}

is($there, 200, 'each row is there with its redirect');

my $found = 0;
my @answers = $nginx->visits(count => 300, connections => 30, path => '/ref/abc',
    answered => sub {
        my ($answer) = @_;
        $found += $pg->hits('id = ?', scalar $answer->header('Hit'));
    });

is($found, 300, '... with many at once');
is($pg->hits, 500, '... and none besides');
is($pg->value('select count(distinct id) from hype.referral_hit'), 500,
   'ids are distinct');
is($pg->value('select count(distinct visitor) from hype.referral_hit'), 500,
   'and so are visitors');

$pg->exec('delete from hype.referral_hit');

# created is the time of the request, not that of the write

my $lock = $pg->connect;
$lock->begin_work;
$lock->do('lock table hype.referral_hit');

my $socket = $nginx->open;
print $socket "GET /ref/abc HTTP/1.1\r\nHost: localhost\r\n\r\n";

wait_until { $pg->value("select count(*) from pg_stat_activity
    where datname = current_database() and wait_event_type = 'Lock'") }
    10, 'the write to wait';

my $waited = time;
$lock->rollback;

is(http_read($socket)->status, 302, 'a redirect that had to wait');
cmp_ok(row()->{seconds}, '<=', $waited, '... has the time of the request');

# In a partition

$nginx->get('/ref/abc');
like($pg->value('select tableoid::regclass from hype.referral_hit'),
     qr/^hype\.referral_hit_/, 'in a partition');
row();

# Any bigint will do for the id of a link

for my $id ('0', '-5', '9223372036854775807', '-9223372036854775808') {
    $pg->exec("insert into hype.referral_link (id, identifier)
               values ($id, 'id.$id')");

    $nginx->get("/ref/id.$id");

    # 0 is told from no link by its identifier, which takes its time

    is_soon { $pg->hits } 1, "referral_link_id: $id";
    is(row()->{referral_link_id}, $id, "... is $id");
}

done_testing();
