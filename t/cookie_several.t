# Several cookies of our name, as a host and its domain may have them: each
# visitor is claimed, and each cookie is cleared.

use lib 't/lib';
use Hype::Test;

my $pg = database();
$pg->link('abc');

my $nginx = nginx(pg => $pg, server => <<'END');
hype_user $arg_user;

location /ref/ { hype_ref; }

location /domain/ {
    hype_cookie hype_visitor domain=example.com;
    hype_ref;
}
END

my @uuids = map { sprintf '0b5c8f5a-7f8e-4b0a-9d7e-%012x', $_ } 1 .. 20;
my ($a, $b, $c) = @uuids;
my $gone = 'hype_visitor=; Max-Age=0; Expires=Thu, 01 Jan 1970 00:00:00 GMT;';

claims_all(2, 'in one line', Cookie => "hype_visitor=$a; hype_visitor=$b");
claims_all(2, 'among others',
           Cookie => "x=$c; hype_visitor=$a; hype_visitors=$c; "
                     . "hype_visitor=y; hype_visitor=$b;");
claims_all(2, 'in two lines', Cookie => "hype_visitor=$a; x=y",
           Cookie => "hype_visitor=$b");
claims_all(1, 'the same one twice',
           Cookie => "hype_visitor=$a; hype_visitor=$a");
claims_all(16, 'no more than 16',
           Cookie => join '; ', map { "hype_visitor=$_" } @uuids);

$pg->exec('truncate hype.visitor_claim, hype.pending_claim');
my $r = $nginx->get('/domain/abc?user=42', Cookie =>
                    "hype_visitor=$a; hype_visitor=$b");
is_deeply([$r->header('Set-Cookie')],
          ["$gone Domain=example.com; Path=/; SameSite=Lax; HttpOnly",
           "$gone Path=/; SameSite=Lax; HttpOnly"],
          'that of the domain and that of the host are cleared');
is_soon { claims() } "$a $b", '- both are claimed';

$pg->exec('truncate hype.visitor_claim, hype.pending_claim,
           hype.referral_hit');
$r = $nginx->get('/ref/abc', Cookie => "hype_visitor=$b; hype_visitor=$a");
is($r->cookie('hype_visitor'), $b, 'a visit: the first one is the visitor');

done_testing();


sub claims_all
{
    my ($n, $name, @headers) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    $pg->exec('truncate hype.visitor_claim, hype.pending_claim');

    my $r = $nginx->get('/page?user=42', @headers);

    is_deeply([$r->header('Set-Cookie')],
              ["$gone Path=/; SameSite=Lax; HttpOnly"], "$name: cleared");
    is_soon { claims() } join(' ', @uuids[0 .. $n - 1]), '- and claimed';
}


sub claims
{
    return join ' ', map { $_->[0] } $pg->query(
        'select visitor from hype.visitor_claim order by visitor');
}
