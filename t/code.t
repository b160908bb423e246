# hype_code: a code that was typed in a form, which the application names in a
# header of its answer.

use lib 't/lib';
use Hype::Test;

my $pg = database();
my $proxy = proxy($pg);
$pg->link($_) for qw(friend Upper upper later off);
$pg->link('own', user_id => 'carol');
$pg->link('closed', disabled => 't');
$pg->link('old', expires => '2024-01-01Z');
$pg->exec("insert into hype.link_alias (identifier, referral_link_id)
           select 'pal', id from hype.referral_link where identifier = 'friend'");

my $nginx = nginx(pg => $proxy, http => <<'HTTP', server => <<'SERVER');
map $http_user_agent $robot { ~robot 1; }

map $arg_case $typed {
    two      "nobody friend";
    behind   "friend ";
    before   " friend";
    blank    " ";
    bytes    "x'y \xff friend";
    control  "friend\tfriend";
    umlaut   "größe friend";
    folded   "(Friend Friend";
    default  "";
}
HTTP
absolute_redirect off;
hype_user $upstream_http_x_hype_user;
hype_code $upstream_http_x_hype_code;
hype_no_hit $arg_internal;
hype_bot $robot;

location /app/ {
    proxy_pass http://127.0.0.1:%%PORT%%/answer/;
    proxy_hide_header X-Hype-Code;
}
location /loose/ {
    hype_identifier loose;
    proxy_pass http://127.0.0.1:%%PORT%%/answer/;
}
location /off/ {
    hype_code off;
    proxy_pass http://127.0.0.1:%%PORT%%/answer/;
}
location /empty/ {
    hype_code "";
    proxy_pass http://127.0.0.1:%%PORT%%/answer/;
}
location /outer/ {
    hype_code off;
    location /outer/inherits/ { proxy_pass http://127.0.0.1:%%PORT%%/answer/; }
    location /outer/own/ {
        hype_code $upstream_http_x_hype_code;
        proxy_pass http://127.0.0.1:%%PORT%%/answer/;
    }
}
location /typed/ { hype_user $arg_user; hype_code $typed; return 204; }
location /typed-loose/ {
    hype_identifier loose;
    hype_user $arg_user;
    hype_code $typed;
    return 204;
}
location /confirm/ {
    hype_confirm signup;
    proxy_pass http://127.0.0.1:%%PORT%%/answer/;
}
location /answer/ {
    hype_user "";
    hype_code "";
    add_header X-Hype-Code $arg_code always;
    add_header X-Hype-User $arg_user always;
    location = /answer/201 { return 201; }
    location = /answer/303 { return 303 /; }
    location = /answer/404 { return 404; }
    location = /answer/500 { return 500; }
}
location /ref/ { hype_ref; }
SERVER

my $visitor = '019e7d9c-3f6a-7f4e-8d5b-0123456789ab';
my $n = 0;
my $method = 'POST';


# A hit comes, and no other: each has a referer of its own.

sub post
{
    my ($path, %headers) = @_;

    $headers{Referer} = 'http://form/' . ++$n;

    return $nginx->request($method, $path, %headers);
}

sub hit
{
    return $pg->text(
        "select l.identifier, h.source, h.user_id, h.visitor, h.authenticated
         from hype.referral_hit h
         join hype.referral_link l on l.id = h.referral_link_id
         where http_referer = 'http://form/$n'");
}

my %unwanted;

sub none
{
    my ($name, $path, %headers) = @_;

    post($path, %headers);
    $unwanted{$n} = $name;
}


# Who typed it

my $r = post('/app/303?code=friend&user=carol');
is($r->status, 303, 'the application\'s answer');
is($r->header('X-Hype-Code'), undef, 'proxy_hide_header hides the header');
is($r->header('Set-Cookie'), undef, 'there is no cookie');
is_soon { hit() } "friend|code|carol||t\n", 'a known user';

post('/app/201?code=pal', Cookie => "hype_visitor=$visitor");
is_soon { hit() } "friend|code||$visitor|f\n", 'a visitor, and an alias';

$r = post('/app/201?code=friend&user=dave',
          Cookie => "hype_visitor=019e7d9c-3f6a-7f4e-8d5b-0123456789ac");
is_soon { hit() } "friend|code|dave||t\n", 'both: the user';
like($r->header('Set-Cookie'), qr/^hype_visitor=;/, 'who is claimed as ever');

post('/app/201?code=Upper&user=erin');
is_soon { hit() } "Upper|code|erin||t\n", 'as written';
post('/loose/201?code=UPPER,&user=erin');
is_soon { hit() } "upper|code|erin||t\n", 'loose: as people type it';
post('/loose/201?code=Upper%2B+%29&user=erin');
is_soon { hit() } '', 'loose: a "+" that is encoded is none';
post('/loose/201?code=+UPPER%2E&user=erin');
is_soon { hit() } "upper|code|erin||t\n", 'loose: decoded';
post('/typed-loose/?case=behind&user=erin');
is_soon { hit() } "friend|code|erin||t\n", 'loose: without blanks';
post('/outer/own/201?code=friend&user=erin');
is_soon { hit() } "friend|code|erin||t\n", 'inside of hype_code off';
post('/loose/201?code=Upper&user=erin');
is_soon { hit() } "Upper|code|erin||t\n", 'loose: as written first';

post('/app/201?code=friend&user=frank', 'User-Agent' => 'robot');
is_soon { $pg->value("select bot from hype.referral_hit
                      where http_referer = 'http://form/$n'") } 't',
    'hype_bot marks the hit';


# What makes none

none('nobody is known', '/app/201?code=friend');
none('no code', '/app/201?user=carol');
none('an unknown code', '/app/201?code=nobody&user=carol');
none('one that is malformed', '/app/201?code=fri%20end&user=carol');
none('strict: in another case', '/app/201?code=FRIEND&user=carol');
none('loose: malformed', '/loose/201?code=(friend)&user=carol');
none('one\'s own', '/app/201?code=own&user=carol');
none('a disabled link', '/app/201?code=closed&user=carol');
none('an expired one', '/app/201?code=old&user=carol');
none('the page is not found', '/app/404?code=friend&user=carol');
none('the application failed', '/app/500?code=friend&user=carol');
none('hype_no_hit', '/app/201?code=friend&user=carol&internal=1');
none('hype_code ""', '/empty/201?code=friend&user=carol');
none('hype_code off', '/outer/201?code=friend&user=carol');
none('- inherited', '/outer/inherits/201?code=friend&user=carol');
none("strict: with a blank, $_", "/typed/?case=$_&user=carol")
    for qw(two behind before blank bytes control umlaut folded);
none("loose: malformed, $_", "/typed-loose/?case=$_&user=carol")
    for qw(blank bytes umlaut folded);
none('strict: encoded', '/app/201?code=friend%2E&user=carol');

$method = 'HEAD';
none('HEAD', '/app/201?code=friend&user=carol');
none('HEAD: 303', '/app/303?code=friend&user=carol');
$method = 'POST';
none('a prefetch', '/app/201?code=friend&user=carol', Purpose => 'prefetch');


# Credited to whom it leads to, by the same answer

post('/confirm/201?code=friend&user=grace');
is_soon { $pg->value("select referrer from hype.confirmed_referral
                      where user_id = 'grace'") } 'owner',
    'hype_confirm credits the code';


# Nothing of it waits for the database

$proxy->refuse;
$proxy->cut;

$r = post('/app/201?code=friend&user=heidi');
is($r->status, 201, 'away: an answer');
my $away = $n;
none('away: an unknown code', '/app/201?code=nobody&user=heidi');
none("away: $_", "/typed/?case=$_&user=heidi")
    for qw(two behind before blank bytes control umlaut folded);
none("away, loose: $_", "/typed-loose/?case=$_&user=heidi")
    for qw(blank bytes umlaut folded);
post('/loose/201?code=LATER&user=heidi');

$proxy->admit;

is_soon { hit() } "later|code|heidi||t\n", 'back: a code as people type it';
$n = $away;
is_soon { hit() } "friend|code|heidi||t\n", 'and the other one';

is(join(' ', glob $nginx->dir . '/hype_spool/*.damaged'), '',
   'no file of the spool is damaged');

is($pg->hits("http_referer = 'http://form/$_'"), 0, "none: $unwanted{$_}")
    for sort { $a <=> $b } keys %unwanted;

is($pg->value("select codes from hype.link_stats where identifier = 'friend'"),
   $pg->hits("source = 'code' and not bot and referral_link_id = 1"),
   'link_stats counts them');


# A code is no visit: the other variables and the answer stay as they are

is($nginx->get('/ref/friend')->status, 302, 'a visit');
is_soon { $pg->hits('source is null') } 1, 'is no code';

done_testing();
