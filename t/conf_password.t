# The password of hype_database is in no log and no message, whatever happens.

use lib 't/lib';
use Hype::Test;

my $pg = cluster();
my $secret = 'Hunter2Secret';

my $t = nginx(start => 0);

# Mistakes that nginx -t finds

for my $conninfo (
    "host=x password=$secret foo",
    "host=x password=$secret x=y",
    "host=x password = $secret foo",
    "host=x password='$secret",
    "host=x password=my $secret",
    "host=x pasword=$secret",
    "host=x passwd=$secret",
    "host=x pwd=$secret",
    "host=x Password=$secret",
    "host=x pw = '$secret'",
    "host=x pasword=my $secret",
    "host=a,b port=1,2,3 password=$secret",
    "service=x password=$secret",
    (map { "user=x $_= password=$secret" }
         qw(host hostaddr port dbname sslmode application_name)),
    "dbname=postgresql://user:$secret\@host/x",
    "postgresql://user:$secret\@/x?bogus=1",
    "postgresql://user:$secret\@host/x?bogus=1&password=$secret",
    "postgresql://user:$secret\@[host/x",
    "postgresql://user:$secret%zz\@host/x",
    "postgresql://user:$secret\@host:1:2/x?=1",
    "postgresql://user:$secret/x",
    "postgresql://user:$secret",
) {
    my ($status, $output) = $t->test_config(
        http => "hype_database \"$conninfo\";", server => '');

    isnt($status, 0, $conninfo =~ s/$secret/.../gr);
    like($output, qr/\[emerg\].*hype_database/, '... is an error');
    unlike($output, qr/$secret/, '... without the password');
}

for my $arguments (
    "host=x password=$secret",
    "host=x user=y password=$secret timeout=1s",
    "'host=x' password=$secret",
    "\"password=$secret\" connections=0",
    "\"postgresql://user:$secret/rest\@host/db\"",
    "\"host=x port=abc password=$secret\"",
    "\"host=x sslmode=abc password=$secret\"",
    "\"password=$secret\"; hype_database \"password=$secret\"",
) {
    my ($status, $output) = $t->test_config(
        http => "hype_database $arguments;", server => '');

    isnt($status, 0, $arguments =~ s/$secret/.../gr);
    unlike($output, qr/$secret/, '... without the password');
}

# What happens at run time, with the debug log

my $port = $pg->port;
my $free = free_port();

for my $case (
    ['a server that is not there'
        => "host=127.0.0.1 port=$free user=hype_nginx password=$secret dbname=x"],
    ['a wrong password'
        => "host=127.0.0.1 port=$port user=hype_nginx password=$secret dbname=hype"],
    ['no such user'
        => "host=127.0.0.1 port=$port user=nobody password=$secret dbname=hype"],
    ['no such database'
        => 'dbname=nothing ' . ($pg->conninfo(tcp => 1) =~ s/dbname=\S+//r)],
    ['no such host'
        => "host=no-such-host.invalid password=$secret"],
    ['a URL'
        => "postgresql://hype_nginx:$secret\@127.0.0.1:$free/x"],
    ['a password that is right' => $pg->conninfo(tcp => 1)],
) {
    my ($name, $conninfo) = @$case;

    my $nginx = nginx(
        log_level => 'debug', http => "hype_database \"$conninfo\";",
        server => 'location /ref/ { hype_ref; }');

    my $r = $nginx->get('/ref/abc');
    is($r->status, 302, $name);

    my $right = $name =~ /right/;
    wait_until { $nginx->error_log =~ ($right ? qr/connected to PostgreSQL/
                                              : qr/\[(?:error|warn)\].*hype/) }
        10, "a word in the log about $name";

    $nginx->stop;

    my $texts = join '', map { -f $_ ? read_file($_) : '' }
                glob $nginx->dir . '/logs/* ' . $nginx->dir . '/hype_spool/*';

    like($texts, qr/\[debug\]/, '... with the debug log');
    unlike($texts, qr/\Q$secret\E|\Q$pg->{password}\E/, '... without the password');
}

done_testing();
