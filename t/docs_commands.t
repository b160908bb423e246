# The commands of the documentation, run one after the other as a reader would:
# first those of README.md, with what they print, then those of docs/ and examples/.
# What is nginx's configuration, or SQL, is run by t/docs_examples.t, each by itself.
# No example is left out.
#
# What is the machine's is replaced: sudo, folders, ports and the database's address.

use lib 't/lib';
use Hype::Test;
use Hype::Docs;
use Hype::Example;
use Hype::Postgres ();

use Compress::Zlib qw(crc32);
use Digest::MD5 qw(md5);

my $source = source_dir();
my $root = temp_dir('dest');
my $work = temp_dir('work');
my $pg = cluster(schema => 0);
my $nginx;

$pg->exec('create database app');
$pg->exec('create role app');
$pg->{dbname} = 'app';
delete $pg->{dbh};

my %env = ($pg->env, PGOPTIONS => '-c client_min_messages=warning');
@ENV{keys %env} = values %env;
$ENV{PATH} = Hype::Postgres::program('') . ":$root/usr/bin:$ENV{PATH}:/usr/sbin";


# README.md: on your own machine

my ($status, $output) = shell('README.md', qr/^bin\/deps build$/m);
is($status, 0, 'the module is installed') or diag($output);

($status, $output) = shell('README.md', qr/^sudo install -m 600 .*hype\.pgpass$/m);
is($status, 0, 'so are the schema and a password') or diag($output);
my ($password) = read_file("$work/hype.pgpass") =~ /:hype_nginx:(\w{32})$/;
is((stat "$work/hype.pgpass")[2] & 07777, 0600, '- for nobody else');

my ($module) = glob "$root/usr/*/nginx/modules/*.so $root/usr/lib/*/*/modules/*.so";
ok($module, 'the module is there');

my $main = block('README.md', qr/^load_module modules/)
           =~ s{modules/ngx_http_hype_module\.so}{$module}r;

$nginx = nginx(main => $main, module => 0, port => free_port(),
               http => config(block('README.md', qr/^hype_spool .*\n\nserver [^X]+\z/m))
                       . config(block('docs/reference.md', qr/^log_format hype /)));

($status, $output) = shell('README.md', qr/^sudo nginx -t/);
is($status, 0, 'nginx is reloaded') or diag($output);

