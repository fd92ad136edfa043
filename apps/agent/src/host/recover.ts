import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline/promises';
import {
  chooseBackup,
  listBackups,
  namingOthers,
  PortalRepository,
  recoverPortal,
  requireMasterKeys,
  requireNoLife,
  type Choice,
  type Recovered,
} from '#libs/backup';
import { givenSettings, loadConfig } from '#libs/config';
import { DomainError, isDomainError } from '#libs/contracts';
import { DockerStreams } from '#libs/engine';
import { readMasterKeys, type MasterKeys } from '#libs/keys';
import type { Repository } from '#libs/restic';
import { backupPlaces } from '../backup-places.js';
import { portalServer } from '../portal-database.js';
import { backupFolder } from './backup-place.js';
import { composed } from './compose.js';
import { parseEnvFile } from './env-file.js';
import { readText, writeWhole } from './files.js';
import { ensureImages } from './images.js';
import { makeFolders, POOL_RECORD, writePlatformFiles } from './layout.js';
import { hostFacts, problems } from './preflight.js';
import { documentOf, failureOf } from './host-answer.js';
import { lacking, perhapsLacking, requireGiven } from './recover-needs.js';
import { wantsJson, wishOf, type Wish } from './recover-options.js';
import { recoveredEnv } from './recovered-env.js';
import { readPlatform, saveEnv, settle, type HostConfig, type Platform } from './settings.js';
import { databaseAnswers, ownStores } from './stores.js';
import { hostCommand, Refusal, result, say } from './talk.js';

const SCHEMA = 'aviary/recover/1';
const FOUND_PROBLEMS = 8;
const ENGINE = 'unix:///var/run/docker.sock';
/** In memory: this container's own, which ends with it. */
const MEMORY = '/dev/shm';
const DEADLINE_MS = 8 * 3_600_000;

interface Outcome extends Recovered {
  platform: string;
  backup: string;
  takenAt: string;
  verified: boolean;
}

/** As a person gave it in `.env`: as text, as a file of the data folder, or by a command. */
async function masterKeys(config: HostConfig, values: ReadonlyMap<string, string>): Promise<MasterKeys> {
  const text = async (name: 'MASTER_KEY' | 'NEXT_MASTER_KEY'): Promise<string | undefined> => {
    const file = config[`${name}_FILE`];
    const given = file === '' ? values.get(`AVIARY_${name}`) : await readText(file);
    if (file !== '' && !given) {
      throw new Refusal([`${file} is missing or empty, which AVIARY_${name}_FILE names.`], 2);
    }
    return given ? given.trim() : undefined;
  };
  const path = [join(config.DATA_DIR, 'bin'), '/usr/local/bin', '/usr/bin', '/bin'].join(':');
  const { MASTER_KEY_COMMAND, NEXT_MASTER_KEY_COMMAND } = config;
  return readMasterKeys(
    {
      MASTER_KEY: await text('MASTER_KEY'),
      MASTER_KEY_COMMAND,
      NEXT_MASTER_KEY: await text('NEXT_MASTER_KEY'),
      NEXT_MASTER_KEY_COMMAND,
    },
    path,
  );
}

/** What the backup to recover from is, and what coming back from it would mean. */
function effectOf({ chosen, newer, strays }: Choice): string {
  const { platform, takenAt, stacks } = chosen.manifest;
  const lost = `What happened on the portal after ${takenAt} is lost${newer > 0 ? ` (${newer} newer backups were never verified or cannot be read)` : ''}.${strays > 0 ? ` Left out are ${strays} backups that a replaced host stored after its platform was recovered elsewhere.` : ''}`;
  const checked = chosen.proof === null ? ' This backup was never verified.' : '';
  return `Recovers platform ${platform} on this machine: its portal of ${takenAt} with ${stacks} stacks, each of which then gets its own newest verified backup back and goes on trading. ${lost}${checked} Its old host must be off for good: two must never trade the same accounts. A mark in the repository tells it so and it stops its bots for good, whether or not this recovery then comes to its end, but only while it reaches this same repository.`;
}

