# What an application calls has the same results on Citus as on one PostgreSQL.

use lib 't/lib';
use Hype::Test;
use Hype::Citus;

my $citus = Hype::Citus->new;
my $plain = cluster();
my @databases = ($plain, $citus->coordinator);

$_->query('select hype.create_link(identifier => ?, user_id => ?)', 'abc',
          'alice') for @databases;
$_->exec("insert into hype.reward_rule (event, side, amount)
          values ('paid', 'referrer', 5)") for @databases;

# Hits of the visitor with that number, two hours ago or now, in several shards

sub hits
{
    my ($visitor, $hours) = @_;

    for my $db (@databases) {
        $db->exec("insert into hype.referral_hit
            (referral_link_id, visitor, created, node, args)
            select 1, lpad('$visitor', 32, '0')::uuid,
                   now() - interval '$hours hour', n, 'a=b'
            from unnest('{128,256,384}'::smallint[]) as n");
    }
}

# Derives until what is expected is there: hits of two-phase commits are read
# when these are known to have ended.

sub same
{
    my ($name, $sql, $expected) = @_;

    for my $db (@databases) {
        is_soon {
            $db->value('select again from hype.derive()');
            $db->text($sql);
        } $expected, ($db == $plain ? 'one PostgreSQL: ' : 'Citus: ') . $name,
            20;
    }
}

sub calls
{
    my ($name, $sql, $expected) = @_;

    for my $db (@databases) {
        is($db->text($sql), $expected,
           ($db == $plain ? 'one PostgreSQL: ' : 'Citus: ') . $name);
    }
}

my ($bob, $carl, $gus, $late) = map { "lpad('$_', 32, '0')::uuid" } 1 .. 4;

hits($_, 2) for 1, 2;
calls('a claim', "select hype.claim($bob, 'bob')", "bob\n");
same('has all hits', "select count(*) from hype.referral_hit
    where user_id = 'bob'", "3\n");

calls('a confirm of a visitor', "select referrer
    from hype.confirm('paid', visitor => $carl, value => 3)", "alice\n");
calls('who is claimed', "select hype.claim($carl, 'carl')", "carl\n");
same('is the user\'s', 'select user_id, referrer from hype.confirmed_referral',
     "carl|alice\n");

calls('a confirm', "select referrer from hype.confirm('paid', 'bob')",
      "alice\n");
calls('once', "select referrer from hype.confirm('paid', 'bob')", '');
calls('balance', 'select user_id, available from hype.balance', "alice|10\n");
calls('is revoked', "select event from hype.revoke('paid', 'bob')", "paid\n");
calls('a code', "select referrer from hype.refer('abc', 'dora')", "alice\n");
calls('and not one\'s own', "select referrer from hype.refer('abc', 'alice')",
      '');

hits(3, 2);
$_->query("select hype.claim_batch(array[$gus], '{gus}',
           array[now() - interval '1 hour'])") for @databases;
same('a claim of nginx', "select user_id, count(*) from hype.referral_hit
    where visitor = $gus group by 1", "gus|3\n");
$_->query("select hype.claim_batch(array[$gus], '{hal}',
           array[now() - interval '2 hour'])") for @databases;
same('an earlier one', "select user_id, count(*) from hype.referral_hit
    where visitor = $gus group by 1", "hal|3\n");
hits(3, 0);
same('has later hits, too', "select user_id, count(*) from hype.referral_hit
    where visitor = $gus group by 1", "hal|6\n");

same('reports', 'select hits, unique_visitors, linked_users, confirmed, codes
    from hype.link_stats', "13|4|4|1|1\n");
calls('of the site', 'select hits, unique_visitors from hype.site_stats',
      "13|4\n");
calls('of arguments', 'select name, value, hits, confirmed
    from hype.arg_stats', "a|b|12|1\n");
calls('as JSON', "select hype.report() -> 'funnel' -> 'hits'", "13\n");

calls('erased', "select hype.erase('bob') > 0", "t\n");
same('is gone', "select count(*) from hype.referral_hit
    where user_id = 'bob' or visitor = $bob", "0\n");
hits(4, 2);
$_->query("select hype.claim_batch(array[$late], '{bob}',
           array[now() - interval '1 hour'])") for @databases;
same('what comes of him later, too', "select count(*) from hype.referral_hit
    where visitor = $late", "0\n");

# While a worker is away: an error, which changes nothing

my ($pg, $ida) = ($citus->coordinator, "lpad('5', 32, '0')::uuid");

hits(5, 1);
$citus->worker(2)->stop('kill');

for my $call ("hype.claim($ida, 'ida')", "hype.confirm('paid', visitor => $ida)",
              "hype.refer('abc', 'ida')", 'hype.report()')
{
    ok(!eval { $pg->query("select $call"); 1 }, "a worker is away: $call");
    like($@, qr/connection to the remote node/, '- the error says why');
}

is($pg->value("select identifier from hype.create_link(identifier => 'ida')"),
   'ida', '- a link is made');
is($pg->value("select count(*) from hype.visitor_claim where user_id = 'ida'"), 0,
   '- no claim is left');

$citus->worker(2)->start;
calls('a claim, when it is there again', "select hype.claim($ida, 'ida')",
      "ida\n");
calls('and a confirm', "select referrer from hype.confirm('paid', 'ida')",
      "alice\n");
calls('no error is left', "select error from hype.pending_claim
    where error is not null union all select error from hype.pending_confirm
    where error is not null", '');

done_testing();
