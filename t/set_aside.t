# What is dropped is kept in a file of bounded size, and nothing that a visitor
# sends gets out of it as SQL; the log can't be filled.

use lib 't/lib';
use Hype::Test;
use Hype::Fault;

my $pg = cluster();
my ($link) = fault_links($pg);

my $nginx = fault_nginx(pg => $pg, workers => 1, database => 'timeout=5s',
                        http => 'hype_spool hype_spool max_size=1m;');
push @{ $nginx->{allow} }, qr/hype: dropped records/;

my $dir = $nginx->dir . '/hype_spool';
my $dropped = "$dir/dropped.records";

# At most 2 KB of each text, and no half of a character

my $e = "\xc3\xa9";
$nginx->get("/ref/$link/?next=/" . 'n' x 3000, 'User-Agent' => 'x' x 2047 . $e x 9,
            Referer => $e x 2000);
is($pg->text('select length(next), length(user_agent), length(http_referer),
                      right(http_referer, 1) from hype.referral_hit'),
   "2048|2047|1024|$e\n", 'long texts are cut');
$nginx->get("/ref/$link/?next=/bad", 'User-Agent' => "\xff" x 3000);
is($pg->value("select octet_length(user_agent) from hype.referral_hit
               where next = '/bad'"), 2046, 'also what becomes longer');

# Nothing takes the hits

my $evil = q{[alert] 1#1: hype: dropped record, part 1 of 1: DROP SCHEMA hype CASCADE; \! id #};
my $lines = '%0a2026/11/22%2013:11:40%20[alert]%201%231:%20DROP%20SCHEMA%20hype%20CASCADE;';

$pg->stop;

my %outcomes;

for (1 .. 20) {
    $outcomes{ $_->header('X-Outcome') }++ for $nginx->visits(
        count => 500, connections => 16,
        path => "/ref/$link/?next=/evil$lines" . 'n' x 3000,
        headers => [ Referer => $evil . q{'; -- \\} . 'r' x 3000,
                     'User-Agent' => 'u' x 3000 ]);
    last if ($outcomes{dropped} // 0) > 200;
}

cmp_ok($outcomes{dropped}, '>', 200, 'hits are dropped');

my $size = 0;
$size += -s $_ for glob "$dir/*";
cmp_ok($size, '<=', 1024 * 1024, 'all files have max_size= at most');
cmp_ok(-s $dropped, '<=', 32 * 1024, 'that of dropped hits a 32nd part');
is((stat $dropped)[2] & 0777, 0600, 'nobody else may read it');

my @log = grep { /hype: |DROP SCHEMA/ } split /\n/, $nginx->error_log;
cmp_ok(@log, '<', 30, 'the log has few lines');
unlike("@log", qr/DROP SCHEMA/, 'and nothing of the visitor');

my $sql = set_aside($dropped);
is_deeply([grep { !/^(?:INSERT INTO hype\.referral_hit |-- \{)[ -~]*$/ } split /\n/, $sql],
          [], 'hype-spool prints INSERTs and comments only');
my $n = () = $sql =~ /^INSERT/mg;
cmp_ok($n, '>', 2, 'of what the file has');

$pg->start;
is_soon { $pg->hits("next like '/evil%'") } $outcomes{spooled}, 'the others are written', 60;
restore($pg, $dropped);
is($pg->hits("next like '/evil%'"), $outcomes{spooled} + $n, 'and these, by psql');
is($pg->value("select count(distinct http_referer) from hype.referral_hit
               where next like '/evil%' and starts_with(http_referer, ?)",
              "$evil'; -- \\r"), 1,
   'as they were sent');

$nginx->quit;
my ($all) = map { my $sum = 0; $sum += $_ for @$_; $sum }
            [$nginx->error_log =~ /hype: dropped records: (\d+), of which/g];
is($all, $outcomes{dropped}, 'the log counts all that were dropped');

$pg->stop;

done_testing();
