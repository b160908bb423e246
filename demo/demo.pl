#!/usr/bin/perl

# The demo: see bin/demo.

use strict;
use warnings;

use File::Copy qw(copy);
use Time::HiRes qw(sleep time);

use Hype::HTTP ();
use Hype::Nginx ();
use Hype::Postgres ();
use Hype::Util qw(read_file run source_dir wait_until);

my $check = @ARGV && $ARGV[0] eq '--check';

if (@ARGV && !$check) {
    print STDERR "usage: bin/demo [--check]\n";
    exit 2;
}

$| = 1;

my $demo = source_dir() . '/demo';

print "Starting PostgreSQL and nginx ...\n";

my $pg = Hype::Postgres->new;
$pg->exec(read_file("$demo/links.sql"));

my $nginx = Hype::Nginx->new(pg => $pg, start => 0, workers => 2,
                             config => read_file("$demo/nginx.conf"));
my $outcomes = $nginx->dir . '/logs/outcome.log';

mkdir $nginx->dir . '/site';
copy($_, $nginx->dir . '/site') or die "$_: $!\n" for glob "$demo/site/*";

# nginx's workers may run as another user
chmod 0644, glob $nginx->dir . '/site/*';

$nginx->start;

# until here Ctrl-C ends it at once (Hype::Util)

my $running = 1;
$SIG{$_} = sub { $running = 0 } for qw(INT TERM HUP);

my $site = 'http://127.0.0.1:' . $nginx->port;

# curl's arguments, the outcome, the page it ends on, what it shows

my @tries = (
    ["$site/ref/abc123/", 'hit', '/welcome', 'a hit'],
    ["'$site/ref/abc123/?next=/pricing'", 'hit', '/pricing',
     'a hit, on to another page'],
    ["'$site/ref/abc123/?next=//evil.example'", 'hit', '/welcome',
     'nobody is led off the site'],
    ["-I $site/ref/abc123/", 'skipped', '/welcome', 'HEAD: not counted'],
    ["$site/ref/spring/", 'expired', '/pricing', 'expired: not counted'],
    ["$site/ref/closed/", 'disabled', '/welcome', 'disabled: not counted'],
    ["$site/ref/nobody/", 'unknown', '/', 'no such link'],
);

my $hits = grep { $_->[1] eq 'hit' } @tries;

print "\nOpen $site/ in a browser, or try in another terminal:\n\n";
printf "    curl -i %-58s # %s\n", @$_[0, 3] for @tries;
print "\nThe database: psql -h ", $pg->socket_dir, ' -p ', $pg->port,
      ' -U postgres ', $pg->dbname, "\n";
print "\nWhat comes in (Ctrl-C ends the demo):\n\n";

my $format = "%-12s  %-10s  %-36s  %-8s  %s\n";
printf $format, qw(time identifier visitor outcome next);

my (%seen, $position);

if ($check) {
    exit(check() ? 0 : 1);
}

while ($running) {
    eval { show(); 1 } or print STDERR $@;
    sleep 0.2;
}

print "\nStopping.\n";
exit 0;


# Prints what is new: the hits in PostgreSQL, and from nginx's log the requests
# that were not recorded.

sub show
{
    my @rows = $pg->query(<<'END');
select h.id, to_char(h.created, 'HH24:MI:SS.MS'),
       l.identifier, h.visitor, h.next
from hype.referral_hit h
join hype.referral_link l on l.id = h.referral_link_id
where h.created > now() - interval '1 hour'
order by h.created, h.id
END

    for my $row (@rows) {
        my ($id, $time, $identifier, $visitor, $next) = @$row;
        next if $seen{$id}++;
        printf $format, $time, $identifier, $visitor // '-', 'hit', $next // '';
    }

    open my $log, '<', $outcomes or return;
    seek $log, $position // 0, 0;

    while (my $line = <$log>) {
        last if $line !~ /\n$/;
        $position = tell $log;
        chomp $line;
        my ($outcome, $identifier, $visitor, $next) = split /\|/, $line, 4;
        next if $outcome eq 'hit' || $outcome eq '-';
        printf $format, '-', $identifier, $visitor, $outcome, $next;
    }
}


# Runs each of the commands shown and looks at what came of it.

sub check
{
    my $good = 1;

    for my $try (@tries) {
        my ($arguments, $outcome, $page, $what) = @$try;

        my ($status, $output) = run(command => [
            'sh', '-c', "curl -sS -i $arguments"]);

        my ($location) = $output =~ m{^Location: (\S+)}m;
        my $target = $location // '';
        $target =~ s{^\Q$site\E}{};

        next if $status == 0 && $output =~ m{^HTTP/1.1 302 } && $target eq $page
                && Hype::HTTP::http_get($nginx->port, $target)->status == 200;

        print "curl -i $arguments: expected a redirect to $page, got\n$output";
        $good = 0;
    }

    my $recorded = eval {
        wait_until { show(); $pg->hits == $hits } 10, "$hits hits";
    };

    if (!$recorded) {
        print "expected $hits hits in PostgreSQL, there are ", $pg->hits, "\n";
        $good = 0;
    }

    print $good ? "\nAll as it should be.\n" : "\nNot as it should be.\n";
    return $good;
}