is(sql('README.md', qr/FROM hype\.create_link\(identifier => 'abc123'/),
   "identifier\n-\nabc123\n", 'a link is made');

($status, $output) = shell('README.md', qr/^curl -i http/);
is($status, 0, 'the link is followed') or diag($output);
has_lines($output =~ s/302 Found/302 Moved Temporarily/r,     # Angie
          block('README.md', qr/^HTTP\/1\.1 302/), 'the answer');

like(sql('README.md', qr/^SELECT created, visitor, ip, user_agent/),
     qr/^TIME \| UUID \| 127\.0\.0\.1 \| curl/m, 'and the hit');
is_soon { plain(read_file($nginx->dir . '/hype.log')) }
    plain(block('docs/reference.md', qr/ outcome=hit link=abc123 /)), 'and a line in its log';

is((shell('docs/building.md', qr/^make\nsudo make install$/))[0], 0,
   'building from source is the same');


# docs/guide.md: from the link to the referrer's credit

$pg->exec('truncate hype.referral_hit');
$nginx->reload(http => config(block('docs/guide.md', qr/X-Signed-Up/)));

sql('docs/guide.md', qr/^INSERT INTO hype\.reward_rule/);
($status, $output) = shell('docs/guide.md', qr/^curl -sSL/);
is($output, "sign up here\n", 'a visitor follows the link');
is(sql('docs/guide.md', qr/^SELECT id, visitor, user_id, next/), plain(block('docs/guide.md',
    qr/\| \/accounts\/signup\/$/m)), 'a hit');

($status, $output) = shell('docs/guide.md', qr/-d name=bob/);
has_lines($output, block('docs/guide.md', qr/^HTTP\/1\.1 200/), 'the visitor signs up');

is_soon { sql('docs/guide.md', qr/^SELECT event, user_id, referrer/) }
    plain(block('docs/guide.md', qr/^ signup \| 42/m)), 'alice is to be credited';
is(sql('docs/guide.md', qr/^FROM hype\.balance/m),
   plain(block('docs/guide.md', qr/^\s*user_id \| currency/)), 'both are rewarded');
is(sql('docs/guide.md', qr/^SELECT hype\.pay_out/),
   plain(block('docs/guide.md', qr/^\s*pay_out$/m)), 'alice is paid') for 1 .. 2;
is(sql('docs/guide.md', qr/^FROM hype\.link_stats/m),
   plain(block('docs/guide.md', qr/^\s*identifier \| hits \| unique/)), 'the views');

shell('docs/guide.md', qr/-d name=bob/);
is($pg->value('select count(*) from hype.confirmed_referral'), 1,
   'once, whatever is sent again');


# docs/sql.md

is((shell('docs/sql.md', qr/^psql -d app -f sql/))[0], 0,
   'the schema is installed again');


# docs/operations.md

my $spool = $nginx->dir . '/hype_spool';

($status, $output) = shell('docs/operations.md', qr/^sudo grep 'hype: '/);
is($status, 0, 'a look at the log and the spool') or diag($output);
like($output, qr/hype: connected to .*^total \d/ms, '- both are there');

for my $what (qw(rejected dropped)) {
    write_file("$spool/$what.records", claim($what));
    ($status, $output) = shell('docs/operations.md', qr/^sudo mv .*$what\.records/m);
    is($status, 0, "$what records are written") or diag($output);
    ok(!-e "$spool/$what.records", '- and out of the way');
    is($pg->value("select count(*) from hype.pending_claim
                   where user_id = '$what'")
       + $pg->value("select count(*) from hype.visitor_claim
                     where user_id = '$what'") > 0, 1, '- and there');
}

# what only the log has, in parts

my @parts = unpack '(a60)*', unpack 'H*', claim('logged');
my $log = $nginx->dir . '/logs/error.log';
my $n = 0;

push @{ $nginx->{allow} }, qr/hype: dropped record/;
write_file($log, read_file($log) . join '', map {
    "2026/11/27 10:00:00 [alert] 1#1: hype: dropped record, part " . ++$n
    . ' of ' . @parts . ": $_\n"
} @parts);

($status, $output) = shell('docs/operations.md', qr/hype: dropped record/);
is($status, 0, 'records are taken out of the log') or diag($output);
is($pg->value("select count(*) from hype.pending_claim where user_id = 'logged'")
   + $pg->value("select count(*) from hype.visitor_claim where user_id = 'logged'")
   > 0, 1, '- and are there');

is((shell('docs/operations.md', qr/^pg_dump -n hype/))[0], 0, 'a backup');
like(read_file("$work/hype.dump.sql"), qr/^COPY hype\.referral_link /m,
     '- of the schema');
like(read_file("$work/roles.sql"), qr/hype_nginx/, '- and the roles');

upgraded($_, qr/systemctl restart nginx/)
    for 'docs/operations.md', 'docs/upgrading.md';


# The spool of a machine that is given up goes to another one

is_soon { scalar(my @files = glob "$spool/*.spool") } 0,
    'claims and confirms have passed through the spool';

my $port = $pg->port;
$pg->stop;
$nginx->get('/ref/abc123/?next=/moved', Host => 'localhost');
$nginx->quit;

# A look at it: names are as the documentation has them

my $form = qr/^[0-9a-f]{12}-\d+-\d+(?:\.claims|\.confirms)?\.spool$/;
is_deeply([grep { !/$form/ } map { s{.*/}{}r } glob "$spool/*.spool"], [],
          'spool files have names of this form');
is_deeply([grep { !/$form/ } map { /([\w.-]*\d[\w.-]*\.spool)\b(?!\.damaged)/g }
           read_file("$source/docs/operations.md"),
           read_file("$source/tools/hype-spool.1") =~ s/\\//gr],
          [], '- so have those in the documentation');

($status, $output) = shell('docs/operations.md', qr/^sudo hype-spool --check/);
is($status, 0, 'a look into the spool') or diag($output);
like($output, qr/^\S+: \d+ bytes, hits: 1, claims: 0, confirms: 0$/m, '- a summary');

($status, $output) = shell('docs/operations.md', qr{^sudo hype-spool /});
is($status, 0, '- its records') or diag($output);
like($output, qr{^\{"file": "\S+", "offset": 0, "type": "hit", .*"next": "/moved"}m,
     '- as JSON');

my $old = "$work/old";
mkdir $old;
rename $spool, "$old/hype_spool" or die $!;
isnt(scalar(my @files = glob "$old/hype_spool/*.spool"), 0, 'files are left');

$pg->start;
is($pg->port, $port, 'PostgreSQL is back');
$nginx->start;
($status, $output) = shell('docs/operations.md', qr{/mnt/old/hype_spool});
is($status, 0, 'they are copied to another machine') or diag($output);
is_soon { $pg->hits("next = '/moved'") } 1, '- and written there', 30;

my ($kept) = map { read_file($_) } glob "$old/hype_spool/*.spool";
write_file("$spool/1.spool.damaged", "damage$kept");
$pg->exec("delete from hype.referral_hit where next = '/moved'");
($status, $output) = shell('docs/operations.md', qr/damaged\.sql/);
is($status, 0, 'what is behind damage is written') or diag($output);
is($pg->hits("next = '/moved'"), 1, '- and there');
unlink "$spool/1.spool.damaged", "$spool/damaged.sql";


# examples/

$pg->exec(read_file("$source/t/apps/django/tables.sql"));
$pg->exec("insert into hype_referrallink
           values (1, 'django', false, now(), now(), 7)");

for my $pattern (qr/app < examples.django.move/, qr/-v event=signup/) {
    ($status, $output) = shell('examples/django/README.md', $pattern);
    is($status, 0, 'django-hype\'s tables are copied') or diag($output);
}

is($pg->value("select user_id from hype.referral_link
               where identifier = 'django'"), 7, '- and what is in them');


($status, $output) = shell('examples/webhooks/README.md', qr/webhooks\.sql/);
is($status, 0, 'a table for webhooks') or diag($output);
like($output, qr{^whsec_[A-Za-z0-9+/]{32}$}m, '- and a secret');
is($pg->value("select count(*) from information_schema.role_table_grants
               where grantee = 'webhooks' and table_name = 'webhook'"), 3,
   '- for a role');


# docs/privacy.md: nginx is let in for the user that its workers run as

my $user = server_user() // getpwuid $>;
my ($ident, $hba) = block('docs/privacy.md', qr/^hype +www-data /m)
                    =~ /^(.*)\n\n(.*)/s;
my $data = $pg->data_dir;

write_file("$data/pg_ident.conf", $ident =~ s/www-data/$user/r);
write_file("$data/pg_hba.conf", $hba . read_file("$data/pg_hba.conf"));
$pg->reload;
$nginx->restart(http => 'hype_database "' . $pg->conninfo . '";'
                        . 'server { listen 127.0.0.1:%%PORT%%;'
                        . 'location /ref/ { hype_ref; } }');

is_soon {
    $nginx->get('/ref/abc123/?next=/peer');
    $pg->hits("next = '/peer'") > 0;
} 1, 'nginx is let in by its user';

if (!$>) {
    is_soon {
        (run(command => ['psql', '-c', 'select 1', $pg->conninfo]))[1]
            =~ /Peer authentication failed/
    } 1, '- not by another one';
}


# Those that others run, or look at, and what can't be run here

is_deeply([left_out(
    [qw(nginx sql)],
    ['README.md', qr/^bin\/test$/],                  # this
    ['examples/webhooks/README.md', qr/webhooks\.py$|^POST/m], # t/webhooks.t
    ['README.md', qr/^bin\/demo/],                   # t/demo.t
    ['README.md', qr/^sudo apt install nginx/m],     # t/package/way_in.t
    ['docs/building.md', qr/^make NGINX_SRC=/],             # bin/test --all
    ['docs/building.md', qr/^\.\/configure --with-compat/], # Makefile
    ['docs/building.md', qr/^version=|^sudo |^nginx:/],     # t/package/way_in.t
    ['docs/guide.md', qr/^     visitor$/m],              # a picture
    ['README.md', qr/^bin\/package$/m],              # t/package/way_in.t
    ['docs/operations.md', qr/^\{"file": |bytes, hits: 1, claims/],   # t/hype_spool.t
    ['docs/upgrading.md', qr/^sudo kill -USR2|^sudo apt install/],  # t/package/debian.t
    ['docs/upgrading.md', qr/^sudo (?:rm|sed|apt purge|make)|find|DROP/],   # t/package/way_in.t
    ['docs/benchmarks.md', qr/^make bench$/],        # takes half an hour
    ['docs/monitoring.md', qr/^promtool check/],     # t/monitoring.t
    ['docs/operations.md', qr/check constraint \\"no_curl/],   # t/rejected.t
    ['docs/upgrading.md', qr/SET SESSION AUTHORIZATION owner/],   # sql/test/install.t
    ['docs/operations.md', qr/cron\.schedule/],      # wants pg_cron
    ['docs/metrics.md', qr/^scrape_configs:/],       # t/status.t
    ['docs/metrics.md', qr/^\{"version":/],          # t/status.t
    ['docs/reference.md', qr/^Syntax: /],            # t/docs.t
    ['docs/reference.md', qr/http hype look-up/],    # t/log_debug.t
    ['docs/sql.md', qr/^hype\.\w+\(/],               # t/docs.t
    ['docs/languages.md', qr/./],                    # t/apps/languages.t
    ['docs/guide.md', qr/^geoip2/],                 # a module that Debian has not
    ['docs/deploying.md', qr/^curl .*nginx\.org/],   # t/compat.t
    ['examples/container/README.md', qr/./],         # t/package/container.t
    ['examples/kubernetes/README.md', qr/./],        # t/package/kubernetes.t, container.t
    ['examples/ansible/README.md', qr/./],           # t/package/ansible.t
    ['examples/patroni/README.md', qr/^sed -i/],     # t/patroni.t
    ['examples/patroni/README.md', qr/^sudo |^ExecStartPre/],   # wants four machines
    ['docs/building.md', qr/^curl .*\n(?:.*\n)*bin\/matrix/],   # what it runs
    ['docs/building.md', qr/^NGINX_SRC=\S+ BUILD=\S+ bin\/test/],
)], [], 'no example is left out');

done_testing();


# Runs an example: (exit status, output).

sub shell
{
    my ($page, $pattern, %o) = @_;

    my $text = block($page, $pattern);
    my $command = $nginx && join ' ', @{ $nginx->_command };
    my $dir = $nginx ? $nginx->dir : '';
    my $user = server_user() // getpwuid $>;

    $text =~ s/\bsudo (?:-u \S+ )?//g;
    $text =~ s{(install .*)-o www-data}{$1-o $user};
    $text =~ s{/etc/nginx/hype\.pgpass}{$work/hype.pgpass}g;
    $text =~ s{\bnginx -}{$command -}g if $nginx;
    $text =~ s{systemctl restart nginx}{true}g;
    $text =~ s{/usr/share/ngx_http_hype_module}{$root$&}g;
    $text =~ s{^make$}{make -s}mg;
    $text =~ s{^make install$}{make -s install DESTDIR=$root}mg;
    $text =~ s{http://localhost}{$& . ':' . $nginx->port}ge if $nginx;
    $text =~ s{/var/(?:lib|log)/nginx/error\.log}{$dir/logs/error.log}g;
    $text =~ s{/var/lib/nginx/}{$dir/}g;
    $text =~ s{/(?:root|mnt)/}{$work/}g;

    write_file("$work/input", $o{input} // '');

    # where the reader is
    my $cd = $text =~ m{^curl|^pg_dump|/old/}m ? $work : $source;

    ($status, $output) = run(command => ['sh', '-e', '-c',
        "cd $cd; exec < $work/input; $text"]);
    $output =~ s/:@{[$nginx->port]}//g if $nginx;
    $output =~ s/\r//g;

    return ($status, $output);
}


# An example of nginx.conf, for this nginx and the private PostgreSQL.

sub config
{
    my ($text) = @_;

    $text = example_nginx($text);
    my $port = free_port();

    $text =~ s{passfile=/etc/nginx/hype\.pgpass}{password=$password};
    $text =~ s/host=127\.0\.0\.1 /"$&port=" . $pg->port . ' '/e;
    $text =~ s/127\.0\.0\.1:8080/127.0.0.1:$port/g;

    return $text;
}


# What psql shows of a page's statements.

sub sql
{
    my ($page, $pattern) = @_;

    write_file("$work/example.sql", block($page, $pattern));
    my ($status, $output) = $pg->psql('-P', 'pager=off', '-f',
                                      "$work/example.sql");

    return $status ? $output : plain($output);
}


# Without what differs from run to run, and the widths of columns.

sub plain
{
    my ($text) = @_;

    $text =~ s/[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}/UUID/g;
    $text =~ s/\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d(?:\.\d+)?\+00(?::00)?/TIME/g;
    $text =~ s/\d{4}-\d\d-\d\d/DAY/g;
    $text =~ s/^\(\d+ rows?\)\n//mg;
    $text =~ s/-{2,}/-/g;
    $text =~ s/^ +| +$//mg;
    $text =~ s/ +/ /g;
    $text =~ s/\n{2,}/\n/g;

    return $text;
}


# The lines of an answer that the documentation shows, in their order.

sub has_lines
{
    my ($answer, $lines, $name) = @_;

    my $pattern = join '.*', map { '^' . quotemeta . '$' }
                  split /\n+/, plain($lines);

    local $Test::Builder::Level = $Test::Builder::Level + 1;
    like(plain($answer), qr/$pattern/ms, $name);
}


# A claim of that user, as it is in a spool file (src/codec/ngx_http_hype_record.h)

sub claim
{
    my ($user) = @_;

    my $rest = pack('CCn N/a* N/a* N/a* N N', 1, 2, 0, md5($user), $user,
                    pack('Q>', 1), -1 & 0xffffffff, -1 & 0xffffffff);

    return pack 'NNa*', 8 + length $rest, crc32($rest), $rest;
}


sub upgraded
{
    my ($page, $pattern) = @_;

    my ($status, $output) = shell($page, $pattern);
    is($status, 0, 'an upgrade: the schema, and a look at nginx.conf')
        or diag($output);
    like($output, qr/test is successful/, '- before nginx is restarted');
}
