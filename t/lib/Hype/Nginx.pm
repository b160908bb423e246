package Hype::Nginx;

# An nginx of the test's own, with the module, in a private folder.

use strict;
use warnings;

use Carp qw(croak);
use Time::HiRes qw(sleep);

use Hype::HTTP ();
use Hype::Util qw(at_end children free_port read_file run server_user
                  source_dir spawn stop_process temp_dir wait_until write_file);

# Modules repeat nginx's names

$ENV{ASAN_OPTIONS} //= 'detect_odr_violation=0:detect_leaks='
                       . ($ENV{HYPE_LEAKS} // 0);
$ENV{LSAN_OPTIONS} //= 'print_suppressions=0:suppressions='
                       . source_dir() . '/t/lsan.supp';
$ENV{UBSAN_OPTIONS} //= 'print_stacktrace=1';

# What no run of nginx may leave in its error log

my @bad = (
    qr/\[(?:alert|emerg|crit)\]/,
    qr/open socket #\d+ left/,
    qr/(?:Address|UndefinedBehavior)Sanitizer/,
    qr/LeakSanitizer(?! (?:has encountered|does not work))/,
    qr/^(?:Direct|Indirect) leak of|^ +#\d+ 0x/,
    qr/runtime error:/,
    qr/exited on signal (?!9\b)\d+/,
);


# Starts nginx and waits until it listens.
#
#   pg         a Hype::Postgres: hype_database is set for it, in http
#   database   further parameters of that hype_database: 'timeout=100ms' (5s: a
#              machine that is busy for a second makes no hit a spooled one)
#   server     what goes into a server{} that listens on %%PORT%%
#   http       what goes into http{}
#   main       what goes at the top level
#   workers    worker_processes (1)
#   log_level  error_log's ("info")
#   allow      [qr/.../, ...]: error log lines that are expected
#   module     0: without the module
#   config     a whole configuration instead of server, http, main
#   start      0: write the configuration only
#
# In the texts %%PORT%% is a free port, %%DIR%% the folder (nginx's prefix),
# %%DB%% the connection string, %%MODULE%% the load_module directive, and
# %%USER%% the user directive where one is needed.

sub new
{
    my ($class, %o) = @_;

    my $self = bless {
        workers => 1,
        log_level => 'info',
        allow => [],
        %o,
        dir => temp_dir('nginx'),
        port => free_port(),
    }, $class;

    my $dir = $self->{dir};
    mkdir "$dir/$_" for 'html', 'logs';

    $self->{error_log_file} = "$dir/logs/error.log";
    $self->{access_log_file} = "$dir/logs/access.log";

    write_file("$dir/html/index.html", "it works\n");
    write_file($_, '') for @$self{'error_log_file', 'access_log_file'};
    $self->_write_config;

    at_end(sub { $self->_end });

    $self->start if $o{start} // 1;
    return $self;
}


sub port { $_[0]{port} }
sub dir { $_[0]{dir} }
sub pid { $_[0]{pid} }

# Both logs, or their lines since a mark: my $at = $nginx->mark; ...
# $nginx->error_log($at)

sub error_log { substr read_file($_[0]{error_log_file}), $_[1] // 0 }
sub access_log { substr read_file($_[0]{access_log_file}), $_[1] // 0 }
sub mark { -s $_[0]{error_log_file} }


# Requests: see Hype::HTTP.

sub get { my $self = shift; Hype::HTTP::http_get($self->{port}, @_) }
sub request { my $self = shift; Hype::HTTP::http_request($self->{port}, @_) }
sub raw { my $self = shift; Hype::HTTP::http_raw($self->{port}, @_) }
sub open { my $self = shift; Hype::HTTP::http_open($self->{port}, @_) }
sub visits { my $self = shift; Hype::HTTP::visits(port => $self->{port}, @_) }

sub visits_start
{
    my $self = shift;

    return Hype::HTTP::visits_start(port => $self->{port}, @_);
}


# curl's options, then a path on this server.

sub curl
{
    my ($self, @arguments) = @_;

    my $path = pop @arguments;
    return Hype::HTTP::curl(@arguments, "http://127.0.0.1:$self->{port}$path");
}


# Processes

sub start
{
    my ($self) = @_;

    croak 'nginx is running' if defined $self->{pid};

    $self->{pid} = spawn(
        command => $self->_command, output => "$self->{dir}/logs/stderr",
        death => 'TERM', chdir => $self->{dir});

    wait_until {
        if (defined stop_process($self->{pid}, undef, 0)) {
            delete $self->{pid};
            croak "nginx did not start:\n" . $self->_stderr . $self->error_log;
        }
        -s "$self->{dir}/nginx.pid" && $self->workers >= $self->{workers};
    } 30, 'nginx to start';

    return $self;
}


# The process ids of the workers that take new connections; and of those that
# are on their way out.

sub workers
{
    my ($self) = @_;

    # Angie numbers its generations; valgrind's processes have no titles
    return grep { _title($_) =~ /worker process(?: #\d+)?$|valgrind(?:\.bin)?$/ }
           children($self->{pid});
}


sub leaving
{
    my ($self) = @_;

    return grep { _title($_) =~ /worker process is shutting down/ }
           children($self->{pid});
}


# A reload, with other texts if given (server => ..., http => ..., ...).  Waits
# until the new workers have taken over; the old ones may still be leaving.

sub reload
{
    my ($self, %o) = @_;

    @$self{keys %o} = values %o;
    $self->_write_config;

    my %old = map { $_ => 1 } $self->workers;
    my $at = $self->mark;
    kill 'HUP', $self->{pid};

    wait_until {
        croak "reload failed: $1" if $self->error_log($at) =~ /\[emerg\] (.*)/;
        my @now = $self->workers;
        @now == $self->{workers} && !grep { $old{$_} } @now;
    } 30, 'the reload';

    return $self;
}


# Stops it: "QUIT" (default) lets requests finish, "TERM" does not, "KILL" ends
# master and workers at once.

sub stop
{
    my ($self, $signal, $seconds) = @_;

    my $pid = $self->{pid} // return $self;
    $signal //= 'QUIT';

    if ($signal eq 'KILL') {
        my @all = ($pid, children($pid));
        kill 'KILL', @all;
        stop_process($pid, undef, 10);
        wait_until { !grep { kill 0, $_ } @all } 10, 'nginx to be gone';

    } else {
        defined stop_process($pid, $signal, $seconds // 30)
            or croak "nginx did not end after SIG$signal";
    }

    delete $self->{pid};
    unlink "$self->{dir}/nginx.pid";
    return $self;
}


sub quit { $_[0]->stop('QUIT') }


sub restart
{
    my ($self, %o) = @_;

    $self->stop;
    @$self{keys %o} = values %o;
    $self->_write_config;
    return $self->start;
}


# Kills a worker (-9) and waits until the master has replaced it.

sub kill_worker
{
    my ($self, $pid) = @_;

    $pid //= ($self->workers)[0];
    push @{ $self->{allow} }, qr/worker process $pid exited on signal 9/;
    kill 'KILL', $pid;

    wait_until {
        my @now = $self->workers;
        @now == $self->{workers} && !grep { $_ == $pid } @now;
    } 10, 'the master to replace the worker';

    return $self;
}


sub running { defined $_[0]{pid} }


# nginx -t on other texts: (exit status, output).

sub test_config
{
    my ($self, %o) = @_;

    my $dir = temp_dir('t');
    $o{error_log_file} = "$dir/error.log";

    local @$self{keys %o} = values %o;
    my $file = "$dir/nginx.conf";
    write_file($file, $self->_config_text);

    # it frees nothing at its end
    local $ENV{ASAN_OPTIONS} = "$ENV{ASAN_OPTIONS}:detect_leaks=0";

    return run(command => $self->_command('-t', '-c', $file));
}


# Which nginx, or which one it comes from: (1, 22, 1)

sub version { return _says() =~ m{nginx/(\d+)\.(\d+)\.(\d+)} ? ($1, $2, $3) : () }


sub is_angie { return _says() =~ m{^Angie version:}m }


# Angie and freenginx write 1,000 messages a second, unless told otherwise

sub limits_log { return _says() =~ m{ version: (?:Angie|freenginx)/} }


sub is_sanitized { return _says() =~ /-fsanitize=/ }


# Whether it was built with a part of it: built_with('http_v3_module')

sub built_with
{
    my ($part) = @_;

    return _says() =~ /--with-\Q$part\E(?![\w-])/;
}


# What it says of how it was built

sub _says
{
    my ($status, $text) = run(command => [_binary(), '-V']);
    return $text;
}


# Whether it knows a directive.

sub has_directive
{
    my ($self, $name) = @_;

    my ($status, $text) = $self->test_config(config => "$name;");
    return $text !~ /unknown directive "\Q$name\E"/;
}


# listen, for HTTP/2 without TLS (curl --http2-prior-knowledge), as this nginx
# has it written.

sub listen_http2
{
    my ($major, $minor) = version();

    return $major == 1 && $minor < 25
        ? "listen 127.0.0.1:$_[1] http2;" : "listen 127.0.0.1:$_[1]; http2 on;";
}


# The lines that should not be in the error log.

sub complaints
{
    my ($self) = @_;

    return bad_lines($self->_stderr . $self->error_log, @{ $self->{allow} });
}


sub bad_lines
{
    my ($text, @allow) = @_;

    return grep {
        my $line = $_;
        (grep { $line =~ $_ } @bad) && !grep { $line =~ $_ } @allow;
    } split /\n/, $text;
}


sub _end
{
    my ($self) = @_;

    my $ended = 1;

    if (my $pid = delete $self->{pid}) {
        kill 'CONT', $pid, children($pid);
        $ended = defined stop_process($pid, 'QUIT', 15);
        print STDERR "# nginx had to be killed\n" if !$ended;
        $ended or kill 'KILL', children($pid);
        $ended or stop_process($pid, 'KILL', 5);
    }

    my @lines = $self->complaints;
    print STDERR map { "# in nginx's error log: $_\n" } @lines;

    return $ended && !@lines;
}


sub _command
{
    my ($self, @arguments) = @_;

    @arguments = ('-c', "$self->{dir}/nginx.conf") if !@arguments;

    return [_binary(), '-p', "$self->{dir}/", '-e', $self->{error_log_file},
            @arguments];
}


# The nginx of HYPE_NGINX, else the machine's; the module of HYPE_MODULE (none
# if it is empty: nginx has it built in), else the one that make leaves.

sub _binary
{
    return $ENV{HYPE_NGINX} if defined $ENV{HYPE_NGINX};

    for my $dir (split(/:/, $ENV{PATH}), '/usr/sbin') {
        return "$dir/nginx" if -x "$dir/nginx";
    }

    croak 'no nginx found; install the package nginx';
}


sub module
{
    return $ENV{HYPE_MODULE} // source_dir() . '/build/ngx_http_hype_module.so';
}


sub _write_config
{
    my ($self) = @_;

    write_file("$self->{dir}/nginx.conf", $self->_config_text);
}


sub _config_text
{
    my ($self) = @_;

    my $module = $self->{module} // 1 ? module() : '';
    my $user = server_user();

    my %values = (
        PORT => $self->{port},
        DIR => $self->{dir},
        DB => $self->{pg} ? $self->{pg}->conninfo : '',
        MODULE => $module ne '' ? "load_module $module;" : '',
        USER => defined $user ? "user $user;" : '',
    );

    my $config = $self->{config} // $self->_assembled;
    $config =~ s/%%([A-Z]+)%%/$values{$1} \/\/ croak "no %%$1%%"/ge;

    return $config;
}


sub _assembled
{
    my ($self) = @_;

    my %text = map { $_ => $self->{$_} // '' } qw(main events http server);

    if ($self->{pg} && $text{http} !~ /^\s*hype_database\s/m) {
        my $parameters = $self->{database} // '';
        $parameters .= ' timeout=' . ($ENV{HYPE_VALGRIND} ? '10s' : '5s')
            if $parameters !~ /\btimeout=/;
        $text{http} = "hype_database \"%%DB%%\" $parameters;\n$text{http}";
    }

    if (defined $self->{server}) {
        $text{http} .= <<"END";

    server {
        listen 127.0.0.1:%%PORT%%;
        server_name localhost;
        $text{server}
    }
END
    }

    if ($ENV{HYPE_LEAKS}) {
        # for the new binary of an upgrade
        $text{main} .= "env ASAN_OPTIONS; env LSAN_OPTIONS; env UBSAN_OPTIONS;";
    }

    my $rate = limits_log() ? ' rate=0' : '';

    return <<"END";
%%MODULE%%
%%USER%%
$text{main}
daemon off;
worker_processes $self->{workers};
pid %%DIR%%/nginx.pid;
error_log $self->{error_log_file} $self->{log_level}$rate;

events {
    worker_connections 2048;
    $text{events}
}

http {
    access_log $self->{access_log_file};
    client_body_temp_path %%DIR%%/client_body_temp;
    proxy_temp_path %%DIR%%/proxy_temp;
    fastcgi_temp_path %%DIR%%/fastcgi_temp;
    uwsgi_temp_path %%DIR%%/uwsgi_temp;
    scgi_temp_path %%DIR%%/scgi_temp;
    default_type text/plain;
    root %%DIR%%/html;

    $text{http}
}
END
}


sub _stderr
{
    my ($self) = @_;

    my $file = "$self->{dir}/logs/stderr";
    return -e $file ? read_file($file) : '';
}


sub _title
{
    my ($pid) = @_;

    CORE::open my $fh, '<', "/proc/$pid/cmdline" or return '';
    my $title = <$fh> // '';
    $title =~ s/\0.*//s;
    return $title =~ s/\s+$//r;
}


1;
