# Ten thousand visits: as many rows, each readable when its redirect arrives.

use lib 't/lib';
use Hype::Test;
use Hype::Fault;

my $pg = database();
my ($link) = fault_links($pg);
my $count = 10_000;

for my $durability (qw(commit spool)) {
    my $nginx = fault_nginx(pg => $pg, workers => 2, database => 'timeout=5s',
                            http => "hype_durability $durability;");
    my %readable;

    my @answers = $nginx->visits(
        count => $count, connections => 64,
        path => sub { "/ref/$link/?next=/$durability-$_[0]" },
        answered => sub {
            my ($answer, $i) = @_;
            my $hit = $answer->header('X-Hit') // return;
            $readable{$i} = $pg->value('select visitor from hype.referral_hit '
                                       . 'where id = ?', $hit)
                if $durability eq 'commit' || $i % 100 == 0;
        });

    is(grep({ $_->status == 302 } @answers), $count,
       "$durability: all visitors are redirected");

    my $outcome = $durability eq 'commit' ? 'hit' : 'spooled';
    is(grep({ $_->header('X-Outcome') eq $outcome } @answers), $count,
       "their outcome is $outcome");

    if ($durability eq 'commit') {
        my @cookies = map { $_->cookie('hype_visitor') } @answers;
        is(grep({ ($readable{$_} // '') eq $cookies[$_] } 0 .. $count - 1), $count,
           'each row is readable when its redirect arrives');
    }

    is_soon { $pg->hits("next like '/$durability-%'") } $count, 'all rows', 60;

    my %rows = map { $_->[0] => $_ } $pg->query(
        'select id, visitor, next from hype.referral_hit where next like ?',
        "/$durability-%");
    my %visitors = map { $_->[1] => 1 } values %rows;

    is(keys %rows, $count, 'ids are distinct');
    is(keys %visitors, $count, 'visitors, too');

    my @odd = grep {
        my $row = $rows{ $answers[$_]->header('X-Hit') };
        !$row || $row->[1] ne $answers[$_]->cookie('hype_visitor')
              || $row->[2] ne "/$durability-$_";
    } 0 .. $count - 1;

    is(@odd, 0, 'and match the cookies');
    report("10,000 visits over 64 connections, $durability", $count,
           scalar(grep { $_->status == 302 } @answers), scalar(keys %rows),
           scalar(@odd), $pg->hits("next like '/$durability-%'") - keys %rows);

    is_soon { scalar(my @files = spool_files($nginx)) } 0, 'no file is left';

    $nginx->quit;
}

done_testing();
