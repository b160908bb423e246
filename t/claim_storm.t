# Hits and claims of many visitors in any order, while connections are lost: every
# hit of a claimed visitor has that user in the end, by any way into the database.

use lib 't/lib';
use Hype::Test;

my $pg = database();
$pg->link('abc123', user_id => 'alice');

my %config = (
    pg => $pg, workers => 2, database => 'timeout=200ms',
    server => <<'END');
location /ref/ { hype_ref; }
location /user { hype_user $http_x_user; return 204; }
END

my $nginx = nginx(%config);
my $n = 0;

storm('many in any order, two workers, lost connections');


# the same with other ways into the database

$nginx->reload(%config, http => 'hype_durability spool;');
storm('the same by the spool');

$nginx->reload(%config, http => 'hype_spool off;');
storm('the same without a spool');

done_testing();


sub storm
{
    my ($name) = @_;

    my $visitors = 200;
    my %user;
    my @requests;

    for (1 .. $visitors) {
        my $visitor = $pg->value('select gen_random_uuid()');
        $user{$visitor} = 'user-' . ++$n;
        push @requests, [visit => $visitor] for 1 .. 1 + rand 3;
        push @requests, [claim => $visitor] for 1 .. 1 + rand 2;
    }

    # shuffled, yet what belongs together comes at about the same time
    my $i = 0;
    my %place = map { $_ => $i++ + rand 60 } 0 .. $#requests;
    @requests = @requests[sort { $place{$a} <=> $place{$b} } keys %place];

    my $load = $nginx->visits_start(
        count => scalar @requests, connections => 32,
        path => sub { $requests[$_[0]][0] eq 'visit' ? '/ref/abc123' : '/user' },
        headers => sub {
            my ($what, $visitor) = @{ $requests[$_[0]] };
            return (Cookie => "hype_visitor=$visitor",
                    $what eq 'claim' ? ('X-User' => $user{$visitor}) : ());
        });

    my $newest = sub {
        $pg->value(q(select max(backend_start) from pg_stat_activity
                     where usename = 'hype_nginx')) // ''
    };

    while ($load->running) {
        my $before = $newest->();
        $pg->terminate;
        wait_until { $newest->() gt $before || !$load->running } 20,
            'a new session';
    }

    my @answers = $load->wait;
    my $hits = grep { $_->[0] eq 'visit' } @requests;

    is(scalar(grep { $_->status == 302 || $_->status == 204 } @answers),
       scalar @requests, "$name: all are answered");

    my $state = sub {
        return $pg->text(<<'END', [keys %user]) =~ s/\n$//r;
select count(*), count(distinct h.id), count(h.user_id),
       (select count(*) from hype.visitor_claim where visitor = any ($1))
from hype.referral_hit h
where h.visitor = any ($1)
END
    };

    is_soon { $state->() } "$hits|$hits|$hits|$visitors",
        '- every hit arrives, once, and every claim; each hit has a user', 20;

    is(scalar(grep { $_->[1] ne ($user{$_->[0]} // $_->[1]) }
              $pg->query('select visitor, user_id from hype.referral_hit
                          where user_id is not null')), 0, '- the right one');

    $pg->exec('delete from hype.referral_hit');
}
