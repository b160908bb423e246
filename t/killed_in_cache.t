# A worker is killed while it changes the link cache: the others see that, and
# begin with an empty one.  It happens in about one of 100,000 kills, so here it
# is made to look as if it had happened: in the shared memory, whose layout is
# that of struct ngx_http_hype_cache_sh_s, and of ngx_http_hype_metrics_t, which
# begins with the mark.

use lib 't/lib';
use Hype::Test;
use Hype::Fault;

no warnings 'portable';

plan(skip_all => 'it takes root to write into the memory of nginx') if $> != 0;

my $size = 1 << 20;
my $lists = 16;
my $pool_end = 96;              # of ngx_slab_pool_t

my $pg = cluster();
my @links = fault_links($pg, 20);
my $nginx = fault_nginx(pg => $pg, http => "hype_zone hype:$size;");


sub peek
{
    my ($memory, $at) = @_;

    sysseek $memory, $at, 0 or die "seek: $!";
    sysread($memory, my $word, 8) == 8 or die "read: $!";
    return unpack 'Q', $word;
}


sub poke
{
    my ($memory, $at, @words) = @_;

    sysseek $memory, $at, 0 or die "seek: $!";
    syswrite($memory, pack 'Q*', @words) or die "write: $!";
}


# The slab pool ends with the address of its user's data, and its own.  All workers
# are held meanwhile: one that is at work with the cache would see half of it.

sub break
{
    my @workers = $nginx->workers;
    my $worker = $workers[0];
    my ($pool) = map { hex } read_file("/proc/$worker/maps")
        =~ /^([0-9a-f]+)-(??{ sprintf '%x', $size + hex $1 }) rw-s/m;

    open my $memory, '+<:raw', "/proc/$worker/mem" or die $!;
    my ($end) = grep { peek($memory, $pool + $_) == $pool }
                map { 8 * $_ } reverse 1 .. 60;
    my $sh = peek($memory, $pool + $end - 8);

    my $mark = peek($memory, $pool + $pool_end);

    ok($mark > $pool && $mark < $pool + $size, 'the mark is in the zone');

    wait_until {
        kill 'STOP', @workers;
        wait_until { !grep { read_file("/proc/$_/stat") !~ /\) T / } @workers } 20,
            'the workers to stop';
        peek($memory, $mark) == 0 or kill('CONT', @workers) && 0;
    } 10, 'a moment when nobody changes the cache';

    poke($memory, $sh + $lists, 1, 2, 3, 4);
    poke($memory, $mark, 1);
    kill 'CONT', @workers;
}


fault 'a worker dies while it changes the link cache', pg => $pg,
    nginx => $nginx, link => \@links, sub {
    my ($load) = @_;

    for (1 .. 3) {
        $load->more(200);
        break();
    }

    $load->more(200);
};

is(() = $nginx->error_log =~ /\[warn\].* hype: a worker died while it changed the link cache, emptied the cache/g,
   3, 'the log tells of it');

$nginx->quit;

done_testing();
