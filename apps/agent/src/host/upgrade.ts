import { readFile } from 'node:fs/promises';
import { DomainError } from '#libs/contracts';
import { afterwards } from './afterwards.js';
import { bringUp, roll } from './bring-up.js';
import { composed, composeFile, IMAGES, type ImageReferences } from './compose.js';
import { ensureImage, ensureImages, imageReferences } from './images.js';
import {
  changedImages,
  composeOfGood,
  goodBehind,
  imageOf,
  noteBack,
  readGood,
  type ImageChange,
  type LastGood,
} from './last-good.js';
import { missingKeyFiles } from './master-key.js';
import { removeOldImages } from './old-images.js';
import { endMigration } from './one-off.js';
import { portalBackupAnswer } from './portal-backup-answer.js';
import { proxyComplaint, waitUntilHealthy } from './portal-health.js';
import { hostFacts, problems, type HostFacts } from './preflight.js';
import { documentOf, failureOf } from './host-answer.js';
import { changedServices, STORES } from './roll.js';
import { CommandError, run } from './run-command.js';
import { readPlatform, saveEnv, type Platform } from './settings.js';
import { databaseAnswers } from './stores.js';
import { hostCommand, Refusal, result, say } from './talk.js';
import { upgradeWishOf, type UpgradeWish } from './upgrade-options.js';
import { sayWaitingReleases } from './waiting-releases.js';

const SCHEMA = 'aviary/upgrade/1';
const FOUND_PROBLEMS = 8;
const AWAY = 9;
/** What runs now has run for a while: it only has to answer once. */
const WELL_MS = 60_000;
/** A large database is written out, stored and restored beside to prove it. */
const BACKUP_MS = 12 * 3_600_000;

interface Outcome {
  outcome: 'nothing to do' | 'would upgrade' | 'upgraded' | 'put back';
  /** In the order in which they are replaced. */
  services: string[];
  images: ImageChange[];
  /** Of the portal, taken before anything was changed. */
  backup: string | null;
  /** What went wrong once all of that was done. */
  warnings: string[];
}

async function upgrade(repository: string, wish: UpgradeWish): Promise<Outcome> {
  const platform = await readPlatform(repository);
  if (platform.isNew) {
    throw new Refusal(['The platform was not set up here. Run scripts/up first.'], AWAY);
  }
  const { config } = platform;
  const good = await (wish.back ? goodBehind(config) : readGood(config));
  if (good === null) {
    throw new Refusal(
      ['Of what runs now nothing is kept to go back to: run scripts/up once, which notes it, then upgrade.'],
      AWAY,
    );
  }
  if (wish.back) {
    await goBack(platform, good, wish);
    return { outcome: 'put back', services: [], images: [], backup: null, warnings: [] };
  }
  const facts = await hostFacts(platform);
  const against = [...problems(platform, facts), ...(await missingKeyFiles(config))];
  if (against.length > 0) {
    throw new Refusal(against, FOUND_PROBLEMS);
  }
  const images = wish.dryRun ? await listedImages(repository) : await ensureImages(repository);
  const changes = await changesOf(platform, { repository, images, facts, good });
  if (changes.services.length === 0 || wish.dryRun) {
    const outcome = changes.services.length === 0 ? 'nothing to do' : 'would upgrade';
    return { ...changes, outcome, backup: null, warnings: [] };
  }
  await requireWell(platform, good);
  const staying = { forMs: wish.stayMs, proxyCounts: (await proxyComplaint(platform)) === '' };
  const backup = await backedUp(platform);
  if (await saveEnv(platform)) {
    say(`settings were added to ${platform.envFile}`);
  }
  try {
    const acmeClient = config.TLS_MODE === 'acme' ? await ensureImage(repository, 'lego') : null;
    await bringUp({ platform, repository, images, acmeClient, facts, healthyMs: wish.withinMs, staying });
  } catch (error) {
    await afterFailure(platform, { good, wish, backup, error });
  }
  const warnings = await afterwards({
    'superseded images were not removed': () => removeOldImages(platform, repository),
    'which releases wait could not be read': () => sayWaitingReleases(platform),
  });
  return { ...changes, outcome: 'upgraded', backup, warnings };
}

/** What the sources would make; nothing is made. */
async function listedImages(repository: string): Promise<ImageReferences> {
  const found = await imageReferences(repository, IMAGES);
  return Object.fromEntries(IMAGES.map((name) => [name, found.get(name) ?? ''])) as ImageReferences;
}

async function changesOf(
  platform: Platform,
  {
    repository,
    images,
    facts,
    good,
  }: { repository: string; images: ImageReferences; facts: HostFacts; good: LastGood },
): Promise<Pick<Outcome, 'services' | 'images'>> {
  const compose = await composed(repository, platform, { images, routes: facts.routes });
  const services = changedServices(await compose.wanted(), await compose.running());
  return { services, images: changedImages(good.environment, compose.environment) };
}

