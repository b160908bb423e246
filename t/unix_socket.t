# nginx that listens on a Unix socket, behind a proxy of the same machine: there
# is no address of the client, unless realip has one, and no port.

use lib 't/lib';
use Hype::Test;
use Hype::Nginx;
use Hype::Status ();

my $pg = database();
$pg->link('abc', user_id => 'alice', destination => '/welcome');

my $nginx = nginx(pg => $pg, http => <<'HTTP', server => 'return 204;');
server {
    listen unix:%%DIR%%/socket;

    location /ref/ {
        hype_ref;
    }

    location /masked/ {
        hype_ref;
        hype_ip masked;
    }

    location /page {
        hype_ref_param ref mode=inline;
        hype_user $arg_user;
        add_header Address $remote_addr;
        try_files /index.html =404;
    }

    location = /links {
        hype_user $arg_user;
        hype_links to=/ref/;
    }

    location = /status {
        allow unix:;
        deny all;
        hype_status html reports=1s;
    }
}

server {
    listen unix:%%DIR%%/socket;
    server_name balanced;
    set_real_ip_from unix:;
    real_ip_header X-Forwarded-For;

    location /ref/ {
        hype_ref;
    }
}
HTTP

my $r = get('/ref/abc');
my $visitor = $r->cookie('hype_visitor');
is($r->status, 302, 'a link');
is($r->location, 'http://localhost/welcome', '... its target has no port');
is_deeply([$pg->query('delete from hype.referral_hit returning visitor, ip')],
          [[$visitor, undef]], '... a hit without an address');

is(get('/masked/abc')->status, 302, 'masked');
is_deeply([$pg->query('delete from hype.referral_hit returning ip')], [[undef]],
          '... none, too');

$r = get('/page?ref=abc', '-b', "hype_visitor=$visitor");
is($r->header('Address'), 'unix:', 'the argument');
is_deeply([$pg->query('select visitor, ip from hype.referral_hit')],
          [[$visitor, undef]], '... a hit');

$r = get('/page?user=42', '-b', "hype_visitor=$visitor");
like($r->header('Set-Cookie'), qr/^hype_visitor=; /, 'a user');
is_soon { $pg->hits("user_id = '42'") } 1, '... is claimed';

is(get('/ref/abc', '-H', 'Host: balanced', '-H', 'X-Forwarded-For: 198.51.100.7')
   ->status, 302, 'realip');
is($pg->hits("host(ip) = '198.51.100.7'"), 1, '... its address');

# What needs to know where it is

my $links = get('/links?user=alice');
is($links->status, 200, 'the owner\'s links');
is(Hype::Status::json($links)->{links}[0]{url}, 'http://localhost/ref/abc/',
   '... without a port');

$r = curl('--unix-socket', $nginx->dir . '/socket', '-0', '-H', 'Host:',
          'http://localhost/links?user=alice');
is($r->status, 200, '... in HTTP/1.0 without a host');
like($r->body, qr{"url": ?"[^"]*/ref/abc/"}, '... there is a URL all the same');

is(get('/status')->status, 200, 'the status page');
$pg->exec('grant hype_report to hype_nginx');
is_soon { get('/status?report')->status } 200, '... and its reports';

# A reload keeps the socket

$nginx->reload;
is(get('/ref/abc')->status, 302, 'after a reload');
is($pg->hits, 3, '... a hit');

done_testing();


sub get
{
    my ($path, @options) = @_;

    return curl('--unix-socket', $nginx->dir . '/socket', @options,
                "http://localhost$path");
}
