# A safe "next" is judged as a browser would: compared with Node's URL parser.

use lib 't/lib';
use Hype::Test;

my $build = $ENV{BUILD} // source_dir() . '/build';
my $filter = "$build/unit/next_filter";

plan skip_all => 'no node: install the package nodejs'
    if system('command -v node > /dev/null');

-x $filter or die "$filter: build it with \"make unit\"\n";

exec 'node', source_dir() . '/t/unit/next_oracle.js', $filter,
     $ENV{HYPE_SEED} // 1 or die "node: $!\n";
