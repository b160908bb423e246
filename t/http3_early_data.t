# A visit in early data of QUIC, which anybody may replay, is asked for again.

use lib 't/lib';
use Hype::Test;
use Hype::HTTP3;
use Hype::Nginx;

plan(skip_all => $_) for Hype::HTTP3::missing();

my ($major, $minor, $patch) = Hype::Nginx->version;
plan(skip_all => 'QUIC has early data as of nginx 1.29.1')
    if $major == 1 && ($minor < 29 || ($minor == 29 && $patch < 1));

my $pg = database();
$pg->link('abc', user_id => 'alice', destination => '/welcome');

my $port = free_port();
my $listen = Hype::HTTP3::listen_http3($port);
my $nginx = nginx(pg => $pg, http => <<"HTTP");
log_format early '\$ssl_early_data|\$http3|\$status|\$hype_outcome';

server {
    $listen
    ssl_early_data    on;

    # how long a handshake may take, which of a replay has no end
    client_header_timeout 1s;
    keepalive_timeout     10s;
    absolute_redirect off;
    access_log        logs/early.log early;

    location /ref/ { hype_ref; }
    location /inline { hype_ref_param ref mode=inline; try_files /index.html =404; }
    location / { hype_ref_param ref mode=direct; try_files /index.html =404; }
}
HTTP

my $log = $nginx->dir . '/logs/early.log';
my $client = Hype::HTTP3->new($port);
ok($client->do('has_ticket'), 'a ticket for other connections');
is($client->get('/ref/abc')->status, 302, 'no early data');

for my $path ('/ref/abc', '/x?ref=abc', '/inline?ref=abc') {
    $pg->exec('truncate hype.referral_hit');

    my ($r, $hits) = early($path);

    is($r->status, 425, "$path, as early data: 425");
    is_deeply([$r->header('Set-Cookie')], [], '... no cookie');
    is_deeply([$r->header('Cache-Control')], ['no-store'], '... not to be stored');
    is($pg->hits, $hits, '... no hit');

    # as a browser does after 425

    $r = $client->get($path);
    like($r->status, qr/^(?:200|302)$/, '... asked for again');
    is($pg->hits, ++$hits, '... a hit');

    # The same bytes from somebody who has seen them, once nginx has forgotten
    # the connection that they were of

    $client->do('close');

    my $before = lines();
    wait_until { $client->do('replay'); lines() > $before } 30,
        'a replay to be taken for a request';
    my @replayed = (lines())[$before .. lines() - 1];
    is(grep({ /^1\|h3\|425\|skipped$/ } @replayed), @replayed, '... replayed: 425');
    is($pg->hits, $hits, '... no hit');
}

# What makes no hit may be early

ok($client->connect(['GET', '/page']), 'a page: early data');
is(($client->answers)[0]->status, 200, '... is answered');

done_testing();


# The answer to early data, and how many were not early.  Where nginx comes to a
# request only when the handshake is over, nobody can replay it any more, and it
# is a hit: then it is tried again.

sub early
{
    my ($path) = @_;

    for my $late (0 .. 19) {
        my $before = lines();

        $client->connect(['GET', $path]) or last;
        my ($r) = $client->answers;
        wait_until { lines() > $before } 10, 'a line in the log';

        return ($r, $late) if (lines())[-1] !~ /^-\|h3\|(?:302|200)\|hit$/;
    }

    plan(skip_all => 'no early data of QUIC');
}


sub lines
{
    return split /\n/, read_file($log);
}
