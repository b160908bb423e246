# hype_hit_param: targets on other hosts, and in apps, which get no cookie, get
# the id of the hit.

use lib 't/lib';
use Hype::Test;

my $pg = database();

my %destinations = (
    plain => undef,
    path => '/welcome',
    url => 'https://shop.example/x',
    bare => 'https://shop.example',
    query => 'https://shop.example/x?plan=pro',
    fragment => 'https://shop.example/x?plan=pro#top',
    'bare-fragment' => 'https://shop.example#a?b',
    'empty-query' => 'https://shop.example/x?',
    'empty-argument' => 'https://shop.example/x?a&',
    taken => 'https://shop.example/?hit=x&a=b&hit=y',
    only => 'https://shop.example/?hit=x',
    scheme => '//shop.example/x',
    port => 'http://localhost:8443/x',
    own => 'http://LocalHost/x',
    below => 'http://shop.localhost/x',
    app => 'myapp://open/x',
    mail => 'mailto:a@shop.example?subject=x',
    bytes => "https://shop.example/\xc3\xa4?\"=%zz",
    disabled => 'https://shop.example/x',
);

$pg->link($_, destination => $destinations{$_}) for keys %destinations;
$pg->exec("update hype.referral_link set disabled = true where identifier = 'disabled'");

my $nginx = nginx(pg => $pg, http => <<'HTTP', server => <<'SERVER');
hype_hit_param hit;
absolute_redirect off;
HTTP
add_header Hit $hype_hit;
add_header Outcome $hype_outcome;

location /ref/ { hype_ref; hype_next_hosts shop.example localhost; }
location /forward/ { hype_ref; hype_forward_args on; }
location /other/ { hype_ref; hype_hit_param h.1; }
location /off/ { hype_ref; hype_hit_param off; }
location /fallback/ { hype_ref; hype_fallback https://shop.example/?from=$host; }
location /rule/ { hype_ref; hype_destination https://shop.example/$arg_to; }
location /skipped/ { hype_ref; hype_no_hit 1; }
location /direct { hype_ref_param ref mode=direct; }
SERVER

sub goes
{
    my ($path, $to, $name, @headers) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my $r = $nginx->get($path, @headers);
    my $hit = $r->header('Hit') // 'none';

    $to =~ s/HIT/$hit/;
    is($r->location, $to, $name // $path);
}

goes('/ref/plain', '/', 'no target');
goes('/ref/path', '/welcome', 'a path');
goes('/ref/url', 'https://shop.example/x?hit=HIT', 'another host');
goes('/ref/bare', 'https://shop.example?hit=HIT', 'without a path');
goes('/ref/query', 'https://shop.example/x?plan=pro&hit=HIT', 'with arguments');
goes('/ref/fragment', 'https://shop.example/x?plan=pro&hit=HIT#top',
     'before the fragment');
goes('/ref/bare-fragment', 'https://shop.example?hit=HIT#a?b',
     'a "?" in the fragment is none');
goes('/ref/empty-query', 'https://shop.example/x?hit=HIT', 'behind a "?"');
goes('/ref/empty-argument', 'https://shop.example/x?a&hit=HIT', 'behind a "&"');
goes('/ref/taken', 'https://shop.example/?a=b&hit=HIT', 'instead of others');
goes('/ref/only', 'https://shop.example/?hit=HIT', 'instead of the only one');
goes('/ref/scheme', '//shop.example/x?hit=HIT', 'without a scheme');
goes('/ref/port', 'http://localhost:8443/x', 'a port is the same host');
goes('/ref/own', 'http://LocalHost/x', 'the own host');
goes('/ref/own', 'http://LocalHost/x?hit=HIT', 'which the request names',
     Host => 'www.localhost');
goes('/ref/below', 'http://shop.localhost/x?hit=HIT', 'a host below it');
goes('/ref/app', 'myapp://open/x?hit=HIT', 'an app');
goes('/ref/mail', 'mailto:a@shop.example?subject=x', 'no host');
goes('/ref/bytes', 'https://shop.example/%C3%A4?%22=%25zz&hit=HIT',
     'other bytes stay as they were');

goes('/ref/path?next=https://shop.example/n%3Fa=b%23c',
     'https://shop.example/n?a=b&hit=HIT#c', 'next');
goes('/ref/path?next=https://shop.example/n%3Fhit=forged',
     'https://shop.example/n?hit=HIT', 'next, with another\'s');
goes('/ref/url?next=/n', '/n', 'next on this host');
goes('/forward/query?a=b', 'https://shop.example/x?plan=pro&a=b&hit=HIT',
     'behind arguments that are passed on');
goes('/forward/query?hit=forged', 'https://shop.example/x?plan=pro&hit=HIT',
     'and not one of these');
goes('/other/url', 'https://shop.example/x?h.1=HIT', 'another name');
goes('/off/url', 'https://shop.example/x', 'off');
goes('/fallback/plain', 'https://shop.example/?from=localhost&hit=HIT',
     'the fallback');
goes('/rule/plain?to=x', 'https://shop.example/x?hit=HIT', 'hype_destination');

my ($last) = $nginx->get('/ref/url')->location =~ /hit=(.*)/;
is($pg->value('select count(*) from hype.referral_hit where id = ?', $last), 1,
   'it is the id of the hit');

# Where there is no hit

goes('/ref/disabled', 'https://shop.example/x', 'a disabled link');
goes('/fallback/unknown', 'https://shop.example/?from=localhost', 'an unknown one');
goes('/skipped/url', 'https://shop.example/x', 'hype_no_hit');
goes('/ref/url', 'https://shop.example/x', 'a prefetch', Purpose => 'prefetch');
goes('/direct?ref=path&a', '/direct?a', 'the page itself');

# A hit that is spooled

$pg->exec('alter table hype.referral_hit add constraint wait check (false) not valid');
$pg->exec('alter function hype.probe rename to probe_');
push @{ $nginx->{allow} }, qr/hype: refused by PostgreSQL/;

my $r = $nginx->get('/ref/url');
is($r->header('Outcome'), 'spooled', 'a hit that is spooled');
is($r->location, 'https://shop.example/x?hit=' . $r->header('Hit'), 'has an id, too');
$pg->exec('alter table hype.referral_hit drop constraint wait');
$pg->exec('alter function hype.probe_ rename to probe');
is_soon { $pg->value('select count(*) from hype.referral_hit where id = ?',
                     $r->header('Hit')) } 1, 'which it keeps';

done_testing();
