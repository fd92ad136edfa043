import { randomBytes } from 'node:crypto';
import { readFile, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { httpsOrigin } from '#libs/config';
import { waitFor } from '#libs/async';
import { prepareCertificates } from './certificates.js';
import { Compose, composeEnvironment, outwardMtu } from './compose.js';
import { installFirewall } from './firewall.js';
import { ensureImages } from './images.js';
import { makeFolders, writePlatformFiles, writeWhole } from './layout.js';
import { waitUntilHealthy } from './portal-health.js';
import { hostFacts, problems } from './preflight.js';
import { run } from './run-command.js';
import { readPlatform, saveEnv, readText, type Platform } from './settings.js';
import { hostCommand, Refusal, result, say } from './talk.js';

/** Where scripts/up mounts the engine's socket into this container. */
const SOCKET = '/var/run/docker.sock';
/** A first start initialises a database; a slow disk takes its time over that. */
const DATABASE_MS = 120_000;
const HEALTHY_MS = 180_000;

/**
 * What scripts/up does once an engine and this image are there. Nothing is changed before everything was checked, and
 * every step leaves what is right as it is, so a second run changes nothing.
 */
async function up(repository: string): Promise<void> {
  const platform = await readPlatform(repository);
  const { config } = platform;
  const facts = await hostFacts(platform);
  const against = problems(platform, facts);
  if (against.length > 0) {
    throw new Refusal(against);
  }
  if (await saveEnv(platform)) {
    say(`settings and keys written to ${platform.envFile}: keep a copy in a safe place`);
  }
  const images = await ensureImages(repository, config.TLS_MODE === 'acme' ? ['lego'] : []);
  await makeFolders(config);
  await writePlatformFiles(platform, repository);
  await prepareCertificates(platform);
  await installFirewall(platform);

  const environment = composeEnvironment(platform, {
    images,
    engineGroup: (await stat(SOCKET)).gid,
    engineSocket: config.ENGINE_SOCKET,
    mtu: await outwardMtu(facts.routes),
  });
  // The other scripts use the images that run, not those the sources would make by now.
  await writeWhole(join(config.DATA_DIR, 'portal-image'), `${images.portal}\n`, { mode: 0o644 });
  const compose = new Compose(repository, environment);
  await compose.call(['up', '-d', 'postgres', 'redis'], { show: true });
  say('bringing the database up to date');
  await migrate(compose, platform);
  await compose.call(['up', '-d', '--remove-orphans'], { show: true });
  say('waiting until everything answers');
  await waitUntilHealthy(platform, HEALTHY_MS);
  await restartStacks(platform);
  await greet(platform, await firstOperator(platform));
}

/** The image of Postgres takes connections before its password is set, so the first answers may be refusals. */
async function migrate(compose: Compose, platform: Platform): Promise<void> {
  const container = `aviary-${platform.prefix}-postgres`;
  await waitFor(
    async () =>
      (await run('docker', [
        'exec',
        container,
        'sh',
        '-c',
        'pg_isready -q -h 127.0.0.1 && [ ! -e "$PGDATA/aviary-first-start" ] && echo yes',
      ]).catch(() => '')) !== ''
        ? true
        : undefined,
    { what: 'the portal’s database', deadlineMs: DATABASE_MS, intervalMs: 100 },
  );
  await compose.call(['run', '--rm', '--no-deps', '-T', 'migrate'], { deadlineMs: DATABASE_MS });
}

/** Stacks that scripts/down stopped; what their owners had stopped stays so. */
async function restartStacks({ config }: Platform): Promise<void> {
  const list = join(config.DATA_DIR, 'stopped-by-down');
  const names = (await readText(list))?.split('\n').filter(Boolean) ?? [];
  if (names.length > 0) {
    say(`starting ${names.length} containers of stacks again`);
    await run('docker', ['start', ...names]).catch((error: unknown) =>
      say(
        `not all of them started; the agent repairs the rest (${error instanceof Error ? error.message : 'unknown'})`,
      ),
    );
    await rm(list);
  }
}

/** The first operator's password, or null when there is an operator already. */
async function firstOperator(platform: Platform): Promise<string | null> {
  const mark = join(platform.config.DATA_DIR, 'first-operator');
  if ((await readText(mark)) !== null) {
    return null;
  }
  const password = randomBytes(12).toString('base64url');
  const command = ['user', 'create', '--operator', '--username', 'operator', '--email', platform.config.OPERATOR_EMAIL];
  await run(
    'docker',
    [
      'exec',
      '-i',
      `aviary-${platform.prefix}-worker`,
      'node',
      'dist/apps/cli/src/main.js',
      ...command,
      '--password-stdin',
    ],
    { input: `${password}\n`, deadlineMs: 60_000 },
  );
  await writeWhole(mark, `${platform.config.OPERATOR_EMAIL}\n`, { mode: 0o644 });
  return password;
}

async function greet({ config }: Platform, password: string | null): Promise<void> {
  const address = httpsOrigin(config.PORTAL_DOMAIN, config.HTTPS_PORT);
  const ca = join(config.DATA_DIR, 'ca/ca.crt');
  result(`\nAviary runs at ${address}`);
  if (password !== null) {
    result(`Operator: ${config.OPERATOR_EMAIL}`);
    result(`Password: ${password}   (shown this once; change it after the first sign-in)`);
  }
  if (config.TLS_MODE === 'local') {
    result(`
Certificates come from an authority of this machine. Let your browser trust it once:
  ${ca}
  Firefox:  Settings > Privacy & Security > Certificates > View > Authorities > Import
  Chromium: certutil -d sql:$HOME/.pki/nssdb -A -t "C,," -n aviary -i ${ca}
  curl:     curl --cacert ${ca} ${address}/healthz`);
  }
}

await hostCommand(async () => {
  const repository = process.argv[2];
  if (repository === undefined) {
    throw new Refusal(['Run scripts/up; it starts this inside the tools image.'], 2);
  }
  await readFile(join(repository, 'docker-compose.portal.yml'));
  await up(repository);
});
