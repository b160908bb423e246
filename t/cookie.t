# The cookie that a hit sets, byte for byte: hype_cookie.

use lib 't/lib';
use Hype::Test;

my $pg = database();
$pg->link('abc');

# Parameters of hype_cookie, and what follows the name and the visitor; the
# name is "v" where there are parameters.

my @cases = (
    ['' => 'Max-Age=31536000; Path=/; SameSite=Lax; HttpOnly'],
    ['v' => 'Max-Age=31536000; Path=/; SameSite=Lax; HttpOnly'],
    ['v max_age=30d' => 'Max-Age=2592000; Path=/; SameSite=Lax; HttpOnly'],
    ['v max_age=90' => 'Max-Age=90; Path=/; SameSite=Lax; HttpOnly'],
    ['v max_age=1h30m' => 'Max-Age=5400; Path=/; SameSite=Lax; HttpOnly'],
    ['v max_age=10y' => 'Max-Age=315360000; Path=/; SameSite=Lax; HttpOnly'],
    ['v domain=example.com'
        => 'Max-Age=31536000; Domain=example.com; Path=/; SameSite=Lax; HttpOnly'],
    ['v domain=.example.com'
        => 'Max-Age=31536000; Domain=.example.com; Path=/; SameSite=Lax; HttpOnly'],
    ['v path=/app' => 'Max-Age=31536000; Path=/app; SameSite=Lax; HttpOnly'],
    ['v samesite=lax' => 'Max-Age=31536000; Path=/; SameSite=Lax; HttpOnly'],
    ['v samesite=strict'
        => 'Max-Age=31536000; Path=/; SameSite=Strict; HttpOnly'],
    ['v samesite=none'
        => 'Max-Age=31536000; Path=/; SameSite=None; Secure; HttpOnly'],
    ['v samesite=none secure'
        => 'Max-Age=31536000; Path=/; SameSite=None; Secure; HttpOnly'],
    ['v samesite=off' => 'Max-Age=31536000; Path=/; HttpOnly'],
    ['v secure' => 'Max-Age=31536000; Path=/; SameSite=Lax; Secure; HttpOnly'],
    ['v nosecure' => 'Max-Age=31536000; Path=/; SameSite=Lax; HttpOnly'],
    ['v httponly' => 'Max-Age=31536000; Path=/; SameSite=Lax; HttpOnly'],
    ['v nohttponly' => 'Max-Age=31536000; Path=/; SameSite=Lax'],
    ['v nohttponly samesite=off nosecure' => 'Max-Age=31536000; Path=/'],
    ['v nohttponly secure samesite=strict path=/x domain=a.example max_age=1'
        => 'Max-Age=1; Domain=a.example; Path=/x; SameSite=Strict; Secure'],
    ['v domain=$host path=$cookie_path'
        => 'Max-Age=31536000; Domain=localhost; Path=/p; SameSite=Lax; HttpOnly'],
    ['v domain=$arg_none' => 'Max-Age=31536000; Path=/; SameSite=Lax; HttpOnly'],
    ['v domain=.$server_name path=/a/$arg_none'
        => 'Max-Age=31536000; Domain=.localhost; Path=/a/; SameSite=Lax; HttpOnly'],
);

my $server = '';

for my $i (0 .. $#cases) {
    my ($parameters) = @{ $cases[$i] };
    my $directive = $parameters ne '' ? "hype_cookie $parameters;" : '';

    $server .= "location /$i/ { hype_ref; hype_user \$arg_user; $directive }\n";
}

$server .= <<'END';
location /names/1/ { hype_ref; hype_cookie __Host-v secure; }
location /names/2/ { hype_ref; hype_cookie "!#%'*+-.^_`|~09azAZ"; }
END

my $uuid = qr/[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}/;
my $nginx = nginx(pg => $pg, server => $server);

for my $i (0 .. $#cases) {
    my ($parameters, $attributes) = @{ $cases[$i] };

    my $name = $parameters ne '' ? 'v' : 'hype_visitor';
    my $r = $nginx->get("/$i/abc", Cookie => 'path=/p');
    my @lines = $r->header('Set-Cookie');

    is(@lines, 1, $parameters ne '' ? $parameters : 'without hype_cookie');
    like($lines[0] // '', qr/^$name=$uuid; \Q$attributes\E$/, 'is set');

    # what clears it has to have the same domain and path

    @lines = $nginx->get("/$i/abc?user=42", Cookie => "path=/p; $name=x")
                   ->header('Set-Cookie');

    my $cleared = 'Max-Age=0; Expires=Thu, 01 Jan 1970 00:00:00 GMT';
    my $rest = $attributes =~ s/^Max-Age=\d+//r;

    my $host = $rest =~ s/ Domain=[^;]+;//r;
    my @domain = $host ne $rest ? "$name=; $cleared$host" : ();

    is_deeply(\@lines, ["$name=; $cleared$rest", @domain],
              'and cleared, also as the host\'s where it is a domain\'s');
}

like($nginx->get('/names/1/abc')->header('Set-Cookie'),
     qr{^__Host-v=$uuid; Max-Age=31536000; Path=/; SameSite=Lax; Secure; HttpOnly$},
     'a name with a prefix');

like($nginx->get('/names/2/abc')->header('Set-Cookie'),
     qr/^\Q!#%'*+-.^_`|~09azAZ\E=$uuid; /, 'a name with all that it can have');

# Variables can't add an attribute or a line; the hit counts all the same

$pg->exec('delete from hype.referral_hit');

my $no_attribute = nginx(pg => $pg, server => <<'END');
set $semicolon "x; Domain=evil.example";
set $line "x\r\nX-Evil: 1";

location /1/ { hype_ref; hype_cookie v path=/$semicolon; }
location /2/ { hype_ref; hype_cookie v domain=$semicolon; }
location /3/ { hype_ref; hype_cookie v path=/$line; }
location /4/ { hype_ref; hype_cookie v domain=$line; }
END

for my $i (1 .. 4) {
    my $r = $no_attribute->get("/$i/abc");

    like($r->header('Set-Cookie') // '', qr{^v=$uuid; [^;]*; Path=/; SameSite=Lax; HttpOnly$},
         'no attribute of a variable\'s');
    unlike($r->head, qr/evil/i, 'nor a line');
}

is($pg->hits, 4, 'hits are made');

done_testing();
