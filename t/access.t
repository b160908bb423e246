# What refuses a request is asked before: no hit without access.

use lib 't/lib';
use Hype::Test;
use MIME::Base64 qw(encode_base64);

my $pg = database();
$pg->link('abc');

my $dir = temp_dir('auth');
chmod 0755, $dir;
write_file("$dir/users", "alice:{PLAIN}secret\n");

my $nginx = nginx(pg => $pg, database => 'timeout=30s', http => <<'HTTP',
limit_req_zone $server_port zone=rate:1m rate=1r/m;
limit_req_zone $server_port zone=delay:1m rate=20r/s;
limit_conn_zone $server_port zone=connections:1m;
HTTP
    server => <<"SERVER");
location /ref/ {
    hype_ref;
}

location /rate/ {
    limit_req zone=rate;
    hype_ref;
}

location /delay/ {
    limit_req zone=delay burst=5;
    hype_ref;
}

location /connections/ {
    limit_conn connections 1;
    hype_ref;
}

location /deny/ {
    hype_ref;
    deny all;
}

location /allow/ {
    hype_ref;
    allow 127.0.0.1;
    deny all;
}

location /auth/ {
    hype_ref;
    auth_basic closed;
    auth_basic_user_file $dir/users;
}

location /any/ {
    hype_ref;
    satisfy any;
    deny all;
    auth_basic closed;
    auth_basic_user_file $dir/users;
}

location /any-allow/ {
    hype_ref;
    satisfy any;
    allow 127.0.0.1;
    deny all;
    auth_basic closed;
    auth_basic_user_file $dir/users;
}

location /request/ {
    hype_ref;
    auth_request /who;
}

location = /who {
    internal;
    proxy_pass http://127.0.0.1:%%PORT%%/code;
}

location = /code {
    if (\$http_ok) {
        return 204;
    }

    return 403;
}

location /return/ {
    hype_ref;
    if (\$uri) {
        return 410;
    }
}
SERVER

my @alice = (Authorization => 'Basic ' . encode_base64('alice:secret', ''));
my @mallory = (Authorization => 'Basic ' . encode_base64('alice:x', ''));

sub gets
{
    my ($status, $hits, $path, @headers) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my $r = $nginx->get($path, @headers);
    my $rows = () = $pg->query('delete from hype.referral_hit returning 1');

    is($r->status, $status, $path . (@headers ? " with $headers[0]" : ''));
    is($rows, $hits, $hits ? '... a hit' : '... no hit');
    is_deeply([$r->header('Set-Cookie')], [], '... no cookie') if !$hits;
}

gets(302, 1, '/rate/abc');
gets(503, 0, '/rate/abc');

gets(403, 0, '/deny/abc');
gets(302, 1, '/allow/abc');

gets(401, 0, '/auth/abc');
gets(401, 0, '/auth/abc', @mallory);
gets(302, 1, '/auth/abc', @alice);

gets(401, 0, '/any/abc');
gets(401, 0, '/any/abc', @mallory);
gets(302, 1, '/any/abc', @alice);
gets(302, 1, '/any-allow/abc');
gets(302, 1, '/any-allow/abc', @mallory);

gets(403, 0, '/request/abc');
gets(302, 1, '/request/abc', OK => 1);

gets(410, 0, '/return/abc');

# limit_req with a delay

my @answers = $nginx->visits(count => 4, connections => 4, path => '/delay/abc');

is(join(' ', map { $_->status } @answers), '302 302 302 302', 'limit_req: delayed');
is(scalar(() = $pg->query('delete from hype.referral_hit returning 1')), 4,
   '... one hit each');

# limit_conn, while a hit is being written

my $lock = $pg->connect;
$lock->begin_work;
$lock->do('lock table hype.referral_hit');

my $socket = $nginx->open;
print $socket "GET /connections/abc HTTP/1.1\r\nHost: localhost\r\n\r\n";

wait_until { $pg->value('select count(*) from pg_locks where not granted
    and database = (select oid from pg_database where datname = current_database())') }
    10, 'the hit to wait for the lock';

my $r = $nginx->get('/connections/abc');
$lock->rollback;

is($r->status, 503, 'limit_conn: one too many');
is(http_read($socket)->status, 302, '... while another waits');
is(scalar(() = $pg->query('delete from hype.referral_hit returning 1')), 1,
   '... one hit');

is_soon { $nginx->get('/connections/abc')->status } 302, '... until it is answered';

done_testing();
