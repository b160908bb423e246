# The programs of docs/languages.md, each with PostgreSQL's driver of its language:
# what they return, and what is in the database then.

use lib 't/lib';
use Hype::Test;
use Hype::Docs;
use JSON::PP ();

my $page = 'docs/languages.md';
my $pg = database();

$pg->exec(block($page, qr/^CREATE TABLE purchase/));
$pg->exec('alter table purchase add who name default current_user;
           grant select, insert, update on purchase to hype_app');

my $visitor = 0;

for my $language (
    { name => 'Python', file => 'program.py', block => qr/^import psycopg/,
      needs => [qw(/usr/bin/python3 -c), 'import psycopg'],
      run => ['/usr/bin/python3'], main => <<'END' },

import json, sys

db = psycopg.connect('', autocommit=True)
name, *arguments = sys.argv[1:]
print(json.dumps(globals()[name](
    db, *[None if a == 'null' else int(a) if a.isdigit() else a
          for a in arguments]), default=str))
END

    { name => 'Ruby', file => 'program.rb', block => qr/^require 'pg'/m,
      needs => [qw(ruby -e), 'require "pg"'], run => ['ruby'], main => <<'END' },

db = PG.connect
name, *arguments = ARGV
arguments = arguments.map do |a|
  a == 'null' ? nil : a =~ /\A\d+\z/ ? Integer(a) : a
end
puts JSON.generate(send(name, db, *arguments))
END

    { name => 'PHP', file => 'program.php', block => qr/^<\?php/,
      needs => [qw(php -r), 'exit(extension_loaded("pdo_pgsql") ? 0 : 1);'],
      run => ['php'], main => <<'END' },

$db = new PDO('pgsql:');
[, $name] = $argv;
$arguments = array_map(fn ($a) => $a === 'null' ? null
    : (ctype_digit($a) ? (int) $a : $a), array_slice($argv, 2));
echo json_encode($name($db, ...$arguments)), "\n";
END

    { name => 'Node.js', file => 'program.js', block => qr/^async function value/,
      needs => [qw(node -e), 'require("pg")'], run => ['node'], main => <<'END' },

const { Pool } = require('pg');
const db = new Pool({ host: process.env.PGHOST, max: 1 });
const [name, ...given] = process.argv.slice(2);
const values = given.map((a) => a === 'null' ? null
    : /^\d+$/.test(a) ? Number(a) : a);

({ make_link, numbers, order, pay_out, refund })[name](db, ...values)
    .then((result) => console.log(JSON.stringify(result)),
          (error) => { console.error(error); process.exitCode = 1; })
    .finally(() => db.end());
END

    { name => 'Go', file => 'program.go', block => qr/^package main/,
      needs => [qw(sh -c), 'go version && go list github.com/lib/pq'],
      build => [qw(go build -o program program.go)], run => ['./program'],
      extra => qq{\t"fmt"\n\t"os"\n\t"strconv"\n}, main => <<'END' },

func main() {
	db, err := sql.Open("postgres", "")
	if err != nil {
		panic(err)
	}

	a := os.Args
	user, _ := strconv.ParseInt(a[2], 10, 64)
	text := func(i int) sql.NullString {
		return sql.NullString{String: a[i], Valid: a[i] != "null"}
	}

	var result any

	switch a[1] {
	case "make_link":
		result, err = makeLink(db, user)
	case "numbers":
		result, err = numbers(db, user)
	case "order":
		var referrer sql.NullString
		referrer, err = order(db, user, text(3), text(4))
		if referrer.Valid {
			result = referrer.String
		}
	case "pay_out":
		result, err = payOut(db, user, a[3], a[4])
	case "refund":
		result, err = refund(db, user)
	}

	if err != nil {
		panic(err)
	}

	json, _ := json.Marshal(result)
	fmt.Println(string(json))
}
END
) {
    subtest $language->{name} => sub { tells_the_story($language) };
}

done_testing();


# Debian's packages of Go are no modules.

sub environment
{
    my %env = ($pg->env, PGOPTIONS => '-c role=hype_app', GO111MODULE => 'off', GOFLAGS => '',
               GOPATH => $ENV{GOPATH} // '/usr/share/gocode',
               GOCACHE => temp_dir('go'), PYTHONDONTWRITEBYTECODE => 1);

    @ENV{keys %env} = values %env;
}


sub tells_the_story
{
    my ($language) = @_;

    local %ENV = %ENV;
    environment();

    my ($missing) = run(command => $language->{needs});
    plan skip_all => "no $language->{name} with a driver for PostgreSQL"
        if $missing;

    my $dir = temp_dir('language');
    my $text = block($page, $language->{block});
    $text =~ s/^import \(\n/import (\n$language->{extra}/m if $language->{extra};
    write_file("$dir/$language->{file}", $text . $language->{main});

    if ($language->{build}) {
        my ($status, $output) = run(command => $language->{build},
                                    chdir => $dir);
        is($status, 0, 'it is compiled') or diag($output);
    }

    my $call = sub {
        my ($name, @arguments) = @_;

        my ($status, $output) = run(
            command => [@{ $language->{run} },
                        $language->{build} ? () : "$dir/$language->{file}",
                        $name, map { $_ // 'null' } @arguments],
            chdir => $dir);
        return 'failed' if $status;
        return JSON::PP->new->utf8->allow_nonref->decode($output);
    };

    # users of their own
    my $n = ++$visitor;
    my ($owner, $buyer, $failing, $stranger) = map { $n * 100 + $_ } 1 .. 4;
    my $uuid = sprintf '00000000-0000-4000-8000-%012d', $n;

    my $identifier = $call->('make_link', $owner);
    is($identifier, $pg->value('select identifier from hype.referral_link
                                where user_id = $1', $owner),
       'make_link returns the identifier');

    my $numbers = $call->('numbers', $owner);
    is($numbers->{links}[0]{url}, "https://shop.example/ref/$identifier/",
       'numbers has the URL');

    $pg->exec("insert into hype.referral_hit (id, referral_link_id, created,
                   visitor, authenticated, bot)
               select gen_random_uuid(), id, now(), '$uuid', false, false
               from hype.referral_link where identifier = '$identifier'");

    is($call->('order', $failing, undef, $uuid), 'failed',
       'an order that can not be stored');
    is($pg->value('select count(*) from hype.confirmed_referral
                   where user_id = $1', $failing), 0, 'confirms nothing');

    is($call->('order', $stranger, '10.00', undef), undef,
       'an order of somebody who was not referred');
    is($call->('order', $buyer, '49.90', $uuid), $owner,
       'order returns the referrer');
    is($call->('order', $buyer, '5.00', $uuid), undef, 'once');
    is($pg->value('select count(*) from purchase where user_id = $1', $buyer), 2,
       'and stores both orders');

    $numbers = $call->('numbers', $owner);
    is($numbers->{totals}{confirmed}, 1, 'numbers has it');
    is_deeply([map { "$_->{currency} $_->{available}" } @{ $numbers->{rewards} }],
              ['EUR 4.99'], 'and the reward');

    is($call->('pay_out', $owner, 'EUR', "payment $n") + 0, 4.99,
       'pay_out returns what to pay');
    is($call->('pay_out', $owner, 'EUR', "payment $n") + 0, 4.99,
       'the same again');
    is($call->('numbers', $owner)->{rewards}[0]{paid}, 4.99, 'paid once');

    ok($call->('refund', $buyer), 'refund takes it back');
    ok(!$call->('refund', $buyer), 'once');
    is($call->('numbers', $owner)->{rewards}[0]{available}, -4.99,
       'so it is owed back');
    is($pg->value('select count(*) from purchase
                   where user_id = $1 and refunded', $buyer), 2,
       'and the orders are refunded');
    is($pg->value('select string_agg(distinct who, $2) from purchase
                   where user_id = $1', $buyer, ','), 'hype_app',
       'by a role that may do no more');
}
