import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, readFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { waitFor } from '#libs/async';
import { platformPrefix } from '#libs/contracts';
import { newSigningKey, publicKeyText } from '#libs/crypto';
import { expectedFirewall } from '#libs/edge';
import { byCommand, exits } from '#libs/engine';
import { IMAGES, type StackWorld } from './stack-world.js';
import { program } from './program.js';

const ROOT = resolve(import.meta.dirname, '../..');
/** Private, and not this machine's: the agent takes them from its settings alone. */
const RESOLVERS = ['10.20.30.40', '192.168.9.9'];

/** What agents of one platform share, as `up` gives it to them. */
export interface AgentHome {
  world: StackWorld;
  directory: string;
  masterKey: string;
  gateKey: string;
  /** What it started dies with it, as all processes of a container do. */
  together?: boolean;
}

/** The helper prints the rules as they should be, so that agents find their firewall in order. */
export async function agentHome(world: StackWorld, directory: string): Promise<AgentHome> {
  await mkdir(join(directory, 'data'), { recursive: true });
  const settings = {
    prefix: platformPrefix(world.database.platformId),
    resolvers: RESOLVERS,
    portalPorts: [80, 443],
  };
  const rules = expectedFirewall(settings).replaceAll(/^top /gm, '').split('\n');
  world.engine.behaviour = (context) =>
    context.labels['aviary.service'] === 'firewall' ? exits(0, ...rules) : byCommand(context);
  return {
    world,
    directory,
    masterKey: world.masterKey,
    gateKey: publicKeyText(newSigningKey()),
  };
}

/** A real agent in a process of its own, on an engine lent over a socket. */
export class AgentProcess {
  said = '';
  private constructor(
    readonly name: string,
    private readonly child: ChildProcess,
    private readonly socket: string,
    private readonly together: boolean,
  ) {
    for (const stream of [child.stdout, child.stderr]) {
      stream?.on('data', (chunk: Buffer) => (this.said += chunk.toString()));
    }
  }

  /** Resolves once it works or stands by. `engineSocket` is where its engine is lent. */
  static async start(
    { world, directory, masterKey, gateKey, together = false }: AgentHome,
    name: string,
    engineSocket: string,
    settings: Readonly<Record<string, string>> = {},
  ): Promise<AgentProcess> {
    const socket = join(directory, `${name}.sock`);
    const child = spawn(process.execPath, [...program('test/support/agent-child.ts'), engineSocket], {
      stdio: ['ignore', 'pipe', 'pipe'],
      detached: together,
      env: {
        PATH: process.env['PATH'],
        AVIARY_ENV: 'test',
        AVIARY_LOG_LEVEL: 'warn',
        AVIARY_PLATFORM_ID: world.database.platformId,
        AVIARY_DATABASE_URL: world.database.url,
        AVIARY_MASTER_KEY: masterKey,
        AVIARY_GATE_PUBLIC_KEY: gateKey,
        AVIARY_API_URLS: world.edge.apiUrls.join(','),
        AVIARY_GATE_URLS: world.edge.gateUrls.join(','),
        AVIARY_RESOLVERS: RESOLVERS.join(','),
        AVIARY_TOOLS_IMAGE: IMAGES.AVIARY_IMAGE_POSTGRES,
        ...IMAGES,
        AVIARY_TEMPLATE_DIR: join(ROOT, 'tenant-template'),
        AVIARY_DATA_DIR: join(directory, 'data'),
        AVIARY_AGENT_SOCKET: socket,
        // Nobody's: no proxy runs here, and a platform on this machine must not be taken for it.
        AVIARY_PROXY_PORT: '1',
        ...settings,
      },
    });
    const made = new AgentProcess(name, child, socket, together);
    await waitFor(
      () => {
        if (child.exitCode !== null) {
          throw new Error(`the agent ended: ${made.said}`);
        }
        return made.said.includes('ready\n') || undefined;
      },
      { what: `agent ${name} starting`, deadlineMs: 30_000 },
    );
    return made;
  }

  get exitCode(): number | null {
    return this.child.exitCode;
  }

  /** It ended, by itself or by a signal. */
  get gone(): boolean {
    return this.child.exitCode !== null || this.child.signalCode !== null;
  }

  /** Stops it where it stands, as a machine does that is out of memory or put to sleep. */
  pause(): void {
    this.child.kill('SIGSTOP');
  }

  /** True while it stands still, whoever stopped it. */
  async stands(): Promise<boolean> {
    const stat = await readFile(`/proc/${this.child.pid}/stat`, 'utf8');
    return stat.slice(stat.lastIndexOf(')') + 2).startsWith('T');
  }

  resume(): void {
    this.child.kill('SIGCONT');
  }

  async kill(signal: 'SIGKILL' | 'SIGTERM' = 'SIGKILL'): Promise<void> {
    if (this.child.exitCode === null && this.child.signalCode === null) {
      const ended = once(this.child, 'exit');
      if (this.together && this.child.pid !== undefined) {
        process.kill(-this.child.pid, signal);
      } else {
        this.child.kill(signal);
      }
      await ended;
    }
  }

  /** True where it is the active one, by its own word. */
  async active(): Promise<boolean> {
    return /^aviary_agent_active 1$/m.test((await ask(this.socket, '/metrics')).body);
  }

  health(): Promise<{ status: number; body: string }> {
    return ask(this.socket, '/healthz');
  }
}

async function ask(socketPath: string, path: string): Promise<{ status: number; body: string }> {
  const { request } = await import('node:http');
  const { promise, resolve: answered, reject } = Promise.withResolvers<{ status: number; body: string }>();
  const asked = request({ socketPath, path, timeout: 5_000 }, (response) => {
    let body = '';
    response.setEncoding('utf8').on('data', (text: string) => (body += text));
    response.once('end', () => answered({ status: response.statusCode ?? 0, body }));
    response.once('error', reject);
  });
  asked.once('timeout', () => asked.destroy(new Error('no answer')));
  asked.once('error', reject);
  asked.end();
  return promise;
}
