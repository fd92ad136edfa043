import { join } from 'node:path';
import { DeadlineError, waitFor } from '#libs/async';
import { installAcmeClient } from './acme-client.js';
import { prepareCertificates } from './certificates.js';
import { composed, type Compose, type ImageReferences } from './compose.js';
import { installFirewall } from './firewall.js';
import { writeWhole } from './files.js';
import { noteBegun, noteGood } from './last-good.js';
import { makeFolders, POOL_RECORD, writePlatformFiles } from './layout.js';
import { migrateDatabase, runOnce } from './one-off.js';
import { isBalancedTo, isReady, waitUntilHealthy } from './portal-health.js';
import { removeFormerFiles, withCheckFiles, writeAgentFiles } from './portal-secrets.js';
import type { HostFacts } from './preflight.js';
import { changedServices, pairOf, rollSteps, type PairKind } from './roll.js';
import { CommandError } from './run-command.js';
import type { Platform } from './settings.js';
import { staysWell, type Staying } from './staying-well.js';
import { DATABASE_MS, databaseAnswers, ownStores } from './stores.js';
import { Refusal, say } from './talk.js';

/** From the start of an api or a gate until it can do its work, on a host that is short of everything. */
const READY_MS = 120_000;
/** The proxy looks each second; where it does not see what we see, the deploy goes on all the same. */
const BALANCER_MS = 15_000;

export interface Deployment {
  platform: Platform;
  repository: string;
  images: ImageReferences;
  /** Reference of the image with the ACME client, where one is wanted. */
  acmeClient: string | null;
  facts: HostFacts;
  /** How long the whole may take to be well. */
  healthyMs: number;
  /** What it has to be well for beyond that before it counts as well; nothing where left out. */
  staying?: Staying;
}

/**
 * Makes the portal what the sources and settings say and waits until it is well, which is then noted. Every step leaves
 * what is right as it is; while an api runs one of the two always answers, and so does one of the gates. Throws where it does not become well: the
 * schema is then the new one, on which what ran before runs too.
 */
export async function bringUp(deployment: Deployment): Promise<void> {
  const { platform, repository, images, acmeClient, facts, healthyMs, staying } = deployment;
  const { config } = platform;
  await makeFolders(config);
  if (acmeClient !== null) {
    await installAcmeClient(acmeClient, platform);
  }
  await writePlatformFiles(platform, repository);
  await prepareCertificates(platform);
  await installFirewall(platform);

  const compose = await composed(repository, platform, { images, routes: facts.routes });
  await noteBegun(config, compose);
  // The other scripts use the images that run, not those the sources would make by now.
  await writeWhole(join(config.DATA_DIR, 'portal-image'), `${images.portal}\n`, { mode: 0o644 });
  const { recorded } = facts.pool;
  if (recorded !== null && recorded !== config.ADDRESS_POOL) {
    // A network keeps its addresses, so it is made anew; volumes stay. No stack is there yet: that was checked.
    say(`moving the portal from ${recorded} to ${config.ADDRESS_POOL}`);
    await compose.call(['down'], { show: true });
  }
  await ownStores(compose, platform);
  await compose.call(['up', '-d', 'postgres', 'redis'], { show: true });
  await writeWhole(join(config.DATA_DIR, POOL_RECORD), `${config.ADDRESS_POOL}\n`, { mode: 0o644 });
  say('bringing the database up to date');
  await databaseAnswers(platform);
  await migrateDatabase(compose, platform);
  await checkKeys(compose, platform);
  await writeAgentFiles(platform);
  await roll(compose, platform, healthyMs);
  say('waiting until everything answers');
  await waitUntilHealthy(platform, healthyMs);
  const services = Object.keys(await compose.wanted());
  if (staying !== undefined) {
    await staysWell(platform, services, staying);
  }
  await removeFormerFiles(platform);
  await noteGood(config, compose, { services, now: new Date() });
}

/**
 * Makes the services anew that are not as they are to be, in an order in which an api and a gate always answer. One of these
 * that does not become ready, within the given time at most, ends it there.
 */
export async function roll(compose: Compose, platform: Pick<Platform, 'config'>, mostMs: number): Promise<void> {
  const [wanted, running] = [await compose.wanted(), await compose.running()];
  const changed = changedServices(wanted, running);
  const steps = rollSteps(wanted, running);
  for (const services of steps) {
    const anew = services.filter((name) => changed.includes(name));
    if (steps.length > 1 && anew.length > 0) {
      say(`replacing ${anew.join(', ')}`);
    }
    await compose.call(['up', '-d', '--no-deps', ...services], { show: true });
    for (const name of steps.length > 1 ? services : []) {
      const kind = pairOf(name);
      if (kind !== null) {
        await untilItTakesRequests(compose, platform, { name, kind, deadlineMs: Math.min(READY_MS, mostMs) });
      }
    }
  }
  await compose.call(['up', '-d', '--remove-orphans'], { show: true });
}

/** Until then the other one is left alone. */
async function untilItTakesRequests(
  compose: Compose,
  platform: Pick<Platform, 'config'>,
  { name, kind, deadlineMs }: { name: string; kind: PairKind; deadlineMs: number },
): Promise<void> {
  const address = compose.environment[`AVIARY_${name.toUpperCase()}_ADDRESS`] ?? '';
  const wait = { intervalMs: 100, maxIntervalMs: 500 };
  try {
    await waitFor(async () => ((await isReady(kind, address)) ? true : undefined), {
      what: `an answer of ${name}`,
      deadlineMs,
      ...wait,
    });
  } catch (error) {
    if (!(error instanceof DeadlineError)) {
      throw error;
    }
    throw new Refusal([
      `The new ${name} does not become ready within ${deadlineMs / 1_000} s, so nothing after it was replaced: the other ${kind} goes on as it is. See docker logs aviary-${compose.environment['AVIARY_PREFIX'] ?? ''}-${name}.`,
    ]);
  }
  await waitFor(async () => ((await isBalancedTo(platform, kind, address)) === false ? undefined : true), {
    what: `the proxy sending requests to ${name}`,
    deadlineMs: BALANCER_MS,
    ...wait,
  }).catch((error: unknown) => {
    if (!(error instanceof DeadlineError)) {
      throw error;
    }
    say(`${name} answers, and the proxy does not send requests there yet`);
  });
}

/** A wrong master key is told before the agent that runs is replaced, or what it starts with. */
async function checkKeys(compose: Compose, platform: Platform): Promise<void> {
  try {
    await withCheckFiles(platform, async () => {
      await runOnce(compose, 'check-keys', DATABASE_MS);
    });
  } catch (error) {
    const said = error instanceof CommandError ? error.output.split('\n').filter((line) => line.startsWith('✗ ')) : [];
    if (said.length === 0) {
      throw error;
    }
    throw new Refusal(
      said.map((line) => line.slice(2)),
      2,
    );
  }
}
