# hype_status: its numbers are those of the traffic, in JSON as in the text for
# Prometheus, over all workers, in an outage, and after a reload.

use lib 't/lib';
use Hype::Test;
use Hype::Status;
use List::Util qw(sum0);

my $pg = cluster();
my $nginx = nginx(pg => $pg, workers => 4, database => 'timeout=5s',
    server => status_server() . <<'END');
    location /ref/ { hype_ref; }
    location = /in { hype_user $arg_user; try_files /index.html =404; }
    location = /paid {
        hype_user $arg_user;
        hype_confirm paid;
        try_files /index.html =404;
    }
END

my $began = time;

$pg->link($_) for 'a', 'b';
$pg->link('off', disabled => 't');
$pg->link('old', expires => '2020-01-01Z');

sub get
{
    my ($n, $path, @headers) = @_;

    return map { $nginx->get($path, @headers) } 1 .. $n;
}


# What must not change at a reload

sub counters
{
    my ($s) = @_;

    return { map { $_ => $s->{$_} } qw(started outcomes claims confirms batches) };
}


sub the_same { same_numbers($nginx, @_) }


# Requests

get(7, '/ref/a/');
get(3, '/ref/b');
$nginx->request('HEAD', '/ref/a/') for 1 .. 2;
get(2, '/ref/nobody');
get(2, '/ref/who');
get(1, '/ref/in%20valid');
get(1, '/ref/off');
get(3, '/ref/old');

my $visitor = '7ea9e5d8-fe5c-44b8-9ccc-73fc8c85a2e';
get(1, "/in?user=u$_", Cookie => "hype_visitor=$visitor$_") for 1 .. 2;
get(1, '/paid?user=u1');

is_soon { status($nginx)->{spool}{replayed} } 3,
    'two claims and a confirm pass through the spool';
is_soon { status($nginx)->{spool}{files} } 0, 'which has no files then';

my $s = status($nginx);

is_deeply($s->{outcomes}, { hit => 10, skipped => 2, unknown => 5, disabled => 1,
                            expired => 3, spooled => 0, dropped => 0 }, 'outcomes');
is_deeply([@$s{qw(claims confirms)}], [2, 1], 'claims and confirms');
is($s->{cache}{hits} + $s->{cache}{misses}, 20, 'look-ups, each once');
cmp_ok($s->{cache}{misses}, '>=', 6, 'the first ones are misses');
is_deeply([@{ $s->{cache} }{qw(links unknown stale evictions)}], [4, 2, 0, 0],
          'the link cache');
cmp_ok($s->{cache}{free}, '>', 7e6, 'has room');
cmp_ok($s->{cache}{free}, '<', $s->{cache}{size}, 'but is not empty');
is_deeply([@{ $s->{batches} }{qw(records rejected)}], [13, 0], 'records in batches');
is($s->{batches}{size}{sum}, 13, 'are the sum of sizes');
is($s->{batches}{size}{count}[-1], $s->{batches}{count}, 'of all batches');
is($s->{batches}{commit}{count}[-1], $s->{batches}{count}, 'each took its time');
is_deeply($s->{queue}, { records => 0, bytes => 0, waiting => 0 }, 'nothing waits');
is_deeply($s->{spool}, { enabled => JSON::PP::true, appended => 3, replayed => 3,
                         bytes => 0, files => 0, max_size => 1 << 30 }, 'the spool');
is_deeply($s->{links}, [{ identifier => 'a', hits => 7 },
                        { identifier => 'b', hits => 3 }], 'links of recent hits');
