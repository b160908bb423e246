package Hype::Fault;

# The verdict on what was done to the module under load (Hype::Load): answers
# and rows, one to one.
#
#   use Hype::Fault;
#
#   fault 'PostgreSQL restarts', pg => $pg, nginx => $nginx, sub {
#       my ($load) = @_;
#       $load->more(100);
#       $pg->restart;
#       $load->more(100);
#   };
#
# Options beside pg and nginx go to Hype::Load->start; these are for the verdict:
#
#   within      seconds that no answer may take longer than (the timeout of
#               "hype_database", 1, and some for a busy machine)
#   unanswered  1: requests may be left without an answer
#   dropped     1: hits may be dropped
#   spooled     1: some hits must have been
#   settle      seconds until all rows must be there (30)
#   old         ids of hits that a failed primary had: those that "pg" has not
#               are lost by PostgreSQL, and no others may be
#
# It makes one test of each of: answers, rows, claims and confirms (where there
# are any), and prints a line for the README's table:
#
#   # fault: PostgreSQL restarts | sent 512 | answered 512 | found 512 | lost 0 | doubled 0

use strict;
use warnings;

use Carp qw(croak);
use Exporter qw(import);
use Test::More ();
use Time::HiRes qw(sleep time);

use Hype::Load ();
use Hype::Status ();
use Hype::Util qw(run server_user source_dir temp_dir wait_until write_file);

our @EXPORT = qw(fault fault_links fault_nginx judge report restore set_aside
                 spool_files spool_put wait_for_errors wait_for_waiting);

# What a machine busy with other things may add to any wait

our $slack = $ENV{HYPE_SLACK} // 1.5;

my $links = 0;


# New links for a fault: their identifiers.

sub fault_links
{
    my ($pg, $n) = @_;

    return map {
        my $identifier = sprintf 'fault%d', ++$links;
        $pg->link($identifier, destination => "/to-$identifier");
        $identifier;
    } 1 .. $n // 1;
}


# An nginx with what Hype::Load's visitors need; options as of Hype::Nginx.

