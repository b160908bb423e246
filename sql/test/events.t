#!/usr/bin/perl

# Who follows the events by number gets each of them, and each once, whatever
# order transactions take numbers and commit in; and nobody waits for it.

use strict;
use warnings;

use FindBin;
use lib $FindBin::Bin;

use Session;
use Test::More;

Session->install();

my $a = Session->new();
my $b = Session->new();
my $c = Session->new();     # follows
my $n = 0;

sub uuid { return Session::uuid(@_) }

sub claim { return "SELECT hype.claim('" . uuid(++$n) . "', '$_[0]')" }

# What there is after the last event read

my $last = 0;
my @read;

sub news {
	my ($max) = @_;

	my @events = split /\n/, $c->query("SELECT id, payload ->> 'user_id'
		FROM hype.events_after($last" . ($max ? ", $max" : '') . ")");

	for (@events) {
		my ($id, $user) = split /\|/;

		die "event $id after $last" if $id <= $last;
		$last = $id;
		push @read, $id;
		$_ = $user;
	}

	return join ' ', @events;
}

# The first number commits last.

$a->query('BEGIN');
$a->query(claim('a1'));
$b->query(claim('b1'));
is(news(), '', 'an event behind one that is open');
$a->query('COMMIT');
is(news(), 'a1 b1', 'both, in order');

# An older transaction takes a number later, and the other way round.

$a->query('BEGIN');
$a->query('SELECT pg_current_xact_id()');
$b->query(claim('b2'));
is(news(), 'b2', 'a transaction without an event is in nobody\'s way');
$b->query('BEGIN');
$b->query(claim('b3'));
$a->query(claim('a3'));
$a->query('COMMIT');
is(news(), '', 'an older transaction, with a higher number');
$b->query('COMMIT');
is(news(), 'b3 a3', 'both, in order');

$a->query('BEGIN');
$b->query('BEGIN');
$b->query('SELECT pg_current_xact_id()');
$a->query(claim('a4'));
$b->query(claim('b4'));
$b->query('COMMIT');
is(news(), '', 'a newer one, with a lower number');
$a->query('COMMIT');
is(news(), 'a4 b4', 'both, in order');

# Between number and row

my $d = Session->new();

$d->query("CREATE FUNCTION pause() RETURNS trigger LANGUAGE plpgsql AS
	\$\$ BEGIN PERFORM pg_advisory_xact_lock_shared(4242); RETURN NEW; END \$\$");
$d->query("CREATE TRIGGER pause BEFORE INSERT ON hype.event FOR EACH ROW
	WHEN (NEW.payload ->> 'user_id' = 'slow') EXECUTE FUNCTION pause()");
$d->query('SELECT pg_advisory_lock(4242)');
$a->send(claim('slow'));
$d->wait_for_block($a);
$b->query(claim('fast'));
is(news(), '', 'a number without an event yet');
$d->query('SELECT pg_advisory_unlock(4242)');
is($a->finish(), 'slow', 'which comes');
is(news(), 'slow fast', 'both, in order');
$d->query('DROP TRIGGER pause ON hype.event');

# Rolled back, also to a savepoint

$a->query('BEGIN');
$a->query(claim('gone'));
$b->query(claim('b5'));
$a->query('ROLLBACK');
is(news(), 'b5', 'a number that is nobody\'s');

$a->query('BEGIN');
$a->query('SAVEPOINT s');
$a->query(claim('gone'));
$a->query('ROLLBACK TO s');
$b->query(claim('b6'));
is(news(), 'b6', 'a savepoint that was rolled back is in nobody\'s way');
$a->query(claim('a6'));
$b->query(claim('b7'));
is(news(), '', 'but what comes after it');
$a->query('SAVEPOINT t');
$a->query(claim('a7'));
$a->query('ROLLBACK TO t');
$b->query(claim('b8'));
is(news(), '', 'an inner savepoint leaves the outer one');
$a->query('SAVEPOINT t');
$a->query(claim('a8'));
$a->query('RELEASE t');
$a->query('COMMIT');
is(news(), 'a6 b7 b8 a8', 'all, in order');

# Anybody may take advisory locks, also with these keys.

my $stranger = Session->new();

$stranger->query("CREATE ROLE stranger_$$; SET ROLE stranger_$$");
$stranger->query("SELECT pg_advisory_lock_shared(1752789093, 0)");
$stranger->query("SELECT pg_advisory_lock(1752789093, i)
	FROM generate_series(1, 100) AS i");
$a->query("SET lock_timeout = '1ms'");
is($a->query(claim('s1')), 's1', 'locks of a stranger hold up no writer');
is(news(), 's1', 'nor a reader');
$a->query('BEGIN');
$a->query(claim('s2'));
$b->query(claim('s3'));
is(news(), '', 'who still waits for those that may write');
$a->query('COMMIT');
is(news(), 's2 s3', 'both, in order');
$a->query('RESET lock_timeout');
$stranger->query("RESET ROLE; DROP ROLE stranger_$$");
undef $stranger;

# In a higher isolation level

$a->query('BEGIN ISOLATION LEVEL SERIALIZABLE');
$a->query('SELECT count(*) FROM hype.event');
$b->query(claim('b9'));
is(news(), 'b9', 'one before it');
$a->query(claim('a9'));
$b->query(claim('b10'));
is(news(), '', 'a writer in SERIALIZABLE');
$a->query('COMMIT');
is(news(), 'a9 b10', 'both, in order');

# In pieces

$b->query(claim("p$_")) for 1 .. 5;
is(news(2), 'p1 p2', 'two');
is(news(2), 'p3 p4', 'two more');
is(news(), 'p5', 'the last one');

# Many events are one lock, and numbers may grow over 32 bits.

$a->query('BEGIN');
$a->query("SELECT hype.claim(gen_random_uuid(), 'many')
	FROM generate_series(1, 500)");
is($b->query("SELECT count(*) FROM pg_locks
	WHERE classid = hype.event_lock() AND objsubid = 2"), 1,
	'many events, one lock');
$a->query('ROLLBACK');

for my $number (2 ** 31 - 2, 2 ** 32 - 2) {
	$b->query("SELECT setval('hype.event_id_seq', $number)");
	$b->query(claim("n1"));
	$a->query('BEGIN');
	$a->query(claim("n2"));
	$b->query(claim("n$_")) for 3 .. 6;
	is(news(), 'n1', "numbers beyond $number");
	$a->query('COMMIT');
	is(news(), 'n2 n3 n4 n5 n6', 'all, in order');
}

# Confirms at the same time do not wait for each other because of it.

$c->query("SELECT hype.create_link('alice')");
$c->query("INSERT INTO hype.reward_rule (event, side, amount)
	VALUES ('e', 'referrer', 1), ('e', 'referred', 1)");
$c->copy("1001 - c1", "1002 - c2");

my $confirm = "SELECT referrer FROM hype.confirm('e', '%s',
	\"window\" => '100 years')";

$a->query('BEGIN');
is($a->query(sprintf $confirm, 'c1'), 'alice', 'a confirm that is open');
$b->query("SET lock_timeout = '1ms'");
is($b->query(sprintf $confirm, 'c2'), 'alice',
	'another one of the same referrer does not wait');
is(news(), '', 'but its events do');
$a->query('COMMIT');
is(news(), join(' ', ('c1') x 3, ('c2') x 3), 'all, in order');
$b->query("RESET lock_timeout");

# Word is sent.

$c->query('LISTEN hype_event');
$a->query('BEGIN');
$a->query(claim('told'));
unlike($c->query('SELECT 1'), qr/hype_event/, 'no word of what is open');
$a->query(claim('told'));
$a->query('COMMIT');
my $said = '';
my $end = time + 60;
$said .= $c->query('SELECT') while $said !~ /hype_event/ && time < $end;
is(() = $said =~ /hype_event/g, 1, 'one word of a transaction');
$c->query('UNLISTEN *');
is(news(), 'told told', 'which has two events');

# Anything goes.

srand(42);

my @sessions = map { Session->new() } 1 .. 8;
my (%open, %savepoint);

@read = ();

for my $step (1 .. 2000) {
	my $s = $sessions[rand @sessions];
	my $what = rand;

	if ($what < 0.25) {
		$s->query($open{$s} ? rand() < 0.7 ? 'COMMIT' : 'ROLLBACK'
			: 'BEGIN ISOLATION LEVEL ' . ('READ COMMITTED', 'REPEATABLE READ')[rand 2]);
		$open{$s} = !$open{$s};
		$savepoint{$s} = 0;

	} elsif ($what < 0.5) {
		my $out = $s->query(claim("u$step"));

		die $out if $out =~ /ERROR/;

	} elsif ($what < 0.7 && $open{$s}) {
		$s->query(!$savepoint{$s} ? 'SAVEPOINT s'
			: rand() < 0.5 ? 'ROLLBACK TO s; RELEASE s' : 'RELEASE s');
		$savepoint{$s} = !$savepoint{$s};

	} else {
		news(1 + int rand 5);
	}
}

my $seen = @read;

for (@sessions) {
	$_->query('COMMIT') if $open{$_};
}

1 while news() ne '';

cmp_ok($seen, '>', 100, 'many events were read meanwhile');
is("@read", $c->query("SELECT string_agg(id::text, ' ' ORDER BY id)
	FROM hype.event WHERE id >= $read[0]"), 'each is read, and once');

done_testing();
