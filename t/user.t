# Who the user is: hype_user with what nginx knows when the request comes.

use lib 't/lib';
use Hype::Test;
use MIME::Base64 qw(encode_base64);

my $pg = database();
$pg->link('abc');

my $dir = temp_dir('auth');
chmod 0755, $dir;
write_file("$dir/users", "alice:{PLAIN}secret\n");

my $nginx = nginx(pg => $pg, http => <<'HTTP', server => <<"SERVER");
map $http_authorization $bearer {
    ~^Bearer\s(?<token>[a-z0-9]+)$  user-$token;
}

map $cookie_session $session_user {
    s1       7;
    default  "";
}
HTTP

add_header User \$hype_user;

location /basic/ {
    auth_basic "who?";
    auth_basic_user_file $dir/users;
    hype_ref;
    hype_user \$remote_user;
}

location /map/ {
    hype_ref;
    hype_user \$bearer;
}

location /arg/ {
    hype_ref;
    hype_user \$arg_user;
}

location /mixed/ {
    hype_ref;
    hype_user site:\$arg_user;
}

location /fixed/ {
    hype_ref;
    hype_user nobody;
}

location /auth/ {
    auth_request /who;
    auth_request_set \$who \$upstream_http_x_user;
    hype_ref;
    hype_user \$who;
}

location = /who {
    internal;
    proxy_pass http://127.0.0.1:%%PORT%%/session;
}

location = /session {
    add_header X-User \$session_user;
    return 204;
}

location /none/ {
    hype_ref;
}

location /empty/ {
    hype_ref;
    hype_user "";
}

location /response/ {
    hype_ref;
    hype_user \$upstream_http_x_hype_user;
}
SERVER

my $visitor = '0b5c8f5a-7f8e-4b0a-9d7e-2f4f5a6b7c8d';
my $uuid = qr/^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

sub known
{
    my ($user, $name, $path, @headers) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my $r = $nginx->get($path, @headers);
    my ($row) = $pg->query('delete from hype.referral_hit
                            returning user_id, authenticated, visitor');

    is($r->status, 302, $name);
    is_deeply($row, [$user, 't', undef], '... a hit of the user');
    is($r->header('User'), $user, '... $hype_user');
    is_deeply([$r->header('Set-Cookie')], [], '... no cookie');
}

sub anonymous
{
    my ($name, $path, @headers) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my $r = $nginx->get($path, @headers);
    my ($row) = $pg->query('delete from hype.referral_hit
                            returning user_id, authenticated, visitor');

    is($r->status, 302, $name);
    is_deeply($row, [undef, 'f', $r->cookie('hype_visitor') // 'no cookie'],
              '... a hit of a visitor');
    is($r->header('User'), undef, '... no $hype_user');
}

known('alice', '$remote_user', '/basic/abc',
      Authorization => 'Basic ' . encode_base64('alice:secret', ''));

known('user-abc', 'a map', '/map/abc', Authorization => 'Bearer abc');
anonymous('a map without a value', '/map/abc', Authorization => 'Bearer ABC');
anonymous('a map without a header', '/map/abc');

known('42', 'an argument', '/arg/abc?user=42');
known('0', '"0" is a user', '/arg/abc?user=0');
known("%20'\"\\", 'bytes as they are', "/arg/abc?user=%20'\"\\");
known("j\xc3\xb6rg", 'UTF-8', "/arg/abc?user=j\xc3\xb6rg");
known('x' x 1000, 'a long one', '/arg/abc?user=' . 'x' x 1000);
anonymous('an empty argument', '/arg/abc?user=');
anonymous('no argument', '/arg/abc');

known('site:42', 'text and a variable', '/mixed/abc?user=42');
known('nobody', 'text', '/fixed/abc');

known('7', 'auth_request_set', '/auth/abc', Cookie => 'session=s1');
anonymous('auth_request without a user', '/auth/abc', Cookie => 'session=x');

anonymous('no hype_user', '/none/abc');
anonymous('an empty hype_user', '/empty/abc');
anonymous('what only an application answers', '/response/abc');

# Bytes that PostgreSQL does not take

my $r = $nginx->get("/arg/abc?user=\xff");
is($pg->text('delete from hype.referral_hit returning user_id, authenticated'),
   "\xef\xbf\xbd|t\n", 'bytes that are no UTF-8 are replaced');

# Basic authentication that fails is no hit

is($nginx->get('/basic/abc')->status, 401, 'no user');
is($nginx->get('/basic/abc', Authorization => 'Basic '
               . encode_base64('alice:wrong', ''))->status, 401,
   'a wrong password');
is($pg->hits, 0, 'are no hits');

done_testing();
