# hype_keep_args: arguments of the visit's URL are stored with the hit, byte for
# byte, in both forms of link and all modes.

use lib 't/lib';
use Hype::Test;

my $pg = database();
$pg->link('abc');

my $nginx = nginx(pg => $pg, http => <<'HTTP', server => <<'SERVER');
hype_keep_args utm_source utm_campaign sub;
absolute_redirect off;

server {
    listen 127.0.0.1:%%PORT%%;
    server_name inherits;

    location /ref/ { hype_ref; }
}
HTTP
large_client_header_buffers 4 32k;
hype_keep_args utm_source utm_campaign sub;
add_header Outcome $hype_outcome;

location /ref/ { hype_ref; hype_next_hosts shop.example; }
location /forward/ { hype_ref; hype_forward_args on; }
location /other/ { hype_ref; hype_keep_args Sub; }
location /off/ { hype_ref; hype_keep_args off; }

location /redirect { hype_ref_param ref; }
location /direct { hype_ref_param ref mode=direct; }

location /page {
    hype_ref_param ref mode=inline;
    root %%DIR%%;
    try_files /none /page.txt;
}

location /rewritten {
    hype_ref_param ref mode=direct;
    rewrite ^ /index?utm_source=rule&x=$uri? break;
}
SERVER

write_file($nginx->dir . '/page.txt', "page\n");

sub kept
{
    my $sth = $pg->connect->prepare('delete from hype.referral_hit
        returning args, source');
    $sth->execute;
    my $rows = $sth->fetchall_arrayref;

    return scalar(@$rows) . ' hits' if @$rows != 1;
    return ($rows->[0][0] // 'NULL') . ($rows->[0][1] // '');
}

sub keeps
{
    my ($path, $expected, $name) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;
    $nginx->get($path);
    is(kept(), $expected, $name // $path);
}

# /ref/<identifier>

keeps('/ref/abc/', 'NULL', 'none');
keeps('/ref/abc/?', 'NULL', 'an empty query');
keeps('/ref/abc/?a=b&c', 'NULL', 'others');
keeps('/ref/abc/?utm_source=mail', 'utm_source=mail');
keeps('/ref/abc?x=1&sub=y&b=2&utm_source=mail&c', 'sub=y&utm_source=mail',
      'in the order of the URL');
keeps('/ref/abc?sub=1&sub=2&sub&sub=', 'sub=1&sub=2&sub&sub=',
      'more than one of a name, and without value');
keeps('/ref/abc?sub=a+b%20%C3%A4%zz=c;d', 'sub=a+b%20%C3%A4%zz=c;d',
      'byte for byte');
keeps('/ref/abc?Sub=1&sub2=1&s=1&utm_source.x=1', 'NULL', 'no other names');
keeps("/ref/abc?sub=a\xc3\xa4\xff", "sub=a\xc3\xa4\xef\xbf\xbd",
      'what is no UTF-8');
keeps('/ref/abc?sub=%00%ff', 'sub=%00%ff', 'escapes stay as they are');
keeps('/ref/abc?utm_source=mail#sub=x', 'utm_source=mail', 'no fragment');
keeps('/forward/abc?sub=1&a=b', 'sub=1', 'with hype_forward_args');
keeps('/other/abc?sub=1&Sub=2', 'Sub=2', 'the names of the location');
keeps('/off/abc?sub=1', 'NULL', 'off');

is($nginx->get('/ref/abc?sub=1', Host => 'inherits')->status, 302,
   'a server without names of its own');
is(kept(), 'sub=1', 'has those of http');

# ... with a target

keeps('/ref/abc?sub=1&next=/p%3Fsub=2', 'sub=1', 'those of the link first');
keeps('/ref/abc?next=/p%3Futm_source=2%26a=b%26sub=%2541%23sub=3',
      'utm_source=2&sub=%41', 'else those of the page');
keeps('/ref/abc?next=/p%3Fsub=%00x%ff', "sub=\xef\xbf\xbdx\xef\xbf\xbd",
      'a NUL is none of a text');
keeps('/ref/abc?next=/p%23%3Fsub=1', 'NULL', 'a "?" of a fragment');
keeps('/direct%23?sub=1&ref=abc', 'sub=1', 'but an encoded "#" begins none');
keeps('/ref/abc?next=https://shop.example%3Fsub=2', 'sub=2', 'on another host');

# ?ref=, in all modes

for my $mode (qw(direct page)) {
    keeps("/$mode?ref=abc&sub=1&x=2&utm_source=%41+b", 'sub=1&utm_source=%41+b',
          $mode);
    keeps("/$mode?sub=1&ref=abc", 'sub=1', "$mode, before it");
    keeps("/$mode?ref=abc&x=2", 'NULL', "$mode: none");
}

for my $query ('ref=abc&sub=1&x=2&utm_source=%41+b%26', 'sub=1&ref=abc&a=b',
               "ref=abc&sub=\xc3\xa4%zz%25", 'ref=abc&a', 'ref=abc') {
    my $r = $nginx->get("/redirect?$query");
    my $location = $r->location;
    is($pg->hits, 0, "$query: the first redirect makes no hit");
    is($nginx->get($location)->location =~ s/%25zz/%zz/r,
       '/redirect' . (join '&', map { s/\xc3\xa4/%C3%A4/r =~ s/%25zz/%zz/r }
                      grep { !/^ref=/ } split /&/, $query)
                     =~ s/^(?=.)/?/r, 'the second leads to the page');

    my $expected = join '&', grep { /^(?:sub|utm_source)=/ } split /&/, $query;
    is(kept(), $expected || 'NULL', 'and keeps what it has');
}

keeps('/rewritten?ref=abc&sub=1', 'sub=1', 'what the client asked for');

# No hit, no matter

$nginx->request('HEAD', '/ref/abc?sub=1');
$nginx->get('/ref/unknown?sub=1');
is($pg->hits, 0, 'no hit');

# As long as they may be: 2 KB, whole arguments

my $long = 'sub=' . 'x' x 1000;
keeps("/ref/abc?$long&$long&utm_source=1", "$long&$long&utm_source=1",
      'up to 2 KB');
keeps("/ref/abc?$long&$long&$long&utm_source=1", "$long&$long",
      'up to the first argument that does not fit');
keeps('/ref/abc?sub=' . 'x' x 2044, 'sub=' . 'x' x 2044, '2,048 bytes');
keeps('/ref/abc?sub=' . 'x' x 2045, 'NULL', '2,049 bytes');
keeps('/ref/abc?sub=' . "\xff" x 2000, 'sub=' . "\xef\xbf\xbd" x 681,
      'also of what is no UTF-8');

# By way of the spool

$pg->exec('alter table hype.referral_hit add constraint wait check (false)');
$pg->exec('alter function hype.probe rename to probe_');
push @{ $nginx->{allow} }, qr/hype: refused by PostgreSQL/;

is($nginx->get('/ref/abc?sub=spooled')->header('Outcome'), 'spooled', 'a hit is spooled');
$pg->exec('alter table hype.referral_hit drop constraint wait');
$pg->exec('alter function hype.probe_ rename to probe');
is_soon { $pg->hits } 1, 'and gets to the table';
is(kept(), 'sub=spooled', 'with its arguments');

done_testing();
