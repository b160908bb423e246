# The playbook of examples/ansible, in a Debian of its own that is the database and
# the web server: twice, with another configuration, a newer package, and a mistake.

use lib 't/lib';
use Hype::Test;
use Hype::Debian;

my ($suite) = read_file('/etc/os-release') =~ /^VERSION_CODENAME=(\S+)/m;

need_root('a Debian');
plan skip_all => 'this is no suite of Debian that has a name' if !$suite;

my ($status, $output) = do_it('bin/package');
is($status, 0, 'the package is built') or diag($output), done_testing(), exit;

# with PostgreSQL and Ansible

my $debian = copy_of(kept($suite, 'ansible', sub {
    must('bin/chroot', '--online', $_[0], '/root/deps', 'run', 'ansible');
}));

must(as_root(), 'mkdir', '-p', "$debian/hype/build");
must(as_root(), 'cp', '-R', 'examples', 'sql', 't', "$debian/hype");
must(as_root(), 'cp', $output =~ m{^(build/\S+\.deb)$}m, "$debian/hype/build");

# all of the machines are this one

write_in($debian, '/hype/inventory.ini',
         read_file(source_dir() . '/examples/ansible/inventory.ini')
         =~ s/^\w.*/localhost ansible_connection=local/mgr);

tap(do_it('bin/chroot', $debian, '/hype/t/package/in-ansible'));

done_testing();
