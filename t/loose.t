# hype_identifier loose: identifiers as people type them.

use lib 't/lib';
use Hype::Test;
use Hype::Status;

my $pg = database();
my $proxy = proxy($pg);
my %link = map { $_ => $pg->link($_) } qw(alice Bob bob carol.);
$pg->link('off', disabled => 't');
$pg->exec("insert into hype.link_alias (identifier, referral_link_id)
           values ('ally', $link{alice})");

my $nginx = nginx(pg => $proxy, http => <<'HTTP',
hype_zone hype:1m valid=1h unknown=1h;
HTTP
    server => <<'SERVER');
absolute_redirect off;
add_header Outcome $hype_outcome always;
add_header Identifier $hype_identifier always;
hype_identifier loose;

location /ref/ { hype_ref; }
location /strict/ { hype_identifier strict; hype_ref; }
location ~ ^/value/(?<code>.*)$ { hype_ref $code; }
location = /invite { hype_ref $arg_code; }
location = /strict-invite { hype_identifier strict; hype_ref $arg_code; }
location /page { hype_ref_param ref mode=inline; try_files /index.html =404; }
location /away { hype_ref_param ref to=/strict/; try_files /index.html =404; }
location = /status { hype_status; }
SERVER

sub answer
{
    my $r = $nginx->get(@_);

    return join ' ', map { $r->header($_) // '-' } qw(Outcome Identifier);
}

sub asked { my $c = status($nginx)->{cache}; $c->{hits} + $c->{misses} }


# What is found, and as what

my @found = (
    [alice => 'alice'], [Alice => 'alice'], [ALICE => 'alice'],
    ['alice.' => 'alice'], ['alice!?' => 'alice'], ['alice,' => 'alice'],
    ['alice)' => 'alice'], ['Alice%22' => 'alice'], ["alice'" => 'alice'],
    ['alice%20' => 'alice'], ['%20alice' => 'alice'],
    ['al%20ice' => 'alice'], ['alice%0D%0A' => 'alice'],
    ['alice%E2%80%8B' => 'alice'], ['%E2%80%8Balice%C2%A0.' => 'alice'],
    ['ALLY%3E' => 'ally'],
    ['Alice+' => 'alice'], ['+alice+%2E' => 'alice'], ['Al+ice' => 'alice'],
    ['%41lice%2f' => 'alice'],
    [Bob => 'Bob'], [bob => 'bob'], [BOB => 'bob'], ['Bob.' => 'bob'],
    ['carol.' => 'carol.'],
);

for my $case (@found) {
    my ($typed, $identifier) = @$case;

    is(answer("/ref/$typed"), "hit $identifier", "/ref/$typed");
    is(answer("/ref/$typed/"), "hit $identifier", '- with a slash');
    is(answer("/value/$typed"), "hit $identifier", '- of hype_ref <value>');
    is(answer("/page?ref=$typed"), "hit $identifier", "- ?ref=$typed");
    is(answer("/invite?code=$typed"), "hit $identifier", "- ?code=$typed");
}

is(answer('/ref/alice/)'), 'hit alice', 'a bracket behind the slash');
is($pg->text('select l.identifier, count(*) from hype.referral_hit h
              join hype.referral_link l on l.id = h.referral_link_id
              group by 1 order by l.identifier collate "C"'),
   "Bob|5\nalice|101\nbob|15\ncarol.|5\n", 'each hit is of its link');


# What is not

is(answer('/ref/' . $_->[0]), "unknown $_->[1]", "/ref/$_->[0]: unknown")
    for ['nobody' => 'nobody'], ['Nobody' => 'Nobody'], ['nobody)' => 'nobody'],
        ['(alice)' => '-'], ['ali/ce' => '-'], ['...' => '...'],
        ['%C3%84' => '-'], ['' => '-'], ['Carol.' => 'Carol.'],
        ['x' x 65 => '-'], ['ali%252Bce' => '-'], ['alice%2500' => '-'];
is(answer("/invite?code=$_"), 'unknown -', "?code=$_: unknown")
    for 'alice%2B', 'alice%00', 'alice%', '%25', '+', 'alice%252E', '%C3%84';
is(answer('/ref/OFF'), 'disabled off', 'a disabled link');
is(answer('/page?ref=Nobody'), 'unknown Nobody', '?ref=: unknown');

is(answer("/strict/$_->[0]"), $_->[1], "strict: $_->[0]")
    for ['alice' => 'hit alice'], ['Alice' => 'unknown Alice'],
        ['alice.' => 'unknown alice.'], ['alice)' => 'unknown -'],
        ['alice%20' => 'unknown -'], ['alice+' => 'unknown -'],
        ['alice%252E' => 'unknown -'];
is(answer("/strict-invite?code=$_"), 'unknown -', "strict: ?code=$_")
    for 'alice%20', 'alice+', 'alice%2E', '%61lice';


# mode=redirect goes on with what was found

is($nginx->get('/away?ref=ALICE!&x')->location,
   '/strict/alice?next=%2Faway%3Fx', 'mode=redirect: the link that was found');
is(answer('/strict/alice?next=%2Faway%3Fx'), 'hit alice', 'leads to it');


# One look-up for what is found as written, or is not changed; two for others,
# which are remembered like any unknown ones

for (['alice' => 1], ['nobody' => 1], ['alice)' => 1], ['ALICE' => 2],
     ['Nobody' => 2], ['(alice)' => 0])
{
    my ($identifier, $n) = @$_;

    answer("/ref/$identifier");

    my $before = asked();
    answer("/ref/$identifier");
    is(asked() - $before, $n, "$identifier: look-ups in the cache: $n");
}


# A link that is made, or changed, acts at once, also for who types it in
# another way

is(answer('/ref/Dave'), 'unknown Dave', 'an unknown one');
$pg->exec("select hype.create_link(identifier => 'dave')");
is_soon { answer('/ref/Dave') } 'hit dave', 'is found when it is made';
$pg->exec("update hype.referral_link set disabled = true
           where identifier = 'dave'");
is_soon { answer('/ref/DAVE.') } 'disabled dave', 'and disabled';
$pg->link('DAVE');
is_soon { answer('/ref/DAVE') } 'hit DAVE', 'one as written comes first';


# While the database is away, what is not known is resolved later

$pg->link($_) for qw(later Later2 later2);
$pg->link('Later3', disabled => 't');
$pg->link('later3');
$pg->exec('delete from hype.referral_hit');

$proxy->refuse;
$proxy->cut;

like(answer('/ref/ALICE'), qr/^spooled ALICE$/i,
     'away: a link that was asked for');
is(answer("/ref/$_"), 'spooled ' . s/[)!]//r, "$_ has not been asked for")
    for qw(LATER LATER. Later2 LATER2 Later3 Elsewhere);
is(answer('/ref/LATER)'), 'spooled later', 'LATER) can only be "later"');
is(answer('/strict/LATER'), 'spooled LATER', 'strict: LATER is another');

$proxy->admit;

is_soon {
    $pg->text('select l.identifier, count(*) from hype.referral_hit h
               join hype.referral_link l on l.id = h.referral_link_id
               group by 1 order by l.identifier collate "C"')
} "Later2|1\nalice|1\nlater|3\nlater2|1\n",
    'back: as written first, then as typed; a dead link has no hit';

done_testing();
