package Hype::Bench::Fill;

# Databases with many hits in them.

use strict;
use warnings;

use Exporter qw(import);

use Hype::Bench qw(postgres);

our @EXPORT_OK = qw(filled subjects);

my $days = 28;
my $links = 100_000;
my $chunk = 1_000_000;


# A database with so many hits of the last four weeks and of 100,000 links, all
# of them in the roll-ups.  It is made once, and kept.

sub filled
{
    my ($rows) = @_;

    my $name = "hits_$rows";
    my $pg = postgres();

    if ($pg->value('select true from pg_database where datname = ?', $name)) {
        $pg = $pg->other($name);
        $pg->install;

    } else {
        print STDERR "filling a table with $rows hits\n";

        fill($pg->fresh("${name}_new", $links), $rows);
        $pg->exec("alter database ${name}_new rename to $name");
        $pg = $pg->other($name);
    }

    # what rows measured before have written

    $pg->value('select hype.roll_up()');
    return $pg;
}


sub fill
{
    my ($pg, $rows) = @_;

    prepare($pg);

    # indexes are made faster at the end than row by row

    my @indexes = map { $_->[0] } $pg->query(<<'END');
        select replace(pg_get_indexdef(indexrelid), ' ON ONLY ', ' ON ')
        from pg_index
        where indrelid = 'hype.referral_hit'::regclass and not indisprimary
END
    $pg->exec("drop index hype.$_") for map { /INDEX (\S+)/ } @indexes;

    for (my $done = 0; $done < $rows; $done += $chunk) {
        my $last = $done + $chunk < $rows ? $done + $chunk : $rows;
        hits($pg, $rows, $done + 1, $last);
    }

    $pg->exec("set maintenance_work_mem = '1GB'");
    $pg->exec($_) for @indexes;
    $pg->exec('vacuum analyze');

    # Nothing is claimed or confirmed, so none of them have to be looked at.

    $pg->exec("update hype.log_position set done = pg_current_snapshot()"
              . " where name = 'claims'");

    # a transaction a round: within one, the totals would be left behind as
    # dead rows by each

    1 while $pg->value('select hype.count_hits(1000000)');
    $pg->value('select hype.roll_up()');

    $pg->exec('vacuum analyze');
    $pg->exec('checkpoint');
    delete $pg->{dbh};
}


# Months of the past, and UUIDs of version 7 as nginx makes them.

sub prepare
{
    my ($pg) = @_;

    $pg->exec(<<"END");
        select hype.add_partition(month)
        from generate_series(date_trunc('month', now() - interval '$days days'),
                             now(), interval '1 month') as month
        where to_regclass(to_char(month, '"hype.referral_hit_"YYYY_MM')) is null
END
    $pg->exec(<<'END');
        create function pg_temp.v7(ms bigint, n bigint) returns uuid
        language sql immutable
        return (lpad(to_hex(ms), 12, '0') || '7' || substr(md5(n::text), 1, 3)
                || '8' || substr(md5(n::text), 4, 15))::uuid
END
}


# Of ten hits seven are a visitor's first, two are of one who comes again, most
# of them soon, and one is of a user.  Each twentieth is one link's, of the other
# links some are followed often and many are not.  A link is seen on three sites.

sub hits
{
    my ($pg, $rows, $first, $last) = @_;

    my $begin = "(extract(epoch from now()) * 1000)::bigint"
                . " - ${days}::bigint * 86400000";
    my $step = $days * 86400000 / $rows;

    $pg->exec(<<"END");
        insert into hype.referral_hit
            (id, referral_link_id, created, authenticated, bot, visitor,
             user_id, ip, user_agent, http_referer, next)
        select pg_temp.v7(ms, n), link, to_timestamp(ms / 1000.0), n % 10 = 9,
               n % 50 = 0,
               case when n % 10 < 9
                    then pg_temp.v7(begin + (visit * $step)::bigint, -visit)
               end,
               case when n % 10 = 9 then 'user' || visit % 1000 end,
               '127.0.0.1',
               'Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, '
               || 'like Gecko) Chrome/126.0.0.0 Safari/537.36',
               'https://news' || (link + n % 3) % 500
               || '.example.com/articles/42',
               '/page' || link % 300
        from (
            select n, begin, begin + (n * $step)::bigint as ms,
                   case when n % 20 = 0 then 1
                        else 1 + floor(random() ^ 3 * $links)::bigint
                   end as link,
                   case when n % 10 < 7 then n
                        else greatest(1, n - 10 - n % 10
                                         - 10 * floor(random() ^ 4
                                                      * $rows / 10)::bigint)
                   end as visit
            from (select $begin as begin) as b,
                 generate_series(${first}::bigint, $last) as n
        ) as h
END
}


# A database in which the visitor "...0001" and the user "many" have so many
# hits, the visitor "...0002" and the user "few" ten.

sub subjects
{
    my ($rows) = @_;

    my $pg = postgres()->fresh('hype_subjects', 2);
    prepare($pg);

    for my $case ([1, 'null', $rows], [2, 'null', 10],
                  [3, "'many'", $rows], [4, "'few'", 10])
    {
        my ($n, $user, $hits) = @$case;

        $pg->exec(<<"END");
            insert into hype.referral_hit
                (id, referral_link_id, created, visitor, user_id, ip)
            select pg_temp.v7((extract(epoch from t) * 1000)::bigint,
                              n * 10 + $n),
                   1 + n % 2, t, '${\ visitor($n)}', $user, '127.0.0.1'
            from (select n, now() - n * interval '$days days' / $hits as t
                  from generate_series(1, $hits) as n) as times
END
    }

    $pg->exec('vacuum analyze');
    $pg->exec('checkpoint');
    return $pg;
}


sub visitor
{
    return "018f0000-0000-7000-8000-00000000000$_[0]";
}


1;
