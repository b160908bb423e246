# PostgreSQL is there, but has no room, no schema, or no disk.

use lib 't/lib';
use Hype::Test;
use Hype::Fault;
use Hype::Util qw(at_end server_user);

my $pg = cluster(config => <<'END');
max_connections = 20
superuser_reserved_connections = 3
END

my $nginx = fault_nginx(pg => $pg);
my @common = (pg => $pg, nginx => $nginx);

fault 'max_connections is reached', @common, spooled => 1, sub {
    my ($load) = @_;
    $load->more(100);

    # others take the places of nginx's connections, until there is none left: a
    # place may have become free just after one was refused

    my (@others, $refused);
    my $full = 0;

    wait_until {
        my $other = eval { $pg->connect(user => 'hype_nginx') };

        if ($other) {
            push @others, $other;
            return $full = 0;
        }

        $refused = $DBI::errstr;

        if ($pg->value('select count(*) from pg_stat_activity where backend_type'
                       . q( = 'client backend' and pid <> pg_backend_pid()))
            == @others)
        {
            return ++$full == 2;
        }

        $pg->query('select pg_terminate_backend(pid) from pg_stat_activity'
                   . q( where application_name = 'nginx hype'));
        return $full = 0;
    } 30, 'all places to be taken';

    like($refused, qr/remaining connection slots|too many clients/,
         'no connection is left');
    $load->more(500);
    undef @others;
    $load->more(100);
    wait_until { $pg->value('select count(*) from pg_stat_activity'
                            . q( where application_name = 'nginx hype')) }
        20, 'a connection';
    $load->more(100);
};

# The schema: a part is missing, as with an older version; all is missing; none
# was there from the start

fault 'functions of the schema are missing', @common, sub {
    my ($load) = @_;
    $load->more(100);
    my $claim = '(uuid[], text[], timestamptz[])';
    $pg->exec("alter function hype.claim_batch$claim rename to claim_batch_;"
        . 'alter function hype.confirm_batch rename to confirm_batch_;'
        . 'alter function hype.probe rename to probe_;'
        . 'alter function hype.replay rename to replay_');
    $load->more(400);
    $pg->exec("alter function hype.claim_batch_$claim rename to claim_batch;"
        . 'alter function hype.confirm_batch_ rename to confirm_batch;'
        . 'alter function hype.probe_ rename to probe;'
        . 'alter function hype.replay_ rename to replay');
    $load->more(100);
};

fault 'the schema is missing', @common, sub {
    my ($load) = @_;
    $load->more(100);
    $pg->exec('alter schema hype rename to elsewhere');
    $load->more(400);
    $pg->exec('alter schema elsewhere rename to hype');
    $load->more(100);
};

like($nginx->error_log,
     qr/hype: refused by PostgreSQL: .*, is sql\/hype\.sql installed in this database\?/,
     'the log says what is missing');

my $empty = cluster(schema => 0);
my $early = fault_nginx(pg => $empty);

fault 'nginx starts before the schema is installed', pg => $empty,
    nginx => $early, link => ['first'], sub {
    my ($load) = @_;
    $load->more(300);

    # nginx is let in when the link is there, too: without it what is in the
    # spool would be of no link

    my ($status, $output) = $empty->psql('-q',
        '-c', 'create role hype_nginx nologin',
        '-f', 'sql/hype.sql',
        '-c', q(select hype.create_link(identifier => 'first')),
        '-c', 'alter role hype_nginx login');
    is($status, 0, 'the schema is installed') or diag($output);

    # what came before there was a link is a hit of that link
    $load->more(300);
};

$early->quit;
$empty->stop;

# An upgrade while hits come in

fault 'the schema is installed again', @common, sub {
    my ($load) = @_;

    for (1 .. 2) {
        $load->more(100);
        my ($status, $output) = $pg->psql('-qf', 'sql/hype.sql');
        is($status, 0, 'it can be') or diag($output);
    }

    $load->more(100);
};

# A full disk

SKIP: {
    my $dir = temp_dir('disk');

    skip 'a small disk takes root, and leave to mount it', 4
        if $> != 0
           || system("mount -t tmpfs -o size=4m,mode=0700 none $dir 2>/dev/null");

    at_end(sub { system('umount', '-l', $dir); 1 });
    chown((getpwnam server_user())[2, 3], $dir);

    $pg->exec("create tablespace small location '$dir'");
    $pg->exec('create table hype.filler (a text) tablespace small');
    $pg->exec('alter table hype.referral_hit_default set tablespace small');
    $pg->exec("alter table hype.$_ set tablespace small")
        for map { $_->[0] } $pg->query('select tablename from pg_tables'
            . q( where schemaname = 'hype' and tablename ~ '^referral_hit_\d'));

    fault q(PostgreSQL's disk is full), @common, spooled => 1, sub {
        my ($load) = @_;
        $load->more(100);
        1 while eval {
            $pg->exec('insert into hype.filler '
                      . q(select repeat('x', 500) from generate_series(1, 20)));
        };
        like($@, qr/No space left on device/, 'the disk is full');

        # where many wrote at once, PostgreSQL has made pages in advance

        my $spooled = sub {
            Hype::Status::status($nginx, '/hype_status')->{outcomes}{spooled}
        };
        my $before = $spooled->();
        wait_until { $load->more(100); $spooled->() > $before }
            30, 'a hit that is spooled';
        $load->more(500);
        $pg->exec('drop table hype.filler');
        $load->more(100);
    };

    $pg->exec("alter table hype.$_ set tablespace pg_default")
        for map { $_->[0] } $pg->query('select tablename from pg_tables'
            . q( where tablespace = 'small'));
}

$nginx->quit;
$pg->stop;

done_testing();
