# README.md's ways in, word for word, on machines that have nothing: bare Debians, and
# Ubuntu's noble.  They end as docs/upgrading.md says, with nothing left behind.
#
# A machine has what a minimal Debian has, and sudo.  The words are run without a
# network, as ports are the machine's then: what apt will ask for is in its cache.
# HYPE_SUITES=trixie has that one only; HYPE_NGINX_ORG has the nginx of nginx.org, too
# (see t/lib/Hype/Debian.pm).

use lib 't/lib';
use Hype::Test;
use Hype::Debian;
use Hype::Docs;

use Sys::Hostname qw(hostname);

need_root('a Debian');

my @page = ('README.md', 'On your own machine');
my $loaded = "until curl -sf -o /dev/null http://localhost/hype; do sleep 0.1; done\n";
my @end = ('docs/upgrading.md', 'Uninstalling');

for my $suite (split ' ', $ENV{HYPE_SUITES} // 'bookworm trixie noble') {
    my $bare = kept($suite, 'bare', \&prepare);

    way($suite, $bare, 'as a package',
        steps(@page, qr/^bin\/deps build|^load_module/),
        steps(@end, qr/^sudo make|module-hype/));
    way($suite, $bare, 'from source',
        steps(@page, qr/^bin\/package/),
        steps(@end, qr/^sudo apt|module-hype/));
    demo($suite, $bare);
}

SKIP: {
    my ($folder, $deb, $suite) = nginx_org()
        or skip 'HYPE_NGINX_ORG is not set: no nginx of nginx.org', 1;

    with_nginx_org($folder, $deb, $suite);
}

done_testing();


# From the bare machine to a hit, and back

