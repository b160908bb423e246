# WebSocket (RFC 6455) through a location with hype_user: the handshake claims the
# visitor, once, and bytes pass both ways for as long as either side likes.

use lib 't/lib';
use Hype::Test;
use Hype::Status;
use Hype::WebSocket;
use IO::Select ();

my $key = 'dGhlIHNhbXBsZSBub25jZQ==';
my $accept = 's3pPLMBiTxaQ9kYGzzhZRbK+xOo=';

my $pg = database();
$pg->link('abc', destination => '/welcome');

my $application = free_port();
serve($application);

my $nginx = nginx(pg => $pg, http => <<'HTTP', server => <<"SERVER");
absolute_redirect off;

map $http_upgrade $connection_upgrade {
    default  upgrade;
    ""       close;
}
HTTP
location /ref/ { hype_ref; }
location = /status { hype_status json; }

location / {
    hype_ref_param ref mode=direct;
    hype_user \$upstream_http_x_hype_user;
    hype_confirm connected;

    proxy_pass http://127.0.0.1:$application;
    proxy_http_version 1.1;
    proxy_set_header Upgrade \$http_upgrade;
    proxy_set_header Connection \$connection_upgrade;
    proxy_hide_header X-Hype-User;
}
SERVER

claims();
leaves_others_alone();
is_no_visit();
outlives_a_reload();

done_testing();


sub claims
{
    my $visitor = visitor();
    my ($socket, $r) = handshake(
        '/ws', Cookie => "session=42; hype_visitor=$visitor");

    is($r->status, 101, 'a user: switching protocols');
    is($r->header('Sec-WebSocket-Accept'), $accept, '... for that key');
    is($r->header('Upgrade'), 'websocket', '... to WebSocket');
    is($r->header('X-Hype-User'), undef, '... the user is between us');
    like($r->header('Set-Cookie'), qr/^hype_visitor=; Max-Age=0; /,
         '... the cookie is cleared');

    # while it is open

    is_soon { $pg->hits("user_id = '42'") } 1, '... the hit is claimed';
    is(receive($socket), 'GET /ws HTTP/1.1', 'bytes come');

    for my $text ('hello', 'x' x 125, 'y' x 126, 'z' x 100_000) {
        transmit($socket, $text);
        is(receive($socket), uc $text, '... and go: ' . length $text);
    }

    ok(!IO::Select->new($socket)->can_read(0), 'no byte too many');

    print $socket frame(8, pack('n', 1000), 1);
    is(receive($socket), pack('n', 1000), 'it is closed by a handshake');
    is(sysread($socket, my $rest, 1), 0, '... and then the connection');

    is($pg->value('select count(*) from hype.visitor_claim'), 1, 'one claim');
    is(status($nginx, '/status')->{claims}, 1, '... was made');
    is($pg->value('select count(*) from hype.confirmed_referral'), 0,
       'an answer of 101 confirms nothing');
}


sub leaves_others_alone
{
    my $visitor = visitor();
    my ($socket, $r) = handshake('/ws', Cookie => "hype_visitor=$visitor");

    is($r->status, 101, 'nobody is known');
    is_deeply([$r->header('Set-Cookie')], [], '... the cookie stays');
    is_deeply([$r->header('Cache-Control')], [], '... nothing is added');
    is(receive($socket), 'GET /ws HTTP/1.1', '... bytes come');
    transmit($socket, 'a');
    is(receive($socket), 'A', '... and go');

    # the application refuses

    ($socket, $r) = handshake('/refuse',
                              Cookie => "session=43; hype_visitor=$visitor");
    is($r->status, 403, 'a handshake that is refused');
    is_soon { $pg->hits("visitor = '$visitor' and user_id = '43'") } 1,
            '... is an answer as any other';
}


# A page that opens a WebSocket with its own query

sub is_no_visit
{
    $pg->exec('truncate hype.referral_hit');

    for my $case (
        ['of a browser', 'Sec-Fetch-Mode' => 'websocket',
         'Sec-Fetch-Dest' => 'empty'],
        ['of an old browser'],
    ) {
        my ($name, @headers) = @$case;
        my ($socket, $r) = handshake('/ws?ref=abc&x=1', @headers);

        is($r->status, 101, "?ref= $name");
        is_deeply([$r->header('Set-Cookie')], [], '... no cookie');
        is(receive($socket), 'GET /ws?ref=abc&x=1 HTTP/1.1',
           '... the application gets it as it came');
    }

    is($nginx->get('/ref/abc', Upgrade => 'websocket', Connection => 'Upgrade',
                   'Sec-WebSocket-Key' => $key)->status, 302, 'a referral link');
    is($pg->hits, 0, '... no hit');

    my $r = $nginx->get('/x?ref=abc', Upgrade => 'h2c', Connection => 'Upgrade');
    is($r->location, '/x', 'an upgrade to something else is a visit');
    is($pg->hits, 1, '... a hit');
}


sub outlives_a_reload
{
    my $visitor = visitor();
    my ($socket) = handshake('/ws');
    receive($socket);

    $nginx->reload;

    is(scalar(my @leaving = $nginx->leaving), 1, 'reload: the old worker stays');
    transmit($socket, 'still here');
    is(receive($socket), 'STILL HERE', '... for the connection');

    handshake('/ws', Cookie => "session=44; hype_visitor=$visitor");
    is_soon { $pg->hits("user_id = '44'") } 1, '... the new one claims';

    close $socket;
    is_soon { scalar(my @left = $nginx->leaving) } 0,
            '... the old one leaves when the connection is closed';
}


# A new visitor, who has one hit

sub visitor
{
    return $nginx->get('/ref/abc')->cookie('hype_visitor');
}


# The client

sub handshake
{
    my ($path, @headers) = @_;

    my $socket = $nginx->open;
    my $text = "GET $path HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n"
        . "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
        . "Sec-WebSocket-Key: $key\r\n";

    while (my ($name, $value) = splice @headers, 0, 2) {
        $text .= "$name: $value\r\n";
    }

    print $socket "$text\r\n";
    my $r = http_read($socket);
    return ($socket, $r);
}
