# Aliases and renamed links: changes act at once, hits are the link's.

use lib 't/lib';
use Hype::Test;

my $pg = database();
my $proxy = proxy($pg);
my $id = $pg->link('first', destination => '/one');
$pg->link('second', destination => '/two');

my $nginx = nginx(pg => $proxy, http => <<'HTTP',
hype_zone hype:1m valid=1h unknown=1h;
HTTP
    server => <<'SERVER');
absolute_redirect off;
add_header Outcome $hype_outcome always;
add_header Identifier $hype_identifier always;
add_header Referrer $hype_referrer always;
location /ref/ { hype_ref; }
SERVER

sub answer
{
    my $r = $nginx->get("/ref/$_[0]");

    return join ' ', $r->location, map { $r->header($_) // '-' }
        qw(Outcome Identifier Referrer);
}


is(answer('first'), '/one hit first owner', 'a link');
is(answer('alias'), '/ unknown alias -', 'an identifier that is none');

$pg->exec("insert into hype.link_alias (identifier, referral_link_id)
           values ('alias', $id)");
is_soon { answer('alias') } '/one hit alias owner', 'an alias acts at once';

$pg->exec("select hype.rename_link('first', 'new')");
is_soon { answer('new') } '/one hit new owner', 'a renamed link';
is_soon { answer('first') } '/one hit first owner',
    'its former identifier leads to it';

$pg->exec("update hype.referral_link set destination = '/three'
           where identifier = 'new'");
is_soon { answer($_) } "/three hit $_ owner", "a change acts by $_"
    for qw(new first alias);

$pg->exec("delete from hype.link_alias where identifier = 'alias'");
is_soon { answer('alias') } '/ unknown alias -', 'an alias is deleted';

is($pg->value("select string_agg(distinct referral_link_id::text, ' ')
               from hype.referral_hit"), $id, 'all hits are the link\'s');
is($pg->text('select identifier, hits from hype.link_stats where hits > 0'),
   'new|' . $pg->hits . "\n", 'which has them under its own identifier');


# While the database is away, aliases are links like others

$pg->exec("insert into hype.link_alias (identifier, referral_link_id)
           values ('late', $id)");
$pg->exec('delete from hype.referral_hit');

$proxy->refuse;
$proxy->cut;

is(answer('first'), '/three spooled first owner', 'away: an alias in the cache');
is(answer('late'), '/ spooled late -', 'another');
is(answer('alias'), '/ unknown alias -', 'one that was known to be none');

$proxy->admit;

is_soon { $pg->hits("referral_link_id = $id") } 2, 'back: two hits of the link';
is($pg->hits, 2, 'and no others');

done_testing();
