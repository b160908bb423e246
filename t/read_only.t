# A database that lets nginx in and read, but not write: as when it is a standby
# now, or its disk is full.

use lib 't/lib';
use Hype::Test;

my $pg = cluster();

$pg->link('abc123', destination => '/welcome');
$pg->link("other$_", destination => '/other') for 1 .. 20;

my $nginx = nginx(pg => $pg, workers => 1, database => 'timeout=5s',
                  server => 'location /ref/ { hype_ref; }', allow => [qr/./]);

my $made = 0;

visit(20, '/ref/abc123/');

$pg->exec('alter role hype_nginx set default_transaction_read_only = on');
$pg->terminate;

my $had = sessions();
my $begun = time;

my @answers = visit(200, '/ref/abc123/');
is(scalar(grep { $_->status == 302 } @answers), 200, 'visitors go on');
is(scalar(grep { $_->{seconds} >= 5 } @answers), 0,
   '- and none has to wait until the timeout is over');

@answers = map { visit(1, "/ref/other$_/") } 1 .. 20;
is(scalar(grep { $_->header('Location') =~ m{/other$} } @answers), 20,
   'links that are not cached are looked up');

# of three connections, some of which wait longer and longer to be made again

is_soon { time - $begun > 3 } 1, 'some seconds go by', 10;
my $more = sessions() - $had;
ok($more <= 60, "it does not connect again and again ($more times)");

$pg->exec('alter role hype_nginx reset default_transaction_read_only');
is_soon { $pg->hits } $made, 'all hits arrive once it takes them', 20;

done_testing();


sub visit
{
    my ($count, $path) = @_;

    $made += $count;
    return $nginx->visits(count => $count, connections => 4, path => $path);
}


# of all that ever were

sub sessions
{
    return $pg->value('select sessions from pg_stat_database
                       where datname = current_database()');
}
