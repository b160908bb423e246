# The models of docs/model: the protocol loses nothing, makes nothing twice, and
# derives everything once, whatever happens in whichever order; and each mistake
# that the models can make is found.

use lib 't/lib';
use Hype::Test;

use File::Temp ();

# Of a hit's way to PostgreSQL, the faults in one run: all orders of one take
# some seconds, of two a minute.

my $faults = $ENV{HYPE_MODEL_FAULTS} // 1;

my %mistakes = (
    store => {
        NO_REPLAY         => 'lost',
        UNKNOWN_IS_DONE   => 'lost',
        REMOVED_EARLY     => 'lost',
        ANSWERED_EARLY    => 'lost',
        NO_LOCK           => 'lost',
        NO_NAME_CHECK     => 'lost',
        NO_CHECK          => 'twice',
        NO_WAIT           => 'twice',
        'STANDBY NO_MESSAGE FAULTS=2'        => 'lost',
        'STANDBY CANCELLED_IS_DONE FAULTS=2' => 'lost',
    },
    derive => {
        'NO_HORIZON NO_VIEWS'       => 'missed',
        'NO_TARGET NO_VIEWS'        => 'derived_twice',
        'TWO_TRANSACTIONS NO_VIEWS' => 'derived_twice',
        'NO_DERIVE_LOCK NO_VIEWS'   => 'derived_twice',
        NO_FRESH_TARGET             => 'missed',
        NO_LOOK                     => 'no_user',
        NO_POSITION                 => 'view_wrong',
    },
);

plan skip_all => 'no spin' if !grep { -x "$_/spin" } split /:/, $ENV{PATH};


# What the verifier says of a model

sub verdict
{
    my ($name, $optimize, @switches) = @_;

    my $source = source_dir() . "/docs/model/$name.pml";
    my $dir = File::Temp->newdir;

    my ($status, $output) = run(command => [
        'sh', '-c', 'cd "$1" && shift && model=$1 && optimize=$2 && shift 2 '
            . '&& spin -a "$@" "$model" '
            . '&& cc -w $optimize -DSAFETY -DCOLLAPSE -DMEMLIM=1000 -o pan '
            . 'pan.c && ./pan -n -m10000 -w20 2>&1',
        'sh', $dir, $source, $optimize, map { "-D$_" } @switches]);

    return $output;
}


# How it ended

sub outcome
{
    my ($output) = @_;

    return $1 if $output =~ /assertion violated +!\(?(\w+)\)?/;

    return 'right' if $output =~ /^Full statespace search for:/m
                      && $output =~ /errors: 0$/m
                      && $output !~ /Search not completed|error: max/;

    return $output;
}


for (['store', "FAULTS=$faults"], ['store', "FAULTS=$faults", 'STANDBY'],
     ['store', 'FAULTS=1', 'SENT_AS_IT_WAS'], ['derive', 'FAULTS=1'])
{
    my ($name, @switches) = @$_;
    my $output = verdict($name, '-O', @switches);
    my ($states) = $output =~ /(\d+) states, stored/;

    is(outcome($output), 'right', "$name: @switches");
    note("$states states") if $states;
    cmp_ok($states // 0, '>', 10_000, '- many states');
}

for my $name (sort keys %mistakes) {
    for my $mistake (sort keys %{ $mistakes{$name} }) {
        is(outcome(verdict($name, '-O0', split / /, $mistake)),
           $mistakes{$name}{$mistake}, "$name: $mistake");
    }
}

done_testing();
