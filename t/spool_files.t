# Files in the spool: cut short, damaged, of other versions, of others, and many.

use lib 't/lib';
use Hype::Test;
use Hype::Fault;

my $pg = cluster();
my $nginx = fault_nginx(pg => $pg, workers => 1);
my ($link) = fault_links($pg);
my $dir = $nginx->dir . '/hype_spool';


sub outcome { scalar $nginx->get("/ref/$link/?next=/$_[0]")->header('X-Outcome') }
sub spooled { scalar(my @files = spool_files($nginx)) }


# Spool files with so many hits, made by nginx without a database

sub take
{
    my ($next, $n) = @_;

    $pg->stop if $pg->running;
    $nginx->restart(workers => 1);
    my @answers = map { $nginx->get("/ref/$link/?next=/$next-$_") } 1 .. $n;
    $nginx->quit;

    my @files = spool_files($nginx);
    @files == 1 or die scalar(@files) . ' spool files';
    my $bytes = read_file($files[0]);
    unlink $files[0];

    return ($bytes, @answers);
}


sub records
{
    my ($bytes) = @_;

    my @records;
    push @records, substr $bytes, 0, unpack('N', $bytes), '' while length $bytes;
    return @records;
}


# Torn tails: files cut off at every byte of their last record.  All of them
# have the same records, as copies of a file do: each is to be there once.

my ($bytes, @answers) = take('torn', 3);
my @records = records($bytes);
is(@records, 3, 'a file of three records');

my $whole = length($records[0]) + length $records[1];
spool_put($nginx, map { sprintf('%012x-torn.spool', $_) => substr $bytes, 0, $_ }
    $whole + 1 .. length($bytes) - 1);

$nginx->restart(workers => 2);
$pg->start;
is_soon { spooled() } 0, 'files that were cut off at every byte are read', 30;
is($pg->text(q(select next, count(*) from hype.referral_hit where next like '/torn-%' group by 1 order by 1)),
   "/torn-1|1\n/torn-2|1\n", 'whole records are there, once');
like($nginx->error_log, qr/\[warn\].* hype: spool file ".*" was cut short by a crash, skipped \d+ bytes at $whole/,
     'a warning tells of the others');
unlike($nginx->error_log, qr/\[alert\]/, 'not more');
is_deeply([glob "$dir/*damaged"], [], 'nothing is kept');

spool_put($nginx, 'ffffffffffff-whole.spool' => $bytes);
is_soon { $pg->hits("next = '/torn-3'") } 1, 'the whole file has the last one';
is_soon { spooled() } 0, 'and goes';
is($pg->value("select count(*) || ' ' || count(distinct id) from hype.referral_hit where next like '/torn-%'"),
   '3 3', 'a file that is read twice makes no row twice');

# Flipped bits

push @{ $nginx->{allow} }, qr/hype: spool file ".*" is (?:damaged|of a version)/;
($bytes, @answers) = take('flip', 3);
my $log = $nginx->mark;

my %flipped = map {
    my $copy = $bytes;
    substr($copy, $_, 1) = chr(ord(substr $copy, $_, 1) ^ 1 << $_ % 8);
    sprintf('%012x-flip.spool', $_) => $copy;
} 0 .. length($bytes) - 1;

spool_put($nginx, %flipped);
$nginx->restart(workers => 2);
$pg->start;
is_soon { spooled() } 0, 'files with one flipped bit at every place are read', 30;

my %damaged = map { s{.*/}{}r => 1 } glob "$dir/*.damaged";
my @lost = grep { !$damaged{"$_.damaged"} } sort keys %flipped;
is("@lost", '', 'each is kept');
is(scalar(() = $nginx->error_log($log) =~ /\[alert\].* hype: spool file ".*\.spool" is damaged at byte \d+ of \d+, and is kept as ".*\.damaged"/g),
   keys %flipped, 'with an alert');
is($pg->text(q(select next, count(*) from hype.referral_hit where next like '/flip-%' group by 1 order by 1)),
   "/flip-1|1\n/flip-2|1\n", 'the records before the damage are there, once');
is($pg->value(q(select string_agg(visitor::text, ' ' order by next) from hype.referral_hit where next like '/flip-%')),
   join(' ', map { $_->cookie('hype_visitor') } @answers[0, 1]), 'unchanged');

# ... and one can repair a file, and give it back

unlink glob "$dir/*.damaged";
spool_put($nginx, 'repaired.spool' => $bytes);
is_soon { $pg->hits("next = '/flip-3'") } 1, 'a file that is put back is read';
is_soon { spooled() } 0, 'and goes';

