# What a client sends makes no line of its own in the error log.

use lib 't/lib';
use Hype::Test;

my $pg = database();
my $nginx = nginx(pg => $pg, server => <<'SERVER');
location ~ ^/to/(?<to>[^/]+)/ {
    hype_ref_param ref to=/$to/;
    try_files /index.html =404;
}
location ~ ^/cookie/(?<path>[^/]+)/ {
    hype_ref $arg_code;
    hype_cookie v domain=$path path=/$path;
}
SERVER

$pg->link('abc');

my $forged = '2026/01/01 00:00:00 [warn] 1#1: forged';
my $encoded = $forged =~ s/([^a-z0-9])/sprintf '%%%02x', ord $1/gier =~ s/%2f/-/gir;

for my $url ("/to/%0a$encoded/?ref=abc", "/cookie/%0a$encoded/?code=abc") {
    my $at = $nginx->mark;

    $nginx->get($url);

    like($nginx->error_log($at), qr/\[error\] .* invalid "hype_/, "$url is logged");
    unlike($nginx->error_log($at), qr/^2026.01.01/m, '- and forges no line');
}

done_testing();