/** Only who names the platform recovers it: were its old host alive, two would trade the same accounts. */
async function confirmed(choice: Choice, wish: Wish): Promise<void> {
  const { platform } = choice.chosen.manifest;
  const effect = effectOf(choice);
  if (wish.confirm === platform) {
    return;
  }
  if (wish.confirm !== null) {
    throw new Refusal([`--confirm=${wish.confirm} is not ${platform}; nothing was done.`], 2);
  }
  if (wish.json || !process.stdin.isTTY) {
    throw new Refusal([`${effect} Needs --confirm=${platform}.`], 2);
  }
  const terminal = createInterface({ input: process.stdin, output: process.stderr });
  try {
    if ((await terminal.question(`${effect}\nType ${platform} to go on: `)).trim() !== platform) {
      throw new Refusal(['That is not its id; nothing was done.'], 2);
    }
  } finally {
    terminal.close();
  }
}

/** The portal's database of that platform, which runs here and nothing else of it does. */
async function startDatabase(platform: Platform, repository: string): Promise<void> {
  const { config } = platform;
  const facts = await hostFacts(platform);
  const against = problems(platform, facts);
  if (against.length > 0) {
    throw new Refusal(against, FOUND_PROBLEMS);
  }
  if (facts.running) {
    throw new Refusal(
      [
        'The portal of this platform runs on this machine: what was recovered shows scripts/aviary portal recovery. Where scripts/up only made an empty one, stop it with scripts/down and recover again: one without stacks is replaced.',
      ],
      5,
    );
  }
  const images = await ensureImages(repository);
  await makeFolders(config);
  await writePlatformFiles(platform, repository);
  const compose = await composed(repository, platform, { images, routes: facts.routes });
  await writeWhole(join(config.DATA_DIR, 'portal-image'), `${images.portal}\n`, { mode: 0o644 });
  await ownStores(compose, platform);
  await compose.call(['up', '-d', 'postgres'], { show: true });
  await writeWhole(join(config.DATA_DIR, POOL_RECORD), `${config.ADDRESS_POOL}\n`, { mode: 0o644 });
  await databaseAnswers(platform);
}

interface Opened {
  envFile: string;
  before: string;
  config: HostConfig;
  masters: MasterKeys;
  store: Repository;
  signal: AbortSignal;
}

/** The portal's repository, as what `.env` says opens it; nothing of it stays behind. */
async function withRepository<T>(repository: string, work: (opened: Opened) => Promise<T>): Promise<T> {
  const envFile = join(repository, '.env');
  const before = (await readText(envFile)) ?? '';
  const { config } = settle(before, givenSettings('host'));
  const masters = await masterKeys(config, parseEnvFile(before));
  const signal = AbortSignal.timeout(DEADLINE_MS);
  const secretDir = await mkdtemp(join(MEMORY, 'aviary-'));
  // Not the agent's: what root writes there it could not.
  const cacheDir = await mkdtemp(join(tmpdir(), 'aviary-restic-'));
  try {
    const url = backupFolder(config) ?? config.BACKUP_URL;
    const places = backupPlaces({
      BACKUP_URL: url,
      BACKUP_S3_REGION: config.BACKUP_S3_REGION,
      BACKUP_S3_DIR: join(config.DATA_DIR, 's3'),
      RESTIC_BINARY: loadConfig('hostCommand').RESTIC_BINARY,
      RESTIC_CACHE_DIR: cacheDir,
      SECRET_DIR: secretDir,
    });
    say(`opening the portal’s backups at ${url}`);
    const found = await new PortalRepository({ places, masters }).find(signal);
    if (found === null) {
      throw new DomainError('REPOSITORY_MISSING', {
        message: `There is no backup of a portal at ${url}: set AVIARY_BACKUP_URL in .env to where the lost host's repositories are, the one named portal among them.`,
      });
    }
    return await work({ envFile, before, config, masters, store: found.repository, signal });
  } finally {
    await rm(secretDir, { recursive: true, force: true });
    await rm(cacheDir, { recursive: true, force: true });
  }
}

