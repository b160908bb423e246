# The "next" argument of a referral link: followed if it can't leave the site.
# (What browsers make of it is in next_oracle.t.)

use lib 't/lib';
use Hype::Test;

my $pg = database();
$pg->link('abc');
$pg->link('to', destination => '/welcome');

my $nginx = nginx(pg => $pg, server => <<'END');
absolute_redirect off;
hype_fallback /home;

location /ref/ {
    hype_ref;
}

location /goto/ {
    hype_ref;
    hype_next_param goto;
}
END

sub escape
{
    return $_[0] =~ s/([^A-Za-z0-9])/sprintf '%%%02X', ord $1/ger;
}

# What the argument's value is once it is decoded; a path goes out as it is, but
# for what may not stand in a URI.

my @safe = (
    '/', '/x', '/x/', '/a/b/c.html', '/x?y', '/x?y=z&u=v', '/x#y', '/x?y#z',
    '/?', '/#', '/x?', '/x?u=//evil.example', '/x#//evil.example',
    '/?//evil.example', '/#//evil.example', '/x?u=https://evil.example/',
    '/x/http://evil.example/', '/https://evil.example/', '/x//y', '/x//',
    '/x/../y', '/x/./y', '/./x', '/../x', '/..', '/.', '/x/..', '/...//y',
    '/@evil.example', '/x@y', '/:80', '/x:y', '/;//x', '/x/\\y', '/x\\y',
    '/javascript:alert(1)', '/a b', '/ /evil.example', '/x ', '/%', '/%zz',
    '/%20', '/x%0', '/x?%0d%0a', '/x?%00', '/"x"', "/'x'", '/<x>', '/{x}',
    '/x|y', '/x^y', '/x`y', '/[x]', '/*', '/~x', '/+', '/a+b', '/x,y', '/x=y',
    '/$host', '/$1', "/\xc3\xa4", "/\xc3\xa4//x", "/\xe2\x80\xa8",
    "/\xc2\xa0", "/\xff", "/\x80/x", '/x%2Fy', '/x%2F%2Fy', '/x%2e%2e',
    '/' . 'x' x 3000,
);

# What is not followed

my @unsafe = (
    # another host
    '//evil.example', '//evil.example/x', '///evil.example',
    '////evil.example', '//', '///', '/\\evil.example', '/\\/evil.example',
    '\\\\evil.example', '\\/evil.example', '\\evil.example', '/\\', '\\',
    '//localhost/', '//127.0.0.1', '//user@evil.example',
    '//evil.example:80/', '//@evil.example',

    # ... behind what browsers leave out
    "/\t/evil.example", "/\n/evil.example", "/\r/evil.example",
    "/\t\\evil.example", "\t//evil.example", "\n//evil.example",
    " //evil.example", "\0//evil.example", "\x01//evil.example",
    "\x0b//evil.example", "\x1f//evil.example", "/\0/evil.example",
    "/\x7f/evil.example", "//\tevil.example", "\xc2\xa0//evil.example",
    "\xef\xbb\xbf//evil.example",

    # ... once it is normalised
    '/.//evil.example', '/..//evil.example', '/./\\evil.example',
    '/x/..//evil.example', '/x/../..//evil.example', '/x/.././/evil.example',
    '/x/y/../..//evil.example', '/x/..\\/evil.example', '/.\\/evil.example',
    '/x/..//', '/.//',

    # ... or decoded once more
    '/%2Fevil.example', '/%2fevil.example', '/%5Cevil.example',
    '/%5cevil.example', '/%2e//evil.example', '/%2E%2e//evil.example',
    '/x/%2e%2e//evil.example', '/%09/evil.example', '/%0a/evil.example',
    '/%00/evil.example', '/%252Fevil.example', '/%25252fevil.example',
    '/%2%66evil.example', '/x%0d%0aSet-Cookie: a=b', '/x%00',

    # another line
    "/x\r\nSet-Cookie: a=b", "/x\nSet-Cookie: a=b", "/x\rSet-Cookie: a=b",
    "/x\r\n\r\n<html>", "\r\n/x", "\n/x", "/x\r\n", "/x\n", "/x\0", "/x\t",
    "/x?\r\nSet-Cookie: a=b", "/x#\n", "/x\x7f", "/x\x1b[31m",

    # a URL
    'http://evil.example/', 'https://evil.example', 'HTTP://evil.example',
    'hTTpS://evil.example', 'http://localhost/', 'https://127.0.0.1/',
    'http:evil.example', 'http:/evil.example', 'http:///evil.example',
    'http:\\\\evil.example', 'http:/\\evil.example', 'http:x', 'http:/x',
    'http:', 'http://', 'https:', "ht\ntp://evil.example",
    ' http://evil.example', "\thttp://evil.example", 'http ://evil.example',
    'javascript:alert(1)', 'JaVaScRiPt:alert(1)', "java\nscript:alert(1)",
    'data:text/html,x', 'vbscript:x', 'file:///etc/passwd', 'mailto:a@b',
    'ftp://evil.example/', 'blob:x', 'about:blank', 'ws://evil.example',
    'view-source:http://evil.example', 'intent://x#Intent;end',
    'x:/', ':/', '://evil.example',

    # no path of this host, as there is none before it
    'x', 'x/y', './x', '../x', '?x', '#x', '.', '..', ' ', ' /x', "\t/x",
    "\xc2\xa0/x", '%2Fx', '%2F%2Fevil.example', 'evil.example', '@x', '*',
    "\xef\xbc\x8f\xef\xbc\x8fevil.example",
);