is($s->{database}{state}, 'up', 'the database is up');
is($s->{database}{errors}, 0, 'without errors');
is($s->{nginx}, join('.', $nginx->version), q(nginx's version));
cmp_ok(abs($s->{time} - time), '<', 10, 'the time');
ok($s->{started} >= $began - 10 && $s->{started} <= $s->{time},
   'and when it began');

is_deeply([sort map { $_->{pid} } @{ $s->{workers} }], [sort $nginx->workers],
          'all workers');
for my $state (qw(idle busy closed)) {
    is($s->{database}{connections}{$state},
       sum0(map { $_->{connections}{$state} } @{ $s->{workers} }),
       "connections that are $state");
}

is($s->{database}{connections}{idle} + $s->{database}{connections}{closed}, 9,
   'two for each worker, and the one for the derivation');
is_soon { status($nginx)->{derive}{calls} > 0 } 1, 'which is called';
is(status($nginx)->{derive}{errors}, 0, 'without errors');

the_same('the same for Prometheus');

my $text = $nginx->get('/metrics')->body;

SKIP: {
    my ($status, $output) = eval {
        run(command => ['sh', '-c', 'command -v promtool']);
    };
    skip 'no promtool', 3 if $status;

    write_file($nginx->dir . '/metrics', $text);
    ($status, $output) = run(command => ['sh', '-c', 'promtool check metrics < "$1"',
                                         'sh', $nginx->dir . '/metrics']);
    is($status, 0, 'promtool reads it');
    is($output, '', 'and has nothing to say');

    my ($yaml) = read_file('docs/metrics.md') =~ /^```yaml\n(.*?)```/ms;
    write_file($nginx->dir . '/prometheus.yml', $yaml);
    ($status, $output) = run(command => ['promtool', 'check', 'config',
                                         $nginx->dir . '/prometheus.yml']);
    is($status, 0, 'and what docs/metrics.md tells Prometheus') or diag($output);
}


# A reload

my $before = counters(status($nginx));
$nginx->reload;
is_soon { scalar $nginx->leaving } 0, 'after a reload, without the old workers,';
is_deeply(counters(status($nginx)), $before, 'the counters are the same');
is_deeply([sort map { $_->{pid} } @{ status($nginx)->{workers} }],
          [sort $nginx->workers], 'of new workers');
get(1, '/ref/b');
is(status($nginx)->{outcomes}{hit}, 11, 'and go on');


# An outage

$nginx->reload(workers => 2);
is_soon { scalar $nginx->leaving } 0, 'two workers';
get(4, '/ref/a');
$pg->stop;
get(8, '/ref/a');
$s = status($nginx);

is($s->{outcomes}{spooled}, 8, 'hits that are spooled');
is_soon { status($nginx)->{derive}{age} > 0 } 1, 'what they lead to has to wait';
is($s->{database}{state}, 'down', 'the database is down');
cmp_ok($s->{database}{errors}, '>', 0, 'with errors');
is($s->{cache}{stale}, 8, 'links are stale');
is($s->{spool}{appended} - $s->{spool}{replayed}, 8, 'records in the spool');
is($s->{spool}{bytes}, sum0(map { -s } files()), 'bytes of its files');
is($s->{spool}{files}, scalar(my @files = files()), 'their number');
is(sum0(map { $_->{spool} } @{ $s->{workers} }), $s->{spool}{bytes},
   'all to be read back');
ok((grep { $_->{away} } @{ $s->{workers} }), 'as a worker says');
is($s->{links}[0]{hits}, 19, 'these are recent hits, too');
the_same('the same for Prometheus');

$pg->start;
is_soon { status($nginx)->{spool}{replayed} } $s->{spool}{appended},
    'all are read back';
is_soon { my $s = status($nginx)->{spool}; "$s->{files} $s->{bytes}" } '0 0',
    'and no file is left';
is_soon { status($nginx)->{database}{state} } 'up', 'the database is up again';
is($pg->hits, 11 + 4 + 8, 'hits are there');
the_same('the same for Prometheus');


# Nothing takes them any more: neither the spool nor the memory

$nginx->reload(workers => 1, http => <<'END');
hype_spool hype_spool max_size=64k;
large_client_header_buffers 4 256k;
END
is_soon { scalar $nginx->leaving } 0, 'one worker';
push @{ $nginx->{allow} }, qr/\[alert\].* hype: dropped/;
$pg->stop;
$before = status($nginx)->{outcomes};

my $full = 0;
my $agent = 'x' x 3000;

for (1 .. 40) {
    get(200, '/ref/a?next=/' . $agent, 'User-Agent' => $agent, Referer => $agent);
    last if $full = status($nginx)->{outcomes}{dropped};
}

ok($full, 'a hit is dropped');
$s = status($nginx);
cmp_ok($s->{queue}{bytes}, '>', 15e6, 'when the memory is full');
is($s->{queue}{records} + $s->{spool}{appended} - $s->{spool}{replayed},
   $s->{outcomes}{spooled} - $before->{spooled},
   'of those that are not');
the_same('the same for Prometheus');
$pg->start;
is_soon { status($nginx)->{queue}{records} } 0, 'it is written later', 60;
is(status($nginx)->{queue}{bytes}, 0, 'to the last byte');


# A record that is set aside

$pg->exec(q(alter table hype.referral_hit
            add check (next is null or next <> '/bad') not valid));
get(1, '/ref/a?next=/bad');
is(status($nginx)->{batches}{rejected}, 1, 'a record is rejected');

$nginx->quit;


# docs/metrics.md has each number, by its type, and what JSON has looks as it does
# there

my $page = read_file('docs/metrics.md');
my (%documented, %paths);

while ($page =~ /^\| `(hype_\w+)(?:\{(\w+)=.*?)?` \| `([\w.]+)`.*? \| (\w+) \|/mg) {
    $documented{$1} = $4;
    $paths{$3} = 1;
}

my %types = $text =~ /^# TYPE (\w+) (\w+)$/mg;
is_deeply(\%documented, \%types, 'docs/metrics.md has all metrics');

my ($example) = $page =~ /^```text\n(\{"version".*?)```/ms;
is_deeply(shape(JSON::PP::decode_json($example)), shape($s), 'and all of JSON');

is_deeply([grep { !defined at($s, split /\./) } keys %paths], [], 'by its names');

done_testing();


# What a JSON text has, without its numbers

sub shape
{
    my ($value) = @_;

    return ref $value eq 'HASH' ? { map { $_ => shape($value->{$_}) } keys %$value }
         : ref $value eq 'ARRAY' ? [shape($value->[0])] : 'value';
}


sub at
{
    my ($value, @path) = @_;

    $value = $value->{$_} for @path;
    return $value;
}


sub files { return glob $nginx->dir . '/hype_spool/*.spool' }
