# The disk of rejected.records is full for a moment: a record that it takes half of
# does not spoil the next.  Nor does a message of PostgreSQL's that quotes a visitor.

use lib 't/lib';
use Hype::Test;
use Hype::Fault;
use Hype::Shim;

my $shim = Hype::Shim->new or plan(skip_all => 'no library to preload');
my $pg = cluster();
my ($link) = fault_links($pg);
my $nginx = $shim->around(sub {
    fault_nginx(pg => $pg, workers => 1, database => 'timeout=10s',
                allow => [qr/\[crit\].* hype: spool: /, qr/hype: dropped/])
});
my $dir = $nginx->dir . '/hype_spool';


sub outcome { scalar $nginx->get("/ref/$link/?next=/$_[0]")->header('X-Outcome') }


outcome('warm');

$pg->exec(q(alter table hype.referral_hit
            add constraint no_evil check (next !~ '^/evil') not valid));

is(outcome('evil-1'), 'dropped', 'a hit is refused');
$shim->set('short 0 0');
is(outcome("evil-it's"), 'dropped', 'another one, while the disk is full');
$shim->set;
is(outcome('evil-3'), 'dropped', 'and one more');
is(() = set_aside("$dir/rejected.records") =~ /^INSERT/mg, 2, 'others are kept');

# and a message of PostgreSQL's that quotes a visitor is not run

$pg->exec(<<'END');
create function refuse() returns trigger language plpgsql as $$
begin
    raise 'no % here', new.next;
end $$;
create trigger refuse before insert on hype.referral_hit
    for each row when (new.next ~ 'drop') execute function refuse();
END
is(outcome('%0D%0Ddrop%20schema%20hype%20cascade;%0Adrop%20schema%20hype;'),
   'dropped', 'and one that a trigger quotes');
is(outcome('%0Ddrop%20schema%20hype%20cascade;'), 'dropped', 'and another');

$pg->exec(<<'END');
alter table hype.referral_hit drop constraint no_evil;
drop trigger refuse on hype.referral_hit
END
restore($pg, "$dir/rejected.records");
is($pg->hits("next in ('/evil-1', '/evil-3')"), 2, 'it is there');
is($pg->hits("next ~ 'drop'"), 2, 'and the schema, too');

$nginx->quit;

done_testing();
