# Chromium prefetches a referral link, whichever way a page asks for it: it
# makes no hit, and following it makes one.

use lib 't/lib';
use Hype::Test;
use Hype::Browser;

need_browser();

my $pg = database();
$pg->link('abc', destination => '/welcome');

my $nginx = nginx(pg => $pg, http => <<'HTTP', server => <<'SERVER');
log_format visits '$uri $status $hype_outcome $http_sec_purpose';
HTTP
absolute_redirect off;
default_type      text/html;
access_log        logs/visits.log visits;

location /ref/ { hype_ref; }

location = /welcome {
    hype_ref_param ref mode=inline;
    add_header Cache-Control max-age=600;
    alias %%DIR%%/html/index.html;
}

location = /link {
    return 200 '<link rel=prefetch href="$arg_to"><a href="$arg_to">x</a>';
}

location = /prefetch {
    return 200 '<script type=speculationrules>{"prefetch": [{"urls":
        ["$arg_to"], "eagerness": "immediate"}]}</script>
        <a href="$arg_to">x</a>';
}

location = /prerender {
    return 200 '<script type=speculationrules>{"prerender": [{"urls":
        ["$arg_to"], "eagerness": "immediate"}]}</script>
        <a href="$arg_to">x</a>';
}

location = /parts {
    return 200 '<img src="$arg_to"><iframe src="$arg_to"></iframe>
        <script src="$arg_to"></script><object data="$arg_to"></object>
        <a href="$arg_to">x</a>';
}
SERVER

my $log = $nginx->dir . '/logs/visits.log';
my $site = 'http://127.0.0.1:' . $nginx->port;

for my $page ('link', 'prefetch', 'prerender') {
    for my $link ('/ref/abc', '/welcome?ref=abc') {
        subtest "$page of $link" => sub {
            my $browser = start($page, $link);
            my ($path) = $link =~ /^([^?]*)/;

            wait_until { read_file($log) =~ /^\Q$path\E 503 skipped prefetch/m }
                20, 'the prefetch';
            is($pg->hits, 0, 'prefetched: no hit');
            follow($browser);
        };
    }
}

subtest 'a part of another page' => sub {
    my $browser = start('parts', '/ref/abc');

    is_soon { scalar(() = read_file($log) =~ m{^/ref/abc 302 skipped}mg) } 4,
        'an image, a frame, a script, an object';
    is($pg->hits, 0, '- no hit');
    follow($browser);
};

done_testing();


sub start
{
    my ($page, $link) = @_;

    $pg->exec('truncate hype.referral_hit');
    truncate $log, 0;

    my $browser = Hype::Browser->new;
    $browser->visit("$site/$page?to=$link");
    return $browser;
}


sub follow
{
    my ($browser) = @_;

    $browser->value('setTimeout(() => document.querySelector("a").click(), 0)');
    $browser->wait_for('location.pathname == "/welcome"
                        && document.readyState == "complete"');
    is($pg->hits, 1, 'followed: one');
    $browser->quit;
}
