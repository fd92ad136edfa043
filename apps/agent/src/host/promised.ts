import type { Promised } from '#libs/tenants';
import { ownObjects } from './engine-facts.js';
import { run } from './run-command.js';

const MIB = 1024 ** 2;

interface Inspected {
  State: { Running: boolean };
  HostConfig: { Memory: number; NanoCpus: number; PidsLimit: number | null };
  NetworkSettings: { Networks: Record<string, unknown> };
}

/** What the engine itself says is promised to stacks, for when the portal's rows cannot be asked. */
export async function promisedOnEngine(platformId: string): Promise<Omit<Promised, 'diskGb'>> {
  const names = await ownObjects('container', platformId, ['label=aviary.tenant']);
  const containers =
    names.length === 0
      ? []
      : (JSON.parse(await run('docker', ['inspect', ...names], { deadlineMs: 30_000 })) as Inspected[]);
  const running = containers.filter(({ State }) => State.Running);
  const sum = (of: (container: Inspected) => number): number =>
    running.reduce((total, container) => total + of(container), 0);
  return {
    memoryMb: Math.round(sum(({ HostConfig }) => HostConfig.Memory) / MIB),
    cpus: sum(({ HostConfig }) => HostConfig.NanoCpus) / 1e9,
    pids: sum(({ HostConfig }) => HostConfig.PidsLimit ?? 0),
    containers: running.length,
    subnets: (await ownObjects('network', platformId, ['label=aviary.tenant'])).length,
    // A stopped container has its address as well.
    edgePorts: containers.filter(({ NetworkSettings }) =>
      Object.keys(NetworkSettings.Networks).some((network) => network.includes('-edge-')),
    ).length,
  };
}
