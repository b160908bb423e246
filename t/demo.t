# The demo: what it prints works, and it ends without a trace.

use lib 't/lib';
use Hype::Test;
use Hype::Util qw(spawn stop_process);

my $demo = source_dir() . '/bin/demo';
my $tmp = temp_dir('demo');

$ENV{HYPE_MODULE} = Hype::Nginx::module();
$ENV{TMPDIR} = $tmp;
delete $ENV{HYPE_PG_TEMPLATE};

my ($status, $output) = run(command => [$demo, '--check']);

is($status, 0, 'the URLs it prints work, and hits arrive') or diag($output);
unlike($output, qr/Ctrl-C/, 'without a word of Ctrl-C, as it ends by itself');
like($output, qr/ claimed +the visitor is bob\n/, 'it shows a claim');
like($output, qr/ abc123 .* confirmed +signup of bob, thanks to alice\n/,
     'and a confirm');
unlike($output, qr/# in nginx's error log/, 'nothing bad in the error log');
is_deeply([glob "$tmp/*"], [], 'it leaves no files');

for my $signal (qw(INT TERM HUP)) {
    my $log = "$tmp/log";
    write_file($log, '');

    my $pid = spawn(command => [$demo], output => $log);
    wait_until { read_file($log) =~ /What comes in/ } 60, 'the demo to start';

    my ($url) = read_file($log) =~ m{Open (\S+)};
    like(read_file($log), qr/curl -i '\S+\?ref=abc123'/, '"?ref=" is shown');
    my ($page) = read_file($log) =~ m{^The status page: http://[^/]+(/\S+)$}m;
    my ($port) = $url =~ /:(\d+)/;
    is(http_get($port, $page)->status, 200, 'so is the status page');
    ($page) = read_file($log) =~ m{^What alice sees .*: http://[^/]+(/\S+)$}m;
    like(http_get($port, $page)->body, qr/<html/, '- and the page of a user');
    my $r = http_get($port, '/ref/abc123/?next=/pricing');

    like($r->location, qr{/pricing$}, 'a visit');
    wait_until { read_file($log) =~ m{abc123 .* hit  +/pricing} } 10,
        'the demo to show the hit';

    is(stop_process($pid, $signal, 30), 0, "SIG$signal ends it");
    eval { http_open($port) };
    ok($@, 'nginx is gone');

    unlink $log;
    is_deeply([glob "$tmp/*"], [], 'and so are its files');
}

done_testing();
