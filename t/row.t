# What the module makes of a hit, a claim and a confirm, read by PostgreSQL: as
# a binary COPY, and as the SQL statements that are for people.

use lib 't/lib';
use Hype::Test;

use Socket qw(AF_INET AF_INET6 inet_pton);

my $build = $ENV{BUILD} // source_dir() . '/build';
my $filter = "$build/unit/record_filter";
-x $filter or die "$filter: build it with \"make unit\"\n";

my $pg = database();
my $dir = temp_dir('row');
chmod 0755, $dir;

my $ids = 0;


# A hit: what is not given is NULL or false.

sub hit
{
    return {
        identifier => '',
        id => pack('N4', 0x01020304, 0x05067708, 0x890a0b0c, ++$ids),
        link => 0,
        created => 1_700_000_000_123,
        flags => '',
        visitor => '', user_id => '', ip => undef, user_agent => '',
        http_referer => '', next => '', source => '', args => '',
        @_,
    };
}


my @texts = qw(user_id user_agent http_referer next source args);
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

is(copy(@hits, @unknown), '', 'PostgreSQL takes the rows');
is_rows('copied', 'a row has the columns that it was made of',
        @hits, @unknown);

is(copy(), '', 'it takes no rows at all');


# Statements

my $sql = output('sql', @hits, @unknown);

is(scalar(() = $sql =~ /\n/g), @hits + @unknown, 'a statement a line');
unlike($sql, qr/[^\x20-\x7e\n]/, 'of printable ASCII characters only');

write_file("$dir/sql", $sql);

for my $encoding (qw(LATIN1 UTF8)) {
    local $ENV{PGCLIENTENCODING} = $encoding;

    is(psql('-f', "$dir/sql"), '', "psql runs them ($encoding)");
    is_rows('hype.referral_hit', '... and the rows are the same, once',
            @hits, map { +{ %$_, link => link_id($_->{identifier}) } }
                   @unknown);
}

write_file("$dir/sql", output('sql', hit(identifier => 'not-there')));
like(psql('-f', "$dir/sql"), qr/null value in column "referral_link_id"/,
     'a hit of a link that is not there is no row');


# Claims and confirms

my $visitor = 'fedcba9876543210';

for my $text ('42', "o'r\\ei\n\0\xff\xc3\xa9", "a user $all") {
    $pg->exec('truncate hype.visitor_claim, hype.pending_confirm');

    write_file("$dir/sql", output('claim', {
        visitor => $visitor, user_id => $text, created => 0,
        event => '', value => '',
    }));

    is(psql('-f', "$dir/sql"), '', 'psql runs a claim');
    $pg->exec('select hype.derive()');
    is($pg->text('select encode(uuid_send(visitor), \'escape\'),
                  encode(convert_to(user_id, \'UTF8\'), \'hex\')
                  from hype.visitor_claim'),
       "$visitor|" . hex_of($text) . "\n", 'it claims the visitor');

    # not the visitor that was claimed, for that one is a user now

    write_file("$dir/sql", join '', map { output('confirm', $_) } (
        { visitor => '', user_id => $text, created => 1_700_000_000_123,
          event => $text, value => '-12.50' },
        { visitor => 'x' x 16, user_id => '', created => 1_700_000_000_124,
          event => 'paid', value => $text eq '42' ? '' : $text },
    ));

    is(psql('-f', "$dir/sql"), '', 'psql runs confirms');
    is($pg->text('select encode(convert_to(event, \'UTF8\'), \'hex\'),
                  encode(convert_to(user_id, \'UTF8\'), \'hex\'),
                  encode(uuid_send(visitor), \'escape\'), value,
                  round(extract(epoch from created) * 1000)
                  from hype.pending_confirm order by created'),
       hex_of($text) . '|' . hex_of($text) . "||-12.50|1700000000123\n"
       . hex_of('paid') . '||' . 'x' x 16 . "||1700000000124\n",
       'they confirm the event, a value that is no number being none');
}


# What is well-formed text is for PostgreSQL to say.

$pg->exec(<<'END');
create function accepts(bytes bytea) returns boolean language plpgsql as $$
begin
    return convert_from(bytes, 'UTF8') is not null;
exception when others then
    return false;
end
$$;
END

my @edges = map { chr } 0x01, 0x7f, 0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf, 0xc0,
                        0xc2, 0xe0, 0xf4;
my @bytes = map { pack 'n', $_ } 0 .. 65535;

for my $first (map { chr } 0xc0 .. 0xff) {
    for my $second (map { chr } 0x7f .. 0xc0) {
        push @bytes, map { "$first$second$_" } "\x7f", "\x80", "\xbf", "\xc0";
    }

    next if $first lt "\xe8";

    for my $second (@edges) {
        for my $third (@edges) {
            push @bytes, map { "$first$second$third$_" } @edges;
        }
    }
}

$pg->exec('truncate copied');

is(copy(map { hit(user_agent => $_, next => unpack 'H*', $_) } @bytes), '',
   'PostgreSQL takes whatever text is made of bytes');
is($pg->value('select count(*) from copied'), scalar @bytes, '... all of it');
is($pg->text('select next, accepts(decode(next, \'hex\')) from copied
              where (convert_to(user_agent, \'UTF8\') = decode(next, \'hex\'))
                    <> accepts(decode(next, \'hex\')) limit 5'),
   '', 'text that it accepts, and no other, stays as it is');

done_testing();


sub output
{
    my ($mode, @records) = @_;

    my @names = $mode eq 'claim' || $mode eq 'confirm'
        ? qw(visitor user_id created event value)
        : (qw(identifier id link created flags visitor user_id ip),
           @texts[1 .. $#texts]);

    write_file("$dir/in", join '', map {
        my $record = $_;
        map {
            my $value = $record->{$_} // '';
            $value = address($value) if $_ eq 'ip' && $value ne '';
            pack 'N/a*', $value;
        } @names
    } @records);

    system("'$filter' $mode < '$dir/in' > '$dir/out'") == 0
        or die "$filter $mode failed\n";

    return read_file("$dir/out");
}


sub address
{
    my ($text) = @_;

    return inet_pton($text =~ /:/ ? AF_INET6 : AF_INET, $text);
}


# What psql says to a COPY or a file: nothing, if all is well.

sub copy
{
    write_file("$dir/copy", output('copy', @_));

    return psql('-c', "\\copy copied (id, referral_link_id, created, "
                . 'authenticated, bot, visitor, user_id, ip, user_agent, '
                . 'http_referer, next, source, args) '
                . "from '$dir/copy' with (format binary)");
}


sub psql
{
    my ($status, $output) = $pg->psql('-q', '-At', '-o', '/dev/null', @_);

    return $status && $output eq '' ? "exit status $status" : $output;
}


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
