# Failover by Patroni, with the list of all nodes and with HAProxy: what was
# answered is in the database once, or PostgreSQL has lost it.

use lib 't/lib';
use Hype::Test;
use Hype::Fault;
use Hype::Patroni;
use List::Util qw(max);

my $patroni = Hype::Patroni->new->settled(1);
my $synchronous = 1;

my %nginx = (
    hosts => fault_nginx(http => $patroni->hype_database),
    haproxy => fault_nginx(http => $patroni->haproxy),
);

# With synchronous_mode nothing is lost

failover('switch-over', sub {
    my ($primary) = @_;
    $patroni->switch_over($patroni->standby);
    return committed_again($patroni->primary($primary));
});

failover('the primary is killed', sub {
    my ($primary) = @_;
    $primary->kill;
    my $new = committed_again($patroni->primary($primary));
    $primary->start;
    return $new;
});

failover('PostgreSQL alone is killed', sub {
    my ($primary) = @_;
    $primary->kill('postgres');
    return committed_again($patroni->primary);
});

failover('the primary is cut off from etcd and the standbys', sub {
    my ($primary) = @_;
    $primary->isolate('etcd', 'peers', 'rest');
    my $new = committed_again($patroni->primary($primary));
    $primary->join;
    return $new;
});

failover('the primary is cut off from all', sub {
    my ($primary) = @_;
    $primary->isolate;
    my $new = committed_again($patroni->primary($primary));
    $primary->join;
    return $new;
});

failover('the primary halts', sub {
    my ($primary) = @_;
    $primary->freeze;
    my $new = committed_again($patroni->primary($primary));
    $primary->thaw;
    return $new;
});

# It can still be written to, but no commit ends; those who have a list of hosts
# may be with it until Patroni is back.

failover('Patroni halts', sub {
    my ($primary) = @_;
    $primary->freeze('patroni');
    my $new = committed_again($patroni->primary($primary), 'haproxy');
    $primary->thaw;
    return committed_again($new);
});

# Without, as many as PostgreSQL has lost

$patroni->settled(1)->configure(synchronous_mode => \0);
$synchronous = 0;

failover('the primary is killed, replication lags', sub {
    my ($primary, $loads) = @_;
    $primary->isolate('peers');
    $_->more(50) for @$loads;
    $primary->kill;
    my @had = hits($primary->remains);
    $primary->join;
    my $new = committed_again($patroni->primary($primary));
    $primary->start;
    return ($new, @had);
});

failover('the primary is cut off from etcd and the standbys, asynchronous', sub {
    my ($primary) = @_;
    $primary->isolate('etcd', 'peers', 'rest');
    my $new = committed_again($patroni->primary($primary));
    wait_until { $primary->in_recovery } 60, 'the old primary to be read-only';
    my @had = hits($primary);
    $primary->join;
    return ($new, @had);
});

failover('the primary halts, and runs again', sub {
    my ($primary, $loads) = @_;
    $primary->isolate('peers');
    $_->more(50) for @$loads;
    $primary->freeze;
    my $new = committed_again($patroni->primary($primary));

    # before its Patroni does something about it
    $primary->thaw('postgres');
    $_->more(100) for @$loads;
    $primary->isolate('clients');
    wait_until {
        !$primary->value(q(select count(*) from pg_stat_activity
                           where usename = 'hype_nginx' and state = 'active'))
    } 30, 'its statements to end';

    my @had = hits($primary);
    $primary->thaw;
    $primary->join;
    return ($new, @had);
});

$patroni->settled(0);
$_->quit for values %nginx;

done_testing();


# Does harm to the primary under the load of both; its code returns the new
# primary, and the hits that the old one had.

sub failover
{
    my ($name, $code) = @_;

    my $primary = $patroni->settled($synchronous)->primary;
    my @names = sort keys %nginx;
    my %load = map { $_ => Hype::Load->start(
        port => $nginx{$_}->port, rate => 100, connections => 32,
        link => [fault_links($primary, 3)], journeys => $synchronous ? 4 : 0)
    } @names;

    $_->more(100) for values %load;

    my ($new, @had) = eval { $code->($primary, [values %load]) };
    my $error = $@;

    $_->more(50) for values %load;
    my %run = map { $_ => $load{$_}->stop } @names;

    if (!$new) {
        fail("$name: $error");
        $_->recover for $patroni->nodes;
        return;
    }

    for (@names) {
        my $run = $run{$_};
        my @old = map { $_->[0] } grep { $_->[1] =~ m{^/$run->{tag}-} } @had;

        diag(sprintf 'patroni: %s (%s): nothing is committed for %.1f s',
             $name, $_, longest_pause($run));
        judge("$name ($_)", $run, pg => $new, nginx => $nginx{$_}, settle => 60,
              $synchronous ? () : (old => \@old));
        lost("$name ($_)", $new, @old) if !$synchronous;
    }
}


# Waits until visits are hits again that are committed: of all, or of those named.

sub committed_again
{
    my ($primary, @names) = @_;

    my ($link) = fault_links($primary);

    for (@names ? @names : sort keys %nginx) {
        my $nginx = $nginx{$_};
        wait_until {
            ($nginx->get("/ref/$link")->header('X-Outcome') // '') eq 'hit'
        } 60, "hits to be committed again ($_)";
    }

    return $primary;
}


# The longest time between two answers that a hit is committed

sub longest_pause
{
    my ($run) = @_;

    my @at = sort { $a <=> $b } map { $_->{begun} + $_->{seconds} }
             grep { ($_->{outcome} // '') eq 'hit' } @{ $run->{answers} };

    return max(0, map { $at[$_] - $at[$_ - 1] } 1 .. $#at);
}


sub hits
{
    my ($pg) = @_;

    return $pg->query('select id, next from hype.referral_hit
                       where next is not null');
}


sub lost
{
    my ($name, $pg, @old) = @_;

    my %there = map { $_->[0] => 1 } hits($pg);
    my $n = grep { !$there{$_} } @old;

    diag("patroni: $name: PostgreSQL has lost $n hits");
    cmp_ok($n, '>', 0, "$name: PostgreSQL has lost hits");
}
