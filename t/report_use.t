# The reports on the page of hype_status, in Chromium: they can be used on screens
# of any size, copied and downloaded, and say how old they are in an outage.

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

$pg->exec('grant hype_report to hype_nginx');
$browser->visit("$page#reports");
wait_for(q{document.querySelector('#report-links td')}, 20, 'the report');

copies();
downloads();
fits_phones();
is_deeply([$browser->complaints], [], 'no errors, nothing against the policy');
says_that_the_database_is_away();

done_testing();


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
