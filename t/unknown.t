# hype_status says which identifiers are asked for that no link has, so that a
# misprinted one is found.

use lib 't/lib';
use Hype::Test;

use JSON::PP qw(decode_json);

my $pg = database();
$pg->link('abc');

my $nginx = nginx(pg => $pg, workers => 2, server => <<'END');
location = /status { hype_status; }
location /ref/ { hype_ref; }
location / { hype_ref_param ref mode=direct; }
END

is_deeply(unknown(), [], 'none so far');

my $longest = 'x' x 64;

$nginx->get('/ref/flyer-2O24/') for 1 .. 30;
$nginx->get('/?ref=misprint') for 1 .. 5;
$nginx->get("/ref/$longest/") for 1 .. 3;
$nginx->get('/ref/abc/') for 1 .. 3;
$nginx->get("/ref/$_/") for 'a"b', '%3Cscript%3E', 'x' x 65, '%00', '';

is_deeply(unknown(), [{ identifier => 'flyer-2O24', visits => 30 },
                      { identifier => 'misprint', visits => 5 },
                      { identifier => $longest, visits => 3 }],
          'the most frequent first; none that exists, none that is malformed');

# Whoever tries identifiers out does not hide it.

$nginx->visits(count => 3000, connections => 32,
               path => sub { "/ref/tried-$_[0]/" });

my $list = unknown();
is($list->[0]{identifier}, 'flyer-2O24', 'it stands out among thousands');
cmp_ok($list->[0]{visits}, '>=', 29, 'with its visits');
is(scalar @$list, 20, 'the list has an end');

my $link = $pg->link('misprint');
is_soon {
    $nginx->get('/ref/misprint/');
    $pg->value('select count(*) > 0 from hype.referral_hit '
               . 'where referral_link_id = ?', $link);
} 't', 'a link that is made for it has hits at once';
is_soon {
    $nginx->get('/ref/misprint/');
    scalar grep { $_->{identifier} eq 'misprint' } @{ unknown() };
} 0, 'and is no longer in the list';

done_testing();


sub unknown
{
    return decode_json($nginx->get('/status')->body)->{unknown};
}
