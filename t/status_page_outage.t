# The page of hype_status, in Chromium, when PostgreSQL or nginx is away, and where
# there are no reports.

use lib 't/lib';
use Hype::Test;
use Hype::Browser;

need_browser();

my $pg = cluster();
$pg->exec('grant hype_report to hype_nginx');
$pg->link('abc', user_id => 'alice');

my $nginx = nginx(pg => $pg, workers => 2, server => <<'END');
location = /status { hype_status html reports=1s; }
location = /plain { hype_status html; }
location /ref/ { hype_ref; }
location /in/ { hype_user $arg_user; return 204; }
END

my $site = 'http://127.0.0.1:' . $nginx->port;
my $browser = Hype::Browser->new;

$browser->visit("$site/status");
wait_until { (total('hit') // '') eq '0' } 20, 'the page to show numbers';

shows_an_outage();
passes_claims_through();
clips_what_is_rare();
shows_a_restart();
without_reports();

done_testing();


# The total of a name, as it is on the page

sub total
{
    my ($name) = @_;

    return $browser->text("#totals [data-name='$name'] dd");
}


sub visit
{
    my ($n, $identifier) = @_;

    $nginx->get("/ref/$identifier/") for 1 .. $n;
}


sub shows_an_outage
{
    $pg->stop;
    visit(4, 'abc');

    is_soon { $browser->text('#database-state') } 'Down', 'the database is down';
    like($browser->text('#verdict'), qr/^The database has been down for \d+ s/,
         'and it says for how long');
    is_soon { total('spooled') } 4, 'hits are spooled';
    like($browser->text('#spool-state'), qr/^[\d,]+ B$/, 'a backlog');
    like($browser->text('#spool-more'), qr/^for \d+ s/, 'for how long');
    like($browser->value('document.title'), qr/database down/, 'in the title');

    $pg->start;
    is_soon { $browser->text('#database-state') } 'Up', 'it is up again';
    is_soon { $browser->text('#spool-state') } 'Empty', 'the spool is empty';
    is_soon { $browser->text('#verdict') } 'All is well.', 'all is well';

    my $events = $browser->text('#events');
    like($events, qr/The database is up again.*The database is down/s,
         'the events');

    $browser->complaints;
}


# One batch after an outage does not make the others a line at the bottom.

sub clips_what_is_rare
{
    is_deeply($browser->value(<<'END'), [12, 10, 1000, 0], 'a usual scale');
[usual([...Array(50).fill(6), 1000]), usual([5, 6, 10]),
 usual([1000, 900, 980, 990]), usual([0, 0])]
END

    $browser->value(q{
        const made = new Curves(document.body, 'Clipped', '', [
            { name: 'size', color: 'blue', of: ({ b }) => b.size }],
            { clip: true });
        made.show({ from: 0, to: 50, lost: [], resets: [],
                    spans: [...Array(51).keys()].map((time) => ({ b:
                        { time, size: time === 25 ? 1000 : 6 } })) });
        made.card.id = 'clipped'; 0});
    $browser->wait_for(q{document.querySelector('#clipped .above')}, 20,
                       'a value above the scale');
    is($browser->value(q{document.querySelector('#clipped .above').textContent}),
       "\x{25b2} up to 1,000",
       'is told in words');
    cmp_ok($browser->value(q{Math.max(...[...document.querySelectorAll(
               '#clipped .plot text:not(.above)')]
               .map((text) => Number(text.textContent) || 0))}), '<', 50,
           'the scale is that of the others');
    $browser->value(q{document.querySelector('#clipped').remove()});
}


# With claims all the time the spool may never be seen empty.

sub passes_claims_through
{
    my $end = time + 12;
    my $n = 0;
    my %seen;

    while (time < $end) {
        my ($cookie) = $nginx->get('/ref/abc/')->header('Set-Cookie')
            =~ /^([^;]+)/;
        $nginx->get('/in/?user=' . ++$n, Cookie => $cookie);
        $seen{ $browser->text('#verdict') } = 1;
    }

    is_deeply([keys %seen], ['All is well.'], 'claims that pass are no backlog');
}


sub shows_a_restart
{
    my ($hits) = $nginx->get('/status?json')->body =~ /"hit":\s*(\d+)/;
    1 while $hits =~ s/(\d)(\d{3})(?!\d)/$1,$2/;
    is_soon { total('hit') } $hits, 'the page has seen all hits';

    $nginx->stop;
    $browser->wait_for(
        q{document.querySelector('#verdict').innerText
          === 'No answer from nginx'}, 20, 'the loss of nginx to be shown');
    like($browser->text('#verdict-more'),
         qr/^for \d+ s \(no connection\)\. What is shown is of \d\d:\d\d:\d\d\.$/,
         'that nginx is gone is said');
    is(total('hit'), $hits, 'what was known is shown');

    $nginx->start;
    is_soon { total('hit') } 0, 'the new counters';
    like($browser->text('#events'),
         qr/The counters began anew.*nginx answers again.*No answer from nginx/s,
         'the events');

    visit(2, 'abc');
    is_soon { total('hit') } 2, 'it counts from there';
    $browser->wait_for(q{document.querySelector('.plot .reset')
                         && document.querySelector('.plot .shade')}, 20,
                       'both to be seen in the charts');

    is_deeply([grep { !/ERR_CONNECTION|HTTP response code|503/ }
               $browser->complaints], [], 'no other errors');
}


sub without_reports
{
    $browser->visit("$site/plain");
    $browser->wait_for(q{document.querySelector('#about').innerText});
    $browser->wait_for(q{performance.getEntriesByType('resource').some(
                         (entry) => entry.name.includes('?report'))});

    ok($browser->value(q{document.querySelector('#tabs').hidden}),
       'without reports there is no tab for them');
    is_deeply([grep { !/404 .*\?report/ } $browser->complaints], [],
              'and no other error');
}
