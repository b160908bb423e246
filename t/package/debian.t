# The Debian package: lintian has nothing to say, and in a Debian of its own it
# is installed, used, upgraded, removed and purged, with nothing left behind.

use lib 't/lib';
use Hype::Test;
use Hype::Docs;
use Hype::Util qw(at_end);

my $source = source_dir();
my @as_root = $> == 0 ? () : ('sudo', '-n');
my ($suite) = read_file('/etc/os-release') =~ /^VERSION_CODENAME=(\S+)/m;

plan skip_all => 'it takes root, or sudo without a password, to make a Debian'
    if (do_it(@as_root, 'true'))[0];
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

my $debian = prepare();
at_end(sub { !(do_it(@as_root, 'rm', '-rf', "$debian.test"))[0] });

must(@as_root, 'rm', '-rf', "$debian.test");
must(@as_root, 'cp', '-a', '--reflink=auto', $debian, "$debian.test");
must(@as_root, 'mkdir', "$debian.test/hype");
must(@as_root, 'cp', '-R', 'debian', 't', $deb, "$debian.test/hype");

$deb =~ s{.*/}{};
($status, $output) = do_it('bin/chroot', "$debian.test",
                           '/hype/t/package/in-debian', "/hype/$deb");

for my $line (split /\n/, $output) {
    $line =~ /^(not )?ok \d+ - (.*)/ ? ok(!$1, $2) : diag($line);
}

is($status, 0, 'to its end');

done_testing();


# A Debian with nginx and PostgreSQL, kept from run to run

sub prepare
{
    my $folder = "$source/build/debian/$suite.run";

    return $folder if -e $folder;

    my $pristine = must(@as_root, 'bin/fetch', 'debian', $suite);
    $pristine =~ s/.*\n(?=.)//s;
    chomp $pristine;

    must(@as_root, 'rm', '-rf', "$folder.new");
    must(@as_root, 'cp', '-a', $pristine, "$folder.new");
    must(@as_root, 'cp', 'bin/deps', "$folder.new/root");
    must('bin/chroot', '--online', "$folder.new", '/root/deps', 'run');
    must(@as_root, 'mv', "$folder.new", $folder);

    return $folder;
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
