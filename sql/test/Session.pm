# A session of psql that stays open, so that a test can have several
# transactions side by side.  It connects as the environment says (PGHOST,
# PGUSER and so on), which has to be as superuser, to a database of its own.

package Session;

use strict;
use warnings;

use File::Basename;
use IPC::Open3;

my $timeout = 60;
my $schema = dirname(__FILE__) . '/../hype.sql';
my $database = "hype_test_$$";
my $maintenance = $ENV{PGDATABASE};
my $pid = $$;

# Makes the test's database.

sub create_database {
	my ($owner) = @_;

	system('psql', '-Xqd', $maintenance || 'postgres', '-c',
		"CREATE DATABASE $database" . ($owner ? " OWNER $owner" : '')) == 0
		or die "no database";

	$ENV{PGDATABASE} = $database;
}

# Installs the schema, after some statements; returns what psql has to say.

sub install {
	my ($class, @statements) = @_;

	create_database() if ($ENV{PGDATABASE} || '') ne $database;

	open my $out, '-|', "psql -X -v VERBOSITY=terse "
		. join(' ', map { "-c '$_'" } @statements) . " -f $schema 2>&1"
		or die "no psql: $!";

	local $/;
	my $said = <$out> // '';
	close $out;

	$said =~ s/^SET\n// for @statements;

	return $said;
}

END {
	local $?;

	if ($$ == $pid && ($ENV{PGDATABASE} || '') eq $database) {
		system('psql', '-Xqd', $maintenance || 'postgres', '-c',
			"DROP DATABASE $database WITH (FORCE)");
	}
}

sub new {
	my ($class, %args) = @_;

	my $pid = open3(my $in, my $out, undef, 'psql', '-XqAt',
		'-v', 'VERBOSITY=terse', @{ $args{options} || [] });

	my $self = bless { in => $in, out => $out, pid => $pid, n => 0 }, $class;

	$self->query("SET client_min_messages = warning");
	$self->{backend} = $self->query("SELECT pg_backend_pid()");

	return $self;
}

# Sends a statement and does not wait for its end.

sub send {
	my ($self, $sql) = @_;

	my $mark = 'end of ' . ++$self->{n};

	print { $self->{in} } "$sql\n;\n\\echo $mark\n";
	$self->{in}->flush();
}

# The output of what was sent last, errors included.

sub finish {
	my ($self) = @_;

	my $mark = "end of $self->{n}\n";
	my $buf = '';
	my $rin = '';

	vec($rin, fileno($self->{out}), 1) = 1;

	while ($buf !~ s/(^|\n)\Q$mark\E\z/$1/) {
		select(my $ready = $rin, undef, undef, $timeout)
			or die "no answer in $timeout s, so far: $buf";
		sysread($self->{out}, $buf, 65536, length($buf))
			or die "psql has ended: $buf";
	}

	chomp($buf);

	return $buf;
}

sub query {
	my ($self, $sql) = @_;

	$self->send($sql);

	return $self->finish();
}

# Writes hits as nginx does, each "<id> <visitor> <user>", "-" for NULL, and
# optionally the link (1) and the time (2024-01-01).

sub copy {
	my ($self, @hits) = @_;

	my @rows;

	for (@hits) {
		my ($id, $visitor, $user, $link, $created) = split ' ', $_, 5;

		push @rows, join "\t", uuid($id), $visitor eq '-' ? '\N'
			: uuid($visitor), $user eq '-' ? '\N' : $user, $link || 1,
			$created || '2024-01-01 00:00Z';
	}

	# psql 18 takes what follows for more data when an empty statement comes
	# after the rows

	return $self->query("COPY hype.referral_hit "
		. "(id, visitor, user_id, referral_link_id, created) FROM STDIN;\n"
		. join('', map { "$_\n" } @rows) . "\\.\nSELECT WHERE false");
}

sub uuid {
	my ($n) = @_;

	return sprintf '00000000-0000-0000-0000-%012d', $n;
}

# Waits until another session waits for a lock.

sub wait_for_block {
	my ($self, @others) = @_;

	for my $other (@others) {
		$self->wait_for("SELECT cardinality(pg_blocking_pids("
			. "$other->{backend})) > 0");
	}
}

sub wait_for {
	my ($self, $sql) = @_;

	my $end = time() + $timeout;

	while ($self->query($sql) ne 't') {
		die "not within $timeout s: $sql" if time() > $end;
		select undef, undef, undef, 0.01;
	}
}

# Calls hype.derive() until there is nothing to do but what takes seconds: the
# roll-ups of hits that have just come.

sub derive {
	my ($self) = @_;

	$self->wait_for("SELECT again IS NULL OR again > 2000 FROM hype.derive()");
}

sub DESTROY {
	my ($self) = @_;

	local ($?, $@);

	close $self->{in};
	waitpid $self->{pid}, 0;
}

1;
