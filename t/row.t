# What the module makes of a hit, a claim and a confirm, read by PostgreSQL: as
# a binary COPY, and as the SQL statements that are for people.

use lib 't/lib';
use Hype::Test;
use Hype::Row;

my $pg = database();
my $row = Hype::Row->new($pg);

my @texts = texts();
my @hits = (hit(link => 1));

push @hits, hit(link => 1, flags => $_) for qw(a b ab);

push @hits, hit(link => 1, created => $_)
    for 0, 1, 946684799999, 946684800000, 1735689600000, 253402300799999;

push @hits, hit(link => $_)
    for 2, 256, 2**32, '9223372036854775807', '-9223372036854775808', -1;

push @hits, hit(link => 1, visitor => $_)
    for "\0" x 16, "\xff" x 16, '0123456789abcdef';

push @hits, hit(link => 1, ip => $_)
    for qw(0.0.0.0 255.255.255.255 127.0.0.1 192.0.2.1 :: ::1 2001:db8::1
           ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff ::ffff:1.2.3.4 fe80::1:0:2);

# every byte in every text

for my $byte (map { chr } 0 .. 255) {
    push @hits, hit(link => 1, map { $_ => "a${byte}b$byte" } @texts);
}

my $all = join '', map { chr } 0 .. 255;
push @hits, hit(link => 1, map { $_ => $all } @texts);
push @hits, hit(link => 1, map { $_ => "\0" } @texts);

for my $text ("'", "''", "\\", "\\'", "\\\\'", "\\x41", "\\u0041", "\\0", 'E',
              "E''", '$$', '$1', '--', '/*', '; drop table x;', "x'; --", ':x',
              ":'x'", "\\q", "\n\\q\n", "\r\n", "\t", '%s%n%d', 'NULL', '\N',
              "caf\xc3\xa9", "\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80",
              "\xc2\x85\xc2\x9b\xe2\x80\xa8\xe2\x80\xae", "\xef\xbf\xbd",
              "\xf4\x8f\xbf\xbf", "\xed\xa0\x80", "\xc0\xaf", ' ', '  x  ',
              'x' x 8192, "\xff" x 8192, "\xf0\x9f\x98\x80" x 20000) {

    push @hits, hit(link => 1, map { $_ => $text } @texts);
}

push @hits, hit(link => 1, $_ => $_) for @texts;

srand 1;

for (1 .. 500) {
    push @hits, hit(
        link => 1 + int rand 1e6,
        created => int rand 4e12,
        flags => ('', 'a', 'b', 'ab')[rand 4],
        visitor => join('', map { chr rand 256 } 1 .. 16),
        ip => join('.', map { int rand 256 } 1 .. 4),
        map { $_ => join '', map { chr rand 256 } 1 .. rand 40 } @texts);
}

my @unknown = map { hit(identifier => $_, user_agent => $_) }
              'a', 'abc-1.~_', 'x' x 64;

$pg->link($_->{identifier}) for @unknown;


# Rows

$pg->exec('create table copied as select * from hype.referral_hit');

is($row->copy('copied', @hits, @unknown), '', 'PostgreSQL takes the rows');
is_rows('copied', 'a row has the columns that it was made of',
        @hits, @unknown);

is($row->copy('copied'), '', 'it takes no rows at all');


# Statements

my $sql = $row->output('sql', @hits, @unknown);

is(scalar(() = $sql =~ /\n/g), @hits + @unknown, 'a statement a line');
unlike($sql, qr/[^\x20-\x7e\n]/, 'of printable ASCII characters only');

for my $encoding (qw(LATIN1 UTF8)) {
    local $ENV{PGCLIENTENCODING} = $encoding;

    is($row->run_sql($sql), '', "psql runs them ($encoding)");
    is_rows('hype.referral_hit', '... and the rows are the same, once',
            @hits, map { +{ %$_, link => link_id($_->{identifier}) } }
                   @unknown);
}

like($row->run_sql($row->output('sql', hit(identifier => 'not-there'))),
     qr/null value in column "referral_link_id"/,
     'a hit of a link that is not there is no row');


