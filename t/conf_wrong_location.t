# Mistakes in directives of a location: nginx -t names the directive, the value
# and what is wrong with it.

use lib 't/lib';
use Hype::Test;
use Hype::Conf;

my $database = 'hype_database "host=/nonexistent";';


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
        => '"hype_ref" in location "/ref/" is never reached: "return" '
         . 'ends the request before it'],
    ['location /ref/ { return 204; hype_ref; }'
        => '"hype_ref" in location "/ref/" is never reached: "return" '
         . 'ends the request before it'],
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
    (map { ["$_" => '"hype_links" in location "/x/" is never reached: '
                . '"return" ends the request before it'] }
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
