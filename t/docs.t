# The documentation has what the code has: directives, variables, the schema, files,
# log lines.

use lib 't/lib';
use Hype::Test;
use Hype::Docs;
use Hype::Nginx ();

use File::Basename qw(basename);

my $source = source_dir();
my $code = join '', map { read_file($_) } glob "$source/*.c $source/src/*/*.c";
my %pages = %{ pages() };

my $pg = cluster();
my $nginx = nginx(pg => $pg, start => 0);

directives();
variables();
schema();
design();
log_lines();

done_testing();


# Each directive of the module has its section, with contexts and a default that
# are true and the version that it came with, and is in the index.

sub directives
{
    my ($table) = $code =~ /ngx_http_hype_commands\[\] = \{(.*?)ngx_null_command/s;

    my %contexts = (MAIN => 'http', SRV => 'server', LOC => 'location');
    my (%expected, %documented);

    while ($table =~ /\{ ngx_string\("(\w+)"\),\s*([A-Z_0-9|\s]+),/g) {
        my ($name, $flags) = ($1, $2);
        $expected{$name} = join ', ', map { $contexts{$_} }
                           $flags =~ /NGX_HTTP_(MAIN|SRV|LOC)_CONF/g;
    }

    my $reference = $pages{'docs/reference.md'};

    while ($reference =~ /^### (hype_\w+)\n\n```text\n(.*?)```/msg) {
        my ($name, $head) = ($1, $2);
        my ($default) = $head =~ /^Default:\s+(.*)/m;
        ($documented{$name}) = $head =~ /^Context:\s+(.*)/m;

        like($head, qr/^Syntax:   $name\b/, "the syntax of $name");
        like($head, qr/^This directive appeared in version \d+\.\d+\.\d+\.$/m,
             "the version of $name");
        next if $default eq '—';

        for my $context (split /, /, $documented{$name}) {
            my %frame = $context eq 'location'
                ? (server => "location /example/ {\n$default\n}\n")
                : ($context => $default);
            my ($status, $output) = $nginx->test_config(%frame);
            is($status, 0, "the default of $name in $context") or diag($output);
        }
    }

    is_deeply(\%documented, \%expected, 'directives and their contexts');

    my %front = $reference
                =~ /^\| \[`(hype_\w+)`\].* \| ([^|]+) \|$/mg;
    is_deeply(\%front, \%expected, 'and in the index');

    my @index = $reference =~ /^\| \[`(hype_\w+)`\]/mg;
    is_deeply(\@index, [sort @index], '- in alphabetical order');
}


sub variables
{
    my ($table) = $code =~ /ngx_http_hype_vars\[\] = \{(.*?)ngx_http_null_var/s;
    my ($words) = $code =~ /ngx_http_hype_outcomes\[\] = \{(.*?)ngx_null_str/s;

    my $reference = $pages{'docs/reference.md'};

    my @names = sort $table =~ /ngx_string\("(\w+)"\)/g;

    is_deeply([$reference =~ /^\| `\$(\w+)` \|/mg], \@names,
              'variables, in alphabetical order');
    is_deeply([$reference =~ /^\[`\$(\w+)`\]/mg], \@names,
              'and in the index');
    is_deeply([sort $reference =~ /^\| `(\w+)` \|/mg],
              [sort $words =~ /ngx_string\("(\w+)"\)/g], 'outcomes');
}


# What is in the schema is in docs/sql.md.

sub schema
{
    my $page = $pages{'docs/sql.md'};

    my @names = map { $_->[0] } $pg->query(<<'END');
SELECT DISTINCT proname FROM pg_proc WHERE pronamespace = 'hype'::regnamespace
UNION
SELECT relname FROM pg_class
WHERE relnamespace = 'hype'::regnamespace AND relkind IN ('r', 'p', 'v')
  AND relname !~ '^referral_hit_\d'
UNION
SELECT attname FROM pg_attribute JOIN pg_class c ON c.oid = attrelid
WHERE relnamespace = 'hype'::regnamespace AND relkind IN ('r', 'p', 'v')
  AND attnum > 0 AND NOT attisdropped
END

    is_deeply([grep { $page !~ /\b$_\b/ } @names], [],
              'tables, columns, views and functions');

    my %signatures = map { @$_ } $pg->query(<<'END');
SELECT 'hype.' || proname,
       string_agg(format('hype.%s(%s) RETURNS %s', proname,
                         pg_get_function_arguments(oid),
                         pg_get_function_result(oid)), ' ' ORDER BY pronargs)
FROM pg_proc
WHERE pronamespace = 'hype'::regnamespace
  AND (proacl::text ~ 'hype_app'
       OR proname IN ('maintain', 'roll_up', 'derive'))
  AND proname NOT IN ('version', 'new_identifier', 'check_identifier', 'site',
                      'day_quarter')
  AND proname !~ '^(unrolled|changed)_'
  AND (proname IN ('maintain', 'roll_up', 'derive')
       OR NOT 'bigint'::regtype = ANY (proargtypes))
GROUP BY proname
END

    for my $name (sort keys %signatures) {
        my ($text) = $page =~ /^```text\n\Q$name\E(\(.*?)\n```/ms
            or fail("the signature of $name"), next;
        is(plain("$name$text"), plain($signatures{$name}),
           "the signature of $name");
    }
}


sub plain
{
    my ($text) = @_;

    $text =~ s/timestamp with time zone/timestamptz/g;
    $text =~ s/::\w+(?:\[\])?|"//g;
    $text =~ s/TABLE \(/TABLE(/g;
    $text =~ s/\s+/ /g;

    return $text;
}


# docs/design.md has all files, each in its folder, whose files include none of
# a folder above or beside it, and tests that are there.

sub design
{
    my $page = $pages{'docs/design.md'};
    my ($table) = $page =~ /^\| folder \|.*?\n\n/ms ? $& : '';
    my ($level, %level, %listed) = (0);

    while ($table =~ m{^\| `src/(\w+)`(, beside)?.*? \| (`.*?`) \|}mg) {
        my ($folder, $beside, $files) = ($1, $2, $3);

        # one and the other have the same level
        $level{$folder} = $beside ? $level + 1 : ++$level;
        $listed{"$folder/$_"} = 1 for $files =~ /`(\w+)`/g;
    }

    my (%folder, %there);
    my @files = glob "$source/src/*/*.[ch]";

    for my $file (@files) {
        $file =~ m{/(\w+)/ngx_http_hype(?:_(\w+))?\.[ch]$} or next;
        $there{"$1/" . ($2 // 'hype')} = 1;
        $folder{ basename($file) } = $1;
    }

    is_deeply([sort keys %listed], [sort keys %there],
              'docs/design.md has all files');

    my @wrong;

    for my $file (@files) {
        my $from = $folder{ basename($file) };

        for my $header (read_file($file) =~ /#include "(ngx_http_hype\w*\.h)"/g) {
            my $to = $folder{$header} // next;   # the page is made by make
            push @wrong, "$from/" . basename($file) . " includes $to/$header"
                if $to ne $from && $level{$to} <= $level{$from};
        }
    }

    is_deeply(\@wrong, [], 'no file includes one above or beside it');

    is_deeply([grep { !-e "$source/$_" }
               $page =~ m{`((?:t|sql/test|fuzz)/\w+\.\w+)`}g],
              [], 'its tests are there');

    is_deeply([grep { !$there{$_} && !-e "$source/src/" . s{/}{/ngx_http_hype_}r }
               $page =~ m{`((?:http|store|spool|db|shared|codec)/[\w.]+)`}g],
              [], 'so are files by their names');

    my $sql = read_file("$source/sql/hype.sql");
    is_deeply([grep { $sql !~ /CREATE [\w ]*(?:FUNCTION|TABLE|VIEW)(?: IF NOT EXISTS)? hype\.$_\b/ }
               $page =~ /`hype\.(\w+)(?:\(\))?`/g],
              [], 'and tables and functions');
}


# The lines of the error log, with their levels, as a table has them: each is in
# the code, and each of the code's is there.  What varies is "…".

sub log_lines
{
    my $joined = $code =~ s/"\s*\n\s*"//gr;

    my %formats = map { $_ => 1 } $joined =~
        /ngx_log_error\(NGX_LOG_(\w+,[^"]*"hype: (?:[^"\\]|\\.|" \w+ ")*)"/g;
    my $page = $pages{'docs/operations.md'};
    my (@lines, @unknown, %known);

    while ($page =~ /^\| `(hype: .*?)` \| (\w+) \|/mg) {
        my ($line, $level) = ($1, $2 eq 'error' ? 'err' : $2);
        push @lines, $line;

        my @found = grep {
            my ($its_level, $format) = /^(\w+),[^"]*"(.*)/s;

            $format =~ s/" \w+ "|\\"%V[^"]*\\"|%\*?[a-z]+/\0/gi;
            my $pattern = join '.*', map { quotemeta } split /\0/, $format, -1;
            lc $its_level eq $level && $line =~ /^$pattern$/;
        } keys %formats;

        push @unknown, $line if !@found;
        @known{@found} = ();
    }

    is_deeply(\@unknown, [], 'log lines are in the code');
    is_deeply([grep { !exists $known{$_} } keys %formats], [],
              'and those of the code in the table');

    my @quoted = map { join '.*', map { quotemeta } split /…/ }
                 $page =~ /`(hype: [^`]+)`/g;

    is_deeply([grep { my $quoted = $_; !grep { /^$quoted/ } @lines } @quoted],
              [], 'which has all that are quoted');
}
