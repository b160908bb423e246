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

# curl's arguments, the page it is sent to, what it shows, the hits it makes.  The
# last two are by one visitor, who signs up.

my $jar = '-c cookies -b cookies';

my @tries = (
    ["$site/ref/abc123/", '/welcome', 'a hit', 1],
    ["'$site/ref/abc123/?next=/pricing'", '/pricing', 'a hit, on to another page', 1],
    ["'$site/ref/abc123/?next=//evil.example'", '/welcome',
     'nobody is led off the site', 1],
    ["'$site/pricing?ref=abc123'", '/pricing', 'a hit, by an argument of any page', 1],
    ["-I $site/ref/abc123/", '/welcome', 'HEAD: not counted', 0],
    ["$site/ref/spring/", '/pricing', 'expired: not counted', 0],
    ["$site/ref/closed/", '/welcome', 'disabled: not counted', 0],
    ["$site/ref/nobody/", '/', 'no such link', 0],
    ["$jar '$site/signup?ref=abc123'", '/signup', 'a hit, by a visitor', 1],
    ["$jar -d '' '$site/signup?name=bob'", '/thanks', 'who signs up: claim and confirm',
     0],
);

my $hits = grep { $_->[3] } @tries;

if (!$check) {
    print "\nOpen $site/ in a browser, or try in another terminal:\n\n";
    printf "    curl -i %-58s # %s\n", @$_[0, 2] for @tries;
    print "\nThe status page: $site/hype\n";
    print "What alice sees of her links: $site/my-links\n";
    print 'The database: psql -h ', $pg->socket_dir, ' -p ', $pg->port,
          ' -U postgres ', $pg->dbname, "\n";
}

print "\nWhat comes in", $check ? '' : ' (Ctrl-C ends the demo)', ":\n\n";

my $format = "%-12s  %-10s  %-36s  %-9s  %s\n";
printf $format, qw(time identifier visitor outcome details);

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


# Prints what is new: hits, claims and confirmed referrals in PostgreSQL, and from
# nginx's log the requests that were not recorded.

sub show
{
    my @rows = $pg->query(<<'END');
select h.id::text, h.created, to_char(h.created, 'HH24:MI:SS.MS'),
       l.identifier, h.visitor::text, 'hit', coalesce(h.next, '')
from hype.referral_hit h
join hype.referral_link l on l.id = h.referral_link_id
where h.created > now() - interval '1 hour'
union all
select 'claim ' || c.visitor, c.created, to_char(c.created, 'HH24:MI:SS.MS'),
       null, c.visitor::text, 'claimed', 'the visitor is ' || c.user_id
from hype.visitor_claim c
union all
select 'confirm ' || c.event || ' ' || c.user_id, c.created,
       to_char(c.created, 'HH24:MI:SS.MS'), l.identifier, null, 'confirmed',
       format('%s of %s, thanks to %s', c.event, c.user_id, c.referrer)
from hype.confirmed_referral c
join hype.referral_link l on l.id = c.referral_link_id
order by 2, 1
END

    for my $row (@rows) {
        my ($key, undef, @columns) = @$row;
        next if $seen{$key}++;
        printf $format, map { $_ // '-' } @columns;
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
        my ($arguments, $page) = @$try;

        my ($status, $output) = run(chdir => $nginx->dir, command => [
            'sh', '-c', "curl -sS -i $arguments"]);

        my ($location) = $output =~ m{^Location: (\S+)}m;
        my $target = $location // '';
        $target =~ s{^\Q$site\E}{};

        next if $status == 0 && $output =~ m{^HTTP/1.1 30[23] } && $target eq $page
                && Hype::HTTP::http_get($nginx->port, $target)->status == 200;

        print "curl -i $arguments: expected a redirect to $page, got\n$output";
        $good = 0;
    }

    my $recorded = eval {
        wait_until { show(); $pg->hits == $hits } 10, "$hits hits";
    };

    my $credited = eval {
        wait_until { show(); $seen{'confirm signup bob'} } 10, 'a confirm';
    };

    if (!$credited) {
        print "the sign-up of bob is not confirmed\n";
        $good = 0;
    }

    for my $page (qw(/hype /my-links)) {
        next if Hype::HTTP::http_get($nginx->port, $page)->status == 200;
        print "$site$page: no such page\n";
        $good = 0;
    }

    my $alice = Hype::HTTP::http_get($nginx->port, '/my-links?json')->body;

    if ($alice !~ /"available": 100\b/) {
        print "alice does not see her reward: $alice\n";
        $good = 0;
    }

    if (!$recorded) {
        print "expected $hits hits in PostgreSQL, there are ", $pg->hits, "\n";
        $good = 0;
    }

    print $good ? "\nAll as it should be.\n" : "\nNot as it should be.\n";
    return $good;
}
