# The debug log shows each step of a hit, in their order.

use lib 't/lib';
use Hype::Test;

my $pg = cluster();
my $nginx = nginx(pg => $pg, log_level => 'debug', server => <<'END');
    location /ref/ { hype_ref; }
    location /spool/ { hype_ref; hype_durability spool; }
END

$pg->link('a');


# What the log says of a visit

sub steps
{
    my ($path) = @_;

    my $at = $nginx->mark;
    $nginx->get($path);

    my $log = '';
    wait_until { ($log = $nginx->error_log($at)) =~ /http hype answered/ } 20,
        'the log to be written';

    return plain($log);
}


sub plain
{
    return [map { s/\d+(?= (?:bytes|us))|(?<=link: )[1-9]\d*/N/gr
                  =~ s/(?<=look-up of )"\w+"/LINK/r
                  =~ s{"\S+\.spool"}{FILE}r } $_[0] =~ /(?:^|: )(?:\*\d+ )?http hype (.*)/mg];
}


plan(skip_all => 'this nginx has no debug log')
    if (run(command => [Hype::Nginx::_binary(), '-V']))[1] !~ /--with-debug/;

$nginx->get('/ref/a');

my $hit = steps('/ref/a');
is_deeply([grep { !/^batch/ } @$hit], [
    'look-up of LINK', 'found: 0, known: 1, link: N', 'queued, 1 records, N bytes',
    'parked', 'committed 1 records in N us', 'resume, state: 3', 'answered: hit',
], 'a hit');
is((grep { /^batch of 1 records, kind: 0$/ } @$hit), 1, 'with its batch');

my ($documented) = read_file('docs/reference.md') =~ /^```text\n(\*\d+ http hype .*?)```/ms;
is_deeply([sort @{ plain($documented) }], [sort @$hit], 'as docs/reference.md says');

is_deeply(steps('/ref/nobody'), [
    'look-up of LINK', 'parked', 'resume, state: 1', 'found: 0, known: 0, link: 0',
    'answered: unknown',
], 'an identifier that is not known');

my $spooled = steps('/spool/a');
is_deeply([@$spooled[0 .. 3]], [
    'look-up of LINK', 'found: 0, known: 1, link: N', 'parked', 'spooled N bytes to FILE',
], 'durability spool');
is((grep { /^answered: spooled$/ } @$spooled), 1, 'is answered');

$pg->stop;
$nginx->get('/ref/a');
is_deeply(steps('/ref/a'), [
    'look-up of LINK', 'found: 0, known: 1, link: N', 'parked',
    'spooled N bytes to FILE', 'resume, state: 3', 'answered: spooled',
], 'without a database');

$nginx->quit;

done_testing();
