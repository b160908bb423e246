# The hit keeps the "next" that was asked for.

use lib 't/lib';
use Hype::Test;

my $pg = database();
$pg->link('abc');

my $nginx = nginx(pg => $pg, server => <<'END');
hype_fallback /home;
large_client_header_buffers 4 64k;

location /ref/ {
    hype_ref;
}

location /goto/ {
    hype_ref;
    hype_next_param goto;
}
END

my $replacement = "\xef\xbf\xbd";

sub stored
{
    my ($query, $expected, $name, $path) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my $r = $nginx->get(($path // '/ref/') . "abc$query");
    my ($row) = $pg->query('delete from hype.referral_hit returning next');

    is($r->status, 302, "$name: a redirect");
    is($row->[0], $expected, "$name: what is stored");
}

stored('', undef, 'none');
stored('?x=/y', undef, 'other arguments');
stored('?next=', undef, 'an empty one');
stored('?next', undef, 'no value');

stored('?next=/x', '/x', 'a path');
stored('?next=/x%3Fa%3Db%26c%23d', '/x?a=b&c#d', 'decoded');
stored('?next=/a%20b+c', '/a b+c', 'spaces');
stored('?next=/%2520', '/%20', 'decoded once');
stored('?next=/%zz%4', '/%zz%4', 'what is no escape');
stored('?next=/a&next=/b', '/b', 'the one that counts');
stored('?next=/x#y', '/x', 'no fragment of the request');
stored('?goto=/x&next=/y', '/x', 'by another name', '/goto/');

stored('?next=//evil.example/', '//evil.example/', 'an unsafe one');
stored('?next=https://evil.example/?x', 'https://evil.example/?x', 'a URL');
stored('?next=javascript:alert(1)', 'javascript:alert(1)', 'a script');
stored('?next=x', 'x', 'no path');
stored('?next=%0D%0ASet-Cookie:%20a=b', "\r\nSet-Cookie: a=b", 'line ends');
stored('?next=%09%01%1f%7f', "\t\x01\x1f\x7f", 'control characters');
stored("?next=';--%22%5C%24%7C", "';--\"\\\$|", 'what SQL knows');
stored('?next=%5CN', '\\N', 'what COPY knows');
stored('?next=%5C.', '\\.', 'or takes for its end');

stored('?next=/%C3%A4%E2%82%AC%F0%9F%98%80',
       "/\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80", 'UTF-8');
stored("?next=/\xc3\xa4", "/\xc3\xa4", 'UTF-8 as it is');
stored('?next=/%00x', "/${replacement}x", 'NUL');
stored('?next=%00', $replacement, 'nothing but NUL');
stored('?next=/%FF%FE', "/$replacement$replacement", 'bytes that are no UTF-8');
stored("?next=/\xff", "/$replacement", 'such bytes as they are');
stored('?next=/%C3', "/$replacement", 'half a character');
stored('?next=/%C0%AF', "/$replacement$replacement", 'an overlong one');
stored('?next=/%ED%A0%80', '/' . $replacement x 3, 'a surrogate');
stored('?next=/%F4%90%80%80', '/' . $replacement x 4, 'beyond Unicode');

# no more than 2 KB of it, and no half characters

for my $length (200, 201, 255, 256, 2000, 2047, 2048, 2049, 8000, 32000) {
    my $next = '/' . 'x' x ($length - 1);
    stored("?next=$next", substr($next, 0, 2048), "$length characters");
}

stored('?next=/' . '%C3%A4' x 4000, '/' . "\xc3\xa4" x 1023,
       '4,000 characters of two bytes');

done_testing();
