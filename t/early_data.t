# A visit in TLS early data, which anybody may replay, is asked for again.

use lib 't/lib';
use Hype::Test;

plan(skip_all => 'no OpenSSL with TLS 1.3')
    if system('openssl s_client -help 2>&1 | grep -q early_data') != 0;

my $pg = database();
$pg->link('abc', destination => '/welcome');

my $dir = temp_dir('tls');

run(command => ['openssl', 'req', '-x509', '-newkey', 'ec', '-pkeyopt',
    'ec_paramgen_curve:prime256v1', '-nodes', '-days', 1, '-subj',
    '/CN=localhost', '-keyout', "$dir/key.pem", '-out', "$dir/cert.pem"]);

my $port = free_port();
my $nginx = nginx(pg => $pg, http => <<"HTTP");
log_format early '\$ssl_early_data|\$status|\$hype_outcome';

server {
    listen 127.0.0.1:$port ssl;
    ssl_certificate     $dir/cert.pem;
    ssl_certificate_key $dir/key.pem;
    ssl_protocols       TLSv1.3;
    ssl_early_data      on;
    absolute_redirect   off;
    access_log          logs/early.log early;

    location /ref/ { hype_ref; }
    location /page { hype_ref_param ref mode=inline; return 204; }
    location / { hype_ref_param ref mode=direct; }
}
HTTP

for my $path ('/ref/abc', '/x?ref=abc') {
    $pg->exec('truncate hype.referral_hit');

    write_file("$dir/request", "GET $path HTTP/1.1\r\nHost: localhost\r\n"
                               . "Connection: close\r\n\r\n");

    my $answer = tls('-sess_out', "$dir/session");
    like($answer, qr/^HTTP\/1\.1 302 /m, "$path: a full handshake");
    is($pg->hits, 1, '- a hit');

    my $hits = 1;

    for (1 .. 3) {
        my ($early, $late);
        ($answer, $early, $late) = replay();
        $hits += $late;

        ok($early, 'early data');
        like($answer, qr/^HTTP\/1\.1 425 Too Early\r?$/m, '- 425')
            or diag($answer);
        unlike($answer, qr/^Set-Cookie:/mi, '- no cookie');
        like($answer, qr/^Cache-Control: no-store\r?$/m, '- not to be stored');
    }

    is($pg->hits, $hits, '- no hit');
}

like(read_file($nginx->dir . '/logs/early.log'),
     qr/^1\|425\|skipped$/m, 'the log tells so');

done_testing();


sub tls
{
    my @options = @_;

    my $input = (grep { $_ eq '-early_data' } @options)
        ? '/dev/null' : "$dir/request";

    return `openssl s_client -connect 127.0.0.1:$port -tls1_3 -ign_eof @options < $input 2>/dev/null`;
}


# The answer to early data, whether it was early, and how many were not.  Where
# nginx comes to a request only when the handshake is over, nobody can replay it
# any more, and it is a hit: then it is tried again.

sub replay
{
    my $log = $nginx->dir . '/logs/early.log';

    for my $late (0 .. 19) {
        my $before = () = read_file($log) =~ /\n/g;
        my $answer = tls('-sess_in', "$dir/session", '-early_data',
                         "$dir/request");
        my @lines;

        is_soon {
            @lines = split /\n/, read_file($log);
            scalar @lines;
        } $before + 1, 'a line in the log';

        return ($answer, $lines[-1] =~ /^1\|/, $late)
            if $lines[-1] ne '-|302|hit';
    }

    return ('', 0, 20);
}
