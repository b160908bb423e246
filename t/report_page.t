# The reports on the page of hype_status, in Chromium: what is asked for is shown,
# and without the grant it says why there is nothing.

use lib 't/lib';
use Hype::Test;
use Hype::Look;
use Hype::ReportPage;

my $pg = cluster();
my $nginx = nginx(pg => $pg, database => 'timeout=2s', server => <<'END');
location = /status { hype_status html reports=1s; }
location /ref/ { hype_ref; }
END

my $page = 'http://127.0.0.1:' . $nginx->port . '/status';
my $browser = report_browser($pg);

asks_for_the_grant();
shows_sums();
lists_links();
sorts();
searches();
turns_pages();
lists_owners();
chooses_times();

done_testing();


sub asks_for_the_grant
{
    $browser->visit("$page#reports");
    wait_for(q{!document.querySelector('#report-statement').hidden}, 20,
             'what to do');

    ok(!js(q{document.querySelector('#tabs').hidden}),
       'without the grant there is the tab');
    is($browser->text('#report-verdict'), 'nginx may not read the reports.',
       'it says why it is empty');
    is($browser->text('#report-statement code'),
       'GRANT hype_report TO hype_nginx;', 'and what to do');
    ok(js(q{document.querySelector('#report-body').hidden}), 'nothing else');
    is_deeply([low_contrast($browser)], [], 'that can be read');

    $pg->exec($browser->text('#report-statement code'));
    wait_for(q{document.querySelector('#report-banner').hidden
               && document.querySelector('#report-links td')}, 20,
             'the report to come by itself');
    $browser->complaints;
}


sub shows_sums
{
    is(tile('Hits'), '1,035', 'hits of 30 days');
    is(tile('Visitors'), '1,035', 'visitors');
    is(tile('Confirmed'), 5, 'confirmed');
    is(tile('Value'), '2,469', 'value');
    is(rows_of('report-events'), "signup 3; order 2 \x{b7} 2,469", 'by event');
    is(rows_of('report-referers'), 'www.a.example 705; www.b.example 330',
       'by site');
    is(rows_of('report-pages'), '/landing 1,035', 'by page');
    is(rows_of('report-arguments'), "sub = <b>\x{e4}</b> 330 \x{b7} 1 confirmed",
       'by argument that is kept');
    is(js(q{document.querySelectorAll('#report-charts .block').length}), 2,
       'a bar for today, with one for bots');
}


sub lists_links
{
    is(place(), "1\x{2013}20 of 45", 'the first page');
    like(names(), qr/^link00 link01 link02 .* link19$/, 'the most hits first');

    is_deeply(js(q{[...document.querySelectorAll('#report-links tr')]
        .slice(1, 4).map((row) => [...row.cells].map((cell) =>
            cell.innerText.trim().replace(/\s+/g, ' ')))}),
        [['link00', 'alice', 45, 45, 0, 5, '11.1 %', '2,469'],
         ['link01 disabled', '=1+2', 44, 44, 0, 0, '0.0 %', "\x{2013}"],
         ['link02 expired', "\x{2013}", 43, 43, 0, 0, '0.0 %', "\x{2013}"]],
        'with what became of them, and which do not work');
}


sub sorts
{
    my $head = q{document.querySelector('[data-sort=%s]').closest('th').ariaSort};
    my %first = (identifier => 'link00', user_id => 'link01', hits => 'link00',
                 visitors => 'link00', linked_users => 'link00',
                 confirmed => 'link00', conversion_rate => 'link00',
                 value => 'link00');

    is(js(sprintf $head, 'hits'), 'descending', 'it says how it is sorted');

    for my $key (sort keys %first) {
        next if $key eq 'hits';
        my $text = $key =~ /^(?:identifier|user_id)$/;

        click("[data-sort=$key]");
        is_soon { js(sprintf $head, $key) } $text ? 'ascending' : 'descending',
            "sorted by $key";
        like(names(), qr/^$first{$key} /, 'the first');
    }

    click('[data-sort=identifier]');
    is_soon { js(sprintf $head, 'identifier') } 'ascending', 'by name';
    click('[data-sort=identifier]');
    is_soon { first() } 'link44', 'and the other way round';
    is(js('location.hash'), '#reports&sort=identifier',
       'the address has it');

    click('[data-sort=hits]');
    is_soon { first() } 'link00', 'as it was';
    is(js('location.hash'), '#reports', 'the address, too');
}


