# Failover by Patroni, with the list of all nodes and with HAProxy: what was
# answered is in the database once, or PostgreSQL has lost it.

use lib 't/lib';
use Hype::Test;
use Hype::Example;
use Hype::Fault;
use Hype::Patroni;
use JSON::PP ();
use List::Util qw(max);

my $patroni = Hype::Patroni->new->settled(1);
my $synchronous = 1;

my %nginx = (
    hosts => fault_nginx(http => $patroni->hype_database),
    haproxy => fault_nginx(http => $patroni->haproxy),
);

# The example as it stands

my ($link) = fault_links($patroni->primary);
my ($hosts) = $patroni->hype_database =~ /(host=\S+ port=\S+)/;

my $example = nginx(http => example('patroni',
    'host=db1.example.com,db2.example.com,db3.example.com port=5432' => $hosts,
    'dbname=app' => 'dbname=hype',
    'passfile=/etc/nginx/hype.pgpass' => "password=$patroni->{password}"));

is($example->get("/ref/$link/?next=/example")->status, 302, 'the example');
is_soon { $patroni->primary->hits("next = '/example'") } 1, '- counts a hit';
$example->quit;

# With synchronous_mode nothing is lost

failover('switch-over', sub {
    my ($primary, $load) = @_;
    $patroni->switch_over($patroni->standby);
    return committed_again($patroni->primary($primary), $load);
});

failover('the primary is killed', sub {
    my ($primary, $load) = @_;
    $primary->kill;
    my $new = committed_again($patroni->primary($primary), $load);
    $primary->start;
    return $new;
});

failover('PostgreSQL alone is killed', sub {
    my ($primary, $load) = @_;
    $primary->kill('postgres');
    return committed_again($patroni->primary, $load);
});

failover('the primary is cut off from etcd and the standbys', sub {
    my ($primary, $load) = @_;
    $primary->isolate('etcd', 'peers', 'rest');
    my $new = committed_again($patroni->primary($primary), $load);
    $primary->join;
    return $new;
});

failover('the primary is cut off from all', sub {
    my ($primary, $load) = @_;
    $primary->isolate;
    my $new = committed_again($patroni->primary($primary), $load);
    $primary->join;
    return $new;
});

failover('the primary halts, and runs again', sub {
    my ($primary, $load) = @_;
    $primary->freeze;
    my $new = committed_again($patroni->primary($primary), $load);
    $primary->thaw;
    $_->more(100) for values %$load;
    return $new;
});

# PostgreSQL can still be written to, but no commit ends.  Those who have a list of
# hosts may be with it until Patroni is back.

failover('Patroni halts', sub {
    my ($primary, $load) = @_;
    $primary->freeze('patroni');
    my $new = $patroni->primary($primary);
    committed_again($new, { haproxy => $load->{haproxy} });
    $primary->thaw;
    return committed_again($new, $load);
});

# Nobody takes over while an operator has Patroni paused: hits are spooled.

failover('Patroni is paused, and PostgreSQL is killed', sub {
    my ($primary, $load) = @_;
    $patroni->patronictl('pause', '--wait');
    $primary->kill('postgres');
    wait_until { !$patroni->leader } 60, 'the leader lock to be given up';
    $_->more(100) for values %$load;
    $patroni->patronictl('resume', '--wait');
    return committed_again($patroni->primary, $load);
});

# Without etcd there is no primary.

failover('no node reaches etcd', sub {
    my ($primary, $load) = @_;
    $_->isolate('etcd') for $patroni->nodes;
    wait_until { $primary->in_recovery } 60, 'the primary to be read-only';
    $_->more(50) for values %$load;
    $_->join for $patroni->nodes;
    return committed_again($patroni->primary, $load);
});

# Without, as many as PostgreSQL has lost

$patroni->settled(1)->configure(synchronous_mode => JSON::PP::false);
$synchronous = 0;

failover('asynchronous: the primary is killed', sub {
    my ($primary, $load) = @_;
    $primary->isolate('peers');
    $_->more(50) for values %$load;
    $primary->kill;
    my @had = hits($primary->remains);
    $primary->join;
    my $new = committed_again($patroni->primary($primary), $load);
    $primary->start;
    return ($new, @had);
});

failover('asynchronous: the primary is cut off from etcd and the standbys', sub {
    my ($primary, $load) = @_;
    $primary->isolate('etcd', 'peers', 'rest');
    my $new = committed_again($patroni->primary($primary), $load);
    wait_until { $primary->in_recovery } 60, 'the old primary to be read-only';
    my @had = hits($primary);
    $primary->join;
    return ($new, @had);
});

failover('asynchronous: the primary halts, and runs again', sub {
    my ($primary, $load) = @_;
    $primary->isolate('peers');
    $_->more(50) for values %$load;
    $primary->freeze;
    my $new = committed_again($patroni->primary($primary), $load);

    # before its Patroni does something about it
    $primary->thaw('postgres');
    $_->more(100) for values %$load;
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

    $_->more_hits(100) for values %load;

    my ($new, @had) = eval { $code->($primary, \%load) };
    my $error = $@;

    $_->more(50) for values %load;
    my %run = map { $_ => $load{$_}->stop } @names;

    if (!$new) {
        fail("$name: $error");
        $_->recover for $patroni->nodes;
        eval { $patroni->patronictl('resume') };   # if it was paused
        return;
    }

    # on a busy machine Patroni may have moved it once more
    $new = $patroni->settled($synchronous)->primary;

    for (@names) {
        my $run = $run{$_};
        my @old = map { $_->[0] } grep { $_->[1] =~ m{^/$run->{tag}-} } @had;

        diag(sprintf 'patroni: %s (%s): nothing is committed for %.1f s',
             $name, $_, longest_pause($run));
        judge("$name ($_)", $run, pg => $new, nginx => $nginx{$_}, settle => 60,
              $synchronous ? () : (old => \@old));
        lost("$name ($_)", $run, $new, @old) if !$synchronous;
    }
}


# Waits until the primary is in use.

sub committed_again
{
    my ($primary, $load) = @_;

    $_->more_hits(50) for values %$load;
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


# What is answered and not there is what the old primary had and the new one has
# not, one by one.

sub lost
{
    my ($name, $run, $pg, @old) = @_;

    my %there = map { $_->[0] => 1 } hits($pg);
    my @lost = grep { !$there{$_} } @old;
    my @missing = grep { !$there{$_} } map { $_->{hit} }
                  grep { ($_->{outcome} // '') =~ /^(?:hit|spooled)$/ }
                  @{ $run->{answers} };

    diag(sprintf 'patroni: %s: PostgreSQL has lost %d hits, %d are missing',
         $name, scalar @lost, scalar @missing);
    cmp_ok(scalar @lost, '>', 0, "$name: PostgreSQL has lost hits");
    is_deeply([sort @missing], [sort @lost], "$name: as many are missing");
}
