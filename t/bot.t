# hype_bot flags a hit, and does not drop it.

use lib 't/lib';
use Hype::Test;

my $pg = database();
$pg->link('abc');

my $nginx = nginx(pg => $pg, http => <<'HTTP', server => <<'SERVER');
map $http_user_agent $bot {
    ~*(bot|crawler|spider)  1;
    ""                      yes;
    default                 0;
}

hype_bot $bot;
HTTP

location /ref/ {
    hype_ref;
}

location /arg/ {
    hype_ref;
    hype_bot $arg_bot;
}

location /always/ {
    hype_ref;
    hype_bot 1;
}

location /never/ {
    hype_ref;
    hype_bot "";
}
SERVER

for my $case (
    ['/ref/abc', 'Googlebot/2.1' => 't'],
    ['/ref/abc', 'Mozilla/5.0' => 'f'],
    ['/ref/abc', '' => 't'],
    ['/arg/abc', 'Googlebot/2.1' => 'f'],
    ['/arg/abc?bot=', 'Mozilla/5.0' => 'f'],
    ['/arg/abc?bot=0', 'Mozilla/5.0' => 'f'],
    ['/arg/abc?bot=1', 'Mozilla/5.0' => 't'],
    ['/arg/abc?bot=00', 'Mozilla/5.0' => 't'],
    ['/arg/abc?bot=false', 'Mozilla/5.0' => 't'],
    ['/always/abc', 'Mozilla/5.0' => 't'],
    ['/never/abc', 'Googlebot/2.1' => 'f'],
) {
    my ($path, $agent, $bot) = @$case;

    my $r = $nginx->get($path, 'User-Agent' => $agent);
    my $rows = $pg->text('delete from hype.referral_hit
                          returning bot, visitor, user_agent');
    my $visitor = $r->cookie('hype_visitor') // '';

    is($rows, "$bot|$visitor|$agent\n", "$path of \"$agent\"");
}

done_testing();
