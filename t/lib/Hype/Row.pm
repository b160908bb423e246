package Hype::Row;

# What the module makes of records, by build/unit/record_filter, and what PostgreSQL
# says to it:
#
#   my $row = Hype::Row->new($pg);
#   is($row->copy('table', hit(link => 1)), '', 'PostgreSQL takes a row');

use strict;
use warnings;

use Exporter qw(import);
use Socket qw(AF_INET AF_INET6 inet_pton);

use Hype::Util qw(read_file source_dir temp_dir write_file);

our @EXPORT = qw(hit texts);

my $ids = 0;
my @texts = qw(user_id user_agent http_referer next source args);


sub new
{
    my ($class, $pg) = @_;

    my $build = $ENV{BUILD} // source_dir() . '/build';
    my $filter = "$build/unit/record_filter";
    -x $filter or die "$filter: build it with \"make unit\"\n";

    my $dir = temp_dir('row');
    chmod 0755, $dir;

    return bless { pg => $pg, filter => $filter, dir => $dir }, $class;
}


# The columns of a hit that have any text

sub texts { return @texts }


# A hit: what is not given is NULL or false.

sub hit
{
    return {
        identifier => '',
        id => pack('N4', 0x01020304, 0x05067708, 0x890a0b0c, ++$ids),
        link => 0,
        created => 1_700_000_000_123,
        flags => '',
        visitor => '', user_id => '', ip => undef, user_agent => '',
        http_referer => '', next => '', source => '', args => '',
        @_,
    };
}


# Records in COPY's format ("copy"), or as statements ("sql", "claim", "confirm")

sub output
{
    my ($self, $mode, @records) = @_;

    my @names = $mode eq 'claim' || $mode eq 'confirm'
        ? qw(visitor user_id created event value)
        : (qw(identifier id link created flags visitor user_id ip),
           @texts[1 .. $#texts]);

    my ($filter, $dir) = @$self{qw(filter dir)};

    write_file("$dir/in", join '', map {
        my $record = $_;
        map {
            my $value = $record->{$_} // '';
            $value = address($value) if $_ eq 'ip' && $value ne '';
            pack 'N/a*', $value;
        } @names
    } @records);

    system("'$filter' $mode < '$dir/in' > '$dir/out'") == 0
        or die "$filter $mode failed\n";

    return read_file("$dir/out");
}


sub address
{
    my ($text) = @_;

    return inet_pton($text =~ /:/ ? AF_INET6 : AF_INET, $text);
}


# What psql says to a COPY or to statements: nothing, if all is well.

sub copy
{
    my ($self, $table, @records) = @_;

    my $file = "$self->{dir}/copy";
    write_file($file, $self->output('copy', @records));

    return $self->psql('-c', "\\copy $table (id, referral_link_id, created, "
                . 'authenticated, bot, visitor, user_id, ip, user_agent, '
                . 'http_referer, next, source, args) '
                . "from '$file' with (format binary)");
}


sub run_sql
{
    my ($self, $text) = @_;

    my $file = "$self->{dir}/sql";
    write_file($file, $text);

    return $self->psql('-f', $file);
}


sub psql
{
    my ($self, @arguments) = @_;

    my ($status, $output) = $self->{pg}->psql('-q', '-At', '-o', '/dev/null',
                                              @arguments);

    return $status && $output eq '' ? "exit status $status" : $output;
}


1;
