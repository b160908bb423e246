package Hype::Debian;

# Debians of a test's own (see bin/fetch and bin/chroot), and commands as root.

use strict;
use warnings;

use Cwd qw(abs_path);
use Exporter qw(import);
use Test::More ();

use Hype::Util qw(at_end run source_dir temp_dir write_file);

our @EXPORT = qw(as_root copy_of do_it kept must need_root nginx_org pristine tap
                 write_in);


# What makes root of the user: nothing, or sudo

sub as_root
{
    return $> == 0 ? () : ('sudo', '-n');
}


sub need_root
{
    my ($what) = @_;

    Test::More::plan(skip_all => 'it takes root, or sudo without a password, '
                                 . "to make $what")
        if (do_it(as_root(), 'true'))[0];
}


# A command in the project's folder: (exit status, output)

sub do_it
{
    return run(command => [@_], chdir => source_dir());
}


# The output of one that has to succeed: must(command ..., input => text)

sub must
{
    my @command = @_;
    my $input = @command > 2 && $command[-2] eq 'input'
        ? (splice @command, -2)[1] : undef;

    if (defined $input) {
        my $file = temp_dir() . '/input';
        write_file($file, $input);
        @command = ('sh', '-c', 'file=$1; shift; exec "$@" < "$file"', 'sh', $file,
                    @command);
    }

    my ($status, $output) = do_it(@command);

    die "@command:\n$output" if $status;
    return $output;
}


# The folder of a minimal Debian, which is not to be changed

sub pristine
{
    my ($suite) = @_;

    my $folder = must(as_root(), 'bin/fetch', 'debian', $suite);
    $folder =~ s/.*\n(?=.)//s;
    chomp $folder;

    return $folder;
}


# A Debian that is prepared once, and kept from run to run:
# kept($suite, $name, sub { ... with the folder ... })

sub kept
{
    my ($suite, $name, $prepare) = @_;

    my $folder = source_dir() . "/build/debian/$suite.$name";

    return $folder if -e $folder;

    my $pristine = pristine($suite);

    must(as_root(), 'rm', '-rf', "$folder.new");
    must(as_root(), 'cp', '-a', $pristine, "$folder.new");
    must(as_root(), 'cp', 'bin/deps', "$folder.new/root");
    $prepare->("$folder.new");
    must(as_root(), 'mv', "$folder.new", $folder);

    return $folder;
}


# A copy of it, for a test to change

sub copy_of
{
    my ($folder, $name) = @_;

    my $copy = "$folder." . ($name // 'test');

    at_end(sub { !(do_it(as_root(), 'rm', '-rf', $copy))[0] });
    must(as_root(), 'rm', '-rf', $copy);
    must(as_root(), 'cp', '-a', '--reflink=auto', $folder, $copy);

    return $copy;
}


# write_in($folder, '/path', $text)

sub write_in
{
    my ($folder, $path, $text) = @_;

    must(as_root(), 'sh', '-c', 'cat > "$1"', 'sh', "$folder$path", input => $text);
}


# What HYPE_NGINX_ORG has of nginx.org, whose packages and images can't be fetched
# everywhere: a folder with nginx_VERSION-1~SUITE_ARCH.deb and nginx-VERSION.tar.gz.
# Returns the folder, the package's file, and the suite, or nothing.

sub nginx_org
{
    my $folder = abs_path($ENV{HYPE_NGINX_ORG} // return);

    my ($deb) = glob "$folder/nginx_*.deb";
    my ($version, $suite) = ($deb // '') =~ /nginx_([0-9.]+)-\d+~(\w+)_\w+\.deb$/
        or die "$folder has no nginx_VERSION-1~SUITE_ARCH.deb\n";
    -e "$folder/nginx-$version.tar.gz"
        or die "$folder has no nginx-$version.tar.gz\n";

    return ($folder, $deb, $suite);
}


# The tests of a script that was run (see t/package/tap.sh), as ours

sub tap
{
    my ($status, $output) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    for my $line (split /\n/, $output) {
        $line =~ /^(not )?ok \d+ - (.*)/ ? Test::More::ok(!$1, $2)
                                         : Test::More::diag($line);
    }

    Test::More::is($status, 0, 'to its end');
}


1;
