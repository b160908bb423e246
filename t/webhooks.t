# examples/webhooks: a real HTTP server gets each event, in order, signed, and
# whatever fails or is killed in between.

use lib 't/lib';
use Hype::Test;
use Hype::Example;
use Hype::Hook;
use Hype::Util qw(at_end spawn stop_process);

use Digest::SHA qw(hmac_sha256);
use MIME::Base64 qw(decode_base64 encode_base64);

my $secret = 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw';
my $pg = database();

# The file makes a role, which all databases of the server share.

my $sql = example_file('webhooks/webhooks.sql');
my $role = 'webhooks_' . $pg->dbname;

$sql =~ s/\bwebhooks\b/"$role"/g;
$pg->exec($sql);
at_end(sub { $pg->exec(qq(drop owned by "$role"; drop role "$role")); 1 });

my $hook = Hype::Hook->new;
my $dir = temp_dir('sender');

my %env = $pg->env;

@ENV{keys %env, qw(PGUSER WEBHOOK_URL WEBHOOK_SECRET PYTHONUNBUFFERED)} =
    (values %env, $role, $hook->url, $secret, 1);

my $sender;
at_end(sub { stop_process($sender, 'KILL') if $sender; 1 });

my $n = 0;

$pg->exec("select hype.create_link('alice', identifier => 'a')");
$pg->exec("insert into hype.reward_rule (event, side, percent, currency)
           values ('order', 'referrer', 10, 'EUR')");


subtest 'what there is' => sub {
    $hook->answer(204);
    $hook->start;
    order('49.90');
    start_sender();

    is_soon { taken() } events(), 'all events arrive';
    is_deeply([map { $_->{json}{type} } $hook->requests], ['confirm', 'reward'],
              '- in order, each once');

    my ($r) = $hook->requests;
    is($r->{start}, 'POST /hook HTTP/1.1', 'a request');
    is($r->{'content-type'}, 'application/json', '- of JSON');
    is($r->{'webhook-id'}, 'hype_1', '- with an id');
    cmp_ok(abs($r->{'webhook-timestamp'} - time), '<', 60, '- and a time');
    is_deeply([grep { !genuine($_) } $hook->requests], [], '- signed');
    like($r->{body}, qr/"value" ?: ?49.90,/, '- with numbers as they are');
    is($r->{json}{data}{referrer}, 'alice', '- that says all');
    like($r->{json}{timestamp}, qr/^\d{4}-\d\d-\d\dT[\d:.]+[+-]\d\d:\d\d$/,
         '- and when');
};


subtest 'what is new' => sub {
    order(1);
    is_soon { taken() } events(), 'arrives', 5;
    is(scalar($hook->requests), 4, '- and nothing else');
};


subtest 'a server that fails' => sub {
    for my $how (500, 302, 'close') {
        my $before = $hook->requests;

        $hook->answer($how);
        order(2);
        wait_until { $hook->requests > $before } 10, 'a try';
        $hook->answer(204);
        is_soon { taken() } events(), "$how: all arrive";

        my ($first, $second) = ($hook->requests)[$before, $before + 1];
        is($second->{'webhook-id'}, $first->{'webhook-id'},
           '- the first one again, with its id');
        is($second->{start}, 'POST /hook HTTP/1.1', '- at the same place');
        is_deeply([grep { !genuine($_) } $hook->requests], [], '- all signed');
    }

    $hook->stop;
    order(3);
    wait_until { said() =~ /refused/ } 10, 'a try';
    $hook->start;
    is_soon { taken() } events(), 'away: all arrive';
};


subtest 'a sender that is killed' => sub {
    my $before = $hook->requests;

    $hook->answer('hang');
    order(4);
    wait_until { $hook->requests > $before } 10, 'a request';
    stop_process($sender, 'KILL');
    $hook->answer(204);
    order(5);
    start_sender();
    is_soon { taken() } events(), 'all events arrive';

    my ($first, $second) = ($hook->requests)[$before, $before + 1];
    is($second->{'webhook-id'}, $first->{'webhook-id'},
       '- one that was not answered a second time, with its id');
    is(scalar($hook->requests) - $before, 5, '- the others once');

    idle();
    $before = $hook->requests;
    stop_process($sender, 'KILL');
    order(6);
    start_sender();
    is_soon { taken() } events(), 'killed when idle: all arrive';
    is(scalar($hook->requests) - $before, 2, '- each once');
};


subtest 'a connection that is lost' => sub {
    idle();
    my $before = $hook->requests;

    $pg->exec("select pg_terminate_backend(pid) from pg_stat_activity
               where usename = '$role'");
    order(7);
    is_soon { taken() } events(), 'all events arrive';
    is(scalar($hook->requests) - $before, 2, '- each once');
};


subtest 'two senders' => sub {
    my $before = $hook->requests;
    my $first = $sender;

    start_sender();
    wait_until {
        $pg->value("select count(*) from pg_stat_activity
                    where usename = '$role' and wait_event = 'advisory'")
    } 10, 'the second one to wait';
    order(8);
    is_soon { taken() } events(), 'all events arrive';
    is(scalar($hook->requests) - $before, 2, '- each once');

    idle();
    stop_process($first, 'KILL');
    order(9);
    is_soon { taken() } events(), 'the second one takes over';
    is(scalar($hook->requests) - $before, 4, '- each once');
};


subtest 'anything goes' => sub {
    srand(42);

    for (1 .. 15) {
        $hook->answer((204, 204, 500, 'hang', 'close')[rand 5]);
        order($_) for 1 .. 3;
        sleep rand 0.3;     # it may be at anything then
        next if rand() < 0.3;
        stop_process($sender, 'KILL');
        start_sender();
    }

    $hook->answer(204);
    stop_process($sender, 'KILL');
    start_sender();
    is_soon { taken() } events(), 'all events arrive, in order', 30;
    is_deeply([grep { !genuine($_) } $hook->requests], [], '- all signed');
};


done_testing();


# A confirmed referral, and its reward: two events

sub order
{
    my ($value) = @_;

    $n++;
    $pg->exec("insert into hype.referral_hit (id, referral_link_id, user_id,
                                              authenticated)
               values (gen_random_uuid(), 1, 'u$n', true)");
    $pg->exec("select hype.confirm('order', 'u$n', value => $value)");
}


sub events
{
    return $pg->value("select string_agg('hype_' || id, ' ' order by id)
                       from hype.event");
}


# The ids of the requests, as one who leaves out what has come before sees them

sub taken
{
    my %seen;

    return join ' ', grep { !$seen{$_}++ } map { $_->{'webhook-id'} }
                     $hook->requests;
}


# Until the sender has noted that all were taken

sub idle
{
    wait_until {
        $pg->value('select event_id = (select max(id) from hype.event)
                    from webhook')
    } 10, 'the sender to be idle';
}


sub genuine
{
    my ($r) = @_;

    my $signed = join '.', @$r{qw(webhook-id webhook-timestamp body)};
    my $key = decode_base64($secret =~ s/^whsec_//r);

    return $r->{'webhook-signature'}
           eq 'v1,' . encode_base64(hmac_sha256($signed, $key), '');
}


sub start_sender
{
    write_file("$dir/said", '');
    $sender = spawn(command => ['/usr/bin/python3',
                                source_dir() . '/examples/webhooks/webhooks.py'],
                    output => "$dir/said");
}


sub said { return read_file("$dir/said") }
