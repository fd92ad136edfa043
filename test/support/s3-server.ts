import { type ChildProcess, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdir } from 'node:fs/promises';
import {
  createServer,
  type IncomingMessage,
  request as httpRequest,
  type Server,
  type ServerResponse,
} from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { waitFor } from '#libs/async';
import { ask } from './gate-process.js';
import { freePort } from './ports.js';

/** `lose`: it says the object is stored, and it is not. */
export type Fault = 'pass' | 'error' | 'hang' | 'lose';

/** versitygw, a real S3 server over a folder, behind a door where a test lets requests fail. */
export class S3Server {
  readonly accessKey = `AK${randomBytes(8).toString('hex').toUpperCase()}`;
  readonly secretKey = randomBytes(20).toString('hex');
  /** Asked for every request; `PUT /bucket/name/data/ab/abcd…`. */
  fault: (step: string) => Fault = () => 'pass';
  /** Every request that came, as `fault` is asked about it. */
  readonly steps: string[] = [];
  private child: ChildProcess | undefined;
  private readonly door: Server;
  private port = 0;
  private log = '';

  /** Buckets are the folders in `folder`. */
  constructor(private readonly options: { tools: string; folder: string }) {
    this.door = createServer((request, answer) => {
      this.pass(request, answer).catch(() => answer.destroy());
    });
  }

  async start(): Promise<void> {
    const { tools, folder } = this.options;
    this.port = await freePort();
    await mkdir(join(folder, 'bucket'), { recursive: true });
    this.child = spawn(join(tools, 'versitygw'), ['--quiet', '--port', `127.0.0.1:${this.port}`, 'posix', folder], {
      env: { ROOT_ACCESS_KEY: this.accessKey, ROOT_SECRET_KEY: this.secretKey },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    for (const stream of [this.child.stdout, this.child.stderr]) {
      stream?.on('data', (chunk: Buffer) => {
        this.log = (this.log + chunk.toString('utf8')).slice(-4_096);
      });
    }
    await waitFor(async () => (await ask(this.port, '/')).status, {
      what: 'versitygw to answer',
      deadlineMs: 15_000,
    }).catch((cause: unknown) => {
      throw new Error(`versitygw does not answer: ${this.log}`, { cause });
    });
    this.door.listen(0, '127.0.0.1');
    await once(this.door, 'listening');
  }

  /** For restic, a folder of the bucket. */
  url(name: string): string {
    return `s3:http://127.0.0.1:${(this.door.address() as AddressInfo).port}/bucket/${name}`;
  }

  async stop(): Promise<void> {
    this.door.closeAllConnections();
    this.door.close();
    if (this.child?.exitCode === null) {
      this.child.kill('SIGKILL');
      await once(this.child, 'close');
    }
  }

  private async pass(request: IncomingMessage, answer: ServerResponse): Promise<void> {
    const { method = 'GET', url = '/' } = request;
    const step = `${method} ${url}`;
    this.steps.push(step);
    const fault = this.fault(step);
    if (fault === 'hang') {
      request.resume();
      return;
    }
    if (fault === 'pass') {
      // The host it was asked by is part of what its signature is about.
      const onward = httpRequest({ host: '127.0.0.1', port: this.port, method, path: url, headers: request.headers });
      answer.once('close', () => onward.destroy());
      const sent = pipeline(request, onward);
      sent.catch(() => undefined);
      const [reply] = (await once(onward, 'response')) as [IncomingMessage];
      answer.writeHead(reply.statusCode ?? 502, reply.headers);
      await pipeline(reply, answer);
      return;
    }
    request.resume();
    await once(request, 'end');
    if (fault === 'lose') {
      answer.writeHead(200, { etag: `"${'0'.repeat(32)}"` }).end();
      return;
    }
    answer
      .writeHead(500, { 'content-type': 'application/xml' })
      .end('<Error><Code>InternalError</Code><Message>We encountered an internal error.</Message></Error>');
  }
}
