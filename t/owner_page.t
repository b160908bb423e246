# The page of hype_links, in Chromium: a user sees the own links and numbers,
# copies and shares a link, on screens of any size.

use lib 't/lib';
use Hype::Test;
use Hype::Browser;
use Hype::Look;

need_browser();

my $hostile = q{<img src=x onerror="document.title='hacked'">};

my $pg = cluster();
my $nginx = nginx(pg => $pg, database => 'timeout=2s', server => <<'END');
location /ref/ { hype_ref; }
location ~ ^/of/(.*)/$ { hype_user $1; hype_links html to=/ref/; }
location = /relative { hype_user alice; hype_links html; absolute_redirect off; }
location = /none { hype_user nobody; hype_links html create=off; }
location = /changing { hype_user $cookie_user; hype_links html; }
END

my $site = 'http://127.0.0.1:' . $nginx->port;
my $browser = Hype::Browser->new;

fill();
shows_a_new_link();
shows_what_became_of_it();
lists_links();
copies();
shares();
has_no_link();
works_by_keys();
fits();
refreshes();
takes_nobody_for_another();
is_deeply([$browser->complaints], [], 'no errors, nothing against the policy');
is_deeply([grep { !m{^\Q$site\E/(?:of/[^/]*/|none|relative|changing)(?:\?(?:css|js|json))?$|^data:} }
           $browser->requests], [], 'nothing else is asked for');
shows_an_outage();

done_testing();


sub js { return $browser->value(@_) }
sub text { return $browser->text(@_) }
sub hidden { return js("document.querySelector('$_[0]').hidden") ? 1 : 0 }

sub open_page
{
    my ($path) = @_;

    $browser->visit("$site$path");
    $browser->wait_for(q{!document.querySelector('#main').hidden}, 20,
                       "$path to be shown");
}


# Alice has a link that works, one with a label, and one that is disabled; 45
# hits of the first, on three days; two who signed up, one of whom ordered.

sub fill
{
    $pg->exec(<<'END');
insert into hype.referral_link (id, identifier, user_id, label, created)
values (101, 'alice', 'alice', null, '2024-03-01'),
       (102, 'partner', 'alice', '%LABEL%', '2024-04-01'),
       (103, 'old', 'alice', null, '2023-01-01'),
       (104, 'bobs', 'bob', 'Secret', '2023-01-01');
update hype.referral_link set disabled = true where identifier = 'old';

insert into hype.reward_rule (event, side, amount, currency, hold)
values ('signup', 'referrer', 1000, 'points', '0'),
       ('order', 'referrer', 2.5, 'EUR', '30 days');

insert into hype.referral_hit (id, referral_link_id, created, visitor,
                               authenticated, bot)
select gen_random_uuid(), 101, now() - n % 3 * interval '1 day',
       ('00000000-0000-4000-8000-' || lpad((n % 40)::text, 12, '0'))::uuid,
       false, false
from generate_series(1, 45) n;
insert into hype.referral_hit (id, referral_link_id, created, visitor,
                               authenticated, bot)
values (gen_random_uuid(), 104, now(), gen_random_uuid(), false, false);
END

    $pg->query('update hype.referral_link set label = $1 where id = 102',
               $hostile);
    $pg->exec(q{select hype.claim(('00000000-0000-4000-8000-'
        || lpad(n::text, 12, '0'))::uuid, 'u' || n) from generate_series(1, 2) n});
    $pg->exec(q{select hype.confirm('signup', 'u1'), hype.confirm('signup', 'u2'),
                hype.confirm('order', 'u1', value => 1234.5)});
    $pg->exec(q{select hype.pay_out('alice', 'points', 'november');
                update hype.reward_rule set amount = 7 where event = 'signup'});
}


