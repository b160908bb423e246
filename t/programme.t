# The whole programme, on the static site of examples/programme: users see their link,
# visitors follow it from a campaign, sign up and order, both sides are rewarded, an
# order is refunded, a code is typed in a shop on another host, the referrer is paid,
# and a webhook tells all of it.  Every number is the same wherever it is shown.

use lib 't/lib';
use Hype::Test;
use Hype::Example;
use Hype::Hook;
use Hype::Status;
use Hype::Util qw(at_end spawn stop_process);

my $pg = cluster();
my $hook = Hype::Hook->new;

# Who is logged in, what was typed and what was paid is told by cookies and arguments
# here, as a service would.

my $nginx = nginx(pg => $pg, workers => 2, start => 0,
    http => example('programme',
        '/var/www/html' => '%%DIR%%/site',
        'http://127.0.0.1:8080' => 'http://unix:%%DIR%%/app.sock:',
        'http://127.0.0.1:8081' => 'http://unix:%%DIR%%/app.sock:',
        "    hype_hit_param  hit;\n" => "    hype_hit_param  hit;\n"
            . "    location = /reports { hype_status html reports=1ms; }\n")
    . <<'END');
    server {
        listen unix:%%DIR%%/app.sock;

        location / {
            add_header X-User $cookie_session;
            add_header X-Code $arg_code;
            add_header X-Total $cookie_total;
            return 200 "";
        }
    }
END

mkdir $nginx->dir . '/site';
chmod 0755, $nginx->dir . '/site';

for my $page (qw(pricing welcome thanks)) {
    my $file = $nginx->dir . "/site/$page.html";

    write_file($file, "the page $page\n");
    chmod 0644, $file;
}

$nginx->start;

# What the site's owner says once: who may show reports, and what a referral is worth

$pg->exec("grant hype_report to hype_nginx");
$pg->exec(<<'END');
insert into hype.reward_rule (event, side, amount, percent, currency, hold)
values ('signup', 'referrer', 5, null, 'EUR', '0'),
       ('signup', 'referred', 100, null, 'points', '0'),
       ('order', 'referrer', null, 10, 'EUR', '14 days'),
       ('order', 'referred', 50, null, 'points', '14 days')
END

$pg->exec(example_file('webhooks/webhooks.sql'));

my %env = $pg->env;
@ENV{keys %env, qw(PGUSER WEBHOOK_URL WEBHOOK_SECRET)} =
    (values %env, 'webhooks', $hook->url, 'whsec_c2VjcmV0');

$hook->answer(204);
$hook->start;

my $sender;
at_end(sub { stop_process($sender, 'KILL') if $sender; 1 });
start_sender();

my %cookies;


subtest 'alice opens the page, and gets her link' => sub {
    is(visit('alice', 'http://www.example.com/my-links')->status, 403,
       'not before she is logged in');
    $cookies{alice}{session} = 'alice';

    my $r = visit('alice', 'http://www.example.com/my-links');
    is($r->status, 200, 'then there is the page');
    like($r->header('Content-Type'), qr{^text/html}, '- for people');

    my $page = owner_page('alice');
    is($page->{totals}{links}, 1, '- with a link');
    is($page->{links}[0]{hits}, 0, '- that nobody has followed');
};

