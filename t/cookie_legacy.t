# A cookie that had another name: hype_cookie legacy=.

use lib 't/lib';
use Hype::Test;

my $pg = database();
$pg->link('abc', user_id => 'alice');
$pg->link('disabled', disabled => 't');

my $nginx = nginx(pg => $pg, server => <<'END');
add_header Visitor $hype_visitor;
hype_user $arg_user;
hype_cookie new legacy=old;

location /ref/ {
    hype_ref;
}

location = /paid {
    hype_confirm paid;
    return 204;
}

location /none/ {
    hype_ref;
    hype_no_cookie 1;
}

location /domain/ {
    hype_ref;
    hype_cookie new legacy=old domain=example.com;
}

location /path/ {
    hype_ref;
    hype_cookie new legacy=old path=/path secure;
}

location /other/ {
    hype_ref;
    hype_cookie new;
}
END

my $a = '0b5c8f5a-7f8e-4b0a-9d7e-2f4f5a6b7c8d';
my $b = 'ffffffff-ffff-4fff-bfff-ffffffffffff';
my $set = 'Max-Age=31536000; Path=/; SameSite=Lax; HttpOnly';
my $gone = 'Max-Age=0; Expires=Thu, 01 Jan 1970 00:00:00 GMT';
my $cleared = "$gone; Path=/; SameSite=Lax; HttpOnly";
my ($r, $new);


# A hit, and no user yet

$r = $nginx->get('/ref/abc', Cookie => "old=$a");
is_deeply([$r->header('Set-Cookie')], ["new=$a; $set"],
          'a hit: the cookie gets its new name, the visitor stays the same');
is($r->header('Visitor'), $a, '- and is $hype_visitor');
is(visitors(), $a, '- and of the hit');

$nginx->get('/ref/abc', Cookie => "old=$a; new=$b");
is(visitors(), $b, 'ours comes first');

$nginx->get('/ref/abc', Cookie => "new=x", Cookie => "old=$a");
is(visitors(), $a, 'unless it is no UUID');

$r = $nginx->get('/ref/abc', Cookie => 'old=x');
($new) = $r->cookie('new');
is(visitors(), $new, 'an old one that is none is left alone');
is(scalar(my @lines = $r->header('Set-Cookie')), 1, '- and not cleared');

$nginx->get('/other/abc', Cookie => "old=$a");
isnt(visitors(), $a, 'without legacy= it is somebody else\'s cookie');

for my $path ('/ref/unknown', '/ref/disabled', '/paid') {
    $r = $nginx->get($path, Cookie => "old=$a");
    is_deeply([$r->header('Set-Cookie')], [], "$path: nothing is set");
    is($r->header('Visitor'), $a, '- the visitor is known');
}

$r = $nginx->get('/none/abc', Cookie => "old=$a");
is_deeply([$r->header('Set-Cookie')], [], 'hype_no_cookie: nothing is set');
is(visitors(), '', '- nor used for the hit');


# The user is known: claimed, then cleared

$nginx->get('/ref/abc', Cookie => "old=$a");
$r = $nginx->get('/page?user=42', Cookie => "old=$a");
is_deeply([$r->header('Set-Cookie')], ["old=; $cleared"],
          'a user: the old one is cleared');
is($r->header('Cache-Control'), 'private', '- by an answer for nobody else');
is_soon { claims() } "$a 42", '- and claimed';
is_soon { $pg->value('select user_id from hype.referral_hit') } 42,
    '- with its hits';

forget();
$r = $nginx->get('/page?user=42', Cookie => "new=$a; old=$a");
is_deeply([$r->header('Set-Cookie')], ["new=; $cleared", "old=; $cleared"],
          'both of one visitor: both are cleared');
is_soon { claims() } "$a 42", '- and claimed';

forget();
$nginx->get('/ref/abc', Cookie => "old=$_") for $a, $b;
$r = $nginx->get('/page?user=42', Cookie => "new=$a; old=$b");
is_deeply([$r->header('Set-Cookie')], ["new=; $cleared", "old=; $cleared"],
          'two visitors: both are cleared');
is_soon { claims() } "$a 42", '- and ours alone is claimed';
is_soon { $pg->hits("user_id = '42'") } 1, '- with its hits';

forget();
$nginx->get('/page?user=42', Cookie => "old=$a; new=x; old=$b");
is_soon { claims() } "$a 42, $b 42", 'several old ones: all are claimed';

forget();
$r = $nginx->get('/ref/abc?user=42', Cookie => "old=$a");
is_deeply([$r->header('Set-Cookie')], ["old=; $cleared"], 'a hit of a user');
is_soon { claims() } "$a 42", '- claims the visitor';
is($pg->text('select user_id, authenticated, visitor from hype.referral_hit'),
   "42|t|\n", '- and is the user\'s own');

forget();
$r = $nginx->get('/page?user=42', Cookie => 'old=x');
is_deeply([$r->header('Set-Cookie')], ["old=; $cleared"],
          'one that is no UUID is cleared, too');

$r = $nginx->get('/page?user=42', Cookie => 'other=x');
is_deeply([$r->header('Set-Cookie')], [], 'one that is not there is not');


# A hit of a visitor who was claimed by the old cookie

forget();
$nginx->get('/page?user=42', Cookie => "old=$a");
is_soon { claims() } "$a 42", 'a claimed visitor';
$nginx->get('/ref/abc', Cookie => "old=$a");
is_soon { $pg->value('select user_id from hype.referral_hit') } 42,
    '- whose old cookie comes again: the hit is the user\'s';


# Confirming, by the visitor and by the user

forget();
$nginx->get('/ref/abc', Cookie => "old=$a");
$nginx->get('/paid', Cookie => "old=$a");
is_soon { $pg->value('select visitor from hype.confirmed_referral') } $a,
    'the visitor of the old cookie confirms';


# What clears a cookie has its domain and path.  An old one may be the host's.

for my $case (
    ['/domain/x?user=42', 'Domain=example.com; Path=/; SameSite=Lax; HttpOnly',
     'Path=/; SameSite=Lax; HttpOnly'],
    ['/path/x?user=42', 'Path=/path; SameSite=Lax; Secure; HttpOnly',
     'Path=/; SameSite=Lax; Secure; HttpOnly'])
{
    my ($path, $ours, $host) = @$case;

    $r = $nginx->get($path, Cookie => "new=$a; old=$a");
    is_deeply([$r->header('Set-Cookie')],
              ["new=; $gone; $ours",
               $path =~ /domain/ ? "new=; $gone; $host" : (),
               "old=; $gone; $host", "old=; $gone; $ours"],
              "$path: cleared as ours, and as the host's");
}

done_testing();


sub visitors
{
    return join ', ', map { $_->[0] // '' }
           $pg->query('delete from hype.referral_hit returning visitor');
}


sub claims
{
    return join ', ', map { "@$_" } $pg->query(
        'select visitor, user_id from hype.visitor_claim order by visitor');
}


sub forget
{
    $pg->exec('truncate hype.referral_hit, hype.visitor_claim,
               hype.confirmed_referral, hype.pending_confirm, hype.pending_claim');
}
