# The whole story, with curl and its cookie jar: a visitor comes by alice's link,
# signs up, logs in, buys, and alice is credited, once.  In each mode of
# hype_ref_param, in front of an application that knows nothing of links.

use lib 't/lib';
use Hype::Test;
use Hype::Util qw(at_end stop_process);

my $pg = database();
$pg->exec("select hype.create_link(identifier => 'abc123', user_id => 'alice',
                                   label => 'alice''s blog');
           create table points (user_id text, points int)");

my $app = application();
my %port = map { $_ => free_port() } qw(redirect direct inline);

my $nginx = nginx(pg => $pg, workers => 2, http => join "\n", map { <<"END" }
server {
    listen 127.0.0.1:$port{$_};
    hype_ref_param ref mode=$_;
    hype_user \$upstream_http_x_hype_user;

    location /ref/ {
        hype_ref;
    }

    location / {
        proxy_pass http://127.0.0.1:$app;
        proxy_hide_header X-Hype-User;
    }

    location = /accounts/signup/ {
        proxy_pass http://127.0.0.1:$app;
        hype_confirm signup if=\$upstream_http_x_signed_up;
    }

    location = /orders {
        proxy_pass http://127.0.0.1:$app;
        proxy_hide_header X-Hype-User;
        hype_confirm order value=\$upstream_http_x_amount;
    }
}
END
sort keys %port);

my $uuid = qr/[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}/;
my $redirects = { redirect => 2, direct => 1, inline => 0 };
my $amount = { redirect => '10', direct => '19.90', inline => '0.10' };