for my $next (@safe) {
    my $r = $nginx->get('/ref/abc?next=' . escape($next));
    my $name = length $next > 70 ? 'a long path' : $next;

    is($r->status, 302, "safe: $name");
    like($r->head, qr/^Location: \Q${\ as_uri($next)}\E\r\n/m,
         'byte for byte, as a URI');
}

for my $next (@unsafe) {
    my $r = $nginx->get('/ref/abc?next=' . escape($next));
    my $name = $next =~ s/([^ -~])/sprintf '\\x%02x', ord $1/ger;

    is_deeply([$r->status, $r->header('Location')], [302, '/home'],
              "unsafe: $name");
    unlike($r->head, qr/^Set-Cookie: a=b|^<html>|\x1b/m, 'adds no line')
        if $next =~ /\R|\x1b/;
}

is($pg->hits, @safe + @unsafe, 'all of them are hits');

# How the argument is found

sub goes
{
    my ($path, $to, $name) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;
    is($nginx->get($path)->location, $to, $name);
}

goes('/ref/abc?next=/x/y', '/x/y', 'as it is, without percent-encoding');
goes('/ref/abc/?next=/x', '/x', 'behind a slash');
goes('/ref/abc?a=b&next=/x&c=d', '/x', 'among other arguments');
goes('/ref/abc?next=/x&next=/y', '/y', 'the last one counts');
goes('/ref/abc?next=/x&next=//evil.example', '/home',
     'also if it is not safe');
goes('/ref/abc?next=/x&next=', '/home', 'also if it is empty');
goes('/ref/abc?next=/x&amp;y', '/x', 'up to the "&"');
goes('/ref/abc?next=/x?a=b', '/x?a=b', 'with another "?" and "="');
goes('/ref/abc?next=/x;y=z', '/x;y=z', '";" parts no arguments');
goes('/ref/abc?next=/x#y', '/x', 'without a fragment of the request');
goes('/ref/abc?next=/a+b', '/a+b', '"+" is no space');
goes('/ref/abc?next=/%2520', '/%20', 'decoded once');
goes('/ref/abc?next=/%zz%', '/%25zz%25', 'what is no escape becomes one');
goes('/ref/abc?next', '/home', 'no value');
goes('/ref/abc?next=', '/home', 'an empty value');
goes('/ref/abc?NEXT=/x&Next=/x&next_=/x&_next=/x&nex=/x', '/home',
     'other names');
goes('/ref/abc?%6eext=/x', '/home', 'names are not decoded');
goes('/ref/abc?next%5B%5D=/x', '/home', 'nor has the name brackets');

# What comes before it, and after it

goes('/ref/to?next=/x', '/x', 'before the link\'s own destination');
goes('/ref/to?next=//evil.example', '/welcome', 'unless it is not safe');
goes('/ref/to?next=', '/welcome', 'or empty');
goes('/ref/unknown?next=/x', '/x', 'with an unknown link, too');
goes('/ref/a+b?next=/x', '/x', 'with a malformed one');
goes('/ref/unknown?next=//evil.example', '/home', 'safe or not');

# Another name

goes('/goto/abc?goto=/x', '/x', 'hype_next_param');
goes('/goto/abc?next=/x', '/home', 'is another name');
goes('/goto/abc?next=/x&goto=/y', '/y', 'alone');
goes('/goto/abc?Goto=/x', '/home', 'case-sensitive');

done_testing();
