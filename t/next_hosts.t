# Other hosts that "next" may lead to: hype_next_hosts.

use lib 't/lib';
use Hype::Test;

my $pg = database();
$pg->link('abc');

my $nginx = nginx(pg => $pg, http => <<'HTTP', server => <<'SERVER');
absolute_redirect off;
hype_fallback /home;
hype_next_hosts good.example .wild.example Ported.Example:8443
                shop.example:80 [::1] 192.0.2.1;

map $http_x_tenant $tenant {
    a        tenant-a.example;
    b        .tenant-b.example;
    c        Tenant-C.Example;
    default  "";
}
HTTP

location /ref/ {
    hype_ref;
}

location /none/ {
    hype_ref;
    hype_next_hosts "";
}

location /own/ {
    hype_ref;
    hype_next_hosts $host;
}

location /other/ {
    hype_ref;
    hype_next_hosts other.example;
}

location /tenant/ {
    hype_ref;
    hype_next_hosts $tenant www.$tenant;
}
SERVER

sub escape
{
    return $_[0] =~ s/([^A-Za-z0-9])/sprintf '%%%02X', ord $1/ger;
}

sub goes
{
    my ($next, $to, $where, @headers) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my $r = $nginx->get(($where // '/ref/') . 'abc?next=' . escape($next),
                        @headers);
    my $name = $next =~ s/([^ -~])/sprintf '\\x%02x', ord $1/ger;

    is($r->location, as_uri($to), ($to eq $next ? 'safe: ' : 'unsafe: ') . $name);
}

goes($_, $_) for (
    'http://good.example', 'http://good.example/', 'https://good.example/x?y#z',
    'HTTP://good.example/', 'https://GOOD.Example/', 'http://good.example:80/',
    'https://good.example:443', 'https://good.example:8443/',
    'https://good.example?x', 'https://good.example#x',
    'https://good.example/?u=http://evil.example', 'http://good.example//x',
    'http://good.example/@evil.example', 'http://good.example/\\evil.example',
    'http://good.example/a b', "http://good.example/\xc3\xa4",

    'http://wild.example/', 'http://a.wild.example', 'http://a.b.wild.example/',
    'http://A.Wild.EXAMPLE/', 'http://a-b.wild.example:8080/',

    'http://ported.example:8443/', 'https://ported.example:8443/',
    'http://shop.example/', 'http://shop.example:80/x',
    'https://shop.example:80/',

    'http://[::1]/', 'https://[::1]:8443/', 'http://192.0.2.1/',

    '/x',
);

goes($_, '/home') for (
    'http://evil.example/', 'https://evil.example', 'http://localhost/',
    'http://good.example.evil.example/', 'http://evilgood.example/',
    'http://evil.good.example/', 'http://good.exampl/', 'http://good.examplee/',
    'http://good/', 'http://example/', 'http://.example/', 'http://.good.example',
    'http://good.example./', 'http://good..example/', 'http://wild.example./',

    'http://evil.example/good.example', 'http://evil.example?good.example',
    'http://evil.example#good.example', 'http://evil.example\\good.example',
    'http://evil.example\\@good.example/', 'http://evil.example;good.example',
    'http://evil.example%2f.wild.example/', 'http://evil.example%23.wild.example',
    'http://evil.example/.wild.example', 'http://evil.example:80.wild.example/',
    "http://evil.example\0.wild.example/", "http://evil.example\t.wild.example",
    'http://evil.example .wild.example', "http://evil.example\xe3\x80\x82wild.example",
    "http://evil.example\xef\xbc\x8f.wild.example/",

    'http://good.example@evil.example/', 'http://good.example:80@evil.example/',
    'http://user@good.example/', 'http://user:pass@good.example/',
    'http://@good.example/', 'http://:@good.example/', 'http://:80@good.example/',
    'http://evil.example@good.example/', 'http://evil.example%40good.example/',
    'http://good.example%40evil.example/',

    'http://evilwild.example/', 'http://wild.example.evil.example/',
    'http://..wild.example/', 'http://.wild.example/', 'http://*.wild.example/',
    'http://-/', 'http://a_b/',

    'http://ported.example/', 'https://ported.example/',
    'https://ported.example:443/', 'http://ported.example:84430/',
    'http://ported.example:844/', 'http://ported.example:8443x/',
    'http://ported.example:8443@evil.example/', 'http://a.ported.example:8443/',
    'https://shop.example/', 'http://shop.example:8080/',

    'http://good.example:/', 'http://good.example:x/', 'http://good.example:65536',
    'http://good.example:-1/', 'http://good.example:80:80/',
    'http://good.example: 80/', 'http://good.example:8 0/',

    'http:good.example/', 'http:/good.example/', 'http:///good.example/',
    'http:////good.example/', 'http:\\\\good.example/', 'http:/\\good.example/',
    'http://\\good.example/', 'http:///', 'http://', 'https://', 'http://?x',
    'https:good.example', '//good.example/', '/\\good.example/', '\\\\good.example',
    'good.example', 'good.example/', 'ftp://good.example/', 'ws://good.example/',
    'javascript://good.example/%0aalert(1)', 'file://good.example/',
    ' http://good.example/', "\thttp://good.example/", "ht\ntp://good.example/",
    "http:/\t/good.example/", "http://good.example\n/", "http://go\tod.example/",
    "http://good.example/\r\nSet-Cookie: a=b", "http://good.example/\x7f",
    'http://good.example%00/', 'http://good%2eexample/',

    'http://[::2]/', 'http://[::1/', 'http://::1/', 'http://[::1].evil.example/',
    'http://[::1]evil.example/', 'http://[0:0:0:0:0:0:0:1].wild.example/',
    'http://192.0.2.10/', 'http://192.0.2.1.evil.example/', 'http://3221225985/',
    'http://0xc0.0.2.1/', 'http://1192.0.2.1/',
);

# Merging

goes('http://good.example/', '/home', '/none/');
goes('/x', '/x', '/none/');
goes('http://other.example/', 'http://other.example/', '/other/');
goes('http://good.example/', '/home', '/other/');

# Variables

goes('http://localhost/x', 'http://localhost/x', '/own/');
goes('http://shop.test/x', 'http://shop.test/x', '/own/', Host => 'shop.test');
goes('http://shop.test/x', 'http://shop.test/x', '/own/', Host => 'SHOP.test:80');
goes('http://localhost/x', '/home', '/own/', Host => 'shop.test');
goes('http://good.example/', '/home', '/own/');

my @a = ('/tenant/', 'X-Tenant' => 'a');
my @b = ('/tenant/', 'X-Tenant' => 'b');
my @c = ('/tenant/', 'X-Tenant' => 'c');

goes('http://tenant-a.example/', 'http://tenant-a.example/', @a);
goes('http://www.tenant-a.example/', 'http://www.tenant-a.example/', @a);
goes('http://x.tenant-a.example/', '/home', @a);
goes('http://tenant-b.example/', '/home', @a);
goes('http://x.tenant-b.example/', 'http://x.tenant-b.example/', @b);
goes('http://tenant-c.example/', 'http://tenant-c.example/', @c);
goes('http://tenant-a.example/', '/home', '/tenant/');
goes('http://www./', '/home', '/tenant/');
goes('http:///', '/home', '/tenant/');
goes('/x', '/x', '/tenant/');

done_testing();
