# What is in monitoring/ fits what the module serves and the schema has: alert
# rules and dashboards, by Prometheus itself and by PostgreSQL.

use lib 't/lib';
use Hype::Test;
use Hype::Util qw(at_end spawn stop_process);
use JSON::PP ();

my $folder = source_dir() . '/monitoring';
my $docs = read_file(source_dir() . '/docs/monitoring.md');
my $json = JSON::PP->new->utf8->allow_nonref;

my $pg = database();
$pg->link('abc', user_id => 'alice', label => 'An example');

my $nginx = nginx(pg => $pg, server => <<'END');
location = /metrics { hype_status prometheus; }
location /ref/ { hype_ref; hype_bot $arg_bot; }
END

my %dashboards = map { $_ => $json->decode(read_file("$folder/$_")) }
                 map { s{.*/}{}r } glob "$folder/grafana-*.json";

$nginx->get('/ref/abc/') for 1 .. 3;
$nginx->get('/ref/abc/?bot=1');

rules();
metrics();
dashboard($_, $dashboards{$_}) for sort keys %dashboards;
by_prometheus();
by_postgres();

done_testing();


sub promtool
{
    my ($name, @arguments) = @_;

    my ($status, $output) = run(command => ['promtool', @arguments],
                                chdir => $folder);
    is($status, 0, $name) or diag($output);
}


# Each alert has a test in which it fires, and a section that says what to do.

