import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, writeFile } from 'node:fs/promises';
import { get } from 'node:https';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { waitFor } from '#libs/async';
import { createAuthority, issueLeaf } from '#libs/crypto';
import { ask } from './gate-process.js';
import { freePort } from './ports.js';

const ROOT = join(__dirname, '..', '..');

/** Folder of lego, pebble and pebble-challtestsrv; built on first use, which takes minutes. */
export async function goTools(): Promise<string> {
  const { stdout } = await promisify(execFile)(join(ROOT, 'scripts/lib/go-tools'), { encoding: 'utf8' });
  return stdout.trim();
}

/** Pebble, a real ACME authority, with a DNS server whose records a test sets. */
export class AcmeAuthority {
  /** The directory's address, and the PEM that vouches for it (not for what it issues). */
  directory = '';
  tlsCaFile = '';
  dns = '';
  /** A program for lego's `exec` provider that writes to this DNS server. */
  dnsHook = '';
  private managementPort = 0;
  private pebbleManagement = 0;
  private tlsCa = '';
  private readonly children: ChildProcess[] = [];
  log = '';

  constructor(private readonly options: { tools: string; folder: string; httpPort: number }) {}

  async start(): Promise<void> {
    const { tools, folder, httpPort } = this.options;
    const [dnsPort, acmePort] = [await freePort(), await freePort()];
    this.managementPort = await freePort();
    this.pebbleManagement = await freePort();
    this.dns = `127.0.0.1:${dnsPort}`;
    this.directory = `https://127.0.0.1:${acmePort}/dir`;

    const now = new Date();
    const authority = await createAuthority(['localhost'], now);
    const leaf = await issueLeaf(authority, ['localhost', '127.0.0.1'], now);
    this.tlsCa = authority.certificate;
    this.tlsCaFile = join(folder, 'pebble-ca.crt');
    await writeFile(this.tlsCaFile, authority.certificate);
    await writeFile(join(folder, 'pebble.crt'), leaf.certificate);
    await writeFile(join(folder, 'pebble.key'), leaf.key);
    const config = join(folder, 'pebble.json');
    await writeFile(
      config,
      JSON.stringify({
        pebble: {
          listenAddress: `127.0.0.1:${acmePort}`,
          managementListenAddress: `127.0.0.1:${this.pebbleManagement}`,
          certificate: join(folder, 'pebble.crt'),
          privateKey: join(folder, 'pebble.key'),
          httpPort,
          tlsPort: 1,
          ocspResponderURL: '',
          externalAccountBindingRequired: false,
          retryAfter: { authz: 1, order: 1 },
          profiles: { default: { description: 'ninety days', validityPeriod: 7_776_000 } },
        },
      }),
    );
    this.dnsHook = join(folder, 'dns-hook');
    await writeFile(
      this.dnsHook,
      `#!${process.execPath}
const [action, host, value] = process.argv.slice(2);
const path = action === 'present' ? '/set-txt' : '/clear-txt';
fetch('http://127.0.0.1:${this.managementPort}' + path, { method: 'POST', body: JSON.stringify({ host, value }) })
  .then((answer) => process.exit(answer.ok ? 0 : 1));
`,
    );
    await chmod(this.dnsHook, 0o755);

    const off = ['-http01', '', '-https01', '', '-tlsalpn01', '', '-doh', ''];
    const management = `127.0.0.1:${this.managementPort}`;
    this.run(join(tools, 'pebble-challtestsrv'), [
      '-dnsserver',
      this.dns,
      '-management',
      management,
      '-defaultIPv4',
      '127.0.0.1',
      '-defaultIPv6',
      '',
      ...off,
    ]);
    // Without the pauses and refusals that Pebble adds to try clients' patience.
    this.run(join(tools, 'pebble'), ['-config', config, '-dnsserver', this.dns], {
      PEBBLE_VA_NOSLEEP: '1',
      PEBBLE_WFE_NONCEREJECT: '0',
    });
    await waitFor(async () => ((await this.root()) === '' ? undefined : true), {
      what: 'Pebble to answer',
      deadlineMs: 15_000,
    }).catch((cause: unknown) => {
      throw new Error(`Pebble does not answer: ${this.log}`, { cause });
    });
    await this.setAddress('ready.test', '127.0.0.1');
  }

  private run(program: string, args: string[], env: Record<string, string> = {}): void {
    const child = spawn(program, args, {
      env: { PATH: process.env['PATH'], ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    for (const stream of [child.stdout, child.stderr]) {
      stream.on('data', (chunk: Buffer) => {
        this.log += chunk.toString('utf8');
      });
    }
    this.children.push(child);
  }

  /** PEM of the root under which certificates are issued. */
  async root(): Promise<string> {
    return new Promise((resolve, reject) => {
      const request = get(
        {
          host: '127.0.0.1',
          port: this.pebbleManagement,
          path: '/roots/0',
          ca: this.tlsCa,
          agent: false,
          timeout: 5000,
        },
        (response) => {
          let body = '';
          response.setEncoding('utf8').on('data', (chunk: string) => {
            body += chunk;
          });
          response.on('end', () => resolve(body));
        },
      );
      request.on('timeout', () => request.destroy(new Error('Pebble does not answer')));
      request.on('error', reject);
    });
  }

  /** Where a name leads; every name leads to 127.0.0.1 unless told otherwise. An empty address: DNS fails for it. */
  async setAddress(host: string, address: string): Promise<void> {
    if (address === '') {
      await this.manage('/set-servfail', { host });
    } else {
      await this.manage('/clear-a', { host });
      await this.manage('/add-a', { host, addresses: [address] });
    }
  }

  async clearFault(host: string): Promise<void> {
    await this.manage('/clear-servfail', { host });
  }

  /** One more TXT record at that name. */
  async addText(host: string, value: string): Promise<void> {
    await this.manage('/set-txt', { host: `${host}.`, value });
  }

  async clearTexts(host: string): Promise<void> {
    await this.manage('/clear-txt', { host: `${host}.` });
  }

  /** Which authorities may issue for that name and what is below it; none: anybody. */
  async setAuthorities(host: string, names: readonly string[]): Promise<void> {
    await this.manage('/clear-caa', { host });
    if (names.length > 0) {
      await this.manage('/add-caa', { host, policies: names.map((value) => ({ tag: 'issue', value })) });
    }
  }

  private async manage(path: string, body: object): Promise<void> {
    const reply = await waitFor(() => ask(this.managementPort, path, { method: 'POST', body: JSON.stringify(body) }), {
      what: 'the DNS server to answer',
      deadlineMs: 10_000,
    });
    if (reply.status !== 200) {
      throw new Error(`the DNS server answered ${reply.status} to ${path}`);
    }
  }

  async stop(): Promise<void> {
    for (const child of this.children) {
      if (child.exitCode === null) {
        child.kill('SIGKILL');
        await once(child, 'exit');
      }
    }
  }
}
