# The module with a schema that lacks columns of hits, as when hype.sql was
# forgotten before it was upgraded: hits wait in the spool, and none is set
# aside.

use lib 't/lib';
use Hype::Test;

my $pg = database();
$pg->link('abc');

# As schemas were before hits had a source and arguments

$pg->exec(<<'END');
alter table hype.referral_hit drop column source, drop column args,
    drop column node;
create or replace function hype.probe(stream text, size integer) returns void
language plpgsql as $$
begin
    insert into hype.referral_hit (id, referral_link_id, created)
    values (gen_random_uuid(), 1, now());
    raise exception using errcode = 'ZHYPE';
exception when sqlstate 'ZHYPE' then
    null;
end $$;
END

my $nginx = nginx(pg => $pg, workers => 1, server => <<'END');
add_header Outcome $hype_outcome;
location /ref/ { hype_ref; }
END

push @{ $nginx->{allow} }, qr/hype: refused by PostgreSQL: ERROR: .*column "args"/,
                           qr/hype: .*(?:hits are spooled|spooled)/;

my @outcomes = map { $nginx->get('/ref/abc/')->header('Outcome') } 1 .. 3;

is("@outcomes", 'spooled spooled spooled', 'hits are in the spool');
like($nginx->error_log, qr/refused by PostgreSQL: ERROR: .*column "args"/,
     'the log says why');

# Until it would be set aside if it were the record's fault

is_soon { my $n = () = $nginx->error_log =~ /PostgreSQL refused a batch of 1 records/g;
          $n >= 8 ? 'often' : $n } 'often', 'they are tried again', 30;
ok(!-e $nginx->dir . '/hype_spool/rejected.records', 'none is set aside');

$pg->psql('-q', '-f', source_dir() . '/sql/hype.sql');

is_soon { $pg->hits } 3, 'they are written when hype.sql was run', 30;

$nginx->stop;

# As schemas were before hits had a node: none is needed

$pg->exec('alter table hype.referral_hit drop column node;
    drop function hype.my_node()');

my $newer = nginx(pg => $pg, workers => 1, server => <<'END');
add_header Outcome $hype_outcome;
location /ref/ { hype_ref; }
END

push @{ $newer->{allow} },
    qr/hype: refused by PostgreSQL: ERROR: .*hype\.my_node/;

@outcomes = map { $newer->get('/ref/abc/')->header('Outcome') } 1 .. 3;

is("@outcomes", 'hit hit hit', 'hits are written without a node');
like($newer->error_log,
     qr/function hype\.my_node\(\) does not exist.* is sql\/hype\.sql installed/,
     'the log says what is missing');
is($pg->value("select string_agg(substring(query from '^\\w+'), ' ')
               from pg_stat_activity
               where datname = current_database() and query ~ 'referral_hit'
                   and pid <> pg_backend_pid()"), 'PREPARE',
   'each in one round trip, as a prepared INSERT');

done_testing();