my $code = owner_page('alice')->{links}[0]{identifier};
my $link = "http://www.example.com/ref/$code/";
is(owner_page('alice')->{links}[0]{url} =~ s/:\d+//r, $link, 'its URL');


subtest 'bob follows it from a campaign, and signs up' => sub {
    my $r = visit('bob', "http://www.example.com/pricing.html?ref=$code"
                         . '&utm_source=mail&utm_campaign=spring&x=1');

    is($r->body, "the page pricing\n", 'bob comes to the page');
    is($r->{url}, 'http://www.example.com/pricing.html?utm_source=mail'
                  . '&utm_campaign=spring&x=1', '- less the argument');
    like($cookies{bob}{hype_visitor}, qr/^[0-9a-f-]{36}$/, '- with a cookie');
    is($pg->text('select args, user_id from hype.referral_hit'),
       "utm_source=mail&utm_campaign=spring|\n", '- and a hit of the campaign');

    visit('bob', 'http://www.example.com/welcome.html');
    $cookies{bob}{session} = 'bob';
    visit('bob', 'http://www.example.com/pricing.html');
    is($cookies{bob}{hype_visitor}, '', 'bob logs in, the cookie is gone');
    is_soon { $pg->value('select user_id from hype.referral_hit') } 'bob',
        '- the hit is bob\'s';

    visit('bob', 'http://www.example.com/welcome.html') for 1 .. 3;
    is_soon { balance() } 'alice EUR 0 5 0, bob points 0 100 0',
        'the sign-up: both are rewarded, once';
};


subtest 'bob orders, and sends it back' => sub {
    $cookies{bob}{total} = '49.90';
    visit('bob', 'http://www.example.com/thanks.html') for 1 .. 3;
    is_soon { balance() } 'alice EUR 4.99 5 0, bob points 50 100 0',
        'the order: rewards are pending';
    is(rewards('alice'), 'EUR 4.99 5 0', '- as alice sees');

    is_soon {
        $pg->value("select concat('hype_', event_id) from webhook")
    } $pg->value("select concat('hype_', max(id)) from hype.event"),
        'the webhook has told of it, and is killed';
    stop_process($sender, 'KILL');
    undef $sender;

    is($pg->text("select referrer, value from hype.revoke('order', 'bob',
                                                         'sent back')"),
       "alice|49.90\n", 'the order is refunded');
    is(balance(), 'alice EUR 0 5 0, bob points 0 100 0',
       '- the rewards for it are gone');

    visit('bob', 'http://www.example.com/thanks.html');
};


subtest 'carol types the code in a shop on another host' => sub {
    $cookies{carol} = { session => 'carol', total => '20.00' };
    visit('carol', 'http://shop.example.net/checkout?code=' . uc($code) . '.');

    is_soon { balance() }
        'alice EUR 2 5 0, bob points 0 100 0, carol points 50 0 0',
        'both are rewarded';
    is($pg->text("select l.identifier, h.user_id from hype.referral_hit h
                  join hype.referral_link l on l.id = h.referral_link_id
                  where source = 'code'"), "$code|carol\n", '- for a hit by a code');
};


subtest 'dave follows the link to that shop' => sub {
    my $r = visit('dave', "${link}?next=http://shop.example.net/shoes");
    my ($hit) = $r->{url} =~ m{^http://shop\.example\.net/shoes\?hit=([0-9a-f-]{36})$};

    ok($hit, 'the shop is given the hit') or diag($r->{url});

    # what the shop does, when dave logs in and orders

    is($pg->value('select hype.claim_hit($1, $2)', $hit, 'dave'), 'dave',
       'it tells whose it is');
    is($pg->text("select referrer, value
                  from hype.confirm('order', 'dave', value => 30.05)"),
       "alice|30.05\n", '- and the referrer is told to it');
    is(balance(), 'alice EUR 5.01 5 0, bob points 0 100 0, '
                  . 'carol points 50 0 0, dave points 50 0 0', 'rewards');
};


subtest 'alice is paid' => sub {
    is($pg->value("select hype.pay_out('alice', 'EUR', 'november')"), '5',
       'what is available') for 1 .. 2;
    is($pg->value("select hype.pay_out('alice', 'EUR', 'december')"), '0',
       '- and what is not, is not');
    is(rewards('alice'), 'EUR 5.01 0 5', '- as she sees');
    is($pg->text("select sum(amount) filter (where kind <> 'paid'),
                         sum(amount) filter (where kind = 'paid')
                  from hype.reward where beneficiary = 'alice'"), "10.01|-5\n",
       '- and the ledger says');
};


subtest 'the webhook has told it all, once and in order' => sub {
    start_sender();
    is_soon { told() } events(), 'each event';

    is_deeply([map { said($_) } $hook->requests], [
        'claim bob',
        'confirm signup bob by alice',
        'reward alice 5.00 EUR', 'reward bob 100 points',
        'confirm order bob by alice',
        'reward alice 4.99 EUR', 'reward bob 50 points',
        'revoke order bob by alice',
        'reward alice -4.99 EUR', 'reward bob -50 points',
        'confirm order carol by alice',
        'reward alice 2.00 EUR', 'reward carol 50 points',
        'claim dave',
        'confirm order dave by alice',
        'reward alice 3.01 EUR', 'reward dave 50 points',
        'pay_out alice 5.00 EUR',
    ], 'it is the story');

    is(join('', map { "$_\n" } sums()),
       $pg->text("select beneficiary, currency, sum(amount) from hype.reward
                  where kind <> 'paid' group by 1, 2 order by 1, 2"),
       'whoever adds it up has the ledger');
};


subtest 'every number agrees' => sub {
    my %is = (hits => 3, visitors => 3, linked_users => 3, confirmed => 3,
              confirmations => 3, value => 50.05);
    my @all = qw(hits visitors linked_users confirmed confirmations value);
    my @owners = grep { $_ ne 'linked_users' } @all;

    my $as = sub {
        my ($numbers, @names) = @_;

        return join ' ', map { "$_=" . (($numbers->{$_} // -1) + 0) } @names;
    };

    # the owner's page

    is_soon { $as->(owner_page('alice')->{totals}, @owners) }
        $as->(\%is, @owners), 'the owner\'s page: all links';
    my $page = owner_page('alice');
    is($as->($page->{links}[0], @owners), $as->(\%is, @owners), '- the link');
    is($page->{days}[-1]{hits}, 3, '- today');
    is(rewards('bob'), 'points 0 100 0', 'bob\'s, who has a link now, too');

    # the reports

    my $r = report('');
    is($as->({ %{ $r->{funnel} }, linked_users => $r->{funnel}{linked} }, @all),
       $as->(\%is, @all), 'the report: the funnel');
    is($as->((grep { $_->{identifier} eq $code } @{ $r->{links} })[0], @all),
       $as->(\%is, @all), '- the link');
    is($r->{days}[0]{hits}, 3, '- today');
    is_deeply([map { "$_->{event} $_->{confirmed} " . ($_->{value} // 0) }
               sort { $a->{event} cmp $b->{event} } @{ $r->{events} }],
              ['order 2 50.05', 'signup 1 0'], '- events');
    is_deeply([map { "$_->{name} $_->{value} $_->{hits} $_->{confirmed}" }
               sort { $a->{name} cmp $b->{name} } @{ $r->{arguments} }],
              ['utm_campaign spring 1 1', 'utm_source mail 1 1'], '- campaigns');
    is($as->((grep { $_->{user_id} eq 'alice' }
              @{ report('&by=owner')->{owners} })[0], @all), $as->(\%is, @all),
       '- the owner');

    # SQL

    my $columns = 'hits, unique_visitors, linked_users, confirmed, confirmations,
                   value';
    my $row = join('|', @is{@all}) . "\n";

    is($pg->text("select $columns from hype.link_stats where identifier = ?", $code),
       $row, 'hype.link_stats');
    is($pg->text("select $columns from hype.site_stats"), $row, 'hype.site_stats');
    is($pg->text('select codes from hype.link_stats where identifier = ?', $code),
       "1\n", '- one is a code');
    is($pg->text('select hits, unique_visitors, linked_users, confirmed
                  from hype.funnel where identifier = ?', $code), "3|3|3|3\n",
       'hype.funnel');
    is($pg->text('select hits, unique_visitors from hype.daily_hits'), "3|3\n",
       'hype.daily_hits');
    is($pg->text("select hits, unique_visitors
                  from hype.hits_by('month', owner => 'alice')"), "3|3\n",
       'hype.hits_by()');
    is($pg->text('select name, value, hits, confirmed from hype.arg_stats
                  order by name'),
       "utm_campaign|spring|1|1\nutm_source|mail|1|1\n", 'hype.arg_stats');
    is($pg->text('select count(*), count(distinct user_id), sum(value)
                  from hype.confirmed_referral where revoked is null'),
       "3|3|50.05\n", 'hype.confirmed_referral');
    is($pg->value('select count(*) from hype.reward r
                   join hype.confirmed_referral c on c.id = confirmed_referral_id
                   where c.revoked is null'), 6, 'the ledger: two of each');
    is($pg->text('select currency, sum(pending + available + paid), sum(paid)
                  from hype.balance group by 1 order by 1'),
       $pg->text("select currency, sum(amount) filter (where kind <> 'paid'),
                         coalesce(-sum(amount) filter (where kind = 'paid'), 0)
                  from hype.reward group by 1 order by 1"),
       'hype.balance is the sums of the ledger');
};

done_testing();


# A browser: follows redirects within the site, and has a person's cookies.  The last
# answer, with its URL.

sub visit
{
    my ($person, $url) = @_;

    my $jar = $cookies{$person} //= {};
    my $r;

    for (1 .. 5) {
        my ($host, $path) = $url =~ m{^http://([^/:]+)(?::\d+)?(/.*)};
        my $cookie = join '; ', map { "$_=$jar->{$_}" }
                     grep { $jar->{$_} ne ''
                            && ($host eq 'www.example.com' || $_ ne 'hype_visitor') }
                     sort keys %$jar;

        $r = $nginx->get($path, Host => $host,
                         $cookie ne '' ? (Cookie => $cookie) : ());
        $jar->{hype_visitor} = $1
            if ($r->header('Set-Cookie') // '') =~ /^hype_visitor=([^;]*)/;
        $r->{url} = $url =~ s/:\d+//r;

        my $next = $r->header('Location') // last;
        $url = $next =~ m{^/} ? "http://$host$next" : $next;
    }

    return $r;
}


sub owner_page
{
    return json(visit($_[0], 'http://www.example.com/my-links?json'));
}


# What the page says of a user's rewards, once it does what hype.balance does: it is
# kept for two seconds

sub rewards
{
    my ($user) = @_;

    my $expected = $pg->text('select currency, trim_scale(pending),
                                     trim_scale(available), trim_scale(paid)
                              from hype.balance where user_id = ?', $user);
    my $rewards;

    is_soon {
        $rewards = join '', map {
            join('|', @$_{qw(currency pending available paid)}) . "\n"
        } @{ owner_page($user)->{rewards} };
    } $expected, "the page of $user";

    return join ', ', map { s/\|/ /gr } split /\n/, $rewards;
}


sub balance
{
    return $pg->value("select string_agg(concat_ws(' ', user_id, currency,
                                                   trim_scale(pending),
                                                   trim_scale(available),
                                                   trim_scale(paid)), ', '
                                         order by user_id, currency)
                       from hype.balance");
}


sub report
{
    my ($arguments) = @_;
    my $r;

    wait_until {
        $r = visit('alice', "http://www.example.com/reports?report$arguments");
        $r->status == 200 && json($r)->{funnel}{hits} == 3;
    } 10, 'the report';

    return json($r);
}


sub start_sender
{
    $sender = spawn(command => ['/usr/bin/python3',
                                source_dir() . '/examples/webhooks/webhooks.py'],
                    output => $nginx->dir . '/said');
}


# The requests of the webhook, in their order

sub told { return join ' ', map { $_->{'webhook-id'} } $hook->requests }


sub events
{
    return $pg->value("select string_agg('hype_' || id, ' ' order by id)
                       from hype.event");
}


sub said
{
    my ($request) = @_;

    my ($kind, $data) = @{ $request->{json} }{qw(type data)};
    my $currency = $data->{currency} // '';
    my $money = sprintf($currency eq 'EUR' ? '%.2f' : '%d', $data->{amount} // 0)
                . " $currency";

    return $kind eq 'claim' ? "claim $data->{user_id}"
           : $kind eq 'reward' ? "reward $data->{beneficiary} $money"
           : $kind eq 'pay_out' ? "pay_out $data->{user_id} $money"
           : "$kind $data->{event} $data->{user_id} by $data->{referrer}";
}


# What each has earned, by the webhook

sub sums
{
    my %sum;

    for my $data (map { $_->{json}{data} }
                  grep { $_->{json}{type} eq 'reward' } $hook->requests)
    {
        $sum{"$data->{beneficiary}|$data->{currency}"} += $data->{amount};
    }

    return map { "$_|" . sprintf /EUR/ ? '%.2f' : '%d', $sum{$_} } sort keys %sum;
}