sub rules
{
    promtool('alert rules', qw(check rules alerts.yml));
    promtool('and their tests', qw(test rules alerts.test.yml));
    promtool('the example', qw(check config prometheus.yml));

    my @alerts = read_file("$folder/alerts.yml") =~ /^ +- alert: (\w+)/mg;
    my %fires = map { $_ => 1 } read_file("$folder/alerts.test.yml")
        =~ /alertname: (\w+)\n +eval_time: \w+\n +exp_alerts:\n +- /g;

    ok(@alerts > 5, 'there are alerts');
    is_deeply([grep { !$fires{$_} } @alerts], [], 'each fires in a test');
    is_deeply([$docs =~ /^### (Hype\w+)$/mg], \@alerts,
              'and is documented, in the same order');
}


# What is served passes Prometheus' own linter, and has what the files name.

sub metrics
{
    my $text = $nginx->get('/metrics')->body;
    my $file = temp_dir() . '/metrics';
    write_file($file, $text);

    my ($status, $output) = run(command => [
        'sh', '-c', 'promtool check metrics < "$1"', 'sh', $file]);
    is("$status$output", 0, 'metrics are named as they should be');

    my %served = map { $_ => 1 } $text =~ /^(hype_\w+)/mg;

    for my $name ('alerts.yml', 'alerts.test.yml', 'grafana-nginx.json') {
        my %used = map { $_ => 1 } grep { $_ ne 'hype_status' }
            read_file("$folder/$name") =~ /\b(hype_[a-z_]+)/g;

        ok(%used > 3, "$name: uses metrics");
        is_deeply([grep { !$served{$_} } sort keys %used], [],
                  "$name: they are served");
    }
}


sub panels
{
    my ($dashboard) = @_;

    return grep { $_->{type} ne 'row' } @{ $dashboard->{panels} };
}


# Panels do not overlap, and take their data from the chosen source.

sub dashboard
{
    my ($name, $dashboard) = @_;

    my (%ids, %cells, @odd);

    for my $panel (@{ $dashboard->{panels} }) {
        my ($x, $y, $w, $h) = @{ $panel->{gridPos} }{qw(x y w h)};

        push @odd, "$panel->{title}: its id" if $ids{ $panel->{id} }++;
        push @odd, "$panel->{title}: beyond the edge" if $x + $w > 24;

        for my $cell (map { my $row = $_; map { "$row,$_" } $x .. $x + $w - 1 }
                      $y .. $y + $h - 1)
        {
            push @odd, "$panel->{title}: over another" if $cells{$cell}++;
        }
    }

    for my $source (map { $_->{datasource} } panels($dashboard),
                    map { @{ $_->{targets} } } panels($dashboard))
    {
        push @odd, 'a source: ' . $json->encode($source)
            if $source->{uid} ne '${datasource}';
    }

    is_deeply(\@odd, [], "$name: panels");
    ok($dashboard->{title} && $dashboard->{uid}, "$name: names");
}


# A Prometheus that scrapes this nginx has something for each panel, and its
# values are true.

sub by_prometheus
{
    my $dir = temp_dir('prometheus');
    my $port = free_port();
    my $target = '127.0.0.1:' . $nginx->port;

    my $config = read_file("$folder/prometheus.yml");
    $config =~ s/scrape_interval: 15s/scrape_interval: 200ms/ or die;
    $config =~ s/- web1\S+\n\s+- web2\S+/- $target/ or die;
    write_file("$dir/prometheus.yml", $config);
    write_file("$dir/alerts.yml", read_file("$folder/alerts.yml"));

    my $pid = spawn(command => [
        'prometheus', "--config.file=$dir/prometheus.yml",
        "--storage.tsdb.path=$dir/data", "--web.listen-address=127.0.0.1:$port",
    ], output => "$dir/log");
    at_end(sub { stop_process($pid, 'TERM', 10); 1 });

    my $query = sub {
        my ($expression) = @_;

        # what a dashboard's variables would be
        $expression =~ s/\$__rate_interval|\$__range/2s/g;
        $expression =~ s/\$(?:job|instance)\b/.*/g;
        $expression =~ s/([^A-Za-z0-9])/sprintf '%%%02X', ord $1/ge;

        my $r = eval { http_get($port, "/api/v1/query?query=$expression") };
        return $r && $r->body =~ /^\{/ ? $json->decode($r->body)
            : { error => $r ? $r->body : $@ };
    };

    wait_until {
        ($query->('hype_requests_total{outcome="hit"}')
         ->{data}{result}[0]{value}[1] // '') eq 4;
    } 60, 'Prometheus to have metrics';

    for my $panel (panels($dashboards{'grafana-nginx.json'})) {
        for my $target (@{ $panel->{targets} }) {
            my $name = "$panel->{title} $target->{refId}";
            my $answer;

            wait_until {
                $nginx->get('/ref/abc/');
                $answer = $query->($target->{expr});
                $answer->{error} || @{ $answer->{data}{result} };
            } 30, $name;

            is($answer->{error}, undef, "$name has data");
        }
    }

    for my $variable (@{ $dashboards{'grafana-nginx.json'}{templating}{list} }) {
        my $query_text = ref $variable->{query} && $variable->{query}{query}
            or next;
        my ($series, $label) = $query_text =~ /^label_values\((.*), (\w+)\)$/;
        my $answer = $query->("count by ($label) ($series)");

        is($answer->{data}{result}[0]{metric}{$label},
           $label eq 'job' ? 'hype' : $target, "the variable $label");
    }

    is_deeply($query->('ALERTS')->{data}{result}, [], 'no alert');
}


# Each query is run as the role that docs/monitoring.md makes for Grafana.

sub by_postgres
{
    my ($make) = $docs =~ /^```sql\n(CREATE ROLE grafana .*?)```/ms;
    $make =~ s/\bgrafana\b/grafana_$$/g;
    $make =~ s/ PASSWORD '[^']*'//;
    $pg->exec($make);
    at_end(sub { $pg->exec("drop owned by grafana_$$; drop role grafana_$$"); 1 });

    $pg->exec(<<'END');
select hype.claim(visitor, '42') from hype.referral_hit limit 1;
select hype.confirm('signup', user_id => '42', value => 5);
END

    my $dbh = $pg->connect(user => "grafana_$$");
    my $dashboard = $dashboards{'grafana-referrals.json'};

    for my $panel (panels($dashboard)) {
        for my $target (@{ $panel->{targets} }) {
            my $rows = eval { rows($dbh, $target->{rawSql}) };
            is($@, '', "$panel->{title}: runs") or next;

            ok(@$rows > 0 && (grep { defined && /[1-9]/ } values %{ $rows->[0] }),
               "$panel->{title}: has data") or diag($json->encode($rows));
            ok(exists $rows->[0]{time}, "$panel->{title}: has times")
                if $target->{format} eq 'time_series';
        }
    }

    my ($variable) = grep { $_->{name} eq 'link' }
                     @{ $dashboard->{templating}{list} };
    is_deeply(rows($dbh, $variable->{query}), [{ identifier => 'abc' }],
              'the variable link');

    ok(!eval { $dbh->do('delete from hype.referral_link') }, 'it may only read');
    $dbh->disconnect;
}


# With what Grafana puts for its macros and variables

sub rows
{
    my ($dbh, $sql) = @_;

    my ($from, $to) = map { "'" . gmtime_text($_) . "'" }
                      time - 30 * 86400, time + 60;

    $sql =~ s/\$__timeFilter\(([\w.]+)\)/$1 BETWEEN $from AND $to/g;
    $sql =~ s/\$__timeFrom\(\)/$from/g;
    $sql =~ s/\$__timeTo\(\)/$to/g;
    $sql =~ s/\$link\b/'abc','other'/g;
    die "what is this: $sql" if $sql =~ /\$/;

    return $dbh->selectall_arrayref($sql, { Slice => {} });
}


sub gmtime_text
{
    my ($time) = @_;

    my ($s, $m, $h, $day, $month, $year) = gmtime $time;
    return sprintf '%04d-%02d-%02dT%02d:%02d:%02dZ', $year + 1900, $month + 1,
        $day, $h, $m, $s;
}
