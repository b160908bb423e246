# Mistakes in the configuration: nginx -t names the directive, the value and
# what is wrong with it.

use lib 't/lib';
use Hype::Test;

my $nginx = nginx(start => 0);
my $database = 'hype_database "host=/nonexistent";';

sub wrong
{
    my ($text, $error, %config) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my ($status, $output) = $nginx->test_config(server => '', %config);
    my ($emerg) = $output =~ /\[emerg\] (?:\d+#\d+: )?(.*)/;
    my $message = $emerg // ($status ? $output : 'no error');

    isnt($status, 0, $text);
    is($message =~ s/ in \S+nginx\.conf:\d+$//r, $error, '... says why');
    return $message;
}


# hype_database

for my $case (
    ['hype_database;' => 'invalid number of arguments in "hype_database" directive'],
    ['hype_database "host=x"; hype_database "host=x";'
        => '"hype_database" directive is duplicate'],
    ['hype_database x;'
        => 'invalid conninfo in "hype_database": missing "=" after "x" in '
         . 'connection info string'],
    ['hype_database "hots=x";'
        => 'invalid conninfo in "hype_database": invalid connection option "hots"'],
    ['hype_database "host=\'x";'
        => 'invalid conninfo in "hype_database": unterminated quoted string in '
         . 'connection info string'],
    (map {
        [qq{hype_database "port=$_";}
            => qq{invalid value "$_" of "port" in the conninfo of "hype_database"}]
    } 'x', '0', '65536', '-1', '5432x', '5432,x'),
    (map {
        [qq{hype_database "$_";}
            => 'invalid value of "port" in the conninfo of "hype_database"']
    } 'postgresql://host:x/db', 'postgresql://host:65536/db',
      'postgresql://user:secret/db'),
    ['hype_database "sslmode=on";'
        => 'invalid value "on" of "sslmode" in the conninfo of "hype_database"'],
    ['hype_database "target_session_attrs=rw";'
        => 'invalid value "rw" of "target_session_attrs" in the conninfo of '
         . '"hype_database"'],
    (map {
        my ($name, $value) = @$_;
        [qq{hype_database "$name=$value";}
            => qq{invalid value "$value" of "$name" in the conninfo of "hype_database"}]
    } ['channel_binding', 'on'], ['gssencmode', 'on'],
      ['hostaddr', 'localhost'], ['hostaddr', '192.0.2.1,x'],
      ['sslmode', ''], ['target_session_attrs', ''], ['keepalives', ''],
      ['connect_timeout', '2s'], ['keepalives', 'on'], ['keepalives_idle', '1m'],
      ['keepalives_interval', 'x'], ['keepalives_count', '--1'],
      ['tcp_user_timeout', '1s']),
    ['hype_database "host=a hostaddr=192.0.2.1,192.0.2.2";'
        => '"hype_database" has 2 addresses for 1 hosts'],
    ['hype_database "host=a,b hostaddr=192.0.2.1,";'
        => '"hype_database" has no address for host "b"'],
    (map { [qq{hype_database "$_ port=1,2,3";}
                => '"hype_database" has 3 ports for 2 hosts'] }
         'host=a,b', 'hostaddr=192.0.2.1,192.0.2.2', 'host=/a,/b',
         'host=a,b hostaddr=192.0.2.1,192.0.2.2'),
    ['hype_database "port=1,2";' => '"hype_database" has 2 ports for 1 hosts'],

    (map {
        [qq{hype_database "host=x" connections=$_;}
            => qq{invalid value "connections=$_" in "hype_database": a number }
             . 'from 1 to 100 is expected']
    } '', '0', '101', '-1', 'x', '2x', '1.5', '99999999999999999999'),

    (map {
        my $name = $_;
        map {
            [qq{hype_database "host=x" $name=$_;}
                => qq{invalid value "$name=$_" in "hype_database": a time above 0 }
                 . 'is expected']
        } '', '0', '0s', '-1s', 'x', '1x'
    } 'timeout', 'connect_timeout'),

    (map {
        [qq{hype_database "host=x" $_;}
            => 'invalid parameter 2 of "hype_database": "connections=", '
             . '"connect_timeout=" or "timeout=" is expected, and the conninfo '
             . 'in quotes before them']
    } 'x', 'x=1', 'TIMEOUT=1s', 'port=5432', 'timeout'),

    ['hype_database "host=x" timeout=1s timeout=2s;'
        => 'invalid value "timeout=2s" in "hype_database": duplicate parameter'],
) {
    wrong($case->[0], $case->[1], http => $case->[0]);
}

wrong('hype_database with a service file',
      '"hype_database" does not support "service" in a conninfo, as the names '
      . 'in a service file can\'t be resolved without blocking: name the host',
      http => 'hype_database "service=x";');

wrong('hype_database in a server',
      '"hype_database" directive is not allowed here',
      server => 'hype_database "host=x";');


# What needs it

for my $case (
    ['hype_ref' => 'location /ref/ { hype_ref; }'],
    ['hype_ref' => 'location /ref { location /ref/ { hype_ref $uri; } }'],
    ['hype_ref_param' => 'hype_ref_param ref;'],
    ['hype_ref_param' => 'location / { hype_ref_param ref mode=inline; }'],
    ['hype_confirm' => 'location / { hype_confirm signup; }'],
    ['hype_code' => 'location / { hype_code $arg_code; }'],
    ['hype_status' => 'location / { hype_status html; }'],
    ['hype_links' => 'location / { hype_user $uri; hype_links; }'],
) {
    my $message = wrong(
        "$case->[1] without hype_database",
        "\"$case->[0]\" needs \"hype_database\" in the \"http\" block",
        server => $case->[1]);
    like($message, qr/nginx\.conf:\d+$/, '... and where');
}


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
        . qq{"hype_next_hosts": $host; it is ".example.com" that stands for all }
        . 'hosts below it'],

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
        . 'with "mode=inline" redirects to nothing, and can\'t have "to="'],
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
    ["$dir/file" => qq{"hype_spool" names "$dir/file", which is no directory}],
    ["$dir/file/" => qq{"hype_spool" can't have "$dir/file" (20: Not a directory)}],
    ["$dir/file/x" => qq{"hype_spool" can't have "$dir/file/x" (20: Not a directory)}],
    ["$dir/no/x" => qq{"hype_spool" can't make "$dir/no/x" in "$dir/no" }
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


# hype_ref

my $not_prefix = '"hype_ref" directive needs an identifier, such as "$1", in a '
                 . 'location that is not a prefix';

for my $case (
    ['location ~ ^/ref/ { hype_ref; }' => $not_prefix],
    ['location ~* ^/ref/(.*) { hype_ref; }' => $not_prefix],
    ['location = /ref { hype_ref; }' => $not_prefix],
    ['location @ref { hype_ref; }' => $not_prefix],
    ['location / { location = /ref { hype_ref; } }' => $not_prefix],
    ['location /ref/ { hype_ref; hype_ref; }' => '"hype_ref" directive is duplicate'],
    ['location /ref/ { hype_ref; hype_ref $arg_x; }'
        => '"hype_ref" directive is duplicate'],
    ['location /ref/ { hype_ref; return 302 /; }'
        => '"hype_ref" in location "/ref/" never comes to its turn: "return" '
         . 'answers before it'],
    ['location /ref/ { return 204; hype_ref; }'
        => '"hype_ref" in location "/ref/" never comes to its turn: "return" '
         . 'answers before it'],
    ['location /ref/ { hype_ref a b; }'
        => 'invalid number of arguments in "hype_ref" directive'],
    ['location /ref/ { hype_ref ""; }'
        => 'invalid value "" in "hype_ref": an identifier is expected'],
    ['location /ref/ { hype_ref $no_such_variable; }'
        => 'unknown "no_such_variable" variable'],
    ['hype_ref;' => '"hype_ref" directive is not allowed here'],
    ['if ($arg_x) { hype_ref x; }' => '"hype_ref" directive is not allowed here'],
    ['location /ref/ { if ($arg_x) { hype_ref; } }'
        => '"hype_ref" directive is not allowed here'],
    ['location /ref/ { limit_except GET { hype_ref; } }'
        => '"hype_ref" directive is not allowed here'],
    ['location /ref/ { if ($arg_x) { hype_user x; } }'
        => '"hype_user" directive is not allowed here'],
    ['hype_zone hype:8m;' => '"hype_zone" directive is not allowed here'],
    ['hype_spool off;' => '"hype_spool" directive is not allowed here'],
) {
    wrong($case->[0], $case->[1], http => $database, server => $case->[0]);
}


# hype_confirm

my $confirm = '"value=" or "if=" is expected';
my $twice = 'duplicate parameter';

for my $case (
    ['hype_confirm;' => 'invalid number of arguments in "hype_confirm" directive'],
    ['hype_confirm a if=b value=c value=d;'
        => 'invalid number of arguments in "hype_confirm" directive'],
    ['hype_confirm "";'
        => '"hype_confirm" directive needs the name of an event'],
    (map { ["hype_confirm a $_;"
                => qq{invalid value "$_" in "hype_confirm": $confirm}] }
         'b', 'If=1', 'event=b'),
    ['hype_confirm a if=1 if=2;'
        => qq{invalid value "if=2" in "hype_confirm": $twice}],
    ['hype_confirm a value=1 value=2;'
        => qq{invalid value "value=2" in "hype_confirm": $twice}],
    (map { ["hype_confirm $_;" => 'unknown "no_such_variable" variable'] }
         '$no_such_variable', 'a if=$no_such_variable',
         'a value=$no_such_variable'),
) {
    wrong($case->[0], $case->[1], http => $database,
          server => "location / { $case->[0] }");
}

wrong('hype_confirm in a server',
      '"hype_confirm" directive is not allowed here', http => $database,
      server => 'hype_confirm signup;');


# The same error in a server and in a location

for my $text ('hype_ip x;', 'location / { hype_ip x; }') {
    wrong($text, 'invalid value "x" in "hype_ip": "full", "masked" or "off" is '
                 . 'expected', http => $database, server => $text);
}

# hype_status

my $after = '"reports=" after "html" is expected';

for my $case (
    (map { ["hype_status $_;" => qq{invalid value "$_" in "hype_status": "json", }
                . '"prometheus" or "html" is expected'] }
         'x', 'JSON', 'on', 'off', 'reports=1s'),
    ['hype_status json reports=1s;'
        => qq{invalid value "reports=1s" in "hype_status": $after}],
    ['hype_status html x;' => qq{invalid value "x" in "hype_status": $after}],
    (map { ["hype_status html reports=$_;" => qq{invalid value "reports=$_" in }
                . '"hype_status": a time above 0 is expected'] }
         '', '0', 'x', '-1s', 'on'),
    ['hype_status html reports=1s x;'
        => 'invalid number of arguments in "hype_status" directive'],
    ['hype_status; hype_status;' => '"hype_status" directive is duplicate'],
    ['hype_ref x; hype_status;'
        => '"hype_status" and "hype_ref" are in one location, "/x/"'],
) {
    wrong($case->[0], $case->[1], http => $database,
          server => "location /x/ { $case->[0] }");
}

wrong('hype_status in a server', '"hype_status" directive is not allowed here',
      http => $database, server => 'hype_status;');

# hype_links

for my $case (
    (map { my $last = (split)[-1];
           ["hype_links $_;" => qq{invalid value "$last" in "hype_links": "json", }
                . '"html", "create=" or "to=" is expected'] }
         'x', 'JSON', 'on', 'off', 'prometheus', 'create', 'html=1',
         'json html=', 'html create=on x'),
    (map { ["hype_links create=$_;" => qq{invalid value "create=$_" in }
                . '"hype_links": "on" or "off" is expected'] } '', '1', 'ON'),
    (map { ["hype_links to=$_;" => qq{invalid value "to=$_" in "hype_links": a }
                . 'path that begins and ends with "/" is expected'] }
         '', 'ref/', '/ref', 'http://x.example/ref/', '//x.example/', '/a?b/',
         '/a#b/', '/\\x/'),
    ['hype_links json html;'
        => 'invalid value "html" in "hype_links": duplicate parameter'],
    ['hype_links create=on create=off;'
        => 'invalid value "create=off" in "hype_links": duplicate parameter'],
    ['hype_links html html create=on to=/r/;'
        => 'invalid number of arguments in "hype_links" directive'],
    ['hype_links; hype_links html;' => '"hype_links" directive is duplicate'],
    ['hype_links; hype_ref x;'
        => '"hype_links" and "hype_ref" are in one location, "/x/"'],
    (map { ["$_" => '"hype_links" in location "/x/" never comes to its turn: '
                . '"return" answers before it'] }
         'hype_links; return 204;', 'return 302 /; hype_links html;'),
    ['hype_status; hype_links;'
        => '"hype_links" and "hype_status" are in one location, "/x/"'],
) {
    wrong($case->[0], $case->[1], http => $database,
          server => "hype_user \$uri; location /x/ { $case->[0] }");
}

wrong('hype_links without hype_user',
      '"hype_links" in location "/x/" needs "hype_user"', http => $database,
      server => 'location /x/ { hype_links html; } '
                . 'location /y/ { hype_user $uri; }');
wrong('hype_links in a server', '"hype_links" directive is not allowed here',
      http => "$database hype_user \$uri;", server => 'hype_links;');

done_testing();
