import { totalmem } from 'node:os';
import { setTimeout as pause } from 'node:timers/promises';
import { DeadlineError, waitFor } from '#libs/async';
import { CAPACITY_DEFAULTS } from '#libs/contracts';
import { HostFiles, type ContainerFigures } from '../../apps/agent/src/watch/host-files.js';
import { cutPower, docker, startEngine } from '../support/engine.js';
import { engineObjects } from '../support/platform.js';
import type { PortalClient } from '../support/portal-client.js';
import { makeStacks, withOwnPlatform } from './own-platform.js';
import { busiest, processorSeconds } from './processor.js';
import { atMost, median, round, type BenchResult } from './report.js';

interface Options {
  /** Memory of the host as the platform is to see it, in GiB. */
  limitGb: number;
  say: (text: string) => void;
}

const IDLE_SECONDS = 60;
const MEASURED_SECONDS = 60;
const BUSIEST = 12;
const SERVICES = ['postgres', 'redis', 'runtime'] as const;
const FREE_MEMORY_MB = 512;
const BACK_MS = 900_000;
const GIB_MB = 1_024;

interface Found {
  mib: number;
  cpuPercent: number;
}

/**
 * Fills a host of so much memory with real stacks that do nothing, until the platform refuses the next one, and measures
 * what they take. The host is as large as this machine; its share that may be promised is set so that as many stacks
 * fit as would on one of that size. Then the power is cut, and all of them start at once.
 */
export function density({ limitGb, say }: Options): Promise<BenchResult> {
  const hostMb = Math.floor(totalmem() / 1024 ** 2);
  const promisedMb = limitGb * GIB_MB * CAPACITY_DEFAULTS.overcommit.memory;
  const stacks = Math.floor(promisedMb / FREE_MEMORY_MB);
  // A host is never promised less than once: below that, each stack takes more of the promise, with the same count.
  const overcommit = Math.max(1, promisedMb / hostMb);
  const memoryMb = promisedMb < hostMb ? Math.floor(hostMb / stacks) : FREE_MEMORY_MB;
  return withOwnPlatform(
    { AVIARY_OVERCOMMIT_MEMORY: overcommit.toFixed(4) },
    async ({ platform, customer }): Promise<BenchResult> => {
      await platform.sql(
        `update plans set limits = jsonb_set(limits, '{memoryMb}', '${memoryMb}') where code = 'free'`,
      );
      const host = new HostFiles({ cgroupDir: '/sys/fs/cgroup', procDir: '/proc', diskPath: '/' });
      const before = await host.host();
      const began = performance.now();
      const { slugs, refusal } = await makeStacks(customer, stacks * 2, say);
      const making = (performance.now() - began) / 1_000;
      const left = await tracesBeyond(slugs.length, platform.facts.platformId);
      say(`${slugs.length} stacks run; idle for ${IDLE_SECONDS} s, then measured for ${MEASURED_SECONDS} s`);
      await pause(IDLE_SECONDS * 1_000);
      const names = slugs.flatMap((slug) => SERVICES.map((service) => platform.service(slug, service)));
      const containers = await containerNames(names);
      const look = async () => ({
        stacks: await figures(host, names),
        host: await host.host(),
        programs: await processorSeconds((id) => containers.get(id)),
      });
      const first = await look();
      await pause(MEASURED_SECONDS * 1_000);
      const second = await look();
      const programs = busiest(first.programs, second.programs, { seconds: MEASURED_SECONDS, count: BUSIEST });
      const each = SERVICES.map((service): [string, Found] => {
        const own = [...second.stacks].filter(([name]) => name.endsWith(`-${service}`));
        return [
          service,
          {
            mib: round(median(own.map(([, { memoryBytes }]) => memoryBytes)) / 1024 ** 2, 1),
            cpuPercent: round(
              median(
                own.map(
                  ([name, { cpuSeconds }]) =>
                    ((cpuSeconds - (first.stacks.get(name)?.cpuSeconds ?? 0)) / MEASURED_SECONDS) * 100,
                ),
              ),
              2,
            ),
          },
        ];
      });
      const sum = (of: (found: Found) => number): number =>
        round(
          each.reduce((total, [, found]) => total + of(found), 0),
          2,
        );
      const hostMib = round((second.host.memoryBytes - before.memoryBytes) / 1024 ** 2 / slugs.length, 1);
      const hostCpu = round(((second.host.cpuSeconds - first.host.cpuSeconds) / MEASURED_SECONDS) * 100, 1);
      const restarts = await docker('inspect', '-f', '{{.RestartCount}}', ...names);
      const died = restarts.split('\n').filter((times) => times !== '0').length;
      say('the power is cut');
      const back = await afterPowerCut(customer, slugs);
      return {
        metrics: {
          limit_gb: limitGb,
          stacks: slugs.length,
          making_seconds: round(making),
          stack_mib: sum(({ mib }) => mib),
          stack_cpu_percent: sum(({ cpuPercent }) => cpuPercent),
          host_mib_per_stack: hostMib,
          host_cpu_percent: hostCpu,
          power_cut_engine_seconds: round(back.engine),
          power_cut_half_seconds: round(median(back.served)),
          power_cut_all_seconds: round(Math.max(...back.served)),
        },
        goals: [
          atMost(
            'memory of an idle stack',
            'MiB',
            120,
            sum(({ mib }) => mib),
          ),
          {
            metric: 'stacks on the host before the refusal',
            unit: '',
            goal: `= ${stacks}`,
            value: slugs.length,
            met: slugs.length === stacks,
          },
          {
            metric: 'the next one was refused politely (NO_CAPACITY, with figures)',
            unit: '',
            goal: '= 1',
            value: refusal ? 1 : 0,
            met: refusal !== null && /"resource":"memory"/.test(refusal.message),
          },
          atMost('objects left of what was refused', '', 0, left),
          atMost('containers that were restarted', '', 0, died),
          {
            metric: 'stacks that serve again after a power cut',
            unit: '',
            goal: `= ${slugs.length}`,
            value: back.served.length,
            met: back.served.length === slugs.length,
          },
        ],
        lines: [
          `${slugs.length} stacks made in ${round(making)} s on a host of ${limitGb} GiB (each may take ${memoryMb} MiB, promised ${round(overcommit, 2)} times)`,
          ...each.map(
            ([service, { mib, cpuPercent }]) => `idle ${service.padEnd(10)} ${mib} MiB, ${cpuPercent} % of a core`,
          ),
          `the host: ${hostMib} MiB for each stack, everything counted; ${hostCpu} % of a core for all of it`,
          `of that: ${programs.map(({ name, percent }) => `${name} ${round(percent, 1)} %`).join(', ')}`,
          `after a power cut the engine answered in ${round(back.engine)} s, half of the stacks in ${round(median(back.served))} s, all in ${round(Math.max(...back.served))} s`,
          refusal === null ? 'nothing was refused' : `refused: ${refusal.message}`,
        ],
      };
    },
  );
}

