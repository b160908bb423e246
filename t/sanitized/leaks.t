# LeakSanitizer is at work in nginx's master and workers, and what it finds is
# seen by the tests.

use lib 't/lib';
use Hype::Test;

my $dir = temp_dir('leak');
chmod 0711, $dir;

write_file("$dir/leak.c", <<'END');
#include <stdlib.h>

__attribute__((constructor)) static void
leak(void)
{
    char *volatile  p;

    p = malloc(4242);
    p[0] = 'x';
    p = NULL;
}
END

my ($status, $output) = run(command => [
    $ENV{CC} // 'cc', '-shared', '-fPIC', '-o', "$dir/leak.so", "$dir/leak.c"]);

is($status, 0, 'the leak is built') or diag($output);

my $pg = database();
my $nginx = do {
    local $ENV{ASAN_OPTIONS} = "$ENV{ASAN_OPTIONS}:verify_asan_link_order=0";
    local $ENV{LD_PRELOAD} = "$dir/leak.so";
    nginx(pg => $pg, server => 'location /ref/ { hype_ref; }');
};

my @pids = ($nginx->pid, $nginx->workers);

is($nginx->get('/ref/abc/')->status, 302, 'nginx answers');
$nginx->quit;

is(scalar(() = $nginx->error_log =~ /4242 byte\(s\) leaked/g), 2, 'two leaks');

my @complaints = $nginx->complaints;

for my $pid (@pids) {
    is(scalar(grep { /^==$pid==ERROR: LeakSanitizer/ } @complaints), 1,
       "process $pid complains");
}

$nginx->{allow} = [qr/LeakSanitizer: detected memory leaks/,
                   qr/^Direct leak of 4242 byte|4242 byte\(s\) leaked/,
                   qr/^ +#\d+ 0x/];

done_testing();
