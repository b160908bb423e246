# A worker has threads only while there is something that would block it, and
# for a moment after that, as there may be more.

use lib 't/lib';
use Hype::Test;

my $pg = database();
my $server = 'location /ref/ { hype_ref; '
             . 'add_header X-Outcome $hype_outcome always; }';

$pg->link('abc');


sub threads
{
    my ($nginx) = @_;

    return map { scalar(my @tasks = glob "/proc/$_/task/*") } $nginx->workers;
}


my $nginx = nginx(http => 'hype_database "' . $pg->conninfo . '";',
                  server => $server);

is($nginx->get('/ref/abc/')->header('X-Outcome'), 'hit', 'a hit');
is("@{[threads($nginx)]}", '1', 'takes no thread');

$nginx->quit;

# a name to look up, and files to flush

my $conninfo = $pg->conninfo(tcp => 1, host => 'localhost');

$nginx = nginx(http => "hype_database \"$conninfo sslmode=disable\";"
                       . ' hype_spool spool sync=always;'
                       . ' hype_durability spool;',
               server => $server);

my ($again, %threads);

for (1 .. 20) {
    is($nginx->get('/ref/abc/')->header('X-Outcome'), 'spooled',
       'a hit is flushed to the disk');

    my %now = map { $_ => 1 } map { glob "/proc/$_/task/*" } $nginx->workers;
    delete @now{map { "/proc/$_/task/$_" } $nginx->workers};

    $again += grep { $threads{$_} } keys %now;
    %threads = %now;
}

ok($again, '- by a thread that flushed one before');

is_soon { $pg->hits } 21, 'all are in PostgreSQL';
is_soon { "@{[threads($nginx)]}" } '1', 'threads end';

$nginx->quit;

done_testing();
