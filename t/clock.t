# PostgreSQL's clock and nginx's: how much they differ is measured when nginx
# connects, shown by hype_status, and worth a warning.

use lib 't/lib';
use Hype::Test;
use Hype::Shim;
use Hype::Status;

my $shim = Hype::Shim->new or plan skip_all => 'no library to preload';
my $pg = database();

$pg->link('abc');


sub visited
{
    my (@clock) = @_;

    $shim->set(@clock);

    my $nginx = $shim->around(sub {
        nginx(pg => $pg, workers => 1,
              server => status_server() . 'location /ref/ { hype_ref; }');
    });

    $nginx->get('/ref/abc/');
    return $nginx;
}


for (['as it is', 0, undef],
     ['five seconds slow', 5, qr/is (?:49|50)\d\d ms ahead of nginx's, see NTP/],
     ['half a minute fast', -30, qr/is (?:299|300)\d\d ms behind nginx's, see NTP/])
{
    my ($name, $skew, $line) = @$_;
    my $nginx = visited($skew ? 'clock ' . -$skew . ' 0' : ());
    my $shown = status($nginx)->{database}{clock_skew};

    cmp_ok(abs($shown - $skew), '<', 0.2, "nginx's clock is $name: JSON")
        or diag($shown);
    cmp_ok(abs(metrics($nginx)->{hype_clock_skew_seconds} - $skew), '<', 0.2,
           '- Prometheus');

    my @warnings = $nginx->error_log
        =~ /\[warn\].*hype: the clock of PostgreSQL (.*)/g;

    is(scalar @warnings, $line ? 1 : 0, '- warnings');
    like($warnings[0], $line, '- which says so') if $line;
    $nginx->quit;
}

done_testing();
