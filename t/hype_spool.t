# hype-spool shows what is in the spool, and brings it back.

use lib 't/lib';
use Hype::Test;
use Hype::Fault qw(spool_files);

use JSON::PP qw(decode_json);

my $build = $ENV{BUILD} // source_dir() . '/build';
my $program = "$build/hype-spool";
-x $program or die "$program: build it with \"make\"\n";

my $pg = database();
my $proxy = proxy($pg);
my $link = $pg->link('known');
$pg->link('later');

my $nginx = nginx(pg => $proxy, server => <<'END');
hype_user $arg_user;
add_header X-Outcome $hype_outcome always;

location /ref/ {
    hype_ref;
    hype_bot $arg_bot;
}

location /paid {
    hype_confirm paid value=$arg_value;
    return 200 thanks;
}

location /home {
    return 200 home;
}
END

my $dir = temp_dir('copies');
my $visitor = '0f0e0d0c-0b0a-4908-8706-050403020100';
my @cookie = (Cookie => "hype_visitor=$visitor");

is(outcome('/ref/known/'), 'hit', 'a hit is in the database');

$proxy->refuse;
$pg->terminate;
wait_until { outcome('/ref/known/?bot=1', @cookie) eq 'spooled' } 10,
    'the database to be away';

is(outcome('/ref/later/?next=%2Fcaf%C3%A9%22%5C%0A%F0%9F%98%80', @cookie,
           'User-Agent' => "\x1b[31m"), 'spooled', 'more are in the spool');
$nginx->get('/home?user=42', @cookie);
$nginx->get('/paid?user=42&value=9.90');
$nginx->quit;

# hits, claims and confirms have files of their own; all in one is what the
# version before wrote

my @files = map { my $name = $_; grep { /$name$/ } spool_files($nginx) }
            qw(\d\.spool \.claims\.spool \.confirms\.spool);
is(@files, 3, 'a file for each kind');
my ($status, $output) = hype_spool('--check', $nginx->dir . '/hype_spool');
like($output, qr/^\S+\d\.spool: \d+ bytes, hits: [1-9]\d*, claims: 0, confirms: 0$/m,
     'hits');
like($output, qr/^\S+\.claims\.spool: \d+ bytes, hits: 0, claims: 1, confirms: 0$/m,
     'claims');
like($output, qr/^\S+\.confirms\.spool: \d+ bytes, hits: 0, claims: 0, confirms: 1$/m,
     'confirms');

my $file = $files[0];
my $bytes = join '', map { read_file($_) } @files;
unlink @files;
write_file($file, $bytes);
my @stat = stat $file;


# JSON

($status, $output) = hype_spool($file);
is($status, 0, 'all is well');
unlike($output, qr/[^\x20-\x7e\n]/, 'printable ASCII characters only');

my @records = map { decode_json($_) } split /\n/, $output;
my ($claim) = grep { $_->{type} eq 'claim' } @records;
my ($confirm) = grep { $_->{type} eq 'confirm' } @records;
my @hits = grep { $_->{type} eq 'hit' } @records;
my ($first, $last) = @hits[0, -1];

is($first->{referral_link_id}, $link, 'a hit has its link');
is_deeply([map { $_->{bot} ? 1 : 0 } $first, $last], [1, 0], 'flags');
is($first->{ip}, '127.0.0.1', 'an address');
is($first->{visitor}, $visitor, 'a visitor');
is($first->{user_id}, undef, 'and no user');
like($first->{created}, qr/^20\d\d-\d\d-\d\d \d\d:\d\d:\d\d\.\d{6}\+00$/,
     'the time');
is_deeply([@$last{qw(identifier referral_link_id)}], ['later', undef],
          'a link that is not known has its identifier');
is($last->{next}, "/caf\x{e9}\"\\\n\x{1f600}", 'text is escaped');
is($last->{user_agent}, "\x1b[31m", 'for terminals, too');
is_deeply([@$claim{qw(visitor user_id)}], [$visitor, '42'], 'a claim');
is_deeply([@$confirm{qw(event user_id value)}], ['paid', '42', '9.90'],
          'a confirm');
is_deeply([map { $_->{file} } @records], [($file) x @records], 'the file');

my $end = $last->{offset};
is(substr($bytes, $end + 9, 1), "\1", 'and the offset in it');

is_deeply([hype_spool($nginx->dir . '/hype_spool')], [$status, $output],
          'a folder has the same');
my $all = hype_lines('-');
is($all, @records, 'so has standard input');
like((hype_spool('--check', $file))[1],
     qr/^\Q$file\E: ${\length $bytes} bytes, hits: ${\scalar @hits}, claims: 1, confirms: 1\n$/,
     'a summary');


# SQL

($status, my $sql) = hype_spool('--sql', $file);
write_file("$dir/sql", $sql);

for my $time ('', ' again') {
    is(($pg->psql('-q', '-o', '/dev/null', '-f', "$dir/sql"))[1], '',
       "psql runs it$time");
}

is($pg->hits, 1 + @hits, 'hits are in the database, once');
is_soon {
    $pg->value('select again from hype.derive()');
    $pg->value('select user_id from hype.referral_hit where id = ?', $first->{id}) // ''
} '42', 'and claimed';
is($pg->value('select next from hype.referral_hit where id = ?', $last->{id}),
   "/caf\xc3\xa9\"\\\n\xf0\x9f\x98\x80", 'to the byte');

