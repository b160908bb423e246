# A shop on another host, which has no cookie: it gets the id of the hit, claims
# the visitor by it, and confirms an order.  The same for an app's install link.

use lib 't/lib';
use Hype::Test;

my $pg = database();
$pg->link('shoes', user_id => 'alice',
          destination => 'https://shop.example/shoes?size=8');
$pg->link('hats', user_id => 'bob', destination => 'https://shop.example/hats');
$pg->link('app', user_id => 'alice');

my $nginx = nginx(pg => $pg, http => <<'HTTP', server => <<'SERVER');
map $http_user_agent $store {
    ~*android  https://play.google.com/store/apps/details?id=com.example.app;
    default    "";
}
HTTP
hype_hit_param hit;
hype_keep_args utm_source;

location /ref/ {
    hype_ref;
}

location /app/ {
    hype_ref;
    hype_destination $store;
    hype_hit_param referrer;
}

location = /me {
    hype_user $arg_user;
    return 200 "me\n";
}
SERVER

my $uuid = '[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}';
my $shop = $pg->connect(user => 'postgres');
$shop->do('set role hype_app');

sub ask { return $shop->selectrow_array(shift, undef, @_) }

# Follows two links, of which the shop gets the ids

my $r = $nginx->get('/ref/shoes/?utm_source=mail');
my $cookie = $r->cookie('hype_visitor');
my ($shoes) = $r->location =~ m{^https://shop\.example/shoes\?size=8&hit=($uuid)$};
ok($shoes, 'the shop gets the id of the hit');

$r = $nginx->get('/ref/hats/', Cookie => "hype_visitor=$cookie");
my ($hats) = $r->location =~ m{^https://shop\.example/hats\?hit=($uuid)$};
isnt($hats, $shoes, 'and of the next one');

# An order, by one who has not logged in

is(ask(q(select referrer from hype.confirm('order', value => 10, hit => ?)), $shoes),
   'bob', 'an order is the last link\'s');
is(ask(q(select count(*) from hype.confirm('order', hit => ?)), $hats), 0, 'once');

# ... who logs in then

is(ask('select hype.claim_hit(?, ?)', $shoes, '42'), '42', 'the visitor is a user');
is(ask('select hype.claim_hit(?, ?)', $hats, '43'), '42', 'and stays that user');
is(ask('select count(*) from hype.referral_hit where user_id = ?', '42'), 2,
   'both hits are the user\'s');
is(ask(q(select referrer from hype.confirmed_referral where user_id = '42'
         and event = 'order')), 'bob', 'so is the order');
is(ask(q(select count(*) from hype.confirm('order', user_id => '42'))), 0,
   'which is not confirmed again');
is(ask(q(select referrer from hype.confirm('review', user_id => '42', model => 'first'))),
   'alice', 'what comes then is found by the user');

is(ask(q(select a.value from hype.confirmed_referral c
         join hype.referral_hit h on h.id = c.referral_hit_id
         cross join lateral hype.args_of(h.args) a where c.event = 'review')),
   'mail', 'and the campaign by the hit');

# An app

$r = $nginx->get('/app/app/', 'User-Agent' => 'Mozilla/5.0 (Linux; Android 15)');
my ($installed) = $r->location =~ m{^https://play\.google\.com/store/apps/details\?id=com\.example\.app&referrer=($uuid)$};
ok($installed, 'the store gets the id');
is(ask('select hype.claim_hit(?, ?)', $installed, '44'), '44', 'the app claims the visitor');
is(ask(q(select referrer from hype.confirm('install', user_id => '44', hit => ?)), $installed),
   'alice', 'and confirms');

# Those who had an account knew nothing of it

is(ask('select hype.claim_hit(?, ?)', '01a2035f-2381-7a4d-84e2-b12f075865ba', '45'),
   undef, 'an id that is none');
is($pg->value('select count(*) from hype.visitor_claim'), 2, 'claims nobody');

done_testing();
