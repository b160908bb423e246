# The Debian package: lintian has nothing to say, and in a Debian of its own it
# is installed, used, upgraded, removed and purged, with nothing left behind.  And
# version 0.1.0 is upgraded to it, with data.

use lib 't/lib';
use Hype::Test;
use Hype::Debian;
use Hype::Docs;

my $source = source_dir();
my $first = 'e96f16ccd090976f87f50eb3b9b055dc0be90c44';    # 0.1.0
my ($suite) = read_file('/etc/os-release') =~ /^VERSION_CODENAME=(\S+)/m;

need_root('a Debian');
plan skip_all => 'this is no suite of Debian that has a name' if !$suite;

my ($status, $output) = do_it('bin/package');
is($status, 0, 'it is built') or diag($output), done_testing(), exit;

my ($deb) = $output =~ m{^(build/\S+\.deb)$}m;

($status, $output) = do_it('lintian', '--allow-root', '--pedantic', '-I',
                           '--fail-on', 'error,warning,info,pedantic',
                           glob("$source/build/package/*.changes"));
is("$status$output", '0', 'lintian');

# The documentation is whole: its links lead to files that are there

my $root = temp_dir('package');
must('dpkg-deb', '-x', $deb, $root);
$root .= '/usr/share/doc/libnginx-mod-http-hype';

for my $page (keys %{ pages() }) {
    is_deeply([broken_links($root, $page)], [], "$page: links");
}

for my $file (map { s{^\Q$source\E/}{}r } glob "$source/monitoring/*") {
    ok(-e "$root/$file", $file);
}

ok(-e "$root/README.Debian", 'README.Debian');

my $run = kept($suite, 'run', sub {
    must('bin/chroot', '--online', $_[0], '/root/deps', 'run');
});

in_debian('in-debian', $deb);

# From the first version, which is built as its own tree says

SKIP: {
    skip 'the history of this clone has no 0.1.0', 1
        if (do_it('git', 'cat-file', '-e', "$first^{commit}"))[0];

    my $old = "$source/build/0.1.0";
    my $built = join '', glob "$old/build/libnginx-mod-http-hype_0.1.0_*.deb";

    if (!-e $built) {
        must('sh', '-c', 'rm -rf "$1"; mkdir -p "$1"; git archive "$2" | tar -x -C "$1"',
             'sh', $old, $first);
        $built = must("$old/bin/package") =~ m{^(build/\S+\.deb)$}m ? "$old/$1" : '';
    }

    in_debian('in-upgrade', $built, $deb);
}

done_testing();


sub in_debian
{
    my ($script, @packages) = @_;

    my $debian = copy_of($run);

    must(as_root(), 'mkdir', "$debian/hype");
    must(as_root(), 'cp', '-R', 'debian', 't', @packages, "$debian/hype");
    tap(do_it('bin/chroot', $debian, "/hype/t/package/$script",
              map { "/hype/" . s{.*/}{}r } @packages));
}
