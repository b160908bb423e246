# Mistakes in directives of http, server and location: nginx -t names the
# directive, the value and what is wrong with it.

use lib 't/lib';
use Hype::Test;
use Hype::Conf;

my $database = 'hype_database "host=/nonexistent";';


# Directives of http, server and location: a value, and what is said of it

sub invalid
{
    my ($directive, $value, $reason) = @_;

    return ["$directive $value;"
            => qq{invalid value "$value" in "$directive": $reason}];
}

my $name_size = '"name:size" is expected';
my $host = 'a host name is expected';
my $code = 'a code from 400 to 599 is expected';
my $uri = 'a path, a URL, a variable or "=code" is expected';
my $argument = 'it can\'t be an argument\'s name';
my $samesite = '"strict", "lax", "none" or "off" is expected';

my @cases = (
    # hype_zone
    (map { invalid('hype_zone', $_, $name_size) }
         'hype', ':8m', ':'),
    (map { invalid('hype_zone', $_, 'a size such as "8m" is expected after the name') }
         'hype:', 'hype:x', 'hype:-8m', 'hype:8x', 'hype:8mb', 'hype:8m:8m'),
    (map { invalid('hype_zone', "hype:$_", 'the zone is too small') }
         '0', '1', '1k', '31k'),
    (map { ["hype_zone hype:8m $_;"
                => qq{invalid value "$_" in "hype_zone": a time is expected}] }
         'valid=', 'valid=x', 'valid=-1', 'unknown=', 'unknown=1x'),
    ['hype_zone hype:8m x=1;'
        => 'invalid value "x=1" in "hype_zone": "valid=" or "unknown=" is expected'],
    ['hype_zone hype:8m valid=1m valid=2m;'
        => 'invalid value "valid=2m" in "hype_zone": duplicate parameter'],
    ['hype_zone hype:8m; hype_zone other:8m;' => '"hype_zone" directive is duplicate'],

    # hype_spool
    (map { ["hype_spool off $_;"
                => qq{invalid value "$_" in "hype_spool": "off" has no parameters}] }
         'max_size=1g', 'x'),
    (map { ["hype_spool spool $_;"
                => qq{invalid value "$_" in "hype_spool": a size of 64k or more is expected}] }
         'max_size=', 'max_size=0', 'max_size=x', 'max_size=-1', 'max_size=1t',
         'max_size=1', 'max_size=65535', 'max_size=63k'),
    (map { ["hype_spool spool $_;"
                => qq{invalid value "$_" in "hype_spool": "off", "always" or a }
                 . 'time above 0 is expected'] }
         'sync=', 'sync=0', 'sync=x', 'sync=on', 'sync=-1s'),
    ['hype_spool spool x=1;' => 'invalid value "x=1" in "hype_spool": '
        . '"max_size=" or "sync=" is expected'],
    ['hype_spool spool sync=off sync=off;'
        => 'invalid value "sync=off" in "hype_spool": duplicate parameter'],
    ['hype_spool "";' => 'invalid value "" in "hype_spool": a path is expected'],

    # those with few values
    (map { invalid('hype_durability', $_, '"commit" or "spool" is expected') }
         'x', 'on', 'off', 'Commit'),
    (map { invalid('hype_ip', $_, '"full", "masked" or "off" is expected') }
         'x', 'on', 'Full'),
    (map { invalid('hype_identifier', $_, '"strict" or "loose" is expected') }
         'x', 'on', 'Loose'),
    (map { ["hype_forward_args $_;"
                => qq{invalid value "$_" in "hype_forward_args" directive, it }
                 . 'must be "on" or "off"'] }
         'x', 'yes', '1'),

    # hype_next_param
    (map { [qq{hype_next_param "$_";}
                => qq{invalid value "$_" in "hype_next_param": $argument}] }
         '', 'a b', 'a=b', 'a&b', '$arg_x', 'a/b', 'a[]'),

    # hype_next_hosts
    (map { [qq{hype_next_hosts good.example "$_";}
                => qq{invalid value "$_" in "hype_next_hosts": $host}] }
         'http://x.example', 'x.example/', 'x/y', 'a b', '*',
         '@', 'a@x.example', 'x.example:', 'x.example:x', 'x.example:65536',
         ':80', '.', '..x.example', 'x..example', 'x.example.', 'a,b', 'a;b',
         '::1', '[::1', "\xc3\xa4.example", '//x.example', 'x?y', 'x#y',
         '%78.example'),

    ['hype_next_hosts *.x.example;' => 'invalid value "*.x.example" in '
        . qq{"hype_next_hosts": $host; ".example.com" stands for a domain }
        . 'and its subdomains'],

    # hype_fallback
    (map { invalid('hype_fallback', $_, $code) }
         '=', '=x', '=404x', '=-1', '=200', '=301', '=302', '=399', '=499',
         '=600', '=4040'),
    (map { [qq{hype_fallback "$_";} => qq{invalid value "$_" in "hype_fallback": $uri}] }
         '', 'x', 'x/y', '404', '?x', '#x', 'ftp://x', 'http:/x', '@named',
         "/\x01", "/\x7f"),

    # hype_destination
    (map { [qq{hype_destination "$_";}
                => qq{invalid value "$_" in "hype_destination": a path, a URL, a }
                 . 'variable or "off" is expected'] }
         'x', 'x/y', '?x', '#x', 'http:/x', '@named', 'on', "/\x01", "/\x7f"),

    # hype_hit_param
    (map { [qq{hype_hit_param "$_";}
                => qq{invalid value "$_" in "hype_hit_param": $argument}] }
         '', 'a b', 'a=b', '$arg_x', 'a[]', 'a%b', 'a#', 'x' x 65),

    # hype_keep_args
    (map { [qq{hype_keep_args good "$_";}
                => qq{invalid value "$_" in "hype_keep_args": $argument}] }
         '', 'a b', 'a=b', '$arg_x', 'a[]', 'a&b'),
    ['hype_keep_args a b a;'
        => 'invalid value "a" in "hype_keep_args": duplicate parameter'],
    ['hype_keep_args off a;'
        => 'invalid value "a" in "hype_keep_args": "off" has no parameters'],

    # hype_cookie
    (map { [qq{hype_cookie "$_";}
                => qq{invalid value "$_" in "hype_cookie": it can't be a cookie's name}] }
         '', 'a b', 'a;b', 'a,b', 'a=b', '$host', "\xc3\xa4", 'a/b'),
    (map { [qq{hype_cookie v "$_";}
                => qq{invalid value "$_" in "hype_cookie": a domain is expected}] }
         'domain=', 'domain=x;y', 'domain=$host;x'),
    (map { [qq{hype_cookie v "$_";}
                => qq{invalid value "$_" in "hype_cookie": a path is expected}] }
         'path=', 'path=x', 'path=/;x', 'path=$uri;'),
    (map { ["hype_cookie v $_;"
                => qq{invalid value "$_" in "hype_cookie": a time above 0 is expected}] }
         'max_age=', 'max_age=0', 'max_age=x', 'max_age=-1', 'max_age=1ms',
         'max_age=off'),
    (map { ["hype_cookie v $_;" => qq{invalid value "$_" in "hype_cookie": $samesite}] }
         'samesite=', 'samesite=x', 'samesite=Lax', 'samesite=on'),
    (map { ["hype_cookie v $_;"
                => qq{invalid value "$_" in "hype_cookie": unknown parameter}] }
         'x', 'secure=1', 'Secure', 'max-age=1d', 'expires=1d', 'HttpOnly'),
    (map { [qq{hype_cookie v "$_";}
                => qq{invalid value "$_" in "hype_cookie": another cookie's name is expected}] }
         'legacy=', 'legacy=v', 'legacy=a b', 'legacy=a;b', 'legacy=$host'),
    (map { my ($first, $second) = @$_;
           ["hype_cookie v $first $second;"
                => qq{invalid value "$second" in "hype_cookie": duplicate parameter}] }
         ['secure', 'nosecure'], ['nosecure', 'secure'], ['secure', 'secure'],
         ['httponly', 'nohttponly'], ['samesite=lax', 'samesite=off'],
         ['domain=a', 'domain=b'], ['path=/', 'path=/x'],
         ['max_age=1', 'max_age=2'], ['legacy=a', 'legacy=b']),
    ['hype_cookie v samesite=none nosecure;'
        => '"hype_cookie" directive with "samesite=none" can\'t be "nosecure"'],
    ['hype_cookie v nosecure samesite=none;'
        => '"hype_cookie" directive with "samesite=none" can\'t be "nosecure"'],

    # hype_ref_param
    (map { [qq{hype_ref_param ref "$_";}
                => qq{invalid value "$_" in "hype_ref_param": $argument}] }
         '', 'a b', 'a=b', '$arg_x', 'a[]', 'Mode=inline'),
    (map { ["hype_ref_param ref mode=$_;" => qq{invalid value "mode=$_" in }
                . '"hype_ref_param": "redirect", "direct" or "inline" is expected'] }
         '', 'x', 'Direct', 'on'),
    (map { [qq{hype_ref_param ref "to=$_";} => qq{invalid value "to=$_" in }
                . '"hype_ref_param": a path that begins and ends with "/" is '
                . 'expected'] }
         '', 'ref', '/ref', 'ref/', '//ref/', '$uri', '/$uri',
         '/x?y/', '/x#y/', '/x y/', "/\x01/",
         'http://localhost/ref/'),
    (map { my ($first, $second) = @$_;
           ["hype_ref_param ref $first $second;" => qq{invalid value "$second" }
                . 'in "hype_ref_param": duplicate parameter'] }
         ['mode=direct', 'mode=inline'], ['to=/a/', 'to=/a/']),
    ['hype_ref_param ref mode=inline to=/x/;' => '"hype_ref_param" directive '
        . 'with "mode=inline" does not redirect, and can\'t have "to="'],
    (map { ["$_;" => '"hype_ref_param" and "hype_next_param" have the same name, '
                . '"next"'] }
         'hype_ref_param next', 'hype_next_param next; hype_ref_param ref next'),
    (map { [$_ => '"hype_hit_param" and "hype_next_param" have the same name, '
                . '"next"'] }
         'hype_hit_param next;',
         'hype_next_param goto; hype_hit_param x; '
         . 'server { location /ref/ { hype_next_param next; hype_hit_param next; } }'),
    (map { [$_ => '"hype_hit_param" and "hype_ref_param" have the same name, '
                . '"ref"'] }
         'hype_ref_param via ref; hype_hit_param ref;',
         'hype_hit_param ref; server { location / { hype_ref_param ref mode=direct; } }'),
    ['hype_ref_param off ref;'
        => 'invalid value "ref" in "hype_ref_param": "off" has no parameters'],
    ['hype_ref_param mode=direct;'
        => '"hype_ref_param" directive needs the name of an argument'],
    (map { ["hype_cookie $_;" => '"hype_cookie" directive with a name such as '
                . '"__Secure-..." or "__Host-..." needs "secure"'] }
         '__Secure-v', '__Host-v', '__host-v nosecure'),
    (map { ["hype_cookie __Host-v secure $_;"
                => '"hype_cookie" directive with a name such as "__Host-..." '
                 . 'can\'t have a domain, or another path than "/"'] }
         'domain=x.example', 'path=/x', 'path=$uri'),

    # how many values there are
    (map { ["$_;" => qq{invalid number of arguments in "$_" directive}] }
         qw(hype_zone hype_spool hype_durability hype_next_param
            hype_next_hosts hype_fallback hype_forward_args hype_cookie
            hype_user hype_no_hit hype_no_cookie hype_bot hype_ip
            hype_ref_param hype_keep_args hype_hit_param hype_destination
            hype_identifier hype_code)),
    (map { ["$_ a b;" => qq{invalid number of arguments in "$_" directive}] }
         qw(hype_durability hype_next_param hype_fallback hype_forward_args
            hype_user hype_bot hype_ip hype_hit_param hype_destination
            hype_identifier hype_code)),

    # twice
    (map { my ($directive) = split ' ';
           ["$_; $_;" => qq{"$directive" directive is duplicate}] }
         'hype_durability commit', 'hype_next_param x', 'hype_next_hosts x',
         'hype_fallback /x', 'hype_fallback =404', 'hype_forward_args on',
         'hype_cookie x', 'hype_user x', 'hype_bot x', 'hype_ip off',
         'hype_spool off', 'hype_spool spool', 'hype_ref_param x',
         'hype_ref_param off', 'hype_keep_args a', 'hype_keep_args off',
         'hype_hit_param a', 'hype_hit_param off', 'hype_destination /a',
         'hype_destination off', 'hype_identifier loose', 'hype_code x',
         'hype_code off', 'hype_code ""'),
    ['hype_fallback /x; hype_fallback =404;'
        => '"hype_fallback" directive is duplicate'],

    # variables
    (map { ["$_ \$no_such_variable;" => 'unknown "no_such_variable" variable'] }
         'hype_user', 'hype_no_hit', 'hype_no_cookie', 'hype_bot', 'hype_code',
         'hype_fallback', 'hype_next_hosts', 'hype_destination'),
    ['hype_cookie v domain=$no_such_variable;'
        => 'unknown "no_such_variable" variable'],
    ['hype_ref_param ref to=/$no_such_variable/;'
        => 'unknown "no_such_variable" variable'],

    # elsewhere
    ['hype_ref;' => '"hype_ref" directive is not allowed here'],
);

for my $case (@cases) {
    wrong($case->[0], $case->[1], http => "$database $case->[0]");
}

like(wrong('an unknown variable', 'unknown "x" variable',
           http => "$database\nhype_user \$x;"), qr/nginx\.conf:\d+$/, '... and where');


# hype_spool: what is there must be a directory, or have a place

my $dir = temp_dir('spool');
write_file("$dir/file", 'precious');
chmod 0640, "$dir/file";
my @before = (stat "$dir/file")[2, 4, 5];

for my $case (
    ["$dir/file" => qq{"hype_spool" path "$dir/file" is not a directory}],
    ["$dir/file/" => qq{"hype_spool" can't use "$dir/file" (20: Not a directory)}],
    ["$dir/file/x" => qq{"hype_spool" can't use "$dir/file/x" (20: Not a directory)}],
    ["$dir/no/x" => qq{"hype_spool" can't create "$dir/no/x" in "$dir/no" }
                    . '(2: No such file or directory)'],
) {
    my $message = wrong("hype_spool $case->[0]", $case->[1],
                        http => "$database\nhype_spool $case->[0];");
    like($message, qr/nginx\.conf:\d+$/, '... and where');
}

is_deeply([(stat "$dir/file")[2, 4, 5]], \@before, 'the file is as it was');
is(read_file("$dir/file"), 'precious', 'to the byte');


wrong('a zone that is another module\'s',
      'the shared memory zone "hype" is already declared for a different use',
      http => "$database limit_req_zone \$uri zone=hype:1m rate=1r/s;");

done_testing();
