# 103 Early Hints (RFC 8297) of an application: they pass, and have nothing of
# ours; what the answer itself says of the user counts.

use lib 't/lib';
use Hype::Test;
use Hype::HTTP3;
use Hype::Nginx;
use Hype::Util qw(at_end stop_process);
use IO::Socket::INET ();
use POSIX ();

my ($major, $minor) = Hype::Nginx->version;
plan(skip_all => 'nginx has early_hints as of 1.29')
    if $major == 1 && $minor < 29;

my $http3 = Hype::Nginx::built_with('http_v3_module')
            && (run(command => ['curl', '-V']))[1] =~ /\bHTTP3\b/;

my $pg = database();
$pg->link('abc');

my ($application, $http2_port, $http3_port) = map { free_port() } 1 .. 3;
my $listen_http2 = Hype::Nginx->listen_http2($http2_port);
my $listen_http3 = $http3 ? Hype::HTTP3::listen_http3($http3_port) : '';
serve();

my $nginx = nginx(pg => $pg, http => <<"HTTP");
server {
    listen 127.0.0.1:%%PORT%%;
    $listen_http2
    $listen_http3
    server_name localhost;

    location /ref/ {
        hype_ref;
    }

    location / {
        hype_ref_param ref mode=inline;
        hype_user \$upstream_http_x_hype_user;
        hype_confirm seen if=\$upstream_http_x_seen;

        early_hints 1;
        proxy_pass http://127.0.0.1:$application;
        proxy_hide_header X-Hype-User;
    }

    location /off {
        hype_user \$upstream_http_x_hype_user;
        proxy_pass http://127.0.0.1:$application;
    }
}
HTTP

my %way = (
    'HTTP/1.1' => sub { over_http1(@_) },
    'HTTP/2' => sub {
        over_curl("http://127.0.0.1:$http2_port", '--http2-prior-knowledge', @_);
    },
    $http3 ? ('HTTP/3' => sub {
        over_curl("https://127.0.0.1:$http3_port", '--http3-only', @_);
    }) : (),
);

for my $way (sort keys %way) {
    my $visitor = $nginx->get('/ref/abc')->cookie('hype_visitor');
    my $user = lc $way =~ s/\W//gr;
    my ($hints, $r) = $way{$way}->("/page?user=$user",
                                   Cookie => "hype_visitor=$visitor");

    is($hints->status, 103, "$way: hints");
    is($hints->header('Link'), '</style.css>; rel=preload', '... of the application');
    is_deeply([$hints->header('Set-Cookie')], [], '... no cookie in them');

    is($r->status, 200, 'the page');
    is($r->body, "page\n", '... its body');
    like($r->header('Set-Cookie'), qr/^hype_visitor=; /, '... clears the cookie');
    is($r->header('X-Hype-User'), undef, '... the user is between us');
    is_soon { $pg->hits("user_id = '$user'") } 1,
            '... whom the answer names is whose visits they were';

    # an argument: the hit is there before the application is asked

    ($hints, $r) = $way{$way}->('/page?ref=abc');
    is_deeply([$hints->header('Set-Cookie')], [], 'an argument: no cookie in hints');
    my $cookie = $r->cookie('hype_visitor');
    is($pg->hits('visitor = ?', $cookie), 1, '... one in the answer, of the hit');
}

is($pg->value("select string_agg(user_id, ',' order by user_id)
               from hype.confirmed_referral where user_id is not null"),
   join(',', sort map { lc =~ s/\W//gr } keys %way), 'one confirm for each');
is($pg->value('select count(*) from hype.visitor_claim'), keys %way,
   'one claim for each');

# Without early_hints there are none

my $visitor = $nginx->get('/ref/abc')->cookie('hype_visitor');
my $r = $nginx->get('/off?user=off', Cookie => "hype_visitor=$visitor");
is($r->status, 200, 'they are off: none come');
is_soon { $pg->hits("user_id = 'off'") } 1, '... the visitor is claimed';

done_testing();


sub over_http1
{
    my ($path, @headers) = @_;

    my $socket = $nginx->open;
    my $text = "GET $path HTTP/1.1\r\nHost: localhost\r\n";
    while (my ($name, $value) = splice @headers, 0, 2) {
        $text .= "$name: $value\r\n";
    }

    print $socket "$text\r\n";
    return (http_read($socket), http_read($socket));
}


sub over_curl
{
    my ($url, $version, $path, @headers) = @_;

    my @options;
    while (my ($name, $value) = splice @headers, 0, 2) {
        push @options, '-H', "$name: $value";
    }

    my $file = temp_dir() . '/headers';
    my ($status, $body) = run(command => ['curl', '-sS', '-D', $file,
        $version, '-k', @options, "$url$path"]);
    my ($hints, $head) = map { Hype::Response->new($_, $body) }
                         split /(?<=\r\n\r\n)/, read_file($file);

    return ($hints, $head);
}


# The application: its hints name somebody else, as a cache before it might

sub serve
{
    my $listener = IO::Socket::INET->new(
        LocalAddr => '127.0.0.1', LocalPort => $application, Listen => 16,
        ReuseAddr => 1) or die "listen: $!";

    my $pid = fork // die "fork: $!";

    if ($pid) {
        at_end(sub { defined stop_process($pid, 'KILL') });
        return;
    }

    $SIG{$_} = 'DEFAULT' for qw(TERM INT HUP);

    while (my $socket = $listener->accept) {
        my $request = '';

        while ($request !~ /\r\n\r\n/) {
            sysread $socket, $request, 65536, length $request or last;
        }

        my ($user) = $request =~ /[?&]user=(\w+)/;
        my $known = $user ? "X-Hype-User: $user\r\nX-Seen: 1\r\n" : '';

        $socket->autoflush(1);
        print $socket "HTTP/1.1 103 Early Hints\r\n"
            . "Link: </style.css>; rel=preload\r\n"
            . "X-Hype-User: another\r\nX-Seen: 1\r\n\r\n";
        print $socket "HTTP/1.1 200 OK\r\n${known}Content-Length: 5\r\n"
            . "Connection: close\r\n\r\npage\n";
        close $socket;
    }

    POSIX::_exit(0);
}