# What is no spool file, or of another version

sub sealed
{
    my ($record) = @_;

    my $crc = 0xffffffff;

    for my $byte (unpack 'C*', substr $record, 8) {
        $crc ^= $byte;
        $crc = $crc & 1 ? $crc >> 1 ^ 0xedb88320 : $crc >> 1 for 1 .. 8;
    }

    substr($record, 4, 4) = pack 'N', $crc ^ 0xffffffff;
    return $record;
}


@records = records($bytes);
is(sealed($records[0]), $records[0], 'the checksum is that of zlib');

my $newer = $records[0];
substr($newer, 8, 1) = "\4";
spool_put($nginx, '1-version.spool' => $records[1] . sealed($newer) . $records[2],
    '2-noise.spool' => join('', map { chr int rand 256 } 1 .. 5000),
    '3-zeros.spool' => "\0" x 5000, '4-empty.spool' => '', 'notes.txt' => "x\n");
is_soon { spooled() } 0, 'files that are none are read';
is(join(' ', map { s{.*/}{}r } sort glob "$dir/*.damaged"),
   '1-version.spool.damaged 2-noise.spool.damaged',
   'and kept, but for one of zeros');
like($nginx->error_log, qr/1-version\.spool" is of a version that is not known/,
     'the log tells of a newer one');
ok(-e "$dir/notes.txt", 'other files are left alone');
unlink glob("$dir/*.damaged"), "$dir/notes.txt";

# What a module has left whose hits had neither source nor arguments

my @old = map { my $r = $_;
                substr($r, -8) = '';
                substr($r, 0, 4) = pack 'N', length $r;
                substr($r, 8, 1) = "\1";
                substr($r, 17 + unpack('N', substr $r, 12, 4), 1) = "\13";
                $r =~ s{/flip-}{/left-};
                sealed($r) } @records;

spool_put($nginx, 'old.spool' => join '', @old);
is_soon { $pg->hits("next like '/left-%'") } 0, 'a hit is there already';
is_soon { spooled() } 0, 'an old file is read';
$pg->exec("delete from hype.referral_hit where next like '/flip-%'");
my $mark = $nginx->mark;
spool_put($nginx, 'old.spool' => join '', @old);
is_soon { spooled() } 0, 'and once more';
unlike($nginx->error_log($mark), qr/refused/, 'PostgreSQL refuses none of it');
is($pg->text("select next, visitor, source, args from hype.referral_hit
              where next like '/left-%' order by next"),
   join('', map { "/left-" . ($_ + 1) . '|' . $answers[$_]->cookie('hype_visitor')
                  . "||\n" } 0 .. 2),
   'its hits are in the database');

# A file that nginx may not read does not keep it from spooling

SKIP: {
    skip 'root reads all files', 3 if $> != 0;

    push @{ $nginx->{allow} }, qr/\[crit\].* hype: .*foreign/;
    spool_put($nginx, 'foreign.spool' => $bytes);
    chown 0, 0, "$dir/foreign.spool";
    $pg->stop;
    wait_until { $nginx->error_log =~ /\[crit\].* hype: .*foreign/ } 10,
        'it to be seen';
    is(grep({ outcome("foreign-$_") eq 'spooled' } 1 .. 50), 50,
       'a file that nginx may not read');
    my $sizes = 0;
    $sizes += -s $_ for grep { !/foreign/ } spool_files($nginx);
    cmp_ok($sizes, '>', 50 * 100, 'hits are spooled beside it');
    $pg->start;
    is_soon { $pg->hits("next like '/foreign-%'") } 50, 'and arrive';
    unlink "$dir/foreign.spool";
}

# Many small files

($bytes, @answers) = take('many', 200);
@records = records($bytes);
spool_put($nginx, map { sprintf('%012x-many.spool', $_) => $records[$_ % @records] } 1 .. 3000);
$nginx->restart(workers => 2, main => 'worker_rlimit_nofile 200;');
$pg->start;

fault 'thousands of files', pg => $pg, nginx => $nginx, sub {
    my ($load) = @_;
    $load->more(500);
    wait_until { !grep { /many/ } spool_files($nginx) } 180, 'files to be read';
    $load->more(100);
};

is($pg->value("select count(*) || ' ' || count(distinct id) from hype.referral_hit where next like '/many-%'"),
   '200 200', 'each record is there once');

$nginx->quit;

done_testing();
