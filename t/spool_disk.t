# The spool's disk does what it should not: files that can't be read, removed,
# or written through, a clock that goes back, an end that was never written.

use lib 't/lib';
use Hype::Test;
use Hype::Fault;
use Hype::Shim;

my $shim = Hype::Shim->new or plan(skip_all => 'no library to preload');
my $pg = cluster();
my ($link) = fault_links($pg);
my $nginx = $shim->around(sub {
    fault_nginx(pg => $pg, workers => 1, database => 'timeout=10s',
                allow => [qr/\[crit\].* hype: spool: /])
});
my $dir = $nginx->dir . '/hype_spool';


sub outcome { scalar $nginx->get("/ref/$link/?next=/$_[0]")->header('X-Outcome') }
sub files { map { s{.*/}{}r } spool_files($nginx) }
sub count { scalar(() = $nginx->error_log =~ /$_[0]/g) }


# The bytes of so many hits, as they are in a spool file

sub take
{
    my ($next, $n) = @_;

    $pg->stop;
    outcome("$next-$_") for 1 .. $n;
    $shim->around(sub { $nginx->quit });

    my @files = spool_files($nginx);
    @files == 1 or die scalar(@files) . ' spool files';
    my $bytes = read_file($files[0]);
    unlink $files[0];

    $pg->start;
    return $bytes;
}



# Makes hits until one is in a file.

sub works_again
{
    my ($next) = @_;

    return wait_until {
        outcome($next);
        grep { read_file("$dir/$_") =~ m{/$next} } files();
    } 10, 'the spool to work again';
}


# How many of these are there, once or more.

sub nexts
{
    return $pg->value('select count(distinct next) from hype.referral_hit where next = any (?)',
                      [map { "/$_" } @_]);
}


outcome('warm');

# A file that can't be read does not hold up those behind it

my $bytes = take('unreadable', 2);
my $more = do { $shim->around(sub { $nginx->start }); take('behind', 2) };

$shim->set('pread 5 0');
spool_put($nginx, '0001-unreadable.spool' => $bytes, '0002-behind.spool' => $more);
$shim->around(sub { $nginx->start });

is_soon { $pg->hits("next like '/behind-%'") } 2,
    'what is behind a file that can not be read is written';
is_soon { join ' ', files() } '0001-unreadable.spool', 'that one is kept';
is($pg->hits("next like '/unreadable-%'"), 0, 'as it is');
like($nginx->error_log,
     qr/\[crit\].* hype: spool: read ".*unreadable\.spool" failed .*Input\/output/,
     'and the log tells of it');

$shim->set;
is_soon { $pg->hits("next like '/unreadable-%'") } 2, 'later it is read';
is_soon { scalar(my @files = files()) } 0, 'and goes';

# A file that can't be removed is not written again and again

my @replays = (0, 0);
$bytes = take('stays', 5);
$shim->set('unlink 13 0');
spool_put($nginx, '0001-stays.spool' => $bytes);
$shim->around(sub { $nginx->start });
is_soon { $pg->hits("next like '/stays-%'") } 5, 'a file that can not be removed';
is_soon { -s "$dir/0001-stays.spool" } 0, 'is emptied';
my $adopted = count(qr/adopted spool file ".*stays\.spool"/);

for my $next ('0002-next.spool', '0003-next.spool') {
    spool_put($nginx, $next => $bytes);
    is_soon { -s "$dir/$next" } 0, 'while others are read';
}

is(count(qr/adopted spool file ".*stays\.spool"/), $adopted,
   'and is not read again');
is(count(qr/spool: remove ".*stays\.spool" failed/), 1, 'the log tells of it once');
$shim->set;
is_soon { scalar(my @files = files()) } 0, 'once it can be, it is removed';

# The clock is set back an hour just after the disk failed

