# A visitor stays the same over many hits: the cookie is renewed, not replaced.

use lib 't/lib';
use Hype::Test;

my $pg = database();
$pg->link('abc');
$pg->link('disabled', disabled => 't');

my $nginx = nginx(pg => $pg, server => <<'END');
add_header Visitor $hype_visitor;

location /ref/ {
    hype_ref;
}

location /named/ {
    hype_ref;
    hype_cookie Visitor;
}
END

my $a = '0b5c8f5a-7f8e-4b0a-9d7e-2f4f5a6b7c8d';
my $b = 'ffffffff-ffff-4fff-bfff-ffffffffffff';
my $time = '018f0000-0000-7000-8000-000000000001';
my $uuid = qr/^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

# The visitor that the answer's cookie names, if the hit has it as well

sub visitor
{
    my (@headers) = @_;

    my $path = @headers % 2 ? shift @headers : '/ref/abc';
    my $r = $nginx->get($path, @headers);
    my ($row) = $pg->query('delete from hype.referral_hit returning visitor');
    my $cookie = $r->cookie($path =~ /named/ ? 'Visitor' : 'hype_visitor') // '';

    return ($row->[0] // '') eq $cookie ? $cookie
         : "cookie $cookie, row " . ($row->[0] // '');
}

my $first = visitor();
my $second = visitor();

like($first, $uuid, 'a new visitor');
like($second, $uuid, 'another one');
isnt($first, $second, 'they are not the same');

# in the order of their time, which many share

{
    my @answers = $nginx->visits(count => 1000, connections => 16,
                                 path => '/ref/abc');
    my %visitors = map { $_->cookie('hype_visitor') => 1 } @answers;
    my %times = map { substr($_, 0, 13) => 1 } keys %visitors;

    is(keys %visitors, 1000, 'new visitors are all different');
    cmp_ok(keys %times, '<', 1000, 'also those of the same millisecond');
    is($pg->value('select count(*) from hype.referral_hit a
                   join hype.referral_hit b
                   on a.created < b.created and a.visitor >= b.visitor'), 0,
       'and are in the order of time');

    $pg->exec('delete from hype.referral_hit');
}

is(visitor(Cookie => "hype_visitor=$first"), $first, 'the cookie comes back');
is(visitor(Cookie => "hype_visitor=$a"), $a, 'from somewhere else');
is(visitor(Cookie => "hype_visitor=$time"), $time, 'of any version');
is(visitor(Cookie => 'hype_visitor=' . uc $a), $a, 'in upper case');
is(visitor(cookie => "hype_visitor=$a"), $a, 'with the header in lower case');

is(visitor(Cookie => "a=b; hype_visitor=$a; c=d"), $a, 'among others');
is(visitor(Cookie => "a=b;hype_visitor=$a;c=d"), $a, 'without spaces');
is(visitor(Cookie => " hype_visitor=$a ;"), $a, 'with too many');
is(visitor(Cookie => "xhype_visitor=$b; hype_visitor=$a"), $a,
   'behind a name that ends so');
is(visitor(Cookie => "hype_visitor2=$b; hype_visitor=$a"), $a,
   'behind one that begins so');
is(visitor(Cookie => "x=hype_visitor=$b; hype_visitor=$a"), $a,
   'behind a value that looks so');
is(visitor(Cookie => "flag; hype_visitor=$a"), $a, 'behind one without value');
is(visitor(Cookie => 'a=' . 'x' x 4000 . "; hype_visitor=$a"), $a,
   'behind a long one');

is(visitor(Cookie => 'a=b', Cookie => "hype_visitor=$a"), $a,
   'in the second of two headers');
is(visitor(Cookie => "hype_visitor=$a", Cookie => 'a=b'), $a, 'in the first');
is(visitor(Cookie => "hype_visitor=$a", Cookie => "hype_visitor=$b"), $a,
   'in both: the first counts');
is(visitor(Cookie => "hype_visitor=$a; hype_visitor=$b"), $a,
   'the first of two, which has the longer path');
is(visitor(Cookie => "hype_visitor=x; hype_visitor=$b"), $b,
   'the first that is one');
is(visitor(Cookie => 'hype_visitor=', Cookie => "hype_visitor=$b"), $b,
   'the first that is one, in two headers');

# What is no visitor is replaced by a hit

for my $case (
    ['' => 'an empty one'],
    ['x' => 'no UUID'],
    ["$a-x" => 'one with more behind it'],
    [substr($a, 0, 35) => 'one with less'],
    [$a =~ tr/-//dr => 'without hyphens'],
    ["{$a}" => 'in braces'],
    ["\"$a\"" => 'in quotes'],
    [$a =~ s/-/_/gr => 'with other hyphens'],
    [$a =~ s/0/g/r => 'with a wrong digit'],
    [$a =~ s/0/\%30/r => 'percent-encoded'],
    ["$a,$b" => 'a list'],
    ["urn:uuid:$a" => 'a URN'],
    ["'; drop table hype.referral_hit; --" => 'something else'],
) {
    my ($value, $name) = @$case;
    my $visitor = visitor(Cookie => "hype_visitor=$value");

    like($visitor, $uuid, "$name is replaced");
    isnt($visitor, $a, 'by a new one');

    for my $skipped (['HEAD', '/ref/abc'], ['GET', '/ref/unknown'],
                     ['GET', '/ref/disabled'])
    {
        my $r = $nginx->request(@$skipped, Cookie => "hype_visitor=$value");
        is_deeply([$r->header('Set-Cookie')], [], "not by @$skipped");
    }
}

# Names are case-sensitive

for my $name (qw(Hype_Visitor HYPE_VISITOR hype-visitor)) {
    my $visitor = visitor(Cookie => "$name=$a");

    like($visitor, $uuid, "$name is another cookie");
    isnt($visitor, $a, 'and not used');
}

is(visitor('/named/abc', Cookie => "visitor=$b; hype_visitor=$b; Visitor=$a"),
   $a, 'another name');
is(visitor('/named/abc', Cookie => "Visitor=$a; hype_visitor=$b"), $a,
   'is the only one');

# One cookie is set, and others are left alone

my $r = $nginx->get('/ref/abc', Cookie => "a=b; hype_visitor=$a");

is(scalar(my @lines = $r->header('Set-Cookie')), 1, 'one Set-Cookie');
is($r->header('Visitor'), $a, '$hype_visitor is the visitor');

done_testing();
