# What Angie has beyond nginx: a location with several names.

use lib 't/lib';
use Hype::Test;
use Hype::Conf;
use Hype::Nginx;

plan(skip_all => 'this is not Angie') if !Hype::Nginx->is_angie;

# There is no prefix, behind which the identifier would be

wrong('hype_ref without an identifier',
      '"hype_ref" directive needs an identifier, such as "$1", in a location '
      . 'that is not a prefix',
      server => 'location /ref/ /go/ { hype_ref; }',
      http => 'hype_database "host=/nonexistent";');

right('hype_ref_param leads to any of the names',
      http => 'hype_database "host=/nonexistent";',
      server => 'location /go/ /to/ { hype_ref $arg_code; }
                 location / { hype_ref_param ref to=/to/; }');

# A visit comes by each name, and a target that leads back to one, which would be
# another visit, is not followed

my $pg = database();
my $nginx = nginx(pg => $pg, server => <<'END');
absolute_redirect off;
location ~^/go/(?<code>\w+)$ ~^/to/(?<code>\w+)$ { hype_ref $code; }
location /old/ =/invite { hype_ref $arg_code; }
location ^~/a/ ^~/b/ { hype_ref_param ref; return 200 page; }
location / { return 200 page; }
END

my %target = (one => '/page', back => '/to/one', prefix => '/old/?code=one',
              exact => '/invite?code=one', other => '/invitation',
              param => '/b/to/one?ref=two');
$pg->link($_, destination => $target{$_}) for keys %target;

my %end = (one => '/page', other => '/invitation', param => '/b/to/one');

for my $code (sort keys %target) {
    for my $path ("/go/$code", "/to/$code", "/old/x?code=$code",
                  "/invite?code=$code")
    {
        my $r = $nginx->get($path);
        is($r->header('Location'), $end{$code} // '/', "$path is a visit");
    }
}

is($pg->hits, 4 * keys %target, 'and each is one hit');

done_testing();
