# What django-hype has in its tables is copied: examples/django/move.sql.

use lib 't/lib';
use Hype::Test;

my $pg = database();

$pg->exec(read_file(source_dir() . '/t/apps/django/tables.sql') . <<'END');
insert into hype_referrallink (id, identifier, user_id, disabled, created, updated)
values (5, 'abc123',  7,    false, '2020-01-01Z', '2020-01-02Z'),
       (6, 'closed',  8,    true,  '2020-01-01Z', '2020-05-02Z'),
       (7, 'nobody',  null, false, '2020-01-01Z', '2020-01-02Z'),
       (8, '',        9,    false, '2020-01-01Z', '2020-01-02Z'),
       (9, 'straße',  9,    false, '2020-01-01Z', '2020-01-02Z');
END

# Hits, by what is in their last digits

my $id = sub { sprintf '6f0dc1e0-7e4d-4a6e-9a8c-%012d', $_[0] };
my $hit = sub {
    my ($number, %o) = @_;

    %o = (link => 5, user => undef, authenticated => 'f', confirmed => undef,
          created => '2020-02-03 04:05:06.789012Z', next => '', %o);

    $pg->query('insert into hype_referralhit values
                (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)',
               $id->($number), $o{authenticated}, '192.0.2.1', 'Mozilla/5.0', '',
               $o{next}, $o{confirmed}, $o{created}, $o{created}, $o{user},
               $o{link});
};

$hit->(1, next => '/welcome');
$hit->(2, user => 42, authenticated => 't', created => '2020-03-31 23:59:59.999Z');
$hit->(3, user => 43, confirmed => '2020-04-01Z', created => '2020-03-01Z');
$hit->(4, link => 6);
$hit->(5, link => 8);
$hit->(6, user => 43, confirmed => '2020-06-01Z', created => '2020-05-05Z');

my $move = sub {
    my ($status, $output) = $pg->psql('-At', @_, '-f', 'examples/django/move.sql');
    is($status, 0, 'it is copied') or diag($output);
    return $output;
};

my $hits = sub {
    return $pg->text("select right(h.id::text, 1), l.identifier,
                             h.created at time zone 'UTC', h.visitor = h.id,
                             h.user_id, h.authenticated, h.ip, h.http_referer,
                             h.next, h.confirmed at time zone 'UTC'
                      from hype.referral_hit h
                      join hype.referral_link l on l.id = h.referral_link_id
                      order by h.id");
};

my $claims = sub {
    return $pg->text("select right(visitor::text, 1), user_id
                      from hype.visitor_claim order by 1");
};

my $output = $move->();
like($output, qr/^8\|\n9\|straße$/m, 'links that can\'t be are shown');
like($output, qr/^5\|6\|3\|5$/m, '- and all is counted');

is($pg->text("select identifier, user_id, disabled, disabled_at at time zone 'UTC',
                     created at time zone 'UTC', updated at time zone 'UTC'
              from hype.referral_link order by identifier"), <<'END', 'the links');
abc123|7|f||2020-01-01 00:00:00|2020-01-02 00:00:00
closed|8|t|2020-05-02 00:00:00|2020-01-01 00:00:00|2020-05-02 00:00:00
nobody||f||2020-01-01 00:00:00|2020-01-02 00:00:00
END

my $expected = <<'END';
1|abc123|2020-02-03 04:05:06.789012|t||f|192.0.2.1||/welcome|
2|abc123|2020-03-31 23:59:59.999||42|t|192.0.2.1|||
3|abc123|2020-03-01 00:00:00|t|43|f|192.0.2.1|||2020-04-01 00:00:00
4|closed|2020-02-03 04:05:06.789012|t||f|192.0.2.1|||
6|abc123|2020-05-05 00:00:00|t|43|f|192.0.2.1|||2020-06-01 00:00:00
END

is($hits->(), $expected, 'the hits');
is($claims->(), "3|43\n6|43\n", 'the claims');
is($pg->text('select tableoid::regclass, count(*) from hype.referral_hit
              group by 1 order by 1'), <<'END', 'each is in its month');
hype.referral_hit_2020_02|2
hype.referral_hit_2020_03|2
hype.referral_hit_2020_05|1
END
is($pg->value('select count(*) from hype.confirmed_referral'), 0,
   'nothing is confirmed without an event');


# Once more, and more of it

$move->();
is($hits->(), $expected, 'again: nothing is there twice');
is($claims->(), "3|43\n6|43\n", '- nor claimed');

$move->('-v', 'event=signup');
is($pg->text("select event, user_id, right(referral_hit_id::text, 1), referrer,
                     created at time zone 'UTC'
              from hype.confirmed_referral"),
   "signup|43|3|7|2020-04-01 00:00:00\n", 'with an event: the first one counts');
$move->('-v', 'event=signup');
is($pg->value('select count(*) from hype.confirmed_referral'), 1, '- once');
is($pg->value("select count(*) from hype.confirm('signup', user_id => '43',
                                                \"window\" => '50 years')"), 0,
   '- and nobody is credited again');

$hit->(7, created => '2020-02-04Z');
$pg->exec("update hype_referralhit set hit_user_id = 44, confirmed = '2020-07-01Z'
           where id = '@{[$id->(1)]}'");
$pg->exec("update hype_referrallink set disabled = true, updated = '2021-01-01Z'
           where id = 5");
$move->();

$expected =~ s/^1\|(.*)\|t\|\|f(.*)\|$/1|$1|t|44|f$2|2020-07-01 00:00:00/m;
is($hits->(), $expected . "7|abc123|2020-02-04 00:00:00|t||f|192.0.2.1|||\n",
   'what is new, and has changed since, comes over');
is($claims->(), "1|44\n3|43\n6|43\n", '- and what is claimed');
is($pg->value("select disabled from hype.referral_link
               where identifier = 'abc123'"), 't', '- and a link that is closed');


# What is ours stays

$pg->exec("update hype.referral_link set disabled = false, user_id = 'alice'
           where identifier = 'abc123'");
$pg->exec("select hype.claim('@{[$id->(7)]}', '50')");
$pg->exec("update hype_referralhit set hit_user_id = 51
           where id = '@{[$id->(7)]}'");
$move->();

is($pg->value("select user_id from hype.referral_link
               where identifier = 'abc123'"), 'alice', 'a link that was changed');
is($pg->value('select user_id from hype.referral_hit where id = ?', $id->(7)), 50,
   'a visitor who was claimed');


# The cookie of django-hype holds the id of a hit: its visitor is still known

$pg->exec("select hype.claim('@{[$id->(4)]}', '60')");
is($pg->value('select user_id from hype.referral_hit where id = ?', $id->(4)), 60,
   'a claim by the old cookie finds the hit');

done_testing();
