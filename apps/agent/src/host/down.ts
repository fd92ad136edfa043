import { join } from 'node:path';
import { createInterface } from 'node:readline/promises';
import { renderFirewallRemover } from '#libs/edge';
import { ownObjects } from './engine-facts.js';
import { readText } from './files.js';
import { backupsWord, emptyDataFolder, keptByPurge } from './purge.js';
import { run } from './run-command.js';
import { readPlatform, type Platform } from './settings.js';
import { noteStopped } from './stopped-stacks.js';
import { hostCommand, Refusal, result, say } from './talk.js';

/** The longest grace of a template's service is 60 s; containers stop side by side. */
const STOP_MS = 180_000;

const PORTAL = 'label=aviary.role=portal';
const STACKS = 'label=aviary.tenant';
/** One that dies over and over is between two lives for most of the time; the engine would start it again. */
const ALIVE = ['status=running', 'status=restarting', 'status=paused'];

async function each(args: readonly string[], names: readonly string[]): Promise<void> {
  if (names.length > 0) {
    await run('docker', [...args, ...names], { deadlineMs: STOP_MS });
  }
}

/**
 * Stops everything in an order in which nobody repairs what stops: the agent first, the databases last. What ran of
 * the stacks is written down, so that the next `up` starts that and nothing its owner had stopped.
 */
async function stopAll(platform: Platform): Promise<void> {
  const portal = await ownObjects('container', platform.id, [PORTAL, ...ALIVE]);
  const stacks = await ownObjects('container', platform.id, [STACKS, ...ALIVE]);
  const databases = portal.filter((name) => /-(postgres|redis)$/.test(name));
  const agent = portal.filter((name) => name.endsWith('-agent'));
  await each(['stop'], agent);
  await noteStopped(platform.config.DATA_DIR, stacks);
  say(`stopping ${portal.length} containers of the portal and ${stacks.length} of stacks`);
  await each(['stop'], stacks);
  await each(
    ['stop'],
    portal.filter((name) => !databases.includes(name) && !agent.includes(name)),
  );
  await each(['stop'], databases);
}

interface Inventory {
  containers: string[];
  networks: string[];
  volumes: string[];
}

async function inventory({ id }: Platform): Promise<Inventory> {
  return {
    containers: await ownObjects('container', id),
    networks: await ownObjects('network', id),
    volumes: await ownObjects('volume', id),
  };
}

/** Only a person at a terminal can be asked; a script has to say --yes. */
async function confirmed(question: string, word: string, yes: boolean): Promise<boolean> {
  if (yes) {
    return true;
  }
  if (!process.stdin.isTTY) {
    throw new Refusal(['Nobody is there to ask. Say --yes to remove everything of this platform.'], 2);
  }
  const terminal = createInterface({ input: process.stdin, output: process.stderr });
  try {
    return (await terminal.question(`${question} Type "${word}" to do it: `)).trim() === word;
  } finally {
    terminal.close();
  }
}

interface Purge {
  yes: boolean;
  /** Also what brings this platform back. */
  withBackups: boolean;
}

/** Removes what carries this platform's id: engine objects, firewall rules, and its own data folder but for backups. */
async function purge(platform: Platform, { yes, withBackups }: Purge): Promise<number> {
  const { config, id, prefix } = platform;
  const owner = (await readText(join(config.DATA_DIR, 'platform')))?.trim() ?? null;
  if (owner !== null && owner !== id) {
    throw new Refusal([`The data folder ${config.DATA_DIR} belongs to platform ${owner}, so nothing was removed.`]);
  }
  const before = await inventory(platform);
  const what = `${before.containers.length} containers, ${before.networks.length} networks, ${before.volumes.length} volumes and the data folder ${config.DATA_DIR}`;
  const kept = await keptByPurge(config);
  const backups = backupsWord(kept, config.DATA_DIR, withBackups);
  say(`platform ${id}: ${what}, ${backups}`);
  const asked = withBackups
    ? confirmed('All stacks go for good, and with the backups what could bring them back.', 'purge with backups', yes)
    : confirmed('Every stack with all its data is removed for good.', 'purge', yes);
  if (!(await asked)) {
    result('Nothing was removed.');
    return 1;
  }
  await stopAll(platform);
  await each(['rm', '-f', '-v'], before.containers);
  await each(['network', 'rm'], before.networks);
  await each(['volume', 'rm'], before.volumes);
  await run('/bin/sh', ['-s'], { input: renderFirewallRemover(prefix), deadlineMs: 30_000 });
  if (owner === id) {
    await emptyDataFolder(config.DATA_DIR, withBackups ? [] : kept.names);
  }
  const left = await inventory(platform);
  const remaining = [...left.containers, ...left.networks, ...left.volumes];
  if (remaining.length > 0) {
    throw new Refusal([`These could not be removed: ${remaining.join(', ')}. Run scripts/down --purge again.`]);
  }
  result(
    `Removed ${what}, ${backups}. Images and .env stay; without .env the next scripts/up makes a new platform.${!withBackups && kept.repositories > 0 ? ' With it scripts/aviary recover brings this one back out of its backups.' : ''}`,
  );
  return 0;
}

await hostCommand(async () => {
  const [repository, ...options] = process.argv.slice(2);
  if (repository === undefined) {
    throw new Refusal(['Run scripts/down; it starts this inside the tools image.'], 2);
  }
  const platform = await readPlatform(repository);
  if (platform.isNew) {
    throw new Refusal(['There is no .env with a platform id here, so nothing can be known to belong to it.'], 3);
  }
  if (options.includes('--purge')) {
    return purge(platform, { yes: options.includes('--yes'), withBackups: options.includes('--with-backups') });
  }
  await stopAll(platform);
  result('Everything is stopped and all data kept. scripts/up starts it again.');
  return 0;
});
