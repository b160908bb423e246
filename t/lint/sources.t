# nginx's build script names all files, and no others.

use lib 't/lib';
use Hype::Lint;
use Hype::Test;

my $config = read_file('config');

sub named
{
    my ($variable) = @_;

    my ($list) = $config =~ /^$variable="(.*?)"/ms;
    return $list =~ m{\$ngx_addon_dir/(\S+\.[ch])\b}g;
}

is_deeply([sort(named('ngx_module_srcs'))], [sort(sources())], 'sources');
is_deeply([sort(named('ngx_module_deps'))], [sort(headers())], 'headers');

done_testing();