sub shows_a_new_link
{
    open_page('/of/new/');

    my $identifier = $pg->value(q(select identifier from hype.referral_link
                                  where user_id = 'new'));

    is(js(q{document.querySelector('#main-url').value}),
       "$site/ref/$identifier/", 'the first view has a link');
    is(text('#hits'), 0, 'without hits');
    is(text('#rewards-none'), 'No rewards yet.', 'or rewards');
    is(hidden('#links-card'), 1, 'or a list of more');
    is(hidden('#value-tile'), 1, 'or a value');
}


sub shows_what_became_of_it
{
    open_page('/of/alice/');

    is(js(q{document.querySelector('#main-url').value}), "$site/ref/alice/",
       'the link');
    is(text('#hits'), 45, 'hits');
    is(text('#visitors'), 40, 'visitors');
    is(text('#confirmed'), 2, 'sign-ups');
    is(text('#confirmed-more'), '3 events', 'with more than one event');
    is(text('#value'), '1,234.50', 'value');
    is_deeply(js(q{[...document.querySelectorAll('#rewards li')].map((item) =>
        [...item.querySelectorAll('h3, dd')].map((node) => node.textContent)
        .join(' '))}), ['EUR 0 2.50 0', 'points 0 0 2,000'],
        'rewards: available, pending, paid');
    is_deeply(js(q{days.points.slice(-4).map((point) => point.values[0])}),
              [0, 15, 15, 15], 'hits of the last days');
    is(js('days.points.length'), 30, 'of 30');
    cmp_ok(js(q{document.querySelectorAll('#cards .block').length}), '>=', 3,
           'as bars');
}


sub lists_links
{
    is_deeply(js(q{[...document.querySelectorAll('#links tbody tr')].map((row) =>
        [...row.cells].map((cell) => cell.innerText.trim()
            .replace(/\s+/g, ' ')))}),
        [['alice Copy', 45, 40, 2, '1,234.50', '1 Mar 2024'],
         ["partner $hostile Copy", 0, 0, 0, "\x{2013}", '1 Apr 2024'],
         ['old disabled Copy', 0, 0, 0, "\x{2013}", '1 Jan 2023']],
        'all links, with labels and state as text');
    is(text('#links-more'), 3, 'their number');
    is(js('document.title'), 'Your referral links', 'nothing of others is run');
    unlike(js('document.documentElement.outerHTML'), qr/bob|Secret/,
           'and nothing of others is there');
}


sub copies
{
    js(q{navigator.clipboard.writeText = async (text) => { window.copied = text; }});
    js(q{document.querySelector('#main-copy').click()});
    is_soon { js('window.copied') } "$site/ref/alice/", 'the link is copied';
    is_soon { text('#note') } 'The link is copied.', 'which is said';

    js(q{document.querySelectorAll('#links .copy')[1].click()});
    is_soon { js('window.copied') } "$site/ref/partner/", 'each can be';

    js(q{navigator.clipboard.writeText = async () => { throw new Error('no'); };
         document.addEventListener('copy', () => {
             window.copied = document.activeElement.value; });
         document.querySelector('#main-copy').focus()});
    $browser->key('Enter');
    is_soon { js('window.copied') } "$site/ref/alice/", 'also without a clipboard';
    is_soon { js('document.activeElement.id') } 'main-copy',
        'and the focus is where it was';

    open_page('/relative');
    is(js(q{document.querySelector('#main-url').value}), "$site/ref/alice/",
       'a URL without host is of the page');
}


sub shares
{
    is(hidden('#main-share'), 1, 'a browser that cannot share offers no button');

    my $script = $browser->call('Page.addScriptToEvaluateOnNewDocument',
        source => 'navigator.share = async (data) => { window.shared = data.url;'
                  . ' throw new DOMException("", "AbortError"); }');

    open_page('/of/alice/');
    is(hidden('#main-share'), 0, 'one that can, does');
    js(q{document.querySelector('#main-share').click()});
    is_soon { js('window.shared') } "$site/ref/alice/", 'the link is shared';

    $browser->call('Page.removeScriptToEvaluateOnNewDocument',
                   identifier => $script->{identifier});
}


