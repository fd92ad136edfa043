import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { httpsOrigin } from '#libs/config';
import { installAcmeClient } from './acme-client.js';
import { AUTHORITY_COPY, prepareCertificates } from './certificates.js';
import { composed, type Compose } from './compose.js';
import { installFirewall } from './firewall.js';
import { ensureImage, ensureImages } from './images.js';
import { writeWhole } from './files.js';
import { firstOperator, operatorDesk, type OperatorWords } from './first-operator.js';
import { missingKeyFiles } from './master-key.js';
import { makeFolders, POOL_RECORD, writePlatformFiles } from './layout.js';
import { removeOldImages } from './old-images.js';
import { removeFormerFiles, withCheckFiles, writeAgentFiles } from './portal-secrets.js';
import { waitUntilHealthy } from './portal-health.js';
import { hostFacts, problems } from './preflight.js';
import { CommandError } from './run-command.js';
import { readPlatform, saveEnv, type Platform } from './settings.js';
import { startStopped } from './stopped-stacks.js';
import { DATABASE_MS, databaseAnswers, ownStores } from './stores.js';
import { hostCommand, Refusal, result, say } from './talk.js';

/** Exit code of checks that found problems, as `doctor` has it. */
const FOUND_PROBLEMS = 8;
const HEALTHY_MS = 180_000;

/**
 * What scripts/up does once an engine and this image are there. Nothing is changed before everything was checked, and
 * every step leaves what is right as it is, so a second run changes nothing.
 */
async function up(repository: string): Promise<void> {
  const platform = await readPlatform(repository);
  const { config } = platform;
  const facts = await hostFacts(platform);
  const against = [...problems(platform, facts), ...(await missingKeyFiles(config))];
  if (against.length > 0) {
    throw new Refusal(against, FOUND_PROBLEMS);
  }
  if (await saveEnv(platform)) {
    say(`settings and keys written to ${platform.envFile}: keep a copy in a safe place`);
  }
  const images = await ensureImages(repository);
  const acmeClient = config.TLS_MODE === 'acme' ? await ensureImage(repository, 'lego') : null;
  await makeFolders(config);
  if (acmeClient !== null) {
    await installAcmeClient(acmeClient, platform);
  }
  await writePlatformFiles(platform, repository);
  await prepareCertificates(platform);
  await installFirewall(platform);

  const compose = await composed(repository, platform, { images, routes: facts.routes });
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
  await compose.call(['run', '--rm', '--no-deps', '-T', 'migrate'], { deadlineMs: DATABASE_MS });
  await checkKeys(compose, platform);
  await writeAgentFiles(platform);
  await compose.call(['up', '-d', '--remove-orphans'], { show: true });
  await removeFormerFiles(platform);
  say('waiting until everything answers');
  await waitUntilHealthy(platform, HEALTHY_MS);
  const left = await startStopped(platform);
  greet(platform);
  await firstOperator(config.DATA_DIR, config.OPERATOR_EMAIL.toLowerCase(), operatorDesk(platform, tellOperator));
  await removeOldImages(platform, repository);
  if (left.length > 0) {
    throw new Refusal([
      `The platform runs, but these containers of stacks did not start: ${left.join(', ')}. See docker logs of each; the next scripts/up tries them again.`,
    ]);
  }
}

/** A wrong master key is told before the agent that runs is replaced, or what it starts with. */
async function checkKeys(compose: Compose, platform: Platform): Promise<void> {
  try {
    await withCheckFiles(platform, async () => {
      await compose.call(['run', '--rm', '--no-deps', '-T', 'check-keys'], { deadlineMs: DATABASE_MS });
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

function greet({ config }: Platform): void {
  const address = httpsOrigin(config.PORTAL_DOMAIN, config.HTTPS_PORT);
  const ca = join(config.DATA_DIR, AUTHORITY_COPY);
  result(`\nAviary runs at ${address}`);
  if (config.TLS_MODE === 'local') {
    result(`
Certificates come from an authority of this machine. Let your browser trust it once:
  ${ca}
  Firefox:  Settings > Privacy & Security > Certificates > View > Authorities > Import
  Chromium: certutil -d sql:$HOME/.pki/nssdb -A -t "C,," -n aviary -i ${ca}
  curl:     curl --cacert ${ca} ${address}/healthz`);
  }
}

function tellOperator({ email, password }: OperatorWords): void {
  result(`\nOperator: ${email}`);
  result(
    password === null
      ? `Its password is the one it had. If nobody knows it, make another operator, whose password is then shown:
  scripts/aviary user create --operator --username NAME --email ADDRESS`
      : `Password: ${password}   (shown this once)`,
  );
}

await hostCommand(async () => {
  const repository = process.argv[2];
  if (repository === undefined) {
    throw new Refusal(['Run scripts/up; it starts this inside the tools image.'], 2);
  }
  await readFile(join(repository, 'docker-compose.portal.yml'));
  await up(repository);
});
