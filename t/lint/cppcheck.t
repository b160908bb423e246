# cppcheck finds nothing.

use lib 't/lib';
use Hype::Lint;
use Hype::Test;

my @flags = flags();
my @theirs = map { m{^-I(.*)} && index($1, source_dir() . '/src') != 0
                   ? "--suppress=*:$1/*" : () } @flags;

for my $source (sources()) {
    my ($status, $output) = run(
        command => ['cppcheck', '--quiet', '--std=c99', '--error-exitcode=1',
                    '--enable=warning,performance,portability', @theirs,
                    @flags, $source],
        chdir => source_dir());

    is($status, 0, $source) or diag($output);
}

done_testing();