sub has_no_link
{
    open_page('/none');
    is(text('#main-more'), 'You have no link yet.', 'without a link it says so');
    is(js(q{document.querySelector('#main-copy').hidden}), 1, 'nothing to copy');
}


sub works_by_keys
{
    open_page('/of/alice/');

    my @stops = map { $browser->key('Tab');
                      js('document.activeElement.id
                          || document.activeElement.ariaLabel') } 1 .. 4;

    is_deeply(\@stops, ['main-url', 'main-copy', 'Last 30 days', 'All links'],
              'all is reached by keys');
    $browser->key('Tab') for 1;
    is(js('document.activeElement.ariaLabel'), 'Copy alice',
       'each button says what it copies');

    js(q{document.querySelector('#cards .plot').focus()});
    $browser->key('ArrowLeft');
    like(text('#tip'), qr/Hits\s*15/, 'the numbers of a day');
    $browser->key('Escape');
    is(hidden('#tip'), 1, 'until Escape');
    is_deeply([unnamed($browser)], [], 'what can have the focus has a name');
}


sub fits
{
    for my $look ([360, 0], [360, 1], [320, 0], [768, 1], [1280, 0], [1280, 1]) {
        my ($width, $dark) = @$look;
        my $name = "$width pixels, " . ($dark ? 'dark' : 'light');

        $browser->look(width => $width, height => 800, dark => $dark);
        $browser->wait_for("document.documentElement.clientWidth === $width");

        is(js('document.documentElement.scrollWidth'), $width, "$name: it fits");
        is_deeply([low_contrast($browser)], [], 'and can be read');
        next if $width > 640;

        is_deeply(js(<<"END"), [], 'all values are in sight, and named');
[...document.querySelectorAll('#links td, #rewards dd, .big')].filter((cell) => {
    const box = cell.getBoundingClientRect();
    const name = getComputedStyle(cell, '::before').content;

    return box.width < 20 || box.left < 0 || box.right > $width
        || cell.cellIndex > 0 && name !== JSON.stringify(cell.dataset.label);
}).map((cell) => cell.textContent)
END
        is(js(q{[...document.querySelectorAll('button')].every((button) =>
                button.hidden || button.getBoundingClientRect().height >= 40)}), 1,
           'a finger finds the buttons');
    }

    $browser->look(width => 1280, height => 900, dark => 0);
}


# While somebody looks, the numbers follow.

sub refreshes
{
    open_page('/of/alice/');
    $nginx->get('/ref/alice/');
    is_soon { js('ask()'); text('#hits') } 46, 'new hits are shown';
}


sub takes_nobody_for_another
{
    js(qq{document.cookie = 'user=alice; path=/'});
    open_page('/changing');
    is(text('#hits'), 46, 'alice');

    js(qq{document.cookie = 'user=bob; path=/'; ask()});
    is_soon { text('#hits') } 1, 'who logs in as another sees that one', 20;
    is(js(q{document.querySelector('#main-url').value}), "$site/ref/bobs/",
       'with that link');
}


sub shows_an_outage
{
    open_page('/of/alice/');
    $pg->stop;
    is_soon { js('ask()'); text('#verdict') } 'The numbers are not up to date.',
        'while the database is away it says so', 20;
    is(text('#hits'), 46, 'what was there stays');
    is_deeply([low_contrast($browser)], [], 'and all can be read');

    $browser->visit("$site/of/alice/");
    is_soon { text('#verdict') } "Your links can\x{2019}t be shown right now.",
        'or there is nothing', 20;
    is(hidden('#tiles'), 1, 'to be shown');

    $pg->start;
    is_soon { text('#hits') } 46, 'it comes back by itself', 30;
    is(hidden('#banner'), 1, 'as if nothing had been');
}