for my $mode (qw(redirect direct inline)) {
    my $site = "http://127.0.0.1:$port{$mode}";
    my $jar = temp_dir('jar') . '/cookies';
    my $name = "$mode-user";

    # redirects are followed here: "curl -L" reads the file of cookies again

    my $browse = sub {
        my ($path, @arguments) = @_;

        my $url = "$site$path";
        my ($answers, $followed) = ('', 0);

        while (1) {
            my ($status, $output) = run(command => [
                'curl', '-sSi', '-b', $jar, '-c', $jar, '--max-time', 10,
                '-A', 'Mozilla/5.0', '-w', "\n%{redirect_url}", @arguments,
                $url]);

            my ($answer, $next) = $output =~ /^(.*)\n(\S*)$/s;
            $answers .= $answer;
            last if $next eq '' || $followed == 5;

            $followed++;
            $url = $next;
            @arguments = ();
        }

        return { answers => $answers, redirects => $followed,
                 path => $url =~ s/^\Q$site\E//r };
    };

    my $cookies = sub {
        return { map { (split /\t/)[5, 6] } grep { /\t/ }
                 split /\n/, read_file($jar) =~ s/^#HttpOnly_//mgr };
    };

    my $hit = sub {
        return $pg->text('select visitor, user_id, next, confirmed is not null
                          from hype.referral_hit where user_agent = ?
                          order by created desc limit 1', 'Mozilla/5.0');
    };

    # somebody reads alice's blog, and follows her link

    my $r = $browse->('/accounts/signup/?ref=abc123&plan=pro');

    is($r->{path}, $mode eq 'inline' ? '/accounts/signup/?ref=abc123&plan=pro'
                                    : '/accounts/signup/?plan=pro',
       "$mode: the link leads to the sign-up page");
    is($r->{redirects}, $redirects->{$mode}, "- redirects: $redirects->{$mode}");
    like($r->{answers}, qr/Sign up for plan=pro\n\z/,
         '- which knows nothing of it');

    my $visitor = $cookies->()->{hype_visitor};
    like($visitor, qr/^$uuid$/, '- the browser keeps a cookie');
    is($hit->(), "$visitor||/accounts/signup/?plan=pro|f\n", '- a hit is recorded');

    # looks around, anonymously

    $browse->('/');
    $browse->('/accounts/signup/');
    is($cookies->()->{hype_visitor}, $visitor, 'pages leave the cookie alone');

    # signs up

    $r = $browse->('/accounts/signup/', '-d', "name=$name");
    is($r->{path}, '/accounts/login/', 'the visitor signs up');
    is($cookies->()->{hype_visitor}, $visitor, '- is not logged in yet');

    is_soon {
        $pg->text("select event, referrer from hype.confirmed_referral
                   where visitor = ? and user_id is null", $visitor);
    } "signup|alice\n", '- the visitor\'s sign-up is confirmed';

    $r = $browse->('/accounts/login/', '-d', 'name=nobody');
    like($r->{answers}, qr{^HTTP/1.1 403 .*Wrong name}s, 'a wrong name');
    is($cookies->()->{hype_visitor}, $visitor, '- leaves the cookie alone');

    # logs in

    $r = $browse->('/accounts/login/', '-d', "name=$name");
    is($r->{path}, '/home', 'the user logs in');
    like($r->{answers}, qr/^Set-Cookie: hype_visitor=; Max-Age=0; /m,
         '- that answer clears the cookie');
    like($r->{answers}, qr/^Cache-Control: private\r$/m, '- and is private');
    unlike($r->{answers}, qr/X-Hype-User/i, '- the user\'s number is not shown');
    is(join(' ', sort keys %{ $cookies->() }), 'session',
       '- the application\'s cookie is kept');

    my ($user) = $r->{answers} =~ /Hello .*, you are user (\d+)/;

    is_soon { $hit->() }
        "$visitor|$user|/accounts/signup/?plan=pro|t\n",
        '- the hit gets the user';
    is_soon {
        $pg->text("select event, user_id, referrer from hype.confirmed_referral
                   where user_id in (?, ?)", $user, $visitor);
    } "signup|$user|alice\n", '- and so does the sign-up';

    # buys

    $browse->('/orders', '-d', "amount=$amount->{$mode}") for 1 .. 3;
    is_soon {
        $pg->text("select referrer, value from hype.confirmed_referral
                   where event = 'order' and user_id = ?", $user);
    } "alice|$amount->{$mode}\n", 'the first order counts';

    # the application credits alice itself, with points, in its own transaction

    $pg->exec(<<"END") for 1 .. 3;
insert into points
select referrer, 100 from hype.confirm('points', user_id => '$user')
END

    # follows a link again, logged in: nginx hears of that from the application

    $browse->('/home?ref=abc123');
    is($cookies->()->{hype_visitor}, undef, 'a link that is followed later');
    is_soon { $pg->hits('user_id = ?', $user) } 2, '- is the user\'s as well';
}


# what alice sees

is($pg->text('select * from points'), "alice|100\n" x 3,
   'alice has points for three users, each once');

is($pg->text('select identifier, label, user_id, hits, unique_visitors, bots,
                     linked_users, confirmed, confirmations, value,
                     conversion_rate
              from hype.link_stats'),
   "abc123|alice's blog|alice|6|6|0|3|3|9|30.00|0.5000\n", 'hype.link_stats');

is($pg->text("select day = (now() at time zone 'UTC')::date, identifier, hits,
                     unique_visitors, bots
              from hype.daily_hits"), "t|abc123|6|6|0\n", 'hype.daily_hits');

is($pg->text('select identifier, hits, unique_visitors, linked_users, confirmed,
                     visitor_rate, linked_rate, confirmed_rate
              from hype.funnel'),
   "abc123|6|6|3|3|1.0000|0.5000|1.0000\n", 'hype.funnel');

done_testing();


# The application: it signs people up, knows who is logged in, and takes orders.
# What it does for the referrals is a header or two.  Returns its port.

sub application
{
    my $port = free_port();
    my $listener = IO::Socket::INET->new(
        LocalAddr => '127.0.0.1', LocalPort => $port, Listen => 64,
        ReuseAddr => 1) or die "listen: $!";

    my $pid = fork // die "fork: $!";

    if ($pid) {
        close $listener;
        at_end(sub { stop_process($pid, 'KILL'); 1 });
        return $port;
    }

    $SIG{$_} = 'DEFAULT' for qw(TERM INT HUP);
    my (%users, %sessions);

    while (my $client = $listener->accept) {
        my ($request, %header) = scalar <$client>;

        while (defined(my $line = <$client>)) {
            last if $line eq "\r\n";
            $header{lc $1} = $2 if $line =~ /^([^:]+):\s*(.*?)\r\n/;
        }

        read $client, my $body, $header{'content-length'} // 0;

        my ($method, $path, $query) =
            ($request // '') =~ m{^(\w+) ([^? ]*)\??(\S*)} or next;
        my ($field) = $body =~ /=(.*)/;
        my ($session) = ($header{cookie} // '') =~ /session=(\w+)/;
        my $user = defined $session ? $sessions{$session} : undef;
        my ($status, $text, @headers) = (200, "The shop\n");

        if ($path eq '/accounts/signup/') {
            $text = "Sign up for $query\n";

            if ($method eq 'POST') {
                $users{$field} //= 100 + keys %users;
                ($status, @headers) = (303, 'Location: /accounts/login/',
                                       'X-Signed-Up: yes');
            }

        } elsif ($path eq '/accounts/login/') {
            $text = "Log in\n";

            if ($method eq 'POST' && !$users{$field}) {
                ($status, $text) = (403, "Wrong name\n");

            } elsif ($method eq 'POST') {
                $session = 's' . keys %sessions;
                $user = $sessions{$session} = $users{$field};
                ($status, @headers) = (303, 'Location: /home',
                                       "Set-Cookie: session=$session; Path=/");
            }

        } elsif ($path eq '/home') {
            $text = "Hello you, you are user $user\n";

        } elsif ($path eq '/orders') {
            ($status, $text) = (201, "Thank you\n");
            @headers = ("X-Amount: $field");
        }

        push @headers, "X-Hype-User: $user" if defined $user;

        print {$client} join "\r\n", "HTTP/1.1 $status OK", @headers,
            'Content-Type: text/plain', 'Content-Length: ' . length $text,
            'Connection: close', '', $text;
        close $client;
    }

    POSIX::_exit(0);
}
