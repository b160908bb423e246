# Mistakes in hype_database, and what needs it: nginx -t names the directive, the
# value and what is wrong with it.

use lib 't/lib';
use Hype::Test;
use Hype::Conf;

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

done_testing();
