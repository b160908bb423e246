# The documentation's examples of nginx's configuration and of SQL work, each by
# itself, its links lead somewhere, and all of examples/ is tested.

use lib 't/lib';
use Hype::Test;
use Hype::Docs;

my $source = source_dir();
my %pages = %{ pages() };

my $pg = cluster();
my $nginx = nginx(pg => $pg, start => 0);
my $databases = 0;

prepare();

for my $page (sort keys %pages) {
    for my $block (blocks($page)) {
        if ($block->{language} eq 'nginx') {
            is(nginx_error($block->{text}), undef, "$block->{name}: nginx");

        } elsif ($block->{language} eq 'sql' && $page ne 'docs/citus.md') {

            # what needs Citus: see t/citus.t

            is(sql_error($block->{text}), undef, "$block->{name}: SQL");
        }
    }

    is_deeply([broken_links($source, $page)], [], "$page: links");
}

examples();

done_testing();


# An example is for the main level, http, a server, or a location: it is good if
# it is in one of them.

sub nginx_error
{
    my ($text) = @_;

    # what would be this machine's
    $text =~ s/^\s*load_module .*//mg;
    $text =~ s{/var/(?:lib|log)/nginx/}{%%DIR%%/}g;
    $text =~ s/^\s*listen \[::\]:80;\n//mg;
    $text =~ s/^(\s*listen)\s+(?:127\.0\.0\.1:)?\d+;/"$1 127.0.0.1:" . free_port() . ';'/mge;

    my @errors;

    for my $frame ({ main => $text }, { http => $text }, { server => $text },
                   { server => "location /example/ {\n$text}\n" }) {

        my ($status, $output) = $nginx->test_config(%$frame);
        return undef if $status == 0;
        push @errors, $output =~ /\[emerg\] (?:\d\S* )?(.*?)(?: in \S+)?$/m;
    }

    return join ' | ', @errors;
}


# A database with a link and a hit, to be copied for each example.

sub prepare
{
    my $hit = "INSERT INTO hype.referral_hit (referral_link_id, visitor) "
              . "SELECT id, gen_random_uuid() FROM hype.create_link('alice')";

    for my $arguments (
        ['-d', 'postgres', '-c', 'CREATE ROLE app'],
        ['-d', 'postgres', '-c', 'CREATE DATABASE docs'],
        ['-d', 'docs', '-f', 'sql/hype.sql', '-c', $hit])
    {
        my ($status, $output) = $pg->psql('-q', @$arguments);
        die $output if $status;
    }
}


sub sql_error
{
    my ($text) = @_;

    my $database = 'docs' . ++$databases;
    my $file = temp_dir() . '/example.sql';

    write_file($file, $text);

    for my $arguments (
        ['-d', 'postgres', '-c', "CREATE DATABASE $database TEMPLATE docs"],
        ['-d', $database, '-f', $file])
    {
        my ($status, $output) = $pg->psql('-q', @$arguments);
        return $output if $status;
    }

    return undef;
}


# Each example is in the list of them, and run by the tests that it names.

sub examples
{
    my %listed = map { /^\| \[(\w+)\]\(.*\| (.*) \|$/m ? ($1 => $2) : () }
                 split /\n/, $pages{'examples/README.md'};

    is_deeply([sort keys %listed],
              [sort map { m{([^/]+)/$} } glob "$source/examples/*/"],
              'examples/README.md has all examples');

    for my $name (sort keys %listed) {
        my $tests = join '', map { read_file("$source/$_") }
                    $listed{$name} =~ /`([^`]+)`/g;

        my @files = glob "$source/examples/$name/*";
        like($tests, qr{example\('$name'|examples/$name/},
             "the example $name is run");

        for my $file (grep { /\.(?:sql|ini)$/ } @files) {
            my ($path) = $file =~ m{([^/]+/[^/]+)$};
            like($tests, qr/\Q$path\E/, "- and $path");
        }
    }
}
