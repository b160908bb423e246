# An outage under load does not flood the error log: a line when it begins, one in
# ten seconds, one when it ends, for each worker and however many hits.

use lib 't/lib';
use Hype::Test;

my $pg = cluster();
my $workers = 2;
my $nginx = nginx(pg => $pg, workers => $workers, log_level => 'notice',
    database => 'connections=4 timeout=200ms', server => <<'END');
    location /ref/ { hype_ref; }
    location /user/ { hype_user $arg_user; try_files /index.html =404; }
    location = /status { hype_status html reports=1ms; }
END

$pg->link('a');
$pg->exec('grant hype_report to hype_nginx');
$nginx->get('/ref/a') for 1 .. 8;

sub lines { return grep { /hype: / } split /\n/, $nginx->error_log($_[0]) }

sub load
{
    my ($n) = @_;

    my @answers = $nginx->visits(count => $n, path => sub {
        my ($i) = @_;
        return $i % 50 ? $i % 10 ? '/ref/a' : "/ref/x$i" : '/status?report';
    });

    return scalar grep { $_->status == 302 } @answers;
}

# Lines that so many seconds allow: of the connections, of the reports', and of
# the one worker's that derives

sub allowed
{
    my ($began) = @_;

    return ($workers * 2 + 1) * (2 + int((time - $began) / 10));
}


for my $outage (
    ['a database that is away', sub { $pg->stop }, sub { $pg->start }],
    ['one that hangs', sub { $pg->freeze }, sub { $pg->thaw }],
    ['one that refuses', sub { $pg->exec('alter schema hype rename to gone') },
     sub { $pg->exec('alter schema gone rename to hype') }],
) {
    my ($name, $begin, $end) = @$outage;
    my $at = $nginx->mark;
    my $began = time;

    $begin->();
    cmp_ok(load(4000), '>=', 3900, "$name: visitors are answered");

    # a statement is given up some seconds after its visitors were

    wait_until { lines($at) > 0 } 30, 'a line that tells of it';

    my @lines = lines($at);
    cmp_ok(scalar @lines, '<=', allowed($began), 'few lines') or diag("@lines");
    is((grep { !/\[(?:error|notice)\]/ } @lines), 0, 'none is worse than an error');
    is((grep { length > 650 } @lines), 0, 'none is long') or diag("@lines");

    $end->();
    wait_until { $nginx->error_log($at) =~ /PostgreSQL works again, after \d+ errors/ }
        60, 'a line that tells of the end';
    is_soon { scalar grep { -s } glob $nginx->dir . '/hype_spool/*.spool' } 0,
        'all is written', 60;
    note("$name: " . lines($at) . ' lines');
}

$nginx->quit;

done_testing();
