# Tries what its arguments name, each "kind what…", and prints one word for each, in their order. It needs only what
# every Debian image has (perl-base), so that the same program runs in a stack's containers and wherever it may.
#   tcp ADDRESS PORT | udp ADDRESS PORT | name HOST PORT | unix PATH | raw | packet | mount | namespace | device PATH
#   addresses6 (whether any interface has an address of IPv6 beside the loopback's own) |
#   write PATH | read PATH | fork COUNT | memory MIB | log MIB | inotify | take inotify
# Network: open, refused, unreachable, dropped (nothing in time), unknown (a name nobody knows), absent (no such socket).
# All else: allowed, denied, absent, full (of processes, of what a user may have), killed (for its memory).
# What takes all there is says at once how much that was, and keeps it until its input ends.
use strict;
use warnings;
use Errno qw(EINPROGRESS);
use Fcntl qw(F_SETFL O_NONBLOCK);
use Socket qw(:all);

my $PATIENCE = 1.5;
my $NAME_PATIENCE = 6;
# x86_64
my ($MOUNT, $UNSHARE, $MKNOD, $INOTIFY_INIT1) = (165, 272, 133, 294);
my $CLONE_NEWNS = 0x20000;
my $PF_PACKET = 17;

sub network_word {
  my ($error) = @_;
  return 'open' if $error == 0;
  return 'refused' if $error == Errno::ECONNREFUSED;
  return 'unreachable' if grep { $error == $_ } Errno::EHOSTUNREACH, Errno::ENETUNREACH, Errno::EADDRNOTAVAIL, Errno::EAFNOSUPPORT;
  $! = $error;
  return "error: $!";
}

sub kernel_word {
  my ($done) = @_;
  return 'allowed' if $done;
  return 'denied' if $!{EPERM} || $!{EACCES} || $!{EROFS};
  return 'absent' if $!{ENOENT};
  return 'full' if $!{EAGAIN} || $!{EMFILE};
  return "error: $!";
}

sub started {
  my ($family, $type, $place) = @_;
  socket(my $socket, $family, $type, 0) or return (undef, 0 + $!);
  fcntl($socket, F_SETFL, O_NONBLOCK);
  return ($socket, 0) if connect($socket, $place);
  return ($socket, 0 + $!);
}

sub place {
  my ($address, $port) = @_;
  return $address =~ /:/
    ? (AF_INET6, pack_sockaddr_in6($port, inet_pton(AF_INET6, $address)))
    : (AF_INET, pack_sockaddr_in($port, inet_aton($address)));
}

# Waits until the socket can be written (a connection) or read (an answer).
sub awaited {
  my ($socket, $reading) = @_;
  my $bits = '';
  vec($bits, fileno($socket), 1) = 1;
  return $reading ? select($bits, undef, undef, $PATIENCE) : select(undef, $bits, undef, $PATIENCE);
}