sub fault_nginx
{
    my (%o) = @_;

    $o{server} = Hype::Load::server() . ($o{server} // '');
    $o{workers} //= 2;

    return Hype::Nginx->new(%o);
}


# Waits until so many requests wait for PostgreSQL or the spool.

sub wait_for_waiting
{
    my ($nginx, $n) = @_;

    return wait_until {
        Hype::Status::status($nginx, '/hype_status')->{queue}{waiting} == $n
    } 20, "$n requests to wait";
}


# Waits until nginx has tried so many times more what fails.

sub wait_for_errors
{
    my ($nginx, $n) = @_;

    my $errors = sub {
        Hype::Status::status($nginx, '/hype_status')->{database}{errors}
    };
    my $before = $errors->();

    return wait_until { $errors->() >= $before + $n } 20, "$n more errors";
}


sub fault
{
    my $code = pop;
    my ($name, %o) = @_;

    my $nginx = $o{nginx} // croak 'no nginx';
    my $pg = $o{pg} // croak 'no pg';
    my @links = $o{link} ? () : fault_links($pg, 3);

    my $load = Hype::Load->start(
        port => $nginx->port, link => \@links, journeys => 4,
        map { $_ => $o{$_} } grep { exists $o{$_} }
        qw(link connections rate keepalive timeout returning agent journeys));

    my $ok = eval { $code->($load); 1 };
    my $error = $@;
    my $run = $load->stop;

    local $Test::Builder::Level = $Test::Builder::Level + 1;
    Test::More::fail("$name: $error") if !$ok;

    return judge($name, $run, %o);
}


sub judge
{
    my ($name, $run, %o) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    my ($pg, $nginx) = @o{'pg', 'nginx'};
    my $tag = $run->{tag};
    my @ref = grep { $_->{kind} eq 'ref' } @{ $run->{answers} };
    my @made = grep { ($_->{outcome} // '') =~ /^(?:hit|spooled)$/ } @ref;
    my @silent = grep { $_->{error} } @{ $run->{answers} };
    my @complaints = _complaints($run, %o);

    push @complaints, 'no hit was answered' if !@made;
    push @complaints, 'no hit was spooled'
        if $o{spooled} && !grep { $_->{outcome} eq 'spooled' } @made;

    my %expected = map { $_->{hit} => $_ } @made;
    my %old = map { $_ => 1 } @{ $o{old} // [] };
    my @rows;

    my $found = sub {
        @rows = _rows($pg, $tag);
        my %seen = map { $_->[0] => 1 } @rows;
        return scalar grep { $seen{$_} || $old{$_} } keys %expected;
    };

    my $end = time + ($o{settle} // 30);
    my $there = 0;

    while (1) {
        $there = eval { $found->() } // 0;
        last if $there == keys %expected || time > $end;
        sleep 0.1;
    }

    # what is still to come may come twice

    if ($nginx && $nginx->running) {
        eval { wait_until { !spool_files($nginx) } 20, 'the spool to be empty' }
            or push @complaints, 'files are left in the spool: '
                . join ', ', map { s{.*/}{}r . ' (' . -s($_) . ' bytes)' }
                  spool_files($nginx);
    }

    $found->();

    my (%ids, %nexts, @odd);

    for my $row (@rows) {
        my ($id, $visitor, $next) = @$row;
        my $answer = $expected{$id};

        $ids{$id}++;
        $nexts{$next}++;

        next if !$answer;

        push @odd, "row $id has visitor $visitor, its cookie said "
            . ($answer->{cookie} // 'nothing')
            if $visitor ne ($answer->{cookie} // '');
        push @odd, "row $id has next $next, not that of request $answer->{i}"
            if $next ne "/$tag-$answer->{i}";
    }

    my %answered = map { ("/$tag-$_->{i}" => $_) } @ref;
    my %refused = map { $_->{hit} => 1 } grep { defined $_->{hit}
        && ($_->{outcome} // '') eq 'dropped' } @ref;

    for my $row (@rows) {
        next if $expected{ $row->[0] } || $refused{ $row->[0] };
        my $answer = $answered{ $row->[2] };
        push @odd, "row $row->[0] is of request $row->[2], which was told "
            . ($answer->{hit} // 'of no hit') . ', ' . ($answer->{outcome} // '-')
            if $answer && !$answer->{error};
    }

    push @odd, map { "hit $_ was committed, and its visitor not told" }
        grep { !$ids{$_} && !$expected{$_} } keys %old;

    my @lost = grep { !$ids{$_} && !$old{$_} } keys %expected;
    my $doubled = 0;
    $doubled += $_ - 1 for grep { $_ > 1 } values %nexts;

    report($name, scalar @ref, scalar @made, scalar @rows, scalar @lost,
           $doubled);

    my $ok = Test::More::ok(!@complaints, "$name: visitors are answered");
    _explain(@complaints);

    $ok &= Test::More::ok(!@lost && !$doubled && !@odd,
                          "$name: answers and rows are one to one");
    _explain(map { _lost($expected{$_}) } @lost);
    _explain(map { "$nexts{$_} rows of $_" } grep { $nexts{$_} > 1 } keys %nexts);
    _explain(@odd);

    $ok &= _judge_events($name, $run, %o, rows => \@rows);

    if (!$ok && $nginx) {
        my @log = grep { /hype|alert|crit|emerg/ } split /\n/, $nginx->error_log;
        splice @log, 0, -20;
        Test::More::diag("error log: $_") for @log;
    }

    return $ok;
}


# The line for the table

sub report
{
    my ($name, @numbers) = @_;

    Test::More::diag(sprintf 'fault: %s | sent %d | answered %d | found %d'
                     . ' | lost %d | doubled %d', $name, @numbers);
}


sub _lost
{
    my ($answer) = @_;

    return sprintf 'no row %s of request %d (%s, %s, by %s)', $answer->{hit},
        @$answer{qw(i outcome)},
        defined $answer->{sent_visitor} ? 'returning' : 'new', $answer->{worker};
}


sub _complaints
{
    my ($run, %o) = @_;

    my $within = ($o{within} // 1) + $slack;
    my @complaints;

    for my $a (@{ $run->{answers} }) {
        my $good = $a->{kind} eq 'ref' ? 302 : 204;

        if ($a->{error}) {
            push @complaints, "request $a->{i} ($a->{kind}): $a->{error}"
                . sprintf ' after %.2fs', $a->{seconds} if !$o{unanswered};
            next;
        }

        push @complaints, "request $a->{i} ($a->{kind}) was answered $a->{status}"
            if $a->{status} != $good;

        push @complaints, sprintf 'request %d (%s) was answered in %.2fs, %s',
            @$a{qw(i kind seconds)}, $a->{outcome} // ''
            if $a->{seconds} > $within;

        push @complaints, "request $a->{i} has outcome "
            . ($a->{outcome} // 'none')
            if $a->{kind} eq 'ref' && $a->{status} == 302
               && ($a->{outcome} // '') !~ ($o{dropped}
                   ? qr/^(?:hit|spooled|dropped)$/ : qr/^(?:hit|spooled)$/);
    }

    return @complaints;
}


# Claims and confirms: those that were answered are there, and no others.

sub _judge_events
{
    my ($name, $run, %o) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    my $pg = $o{pg};
    my $tag = $run->{tag};
    my %in = map { $_->{user} => $_ } grep { $_->{kind} eq 'in' }
             @{ $run->{answers} };
    my %buy = map { $_->{user} => $_ } grep { $_->{kind} eq 'buy' }
              @{ $run->{answers} };

    return 1 if !%in;

    my %visitor_of = map { ("$tag-$_->{i}" => $_->{cookie}) }
        grep { $_->{kind} eq 'ref' && $_->{cookie} } @{ $run->{answers} };
    my @wrong;
    my ($claims, $confirms) = (0, 0);
    my $end = time + ($o{settle} // 30);

    while (1) {
        my %claimed = map { @$_ } $pg->query('select user_id, visitor from '
            . 'hype.visitor_claim where user_id like ?', "$tag-%");
        my %confirmed;
        $confirmed{ $_->[0] }++ for $pg->query('select user_id from '
            . 'hype.confirmed_referral where event = ? and user_id like ?',
            'signup', "$tag-%");
        my %unclaimed = map { @$_ } $pg->query('select c.user_id, '
            . q(string_agg(coalesce(h.user_id, 'nobody'), ', ') from )
            . 'hype.visitor_claim c join hype.referral_hit h using (visitor) '
            . 'where c.user_id like ? and h.user_id is distinct from c.user_id '
            . 'group by 1', "$tag-%");

        @wrong = ();
        ($claims, $confirms) = (0, 0);

        for my $user (sort keys %in) {
            my $got = $claimed{$user};
            $claims++ if defined $got;

            if (!defined $got) {
                push @wrong, "no claim of $user" if !$in{$user}{error};
            } elsif ($got ne $visitor_of{$user}) {
                push @wrong, "$user has claimed $got, not $visitor_of{$user}";
            }

            push @wrong, "hits of $user are of others: $unclaimed{$user}"
                if $unclaimed{$user};
        }

        for my $user (sort keys %buy) {
            my $n = $confirmed{$user} // 0;
            $confirms += $n;
            push @wrong, "$n confirms of $user"
                if $n != 1 && !($buy{$user}{error} && $n == 0);
        }

        last if !@wrong || time > $end;
        sleep 0.1;
    }

    Test::More::diag(sprintf 'fault: %s: claims | answered %d | found %d',
        $name, scalar(grep { !$_->{error} } values %in), $claims);
    Test::More::diag(sprintf 'fault: %s: confirms | answered %d | found %d',
        $name, scalar(grep { !$_->{error} } values %buy), $confirms);

    my $ok = Test::More::ok(!@wrong,
                            "$name: claims and confirms are there once");
    _explain(@wrong);

    return $ok;
}


sub _rows
{
    my ($pg, $tag) = @_;

    return $pg->query('select id, visitor, next from hype.referral_hit'
                      . ' where next like ?', "/$tag-%");
}


sub _explain
{
    my (@lines) = @_;

    my $more = @lines - 5;
    splice @lines, 5 if $more > 0;
    Test::More::diag($_) for @lines;
    Test::More::diag("... and $more more") if $more > 0;
}


# The files in the spool's folder that hold records.

sub spool_files
{
    my ($nginx) = @_;

    return glob(($nginx->{spool} // $nginx->dir . '/hype_spool') . '/*.spool');
}


# Puts files into the spool's directory, as another worker would have left them.

sub spool_put
{
    my ($nginx, %files) = @_;

    my $dir = $nginx->{spool} // $nginx->dir . '/hype_spool';
    my @owner = defined server_user() ? (getpwnam server_user())[2, 3] : ($>, $));

    for my $name (sort keys %files) {
        write_file("$dir/$name.new", $files{$name});
        chown @owner, "$dir/$name.new";
        chmod 0600, "$dir/$name.new";
        rename "$dir/$name.new", "$dir/$name";
    }

    return;
}


# What hype-spool makes of a file of records that were set aside, if it is there.

sub set_aside
{
    my ($file) = @_;

    return '' if !-e $file;

    my $build = $ENV{BUILD} // source_dir() . '/build';

    return scalar((run(command => ["$build/hype-spool", '--sql', $file]))[1]);
}


# Runs that, and removes the file.

sub restore
{
    my ($pg, $file) = @_;

    my $sql = temp_dir('restore') . '/records.sql';
    write_file($sql, set_aside($file));
    my ($status, $output) = $pg->psql('-q', '-v', 'ON_ERROR_STOP=1', '-f', $sql);

    Test::More::is($status, 0, 'psql runs what was set aside')
        or Test::More::diag($output);
    unlink $file;
}


1;
