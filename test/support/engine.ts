import { execFile, spawn, type ChildProcess, type SpawnOptions } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';

const execute = promisify(execFile);
const SCRIPT = join(import.meta.dirname, '../../scripts/dev/test-engine');

function fromRunner(name: string): string {
  const value = process.env[name];
  if (!value) {
    throw new Error(`${name} is not set: end-to-end tests are started by scripts/test e2e, which makes their engine.`);
  }
  return value;
}

/** `unix://…` of the tests' own engine. */
export function engineEndpoint(): string {
  return fromRunner('AVIARY_TEST_DOCKER');
}

export function engineSocket(): string {
  return engineEndpoint().replace(/^unix:\/\//, '');
}

const IMAGES = ['base', 'portal', 'runtime', 'postgres', 'postgres-older', 'redis', 'traefik', 'test-tools'] as const;

/** Reference of one of the platform's images, which the tests' engine has. */
export function testImage(name: (typeof IMAGES)[number]): string {
  return fromRunner(`AVIARY_IMAGE_${name.replace('-', '_').toUpperCase()}`);
}

async function control(verb: 'start' | 'kill' | 'reboot', withinSeconds = 60): Promise<void> {
  await execute(SCRIPT, [verb], {
    timeout: (withinSeconds + 60) * 1_000,
    env: { ...process.env, AVIARY_TEST_ENGINE_SECONDS: String(withinSeconds) },
  });
}

/** The engine is killed at once; containers live on without it, as with live-restore in production. */
export async function killEngine(): Promise<void> {
  await control('kill');
}

/** Starts a killed engine and resolves when it answers: after a power cut, once it has started all its containers. */
export async function startEngine(withinSeconds?: number): Promise<void> {
  await control('start', withinSeconds);
}

/** A power cut: engine, containers and firewall rules are gone; disks stay. `startEngine` is the next boot. */
export async function cutPower(): Promise<void> {
  await control('reboot');
}

/** Runs the docker client on the tests' engine and gives what it printed. */
export async function docker(...args: string[]): Promise<string> {
  const { stdout } = await execute('docker', ['-H', engineEndpoint(), ...args], {
    timeout: 120_000,
    maxBuffer: 64 * 1024 * 1024,
  });
  return stdout.trim();
}

/** The host's number of a container's first process; 0 while none runs. */
export async function pidOf(container: string): Promise<number> {
  return Number(await docker('inspect', '-f', '{{.State.Pid}}', container));
}

/**
 * `kill -9` as the kernel's own killer does it: nobody asked the engine, whose restart policy acts. `first` is done once
 * the process is known, for an engine that is not to be asked any more. Gives the number it had.
 */
export async function killProcess(container: string, first?: () => Promise<void>): Promise<number> {
  const pid = await pidOf(container);
  if (pid === 0) {
    throw new Error(`${container} does not run`);
  }
  await first?.();
  process.kill(pid, 'SIGKILL');
  return pid;
}

/** Every process of a container stands still from here on, as one that hangs; the engine notices nothing of it. */
export async function hang(container: string): Promise<void> {
  const [, ...pids] = (await docker('top', container, '-eo', 'pid')).split('\n');
  if (pids.length === 0) {
    throw new Error(`${container} does not run`);
  }
  for (const pid of pids) {
    process.kill(Number(pid), 'SIGSTOP');
  }
}

/**
 * Starts a process beside the engine. Tests run in its network namespace already, so a child's ports, its 127.0.0.1
 * and its routes to containers are the engine's.
 */
export function spawnBeside(file: string, args: readonly string[], options: SpawnOptions = {}): ChildProcess {
  return spawn(file, [...args], options);
}
