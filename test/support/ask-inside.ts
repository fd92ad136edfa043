import { docker } from './engine.js';

/** Where a process in a container asks: with a server's name by TLS, else in plain HTTP. */
export interface Server {
  address: string;
  port: number;
  tls?: string;
}

export interface InsideAnswer {
  status: number;
  /** Head and body as they came. */
  text: string;
}

/** What every Debian image has. Requests and answers are in hexadecimal, an answer a line. */
const PLAIN = `use strict;
use warnings;
use Socket qw(:all);
my ($address, $port, @requests) = @ARGV;
$SIG{ALRM} = sub { die "no answer in time\\n" };
for my $request (@requests) {
  alarm 20;
  socket(my $socket, AF_INET, SOCK_STREAM, 0) or die "socket: $!\\n";
  connect($socket, pack_sockaddr_in($port, inet_aton($address))) or die "connect: $!\\n";
  syswrite($socket, pack('H*', $request)) or die "write: $!\\n";
  my $answer = '';
  while (sysread($socket, my $part, 65_536)) { $answer .= $part }
  print unpack('H*', $answer), "\\n";
}`;

/** For the runtime's image, which has Node. The answer counts here, not who gives it. */
const TLS = `const { connect } = require('node:tls');
const [host, port, servername, ...requests] = process.argv.slice(1);
(async () => {
  for (const request of requests) {
    const socket = connect({ host, port: Number(port), servername, rejectUnauthorized: false, ALPNProtocols: ['http/1.1'] });
    socket.setTimeout(20_000, () => socket.destroy(new Error('no answer in time')));
    socket.write(Buffer.from(request, 'hex'));
    const parts = [];
    for await (const part of socket) parts.push(part);
    console.log(Buffer.concat(parts).toString('hex'));
  }
})();`;

/** GETs each path from inside a container that runs; throws when a server cannot be reached or says nothing. */
export async function askedInside(
  container: string,
  { address, port, tls }: Server,
  host: string,
  asks: readonly { path: string; headers: Readonly<Record<string, string>> }[],
): Promise<InsideAnswer[]> {
  const requests = asks.map(({ path, headers }) => {
    // To HTTP 1.0 nobody answers in chunks, which could cut what is looked for.
    const lines = [`GET ${path} HTTP/1.0`, `Host: ${host}`, 'Accept: application/json, text/html;q=0.9'];
    const named = Object.entries(headers).map(([name, value]) => `${name}: ${value}`);
    return Buffer.from(`${[...lines, ...named].join('\r\n')}\r\n\r\n`).toString('hex');
  });
  const program = tls === undefined ? ['perl', '-e', PLAIN, '--'] : ['node', '-e', TLS, '--'];
  const place = [address, String(port), ...(tls === undefined ? [] : [tls])];
  const printed = (await docker('exec', container, ...program, ...place, ...requests)).split('\n');
  return asks.map(({ path }, at) => {
    const text = Buffer.from(printed[at] ?? '', 'hex').toString('utf8');
    const status = Number(/^HTTP\/1\.\d (\d{3})/.exec(text)?.[1]);
    if (!status) {
      throw new Error(`${path} was answered to ${container} with: ${text.slice(0, 200)}`);
    }
    return { status, text };
  });
}
