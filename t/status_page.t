# The page of hype_status, in Chromium: it shows what is true, and can be used on
# any screen.

use lib 't/lib';
use Hype::Test;
use Hype::Browser;
use Hype::Look;

need_browser();

my $hostile = q{<img src=x onerror="document.title='hacked'">};

my $pg = cluster();
$pg->exec('grant hype_report to hype_nginx');
$pg->link('abc', user_id => 'alice', label => $hostile);
$pg->link('other', user_id => qq{"'><script>document.title='hacked'</script>});
$pg->link('closed', disabled => 't');
$pg->link('past', expires => '2020-01-01');

my $nginx = nginx(pg => $pg, workers => 2, server => <<'END');
location = /status { hype_status html reports=1s; }
location /ref/ { hype_ref; }
END

my $page = 'http://127.0.0.1:' . $nginx->port . '/status';
my $browser = Hype::Browser->new;

$browser->visit($page);

shows_what_happens();
moves_the_cross();
pauses();
reports();
fits();
keeps_where_it_was();
is_deeply([unnamed($browser)], [], 'what can have the focus has a name');

is_deeply([$browser->complaints], [], 'no errors, nothing against the policy');
is_deeply([grep { !/^\Q$page\E(?:\?(?:css|js|json|report&.*))?$|^data:/ }
           $browser->requests], [], 'nothing else is asked for');

like($nginx->get('/status')->header('Content-Security-Policy'),
     qr/^default-src 'none';(?!.*unsafe)/, 'and the policy is strict');

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


sub shows_what_happens
{
    is_soon { total('hit') } 0, 'nothing so far';
    ok($browser->value(q{document.querySelector('#links').hidden}), 'no links');

    visit(12, 'abc');
    $browser->wait_for(q{document.querySelector('#hits-rate').innerText > 0},
                       20, 'a rate to be shown');
    visit(3, 'other');
    visit(2, 'nobody');
    visit(1, 'closed');
    visit(1, 'past');
    $nginx->request('HEAD', '/ref/abc/') for 1 .. 4;

    is_soon { total('hit') } 15, 'hits';

    my %others = (unknown => 2, disabled => 1, expired => 1, skipped => 4,
                  spooled => 0, dropped => 0, claims => 0,
                  'refused records' => 0, 'database errors' => 0);

    is_soon { total($_) } $others{$_}, $_ for sort keys %others;

    is($browser->text('#database-state'), 'Up', 'the database is up');
    is($browser->text('#verdict'), 'All is well.', 'all is well');
    is($browser->text('#spool-state'), 'Empty', 'nothing in the spool');
    like($browser->text('#hits-more'), qr/^in the last 5 s; 15 since /,
         'the headline, and of which time it is');
    like($browser->text('#commit-p99'), qr/^[\d.]+ m?s$/, 'a commit took time');

    # of the last minutes, in which a new count may just have begun

    like(join(' ', @{ listed('links') }), qr/^abc\|\|1[12] other\|\|[23]$/, 'links with their hits');
    is_deeply(listed('unknown'), ['nobody||2'],
              'what was asked for and does not exist');
    like($browser->text('#charts-note'),
         qr/^The last 5 min\. Each point is of the 5 s before it\.$/,
         'the time that the charts cover');
    is_deeply([sort @{ $browser->value(
        q{[...document.querySelectorAll('#workers tbody tr')]
          .map((row) => row.cells[0].innerText)}) }],
        [sort $nginx->workers], 'workers');

    # each chart but those of what has not happened has a curve
    $browser->wait_for(
        q{document.querySelectorAll('#charts .plot .curve').length > 8});

    is_soon { $browser->text('#hits-rate') } 0, 'later nothing happens';
}


# The rows of a list of identifiers

sub listed
{
    my ($id) = @_;

    return $browser->value(
        "[...document.querySelectorAll('#$id tbody tr')]"
        . '.map((row) => [...row.cells].map((cell) => cell.innerText).join("|"))');
}


# A phone shows all, and each tab where it was left.

sub keeps_where_it_was
{
    $browser->look(width => 360, height => 800, dark => 0);
    is_deeply($browser->value(q{[...document.querySelectorAll(
        '#workers tbody tr:first-child td')].map((cell) =>
            getComputedStyle(cell, '::before').content)}),
        [map { qq{"$_"} } qw(Process Queue Waiting Spool Connections)],
        'on a phone, what a worker has says what it is');
    is($browser->value(q{[...document.querySelectorAll('#live *')].filter(
        (node) => node.checkVisibility() && !node.closest('.hidden, svg')
        && node.getBoundingClientRect().right > 361).length}), 0,
       'and nothing is outside');
    $browser->look(width => 375, height => 600, dark => 0);
    $browser->value('scrollTo(0, 400)');
    $browser->value(q{document.querySelector('#tab-reports').click()});
    is($browser->value('scrollY'), 0, 'the other tab begins at its top');
    $browser->value(q{document.querySelector('#tab-live').click()});
    is($browser->value('scrollY'), 400, 'and this one is where it was');
    $browser->value('scrollTo(0, 0)');
    $browser->look(width => 1280, height => 900, dark => 0);
}


sub moves_the_cross
{
    my $plot = q{document.querySelector('#charts .plot')};
    my $box = $browser->value(
        "(({ x, y, width, height }) => ({ x, y, width, height }))"
        . "($plot.getBoundingClientRect())");

    $browser->move($box->{x} + $box->{width} - 8,
                   $box->{y} + $box->{height} / 2);
    my $tip = $browser->text('#tip');
    like($tip, qr/^\d\d:\d\d:\d\d\s+hit\s+[\d.]+\/s\s+spooled\s+0\/s/,
         'the pointer shows values');

    $browser->move(2, 2);
    is($browser->value(q{document.querySelector('#tip').hidden}), 1,
       'until it is gone');

    $browser->value("$plot.focus()");
    $browser->key('ArrowLeft');
    my $at = $browser->value("$plot.getAttribute('aria-valuetext')");
    $browser->key('ArrowLeft', 'ArrowLeft');

    isnt($browser->value("$plot.getAttribute('aria-valuetext')"), $at,
         'so do keys');
    like($at, qr/^\d\d:\d\d:\d\d: hit [\d.]+\/s, spooled 0\/s/, 'in words, too');
    $browser->key('Escape');
}


sub pauses
{
    $browser->value(q{document.querySelector('#pause').focus()});
    $browser->key('Enter');
    like($browser->text('#note'), qr/^paused at/, 'it is paused');

    visit(5, 'abc');
    my $asked = q{performance.getEntriesByType('resource').filter(
                  (entry) => entry.name.endsWith('?json')).length};
    $browser->wait_for("$asked > " . ($browser->value($asked) + 1));

    is(total('hit'), 15, 'and shows what was');
    $browser->key('Enter');
    is_soon { total('hit') } 20, 'then what has happened meanwhile';
}


sub reports
{
    my $visitor = $pg->value(
        'select visitor from hype.referral_hit order by id limit 1');
    $pg->query('select hype.claim(?, ?)', $visitor, '42');
    $pg->query('select hype.confirm(?, user_id => ?)', 'signup', '42');

    $browser->wait_for(q{!document.querySelector('#tabs').hidden});
    $browser->value(q{document.querySelector('#tab-live').focus()});
    $browser->key('ArrowRight');

    ok($browser->value(q{document.querySelector('#live').hidden}),
       'a key leads to the reports');
    is($browser->value('document.activeElement.id'), 'tab-reports',
       'and is where they are');

    # the next report has it
    is_soon { tile('Confirmed') } 1, 'a confirmed referral', 40;
    is(tile('Hits'), $pg->hits, 'hits');
    is(tile('Visitors'), 20, 'visitors');
    is(tile('Users'), 1, 'users');
    is(tile('Conversion'), '5.0 %', 'conversion');

    is_deeply($browser->value(
        q{[...document.querySelectorAll('#report-links tbody tr')]
          .slice(0, 2).map((row) => [...row.cells].map((cell) =>
              cell.innerText.trim().replace(/\s+/g, ' ')))}),
        [["abc $hostile", 'alice', 17, 17, 1, 1, '5.9 %', "\x{2013}"],
         ['other', q{"'><script>document.title='hacked'</script>},
          3, 3, 0, 0, '0.0 %', "\x{2013}"]],
        'links, with hostile text as it is');
    is($browser->value(q{document.querySelectorAll('#reports img').length}), 0,
       'it is no markup');
    unlike($browser->value('document.title'), qr/hacked/, 'nor is it run');

    is($browser->value(
        q{document.querySelectorAll('#report-charts .block').length}), 2,
       'a bar for today, with one for bots');

    $browser->visit('about:blank')->visit("$page#reports");
    $browser->wait_for(q{!document.querySelector('#reports').hidden}, 20,
                       'the tab to open by its address');
    $browser->value(q{document.querySelector('#tab-live').click()});
}


sub tile
{
    my ($name) = @_;

    return $browser->value(
        "[...document.querySelectorAll('#report-tiles .tile')].find((tile) =>"
        . " tile.firstChild.textContent === '$name')?.children[1].textContent");
}


# No sideways scrolling, and text that can be read.

sub fits
{
    for my $look ([1280, 0], [1280, 1], [375, 0], [375, 1], [320, 0]) {
        my ($width, $dark) = @$look;
        my $name = "$width pixels, " . ($dark ? 'dark' : 'light');

        $browser->look(width => $width, height => 800, dark => $dark);

        for my $tab (qw(live reports)) {
            $browser->value("document.querySelector('#tab-$tab').click()");
            is($browser->value('document.documentElement.scrollWidth'), $width,
               "$name: $tab fits");

            is_deeply([low_contrast($browser)], [], "$name: $tab can be read");
        }

        $browser->value(q{document.querySelector('#tab-live').click()});
    }

    $browser->look(width => 1280, height => 900, dark => 0);
}
