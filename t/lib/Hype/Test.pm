package Hype::Test;

# What a test written in plain Perl uses:
#
#   use lib 't/lib';
#   use Hype::Test;
#
#   my $pg = database();
#   $pg->link('abc123', destination => '/welcome');
#
#   my $nginx = nginx(pg => $pg, server => 'location /ref/ { hype_ref; }');
#   my $r = $nginx->get('/ref/abc123/');
#
#   is($r->status, 302, 'a visit is redirected');
#   is($pg->hits, 1, 'and recorded');
#
#   done_testing();
#
# It exports Test::More too.  At the end all that was started is stopped, and a
# test fails if nginx's error log has an alert, a leaked socket or the report of
# a sanitizer in it.  HYPE_KEEP=1 keeps the folder of a test that failed.

use strict;
use warnings;

use Test::More ();
use Time::HiRes qw(sleep time);

use Hype::HTTP qw(curl http_get http_open http_raw http_read http_request
                  visits visits_start);
use Hype::Nginx ();
use Hype::PgBouncer ();
use Hype::Postgres ();
use Hype::Proxy ();
use Hype::Util qw(as_uri free_port read_file run server_user source_dir temp_dir
                  wait_until write_file);

our @EXPORT = qw(
    as_uri
    curl http_get http_open http_raw http_read http_request
    visits visits_start
    free_port read_file run server_user source_dir temp_dir wait_until
    write_file
    cluster database nginx pgbouncer proxy
    is_soon sleep time with_lock
);


sub import
{
    my ($class, @plan) = @_;

    strict->import;
    warnings->import;

    my $caller = caller;
    no strict 'refs';
    *{"${caller}::$_"} = \&$_ for @EXPORT;

    @_ = ('Test::More', @plan);
    goto &{ Test::More->can("import") };
}


# A fresh database with the schema (Hype::Postgres->database): on a PostgreSQL
# that other tests use too.

sub database
{
    return Hype::Postgres->database(@_);
}


# The same on a PostgreSQL of the test's own, to be stopped, killed, restarted.

sub cluster
{
    return Hype::Postgres->new(@_);
}


sub nginx
{
    return Hype::Nginx->new(@_);
}


# A proxy to a database, to be given to nginx instead, that fails on request.

sub proxy
{
    return Hype::Proxy->new(@_);
}


# A PgBouncer, likewise.

sub pgbouncer
{
    return Hype::PgBouncer->new(@_);
}


# is(), on a value that gets there within some seconds (10):
#
#   is_soon { $pg->hits } 3, 'all hits arrive';

sub is_soon (&$$;$)
{
    my ($value, $expected, $name, $seconds) = @_;

    my $end = time + ($seconds // 10);
    my $got;

    while (1) {
        $got = $value->();
        last if ($got // '') eq $expected || time >= $end;
        sleep 0.02;
    }

    local $Test::Builder::Level = $Test::Builder::Level + 1;
    return Test::More::is($got, $expected, $name);
}


# While code runs, nobody else gets to a table.

sub with_lock
{
    my ($pg, $table, $code) = @_;

    my $session = $pg->connect;
    $session->begin_work;
    $session->do("lock table $table");
    my @result = $code->();
    $session->rollback;

    return @result;
}


1;