is(read_file($file), $bytes, 'the file is as it was');
is_deeply([(stat $file)[1, 7, 9, 10]], [@stat[1, 7, 9, 10]],
          'and was not touched');


# Damage

my $cut = copy(substr $bytes, 0, length($bytes) - 1);
($status, $output) = hype_spool($cut);
is($status, 1, 'cut short');
is(hype_lines($cut), @records - 1, 'what is whole is shown');
like($output, qr/^hype-spool: \Q$cut\E: a record is cut short at byte/m,
     'with what is missing');

substr(my $flipped = $bytes, 20, 1) ^= "\1";
my $damaged = copy($flipped);
is((hype_spool($damaged))[0], 1, 'damaged');
is(hype_lines($damaged), 0, 'the rest is left out');
is(hype_lines('--resume', $damaged), @records - 1, 'or shown');
like((hype_spool('-rc', $damaged))[1],
     qr/: damaged at byte 0 of .*left out: $records[1]{offset} bytes$/s,
     'and counted');

substr(my $newer = $bytes, 8, 1) = "\4";
substr($newer, 4, 4) = pack 'N', crc(substr $newer, 8, $records[1]{offset} - 8);
($status, $output) = hype_spool(copy($newer));
is($status, 1, 'of another version');
like($output, qr/a record of a version that is not known at byte 0/, 'it says');

# A hit that was sent to Citus, with the node that it was sent to

substr(my $sent = substr($bytes, 0, $records[1]{offset}), 8, 4) = "\3\1\1\x81";
substr($sent, 4, 4) = pack 'N', crc(substr $sent, 8);
($status, $output) = hype_spool(copy($sent));
is($status, 0, 'a hit with a node');
is_deeply({ %{ decode_json($output) }, file => '' },
          { %{ $records[0] }, file => '' }, 'is shown as one without');

$sql = (hype_spool('--sql', copy($sent)))[1];
like($sql, qr/^SELECT hype\.replay\(.*, nodes => ARRAY\[385\]::smallint\[\]\);$/,
     'as SQL it is replayed with its node');
write_file("$dir/sql", $sql);
my $row = sub {
    $pg->text('select to_jsonb(h) - array[\'xact\', \'user_id\', \'void\'] from
               hype.referral_hit h where id = ?', $first->{id})
};
my $inserted = $row->();
$pg->query('delete from hype.referral_hit where id = ?', $first->{id});
is(($pg->psql('-q', '-o', '/dev/null', '-f', "$dir/sql"))[1], '',
   'psql runs that');
is($row->(), $inserted, 'it writes the same hit');

# A hit of a module that had neither its source nor its arguments

my $old = substr $bytes, 0, $records[1]{offset};
is($records[0]{type}, 'hit', 'a hit');
ok(exists $records[0]{args}, 'has arguments');
substr($old, -8) = '';
substr($old, 0, 4) = pack 'N', length $old;
substr($old, 8, 1) = "\1";
substr($old, 17 + unpack('N', substr $old, 12, 4), 1) = "\13";
substr($old, 4, 4) = pack 'N', crc(substr $old, 8);
($status, $output) = hype_spool(my $left = copy($old));
is($status, 0, 'a hit of an older module');
is_deeply({ %{ decode_json($output) }, file => '' },
          { %{ $records[0] }, file => '' }, 'is shown as one of today');
like((hype_spool('--sql', $left))[1],
     qr/, source, args\) VALUES \(.*, NULL, NULL\) ON CONFLICT DO NOTHING;$/m,
     'as SQL, too');

is((hype_spool(copy('')))[0], 0, 'an empty file is well');


# Mistakes

for my $arguments ([], ['--nonsense', $file], ["$dir/nothing"],
                   ["$dir/nothing", $file]) {
    is((hype_spool(@$arguments))[0], 2, "exit status of \"@$arguments\"");
}

is(system("'$program' '$file' > /dev/full 2> /dev/null") >> 8, 2,
   'a full disk is noticed');
like((hype_spool('--help'))[1], qr/^Usage: hype-spool/, 'help');

# ... of the module, and of the package

my ($version) = read_file(source_dir() . '/debian/changelog') =~ /\(([\d.]+)/;

for my $option ('--version', '-V') {
    is_deeply([hype_spool($option)], [0, "hype-spool $version\n"], $option);
}

done_testing();


sub outcome
{
    my ($path, @headers) = @_;

    return $nginx->get($path, @headers)->header('X-Outcome');
}


sub hype_spool
{
    return run(command => [$program, @_]);
}


# How many records it prints

sub hype_lines
{
    my (@arguments) = @_;

    my @lines = `'$program' @arguments < '$file' 2> /dev/null`;
    return scalar @lines;
}


my $copies;

sub copy
{
    my ($text) = @_;

    my $name = "$dir/" . ++$copies;
    write_file($name, $text);
    return $name;
}


sub crc
{
    my ($text) = @_;

    my $crc = 0xffffffff;

    for my $byte (unpack 'C*', $text) {
        $crc ^= $byte;
        $crc = $crc & 1 ? ($crc >> 1) ^ 0xedb88320 : $crc >> 1 for 1 .. 8;
    }

    return $crc ^ 0xffffffff;
}
