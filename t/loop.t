# One visit is one hit, and comes to an end: targets that bear an identifier, or
# lead back to a referral link.

use lib 't/lib';
use Hype::Test;

my $pg = database();

my $nginx = nginx(pg => $pg, http => <<'HTTP', server => <<'SERVER');
absolute_redirect off;
server_names_hash_bucket_size 128;

server {
    listen 127.0.0.1:%%PORT%%;
    server_name example.com *.example.com;
    hype_ref_param ref;
    location /ref/ { hype_ref; hype_next_hosts .example.com localhost; }
    location / { return 200 page; }
}

server {
    listen 127.0.0.1:%%PORT%%;
    server_name go.example;
    location / { hype_ref; }
}
HTTP

hype_ref_param ref;
hype_next_hosts localhost .example.com;

location /ref/ { hype_ref; }
location /fallback/ { hype_ref; hype_fallback /ref/house; }
location /args/ { hype_ref; hype_forward_args on; hype_ref_param off; }
location ~ "^/(?<code>[a-z0-9]{8})$" { hype_ref $code; }
location ~* ^/Invite$ { hype_ref $arg_code; }
location /direct/ { hype_ref_param ref mode=direct; try_files /index.html =404; }
location /inline/ { hype_ref_param ref mode=inline; try_files /index.html =404; }
location /via/ { hype_ref_param via mode=direct; try_files /index.html =404; }
location /off/ { hype_ref_param off; try_files /index.html =404; }
location / { try_files /index.html =404; }
SERVER

$pg->link('code1', destination => '/one');

# the destination, where a visit of the link ends

for my $case (
    ['/ref/self', '/'],
    ['/ref/self/', '/'],
    ['/ref/code1', '/'],
    ['/ref/nobody', '/'],
    ['/%72ef/code1', '/'],
    ['/x/../ref/code1', '/'],
    ['//localhost/ref/code1', '/'],
    ['http://localhost/ref/code1', '/'],
    ['http://LOCALHOST:8080/ref/code1#top', '/'],
    ['https://user@localhost./ref/code1', '/'],
    ['http:/ref/code1', '/'],
    ['http://%6cocal%68ost/ref/code1', '/'],
    ['http://example.com/ref/code1', '/'],
    ['https://www.example.com/ref/code1', '/'],
    ['http://go.example/code1', '/'],
    ['/../ref/code1', '/'],
    ['/..?ref=code1', '/..'],
    ['/ref//../code1', '/'],
    ['/ref/%2E%2e/ref/%2e/code1', '/'],
    ['/ref/x//.%2e/../code1', '/'],
    ['http://localhost/../ref/code1', '/'],
    ['..//../../ref/code1', '/'],
    ['/w/..%2f..%2fref/code1', '/'],
    ['//localhost/w/?ref=code1', '//localhost/w/'],
    ['code1', '/'],
    ['./code1', '/'],
    ['../ref/code1', '/'],
    ['x%:/../code1', '/'],
    ['a_b:/../code1', '/'],
    ['1:/../code1', '/'],
    [':/../code1', '/'],
    ['x:/../code1', 'x:/../code1'],
    ['a+B-1.c:/../code1', 'a+B-1.c:/../code1'],
    ['?x=y', '/'],
    ['#top', '/'],
    ['/abcd1234', '/'],
    ['/invite?code=code1', '/'],
    ['/ref/code1?next=/x', '/x'],
    ['/ref/code1?next=/ref/code1?next=/x', '/x'],
    ['/ref/code1?next=%2fref%2fcode1%3fnext=%2Fx', '/x'],
    ['/ref/code1?next=//evil.example/', '/'],
    ['/ref/code1?' . 'next=/ref/a?' x 20 . 'next=/x', '/'],
    ['/w/x?ref=self', '/w/x'],
    ['/w/x?ref=code1&a=b#top', '/w/x?a=b#top'],
    ['/w/x?a=%2F&ref=code1&ref&b', '/w/x?a=%2F&b'],
    ['/w/x?REF=code1', '/w/x?REF=code1'],
    ['/direct/x?ref=code1', '/direct/x'],
    ['/inline/x?ref=code1', '/inline/x'],
    ['/inline/x?%72ef=code1', '/inline/x?%72ef=code1'],
    ['/via/x?via=code1&ref=code1', '/via/x?ref=code1'],
    ['/off/x?ref=code1', '/off/x?ref=code1'],
    ['http://localhost/w?ref=code1', 'http://localhost/w'],
    ['http://example.com?ref=code1', 'http://example.com'],
    ['http://shop.example/ref/x?ref=code1', 'http://shop.example/ref/x?ref=code1'],
    ['http://notexample.com/ref/x', 'http://notexample.com/ref/x'],
    ['myapp://localhost/ref/code1', 'myapp://localhost/ref/code1'],
    ['/reference', '/reference'],
    ['/REF/code1', '/REF/code1'],
    ['/w/%', '/w/%25'],
) {
    my ($destination, $end) = @$case;

    $pg->exec("delete from hype.referral_link where identifier = 'self'");
    $pg->exec("delete from hype.taken_identifier");
    $pg->link('self', destination => $destination);
    known('self', $destination);

    my $name = length $destination > 60 ? 'nested links' : $destination;

    ends('/ref/self', $end, 1, "destination $name");
    ends("/$_/?ref=self", "/$_/", 1, "- $_") for 'w', 'direct';
    ends('/inline/?ref=self', '/inline/?ref=self', 1, '- inline');
}