sub searches
{
    fill_in('report-search', 'SUM(', 'input');
    is_soon { names() } 'link03', 'found by the label';
    fill_in('report-search', 'ALICE', 'input');
    is_soon { place() } "1\x{2013}15 of 15", 'by the owner';
    fill_in('report-search', 'no such', 'input');
    is_soon { $browser->text('#report-links-none') } 'Nothing is found.',
        'or not';
    fill_in('report-search', 'k4', 'input');
    is_soon { names() } 'link40 link41 link42 link43 link44', 'by the name';

    $browser->visit('about:blank')->visit("$page#reports&search=k1&sort=hits");
    is_soon { names() } join(' ', map { "link1$_" } 0 .. 9),
        'what the address says is shown';
    is(js(q{document.querySelector('#report-search').value}), 'k1',
       'and stands where it can be changed');
    fill_in('report-search', '', 'input');
    is_soon { place() } "1\x{2013}20 of 45", 'all';
}


sub turns_pages
{
    ok(js(q{document.querySelector('#report-back').disabled}), 'none before');
    click('#report-on');
    is_soon { place() } "21\x{2013}40 of 45", 'the next page';
    click('#report-on');
    is_soon { place() } "41\x{2013}45 of 45", 'the last';
    ok(js(q{document.querySelector('#report-on').disabled}), 'is the last');
    like(names(), qr/^link40 .* link44$/, 'with the rest');
    click('#report-back');
    is_soon { place() } "21\x{2013}40 of 45", 'and back';
    fill_in('report-search', 'link0', 'input');
    is_soon { place() } "1\x{2013}10 of 10", 'a search begins with the first';
    fill_in('report-search', '', 'input');
    is_soon { place() } "1\x{2013}20 of 45", 'all again';
}


sub lists_owners
{
    choose('by', 'owner');
    is_soon { names() } 'alice =1+2 (none)', 'owners';
    is_deeply(js(q{[...document.querySelector('#report-links tbody tr').cells]
        .map((cell) => cell.innerText.trim())}),
        ['alice', 15, 360, 360, 0, 5, '1.4 %', '2,469'],
        'with what their links have, and they are credited with');
    choose('by', 'link');
    is_soon { first() } 'link00', 'links';
}


# The days are those of the viewer, wherever that is.

sub chooses_times
{
    choose('period', '90');
    is_soon { tile('Hits') } '1,045', 'a longer time';
    choose('period', 'all');
    is_soon { tile('Hits') } '1,045', 'all of it';
    is($browser->text('#report-charts h2'), 'Hits by day', 'by day');

    my $day = $pg->value(q(select (min(created) at time zone 'UTC')::date
          from hype.referral_hit));
    fill_in('report-from', $day, 'change');
    fill_in('report-until', $day, 'change');
    is_soon { tile('Hits') } 10, 'one day';
    is($browser->text('#report-charts h2'), 'Hits by hour', 'by hour');
    is(js(q{document.querySelector('[name=period]:checked')}), undef,
       'which is no preset');
    is(js('location.hash'), "#reports&from=$day&until=$day", 'in the address');

    fill_in('report-until', '2020-01-01', 'change');
    is_soon { $browser->text('#report-more') } 'from is after until.',
        'a time that can\'t be';
    is($browser->text('#report-verdict'), 'There is no such report:', 'it says');

    $browser->complaints;
    $browser->call('Emulation.setTimezoneOverride',
                   timezoneId => 'Pacific/Kiritimati');
    $browser->visit('about:blank')->visit("$page#reports&period=1");
    my $today = $pg->value(
        q(select count(*) from hype.referral_hit where created >= date_trunc(
          'day', now(), 'Pacific/Kiritimati')));
    is_soon { (tile('Hits') // '') =~ s/,//r } $today, 'today, 14 hours ahead of UTC';
    is($browser->text('#report-zone'), 'days of Pacific/Kiritimati', 'it says so');
    $browser->call('Emulation.setTimezoneOverride', timezoneId => 'UTC');

    $browser->visit('about:blank')->visit("$page#reports");
    is_soon { tile('Hits') } '1,035', '30 days';
}