sub way
{
    my ($suite, $bare, $name, $to, $back, $before) = @_;

    my $debian = copy($bare);

    $before->($debian) if $before;

    # a reader is slower than nginx that reloads

    $to =~ s/^(sudo nginx .* reload\n)/$1$loaded/m
        or die 'README.md has no reload';

    my ($status, $output) = as_user($debian, <<"END");
$to
sudo -u postgres createdb 'another one'
sudo -u postgres psql -q -d 'another one' -c 'GRANT CREATE ON SCHEMA public TO hype_app'
echo status: \$(curl -s -o /dev/null -w '%{http_code}' http://localhost/hype)
$back
echo site: \$(curl -s -o /dev/null -w '%{http_code}' http://localhost/)
sudo -u postgres psql -At -d app -c \\
    "SELECT 'left: ' || string_agg(name, ' ')
     FROM (SELECT rolname FROM pg_roles UNION ALL
           SELECT nspname FROM pg_namespace) AS n (name)
     WHERE name ~ '^hype'"
sudo find / -xdev -path "\$HOME" -prune -o -path /proc -prune -o -path /var/log -prune \\
    -o -iname '*hype*' -not -iname '*hyper*' -not -path '/var/cache/*' -printf 'left: %p\\n'
echo the end
END

    my $what = "$suite, $name";

    is($status, 0, "$what: to its end") or diag(end_of($output));
    like($output, qr/^hype: schema version 2 installed$/m, "$what: the schema");
    like($output, qr/^HTTP\/1.1 302 .*^Location: http:\/\/localhost\/welcome\r?$/ms,
         "$what: the link is followed");
    like($output, qr/^ 20\S+ \S+ \| [0-9a-f-]{36} \| \S+ +\| curl\/.*^\(1 row\)$/ms,
         "$what: a hit is there");
    like($output, qr/^status: 200$/m, "$what: so is the status page");
    like($output, qr/^site: 200\n.*^the end$/ms, "$what: removed, nginx goes on");
    unlike($output, qr/^left: ./m, "$what: and nothing is left");
}


# Its package is there before, and its sources where the documentation has them from

sub with_nginx_org
{
    my ($folder, $deb, $suite) = @_;

    my $to = steps(@page, qr/^bin\/deps build|^load_module/);
    my $build = steps('docs/building.md', "For nginx.org's packages");
    my $conf = '/etc/nginx/conf.d/default.conf';

    $build =~ s{https://nginx\.org/download}{file:///srv}
        or die 'docs/building.md has no download';
    $to =~ s/^bin\/package\nsudo apt.*\n/$build/m
        or die 'README.md has no bin/package';
    $to =~ s/-o www-data/-o nginx/ or die 'README.md has no www-data';

    way($suite, kept($suite, 'bare', \&prepare), "nginx.org's", $to,
        steps(@end, qr/^sudo make|libnginx-mod/)
        . "sudo mv $conf.off $conf\nsudo nginx -s reload\n",
        sub {
            my ($debian) = @_;

            must(as_root(), 'cp', $deb, glob("$folder/nginx-*.tar.gz"),
                 "$debian/srv");
            must('bin/chroot', '--online', $debian, 'sh', '-c',
                 'apt-get install -y /srv/nginx_*.deb');
        });
}


sub end_of
{
    return $_[0] =~ /((?:.*\n){1,200})\z/ ? $1 : $_[0];
}


# As root, who needs no sudo

sub demo
{
    my ($suite, $bare) = @_;

    my $debian = copy($bare);
    my $script = steps('README.md', 'Try it', qr/--check/) =~ s/\n$//r;
    my $check = steps('README.md', 'Try it', qr/^bin\/demo$/m);

    write_in($debian, '/root/demo', <<"END");
cd /home/admin/hype
$script > /root/said 2>&1 &
until grep -q '^What comes in' /root/said || ! kill -0 \$!; do sleep 0.5; done
kill -TERM \$!
wait \$! && echo ended
cat /root/said
echo and then
$check
END

    my ($status, $output) = do_it('bin/chroot', $debian, 'bash', '/root/demo');
    my ($first, $second) = split /^and then\n/m, $output;

    is($status, 0, "$suite: the demo") or diag(end_of($output));
    like($first, qr/^ended\n.*Ctrl-C ends/ms, "$suite: it starts, and ends");
    like($first, qr/^installing: .*\n(?:.*\n)*Building the module/m,
         "$suite: it says what it is doing");
    like($second // '', qr/^All as it should be\.$/m, "$suite: --check");
}


# What a user who may use sudo types

sub as_user
{
    my ($debian, $script) = @_;

    write_in($debian, '/home/admin/steps', $script);

    return do_it('bin/chroot', $debian, 'setsid', '-w', 'runuser', '-u', 'admin', '--',
                 'sh', '-c',
                 'cd ~/hype && HOME=$(cd && pwd) && exec sh -e ../steps < /dev/null');
}


# A machine of its own for each way

sub copy
{
    my ($bare) = @_;

    my $debian = copy_of($bare);

    must('sh', '-c', <<'END', 'sh', "$debian/home/admin/hype", as_root());
admin=$1
shift
"$@" mkdir "$admin"
git ls-files -z --cached --others --exclude-standard \
    | xargs -0 sh -c 'for f; do [ ! -e "$f" ] || echo "$f"; done' sh \
    | tar -c -T - | "$@" tar -x -C "$admin"
"$@" chown -R 1000:1000 "$admin"
END

    return $debian;
}


sub prepare
{
    my ($folder) = @_;

    write_in($folder, '/root/prepare', <<'END');
set -e
conf=/etc/apt/apt.conf.d/99test
printf '%s\n' 'APT::Get::Assume-Yes "true";' \
    'APT::Keep-Downloaded-Packages "true";' > $conf
echo force-unsafe-io > /etc/dpkg/dpkg.cfg.d/test
echo 'debconf debconf/frontend select Noninteractive' | debconf-set-selections
apt-get update
apt-get install --no-install-recommends sudo
useradd -m -u 1000 -s /bin/bash admin
echo 'admin ALL=(ALL) NOPASSWD: ALL' > /etc/sudoers.d/admin
apt-get install --download-only nginx postgresql curl
echo 'APT::Get::Download-Only "true";' > $conf.only
mv $conf.only ${conf}only
/root/deps build sources run package
rm ${conf}only /root/deps /root/prepare
END
    must('bin/chroot', '--online', $folder, 'sh', '/root/prepare');
    write_in($folder, '/etc/hosts',
             "127.0.0.1\tlocalhost\n127.0.1.1\t" . hostname() . "\n"
             . "::1\tlocalhost ip6-localhost ip6-loopback\n");
}