# The same as "next"

$pg->link('abc', destination => '/abc');

for my $case (
    ['/ref/code1', '/abc'],
    ['/ref/abc', '/abc'],
    ['/ref/code1?next=/x', '/x'],
    ['/w?ref=code1', '/w'],
    ['/w?ref%3Dcode1', '/w?ref%3Dcode1'],
    ['/../ref/code1', '/abc'],
    ['/..?ref=code1', '/..'],
    ['/ref//../code1', '/abc'],
    ['/ref//../code1?next=/ref//../code1?next=/x', '/x'],
    ['http://localhost/ref/code1', '/abc'],
    ['http://www.example.com/ref/code1', '/abc'],
    ['http://localhost/direct/?ref=code1', 'http://localhost/direct/'],
) {
    my ($next, $end) = @$case;

    ends('/ref/abc?next=' . $next =~ s/([^a-z0-9])/sprintf '%%%02x', ord $1/ger,
         $end, 1, "next=$next");
}


# Arguments that are passed on, and the URL of the visit itself

ends('/args/abc?ref=code1&a=b', '/abc?a=b', 1, 'an argument passed on');
ends('/args/abc?next=/w?ref=abc', '/w', 1, 'not of a next');
ends('/\\ref/code1?ref=abc', '/abc', 1, 'a backslash, left out');
ends('/%5cref/code1?ref=abc', '/abc', 1, 'that is encoded');
ends('/direct/?ref=abc&next=/ref/code1', '/direct/?next=/ref/code1', 1,
     'an argument of the application');


# A fallback that is a referral link, for visits that have made no hit

$pg->link('house', destination => '/house');
$pg->link('plain');

ends('/fallback/nobody', '/house', 1, 'a fallback that is a link');
ends('/fallback/plain', '/', 1, '- is none where there is a hit');

$pg->exec("update hype.referral_link set disabled = true
           where identifier = 'house'");
wait_until { $nginx->get('/ref/house'); $pg->exec('truncate hype.referral_hit');
             $nginx->get('/ref/house'); $pg->hits == 0 } 10, 'the change';

ends('/fallback/nobody', '/house', 0, 'one that is disabled');

done_testing();


sub known
{
    my ($identifier, $destination) = @_;

    wait_until {
        $nginx->request('HEAD', "/ref/$identifier")->header('Location');
        1;
    } 10, 'the link';
}


# Follows redirects as a browser does, to the end; hosts don't matter.

sub ends
{
    my ($path, $end, $hits, $name) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    $pg->exec('truncate hype.referral_hit');

    my ($last, $n, $r) = ($path, 0);

    while ($n < 10) {
        $r = $nginx->get($path);
        last if $r->status != 302;
        $n++;
        $last = $path = $r->location;
        last if $path !~ s{^(?:http:)?//(?:localhost|(?:www\.)?example\.com)(?=[/?]|$)}{}i
                && $path !~ m{^/};
        $path = "/$path" if $path !~ m{^/};
        $path = without_dots($path);
    }

    is($last, $end, $name);
    cmp_ok($n, '<=', 3, '- the end');
    cmp_ok($r->status, '<', 500, '- is a page, or none');
    is($pg->hits, $hits, "- hits: $hits");
}


# RFC 3986, 5.2.4

sub without_dots
{
    my ($path, $query) = $_[0] =~ /^([^?]*)(.*)/s;

    my @segments = split m{/}, $path =~ s/%2e/./gir, -1;
    my $end = $segments[-1] =~ /^\.\.?$/ ? '/' : '';
    my @left;

    for (@segments[1 .. $#segments]) {
        pop @left if $_ eq '..';
        push @left, $_ if !/^\.\.?$/;
    }

    $path = '/' . join('/', @left) . (@left ? $end : '');

    return $path . $query;
}
