# The library that the other tests are written with.

use lib 't/lib';
use Hype::Test;

my $pg = cluster(schema => 0);

is($pg->value('select 1 + 1'), 2, 'a private PostgreSQL answers');
is($pg->text("select true, null, array[1, 2], 'x'"), "t||{1,2}|x\n",
   'values come as psql shows them');

for my $how (qw(fast immediate kill)) {
    $pg->restart($how);
    is($pg->value('select 1'), 1, "it restarts after \"$how\"");
}

$pg->exec('create table numbers (n int)');

my $run_psql = sub {
    my ($conninfo, $sql, $seconds) = @_;
    my ($status, $output) = run(command => [
        'timeout', $seconds // 10, Hype::Postgres::program('psql'), '-XAtc',
        $sql, $conninfo]);
    return $output;
};

my $proxy = proxy($pg);
my $through = sub { $run_psql->($proxy->conninfo(user => 'postgres'), @_) };

is($through->('select 1'), "1\n", 'a proxy passes what it gets');

$proxy->freeze;
is($through->('select 1', 0.2), '', 'or nothing');
$proxy->thaw;

$proxy->refuse;
like($through->('select 1'), qr/closed/, 'or ends new connections');
$proxy->admit;

$proxy->cut_at(server => 500);
like($through->("select repeat('x', 1000)"), qr/closed/, 'or old ones');
$proxy->thaw;

$proxy->lose_reply('insert into');
like($through->('insert into numbers values (1)'), qr/closed/, 'a lost reply');
is($pg->value('select count(*) from numbers'), 1, 'to what was done');
is_soon { $proxy->connections } 0, 'no connection is left';

$pg->exec('create role hype_nginx login');

my $pool = pgbouncer($pg);
is($run_psql->($pool->conninfo, 'select 1'), "1\n", 'PgBouncer passes queries');

my $tls = cluster(schema => 0, tls => 1);
$tls->exec("create role hype_nginx login password '$tls->{password}'");
is($run_psql->($tls->conninfo(tcp => 1, sslmode => 'verify-full',
                              sslrootcert => $tls->ca_file),
               'select ssl from pg_stat_ssl where pid = pg_backend_pid()'),
   "t\n", 'a connection over TLS');
$tls->stop;

my $nginx = nginx(workers => 2, module => 0, server => <<'END');
location /to {
    absolute_redirect off;
    return 302 /there;
}

location /cookies {
    add_header Set-Cookie "a=b; Path=/";
    add_header Set-Cookie c=d;
    return 200 hello;
}

location / {
}
END

my $r = $nginx->get('/to');

is($r->status, 302, 'status');
is($r->location, '/there', 'a header');

$r = $nginx->get('/cookies');

is($r->body, 'hello', 'body');
is_deeply([$r->header('Set-Cookie')], ['a=b; Path=/', 'c=d'],
          'a repeated header');
is($r->cookie('a'), 'b', 'a cookie');
is($r->cookie_attributes('a'), 'Path=/', 'and its attributes');

is($nginx->curl('/to')->location, '/there', 'curl');
is($nginx->raw("GET / HTTP/1.0\r\n\r\n")->body, "it works\n", 'verbatim bytes');
is($nginx->request('HEAD', '/')->status, 200, 'HEAD');

my @answers = $nginx->visits(count => 1000, connections => 64,
                             path => sub { "/to?$_[0]" });

is(@answers, 1000, 'many visits');
is(grep({ $_->location eq '/there' } @answers), 1000, 'with all their answers');

my $load = $nginx->visits_start(seconds => 0.5, connections => 8, path => '/to');
$nginx->reload(server => 'location /to { return 303 /there; }');
@answers = $load->wait;

is(grep({ $_->status != 302 && $_->status != 303 } @answers), 0,
   'a reload under load loses no request');
is($nginx->get('/to')->status, 303, 'the new configuration is in effect');

my $at = $nginx->mark;
$nginx->kill_worker;
like($nginx->error_log($at), qr/exited on signal 9/, 'a killed worker');
is($nginx->workers, 2, 'is replaced');

my ($status, $output) = $nginx->test_config(http => 'nonsense;');
isnt($status, 0, 'nginx -t fails');
like($output, qr/unknown directive "nonsense"/, 'and says why');

is_soon { $nginx->access_log =~ /HEAD/ ? 1 : 0 } 1, 'the access log';

eval { wait_until { 0 } 0.1, 'never' };
like($@, qr/timed out after 0.1s: never/, 'waiting ends with a message');

done_testing();
