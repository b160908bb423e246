# The manifests of examples/kubernetes: Kubernetes' own client knows all that they
# have, they fit together, and pods may do no more than they need.  container.t runs
# the pods.

use lib 't/lib';
use Hype::Test;
use Hype::Docs;
use Hype::Kubernetes;

my $dir = source_dir() . '/examples/kubernetes';
my $readme = pages()->{'examples/kubernetes/README.md'};

knows_what_is_wrong();

my @manifests = manifests();
my %pod = map { ("$_->{kind} $_->{metadata}{name}", $_->{spec}{template}) }
          grep { $_->{spec}{template} } @manifests;

is_deeply([sort keys %pod], ['Job hype-schema', 'StatefulSet hype'], 'pods');

for my $name (sort keys %pod) {
    is_restricted($name, $pod{$name}{spec});
    has_what_it_names($name, $pod{$name}{spec});
}

selects($_) for grep { $_->{spec}{selector} } @manifests;
has_its_service(manifest('StatefulSet', 'hype'));
upgrades_all();

done_testing();


sub knows_what_is_wrong
{
    my %wrong = (
        'an unknown field' => [qw(podManagementPolicy podManagmentPolicy)],
        'an unknown kind' => ['kind: StatefulSet', 'kind: StatefullSet'],
        'another group' => ['apps/v1', 'batch/v1'],
        'text for a number' => ['replicas: 2', 'replicas: "2"'],
        'a number for text' => ['value: /run/hype/hype.pgpass', 'value: 1'],
        'a missing field' => ["  serviceName: hype-pods\n", ''],
    );
    my $file = temp_dir() . '/wrong.yaml';

    for my $what (sort keys %wrong) {
        my ($from, $to) = @{ $wrong{$what} };
        my $text = read_file("$dir/nginx.yaml");

        $text =~ s/\Q$from\E/$to/ or die "no $from";
        write_file($file, $text);
        my ($status, $output) = check_manifests($file);
        is($status, 1, "$what is refused");
        like($output, qr/^\Q$file\E: .*\n\z/, '- and named');
    }
}


# The Pod Security Standard "restricted", and no token for Kubernetes

sub is_restricted
{
    my ($name, $spec) = @_;

    my $of_all = $spec->{securityContext};

    ok($of_all->{runAsNonRoot} && $of_all->{runAsUser} > 0, "$name: no root");
    is($of_all->{seccompProfile}{type}, 'RuntimeDefault', '- system calls');
    ok(!$spec->{automountServiceAccountToken}, '- no token');

    for my $container (containers($spec)) {
        my $context = $container->{securityContext};

        ok(!$context->{allowPrivilegeEscalation}, "$container->{name}: no more rights");
        is_deeply($context->{capabilities}, { drop => ['ALL'] }, '- no capabilities');
        ok($context->{readOnlyRootFilesystem}, '- its root is read-only');
    }
}


# Volumes, ConfigMaps, Secrets as README.md makes them, ports of probes

sub has_what_it_names
{
    my ($name, $spec) = @_;

    my %volume = map { $_->{name} => $_ } @{ $spec->{volumes} },
        $name =~ /^StatefulSet/
            ? map { $_->{metadata} }
              @{ manifest(split ' ', $name)->{spec}{volumeClaimTemplates} } : ();
    my %used;

    for my $container (containers($spec)) {
        my %port = map { $_->{name} => 1 } @{ $container->{ports} // [] };

        $used{ $_->{name} } = 1 for @{ $container->{volumeMounts} };
        has_secret($_->{name}, $_->{key})
            for map { $_->{valueFrom}{secretKeyRef} // () } @{ $container->{env} };
        ok($port{ $_->{httpGet}{port} }, "$name: the port of a probe")
            for grep { $_ } @$container{qw(readinessProbe livenessProbe)};
    }

    is_deeply([sort keys %used], [sort keys %volume], "$name: volumes");

    for my $volume (values %volume) {
        has_secret($volume->{secret}{secretName}, 'password') if $volume->{secret};
        ok(manifest('ConfigMap', $volume->{configMap}{name}), "$name: ConfigMap")
            if $volume->{configMap};
    }
}


sub has_secret
{
    my ($name, $key) = @_;

    like($readme, qr/^kubectl create secret generic $name --from-\w+=\Q$key\E=/m,
         "the secret $name has $key");
}


sub selects
{
    my ($manifest) = @_;

    my $selector = $manifest->{spec}{selector};
    my $labels = $selector->{matchLabels} // $selector;
    my $name = "$manifest->{kind} $manifest->{metadata}{name}";
    my $pod = $pod{'StatefulSet hype'};

    is_deeply($labels, $pod->{metadata}{labels}, "$name: its pods");
    isnt($labels->{app}, $pod{'Job hype-schema'}{metadata}{labels}{app},
         '- and no others');

    my %port = map { $_->{name} => 1 } @{ $pod->{spec}{containers}[0]{ports} };
    ok($port{ $_->{targetPort} }, "$name: port $_->{port}")
        for grep { $_->{targetPort} } @{ $manifest->{spec}{ports} // [] };
}


sub has_its_service
{
    my ($set) = @_;

    is(manifest('Service', $set->{spec}{serviceName})->{spec}{clusterIP}, 'None',
       'the Service of the StatefulSet gives pods their names');

    my ($term) = @{ $set->{spec}{template}{spec}{affinity}{podAntiAffinity}
                        {preferredDuringSchedulingIgnoredDuringExecution} };
    is_deeply($term->{podAffinityTerm}{labelSelector}, $set->{spec}{selector},
              'pods stay away from each other');
}


# One image; README.md's command changes it everywhere

sub upgrades_all
{
    my ($from, $to) = $readme =~ m{^sed -i 's,(\S+),(\S+),' schema.yaml nginx.yaml$}m
        or die 'README.md has no sed';
    my %image = map { $_->{image} => 1 } map { containers($_->{spec}) } values %pod;

    is_deeply([sort keys %image], ['docker.io/library/postgres:17', $from],
              'the images');
    isnt($to, $from, '- that are changed');
    like($readme, qr/^podman push \Q$from\E$/m, '- and pushed');
}


sub containers
{
    my ($spec) = @_;

    return (@{ $spec->{initContainers} // [] }, @{ $spec->{containers} });
}
