package Hype::Workers;

# Links as each of nginx's workers sees them, for use after Hype::Test:
#
#   my $nginx = nginx(pg => $pg, workers => 4, http => worker_server());
#   ask_workers($pg, $nginx);
#
#   is(all(\&outcome, 'abc'), 'hit', 'all workers know a link');
#   acts('update ...', \&location, 'abc', '/x', 'a change acts on all of them');
#
# The database logs its statements (log_statement = 'all'), for queries().

use strict;
use warnings;

use Exporter qw(import);
use Test::More ();
use Time::HiRes qw(time);

use Hype::HTTP qw(http_read);
use Hype::Util qw(wait_until);

our @EXPORT = qw(act_times acts all ask ask_workers location outcome queries
                 queries_of_each worker_server);

my ($pg, @workers, @times);


# A server of which each worker listens on a socket of its own, so that
# connections are spread.

sub worker_server
{
    return <<'END';
server {
    listen 127.0.0.1:%%PORT%% reuseport;
    absolute_redirect off;
    keepalive_requests 1000000;
    add_header X-Outcome $hype_outcome;
    add_header X-Referrer $hype_referrer;
    add_header X-Worker $pid;
    location /ref/ { hype_ref; }
    location = /status { hype_status; }
}
END
}


# From now on it is the workers of this nginx that are asked, each on a connection
# of its own.

sub ask_workers
{
    my ($database, $nginx) = @_;

    my %connections;

    wait_until {
        my $connection = $nginx->open;
        my $worker = ask($connection, 'none')->header('X-Worker');
        $connections{$worker} //= $connection;
        keys %connections == $nginx->{workers};
    } 20, 'a connection to each worker';

    $pg = $database;
    @workers = values %connections;
}


sub ask
{
    my ($connection, $identifier) = @_;

    print $connection "GET /ref/$identifier/ HTTP/1.1\r\nHost: localhost\r\n"
        . "Connection: keep-alive\r\n\r\n";
    return http_read($connection);
}


sub outcome { scalar ask(@_)->header('X-Outcome') }
sub location { ask(@_)->location }


# What all workers say, if it is the same; else all of it.

sub all
{
    my ($what, $identifier) = @_;

    my %answers = map { $what->($_, $identifier) => 1 } @workers;
    return join ', ', sort keys %answers;
}


# After a statement each worker says something; how long it took is in
# act_times().

sub acts
{
    my ($sql, $what, $identifier, $expected, $name) = @_;

    $pg->exec($sql);
    my $begin = time;
    my %left = map { $_ => $workers[$_] } 0 .. $#workers;

    while (%left && time - $begin < 5) {
        for my $n (keys %left) {
            next if $what->($left{$n}, $identifier) ne $expected;
            delete $left{$n};
        }
    }

    my $took = 1000 * (time - $begin);
    push @times, $took;

    local $Test::Builder::Level = $Test::Builder::Level + 1;
    return Test::More::is(scalar(keys %left), 0, $name);
}


# Milliseconds until the last worker did, each time, in their order

sub act_times { return sort { $a <=> $b } @times }


# How many queries have asked for an identifier, or for each (a hash): the whole
# log is read.

sub queries
{
    my ($identifier) = @_;

    return queries_of_each()->{$identifier} // 0;
}


sub queries_of_each
{
    my $log = $pg->log;
    my %queries;

    while ($log =~ /LOG:  execute .* FROM hype\.referral_link WHERE identifier = ANY.*\n.*DETAIL:  [Pp]arameters: (.*)/g) {
        my %asked = map { $_ => 1 } $1 =~ /[^{},"]+(?=[},"])/g;
        $queries{$_}++ for keys %asked;
    }

    return \%queries;
}


1;
