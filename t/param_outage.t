# ?ref= on any URL while the database is away: visitors notice nothing.

use lib 't/lib';
use Hype::Test;

my $pg = database();
my $proxy = proxy($pg);
$pg->link($_) for qw(known never);
$pg->link('closed', disabled => 't');

my $nginx = nginx(pg => $proxy, server => <<'END');
absolute_redirect off;
add_header Outcome $hype_outcome always;

location /ref/ { hype_ref; }
location /redirect { hype_ref_param ref; try_files /index.html =404; }
location /direct { hype_ref_param ref mode=direct; try_files /index.html =404; }
location /inline { hype_ref_param ref mode=inline; try_files /index.html =404; }
location /spool { hype_ref_param ref mode=inline; hype_durability spool;
                  try_files /index.html =404; }
END

is($nginx->get('/direct?ref=known')->header('Outcome'), 'hit',
   'a link is known');
is($nginx->get('/direct?ref=closed')->header('Outcome'), 'disabled',
   'another is disabled');
is($nginx->get('/direct?ref=nobody')->header('Outcome'), 'unknown',
   'a third is none');

is($nginx->get('/spool?ref=known')->header('Outcome'), 'spooled',
   'hype_durability spool: a hit');
is_soon { $pg->hits("next = '/spool'") } 1, '- arrives at once';
$pg->exec('delete from hype.referral_hit');

$proxy->refuse;
$proxy->cut;

# "nowhere" and "never" have not been asked for yet

for my $identifier (qw(known never nowhere)) {
    my $r = $nginx->get("/redirect?ref=$identifier&1");
    is($r->location, "/ref/$identifier?next=%2Fredirect%3F1",
       "$identifier: redirect");
    is($nginx->get($r->location)->location, '/redirect?1', '- and on');

    $r = $nginx->get("/direct?ref=$identifier&1");
    is($r->location, '/direct?1', '- direct');
    ok($r->cookie('hype_visitor'), '- with a cookie');
    is($r->header('Outcome'), 'spooled', '- the hit goes to the spool');

    $r = $nginx->get("/inline?ref=$identifier&1");
    is($r->body, "it works\n", '- inline');
    ok($r->cookie('hype_visitor'), '- with a cookie');
}

for my $identifier (qw(closed nobody)) {
    my $r = $nginx->get("/direct?ref=$identifier");
    is($r->body, "it works\n", "$identifier: as it was known to be");
    is($r->cookie('hype_visitor'), undef, '- no cookie');
}

$proxy->admit;

is_soon {
    $pg->text('select l.identifier, h.next
               from hype.referral_hit h
               join hype.referral_link l on l.id = h.referral_link_id
               order by 1, 2');
} join('', map { my $l = $_; map { "$l|/$_?1\n" } qw(direct inline redirect) }
           qw(known never)), 'all hits of links that there are arrive';

is_soon { $nginx->get('/direct?ref=nowhere')->header('Outcome') } 'unknown',
    'and all is as before';

done_testing();
