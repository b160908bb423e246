package Hype::Browser;

# A headless Chromium of the test's own, driven by its DevTools protocol over a
# pair of pipes.
#
#   my $browser = Hype::Browser->new;
#   $browser->visit("http://127.0.0.1:$port/status");
#   $browser->wait_for('document.title != ""');
#   is($browser->text('#state'), 'up', 'the state is shown');
#   is_deeply([$browser->complaints], [], 'no errors');

use strict;
use warnings;

use Carp qw(croak);
use Exporter qw(import);
use Fcntl qw(F_SETFD);
use IO::Select ();
use JSON::PP ();
use MIME::Base64 qw(decode_base64);
use Test::More ();
use Time::HiRes qw(sleep time);

use Hype::Util qw(at_end spawn stop_process temp_dir write_file);

our @EXPORT = qw(need_browser);

my $json = JSON::PP->new->utf8->allow_nonref;

my @programs = qw(chromium-headless-shell chromium);

my @flags = qw(
    --headless --no-sandbox --disable-gpu --disable-quic --no-first-run
    --disable-background-networking --disable-component-update --disable-sync
    --disable-default-apps --disable-extensions --disable-dev-shm-usage
    --hide-scrollbars --force-color-profile=srgb --remote-debugging-pipe
);


#   width, height  of the window (1280 x 900)
#   dark           1: the user prefers dark colours
#   scale          device pixels a pixel (1)
#   font           what text is set in, instead of the system's

sub new
{
    my ($class, %o) = @_;

    my $self = bless {
        width => 1280, height => 900, dark => 0, scale => 1, %o,
        next => 1, buffer => '', complaints => [], requests => [],
    }, $class;

    $self->_start;
    at_end(sub { $self->quit; 1 });

    my $target = $self->call('Target.createTarget', url => 'about:blank');
    $self->{session} = $self->call('Target.attachToTarget',
        targetId => $target->{targetId}, flatten => JSON::PP::true)->{sessionId};

    $self->call("$_.enable") for qw(Page Runtime Log Network);
    $self->look(%o);

    return $self;
}


# Ubuntu has no package of it

sub need_browser
{
    Test::More::plan(skip_all => 'no Chromium') if !defined program();
}


sub program
{
    for my $name (@programs) {
        for my $dir (split /:/, $ENV{PATH}) {
            return "$dir/$name" if -x "$dir/$name";
        }
    }

    return undef;
}


# Chromium has its end of the pipes as descriptors 3 and 4.

sub _start
{
    my ($self) = @_;

    my $program = program()
        // croak 'no Chromium found; install chromium-headless-shell';
    my $dir = temp_dir('browser');

    pipe my $from_us, my $to_it or croak "pipe: $!";
    pipe my $from_it, my $to_us or croak "pipe: $!";
    fcntl $_, F_SETFD, 0 for $from_us, $to_us;

    local $ENV{HOME} = $dir;
    local $ENV{TZ} = 'UTC';
    local $ENV{FONTCONFIG_FILE} = $self->_fonts($dir) if $self->{font};

    $self->{pid} = spawn(
        command => [
            $^X, '-MPOSIX', '-e',
            'dup2($ARGV[$_], 100 + $_) for 0, 1; dup2(100 + $_, 3 + $_) for 0, 1;'
            . ' POSIX::close(100 + $_) for 0, 1; exec @ARGV[2 .. $#ARGV]',
            fileno $from_us, fileno $to_us, $program, @flags,
            "--user-data-dir=$dir/profile",
            '--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1',
            'about:blank'],
        output => "$dir/log", death => 'KILL');

    close $_ for $from_us, $to_us;
    $to_it->autoflush(1);
    @$self{qw(to from dir)} = ($to_it, $from_it, $dir);
}


sub _fonts
{
    my ($self, $dir) = @_;

    write_file("$dir/fonts.conf", <<"END");
<?xml version="1.0"?>
<!DOCTYPE fontconfig SYSTEM "fonts.dtd">
<fontconfig>
  <dir>/usr/share/fonts</dir>
  <cachedir>$dir/fonts</cachedir>
  <match target="pattern">
    <test name="family"><string>system-ui</string></test>
    <edit name="family" mode="assign" binding="strong">
      <string>$self->{font}</string>
    </edit>
  </match>
</fontconfig>
END

    return "$dir/fonts.conf";
}


# What the window is like: width, height, dark, scale.

sub look
{
    my ($self, %o) = @_;

    @$self{keys %o} = values %o;

    $self->call('Emulation.setDeviceMetricsOverride',
        width => $self->{width} + 0, height => $self->{height} + 0,
        deviceScaleFactor => $self->{scale} + 0,
        mobile => $self->{width} < 500 ? JSON::PP::true : JSON::PP::false);

    $self->call('Emulation.setEmulatedMedia', features => [
        { name => 'prefers-color-scheme',
          value => $self->{dark} ? 'dark' : 'light' }]);

    return $self;
}


# Opens a page and waits until it has loaded.

sub visit
{
    my ($self, $url) = @_;

    delete $self->{loaded};
    my $result = $self->call('Page.navigate', url => $url);
    croak "$url: $result->{errorText}" if $result->{errorText};

    my $end = time + 30;
    $self->_read($end - time) while !$self->{loaded} && time < $end;
    croak "$url: timed out" if !$self->{loaded};

    return $self;
}


# The value of an expression of JavaScript, on the page.

