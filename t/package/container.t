# The images of examples/container: built on Debians of their own, and run with
# PostgreSQL beside them, as compose.yaml has it.
#
# Images can't be fetched where this runs: the base is made of packages, and so is
# what stands in for the official image of PostgreSQL.

use lib 't/lib';
use Hype::Test;
use Hype::Util qw(at_end);

my $source = source_dir();
my @as_root = $> == 0 ? () : ('sudo', '-n');

plan skip_all => 'it takes root, or sudo without a password, to make containers'
    if (do_it(@as_root, 'true'))[0];

my $storage = "$source/build/containers";
my @buildah = (@as_root, 'env', 'BUILDAH_ISOLATION=chroot', 'buildah',
               '--root', "$storage/root", '--runroot', "$storage/run",
               '--storage-driver', 'vfs');

must(@as_root, 'rm', '-rf', $storage);
at_end(sub { !(do_it(@as_root, 'rm', '-rf', $storage))[0] });

my $debian = must(@as_root, 'bin/fetch', 'debian', 'trixie');
$debian =~ s/.*\n(?=.)//s;
chomp $debian;

my $base = must(@buildah, 'from', 'scratch');
chomp $base;
must(@as_root, 'mkdir', '-p', $storage);
must(@as_root, 'tar', '-C', $debian, '-cf', "$storage/base.tar", '.');
must(@buildah, 'add', '-q', $base, "$storage/base.tar", '/');
must(@buildah, 'commit', '-q', $base, 'localhost/hype-debian');

build('localhost/hype', 'examples/container/Containerfile', DEBIAN => 'localhost/hype-debian');
build('localhost/postgres', 't/package/Containerfile.postgres');

my ($status, $output) = do_it(@as_root, 'unshare', '--net', '--pid', '--fork',
                              '--kill-child', '--mount-proc',
                              't/package/in-container', "$storage/work",
                              @buildah);

for my $line (split /\n/, $output) {
    $line =~ /^(not )?ok \d+ - (.*)/ ? ok(!$1, $2) : diag($line);
}

is($status, 0, 'to its end');

done_testing();


sub build
{
    my ($image, $file, %arguments) = @_;

    my ($status, $output) = do_it(@buildah, 'build', '--network', 'host',
        (map { ('--build-arg', "$_=$arguments{$_}") } keys %arguments),
        '-t', $image, '-f', $file, '.');

    is($status, 0, "$file is built") or diag($output);
}


sub do_it
{
    return run(command => [@_], chdir => $source);
}


sub must
{
    my ($status, $output) = do_it(@_);

    die "@_:\n$output" if $status;
    return $output;
}