$pg->stop;
outcome('before');
$shim->set('write 5 0');
is(outcome('failed'), 'spooled', 'the disk fails');
$shim->set('clock -3600 0');
ok(works_again('earlier'), 'the spool works again after the clock is set back');
$shim->set;
$pg->start;
is_soon { nexts('before', 'failed', 'earlier') } 3, 'all is there';

# A write that leaves half a record, which can't be cut off

$pg->stop;
outcome('torn-1');
my ($torn) = files();
$shim->set('short 0 0', 'ftruncate 5 0');
outcome('torn-2');
$shim->set;
works_again('probe');
is(outcome("torn-$_"), 'spooled', 'half a record in a file') for 3, 4;
my @now = files();
is(@now, 2, 'what comes is in another file');
unlike(read_file("$dir/$torn"), qr/torn-[34]/, 'not behind it');
$shim->around(sub { $nginx->stop('KILL'); $nginx->start });
$pg->start;
is_soon { $pg->hits("next ~ '^/torn-[134]'") } 3, 'all that is whole is read';
is_soon { scalar(my @files = files()) } 0, 'and goes';

# The same where nothing is in the file yet: no file, no descriptor is left

sub inherited
{
    my ($worker) = $nginx->workers;
    my @fds = grep { (readlink("/proc/$worker/fd/$_") // '') =~ /\.spool$/ }
        map { m{/(\d+)$} } glob "/proc/$worker/fd/*";

    return join ' ', map {
        my ($flags) = read_file("/proc/$worker/fdinfo/$_") =~ /^flags:\s+(\d+)/m;
        oct($flags) & 02000000 ? 0 : 1;
    } @fds;
}

$pg->stop;
outcome('leak-0');
like(inherited(), qr/^(?:0 )*0$/, 'a program that the worker runs gets no file');
$pg->start;
is_soon { scalar(my @files = files()) } 0, 'an empty spool';
$pg->stop;
$shim->set('short 0 0', 'ftruncate 5 0');
my ($worker) = $nginx->workers;
my $open = sub { scalar(my @fds = glob "/proc/$worker/fd/*") };
my $before = $open->();

for my $n (1 .. 3) {
    outcome("leak-$n");
    sleep 1.1;
}

is_soon { $open->() <= $before } 1, 'files that failed are closed';
$shim->set;
$pg->start;
is_soon { $pg->hits("next like '/leak-%'") } 4, 'all is there';
is_soon { scalar(my @files = files()) } 0, 'and no file is left';

# The end was never written when the machine crashed: it is zeros

$bytes = take('zeros', 3);
my @lengths = map { unpack 'N', substr $bytes, $_ } 0;
my $first = $lengths[0];
my $second = unpack 'N', substr $bytes, $first;
my $two = $first + $second;
my $mark = $nginx->mark;

spool_put($nginx, '0001-zeros.spool' => substr($bytes, 0, $two) . "\0" x 10_000,
    '0002-zeros.spool' => substr($bytes, 0, $two + 30)
                          . "\0" x (length($bytes) - $two - 30),
    '0003-zeros.spool' => substr($bytes, 0, $two + 7) . "\0" x 600_000,
    '0004-zeros.spool' => "\0" x 5000);
$shim->around(sub { $nginx->start });
is_soon { scalar(my @files = files()) } 0, 'files that end with zeros are read';
is($pg->text(q(select next, count(*) from hype.referral_hit
               where next like '/zeros-%' group by 1 order by 1)),
   "/zeros-1|1\n/zeros-2|1\n", 'up to there');
is(() = $nginx->error_log($mark) =~ /\[warn\].* cut short by a crash, skipped/g,
   4, 'a warning tells of each');
is_deeply([glob "$dir/*damaged"], [], 'nothing is kept');

# A length that is too large, with whole records behind it, is damage: far behind,
# too, where little is read at once because PostgreSQL is slow

$bytes = take('far', 4);
$pg->exec(q(create function slow() returns trigger language plpgsql as
            'begin perform pg_sleep(0.05); return new; end';
            create trigger slow before insert on hype.referral_hit
            for each row execute function slow()));
my $record = substr $bytes, 0, unpack 'N', $bytes;
spool_put($nginx, '0001-far.spool' => $record x 40
        . pack('N', 0xfffff) . "\xff" x 600_000 . $record);
$shim->around(sub { $nginx->start });
is_soon { join ' ', map { s{.*/}{}r } glob "$dir/*far*" } '0001-far.spool.damaged',
    'records far behind a wrong length: the file is kept', 30;
$pg->exec('drop trigger slow on hype.referral_hit; drop function slow');
unlink "$dir/0001-far.spool.damaged";

# Nor does a file of lengths take long to search

$mark = $nginx->mark;
$nginx->stop;
spool_put($nginx, '0001-lengths.spool' => pack('N', 0xfffff) . "\0\3" x 262_000);
$shim->around(sub { $nginx->start });
is_soon { join ' ', map { s{.*/}{}r } glob "$dir/*lengths*" }
    '0001-lengths.spool.damaged', 'a file of lengths is kept';
unlink "$dir/0001-lengths.spool.damaged";
unlike($nginx->error_log($mark), qr/lengths.*cut short/, 'not left out');

# Zeros in the middle are damage

push @{ $nginx->{allow} }, qr/hype: spool file ".*" is damaged/;
spool_put($nginx, '0005-hole.spool' => substr($bytes, 0, $first + 12)
                         . "\0" x ($second - 12) . substr $bytes, $two);
is_soon { scalar(my @files = files()) } 0, 'a file with a hole is read';
is_deeply([map { s{.*/}{}r } glob "$dir/*damaged"], ['0005-hole.spool.damaged'],
          'and kept');
unlink "$dir/0005-hole.spool.damaged";

# A file that has become shorter

$bytes = take('short', 3);
$shim->set('pread 5 0');
spool_put($nginx, '0001-unreadable.spool' => $bytes);
$shim->around(sub { $nginx->start });
is_soon { $nginx->error_log($mark) =~ /adopted spool file ".*0001-unreadable\.spool"/ } 1,
    'a file that is held';
truncate "$dir/0001-unreadable.spool", 0 or die $!;
$shim->set;
is_soon { scalar(my @files = files()) } 0, 'and cut short by somebody else, goes';
is(outcome('after'), 'hit', 'and all goes on');

# After a sync that fails, what comes is not behind what may be lost

$shim->around(sub {
    $nginx->restart(http => <<'END') });
hype_durability spool;
hype_spool hype_spool sync=always;
END
$pg->stop;
outcome('synced');
my ($suspect) = files();
$shim->set('fsync 5 0');
is(outcome('suspect'), 'spooled', 'a sync fails');
$shim->set;
works_again('apart');
unlike(read_file("$dir/$suspect"), qr/apart/, 'what comes is in another file');
$pg->start;
is_soon { nexts('synced', 'suspect', 'apart') } 3, 'all is there';
is_soon { scalar(my @files = files()) } 0, 'and no file is left';

# A large spool has larger files, as each of them is kept open

$shim->around(sub {
    $nginx->restart(http => 'hype_spool hype_spool max_size=2g;')
});
outcome('warm');
$pg->stop;
$nginx->visits(count => 5000, connections => 32, path => "/ref/$link/?next=/large",
               headers => sub { ('User-Agent' => 'x' x 7000,
                                 Referer => 'x' x 7000) });
my @large = spool_files($nginx);
is(@large, 1, 'a large spool has larger files');
cmp_ok(-s $large[0], '>', 17 * 1024 * 1024, 'than a small one');
$pg->start;
is_soon { $pg->hits("next = '/large'") } 5000, 'which are read', 30;
is_soon { scalar(my @files = files()) } 0, 'and go';

$nginx->quit;

done_testing();
