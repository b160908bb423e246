# In front of Django, with the users of django-hype moving over: examples/django.
# The application is a real Django, with its own sessions and users.

use lib 't/lib';
use Hype::Test;
use Hype::Example;
use Hype::Util qw(at_end spawn stop_process);

my $pg = database();
my $port = free_port();

# Debian's, which has the package python3-django

my @app = ('/usr/bin/python3', source_dir() . '/t/apps/django/app.py');
my %env = $pg->env;

@ENV{keys %env} = values %env;
$ENV{PYTHONDONTWRITEBYTECODE} = 1;

my ($status, $output) = run(command => [@app, 'migrate']);
is($status, 0, 'Django makes its tables') or diag($output);

# t/move_django_hype.t works with tables of the same columns

$pg->exec('create schema same; set search_path to same;'
          . read_file(source_dir() . '/t/apps/django/tables.sql')
          . 'set search_path to default');

my $columns = "select table_name, column_name, data_type,
                      character_maximum_length, is_nullable
               from information_schema.columns
               where table_schema = ? and table_name like 'hype\_ref%'
               order by 1, 2";

is($pg->text($columns, 'public'), $pg->text($columns, 'same'),
   '- as django-hype\'s are');

my $log = temp_dir('django') . '/log';
write_file($log, '');
my $django = spawn(command => [@app, 'serve', $port], output => $log);
at_end(sub { defined stop_process($django, 'TERM', 10) });

wait_until {
    die read_file($log) if defined stop_process($django, undef, 0);
    eval { http_get($port, '/') };
} 60, 'Django to serve';


# What django-hype has left: alice's link, and a hit whose visitor has its cookie.

my $cookie = '6f0dc1e0-7e4d-4a6e-9a8c-3a1d2f4b5c6d';

$pg->exec(<<"END");
insert into auth_user (id, password, is_superuser, username, first_name, last_name,
                       email, is_staff, is_active, date_joined)
values (7, '', false, 'alice', '', '', '', false, true, now());
select setval('auth_user_id_seq', 100);
insert into hype_referrallink (id, identifier, user_id, disabled, created, updated)
values (1, 'abc123', 7, false, '2026-01-02 03:04:05Z', '2026-01-02 03:04:05Z');
insert into hype_referralhit
    (id, referral_link_id, authenticated, hit_user_id, ip, user_agent, http_referer,
     next, created, updated)
values ('$cookie', 1, false, null, '192.0.2.1', 'Mozilla/5.0', '', '/',
        now() - interval '3 days', now());
END

($status, $output) = $pg->psql('-f', 'examples/django/move.sql');
is($status, 0, 'its tables are copied') or diag($output);


# The visitor comes back

my $nginx = nginx(pg => $pg, http => example('django',
    'http://127.0.0.1:8000' => "http://127.0.0.1:$port"));
my @old = (Cookie => "django-hype__rk=$cookie");
my $ask = sub {
    my ($path, @headers) = @_;

    return $nginx->get($path, Host => 'www.example.com', @headers);
};

my $r = $ask->('/?a=1', @old);
is($r->body, "home, a=1\n", 'an old visitor comes back');
is($r->header('Set-Cookie'), undef, '- no cookie is touched');

$r = $ask->('/?ref=abc123&a=1');
my ($path) = $r->location =~ m{^http://www\.example\.com:\d+(/ref/abc123\?next=\S+)$};
ok($path, '?ref= on any page') or diag($r->location);
like($ask->($path)->location, qr{^http://www\.example\.com:\d+/\?a=1$},
     '- leads back to it');
is($pg->hits, 2, '- after a hit');

$r = $ask->('/signup?name=bob', @old);
is($r->status, 302, 'the old visitor signs up');
is($r->cookie('django-hype__rk'), '', '- the old cookie is cleared');
is($r->header('X-Hype-User'), undef, '- the user is not told to anybody');

my ($bob) = $pg->value("select id from auth_user where username = 'bob'");
is_soon {
    $pg->value('select user_id from hype.referral_hit where id = ?', $cookie)
} $bob, '- and has the hit that django-hype has made';


# and buys something: alice is credited, by the application, once

my $session = $r->cookie('sessionid');
my @bob = (Cookie => "sessionid=$session");

is($ask->('/order', @bob)->body, "credited: 7\n", 'alice is to be credited');
is($ask->('/order', @bob)->body, "credited: None\n", '- once');
is($pg->text('select event, user_id, referrer, value, referral_hit_id
              from hype.confirmed_referral'),
   "order|$bob|7|49.90|$cookie\n", '- for the hit that django-hype has made');

done_testing();
