# What browsers say that they ask for a page for: prefetches that may be shown
# without asking again, TLS early data, parts of other pages.

use lib 't/lib';
use Hype::Test;

my $visitor = '0b5c8f5a-7f8e-4b0a-9d7e-2f4f5a6b7c8d';
my @cookie = (Cookie => "hype_visitor=$visitor");

my $pg = database();
$pg->link('abc', destination => '/welcome');
$pg->link('disabled', destination => '/welcome', disabled => 't');

my $nginx = nginx(pg => $pg, http => <<'HTTP', server => <<'SERVER');
absolute_redirect off;
add_header Outcome $hype_outcome;
HTTP

error_page 425 503 =200 @maintenance;
hype_user $arg_user;

location @maintenance { return 200 maintenance; }

location /ref/ { hype_ref; }
location /html/ { hype_ref_param ref; }
location /direct/ { hype_ref_param ref mode=direct; }
location /inline/ { hype_ref_param ref mode=inline; }

location = /paid {
    hype_confirm paid;
    return 204;
}
SERVER

my @paths = ('/ref/abc', '/html/?ref=abc', '/direct/?ref=abc',
             '/inline/?ref=abc');


# The browser may show what it has got, and asks again if that is an error.

for my $case (
    ['Sec-Purpose' => 'prefetch'],
    ['Sec-Purpose' => 'prefetch;prerender'],
    ['Sec-Purpose' => 'prefetch; prerender'],
    ['Sec-Purpose' => 'prefetch;anonymous-client-ip'],
    ['Sec-Purpose' => 'prefetch;prerender;preview'],
    ['Sec-Purpose' => 'prerender'],
    ['Sec-Purpose' => 'Prefetch'],
    ['sec-purpose' => 'prefetch'],
    ['SEC-PURPOSE' => 'prefetch'],
    ['Sec-Purpose' => 'prefetch', 'Sec-Fetch-Dest' => 'document',
     'Sec-Fetch-Mode' => 'navigate'],
    # <link rel=prefetch>
    ['Sec-Purpose' => 'prefetch', 'Sec-Fetch-Dest' => 'empty',
     'Sec-Fetch-Mode' => 'no-cors'],
) {
    refuses($_, '503 Service Temporarily Unavailable', @$case) for @paths;
}

# RFC 8470: any value is a "1"

for my $case (
    ['Early-Data' => '1'],
    ['early-data' => '1'],
    ['Early-Data' => '0'],
    ['Early-Data' => '1', 'Early-Data' => '1'],
) {
    refuses($_, '425 Too Early', @$case) for @paths;
}

refuses('/ref/abc?user=42', '425 Too Early', 'Early-Data' => '1');
is($pg->value('select count(*) from hype.visitor_claim'), 0, '- nor a claim');

for my $header ('Sec-Purpose', 'Early-Data') {
    my @headers = ($header => 'prefetch', @cookie);

    for my $link ('unknown', 'disabled') {
        is_deeply(answer("/ref/$link", @headers),
                  [302, $link eq 'unknown' ? '/' : '/welcome', $link, '', 0],
                  "$header: a link that is $link makes no hit anyway");
        is($nginx->get("/inline/?ref=$link", @headers)->status, 404,
           '- and its argument goes on untouched');
    }
}

is($nginx->get('/html/', 'Sec-Purpose' => 'prefetch')->status, 404,
   'a page without the argument is prefetched');


# What is a navigation

for my $case (
    [],
    ['Sec-Fetch-Dest' => 'document', 'Sec-Fetch-Mode' => 'navigate',
     'Sec-Fetch-Site' => 'cross-site', 'Sec-Fetch-User' => '?1'],
    ['Sec-Fetch-Dest' => 'document'],
    ['Sec-Fetch-Mode' => 'navigate'],
    ['Sec-Fetch-Site' => 'cross-site'],
    ['Sec-Purpose' => 'other'],
    ['Sec-Purpose' => ''],
) {
    is_deeply(answer('/ref/abc', @$case, @cookie),
              [302, '/welcome', 'hit', $visitor, 1], "a visit: @$case");
}

# and what is none

for my $case (
    ['Sec-Fetch-Dest' => 'image', 'Sec-Fetch-Mode' => 'no-cors'],
    ['Sec-Fetch-Dest' => 'iframe', 'Sec-Fetch-Mode' => 'navigate'],
    ['Sec-Fetch-Dest' => 'object', 'Sec-Fetch-Mode' => 'navigate'],
    ['Sec-Fetch-Dest' => 'embed', 'Sec-Fetch-Mode' => 'navigate'],
    ['Sec-Fetch-Dest' => 'script', 'Sec-Fetch-Mode' => 'no-cors'],
    ['Sec-Fetch-Dest' => 'empty', 'Sec-Fetch-Mode' => 'cors'],
    ['Sec-Fetch-Dest' => 'empty', 'Sec-Fetch-Mode' => 'navigate'],
    ['Sec-Fetch-Dest' => 'document', 'Sec-Fetch-Mode' => 'same-origin'],
    ['sec-fetch-dest' => 'frame'],
    ['Sec-Fetch-Mode' => 'no-cors'],
    ['Sec-Fetch-Mode' => 'websocket'],
) {
    is_deeply(answer('/ref/abc', @$case, @cookie),
              [302, '/welcome', 'skipped', '', 0], "no visit: @$case");

    for my $path (@paths[1 .. 3]) {
        is_deeply(answer($path, @$case, @cookie), [404, '', '', '', 0],
                  "$path: untouched: @$case");
    }
}


# A confirm page that nobody may ever see

$nginx->get("/ref/abc?user=$_") for 1, 2;

for my $header ('Sec-Purpose', 'X-Sec-Purpose', 'Purpose', 'X-Purpose',
                'X-Moz')
{
    is($nginx->get('/paid?user=1', $header => 'prefetch')->status, 204,
       "a prefetch with $header gets its page");
}

$nginx->get('/paid?user=2', 'Sec-Fetch-Dest' => 'empty',
            'Sec-Fetch-Mode' => 'cors');
is_soon { confirmed() } '2', '- and confirms nothing, as a script does';

done_testing();


sub answer
{
    my ($path, @headers) = @_;

    my $r = $nginx->get($path, @headers);
    my $hits = $pg->value('with d as (delete from hype.referral_hit returning 1)
                           select count(*) from d');

    return [$r->status, $r->location // '', $r->header('Outcome') // '',
            $r->cookie('hype_visitor') // '', $hits];
}


sub refuses
{
    my ($path, $status, @headers) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    my $r = $nginx->get($path, @headers, @cookie);

    is($r->status_line =~ s/Service Unavailable/Service Temporarily Unavailable/r,
       "HTTP/1.1 $status", "$path: @headers");     # Angie has the former
    is_deeply([$r->header('Cache-Control'), $r->location // '', $r->body,
               scalar(my @lines = $r->header('Set-Cookie')), $pg->hits],
              ['no-store', '', '', 0, 0], '- no hit, no cookie');
}


sub confirmed
{
    return join ' ', map { $_->[0] } $pg->query(
        'select user_id from hype.confirmed_referral union all
         select user_id from hype.pending_confirm order by 1');
}
