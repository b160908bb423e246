# The module built with --with-compat alone, as for the nginx of another distribution:
# loaded by an nginx that has TLS, it knows of it.

use lib 't/lib';
use Hype::Test;
use Hype::Nginx;

plan(skip_all => 'this nginx has no --with-compat, or no TLS')
    if grep { !Hype::Nginx::built_with($_) } 'compat', 'http_ssl_module';

my $source = $ENV{NGINX_SRC} || $ENV{NGX_SRC} || '/usr/share/nginx/src';
my $dir = temp_dir('compat');

my ($status, $output) = run(command => ['make', '-s', '-j2', '-C', source_dir(),
    'module', "NGINX_SRC=$source", "BUILD=$dir", 'SANITIZE=', 'CC_OPT=-g -O0',
    'NGINX_OPTIONS=--with-compat']);
is($status, 0, 'it is built') or diag($output), done_testing(), exit;

my @files = map { s{.*/}{}r } grep { -e $_ } glob "$dir/*.so $dir/nginx";
is("@files", 'ngx_http_hype_module.so', 'without an nginx of its own');

run(command => ['openssl', 'req', '-x509', '-newkey', 'ec', '-pkeyopt',
    'ec_paramgen_curve:prime256v1', '-nodes', '-days', 1, '-subj',
    '/CN=localhost', '-keyout', "$dir/key.pem", '-out', "$dir/cert.pem"]);

my $pg = database();
$pg->link('abc', destination => '//shop.example/x');
my $port = free_port();

$ENV{HYPE_MODULE} = "$dir/ngx_http_hype_module.so";

my $nginx = nginx(pg => $pg, http => <<"HTTP");
server {
    listen 127.0.0.1:$port ssl;
    ssl_certificate     $dir/cert.pem;
    ssl_certificate_key $dir/key.pem;

    location /ref/ {
        hype_ref;
    }

    location = /links {
        hype_user alice;
        hype_links to=/ref/;
    }
}
HTTP

my ($r) = tls('/ref/abc');
like($r, qr{^Location: https://shop\.example/x\r$}m, 'the scheme of a redirect');
is($pg->hits, 1, 'a hit');
like(tls('/links'), qr{"https://127\.0\.0\.1:$port/ref/}, 'and of a link');

done_testing();


sub tls
{
    return (run(command => ['curl', '-sik', "https://127.0.0.1:$port$_[0]"]))[1];
}
