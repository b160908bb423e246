# The images of examples/container: built on Debians of their own, and run with
# PostgreSQL beside them, as compose.yaml has it, and as a pod of examples/kubernetes.
#
# Images can't be fetched where this runs: the base is made of packages, and so is
# what stands in for the official image of PostgreSQL.  With HYPE_NGINX_ORG (see
# t/lib/Hype/Debian.pm) so is what stands in for that of nginx.

use lib 't/lib';
use Hype::Test;
use Hype::Debian;
use Hype::Util qw(at_end);

need_root('containers');

my %based;
my $storage = source_dir() . '/build/containers';
my @buildah = (as_root(), 'env', 'BUILDAH_ISOLATION=chroot', 'buildah',
               '--root', "$storage/root", '--runroot', "$storage/run",
               '--storage-driver', 'vfs');

must(as_root(), 'rm', '-rf', $storage);
at_end(sub { !(do_it(as_root(), 'rm', '-rf', $storage))[0] });

must(as_root(), 'mkdir', '-p', $storage);

base('trixie');
build('localhost/postgres', 't/package/Containerfile.postgres');
build('localhost/hype', 'examples/container/Containerfile',
      '--build-arg', 'DEBIAN=localhost/hype-trixie');
in_containers('in-container', 'localhost/hype', '/entrypoint.sh');
in_containers('in-pods', 'localhost/hype');

SKIP: {
    my ($folder, $deb, $suite) = nginx_org()
        or skip 'HYPE_NGINX_ORG is not set: no nginx of nginx.org', 1;

    my @volume = ('-v', "$folder:/nginx_org:ro");

    base($suite);
    build('localhost/nginx', 't/package/Containerfile.nginx', @volume,
          '--build-arg', "DEBIAN=localhost/hype-$suite");
    build('localhost/hype-nginx', 'examples/container/Containerfile.nginx', @volume,
          '--build-arg', 'NGINX=localhost/nginx',
          '--build-arg', 'SOURCES=file:///nginx_org');
    in_containers('in-container', 'localhost/hype-nginx', '/docker-entrypoint.sh');
}

done_testing();


sub base
{
    my ($suite) = @_;

    return if $based{$suite}++;

    my $base = must(@buildah, 'from', 'scratch');
    chomp $base;
    must(as_root(), 'tar', '-C', pristine($suite), '-cf', "$storage/base.tar", '.');
    must(@buildah, 'add', '-q', $base, "$storage/base.tar", '/');
    must(@buildah, 'commit', '-q', $base, "localhost/hype-$suite");
    must(as_root(), 'rm', "$storage/base.tar");
}


sub build
{
    my ($image, $file, @options) = @_;

    my ($status, $output) = do_it(@buildah, 'build', '--network', 'host', @options,
                                  '-t', $image, '-f', $file, '.');

    is($status, 0, "$file is built") or diag($output), done_testing(), exit;
}


sub in_containers
{
    my ($script, @image) = @_;

    must(as_root(), 'rm', '-rf', "$storage/work");
    must(as_root(), 'mkdir', '-p', "$storage/work");
    tap(do_it(as_root(), 'unshare', '--net', '--pid', '--fork', '--kill-child',
              '--mount-proc', "t/package/$script", "$storage/work", @image,
              @buildah));
}
