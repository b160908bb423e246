# Without consent (hype_no_cookie): a hit without a visitor, and no cookie.

use lib 't/lib';
use Hype::Test;

my $pg = database();
$pg->link('abc');

my $visitor = '0b5c8f5a-7f8e-4b0a-9d7e-2f4f5a6b7c8d';

my $nginx = nginx(pg => $pg, http => <<'HTTP', server => <<'SERVER');
absolute_redirect off;
add_header Visitor $hype_visitor;

map $cookie_consent $no_consent {
    yes      0;
    default  1;
}
HTTP

hype_no_cookie $no_consent $http_sec_gpc;

location /ref/ {
    hype_ref;
}

location /user/ {
    hype_ref;
    hype_user $arg_user;
}

location /always/ {
    hype_ref;
    hype_no_cookie "";
}
SERVER

sub row
{
    my ($path, @headers) = @_;

    my $r = $nginx->get($path, @headers);
    my $row = $pg->text('delete from hype.referral_hit
                         returning visitor is not null, user_id, authenticated');

    return ($r, $row);
}

my ($r, $row) = row('/ref/abc');

is($r->status, 302, 'without consent: a redirect');
is($r->header('Cache-Control'), 'no-store', 'that is not stored');
is_deeply([$r->header('Set-Cookie')], [], 'no cookie');
is($row, "f||f\n", 'a hit without a visitor');

($r, $row) = row('/ref/abc', Cookie => "hype_visitor=$visitor");

is_deeply([$r->header('Set-Cookie')], [], 'a cookie from before is not touched');
is($row, "f||f\n", 'nor is it used');

($r, $row) = row('/ref/abc', Cookie => 'consent=yes');

ok($r->cookie('hype_visitor'), 'with consent: a cookie');
is($row, "t||f\n", 'and a visitor');

($r, $row) = row('/ref/abc', Cookie => 'consent=yes', 'Sec-GPC' => 1);

is_deeply([$r->header('Set-Cookie')], [], 'any of the values counts');
is($row, "f||f\n", 'for both');

($r, $row) = row('/ref/abc', Cookie => 'consent=yes', 'Sec-GPC' => 0);

ok($r->cookie('hype_visitor'), '"0" is none');
is($row, "t||f\n", 'for both');

($r, $row) = row('/user/abc?user=42');

is_deeply([$r->header('Set-Cookie')], [], 'a known user has no cookie anyway');
is($row, "f|42|t\n", 'and is recorded');

($r, $row) = row('/always/abc');

ok($r->cookie('hype_visitor'), 'a location can ignore it');
is($row, "t||f\n", 'for both');

done_testing();
