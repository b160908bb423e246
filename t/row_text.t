# Text of any bytes, as the module hands it to PostgreSQL: what is well-formed stays
# as it is, and nothing is refused.

use lib 't/lib';
use Hype::Test;
use Hype::Row;

my $pg = database();
my $row = Hype::Row->new($pg);

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

$pg->exec('create table copied as select * from hype.referral_hit');

is($row->copy('copied', map {
       hit(user_agent => $_, next => unpack 'H*', $_) } @bytes), '',
   'PostgreSQL takes whatever text is made of bytes');
is($pg->value('select count(*) from copied'), scalar @bytes, '... all of it');
is($pg->text('select next, accepts(decode(next, \'hex\')) from copied
              where (convert_to(user_agent, \'UTF8\') = decode(next, \'hex\'))
                    <> accepts(decode(next, \'hex\')) limit 5'),
   '', 'text that it accepts, and no other, stays as it is');

done_testing();
