import { randomBytes, randomUUID } from 'node:crypto';
import { waitFor } from '#libs/async';
import {
  LABEL,
  type ContainerSpec,
  type ContainerState,
  type Engine,
  type HelperSpec,
  type NetworkSpec,
  type Owner,
} from '../port.js';

/** The few things a container of the suite does; each engine says how (shell, or a word the fake understands). */
export interface ContractPrograms {
  /** Prints the lines and ends with the code. */
  print(code: number, ...lines: string[]): string[];
  /** Runs until it is stopped, and dies of SIGTERM. */
  idle(): string[];
  /** Runs on, whatever SIGTERM says. */
  stubborn(): string[];
  /** For each path `<octal mode> <uid>:<gid>`, then the content; ends with 1 when one is not readable. */
  show(...paths: string[]): string[];
  /** Prints its standard input and ends with the code. */
  cat(code: number): string[];
}

export interface ContractHarness {
  engine: Engine;
  /** An image the engine has. */
  image: string;
  programs: ContractPrograms;
  /** First two numbers of an IPv4 /16 nobody uses on this engine. */
  prefix: string;
  close(): Promise<void>;
}

export const SECONDS = 1_000;
export const bounds = { deadlineMs: 20 * SECONDS };

/** Names, labels and specs of one run of the suite: two runs on one engine never meet. */
export class ContractWorld {
  readonly platform = randomUUID();
  /** Another platform on the same engine. */
  readonly stranger = randomUUID();
  readonly tenant = randomUUID();
  readonly mine: Owner = { platform: this.platform, tenant: this.tenant };
  private readonly run = randomBytes(2).toString('hex');
  private subnets = randomBytes(1)[0] ?? 0;
  private harness: ContractHarness | undefined;

  constructor(private readonly prepare: () => Promise<ContractHarness>) {}

  get engine(): Engine {
    return this.ready.engine;
  }
  get image(): string {
    return this.ready.image;
  }
  get programs(): ContractPrograms {
    return this.ready.programs;
  }

  async open(): Promise<void> {
    this.harness = await this.prepare();
  }
  async close(): Promise<void> {
    await this.harness?.close();
  }

  named(rest: string): string {
    return `aviary-ct${this.run}-${rest}`;
  }

  labels(more: Record<string, string> = {}): Record<string, string> {
    return { [LABEL.platform]: this.platform, [LABEL.tenant]: this.tenant, [LABEL.generation]: '1', ...more };
  }

  network(rest: string, change: Partial<NetworkSpec> = {}): NetworkSpec {
    this.subnets = (this.subnets + 1) % 256;
    const base = `${this.ready.prefix}.${this.subnets}`;
    return {
      name: this.named(rest),
      labels: this.labels({ [LABEL.role]: 'tenant' }),
      subnet: `${base}.0/26`,
      gateway: `${base}.1`,
      ipRange: `${base}.32/27`,
      internal: true,
      icc: true,
      bridgeName: `ct${this.run}${this.subnets}`,
      ...change,
    };
  }

  container(rest: string, change: Partial<ContainerSpec> = {}): ContainerSpec {
    return {
      name: this.named(rest),
      labels: this.labels({ [LABEL.service]: rest }),
      image: this.image,
      command: this.programs.idle(),
      environment: { GREETING: 'hello' },
      user: '10001:10001',
      mounts: [],
      tmpfs: [{ target: '/tmp', sizeBytes: 1024 * 1024 }],
      networks: [],
      extraHosts: { 'portal.example.org': '192.0.2.1' },
      limits: { cpus: 0.5, memoryBytes: 64 * 1024 * 1024, pids: 32 },
      ulimits: { nofile: 1024 },
      stopGraceSeconds: 5,
      restart: 'no',
      ...change,
    };
  }

  helper(rest: string, change: Partial<HelperSpec> = {}): HelperSpec {
    return {
      name: this.named(rest),
      labels: { [LABEL.platform]: this.platform, [LABEL.role]: 'helper' },
      image: this.image,
      command: this.programs.print(0, 'done'),
      hostNetwork: true,
      capabilities: [],
      user: '0:0',
      ...change,
    };
  }

  async state({ name }: { name: string }): Promise<ContainerState> {
    const { containers } = await this.engine.observe(this.mine, bounds);
    const found = containers.find((one) => one.name === name);
    if (!found) {
      throw new Error(`${name} is not there`);
    }
    return found;
  }

  async ended(spec: ContainerSpec): Promise<ContainerState> {
    return await waitFor(
      async () => {
        const now = await this.state(spec);
        return now.status === 'exited' ? now : undefined;
      },
      { what: `end of ${spec.name}`, deadlineMs: 10 * SECONDS },
    );
  }

  async started(spec: ContainerSpec): Promise<ContainerSpec> {
    await this.engine.createContainer(spec, bounds);
    await this.engine.startContainer(spec.name, bounds);
    return spec;
  }

  /** Removes what the run made, so that a failed test leaves nothing to the next. */
  async clear(): Promise<void> {
    for (const owner of [{ platform: this.platform }, { platform: this.stranger }]) {
      const { containers, networks, volumes } = await this.engine.observe(owner, bounds);
      await Promise.all(containers.map((one) => this.engine.removeContainer(one.name, owner, bounds)));
      await Promise.all(networks.map((one) => this.engine.removeNetwork(one.name, owner, bounds)));
      await Promise.all(volumes.map((one) => this.engine.removeVolume(one.name, owner, bounds)));
    }
  }

  private get ready(): ContractHarness {
    if (!this.harness) {
      throw new Error('The suite’s engine is not prepared yet.');
    }
    return this.harness;
  }
}

/** The host's number within a network's subnet. */
export function addressIn(spec: NetworkSpec, host: number): string {
  return spec.gateway.replace(/\d+$/, String(host));
}
