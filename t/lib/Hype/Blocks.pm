package Hype::Blocks;

# What a test written as Test::Nginx blocks uses in Test::Nginx::Socket's place:
#
#   use lib 't/lib';
#   use Hype::Blocks;
#
#   run_tests();
#
#   __DATA__
#
#   === TEST 1: a known link redirects and is recorded
#   --- sql_before
#   select hype.create_link(identifier => 'abc123', user_id => 'owner')
#   --- config
#   location /ref/ { hype_ref; }
#   --- request
#   GET /ref/abc123/
#   --- error_code: 302
#   --- response_headers
#   Location: http://localhost:$ServerPort/
#   --- sql_now
#   select count(*), min(next) from hype.referral_hit
#   --- sql_out
#   1|
#
# No plan is needed.  Each file has its own server root, port and database, and
# each block starts with an nginx and empty tables of its own.  hype_database is
# set for that database, with a timeout that a busy machine keeps, unless the
# block's http_config has one or the block says "--- no_database".
# $TEST_NGINX_HYPE_DB is the connection string.
#
# Sections:
#
#   sql_before   statements run before nginx starts
#   sql_now      a query whose output, as psql -At prints it, is to be that of
#                sql_out the moment the response is there
#   sql_later    a query that gets there within some seconds
#   sql_out      the output expected (none, without this section)
#   sql_out_like ... or a regular expression
#   allow_log    regular expressions, one a line, of error log lines that are
#                expected although they are alerts or the like
#
# A block fails if nginx left an alert, a leaked socket or the report of a
# sanitizer in its error log, while running or at its end.
#
# Test::Nginx shuffles the blocks; no_shuffle() stops that.

use strict;
use warnings;

use Hype::Nginx ();
use Hype::Postgres ();
use Hype::Util qw(at_end free_port read_file server_user source_dir temp_dir);

my ($pg, $root);

sub run_all ();

BEGIN {
    my $user = server_user();

    $pg = Hype::Postgres->database;
    $root = temp_dir('blocks') . '/servroot';

    $ENV{TEST_NGINX_BINARY} = Hype::Nginx::_binary();
    $ENV{TEST_NGINX_HYPE_DB} = $pg->conninfo;
    $ENV{TEST_NGINX_LOAD_MODULES} = Hype::Nginx::module();
    $ENV{TEST_NGINX_MASTER_PROCESS} //= 'on';
    $ENV{TEST_NGINX_LOG_LEVEL} //= 'info';
    $ENV{TEST_NGINX_PORT} = free_port();
    $ENV{TEST_NGINX_SERVROOT} = $root;
    $ENV{TEST_NGINX_WORKER_USER} = $user if defined $user;

    my $packaged = source_dir() . '/build/test-nginx/usr/share/perl5';
    unshift @INC, $packaged if -d $packaged;
}

use Test::Nginx::Socket -base;
use Test::Nginx::Util ();

our @EXPORT = qw(run_tests pg);

my $run_tests = \&Test::Nginx::Util::run_tests;
my $run_block = $Test::Nginx::Util::RunTestHelper;
my $end_of_block = \&Test::Nginx::Util::check_prev_block_shutdown_error_log;
my $set_up_root = \&Test::Nginx::Util::setup_server_root;
my $init_root = \&Test::Nginx::Util::run_customer_init_script;

$Test::Nginx::Util::RunTestHelper = \&run_block;

{
    no warnings 'redefine', 'prototype';

    *run_tests = \&run_all;
    *Test::Nginx::Util::check_prev_block_shutdown_error_log = \&end_of_block;
    *Test::Nginx::Util::setup_server_root = \&set_up_root;
    *Test::Nginx::Util::run_customer_init_script = \&init_root;
}


# The database of this file.

sub pg
{
    return $pg;
}


sub run_all ()
{
    $run_tests->();

    if (-f $Test::Nginx::Util::PidFile) {
        my $pid = Test::Nginx::Util::get_pid_from_pidfile('the end');
        Test::Nginx::Util::kill_process($pid, 1, 'the end');
    }

    end_of_block();
    undef $Test::Nginx::Util::PrevBlock;

    Test::More::done_testing();
}


Test::Nginx::Util::add_block_preprocessor(sub {
    my ($block) = @_;

    my $http = $block->http_config // '';

    if ($http !~ /^\s*hype_database\s/m && !defined $block->no_database) {
        $block->set_value(
            http_config => "hype_database \"\$TEST_NGINX_HYPE_DB\" timeout=5s;\n"
                . $http);
    }
});


# The last nginx has ended, the next one has not started.

sub set_up_root
{
    my ($first_time) = @_;

    system 'rm', '-rf', $root;
    $set_up_root->($first_time);
}


sub init_root
{
    my ($block) = @_;

    $pg->exec('truncate ' . join(', ', tables()) . ' restart identity');
    $pg->exec($block->sql_before) if defined $block->sql_before;

    $init_root->($block);
}


# All of the schema that have data; a partitioned one stands for its partitions.

sub tables
{
    return map { $_->[0] } $pg->query(
        "select oid::regclass from pg_class
         where relnamespace = 'hype'::regnamespace
               and relkind in ('r', 'p') and not relispartition
               and relname <> 'log_position'");
}


Test::Nginx::Socket::add_response_body_check(sub {
    my ($block, undef, $index, undef, $dry_run) = @_;

    my $requests = $block->pipelined_requests // $block->request;
    my $last = ref $requests eq 'ARRAY' ? $#$requests : 0;

    check_sql($block, 'sql_now', 0)
        if defined $block->sql_now && $index == $last && !$dry_run;
});


sub run_block ($$)
{
    my ($block, $dry_run, $repeated) = @_;

    $run_block->($block, $dry_run, $repeated);
    check_sql($block, 'sql_later', 10)
        if defined $block->sql_later && !$dry_run;
}


sub check_sql
{
    my ($block, $section, $seconds) = @_;

    my $query = Test::Nginx::Util::expand_env_in_text($block->$section,
                                                      $block->name, {});
    my $expected = $block->sql_out;
    my $like = $block->sql_out_like;
    my $end = Time::HiRes::time() + $seconds;
    my $got;

    while (1) {
        $got = $pg->text($query);
        last if defined $like ? $got =~ /$like/ : $got eq ($expected // '');
        last if Time::HiRes::time() >= $end;
        Time::HiRes::sleep(0.02);
    }

    my $name = $block->name . " - $section";

    if (defined $like) {
        chomp $like;
        Test::More::like($got, qr/$like/, $name);

    } else {
        Test::More::is($got, $expected // '', $name);
    }
}


# nginx has ended after a block: its log is whole.

sub end_of_block
{
    my $block = $Test::Nginx::Util::PrevBlock or return;

    $end_of_block->();

    my $file = "$root/logs/error.log";
    return if !-e $file || defined $block->must_die;

    my @allow = map { qr/$_/ } split /\n/, $block->allow_log // '';
    my @lines = Hype::Nginx::bad_lines(read_file($file), @allow);

    Test::More::is(join("\n", @lines), '',
                   $block->name . ' - nothing bad in the error log') if @lines;
}


1;
