# The playbook of examples/ansible, in a Debian of its own that is the database and
# the web server: twice, with another configuration, a newer package, and a mistake.

use lib 't/lib';
use Hype::Test;
use Hype::Util qw(at_end);

my $source = source_dir();
my @as_root = $> == 0 ? () : ('sudo', '-n');
my ($suite) = read_file('/etc/os-release') =~ /^VERSION_CODENAME=(\S+)/m;

plan skip_all => 'it takes root, or sudo without a password, to make a Debian'
    if (do_it(@as_root, 'true'))[0];
plan skip_all => 'this is no suite of Debian that has a name' if !$suite;

my ($status, $output) = do_it('bin/package');
is($status, 0, 'the package is built') or diag($output), done_testing(), exit;

my $debian = prepare();
at_end(sub { !(do_it(@as_root, 'rm', '-rf', "$debian.test"))[0] });

must(@as_root, 'rm', '-rf', "$debian.test");
must(@as_root, 'cp', '-a', '--reflink=auto', $debian, "$debian.test");
must(@as_root, 'mkdir', '-p', "$debian.test/hype/build");
must(@as_root, 'cp', '-R', 'examples', 'sql', 't', "$debian.test/hype");
must(@as_root, 'cp', $output =~ m{^(build/\S+\.deb)$}m, "$debian.test/hype/build");

# all of the machines are this one

my $inventory = temp_dir('inventory') . '/inventory';
write_file($inventory, read_file("$source/examples/ansible/inventory.ini")
                       =~ s/^\w.*/localhost ansible_connection=local/mgr);
must(@as_root, 'cp', $inventory, "$debian.test/hype");

($status, $output) = do_it('bin/chroot', "$debian.test", '/hype/t/package/in-ansible');

for my $line (split /\n/, $output) {
    $line =~ /^(not )?ok \d+ - (.*)/ ? ok(!$1, $2) : diag($line);
}

is($status, 0, 'to its end');

done_testing();


# A Debian with PostgreSQL and Ansible, kept from run to run

sub prepare
{
    my $folder = "$source/build/debian/$suite.ansible";

    return $folder if -e $folder;

    my $pristine = must(@as_root, 'bin/fetch', 'debian', $suite);
    $pristine =~ s/.*\n(?=.)//s;
    chomp $pristine;

    must(@as_root, 'rm', '-rf', "$folder.new");
    must(@as_root, 'cp', '-a', $pristine, "$folder.new");
    must(@as_root, 'cp', 'bin/deps', "$folder.new/root");
    must('bin/chroot', '--online', "$folder.new", '/root/deps', 'run', 'ansible');
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
