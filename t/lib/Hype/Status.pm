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

our @EXPORT = qw(json metrics parse_metrics status status_server);


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


1;
