# gRPC through a location with hype_user: streams in both directions, trailers
# and failures are as they were, and a visitor is claimed.

use lib 't/lib';
use Hype::Test;
use Hype::Nginx;
use Hype::Util qw(at_end spawn stop_process);
use JSON::PP qw(decode_json encode_json);

my $pg = database();
$pg->link('abc', user_id => 'alice');

my ($port, $application) = (free_port(), free_port());
my $listen = Hype::Nginx->listen_http2($port);
my $script = source_dir() . '/t/lib/grpc.js';
my $log = temp_dir('grpc') . '/log';

my $service = spawn(command => ['node', $script, 'serve', $application],
                    output => $log);
at_end(sub { defined stop_process($service, 'TERM') });
wait_until { IO::Socket::INET->new("127.0.0.1:$application") } 20,
    'the service to listen';

my $nginx = nginx(pg => $pg, http => <<"HTTP");
server {
    $listen
    server_name localhost;

    location /ref/ {
        hype_ref;
    }

    location / {
        hype_ref_param ref;
        hype_user \$upstream_http_x_hype_user;
        grpc_pass grpc://127.0.0.1:$application;
        grpc_hide_header X-Hype-User;
    }

    location /shop.Shop/ {
        hype_user \$upstream_http_x_hype_user;
        hype_confirm order;
        grpc_pass grpc://127.0.0.1:$application;
    }

    location /shop.Shop/Fails {
        hype_user \$upstream_http_x_hype_user;
        hype_confirm failed;
        hype_confirm refused if=\$refused;
        grpc_pass grpc://127.0.0.1:$application;
    }
}

map \$upstream_http_grpc_status \$refused {
    ""       "";
    0        "";
    default  1;
}
HTTP

# Nobody is known

my $visitor = visitor();
my $got = call('/echo.Echo/Talk', { cookie => "hype_visitor=$visitor" }, 'hello');

is($got->{headers}{':status'}, 200, 'a call') or diag(encode_json($got));
is_deeply($got->{messages}, ['HELLO'], '... its message');
is($got->{trailers}{'grpc-status'}, 0, '... its status');
is($got->{headers}{'set-cookie'}, undef, '... the cookie stays');

# A user

$got = call('/echo.Echo/Talk', { cookie => "hype_visitor=$visitor", session => 42 },
            'one', 'two', 'x' x 100_000, 'three');

is_deeply($got->{messages}, ['ONE', 'TWO', 'X' x 100_000, 'THREE'],
          'a stream: one message after the other, both ways');
is($got->{trailers}{'grpc-status'}, 0, '... its status');
is($got->{headers}{'x-hype-user'}, undef, '... the user is between us');
like($got->{headers}{'set-cookie'}[0], qr/^hype_visitor=; Max-Age=0; /,
     '... the cookie is cleared');
is_soon { $pg->hits("user_id = '42'") } 1, '... the hit is claimed';
is($pg->value('select count(*) from hype.visitor_claim'), 1, '... once');

# A POST is no visit

$got = call('/echo.Echo/Talk?ref=abc', {}, 'hello');
is($got->{trailers}{'x-path'}, '/echo.Echo/Talk?ref=abc',
   'the service gets the arguments as they came');
is($pg->hits, 1, '... no hit');

# A call that fails has an HTTP status of 200, too

$visitor = visitor();
$got = call('/shop.Shop/Fails', { cookie => "hype_visitor=$visitor", session => 43 });
is($got->{headers}{':status'}, 200, 'a call that fails');
is($got->{headers}{'grpc-status'}, 7, '... its status');
is($got->{headers}{'grpc-message'}, 'no', '... its message');
is_soon { $pg->hits("user_id = '43'") } 1, '... claims all the same';

call('/shop.Shop/Order', { session => 43 }, 'shoes');
is_soon { events() } 'failed,order,refused', 'confirms are by the HTTP status';

# The service is away

stop_process($service, 'TERM');
$got = call('/echo.Echo/Talk', { cookie => 'hype_visitor=' . visitor(),
                                 session => 44 }, 'hello');
is($got->{headers}{':status'}, 502, 'no service');
is($got->{headers}{'set-cookie'}, undef, '... nobody is known');

done_testing();


sub events
{
    return $pg->value(q(select string_agg(event, ',' order by event)
                        from hype.confirmed_referral where user_id = '43'));
}


# One who has a hit

sub visitor
{
    return curl('--http2-prior-knowledge', "http://127.0.0.1:$port/ref/abc")
           ->cookie('hype_visitor');
}


sub call
{
    my ($path, $headers, @messages) = @_;

    my ($status, $output) = run(command => ['node', $script, 'call', $port, $path,
                                            encode_json($headers), @messages]);

    return $status ? { error => $output } : decode_json($output);
}
