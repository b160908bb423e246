# A worker that ends while a host name is being resolved keeps what it has.

use lib 't/lib';
use Hype::Test;
use Hype::Shim;

my $shim = Hype::Shim->new
    or plan skip_all => 'no compiler, or nginx has a sanitizer';

my $pg = database();
my $port = $pg->port;

$shim->set('getaddrinfo -2 12000');

my $nginx = $shim->around(sub {
    nginx(
        http => "hype_database 'host=localhost port=$port sslmode=disable' "
                . 'timeout=200ms; hype_spool spool max_size=64k;',
        server => 'location /ref/ { hype_ref; '
                  . 'add_header X-Outcome $hype_outcome always; }',
        allow => [qr/dropped/]);
});

my @answers = $nginx->visits(count => 400, path => sub {
    return '/ref/abc?next=/' . ('x' x 500);
});

is(grep({ $_->header('X-Outcome') eq 'spooled' } @answers), 400,
   'more hits than the spool takes');

# the next try to connect

wait_until {
    $nginx->error_log =~ /no connection to PostgreSQL: timed out/
} 20, 'the first one to end';

$nginx->stop('TERM', 30);

like($nginx->error_log, qr/dropped records: \d+/, 'are told of at the end');
unlike($nginx->error_log, qr/exited on signal 9/, '- for which there is time');

done_testing();
