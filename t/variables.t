# $hype_identifier, $hype_visitor, $hype_hit, $hype_outcome, $hype_user and
# $hype_referrer: in logs, headers and maps, for each outcome.

use lib 't/lib';
use Hype::Test;

my $pg = database();
$pg->link('abc', user_id => 'owner-7');
$pg->link('nobody');
$pg->exec("update hype.referral_link set user_id = null
           where identifier = 'nobody'");
$pg->link('disabled', user_id => 'owner-8', disabled => 't');
$pg->link('expired', user_id => 'owner-9', expires => '2020-01-01');

my $format = '$hype_identifier|$hype_visitor|$hype_hit|$hype_outcome|$hype_user'
             . '|$hype_referrer';

my $http = <<"HTTP";
log_format hype "$format";
access_log %%DIR%%/logs/hype.log hype;
add_header Hype "$format" always;

map \$hype_outcome \$counted {
    hit      yes;
    ""       none;
    default  no;
}

add_header Counted \$counted always;
absolute_redirect off;
HTTP

my $server = <<'SERVER';
location /ref/ {
    hype_ref;
    hype_user $arg_user;
    hype_no_cookie $arg_no_cookie;
}

location /code/ {
    hype_ref;
    hype_fallback =404;
}

location /page {
    return 200 "page";
}

location /page-user {
    hype_user $arg_user;
    return 200 "page";
}

location /proxy/ {
    proxy_pass http://127.0.0.1:%%PORT%%/backend/;
    proxy_set_header X-Visitor $hype_visitor;
    hype_cookie v;
}

location /backend/ {
    return 200 "visitor $http_x_visitor";
}
SERVER

my $nginx = nginx(pg => $pg, http => $http, server => $server);

my $visitor = '0b5c8f5a-7f8e-4b0a-9d7e-2f4f5a6b7c8d';
my $uuid = '[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}';
my @cookie = (Cookie => "hype_visitor=$visitor");

sub last_line
{
    my ($nginx) = @_;

    return (split /\n/, read_file($nginx->dir . '/logs/hype.log'))[-1] // '';
}

sub has
{
    my ($expected, $counted, $name, $nginx, $method, $path, @headers) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    my $file = $nginx->dir . '/logs/hype.log';
    my $size = -s $file;
    my $r = $nginx->request($method, $path, @headers);

    wait_until { -s $file > $size } 10, 'a line in the log';

    like($r->header('Hype'), qr/^$expected$/, "$name: a header");
    is(last_line($nginx) =~ s/(?<=\|)-(?=\|)|^-|-$//gr, $r->header('Hype'),
       '... the log');
    is($r->header('Counted'), $counted, '... a map');

    return $r;
}

my $r = has("abc\\|$uuid\\|$uuid\\|hit\\|\\|owner-7", 'yes', 'hit', $nginx, 'GET',
            '/ref/abc/');

is($r->header('Hype') =~ /^abc\|(.*?\|.*?)\|/ ? $1 : '',
   $pg->value("select visitor || '|' || id from hype.referral_hit"),
   '... of the row');
is((split /\|/, $r->header('Hype'))[1], $r->cookie('hype_visitor'),
   '... and the cookie');

has("abc\\|$visitor\\|$uuid\\|hit\\|\\|owner-7", 'yes', 'hit with a cookie', $nginx,
    'GET', '/ref/abc', @cookie);
has("abc\\|\\|$uuid\\|hit\\|42\\|owner-7", 'yes', 'hit of a user', $nginx, 'GET',
    '/ref/abc?user=42');
has("abc\\|\\|$uuid\\|hit\\|\\|owner-7", 'yes', 'hit without consent', $nginx,
    'GET', '/ref/abc?no_cookie=1');
has("nobody\\|$uuid\\|$uuid\\|hit\\|\\|", 'yes', 'hit without an owner', $nginx,
    'GET', '/ref/nobody');

has("abc\\|$visitor\\|\\|skipped\\|\\|.*", 'no', 'skipped', $nginx, 'HEAD',
    '/ref/abc', @cookie);
has("xyz\\|$visitor\\|\\|unknown\\|\\|", 'no', 'unknown', $nginx, 'GET',
    '/ref/xyz/', @cookie);
has('xyz\|\|\|unknown\|\|', 'no', 'unknown, a code', $nginx, 'GET', '/code/xyz');
has('\|\|\|unknown\|\|', 'no', 'malformed', $nginx, 'GET', '/ref/a+b');
has('\|\|\|unknown\|\|', 'no', 'a line end', $nginx, 'GET',
    '/ref/a%0d%0aX-Evil:%201');
has('disabled\|\|\|disabled\|\|.*', 'no', 'disabled', $nginx, 'GET',
    '/ref/disabled');
has('expired\|\|\|expired\|\|.*', 'no', 'expired', $nginx, 'GET', '/ref/expired');

has('\|\|\|\|\|', 'none', 'another page', $nginx, 'GET', '/page');
has("\\|$visitor\\|\\|\\|\\|", 'none', '... with a cookie', $nginx, 'GET', '/page',
    @cookie);
has("\\|\\|\\|\\|42\\|", 'none', '... of a user', $nginx, 'GET',
    '/page-user?user=42');
has('\|\|\|\|\|', 'none', '... with a cookie that is none', $nginx, 'GET', '/page',
    Cookie => 'hype_visitor=x');
has('\|\|\|\|\|', 'none', '... with another case', $nginx, 'GET', '/page',
    Cookie => "Hype_Visitor=$visitor");

is($nginx->get('/proxy/x', Cookie => "v=$visitor")->body, "visitor $visitor",
   'for an application');

# While the database is away

my $free = free_port();
my $away = "hype_database \"host=127.0.0.1 port=$free\" timeout=50ms;\n";

my $spooling = nginx(http => $away . $http, server => $server);

has("abc\\|$uuid\\|$uuid\\|spooled\\|\\|", 'no', 'spooled', $spooling, 'GET',
    '/ref/abc');
has("abc\\|\\|$uuid\\|spooled\\|42\\|", 'no', 'spooled, of a user', $spooling, 'GET',
    '/ref/abc?user=42');

# What the database refuses, and no spool keeps

$pg->exec("alter table hype.referral_hit add check (next <> '/refused')");

my $dropping = nginx(
    pg => $pg, http => "hype_spool off;\n$http", server => $server,
    allow => [qr/hype: dropped/]);

has("abc\\|$uuid\\|$uuid\\|dropped\\|\\|owner-7", 'no', 'dropped', $dropping,
    'GET', '/ref/abc?next=/refused');

done_testing();
