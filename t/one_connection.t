# With one connection for all, look-ups do not keep hits from being written,
# however many strangers come.

use lib 't/lib';
use Hype::Test;
use Hype::Fault;

my $pg = database();
my ($link) = fault_links($pg);

# look-ups take their time

$pg->exec(<<'END');
alter table hype.referral_link rename to links;
create view hype.referral_link as
    select * from hype.links where (select pg_sleep(0.05)) is not null;
grant select on hype.referral_link to hype_nginx
END

my $nginx = fault_nginx(pg => $pg, workers => 1,
                        database => 'connections=1 timeout=3s');

is($nginx->get("/ref/$link/")->header('X-Outcome'), 'hit', 'a hit');

my @floods = map {
    my $n = $_;
    $nginx->visits_start(count => 400, connections => 8,
                         path => sub { "/ref/x$n-$_[0]/" });
} 1 .. 6;

wait_until { $nginx->access_log =~ m{/ref/x6-} } 20, 'the flood';

is($nginx->get("/ref/$link/")->header('X-Outcome'), 'hit',
   'and another one, in a flood of unknown identifiers') for 1 .. 3;

my %outcomes = map { ($_->header('X-Outcome') // 'none') => 1 }
               map { $_->wait } @floods;
is(join(' ', sort keys %outcomes), 'unknown', 'which are looked up all the same');

done_testing();
