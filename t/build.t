# Building: what all other tests, which use the dynamic module, do not see.

use lib 't/lib';
use Hype::Test;

# Built into nginx (--add-module), the module has its say where it has it as a
# dynamic one: after "add_header" and "expires", whose Cache-Control it replaces.

my $source = $ENV{NGINX_SRC} || $ENV{NGX_SRC} || '/usr/share/nginx/src';
my $dir = temp_dir('build');

for my $part (qw(auto conf configure contrib man src)) {
    symlink "$source/$part", "$dir/$part" if -e "$source/$part";
}

my ($status, $output) = run(command => ['sh', '-c', <<'END', 'sh', $dir, source_dir()]);
cd "$1" && [ -e configure ] || ln -s auto/configure configure
./configure --without-http_rewrite_module \
    --without-http_gzip_module --add-module="$2"
END

is($status, 0, 'nginx is configured with the module') or diag $output;

# nginx calls the filters of this list from its end to its beginning

my ($names) = read_file("$dir/objs/ngx_modules.c")
              =~ /^char \*ngx_module_names\[\] = \{(.*?)\}/ms;
my @filters = $names =~ /"ngx_http_(hype_module|\w+_filter_module)"/g;

like("@filters", qr/^(?!.*hype.*hype)(?=.*\bcopy).*\bhype_module headers_filter_module\b/,
     'its filter comes once, right after that of add_header');

# The page of hype_status is made of html/ by nginx's makefile, again when that
# has changed

my @make = ('make', '-C', $dir, '-f', 'objs/Makefile');
my $object = 'objs/addon/http/ngx_http_hype_status.o';

($status, $output) = run(command => [@make, $object]);
is($status, 0, 'the status page is built in') or diag $output;

($status, $output) = run(command => [@make, '-n', $object]);
unlike($output, qr/\bod -/, 'once');

for my $file (map { source_dir() . "/html/status.$_" } qw(html css js)) {
    ($status, $output) = run(command => [@make, '-n', '-W', $file, $object]);
    like($output, qr/\bod -.*ngx_http_hype_status\.c/s, "and when $file is changed");
}

# So is that of hype_links, which has parts of the other.

for my $file (map { source_dir() . "/html/$_" } qw(owner/owner.html
              owner/owner.css owner/owner.js status.css text.js)) {
    ($status, $output) = run(command => [@make, '-n', '-W', $file,
                                         $object =~ s/status/owner/r]);
    like($output, qr/owner_page.*\bod -.*ngx_http_hype_owner\.c/s,
         "and when $file is changed");
}

# What is installed can be uninstalled, and nothing else is

my $installed = temp_dir('installed');
my $find = sub { (run(command => ['find', $installed, '-type', 'f']))[1] };

mkdir "$installed/usr";
write_file("$installed/usr/kept", '');
make_it('install');
like($find->(), qr{/ngx_http_hype_module\.so$}m, 'the module is installed');
make_it('uninstall');
is($find->(), "$installed/usr/kept\n", 'and uninstalled, nothing else');

# A path with a space can't be had: make says so, before it removes another one

mkdir "$dir/a";

for my $variable ('BUILD', 'NGINX_SRC') {
    ($status, $output) = run(command => ['make', '-C', source_dir(),
                                         "$variable=$dir/a b"]);

    isnt($status, 0, "$variable with a space is refused");
    like($output, qr/there is a space in a path: .*a b"/, 'and named');
}

ok(-d "$dir/a", 'nothing is removed');

# bin/matrix looks at the sources that it is given before it does anything

write_file("$dir/a.tar", '');

for my $wrong (["a=$dir/none", qr/no nginx sources: ".*none"/],
               ["a=$dir/a", qr/no nginx sources: ".*a"/],
               ["a=$dir/a.tar", qr/no nginx sources: ".*a\.tar"/],
               ["sid=$dir", qr/a source can't be named "sid"/],
               ["../a=$dir", qr/a source can't be named "\.\.\/a"/],
               ["=$dir", qr/a source can't be named ""/])
{
    my ($argument, $message) = @$wrong;

    ($status, $output) = run(command => [source_dir() . '/bin/matrix', $argument]);
    is($status, 2, "bin/matrix $argument is refused");
    like($output, $message, 'and says why');
}

done_testing();


sub make_it
{
    my ($target) = @_;

    my ($status, $output) = run(command => ['make', '-s', '-C', source_dir(), $target,
                                            "DESTDIR=$installed"]);
    is($status, 0, "make $target") or diag($output);
}
