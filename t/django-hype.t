# What django-hype does, statement by statement, and what happens here: these are
# the tests that docs/django-hype.md names.

use lib 't/lib';
use Hype::Test;

my $pg = cluster();
$pg->link('abc123', user_id => 'alice');
$pg->link('closed', user_id => 'bob', disabled => 't');

my $nginx = nginx(pg => $pg, server => <<'END');
absolute_redirect off;
hype_ref_param ref;
hype_user $http_x_user;

location /ref/ {
    hype_ref;
}

location /direct/ {
    hype_ref_param ref mode=direct;
}

location /inline/ {
    hype_ref_param ref mode=inline;
    try_files /index.html =404;
}

location /set/ {
    hype_cookie visit nohttponly max_age=30d;
    hype_ref_param invite mode=direct;
}

location = /paid {
    hype_confirm paid value=10;
    return 204;
}
END

my $uuid = qr/^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;
my $clear = 'Max-Age=0; Expires=Thu, 01 Jan 1970 00:00:00 GMT; Path=/;'
            . ' SameSite=Lax; HttpOnly';
my %names;

sub statement;


statement 'a link' => sub {
    is($nginx->get("/ref/$_")->location, '/', "/ref/$_") for qw(abc123/ abc123);
    is(hits(), 2, 'both are hits');
    is($pg->value('select distinct l.user_id from hype.referral_hit h
                   join hype.referral_link l on l.id = h.referral_link_id'),
       'alice', 'of the owner\'s link');
};

statement 'a hit' => sub {
    is($nginx->get('/ref/abc123/')->status, 302, 'a visit');
    is($pg->hits, 1, '- is there when the redirect is');
    is($nginx->request('HEAD', '/ref/abc123/')->status, 302, 'HEAD');
    is($nginx->get('/ref/abc123/', 'Sec-Purpose' => 'prefetch')->status, 503,
       'a prefetch');
    is(hits(), 1, '- are no hits');
};

statement 'a hit of a user' => sub {
    my $r = $nginx->get('/ref/abc123/', 'X-User' => 42);

    is($r->cookie('hype_visitor'), undef, 'no cookie');
    is(hits('user_id, authenticated, visitor'), '42|t|', 'the user\'s hit');
};

statement 'the anonymous cookie' => sub {
    my $r = $nginx->get('/ref/abc123/');
    my $visitor = $r->cookie('hype_visitor');

    like($visitor, $uuid, 'a UUID');
    is($r->cookie_attributes('hype_visitor'),
       'Max-Age=31536000; Path=/; SameSite=Lax; HttpOnly', '- for a year');
    is(hits('visitor, user_id, authenticated'), "$visitor||f", '- of the hit');

    $r = $nginx->get('/ref/abc123/', Cookie => "hype_visitor=$visitor");
    is($r->cookie('hype_visitor'), $visitor, 'it stays the same');
    is(hits('visitor'), "$visitor,$visitor", '- and is of the next hit, too');
};

statement 'a claim by the application' => sub {
    my $visitor = $nginx->get('/ref/abc123/')->cookie('hype_visitor');
    my $application = $pg->connect(user => 'postgres');

    $application->do('set role hype_app');
    is($application->selectrow_array('select hype.claim(?, ?)', undef, $visitor,
                                     '42'), '42', 'hype.claim()');
    is($pg->value('select user_id from hype.referral_hit'), '42',
       'the hit gets the user');

    $nginx->get('/ref/abc123/', Cookie => "hype_visitor=$visitor");
    is_soon { hits('user_id') } '42,42', '- and so does a later one';
};

statement 'linking at login' => sub {
    my $visitor = $nginx->get('/ref/abc123/')->cookie('hype_visitor');
    my $r = $nginx->get('/foo', Cookie => "hype_visitor=$visitor",
                        'X-User' => 42);

    is($r->status, 404, 'any page, this one is not there');
    is($r->cookie('hype_visitor'), '', '- clears the cookie');
    is($r->cookie_attributes('hype_visitor'), $clear, '- as it was set');
    is_soon { $pg->hits("user_id = '42'") } 1, 'and the hit gets the user';
};

statement 'confirming' => sub {
    my $visitor = $nginx->get('/ref/abc123/')->cookie('hype_visitor');

    is($pg->value('select confirmed from hype.referral_hit'), undef,
       'a hit is not confirmed at first');
    $nginx->get('/paid', Cookie => "hype_visitor=$visitor", 'X-User' => 42);
    is_soon {
        $pg->text('select c.event, c.user_id, c.referrer, c.value,
                          h.confirmed = c.created
                   from hype.confirmed_referral c
                   join hype.referral_hit h on h.id = c.referral_hit_id');
    } "paid|42|alice|10|t\n", 'what nginx has confirmed';
};

statement 'crediting once' => sub {
    my $application = $pg->connect;
    my $confirm = sub {
        my ($row) = $application->selectrow_array(
            "select referrer from hype.confirm('order', user_id => '42')");
        return $row // 'nobody';
    };

    $nginx->get('/ref/abc123/', 'X-User' => 42);
    $pg->exec("insert into hype.reward_rule (event, side, amount)
               values ('order', 'referrer', 100)");

    $application->begin_work;
    is($confirm->(), 'alice', 'alice is to be credited');
    $application->rollback;
    is($confirm->(), 'alice', '- still, as that was undone');
    is($confirm->(), 'nobody', '- and then not again');

    my @paid = map { $pg->value("select hype.pay_out('alice', 'points', '$_')") }
               'first', 'first', 'second';
    is("@paid", '100 100 0', '- with points, which are paid once');

    my @revoked = map { $pg->value("select count(*)
                                    from hype.revoke('order', '42')") } 1 .. 2;
    is("@revoked", '1 0', 'a refund, once');
    is($pg->value("select available from hype.balance where user_id = 'alice'"),
       -100, '- is set against what comes next');
    is($confirm->(), 'nobody', '- and not confirmed again');
};

statement 'a link on any URL' => sub {
    my $url = '/any/page?a=1';

    is($nginx->get("$url&ref=abc123")->location,
       '/ref/abc123?next=%2Fany%2Fpage%3Fa%3D1', 'redirect');
    is($pg->hits, 0, '- no hit yet');
    is($nginx->request('POST', "$url&ref=abc123")->location, undef, 'POST');
    is($nginx->get("$url&ref=nobody")->location, undef, 'no such link');

    my $r = $nginx->get('/direct/page?ref=abc123&a=1');
    is($r->location, '/direct/page?a=1', 'direct');
    like($r->cookie('hype_visitor'), $uuid, '- with a cookie');

    $r = $nginx->get('/inline/page?ref=abc123&a=1');
    is($r->body, "it works\n", 'inline');
    like($r->cookie('hype_visitor'), $uuid, '- with a cookie');
    is(hits('next'), '/direct/page?a=1,/inline/page?a=1', 'the hits');
};

statement 'the example' => sub {
    $pg->link('abc123def');

    my $r = $nginx->get('/accounts/signup/?ref=abc123def');
    is($r->location, '/ref/abc123def?next=%2Faccounts%2Fsignup%2F', 'first');

    $r = $nginx->get($r->location);
    is($r->location, '/accounts/signup/', 'second');
    is(hits('next'), '/accounts/signup/', 'after creating a hit');
};

statement 'watching the table fill up' => sub {
    my $identifier = $pg->value(
        "select identifier from hype.create_link(user_id => 'carol')");

    $nginx->get("/ref/$identifier/") for 1 .. 3;
    is($pg->text("select hits, unique_visitors from hype.link_stats
                  where user_id = 'carol'"), "3|3\n", 'hype.link_stats');
    is($pg->text('select identifier, hits from hype.daily_hits'),
       "$identifier|3\n", 'hype.daily_hits');
    is($pg->text("select hits, linked_users, confirmed from hype.funnel
                  where user_id = 'carol'"), "3|0|0\n", 'hype.funnel');
};

statement 'settings' => sub {
    my $r = $nginx->get('/set/x?invite=abc123&ref=abc123');

    is($r->location, '/set/x?ref=abc123', 'another parameter');
    like($r->cookie('visit'), $uuid, 'another cookie');
    is($r->cookie_attributes('visit'), 'Max-Age=2592000; Path=/; SameSite=Lax',
       '- for another time, without HttpOnly');
};

statement 'what a hit knows' => sub {
    $nginx->get('/ref/abc123/?next=/foo', 'User-Agent' => 'TestAgent',
                Referer => 'https://example.com');
    is(hits('ip, user_agent, http_referer, next, confirmed'),
       '127.0.0.1|TestAgent|https://example.com|/foo|', 'a hit');
};

statement 'a next that is not safe' => sub {
    $pg->link('dest', destination => '/welcome');

    for my $next ('https://evil.example/', '//evil.example', '/%5Cevil.example',
                  'javascript:alert(1)')
    {
        is($nginx->get("/ref/abc123/?next=$next")->location, '/', $next);
        is($nginx->get("/ref/dest/?next=$next")->location, '/welcome',
           '- with a destination');
    }

    is($nginx->get('/ref/abc123/?next=/foo')->location, '/foo', '/foo');
};

statement 'a cookie that is no UUID' => sub {
    for my $value ('looks nothing like a uuid', '') {
        my $r = $nginx->get('/foo', Cookie => "hype_visitor=$value",
                            'X-User' => 42);
        is($r->cookie('hype_visitor'), '', "\"$value\" is cleared");
    }

    my $r = $nginx->get('/foo', Cookie => 'hype_visitor=no-uuid');
    is($r->cookie('hype_visitor'), undef, 'not while nobody is known');
};

statement 'the first user wins' => sub {
    my $visitor = $nginx->get('/ref/abc123/')->cookie('hype_visitor');

    for my $user (42, 43) {
        $nginx->get('/foo', Cookie => "hype_visitor=$visitor", 'X-User' => $user);
        is_soon { $pg->value('select user_id from hype.referral_hit') } 42,
            "user $user logs in";
    }

    $nginx->get('/ref/abc123/', Cookie => "hype_visitor=$visitor");
    is_soon { hits('user_id') } '42,42',
        'a later hit is the first user\'s, too';
};

statement 'a broken link' => sub {
    my $visitor = '019e7d9c-3f6a-4f4e-8d5b-0123456789ab';

    for my $path ('/ref/nobody/', '/ref/closed/', '/ref/a%20b/', '/foo?ref=nobody') {
        my $r = $nginx->get($path, Cookie => "hype_visitor=$visitor");
        is(scalar $r->header('Set-Cookie'), undef, "$path: the cookie is kept");
    }
};

statement 'earlier hits' => sub {
    $pg->link('second', user_id => 'bob');

    my $visitor = $nginx->get('/ref/abc123/')->cookie('hype_visitor');
    sleep 0.002;     # in a later millisecond, which another worker may have
    $nginx->get('/ref/second/', Cookie => "hype_visitor=$visitor");
    $nginx->get('/foo', Cookie => "hype_visitor=$visitor", 'X-User' => 42);

    is_soon { $pg->hits("user_id = '42'") } 2, 'both hits get the user';
    is($pg->value("select referrer from hype.confirm('a', user_id => '42',
                                                     model => 'first')"),
       'alice', 'the first can be credited');
    is($pg->value("select referrer from hype.confirm('b', user_id => '42')"),
       'bob', '- or the last');
};

statement 'the rest of the query' => sub {
    is($nginx->get('/direct/?a=1&a=2&b=%41+c&ref=abc123&d;e&f=')->location,
       '/direct/?a=1&a=2&b=%41+c&d;e&f=', 'direct');

    my $r = $nginx->get('/x?a=1&a=2&b=%41+c&ref=abc123&d;e&f=');
    is($nginx->get($r->location)->location, '/x?a=1&a=2&b=%41+c&d;e&f=',
       'redirect');
};

statement 'a long next' => sub {
    my $next = '/' . 'x' x 5000;

    is($nginx->get("/ref/abc123/?next=$next")->location, $next, 'a redirect');
    is(hits('next'), substr($next, 0, 2048), 'a hit, with the first 2 KB of it');
};

statement 'identifiers' => sub {
    my @identifiers = ('summer-2026', 'a.b~c_d', '-', 'x' x 64);

    $pg->link($_) for @identifiers;
    is($nginx->get("/ref/$_/")->status, 302, $_) for @identifiers;
    is(hits(), 4, 'all are hits');
};

statement 'a disabled link on any URL' => sub {
    $pg->link('past', expires => '2020-01-01');

    for my $query (qw(ref=closed ref=past)) {
        my $r = $nginx->get("/foo?$query");
        is($r->status, 404, "$query: goes on to the page");
    }

    is($nginx->get('/ref/closed/?next=/foo')->location, '/foo',
       'the link itself still leads somewhere');
    is(hits(), 0, 'no hits');
};

statement 'a deleted link' => sub {
    $pg->link('gone');
    $nginx->get('/ref/gone/');
    $pg->exec("delete from hype.referral_link where identifier = 'gone'");
    is(hits(), 1, 'its hit is kept');
    is_soon { $nginx->get('/ref/gone/')->cookie('hype_visitor') // '' } '',
        'it is unknown';
};

statement 'without a database' => sub {
    $nginx->get('/ref/abc123/');
    $pg->exec('truncate hype.referral_hit');
    $pg->stop;

    my $r = $nginx->get('/ref/abc123/?next=/foo');
    is($r->location, '/foo', 'a visit');
    like($r->cookie('hype_visitor'), $uuid, '- a cookie');

    $pg->start;
    is_soon { $pg->value('select count(*) from hype.referral_hit') } 1,
        'and the hit, when it is back';
};


# the document and the tests speak of the same

my %named = map { $_ => 1 }
    read_file(source_dir() . '/docs/django-hype.md') =~ /\| ([^|\n]+) \|$/mg;
delete @named{qw(test ---)};

is_deeply([sort keys %names], [sort keys %named],
          'docs/django-hype.md names these tests');

done_testing();


# Tests of one statement, with tables of hits and claims that are empty.

sub statement
{
    my ($name, $code) = @_;

    # no truncate, which may end with a deadlock for what nginx is at

    $pg->exec("delete from hype.$_")
        for qw(confirmed_referral pending_confirm visitor_claim pending_claim
               referral_hit);
    $names{$name} = 1;

    local $Test::Builder::Level = $Test::Builder::Level + 1;
    subtest($name => $code);
}


# The number of hits, or some columns of each.

sub hits
{
    my ($columns) = @_;

    return $pg->hits if !defined $columns;

    return join ',', map { join '|', map { $_ // '' } @$_ }
           $pg->query("select $columns from hype.referral_hit order by 1");
}