/** Seconds from the engine's next start until it answers, and until each stack that came back served its owner. */
async function afterPowerCut(
  customer: PortalClient,
  slugs: readonly string[],
): Promise<{ engine: number; served: number[] }> {
  for (const slug of slugs) {
    await customer.signOn(slug);
  }
  await cutPower();
  const began = performance.now();
  const seconds = (): number => (performance.now() - began) / 1_000;
  await startEngine(300);
  const engine = seconds();
  const served = new Map<string, number>();
  await waitFor(
    async () => {
      for (const slug of slugs.filter((one) => !served.has(one))) {
        const answer = await customer.ask(customer.dashboardHost(slug), '/ready').catch(() => undefined);
        if (answer?.status === 200) {
          served.set(slug, seconds());
        }
      }
      return served.size === slugs.length ? true : undefined;
    },
    { what: 'all stacks serving again', deadlineMs: BACK_MS, intervalMs: 200, maxIntervalMs: 500 },
  ).catch((error: unknown) => {
    // How many came back is the figure.
    if (!(error instanceof DeadlineError)) {
      throw error;
    }
  });
  return { engine, served: [...served.values()] };
}

/** Objects of stacks beyond those that were made; a stack has nine. */
async function tracesBeyond(stacks: number, platformId: string): Promise<number> {
  const own = await engineObjects('--filter', `label=aviary.platform=${platformId}`, '--filter', 'label=aviary.tenant');
  const each = { containers: 3, networks: 1, volumes: 5 };
  return (Object.keys(each) as (keyof typeof each)[]).reduce(
    (beyond, kind) => beyond + Math.abs(own[kind].length - stacks * each[kind]),
    0,
  );
}

/** What each container is called in a list of what a host's processor does: stacks by service, all others by name. */
async function containerNames(ofStacks: readonly string[]): Promise<Map<string, string>> {
  const stacks = new Set(ofStacks);
  const lines = await docker('ps', '--no-trunc', '--format', '{{.ID}} {{.Names}}');
  return new Map(
    lines.split('\n').map((line): [string, string] => {
      const [id = '', name = ''] = line.split(' ');
      return [
        id,
        stacks.has(name) ? `stacks' ${SERVICES.find((service) => name.endsWith(`-${service}`)) ?? name}` : name,
      ];
    }),
  );
}

async function figures(host: HostFiles, names: readonly string[]): Promise<Map<string, ContainerFigures>> {
  const ids = (await docker('inspect', '-f', '{{.Id}}', ...names)).split('\n');
  const found = await host.containers(ids.map((id) => ({ id, outward: false })));
  return new Map(
    names.map((name, index) => {
      const own = found.get(ids[index] ?? '');
      if (!own) {
        throw new Error(`nothing was measured of ${name}`);
      }
      return [name, own];
    }),
  );
}
