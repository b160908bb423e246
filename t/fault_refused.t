# Connections that break for what a record does, or between an error and the end
# of its statement: nobody is there to be asked whose fault it was.

use lib 't/lib';
use Hype::Test;
use Hype::Fault;

my $pg = cluster();
my ($link) = fault_links($pg);
my $proxy = proxy($pg);
my $nginx = fault_nginx(pg => $proxy, workers => 1, database => 'timeout=3s');
my $rejected = $nginx->dir . '/hype_spool/rejected.records';

$pg->exec(<<'END');
create function site() returns trigger language plpgsql as $$
begin
    raise exception 'the site says no';
end $$;
create trigger site before insert on hype.referral_hit
    for each row when (new.user_agent = 'evil') execute function site();
create function ends() returns trigger language plpgsql security definer as $$
begin
    perform pg_terminate_backend(pg_backend_pid());
    perform pg_sleep(1);
    return new;
end $$;
create trigger ends before insert on hype.referral_hit
    for each row when (new.user_agent = 'end') execute function ends();
END


sub visit
{
    my ($next, $agent) = @_;

    return $nginx->get("/ref/$link/?next=/$next", 'User-Agent' => $agent)
                 ->header('X-Outcome') // 'none';
}


sub rejected
{
    return scalar(() = set_aside($rejected) =~ /^INSERT INTO/mg);
}


is(visit('before', 'good'), 'hit', 'a hit');

my @workers = $nginx->workers;

$proxy->cut_after('the site says no');
is(visit('evil', 'evil'), 'dropped', 'one that is refused, on its own');
is(rejected(), 1, 'is set aside');
is("@{[ $nginx->workers ]}", "@workers", 'by the same worker');
is(visit('after', 'good'), 'hit', 'a hit after that');

# several, from the spool

$proxy->refuse;
$proxy->cut;
visit("many-$_", $_ == 3 ? 'evil' : 'good') for 1 .. 10;
$proxy->cut_after('the site says no');
$proxy->admit;
is_soon { $pg->hits("next like '/many-%'") } 9, 'the others are written';
is_soon { rejected() } 2, 'that one is set aside';
is_soon { scalar(my @files = spool_files($nginx)) } 0, 'the spool is empty';
is("@{[ $nginx->workers ]}", "@workers", 'by the same worker');

# One that ends its session each time, while others are written

$proxy->refuse;
$proxy->cut;
visit("ends-$_", $_ == 3 ? 'end' : 'good') for 1 .. 10;
$proxy->admit;
is_soon { $pg->hits("next like '/ends-%'") } 9, 'the others are written', 30;
is_soon { visit('beside', 'good'); rejected() } 3, 'that one is set aside', 40;
is_soon { scalar(my @files = spool_files($nginx)) } 0, 'the spool is empty';
is(visit('end', 'good'), 'hit', 'a hit');

$nginx->quit;
$pg->stop;

done_testing();