sub value
{
    my ($self, $expression) = @_;

    my $result = $self->call('Runtime.evaluate', expression => $expression,
        returnByValue => JSON::PP::true, awaitPromise => JSON::PP::true);

    croak "$expression: " . ($result->{exceptionDetails}{exception}{description}
                             // $result->{exceptionDetails}{text})
        if $result->{exceptionDetails};

    return $result->{result}{value};
}


# The text of the first element that a selector finds, as it is seen.

sub text
{
    my ($self, $selector) = @_;

    return $self->value('document.querySelector(' . $json->encode($selector)
                        . ')?.innerText.trim()');
}


# The value of an expression, once it is true.

sub wait_for
{
    my ($self, $expression, $seconds, $what) = @_;

    my $end = time + ($seconds // 20);

    while (1) {
        my $value = eval { $self->value($expression) };
        return $value if $value;

        # the page may be on its way to another one
        croak $@ if $@ && $@ !~ /navigated or closed|context/;

        croak 'timed out: ' . ($what // $expression) if time > $end;
        $self->_read(0.05);
    }
}


# Keys by their names: 'Tab', 'ArrowRight', 'Enter', ' '.

my %codes = (Tab => 9, Enter => 13, ' ' => 32, End => 35, Home => 36,
             ArrowLeft => 37, ArrowUp => 38, ArrowRight => 39, ArrowDown => 40,
             Escape => 27);

sub key
{
    my ($self, @keys) = @_;

    for my $key (@keys) {
        my %event = (key => $key, code => $key eq ' ' ? 'Space' : $key,
                     windowsVirtualKeyCode => $codes{$key});
        my $text = $key eq 'Enter' ? "\r" : $key eq ' ' ? ' ' : undef;

        $self->call('Input.dispatchKeyEvent', type => 'keyDown', %event,
                    defined $text ? (text => $text) : ());
        $self->call('Input.dispatchKeyEvent', type => 'keyUp', %event);
    }

    return $self;
}


sub move
{
    my ($self, $x, $y) = @_;

    $self->call('Input.dispatchMouseEvent', type => 'mouseMoved',
                x => $x + 0, y => $y + 0);
    return $self;
}


# A picture (PNG) of the window, or of the whole page.

sub picture
{
    my ($self, $file, %o) = @_;

    my $result = $self->call('Page.captureScreenshot', format => 'png',
        captureBeyondViewport => $o{whole} ? JSON::PP::true : JSON::PP::false);

    write_file($file, decode_base64($result->{data}));
    return $self;
}


# What the browser complained of: errors on the console, exceptions, violations
# of the Content-Security-Policy, requests that failed.

sub complaints
{
    my ($self) = @_;

    $self->value('1');
    return splice @{ $self->{complaints} };
}


# The URLs that the pages asked for.

sub requests
{
    my ($self) = @_;

    return splice @{ $self->{requests} };
}


# A command of the protocol, and its result.

sub call
{
    my ($self, $method, %parameters) = @_;

    my $id = $self->{next}++;

    print { $self->{to} } $json->encode({
        id => $id, method => $method, params => \%parameters,
        defined $self->{session} ? (sessionId => $self->{session}) : (),
    }), "\0";

    my $end = time + 60;

    while (time < $end) {
        $self->_read($end - time);
        my $answer = delete $self->{answers}{$id} // next;
        croak "$method: $answer->{error}{message}" if $answer->{error};
        return $answer->{result};
    }

    croak "$method: timed out";
}


sub quit
{
    my ($self) = @_;

    my $pid = delete $self->{pid} // return;
    close $self->{$_} for qw(to from);
    defined stop_process($pid, undef, 5) or stop_process($pid, 'KILL', 5);
}


# Reads what is there, or comes within some seconds.

sub _read
{
    my ($self, $seconds) = @_;

    return if !IO::Select->new($self->{from})->can_read($seconds);

    sysread $self->{from}, $self->{buffer}, 1 << 16, length $self->{buffer}
        or croak "Chromium is gone:\n" . Hype::Util::read_file("$self->{dir}/log");

    while ($self->{buffer} =~ s/^([^\0]*)\0//) {
        my $message = $json->decode($1);

        if (defined $message->{id}) {
            $self->{answers}{ $message->{id} } = $message;

        } else {
            $self->_event($message->{method}, $message->{params});
        }
    }
}


sub _event
{
    my ($self, $method, $p) = @_;

    my $complaint;

    if ($method eq 'Page.loadEventFired') {
        $self->{loaded} = 1;

    } elsif ($method eq 'Network.requestWillBeSent') {
        push @{ $self->{requests} }, $p->{request}{url};

    } elsif ($method eq 'Runtime.exceptionThrown') {
        my $details = $p->{exceptionDetails};
        $complaint = $details->{exception}{description} // $details->{text};

    } elsif ($method eq 'Runtime.consoleAPICalled') {
        $complaint = "console.$p->{type}: "
            . join ' ', map { $_->{value} // $_->{description} // '' }
                        @{ $p->{args} } if $p->{type} =~ /^(?:error|warning|assert)$/;

    } elsif ($method eq 'Log.entryAdded') {
        my $entry = $p->{entry};
        $complaint = "$entry->{level}: $entry->{text} " . ($entry->{url} // '')
            if $entry->{level} =~ /^(?:error|warning)$/;
    }

    push @{ $self->{complaints} }, $complaint if defined $complaint;
}


1;
