# clang-tidy finds nothing; .clang-tidy says what is looked for.

use lib 't/lib';
use Hype::Lint;
use Hype::Test;

my @flags = (qw(-Wall -Wextra -Wno-unused-parameter -include t/lint/queue.h),
             flags());

for my $source (sources()) {
    my ($status, $output) = run(
        command => ['clang-tidy', '--quiet', source_dir() . "/$source", '--',
                    @flags],
        chdir => source_dir());

    is($status, 0, $source) or diag($output);
}

done_testing();