/** `.env` as it is to be, once all that no backup holds was given. Nothing was changed by then. */
async function prepared({ before, config, masters }: Opened, choice: Choice, wish: Wish): Promise<string> {
  const { manifest, proof } = choice.chosen;
  // The platform's own can never be done without.
  const without = wish.without.filter((name) => name !== proof?.masterKey);
  requireMasterKeys(proof?.masterKeys ?? [], masters, without);
  const envText = recoveredEnv(before, manifest, config);
  requireGiven(await lacking(manifest, envText, givenSettings('host')), wish.without, config.DATA_DIR);
  const perhaps = perhapsLacking(manifest, envText);
  if (perhaps.length > 0) {
    say(`this backup does not say whether the lost host had ${perhaps.join(', ')}: set them in .env where it had`);
  }
  const addresses = manifest.settings['AVIARY_PUBLIC_ADDRESSES'];
  if (addresses && config.PUBLIC_ADDRESSES.length === 0) {
    say(`AVIARY_PUBLIC_ADDRESSES was ${addresses} on the lost host: set this machine’s once names lead here`);
  }
  return envText;
}

async function chooseIn({ store, signal }: Opened, wish: Wish): Promise<Choice> {
  const choice = await chooseBackup(store, { id: wish.backup, signal });
  choice.unreadable.forEach((sentence) => say(sentence));
  return choice;
}

async function recover(repository: string, opened: Opened, wish: Wish): Promise<Outcome> {
  const { envFile, store, masters, signal } = opened;
  const choice = await chooseIn(opened, wish);
  const { manifest, proof } = choice.chosen;
  const envText = await prepared(opened, choice, wish);
  if (!wish.oldHostIsOff) {
    await requireNoLife(store, { now: new Date(), signal });
  }
  await confirmed(choice, wish);
  await saveEnv({ envFile, envText });
  const platform = await readPlatform(repository);
  await saveEnv(platform);
  say(`settings written to ${envFile}: keep a copy in a safe place`);
  await startDatabase(platform, repository);
  const recovered = await recoverPortal({
    server: portalServer(platform.id, new DockerStreams({ endpoint: ENGINE })),
    repository: store,
    backup: choice.chosen,
    masters,
    without: wish.without,
    now: new Date(),
    signal,
    say,
  }).catch((error: unknown) => {
    throw isDomainError(error, 'WRONG_STATE') ? error : namingOthers(error, choice.others);
  });
  const { takenAt } = manifest;
  return { ...recovered, platform: platform.id, backup: manifest.backup, takenAt, verified: proof !== null };
}

interface Told {
  data: object;
  text: string;
}

async function list({ store, signal }: Opened): Promise<Told> {
  const items = await listBackups(store, signal);
  const lines = items.map(({ id, at, state }) => `${id}  ${at}  ${state}`);
  return { data: { items }, text: lines.length === 0 ? 'There is no whole backup of the portal.' : lines.join('\n') };
}

async function look(opened: Opened, wish: Wish): Promise<Told> {
  const choice = await chooseIn(opened, wish);
  await prepared(opened, choice, wish);
  const { manifest, proof } = choice.chosen;
  const { backup, platform, takenAt, stacks } = manifest;
  const data = { dryRun: true, platform, backup, takenAt, stacks, verified: proof !== null, newer: choice.newer };
  return { data, text: `${effectOf(choice)} Nothing was changed.` };
}

async function bringBack(repository: string, opened: Opened, wish: Wish): Promise<Told> {
  const data = await recover(repository, opened, wish);
  const done = data.before ? 'The portal’s database was recovered before' : '✓ the portal’s database is back';
  return {
    data,
    text: `${done}: platform ${data.platform}, data of ${data.takenAt}, ${data.stacks} stacks.\nNext: scripts/up. It starts the platform, and every stack gets its newest verified backup back. Follow that with: scripts/aviary portal recovery`,
  };
}

/** What it found or did, and the exit code. */
async function command(repository: string, wish: Wish): Promise<number> {
  const { data, text } = await withRepository(repository, (opened) =>
    wish.list ? list(opened) : wish.dryRun ? look(opened, wish) : bringBack(repository, opened, wish),
  );
  result(wish.json ? documentOf(SCHEMA, data, null) : text);
  return 0;
}

await hostCommand(async () => {
  const [repository, ...args] = process.argv.slice(2);
  try {
    if (repository === undefined) {
      throw new Refusal(['Run scripts/aviary recover; it starts this inside the tools image.'], 2);
    }
    return await command(repository, wishOf(args));
  } catch (error) {
    const failure = failureOf(error);
    if (!wantsJson(args)) {
      throw new Refusal(failure.message.split('\n'), failure.exit);
    }
    result(documentOf(SCHEMA, null, failure));
    return failure.exit;
  }
});
