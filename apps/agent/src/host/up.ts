import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { httpsOrigin } from '#libs/config';
import { afterwards } from './afterwards.js';
import { bringUp } from './bring-up.js';
import { AUTHORITY_COPY } from './certificates.js';
import { composeFile } from './compose.js';
import { firstOperator, operatorDesk, type OperatorWords } from './first-operator.js';
import { ensureImage, ensureImages } from './images.js';
import { missingKeyFiles } from './master-key.js';
import { removeOldImages } from './old-images.js';
import { hostFacts, problems } from './preflight.js';
import { readPlatform, saveEnv, type Platform } from './settings.js';
import { startStopped } from './stopped-stacks.js';
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
  await bringUp({ platform, repository, images, acmeClient, facts, healthyMs: HEALTHY_MS });
  const left = await startStopped(platform);
  greet(platform);
  await firstOperator(config.DATA_DIR, config.OPERATOR_EMAIL.toLowerCase(), operatorDesk(platform, tellOperator));
  await afterwards({ 'superseded images were not removed': () => removeOldImages(platform, repository) });
  if (left.length > 0) {
    throw new Refusal([
      `The platform runs, but these containers of stacks did not start: ${left.join(', ')}. See docker logs of each; the next scripts/up tries them again.`,
    ]);
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
  await readFile(composeFile(repository));
  await up(repository);
});
