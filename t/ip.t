# The client's address: hype_ip, after realip.

use lib 't/lib';
use Hype::Test;

my $pg = database();
$pg->link('abc');

my $nginx = nginx(pg => $pg, http => <<'HTTP', server => <<'SERVER');
set_real_ip_from 127.0.0.1;
real_ip_header X-Forwarded-For;

server {
    listen unix:%%DIR%%/socket;

    location /ref/ {
        hype_ref;
    }
}

server {
    listen 127.0.0.1:%%PORT%%;
    server_name recursive;
    real_ip_recursive on;

    location /ref/ {
        hype_ref;
    }
}

server {
    listen 127.0.0.1:%%PORT%%;
    server_name untrusted;
    set_real_ip_from 192.0.2.1;

    location /ref/ {
        hype_ref;
    }
}
HTTP

location /ref/ {
    hype_ref;
}

location /full/ {
    hype_ref;
    hype_ip full;
}

location /masked/ {
    hype_ref;
    hype_ip masked;
}

location /off/ {
    hype_ref;
    hype_ip off;
}

location /unix/ {
    proxy_pass http://unix:%%DIR%%/socket:/ref/;
}
SERVER

for my $case (
    ['/ref/abc', '' => '127.0.0.1'],
    ['/full/abc', '' => '127.0.0.1'],
    ['/masked/abc', '' => '127.0.0.0'],
    ['/off/abc', '' => ''],

    ['/ref/abc', '198.51.100.77' => '198.51.100.77'],
    ['/masked/abc', '198.51.100.77' => '198.51.100.0'],
    ['/masked/abc', '255.255.255.254' => '255.255.255.0'],
    ['/off/abc', '198.51.100.77' => ''],

    ['/ref/abc', '2001:db8:1:2:3:4:5:6' => '2001:db8:1:2:3:4:5:6'],
    ['/ref/abc', '2001:db8::1' => '2001:db8::1'],
    ['/masked/abc', '2001:db8:1:2:3:4:5:6' => '2001:db8:1::'],
    ['/masked/abc', 'ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff'
        => 'ffff:ffff:ffff::'],
    ['/masked/abc', '::1' => '::'],
    ['/off/abc', '2001:db8::1' => ''],

    ['/ref/abc', '::ffff:198.51.100.77' => '198.51.100.77'],
    ['/masked/abc', '::ffff:198.51.100.77' => '198.51.100.0'],

    ['/ref/abc', '198.51.100.1, 198.51.100.2' => '198.51.100.2'],
    ['/ref/abc', '198.51.100.1, 127.0.0.1' => '127.0.0.1'],
    ['/ref/abc', '198.51.100.1, 127.0.0.1' => '198.51.100.1', 'recursive'],
    ['/ref/abc', '2001:db8::1, 127.0.0.1' => '2001:db8::1', 'recursive'],
    ['/ref/abc', '198.51.100.1' => '127.0.0.1', 'untrusted'],
    ['/ref/abc', 'nonsense' => '127.0.0.1'],

    ['/unix/abc', '' => ''],
) {
    my ($path, $forwarded, $ip, $host) = @$case;

    my $r = $nginx->get($path, Host => $host // 'localhost',
        $forwarded ne '' ? ('X-Forwarded-For' => $forwarded) : ());
    my $rows = $pg->text('delete from hype.referral_hit returning host(ip)');

    is($r->status, 302, "$path from \"$forwarded\"");
    is($rows, "$ip\n", 'its address');
}

done_testing();