/** Of what is unwell before, nothing afterwards would tell whether the new version is. */
async function requireWell(platform: Platform, { services }: LastGood): Promise<void> {
  try {
    await waitUntilHealthy(platform, WELL_MS, services);
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new Refusal(
      [
        `What runs now is not well, so nothing was changed: ${why}`,
        'See scripts/aviary doctor. After an upgrade that was cut off: scripts/upgrade --back. scripts/up brings the new version up without a way back.',
      ],
      FOUND_PROBLEMS,
    );
  }
}

/** Takes a backup of the portal, proven by restoring it, and gives its id. */
async function backedUp(platform: Platform): Promise<string> {
  say('backing the portal up before anything is changed');
  const worker = `aviary-${platform.prefix}-worker`;
  const command = ['node', 'dist/apps/cli/src/main.js', 'portal', 'backup', '--json'];
  const wait = `--timeout=${BACKUP_MS / 1_000}`;
  let said: string;
  try {
    said = await run('docker', ['exec', worker, ...command, wait], { deadlineMs: BACKUP_MS });
  } catch (error) {
    if (!(error instanceof CommandError)) {
      throw error;
    }
    throw notBackedUp(portalBackupAnswer(error.stdout).why ?? error.output.trim());
  }
  const { verified } = portalBackupAnswer(said);
  if (verified === null) {
    throw notBackedUp(`Asked for a backup, the version that runs answered: ${said.trim() || 'nothing'}`);
  }
  return verified;
}

const notBackedUp = (why: string): Refusal =>
  new Refusal([`The portal could not be backed up, so nothing was changed. ${why}`]);

interface Failed {
  good: LastGood;
  wish: UpgradeWish;
  backup: string;
  error: unknown;
}

/** Puts back what ran. Always throws: what was wished did not come to be. */
async function afterFailure(platform: Platform, { good, wish, backup, error }: Failed): Promise<never> {
  const why = error instanceof Error ? error.message : String(error);
  say(`the new version is not well: ${why}`);
  say('putting back what ran before; the database stays as it is, which both versions can work with');
  try {
    await goBack(platform, good, wish);
  } catch (cause) {
    const also = cause instanceof Error ? cause.message : String(cause);
    throw new Refusal(
      [
        `The new version did not become well: ${why}`,
        `And what ran before could not be put back: ${also} Try scripts/upgrade --back again; stacks and their bots run on. Before the upgrade the portal was backed up (${backup}).`,
      ],
      FOUND_PROBLEMS,
    );
  }
  throw new DomainError('HEALTH_GATE_FAILED', {
    message: `The new version did not become well, so what ran before (${imageOf(good)}) runs again, and is well. ${why}`,
    details: { backup },
    cause: error,
  });
}

/** Its own images are still there: only the second version that is well after it removes them. */
async function goBack(platform: Platform, good: LastGood, { withinMs }: UpgradeWish): Promise<void> {
  const compose = await composeOfGood(platform.config, good);
  await compose.call(['up', '-d', '--no-deps', ...STORES], { show: true });
  await databaseAnswers(platform);
  await endMigration(compose, platform);
  const mostMs = Math.max(withinMs, WELL_MS);
  await roll(compose, platform, mostMs);
  await waitUntilHealthy(platform, mostMs, good.services);
  await noteBack(platform.config, good);
}

function show({ outcome, services, images, backup }: Outcome): void {
  for (const { image, from, to } of images) {
    result(`${image}: ${from || 'none'} → ${to}`);
  }
  const replaced = services.join(', ');
  const words: Record<Outcome['outcome'], string> = {
    'nothing to do': 'The platform is what these sources and settings make; nothing was done.',
    'would upgrade': `Would back the portal up, then replace one after the other: ${replaced}. Nothing was done.`,
    upgraded: `✓ upgraded, and well: ${replaced}. The portal was backed up before (${backup ?? ''}).`,
    'put back': '✓ what was well before runs again.',
  };
  result(words[outcome]);
}

await hostCommand(async () => {
  const [repository, ...args] = process.argv.slice(2);
  if (repository === undefined) {
    throw new Refusal(['Run scripts/upgrade; it starts this inside the tools image.'], 2);
  }
  const json = args.includes('--json');
  try {
    await readFile(composeFile(repository));
    const outcome = await upgrade(repository, upgradeWishOf(args));
    if (json) {
      result(documentOf(SCHEMA, outcome, null));
    } else {
      show(outcome);
    }
    return 0;
  } catch (error) {
    const failure = failureOf(error);
    if (json) {
      result(documentOf(SCHEMA, null, failure));
      return failure.exit;
    }
    throw failure.exit === 1 ? error : new Refusal(failure.message.split('\n'), failure.exit);
  }
});
