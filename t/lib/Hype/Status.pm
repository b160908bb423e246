package Hype::Status;

# What hype_status says, taken apart.
#
#   use Hype::Status;
#
#   my $s = status($nginx);                     # of "location = /status"
#   is($s->{outcomes}{hit}, 3);
#
#   my $m = metrics($nginx);                    # of "location = /metrics"
#   is($m->{'hype_requests_total{outcome="hit"}'}, 3);
#
# status_server() has the locations.

use strict;
use warnings;

use Carp qw(croak);
use Exporter qw(import);
use JSON::PP qw(decode_json);
use Test::More ();

use Hype::Util qw(wait_until);

our @EXPORT = qw(json metrics parse_metrics same_numbers status
                 status_server);


sub status_server
{
    return <<'END';
    location = /status { hype_status; }
    location = /metrics { hype_status prometheus; }
END
}


sub json { return decode_json($_[0]->body) }


sub status
{
    my ($nginx, $path) = @_;

    my $answer = $nginx->get($path // '/status');
    croak 'status ' . $answer->status_line if $answer->status != 200;

    return json($answer);
}


sub metrics
{
    my ($nginx, $path) = @_;

    my $answer = $nginx->get($path // '/metrics');
    croak 'status ' . $answer->status_line if $answer->status != 200;

    return parse_metrics($answer->body);
}


# Prometheus' text, version 0.0.4, as strict as it can be written: each metric
# with HELP and TYPE, all of its samples together, none twice.  Dies where it is
# not.  https://prometheus.io/docs/instrumenting/exposition_formats/

sub parse_metrics
{
    my ($text) = @_;

    my $name = qr/[a-zA-Z_:][a-zA-Z0-9_:]*/;
    my $label = qr/[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\\n]|\\[\\n"])*"/;
    my $number = qr/[+-]?\d+(?:\.\d+)?(?:e[+-]?\d+)?|[+-]Inf|NaN/;
    my (%samples, %types, $family, $helped);

    $text =~ /\n\z/ or croak 'no line end at the end';

    for my $line (split /\n/, $text) {
        if ($line =~ /^# HELP ($name) (\S.*)$/) {
            croak "$1: again" if $types{$1} || defined $helped;
            $helped = $1;

        } elsif ($line =~ /^# TYPE ($name) (counter|gauge|histogram)$/) {
            ($family, my $type) = ($1, $2);
            croak "$family: no HELP before its TYPE" if ($helped // '') ne $family;
            croak "$family: a counter ends with _total"
                if ($type eq 'counter') != ($family =~ /_total$/);
            $types{$family} = $type;
            undef $helped;

        } elsif ($line =~ /^(($name)(?:\{($label(?:,$label)*)\})?) ($number)$/) {
            my ($sample, $metric, $value) = ($1, $2, $4);
            my $base = $types{ $family // '' } eq 'histogram'
                ? $metric =~ s/_(?:bucket|sum|count)$//r : $metric;

            croak "$line: not of $family" if $base ne $family;
            croak "$sample: again" if exists $samples{$sample};
            $samples{$sample} = $value;

        } else {
            croak "no sample: $line";
        }
    }

    for my $histogram (grep { $types{$_} eq 'histogram' } keys %types) {
        my @buckets = $text =~ /^${histogram}_bucket\{le="([^"]*)"\} (\d+)$/mg;
        my ($bound, $count) = (-1, 0);

        while (my ($le, $n) = splice @buckets, 0, 2) {
            $le = 9e9 if $le eq '+Inf';
            croak "$histogram: $le, $n" if $le <= $bound || $n < $count;
            ($bound, $count) = ($le, $n);
        }

        croak "$histogram: no +Inf, or not all"
            if $bound != 9e9 || $count != $samples{"${histogram}_count"};
        croak "$histogram: no sum" if !defined $samples{"${histogram}_sum"};
    }

    return \%samples;
}


# Each number of the text is that of the JSON, taken while nothing happens

sub same_numbers
{
    my ($nginx, $name) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my ($s, $m);

    # the derivation goes on by itself, and so does the attempt to connect

    wait_until {
        $s = status($nginx);
        $m = metrics($nginx);

        $s->{database}{state} eq 'down'
        || $m->{'hype_database_connections{state="busy"}'}
           == $s->{database}{connections}{busy}
    } 5, 'the derivation to rest';

    my %expected = (
        (map { (qq(hype_requests_total{outcome="$_"}) => $s->{outcomes}{$_}) }
             keys %{ $s->{outcomes} }),
        hype_claims_total => $s->{claims},
        hype_confirms_total => $s->{confirms},
        'hype_cache_lookups_total{result="hit"}' => $s->{cache}{hits},
        'hype_cache_lookups_total{result="miss"}' => $s->{cache}{misses},
        'hype_cache_lookups_total{result="stale"}' => $s->{cache}{stale},
        'hype_cache_evictions_total{state="known"}' => $s->{cache}{evictions},
        'hype_cache_evictions_total{state="unknown"}'
            => $s->{cache}{unknown_evictions},
        'hype_cache_links{state="known"}' => $s->{cache}{links},
        'hype_cache_links{state="unknown"}' => $s->{cache}{unknown},
        hype_cache_size_bytes => $s->{cache}{size},
        hype_cache_free_bytes => $s->{cache}{free},
        hype_queue_records => $s->{queue}{records},
        hype_queue_bytes => $s->{queue}{bytes},
        hype_waiting_requests => $s->{queue}{waiting},
        hype_rejected_records_total => $s->{batches}{rejected},
        hype_spool_appended_records_total => $s->{spool}{appended},
        hype_spool_replayed_records_total => $s->{spool}{replayed},
        hype_spool_bytes => $s->{spool}{bytes},
        hype_spool_files => $s->{spool}{files},
        hype_spool_max_bytes => $s->{spool}{max_size},
        (map { (qq(hype_database_connections{state="$_"})
                => $s->{database}{connections}{$_}) }
             keys %{ $s->{database}{connections} }),
        hype_database_errors_total => $s->{database}{errors},
        hype_derive_errors_total => $s->{derive}{errors},
        hype_database_up => $s->{database}{state} eq 'down' ? 0 : 1,
        hype_clock_skew_seconds => $s->{database}{clock_skew},
        hype_start_time_seconds => $s->{started},
        qq(hype_info{version="$s->{version}",nginx="$s->{nginx}"}) => 1,
    );

    for my $pair (['hype_batch_records', 'size'],
                  ['hype_commit_duration_seconds', 'commit']) {
        my ($metric, $h) = ($pair->[0], $s->{batches}{ $pair->[1] });

        $expected{qq(${metric}_bucket{le="$h->{le}[$_]"})} = $h->{count}[$_]
            for 0 .. $#{ $h->{le} };
        $expected{qq(${metric}_bucket{le="+Inf"})} = $s->{batches}{count};
        $expected{"${metric}_count"} = $s->{batches}{count};
        $expected{"${metric}_sum"} = $h->{sum};
    }

    # what goes on by itself

    for my $name (qw(calls_total age_seconds)) {
        my ($key) = $name =~ /^([a-z]+)/;
        my $value = delete $m->{"hype_derive_$name"};

        Test::More::ok($value >= $s->{derive}{$key} && $value <= $s->{derive}{$key} + 2
           || $key eq 'age' && $value == 0, "hype_derive_$name");
    }

    # while it is down, connections are tried all the time

    if ($s->{database}{state} eq 'down') {
        for my $name (grep { /^hype_database_(?:conn|err)/ } keys %expected) {
            Test::More::ok(delete $m->{$name} >= 0, "$name is there");
            delete $expected{$name};
        }
    }

    Test::More::is_deeply($m, { map { $_ => $expected{$_} . '' } keys %expected }, $name);
}


1;
