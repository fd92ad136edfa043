import { execFile } from 'node:child_process';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { Me, TokenCreated } from '#libs/contracts';
import { docker, engineEndpoint } from '../../support/engine.js';
import { generatedSecrets, type Secret } from '../../support/platform-secrets.js';
import type { PlatformWorld, RunningStack } from './world.js';

const MIB = 1024 ** 2;
/** What a cookie may hold that opens nothing is shorter. */
const OPENS_SOMETHING = 24;

/** The token of a mail stands in the mail, and mails are kept: in that table it is where it belongs. */
export const MAILED = 'token of a mail';
export const OUTBOX = 'outbox';

/**
 * Everything that was generated and opens something: the platform's own, each stack's with the password of its backups,
 * and what its owner was given: a session, the dashboard's cookie, a token for programs, a mail's token.
 */
export async function canaries(world: PlatformWorld, { owner, slug }: RunningStack): Promise<Secret[]> {
  const { body: minted } = await owner.ask<TokenCreated>(owner.dashboardHost(slug), '/api/v1/tokens', {
    method: 'POST',
    body: { name: 'canary' },
  });
  const { email } = await owner.api<Me>('GET', '/auth/me');
  const cookies = [...owner.jar].flatMap(([host, jar]) =>
    [...jar]
      .filter(([, text]) => text.length >= OPENS_SOMETHING)
      .map(([name, text]) => ({ what: `cookie ${name} of ${host}`, text })),
  );
  return [
    ...(await generatedSecrets(world.platform)),
    { what: 'token for programs', text: minted.token },
    { what: 'access token', text: owner.accessToken ?? '' },
    { what: MAILED, text: await world.operator.mailedToken(email) },
    { what: 'the first operator’s password', text: world.platform.facts.operatorPassword },
    ...cookies,
  ];
}

/** Every place a secret could get out to, by name, with all that stands there; `metrics` is what a scraper was told. */
export async function places(
  { platform }: PlatformWorld,
  { slug }: RunningStack,
  metrics: string,
): Promise<Record<string, string>> {
  const { containers, volumes, networks } = await platform.objects();
  const everything: Record<string, string> = {
    inspect: await docker('inspect', ...containers),
    volumes: await docker('volume', 'inspect', ...volumes),
    networks: await docker('network', 'inspect', ...networks),
    processes: await processes(),
    rows: await rows(platform.container('postgres'), 'aviary_owner', '--exclude-table-data=outbox_mails'),
    [OUTBOX]: await rows(platform.container('postgres'), 'aviary_owner', '--table=outbox_mails'),
    'rows of the stack': await rows(platform.service(slug, 'postgres'), 'aviary'),
    routes: await routeFiles(join(platform.facts.dataDir, 'routes')),
    metrics,
  };
  for (const name of containers) {
    everything[`log of ${name}`] = await log(name);
  }
  return everything;
}

async function log(name: string): Promise<string> {
  const { stdout, stderr } = await promisify(execFile)('docker', ['-H', engineEndpoint(), 'logs', name], {
    maxBuffer: 256 * MIB,
  });
  return stdout + stderr;
}

function rows(container: string, role: string, ...options: string[]): Promise<string> {
  return docker('exec', container, 'pg_dump', '-U', role, '-a', ...options, 'aviary');
}

async function routeFiles(folder: string): Promise<string> {
  const names = await readdir(folder);
  return (await Promise.all(names.map((name) => readFile(join(folder, name), 'utf8')))).join('\n');
}

/** Environment and arguments of every process of the machine, those of containers too. */
async function processes(): Promise<string> {
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name));
  const texts = await Promise.all(
    pids.flatMap((pid) =>
      ['environ', 'cmdline'].map((file) =>
        readFile(join('/proc', pid, file), 'utf8').catch((error: NodeJS.ErrnoException) => {
          // Ended meanwhile; or, with EACCES to root itself, nobody's to read on this machine.
          if (['ENOENT', 'ESRCH', 'EACCES'].includes(error.code ?? '')) {
            return '';
          }
          throw error;
        }),
      ),
    ),
  );
  return texts.join('\n');
}
