import { type ChildProcess, execFile, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { promisify } from 'node:util';

/** A network namespace of its own: a host, a container or the world, as far as packets can tell. Needs root. */
export class NetworkNamespace {
  private readonly children: ChildProcess[] = [];

  private constructor(
    readonly pid: number,
    holder: ChildProcess,
  ) {
    this.children.push(holder);
  }

  static async open(): Promise<NetworkNamespace> {
    const holder = spawn('unshare', ['--net', 'sh', '-c', 'ip link set lo up; echo ready; exec sleep 1800'], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    await once(holder.stdout, 'data');
    return new NetworkNamespace(holder.pid ?? 0, holder);
  }

  /** Runs a shell script in it and gives what it printed. */
  sh(script: string, input = ''): string {
    return execFileSync('nsenter', [`--net=/proc/${this.pid}/ns/net`, 'sh', '-ec', script], {
      input,
      encoding: 'utf8',
    });
  }

  /** Accepts connections on these ports of all its addresses until it is closed. */
  async listen(ports: readonly number[]): Promise<void> {
    const program = `const { createServer } = require('node:net');
let left = ${ports.length};
for (const port of ${JSON.stringify(ports)}) {
  createServer((socket) => socket.on('error', () => undefined).resume()).listen(port, '0.0.0.0', () => { if (--left === 0) console.log('ready'); });
}`;
    const child = spawn('nsenter', [`--net=/proc/${this.pid}/ns/net`, process.execPath, '-e', program], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    this.children.push(child);
    await once(child.stdout, 'data');
  }

  /** Runs a program in it. */
  async run(file: string, args: readonly string[]): Promise<string> {
    const { stdout } = await promisify(execFile)('nsenter', [`--net=/proc/${this.pid}/ns/net`, file, ...args]);
    return stdout.trim();
  }

  async close(): Promise<void> {
    for (const child of this.children.toReversed()) {
      child.kill('SIGKILL');
      if (child.exitCode === null && child.signalCode === null) {
        await once(child, 'exit');
      }
    }
  }
}
