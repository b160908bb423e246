# In front of Rails: examples/rails.  The application is a real one, on Puma.

use lib 't/lib';
use Hype::Test;
use Hype::Example;
use Hype::Util qw(at_end spawn stop_process);

my $pg = database();
$pg->link('abc123', user_id => 'alice');

my $port = free_port();
my $dir = temp_dir('rails');

$ENV{RAILS_ROOT} = $dir;
$ENV{RAILS_ENV} = 'production';
write_file("$dir/log", '');

# Debian's, which has the packages ruby-railties and puma

my $rails = spawn(
    command => ['/usr/bin/ruby', '/usr/bin/puma', '-q', '-b',
                "tcp://127.0.0.1:$port",
                source_dir() . '/t/apps/rails/config.ru'],
    output => "$dir/log", chdir => $dir);
at_end(sub { defined stop_process($rails, 'TERM', 20) });

wait_until {
    die read_file("$dir/log") if defined stop_process($rails, undef, 0);
    eval { http_get($port, '/') };
} 60, 'Rails to serve';

my $nginx = nginx(pg => $pg, http => example('rails',
    '127.0.0.1:3000' => "127.0.0.1:$port"));
my $host = 'www.example.com';

my $r = $nginx->get('/?ref=abc123&a=1', Host => $host);
my $visitor = $r->cookie('hype_visitor');

is($r->body, "/?a=1 by alice\n", 'a page by a link: it knows who sent the visitor');
is($pg->text('select visitor, next from hype.referral_hit'), "$visitor|/?a=1\n",
   '- there is a hit');
is($r->header('Cache-Control'), 'private', '- nobody else may store it');

my @cookie = (Cookie => "hype_visitor=$visitor");
is($nginx->get('/', Host => $host, @cookie)->body, "/ by nobody\n",
   'another page');

$r = $nginx->get('/signup', Host => $host, @cookie);
is($r->location, "http://$host/", 'the visitor signs up');
is($r->cookie('hype_visitor'), '', '- the cookie is cleared');
is_deeply([grep { defined $r->header("X-Hype-$_") } qw(User Signup Order)], [],
          '- nobody else is told of it');
is_soon { $pg->text('select event, user_id, referrer, value
                     from hype.confirmed_referral') } "signup|42|alice|\n",
    '- and alice is credited';

my $session = $r->cookie('session');
$nginx->get('/order', Host => $host, Cookie => "session=$session") for 1 .. 2;
is_soon { $pg->text("select user_id, referrer, value from hype.confirmed_referral
                     where event = 'order'") } "42|alice|49.90\n",
    'an order is confirmed, once';

done_testing();
