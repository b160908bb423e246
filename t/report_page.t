# The reports on the page of hype_status, in Chromium: what is asked for is shown,
# on screens of any size, and if there is nothing to show, it says why.

use lib 't/lib';
use Hype::Test;
use Hype::Browser ();
use Hype::Look;

my $pg = cluster();
my $nginx = nginx(pg => $pg, database => 'timeout=2s', server => <<'END');
location = /status { hype_status html reports=1s; }
location /ref/ { hype_ref; }
END

my $page = 'http://127.0.0.1:' . $nginx->port . '/status';
my $browser = Hype::Browser->new;

fill();
asks_for_the_grant();
shows_sums();
lists_links();
sorts();
searches();
turns_pages();
lists_owners();
chooses_times();
copies();
downloads();
fits_phones();
is_deeply([$browser->complaints], [], 'no errors, nothing against the policy');
says_that_the_database_is_away();

done_testing();


# 45 links; link00 has 45 hits, link01 44 and so on, all of today and of an hour
# ago at the most; 10 of 40 days ago.

sub fill
{
    $pg->exec(<<'END');
insert into hype.referral_link (id, identifier, user_id, label)
select 100 + i, 'link' || to_char(i, 'FM00'),
       case i % 3 when 0 then 'alice' when 1 then '=1+2' end,
       case i when 3 then '@SUM("a",1)' end
from generate_series(0, 44) i;
update hype.referral_link set disabled = true where identifier = 'link01';
update hype.referral_link set expires = '2020-01-01' where identifier = 'link02';

insert into hype.referral_hit (id, referral_link_id, created, visitor,
                               authenticated, bot, http_referer, next, args)
select gen_random_uuid(), 100 + i, now(), gen_random_uuid(), false, false,
       'https://www.' || case when j % 3 = 0 then 'b' else 'a' end
       || '.example/x', '/landing',
       case when j % 3 = 0 then 'sub=<b>%C3%A4</b>' end
from generate_series(0, 44) i, generate_series(1, 45 - i) j;
insert into hype.referral_hit (id, referral_link_id, created, visitor,
                               authenticated, bot)
select gen_random_uuid(), 144, now() - interval '40 days', gen_random_uuid(),
       false, false
from generate_series(1, 10);

insert into hype.confirmed_referral (event, user_id, referral_hit_id,
                                     referral_link_id, referrer, value)
select case when i < 3 then 'order' else 'signup' end, 'user' || i,
       gen_random_uuid(), 100, 'alice', case when i < 3 then 1234.5 end
from generate_series(1, 5) i;
update hype.confirmed_referral
set referral_hit_id = (select id from hype.referral_hit where args <> '' limit 1)
where user_id = 'user1';
END
}


sub wait_for { return $browser->wait_for(@_) }
sub js { return $browser->value(@_) }
sub click { return js("document.querySelector('$_[0]').click()") }

sub tile
{
    return js("[...document.querySelectorAll('#report-tiles .tile')].find("
        . "(tile) => tile.firstChild.textContent === '$_[0]')"
        . "?.children[1].textContent");
}

sub names
{
    return join ' ', @{ js(q{[...document.querySelectorAll(
        '#report-links tbody tr')].map((row) =>
        row.cells[0].querySelector('bdi').textContent)}) };
}

sub rows_of
{
    my ($id) = @_;

    return join '; ', @{ js("[...document.querySelectorAll('#$id tbody tr')]"
        . ".map((row) => [row.cells[0], row.cells[2]].map((cell) =>"
        . " cell.innerText.trim()).join(' '))") };
}

sub first { return names() =~ /^(\S*)/ ? $1 : '' }
sub place { return $browser->text('#report-place') }

# Types into a field, as a user does.

sub fill_in
{
    my ($id, $text, $event) = @_;

    js("((field) => { field.value = '$text'; field.dispatchEvent("
       . "new Event('$event', { bubbles: true })); })"
       . "(document.getElementById('$id'))");
}

sub choose
{
    my ($name, $value) = @_;

    click(qq{[name=$name][value="$value"]});
}


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


sub copies
{
    js(q{navigator.clipboard.writeText = async (text) => { window.copied = text; }});
    click('#report-links .copy');
    is_soon { js('window.copied') } '/ref/link00/', 'the path is copied';
    ok(js(q{document.querySelector('.copy').classList.contains('done')}),
       'which is seen');
    is(js(q{document.querySelector('.copy').ariaLabel}), 'Copy /ref/link00/',
       'and said');

    js(q{navigator.clipboard.writeText = async () => { throw new Error('no'); };
         document.addEventListener('copy', () => {
             window.copied = document.activeElement.value; })});
    js(q{document.querySelector('#report-links tr:nth-child(2) .copy').focus()});
    $browser->key('Enter');
    is_soon { js('window.copied') } '/ref/link01/', 'also without a clipboard';
    is_soon { js('document.activeElement.ariaLabel') } 'Copy /ref/link01/',
        'and the focus is where it was';
}


