# ?ref= on any URL: requests with a body, in a pipeline, over HTTP/2, and of
# visitors who do not wait for the answer.

use lib 't/lib';
use Hype::Test;

my $pg = database();
$pg->link('abc123', user_id => 'alice');

my $h2_port = free_port();
my $h2 = Hype::Nginx->listen_http2($h2_port);
my %servers = (direct => free_port(), inline => free_port());

my $text = join '', map { <<"END" } sort keys %servers;
server {
    listen 127.0.0.1:$servers{$_};
    hype_ref_param ref mode=$_;

    location /body/ {
        client_body_buffer_size 1k;
        proxy_pass http://unix:%%DIR%%/app.sock:/;
    }

    location /app/ {
        proxy_pass http://unix:%%DIR%%/app.sock:;
    }
}
END

my $nginx = nginx(pg => $pg, workers => 2, http => <<"END");
server {
    listen unix:%%DIR%%/app.sock;

    location / {
        return 200 "app \$request_uri";
    }
}

server {
    $h2
    hype_ref_param ref mode=direct;

    location /inline/ {
        hype_ref_param ref mode=inline;
        proxy_pass http://unix:%%DIR%%/app.sock:;
    }
}

$text
END


# a request with a body

my $socket = http_open($servers{inline});
print {$socket} "GET /body/?ref=abc123&a HTTP/1.1\r\nHost: localhost\r\n"
                . "Connection: close\r\nContent-Length: 5000\r\n\r\n";
is_soon { $pg->hits } 1, 'inline: the hit does not wait for a body';
print {$socket} 'b' x 5000;
is(http_read($socket)->body, 'app /?a', 'and the body is passed on');
is(hits(), '/body/?a', '- one hit');


# several requests at once on a connection

print {$socket = http_open($servers{inline})} map {
    "GET $_ HTTP/1.1\r\nHost: localhost\r\n\r\n"
} '/app/?ref=abc123&1', '/app/?2', '/app/?ref=nobody&3', '/app/?ref=abc123&4',
  '/app/?5';

is(join(' ', map { http_read($socket)->body } 1 .. 5),
   'app /app/?1 app /app/?2 app /app/?ref=nobody&3 app /app/?4 app /app/?5',
   'pipelined requests');
is(hits(), '/app/?1|/app/?4', '- two hits');


# visitors who do not wait for the answer

for my $mode ('direct', 'inline') {
    my @sockets = map { http_open($servers{$mode}) } 1 .. 20;

    print {$_} "GET /app/?ref=abc123 HTTP/1.1\r\nHost: localhost\r\n\r\n"
        for @sockets;
    close $_ for @sockets;
    is_soon { $pg->hits } 20, "$mode: visitors who are gone: a hit each";
    hits();
}


# HTTP/2

my @h2 = ('--http2-prior-knowledge', '-H', 'Cookie: a=b', '-H',
          'Cookie: hype_visitor=019e7d9c-3f6a-4f4e-8d5b-0123456789ab');

my $r = curl(@h2, "http://127.0.0.1:$h2_port/a//b?a=%41&ref=abc123&b=;");
is($r->status, 302, 'HTTP/2: direct');
like($r->location, qr{^http://127.0.0.1:$h2_port/a//b\?a=%41&b=;$}, '- where to');
is($r->cookie('hype_visitor'), '019e7d9c-3f6a-4f4e-8d5b-0123456789ab',
   '- the cookie');
is(hits(), '/a//b?a=%41&b=;', '- one hit');

$r = curl(@h2, "http://127.0.0.1:$h2_port/inline/a//b?a=%41&ref=abc123&b=;");
is($r->body, 'app /inline/a//b?a=%41&b=;', 'HTTP/2: inline');
is($r->cookie('hype_visitor'), '019e7d9c-3f6a-4f4e-8d5b-0123456789ab',
   '- the cookie');
is(scalar $r->header('Cache-Control'), 'private', '- private');
is(hits(), '/inline/a//b?a=%41&b=;', '- one hit');

my ($status, $output) = run(command => [
    'curl', '-sS', '--http2-prior-knowledge', '--parallel', '--parallel-immediate',
    map { ('-o', '/dev/null', "http://127.0.0.1:$h2_port/inline/$_?ref=abc123") }
    1 .. 50]);
is($status, 0, 'HTTP/2: many streams') or diag($output);
is($pg->text('select count(*), count(distinct next), count(distinct visitor)
              from hype.referral_hit'), "50|50|50\n", '- a hit each');

done_testing();


# what their URLs were; the next ones are alone

sub hits
{
    return join '|', sort map { $_->[0] } $pg->query(
        'delete from hype.referral_hit returning next');
}