# Claims and confirms

my $visitor = 'fedcba9876543210';

for my $text ('42', "o'r\\ei\n\0\xff\xc3\xa9", "a user $all") {
    $pg->exec('truncate hype.visitor_claim, hype.pending_confirm');

    is($row->run_sql($row->output('claim', {
        visitor => $visitor, user_id => $text, created => 0,
        event => '', value => '',
    })), '', 'psql runs a claim');
    $pg->exec('select hype.derive()');
    is($pg->text('select encode(uuid_send(visitor), \'escape\'),
                  encode(convert_to(user_id, \'UTF8\'), \'hex\')
                  from hype.visitor_claim'),
       "$visitor|" . hex_of($text) . "\n", 'it claims the visitor');

    # not the visitor that was claimed, for that one is a user now

    is($row->run_sql(join '', map { $row->output('confirm', $_) } (
        { visitor => '', user_id => $text, created => 1_700_000_000_123,
          event => $text, value => '-12.50' },
        { visitor => 'x' x 16, user_id => '', created => 1_700_000_000_124,
          event => 'paid', value => $text eq '42' ? '' : $text },
    )), '', 'psql runs confirms');
    is($pg->text('select encode(convert_to(event, \'UTF8\'), \'hex\'),
                  encode(convert_to(user_id, \'UTF8\'), \'hex\'),
                  encode(uuid_send(visitor), \'escape\'), value,
                  round(extract(epoch from created) * 1000)
                  from hype.pending_confirm order by created'),
       hex_of($text) . '|' . hex_of($text) . "||-12.50|1700000000123\n"
       . hex_of('paid') . '||' . 'x' x 16 . "||1700000000124\n",
       'they confirm the event, a value that is no number being none');
}

done_testing();


sub link_id
{
    my ($identifier) = @_;

    return $pg->value('select id from hype.referral_link where identifier = ?',
                      $identifier);
}


sub hex_of
{
    my ($bytes) = @_;

    $bytes =~ s/( [\x01-\x7f]
                | [\xc2-\xdf] [\x80-\xbf]
                | \xe0 [\xa0-\xbf] [\x80-\xbf]
                | [\xe1-\xec\xee\xef] [\x80-\xbf]{2}
                | \xed [\x80-\x9f] [\x80-\xbf]
                | \xf0 [\x90-\xbf] [\x80-\xbf]{2}
                | [\xf1-\xf3] [\x80-\xbf]{3}
                | \xf4 [\x80-\x8f] [\x80-\xbf]{2}
                ) | . / $1 \/\/ "\xef\xbf\xbd" /gesx;

    return unpack 'H*', $bytes;
}


sub is_rows
{
    my ($table, $name, @expected) = @_;

    my $texts = join ', ', map { "encode(convert_to($_, 'UTF8'), 'hex')" }
                @texts;

    my @rows = $pg->query(<<"END");
select encode(uuid_send(id), 'hex'), referral_link_id,
       round(extract(epoch from created) * 1000), authenticated, bot,
       encode(uuid_send(visitor), 'hex'), abbrev(ip), $texts, confirmed
from $table order by id
END

    my @wrong;

    for my $hit (@expected) {
        my $row = shift @rows // [];
        my @want = (
            unpack('H*', $hit->{id}),
            $hit->{link} || undef,
            $hit->{created},
            ($hit->{flags} =~ /a/ ? 't' : 'f'),
            ($hit->{flags} =~ /b/ ? 't' : 'f'),
            ($hit->{visitor} eq '' ? undef : unpack 'H*', $hit->{visitor}),
            $hit->{ip},
            (map { $hit->{$_} eq '' ? undef : hex_of($hit->{$_}) } @texts),
            undef,
        );

        my ($got, $want) = map { join '|', map { $_ // 'NULL' } @$_ }
                           $row, \@want;
        push @wrong, "$got, expected $want" if $got ne $want;
    }

    splice @wrong, 3 if @wrong > 3;
    is(join("\n", map { substr $_, 0, 500 } @wrong), '', $name);
    is(scalar @rows, 0, '... and there are no others');
}