# The file is not read from disk, but where the page hands it out.

sub downloads
{
    js(q{URL.createObjectURL = (blob) => { window.blob = blob; return '#'; };
         HTMLAnchorElement.prototype.click = function () {
             window.file = this.download; }});
    fill_in('report-search', 'link0', 'input');
    is_soon { place() } "1\x{2013}10 of 10", 'some links';
    click('#report-csv');
    wait_for('window.file');

    like(js('window.file'), qr/^hype-links-\d{4}-\d\d-\d\d-\d{4}-\d\d-\d\d\.csv$/,
         'a file of its own name');
    is(js('window.blob.type'), 'text/csv;charset=utf-8', 'CSV');

    my @lines = split /\r\n/, js('window.blob.text()'), -1;
    is(pop @lines, '', 'lines end as RFC 4180 has it');
    is(scalar @lines, 11, 'all that is found, and a header');
    like($lines[0], qr/"?identifier"?,"?label"?,"?user_id"?,"?hits"?,/, 'header');
    like($lines[1], qr/^"link00",,"alice",45,45,0,0,5,5,0\.1111,2469,false,false,$/,
         'the first');
    like($lines[2], qr/^"link01",,"'=1\+2",44,.*,true,false,$/,
         'a formula is none, and the link is disabled');
    like($lines[3], qr/^"link02",,,43,.*,false,true,"2020-01-01T.*"$/, 'expired');
    like($lines[4], qr/^"link03","'\@SUM\(""a"",1\)","alice",42,/,
         'quotes are doubled');

    fill_in('report-search', '', 'input');
    is_soon { place() } "1\x{2013}20 of 45", 'all links';
    js('delete window.file');
    click('#report-csv');
    wait_for('window.file');
    is(scalar(() = js('window.blob.text()') =~ /\r\n/g), 46, 'all pages of them');
}


# Each value can be seen and says what it is, without scrolling sideways.

sub fits_phones
{
    for my $look ([360, 0], [360, 1], [320, 0], [768, 0], [1280, 1]) {
        my ($width, $dark) = @$look;
        my $name = "$width pixels, " . ($dark ? 'dark' : 'light');

        $browser->look(width => $width, height => 800, dark => $dark);

        for my $by (qw(owner link)) {
            choose('by', $by);
            is_soon { first() } $by eq 'owner' ? 'alice' : 'link00',
                "$name: by $by";
            is(js('document.documentElement.scrollWidth'), $width, 'it fits');
            is_deeply([low_contrast($browser)], [], 'and can be read');
            next if $width > 640;

            is_deeply(js(<<"END"), [], 'all values are in sight, and named');
[...document.querySelectorAll('#report-links td')].filter((cell) => {
    const box = cell.getBoundingClientRect();
    const name = getComputedStyle(cell, '::before').content;

    return box.width < 40 || box.left < 0 || box.right > $width
        || cell.cellIndex && name !== JSON.stringify(cell.dataset.name);
}).map((cell) => cell.dataset.name)
END
        }
    }

    $browser->look(width => 360, height => 800, dark => 0);
    is(js(q{document.querySelector('.copy').getBoundingClientRect().width >= 40}),
       1, 'a finger finds the button');
    fill_in('report-sort', 'identifier', 'change');
    is_soon { js(q{document.querySelector('#report-order').ariaLabel}) }
        'Ascending', 'sorted without a header';
    click('#report-order');
    is_soon { first() } 'link44', 'either way';

    $browser->look(width => 1280, height => 900, dark => 0);
    is_deeply([unnamed($browser)], [], 'what can have the focus has a name');
}


sub says_that_the_database_is_away
{
    $pg->stop;
    is_soon { $browser->text('#report-verdict') } 'The database is away.',
        'the database is away', 40;
    like($browser->text('#report-more'), qr/^What is shown is \d.* old\.$/,
         'how old it is');
    like(names(), qr/^link44/, 'what is shown');

    fill_in('report-search', 'never', 'input');
    is_soon { $browser->text('#report-more') } 'It has made no such report before.',
        'what was not asked before';
    ok(js(q{document.querySelector('#report-body').hidden}), 'is not shown');

    $nginx->restart;
    $browser->visit('about:blank')->visit($page);
    wait_for(q{!document.querySelector('#tabs').hidden}, 20,
             'the tab of an nginx that has seen no database');
    click('#tab-reports');
    is_soon { $browser->text('#report-verdict') } 'The database is away.',
        'it is away';

    $pg->start;
    wait_for(q{document.querySelector('#report-banner').hidden
               && document.querySelector('#report-links td')}, 30,
             'it is back');
    is(place(), "1\x{2013}20 of 45", 'with the report');
}
