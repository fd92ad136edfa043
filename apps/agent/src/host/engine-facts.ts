import { NEWEST_API, OLDEST_API } from '#libs/engine';
import { CommandError, run } from './run-command.js';
import { Refusal } from './talk.js';

export interface EngineFacts {
  version: string;
  apiVersion: string;
  minApiVersion: string;
  dataRoot: string;
  memoryBytes: number;
  cpus: number;
  liveRestore: boolean;
  cgroupVersion: string;
}

const number = (version: string): number => {
  const [major = '0', minor = '0'] = version.split('.');
  return Number(major) * 1000 + Number(minor);
};

/** Null when the versions meet; else the sentence to say. */
export function apiProblem(engine: Pick<EngineFacts, 'version' | 'apiVersion' | 'minApiVersion'>): string | null {
  if (number(engine.apiVersion) < number(OLDEST_API)) {
    return `Docker Engine ${engine.version} speaks API ${engine.apiVersion}; version 20.10 (API ${OLDEST_API}) or newer is needed.`;
  }
  if (number(engine.minApiVersion) > number(NEWEST_API)) {
    return `Docker Engine ${engine.version} no longer speaks API ${NEWEST_API}, the newest this release knows. Use an older engine or a newer release.`;
  }
  return null;
}

export async function engineFacts(): Promise<EngineFacts> {
  try {
    const server = JSON.parse(
      await run('docker', ['version', '--format', '{{json .Server}}'], { deadlineMs: 15_000 }),
    ) as {
      Version: string;
      ApiVersion?: string;
      APIVersion?: string;
      MinAPIVersion?: string;
    };
    const info = JSON.parse(await run('docker', ['info', '--format', '{{json .}}'], { deadlineMs: 15_000 })) as {
      DockerRootDir: string;
      MemTotal: number;
      NCPU: number;
      LiveRestoreEnabled?: boolean;
      CgroupVersion?: string;
    };
    return {
      version: server.Version,
      apiVersion: server.ApiVersion ?? server.APIVersion ?? '0.0',
      minApiVersion: server.MinAPIVersion ?? '1.12',
      dataRoot: info.DockerRootDir,
      memoryBytes: info.MemTotal,
      cpus: info.NCPU,
      liveRestore: info.LiveRestoreEnabled === true,
      cgroupVersion: info.CgroupVersion ?? '1',
    };
  } catch (cause) {
    if (cause instanceof CommandError) {
      throw new Refusal(['The Docker Engine does not answer. Start it (systemctl start docker) and try again.'], 8);
    }
    throw cause;
  }
}

/** How far the engine's clock is ahead of ours; 0 where it does not say. */
export async function engineSkewSeconds(): Promise<number> {
  const engineTime = Date.parse((await run('docker', ['info', '--format', '{{.SystemTime}}'])).trim());
  return Number.isNaN(engineTime) ? 0 : (engineTime - Date.now()) / 1000;
}

/** Names of objects of one kind that carry the platform's id. */
export async function ownObjects(
  kind: 'container' | 'network' | 'volume',
  platformId: string,
  filters: readonly string[] = [],
): Promise<string[]> {
  const list = kind === 'container' ? ['ps', '-a', '--format', '{{.Names}}'] : [kind, 'ls', '--format', '{{.Name}}'];
  const all = [`label=aviary.platform=${platformId}`, ...filters].flatMap((filter) => ['--filter', filter]);
  return (await run('docker', [...list, ...all], { deadlineMs: 30_000 })).split('\n').filter(Boolean);
}
