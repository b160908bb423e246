# The spool: what it is for, and what can happen to its files.

use lib 't/lib';
use Hype::Test;
use Hype::Fault;
use Hype::Shim;
use Hype::Util qw(at_end server_user);

my $pg = cluster();
my $shim = Hype::Shim->new;
my $nginx = fault_nginx(pg => $pg, workers => 1);
my ($link) = fault_links($pg);
my $mounted = 0;
my $dir = $nginx->dir . '/hype_spool';
my @owner = defined server_user() ? (getpwnam server_user())[2, 3] : ($>, $));


sub outcome { scalar $nginx->get("/ref/$link/?next=/$_[0]")->header('X-Outcome') }


# Starts nginx, with other texts

sub begin
{
    my (%o) = @_;

    @$nginx{keys %o} = values %o;
    $nginx->_write_config;
    $nginx->start;
}


sub spooled
{
    my @files = spool_files($_[0] // $nginx);

    return scalar @files;
}


# Files in the spool's folder, as a worker would have left them

sub put
{
    my (%files) = @_;

    for my $name (keys %files) {
        write_file("$dir/$name.new", $files{$name});
        chown @owner, "$dir/$name.new";
        chmod 0600, "$dir/$name.new";
        rename "$dir/$name.new", "$dir/$name";
    }
}


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


# The order of a worker's hits

$nginx->get("/ref/$link/");
$pg->stop;
is(grep({ outcome("order-$_") eq 'spooled' } 1 .. 300), 300, 'hits are spooled');
$pg->start;
is_soon { $pg->hits("next like '/order-%'") } 300, 'and arrive';
is($pg->value(q(select string_agg(substr(next, 8), ' ' order by ctid)
                from hype.referral_hit where next like '/order-%')),
   join(' ', 1 .. 300), 'in their order');
is_soon { spooled() } 0, 'the spool is empty';

# durability

$nginx->restart(http => 'hype_durability spool;', workers => 2);

fault 'durability spool', pg => $pg, nginx => $nginx, spooled => 1, rate => 0,
    sub { $_[0]->more(3000) };

fault 'durability spool, PostgreSQL restarts', pg => $pg, nginx => $nginx,
    spooled => 1, sub {
    my ($load) = @_;
    $load->more(200);
    $pg->restart('immediate');
    $load->more(400);
};

for my $sync (qw(always 50ms)) {
    $nginx->restart(http => "hype_durability spool; hype_spool hype_spool sync=$sync;");
    fault "durability spool, sync=$sync", pg => $pg, nginx => $nginx,
        spooled => 1, sub { $_[0]->more(1000) };
}

# A backlog is worked off while new hits go on

$nginx->restart(http => '', workers => 2);

fault 'a backlog of 10,000 hits', pg => $pg, nginx => $nginx, rate => 0,
    journeys => 100, sub {
    my ($load) = @_;
    $load->more(100);
    $pg->stop;
    $load->more(10_000);
    $pg->start;
    wait_until { spooled() == 0 || $load->answered % 7 == 0 } 20;
    $load->more(500);
};

# Torn tails: files cut off at every byte of their last record.  All of them
# have the same records, as copies of a file do: each is to be there once.

my ($bytes, @answers) = take('torn', 3);
my @records = records($bytes);
is(@records, 3, 'a file of three records');

my $whole = length($records[0]) + length $records[1];
put(map { sprintf('%012x-torn.spool', $_) => substr $bytes, 0, $_ }
    $whole + 1 .. length($bytes) - 1);

begin(workers => 2);
$pg->start;
is_soon { spooled() } 0, 'files that were cut off at every byte are read', 30;
is($pg->text(q(select next, count(*) from hype.referral_hit where next like '/torn-%' group by 1 order by 1)),
   "/torn-1|1\n/torn-2|1\n", 'whole records are there, once');
like($nginx->error_log, qr/\[warn\].* hype: spool file ".*" was cut short by a crash, skipped \d+ bytes at $whole/,
     'a warning tells of the others');
unlike($nginx->error_log, qr/\[alert\]/, 'not more');
is_deeply([glob "$dir/*damaged"], [], 'nothing is kept');

put('ffffffffffff-whole.spool' => $bytes);
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

put(%flipped);
begin(workers => 2);
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
put('repaired.spool' => $bytes);
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
substr($newer, 8, 1) = "\2";
put('1-version.spool' => $records[1] . sealed($newer) . $records[2],
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

# A file that nginx may not read does not keep it from spooling

SKIP: {
    skip 'root reads all files', 3 if $> != 0;

    push @{ $nginx->{allow} }, qr/\[crit\].* hype: .*foreign/;
    put('foreign.spool' => $bytes);
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
put(map { sprintf('%012x-many.spool', $_) => $records[$_ % @records] } 1 .. 3000);
begin(workers => 2, main => 'worker_rlimit_nofile 200;');
$pg->start;

fault 'thousands of files', pg => $pg, nginx => $nginx, sub {
    my ($load) = @_;
    $load->more(500);
    wait_until { spooled() <= 2 } 60, 'files to be read';
    $load->more(100);
};

is($pg->value("select count(*) || ' ' || count(distinct id) from hype.referral_hit where next like '/many-%'"),
   '200 200', 'each record is there once');

# A full disk

SKIP: {
    skip 'a small disk takes root, and leave to mount it', 7
        if $> != 0;

    $nginx->stop;
    system("mount -t tmpfs -o size=64k none $dir 2>/dev/null") == 0
        or skip 'no leave to mount a small disk', 7;
    $mounted = 1;
    at_end(sub { system('umount', '-l', $dir) if $mounted; 1 });
    chown @owner, $dir;

    push @{ $nginx->{allow} }, qr/\[crit\].* hype: spool: .*No space left on device/;
    begin(main => '');

    fault q(the spool's disk is full), pg => $pg, nginx => $nginx, spooled => 1,
        sub {
        my ($load) = @_;
        $load->more(100);
        $pg->stop;
        $load->more(1500);
        $pg->start;
        $load->more(100);
    };

    $nginx->restart(http => 'hype_durability spool;');
    my $log = $nginx->mark;
    system("dd if=/dev/zero of=$dir/filler bs=4096 2>/dev/null");

    fault q(the spool's disk is full, durability spool), pg => $pg,
        nginx => $nginx, spooled => 0, sub {
        my ($load) = @_;
        $load->more(300);
        unlink "$dir/filler";
        wait_until { $nginx->error_log($log) =~ /the spool works again/ } 20,
            'the spool to work again';
        $load->more(100);
    };

    like($nginx->error_log($log),
         qr/\[crit\].* hype: spool: write ".*" failed .*No space left on device/,
         'the log tells of it');
    $nginx->stop;
    system('umount', $dir);
    $mounted = 0;
}

# A folder that can't be written to, or is gone

push @{ $nginx->{allow} }, qr/\[crit\].* hype: spool: .*(?:Permission denied|No such file)/;

for my $durability (qw(commit spool)) {
    begin(main => '', http => "hype_durability $durability;");

    SKIP: {
        skip 'all may write', 3 if $> != 0;

        fault "the spool's folder is read-only, durability $durability", pg => $pg,
            nginx => $nginx, sub {
            my ($load) = @_;
            chmod 0500, $dir;
            $load->more(200);
            $pg->stop;
            $load->more(200);
            $pg->start;
            $load->more(100);
            chmod 0700, $dir;
            $load->more(100);
        };
    }

    wait_until { spooled() == 0 } 20, 'the spool to be empty';
    rename $dir, "$dir.away";

    fault "the spool's folder is gone, durability $durability", pg => $pg,
        nginx => $nginx, sub {
        my ($load) = @_;
        $load->more(200);
        $pg->stop;
        $load->more(200);
        $pg->start;
        $load->more(100);
        rename "$dir.away", $dir;
        $load->more(100);
    };

    $nginx->stop;
}

# Calls that fail, or take their time

SKIP: {
    skip 'no library to preload', 1 if !$shim;

    push @{ $nginx->{allow} }, qr/\[crit\].* hype: spool: .*Input\/output error/,
        qr/\[crit\].* hype: spool: write .*No space left/;

    for my $durability (qw(commit spool)) {
        $shim->set;
        $shim->around(sub { begin(http => "hype_durability $durability;") });

        fault "the spool's disk fails (EIO), durability $durability", pg => $pg,
            nginx => $nginx, sub {
            my ($load) = @_;

            for my $fault ('write 5 0', 'short 0 0') {
                $load->more(100);
                $pg->stop;
                $load->more(100);
                $shim->set($fault);
                $load->more(300);
                $shim->set;
                $load->more(100);
                $pg->start;
                $load->more(100);
            }
        };

        like($nginx->error_log, qr/\[crit\].* hype: spool: write .*Input\/output/,
             'the log tells of it');
        $nginx->stop;
    }

    # fsync is waited for, but not by others

    $shim->around(sub { begin(workers => 1, http => <<'END',
hype_durability spool;
hype_spool hype_spool sync=always;
END
        server => "$nginx->{server} location = /other { return 204; }") });
    outcome('warm');
    $shim->set('fsync 0 700');

    my $load = $nginx->visits_start(count => 5, connections => 5,
                                    path => "/ref/$link/?next=/synced");
    wait_for_waiting($nginx, 5);
    my $begin = time;
    is($nginx->get('/other')->status, 204, 'others are answered');
    cmp_ok(time - $begin, '<', 0.4, 'while files are synced');
    my @answers = $load->wait;
    cmp_ok((sort { $a <=> $b } map { $_->seconds } @answers)[0], '>', 0.5,
           'an answer waits for that');
    is(grep({ $_->header('X-Outcome') eq 'spooled' } @answers), 5, 'and comes');

    # what is written during a sync is synced after it

    $shim->set('fsync 0 500');
    my $syncs = $shim->syncs;
    my @loads = map {
        my $load = $nginx->visits_start(path => "/ref/$link/?next=/later");
        wait_for_waiting($nginx, $_);
        $load;
    } 1 .. 3;
    $_->wait for @loads;
    $shim->set;
    is_soon { $shim->syncs - $syncs > 1 ? 1 : 0 } 1,
        'what is written while files are synced is synced, too';

    # the same when the database is away

    for my $sync (qw(always 100ms)) {
        $nginx->stop;
        $shim->around(sub { begin(http => "hype_spool hype_spool sync=$sync;") });
        $pg->stop if $pg->running;
        $shim->set('fsync 0 500');
        my ($before, $begun) = ($shim->syncs, $shim->syncs_begun);

        for my $n (1 .. 2) {
            is(outcome("away-$n"), 'spooled', "the database is away, sync=$sync");
            wait_until { $shim->syncs_begun > $begun } 10, 'a sync to begin';
        }

        $shim->set;
        is_soon { $shim->syncs - $before > 1 ? 1 : 0 } 1, 'the file is synced again';
    }

    $pg->start;
    is_soon { $pg->hits("next like '/away-%'") } 4, 'hits arrive';

    # a sync that fails

    $nginx->stop;
    $shim->around(sub { begin(http => <<'END') });
hype_durability spool;
hype_spool hype_spool sync=always;
END

    $shim->set('fsync 5 0');
    is(outcome('unsynced'), 'spooled', 'a sync that fails: the visitor goes on');
    is_soon { $pg->hits("next = '/unsynced'") } 1, 'and the hit arrives';
    like($nginx->error_log, qr/\[crit\].* hype: spool: fsync/, 'the log tells of it');

    $nginx->stop;
}

done_testing();