my %try = (
  tcp => sub {
    my ($family, $place) = place(@_);
    my ($socket, $error) = started($family, SOCK_STREAM, $place);
    return network_word($error) unless $error == EINPROGRESS;
    return 'dropped' unless awaited($socket, 0);
    return network_word(unpack('i', getsockopt($socket, SOL_SOCKET, SO_ERROR)));
  },
  udp => sub {
    my ($family, $place) = place(@_);
    my ($socket, $error) = started($family, SOCK_DGRAM, $place);
    return network_word($error) if $error;
    defined send($socket, 'hello', 0) or return network_word(0 + $!);
    return 'dropped' unless awaited($socket, 1);
    return defined recv($socket, my $answer, 64, 0) ? 'open' : network_word(0 + $!);
  },
  unix => sub {
    my ($socket, $error) = started(AF_UNIX, SOCK_STREAM, pack_sockaddr_un($_[0]));
    return 'open' unless $error;
    $! = $error;
    return kernel_word(0);
  },
  raw => sub { kernel_word(socket(my $socket, AF_INET, SOCK_RAW, 1)) },
  packet => sub { kernel_word(socket(my $socket, $PF_PACKET, SOCK_RAW, 0)) },
  mount => sub {
    # syscall takes no constants
    my ($source, $target, $type) = ('none', '/tmp', 'tmpfs');
    return kernel_word(syscall($MOUNT, $source, $target, $type, 0, 0) == 0);
  },
  namespace => sub { kernel_word(syscall($UNSHARE, $CLONE_NEWNS) == 0) },
  device => sub {
    my ($path) = @_;
    # a block device, readable by all: 8:0, a machine's first disk
    my $made = syscall($MKNOD, $path, 060666, 8 << 8) == 0;
    my $word = kernel_word($made);
    unlink $path if $made;
    return $word;
  },
  addresses6 => sub {
    # Without the file there is no IPv6 in the kernel at all.
    open(my $file, '<', '/proc/net/if_inet6') or return kernel_word(0);
    return (grep { !/^0{31}1 / } <$file>) ? 'allowed' : 'absent';
  },
  write => sub {
    my ($folder) = @_;
    my $path = -d $folder ? "$folder/aviary-probe" : $folder;
    my $word = kernel_word(open(my $file, '>>', $path));
    unlink $path if $word eq 'allowed' && -d $folder;
    return $word;
  },
  read => sub {
    my ($path) = @_;
    open(my $file, '<', $path) or return kernel_word(0);
    return kernel_word(defined sysread($file, my $content, 64));
  },
  fork => sub {
    my ($count) = @_;
    my ($word, @children) = ('allowed');
    while (@children < $count) {
      my $child = fork;
      if (!defined $child) {
        $word = kernel_word(0) . ' at ' . @children;
        last;
      }
      if ($child == 0) {
        sleep 60;
        exit;
      }
      push @children, $child;
    }
    kill 'KILL', @children;
    waitpid($_, 0) for @children;
    return $word;
  },
  memory => sub {
    my ($mib) = @_;
    my $child = fork // die "fork: $!";
    if ($child == 0) {
      # The one to be ended for what it takes, whoever else is there.
      if (open(my $file, '>', '/proc/self/oom_score_adj')) {
        print $file 1000;
        close $file;
      }
      my $taken = 'x' x ($mib * 1024 * 1024);
      exit(length($taken) > 0 ? 0 : 1);
    }
    waitpid($child, 0);
    return ($? & 127) == 9 ? 'killed' : $? == 0 ? 'allowed' : "error: ended with $?";
  },
  inotify => sub { kernel_word(syscall($INOTIFY_INIT1, 0) >= 0) },
  take => sub {
    my $taken = 0;
    $taken += 1 while syscall($INOTIFY_INIT1, 0) >= 0;
    my $word = kernel_word(0);
    syswrite(STDOUT, "$taken\n");
    1 while sysread(STDIN, my $nothing, 64);
    return $word;
  },
  log => sub {
    my ($mib) = @_;
    open(my $log, '>', '/proc/1/fd/1') or return kernel_word(0);
    open(my $random, '<', '/dev/urandom') or return kernel_word(0);
    my $line = 8192;
    for (1 .. $mib * 1024 * 1024 / $line) {
      # A rotated log is compressed, which this is not worth.
      read($random, my $bytes, $line - 1);
      $bytes =~ tr/\n/x/;
      syswrite($log, "$bytes\n") or return kernel_word(0);
    }
    return 'allowed';
  },
);

$try{name} = sub {
  my ($host, $port) = @_;
  my ($error, @found) = getaddrinfo($host, $port, { family => AF_INET, socktype => SOCK_STREAM });
  return $error ? 'unknown' : $try{tcp}->(inet_ntoa((unpack_sockaddr_in($found[0]{addr}))[1]), $port);
};

# What waits for the network waits in a process of its own, some at a time: the C library's resolver cannot be
# interrupted, and a hundred probes that are dropped would take minutes one after the other.
my $AT_ONCE = 12;
my %WAITS = map { $_ => 1 } qw(tcp udp name);

sub begun {
  my ($kind, @what) = @_;
  pipe(my $reader, my $writer) or die "pipe: $!";
  my $child = fork // die "fork: $!";
  if ($child == 0) {
    close $reader;
    syswrite($writer, $try{$kind}->(@what));
    exit;
  }
  close $writer;
  return [$child, $reader, time + $NAME_PATIENCE];
}

sub heard {
  my ($child, $reader, $until) = @{ $_[0] };
  my $bits = '';
  vec($bits, fileno($reader), 1) = 1;
  my $left = $until - time;
  my $word = select($bits, undef, undef, $left > 0 ? $left : 0) ? readline($reader) : 'unknown';
  kill 'KILL', $child;
  waitpid($child, 0);
  return $word // 'error: it ended without a word';
}

my @probes = map { [split / /] } @ARGV;
my @words;
my @under_way;
for my $i (0 .. $#probes) {
  my ($kind, @what) = @{ $probes[$i] };
  die "no probe $kind" unless $try{$kind};
  if (!$WAITS{$kind}) {
    $words[$i] = $try{$kind}->(@what);
    next;
  }
  if (@under_way == $AT_ONCE) {
    my ($at, $waiting) = @{ shift @under_way };
    $words[$at] = heard($waiting);
  }
  push @under_way, [$i, begun($kind, @what)];
}
$words[$_->[0]] = heard($_->[1]) for @under_way;
print "$_\n" for @words;
