import { randomBytes } from 'node:crypto';
import { mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parse } from 'yaml';
import { loadConfig, shapes, isSecret, type ProcessName } from '#libs/config';
import { composeEnvironment } from './compose.js';
import { parseEnvFile } from './env-file.js';
import {
  fileMarks,
  plainSettings,
  removeFormerFiles,
  SECRET_VALUES,
  serviceFiles,
  withCheckFiles,
  writeAgentFiles,
  writeServiceFiles,
} from './portal-secrets.js';
import { PORTAL } from './portal-user.js';
import { generated, settle, type Platform } from './settings.js';

const asRoot = process.getuid?.() === 0 ? it : it.skip;

interface Composed {
  services: Record<
    string,
    { environment?: Record<string, string>; volumes?: string[]; labels: Record<string, string>; command?: string[] }
  >;
}

const SMTP = 'smtp://post:correct-horse@mail.example.org:587';
const WATCHDOG = 'https://watchdog.example.org/ping/7d1f0c52-known-to-us-alone';
const composed = async (): Promise<Composed> =>
  parse(await readFile('docker-compose.portal.yml', 'utf8'), { merge: true }) as Composed;

function platform(given: Record<string, string> = {}, next = randomBytes(32).toString('base64')): Platform {
  const { config, entries } = settle('', { AVIARY_SMTP_URL: SMTP, AVIARY_HEARTBEAT_URL: WATCHDOG, ...given });
  const values = new Map([...entries, ...generated(new Map())].map(({ name, value }) => [name, value]));
  values.set('AVIARY_NEXT_MASTER_KEY', next);
  return {
    config,
    id: values.get('AVIARY_PLATFORM_ID') ?? '',
    prefix: 'p',
    values,
    envText: '',
    envFile: '',
    isNew: true,
  };
}

const environment = (of: Platform): Record<string, string> =>
  composeEnvironment(of, {
    images: { portal: 'p', runtime: 'r', postgres: 'g', redis: 'd', traefik: 't' },
    engineGroup: 1,
    engineSocket: '/s',
    mtu: 1500,
    resolvers: [],
    proxySettings: 'entryPoints: {}',
  });

it('the agent is told how the platform is set up, without a secret and without where the master key is', () => {
  const of = platform({ AVIARY_PORTAL_DOMAIN: 'portal.example.org', AVIARY_MASTER_KEY_COMMAND: 'vault kv get' });
  const settings = plainSettings(of);
  expect(settings).toMatchObject({ AVIARY_PLATFORM_ID: of.id, AVIARY_PORTAL_DOMAIN: 'portal.example.org' });
  const text = JSON.stringify(settings);
  for (const name of SECRET_VALUES) {
    expect(Object.keys(settings)).not.toContain(name);
    expect(text).not.toContain(of.values.get(name) || 'nothing is not in it');
  }
  expect(text).not.toContain('vault');
  expect(JSON.parse(serviceFiles(of).agent.files['host-settings'])).toEqual({
    settings,
    // By name, so that a recovery can ask for them.
    secrets: ['AVIARY_SMTP_URL', 'AVIARY_HEARTBEAT_URL'],
  });
});

it('each process is given every secret setting it has as a file of its own, and none in its environment', async () => {
  const { services } = await composed();
  const files: Record<string, { files: Readonly<Record<string, string>> }> = serviceFiles(platform());
  for (const name of ['api', 'gate', 'worker', 'agent', 'migrate'] satisfies ProcessName[]) {
    const { environment: set = {}, volumes = [] } = services[name] ?? {};
    const secrets = Object.entries(shapes[name]).flatMap(([setting, schema]) => (isSecret(schema) ? [setting] : []));
    expect({ name, secrets: secrets.length > 0 }).toEqual({ name, secrets: true });
    const told = environment(platform());
    const mounted = secrets.map((setting) =>
      (set[`AVIARY_${setting}_FILE`] ?? `${setting} is not given`).replace(
        /^\$\{(\w+)\}$/,
        (_whole, variable: string) => told[variable] ?? '',
      ),
    );
    expect(mounted.toSorted()).toEqual(
      Object.keys(files[name]?.files ?? {})
        .map((file) => `/run/secrets/${file}`)
        .toSorted(),
    );
    expect(secrets.filter((setting) => `AVIARY_${setting}` in set)).toEqual([]);
    expect(volumes).toContain(`\${AVIARY_DATA_DIR}/secrets/${name}:/run/secrets:ro`);
  }
});

it('no service is given another’s folder, and each that has one is made anew when what is in it changes', async () => {
  const { services } = await composed();
  for (const [name, { volumes = [], labels }] of Object.entries(services)) {
    const has = volumes.filter((volume) => volume.includes('/secrets'));
    const own = Object.hasOwn(serviceFiles(platform()), name);
    const marked = (own && !['migrate', 'check-keys'].includes(name)) || name === 'traefik';
    expect({ name, has }).toEqual({ name, has: own ? [`\${AVIARY_DATA_DIR}/secrets/${name}:/run/secrets:ro`] : [] });
    // One-off commands are made anew each time.
    expect({ name, mark: labels['aviary.files'] }).toEqual({
      name,
      mark: marked ? `\${AVIARY_FILES_OF_${name.toUpperCase()}}` : undefined,
    });
  }
});

it('what Compose is told holds no secret and has all that its file asks for', async () => {
  const of = platform();
  const told = environment(of);
  const text = JSON.stringify(told);
  for (const name of SECRET_VALUES) {
    const value = of.values.get(name) ?? '';
    expect(value.length).toBeGreaterThan(20);
    expect({ name, told: text.includes(value) }).toEqual({ name, told: false });
  }
  const asked = (await readFile('docker-compose.portal.yml', 'utf8')).matchAll(/\$\{(AVIARY_\w+)\}/g);
  expect([...asked].map(([, name = '']) => name).filter((name) => !(name in told))).toEqual([]);
});

it('a mark changes with the service’s own files, and with no other’s', () => {
  const before = platform();
  const marks = fileMarks(before);
  expect(fileMarks(before)).toEqual(marks);
  const changed = (name: string, value: string): string[] => {
    const after = fileMarks({ ...before, values: new Map(before.values).set(name, value) });
    return Object.keys(marks).filter((mark) => marks[mark] !== after[mark]);
  };
  expect(changed('AVIARY_SMTP_URL', 'smtp://another.example.org')).toEqual(['AVIARY_FILES_OF_WORKER']);
  // Whether it is set stands in the portal's own backups, which the agent takes.
  expect(changed('AVIARY_SMTP_URL', '')).toEqual(['AVIARY_FILES_OF_WORKER', 'AVIARY_FILES_OF_AGENT']);
  expect(changed('AVIARY_GATE_SEED', 'x')).toEqual(['AVIARY_FILES_OF_GATE', 'AVIARY_FILES_OF_GATE2']);
  expect(changed('AVIARY_REDIS_PASSWORD', 'x')).toEqual([
    'AVIARY_FILES_OF_REDIS',
    'AVIARY_FILES_OF_API',
    'AVIARY_FILES_OF_API2',
  ]);
});

it('a process starts with what its files say', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'aviary-files-'));
  try {
    const of = platform();
    for (const [name, content] of Object.entries(serviceFiles(of).worker.files)) {
      await writeFile(join(folder, name), content);
    }
    const set = parseEnvFile(`AVIARY_PLATFORM_ID=${of.id}`);
    const config = loadConfig('worker', {
      ...Object.fromEntries(set),
      AVIARY_DATABASE_URL_FILE: join(folder, 'database-url'),
      AVIARY_SMTP_URL_FILE: join(folder, 'smtp-url'),
    });
    expect(config.SMTP_URL).toBe(SMTP);
    expect(new URL(config.DATABASE_URL)).toMatchObject({
      username: 'aviary_app',
      password: of.values.get('AVIARY_APP_PASSWORD'),
      hostname: environment(of)['AVIARY_POSTGRES_ADDRESS'],
    });
  } finally {
    await rm(folder, { recursive: true });
  }
});

asRoot('they are written for their reader alone, follow `.env`, and nothing else stays beside them', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'aviary-files-'));
  try {
    const of = platform({ AVIARY_DATA_DIR: folder });
    const at = (...path: string[]): string => join(folder, 'secrets', ...path);
    await mkdir(at('gate'), { recursive: true });
    await writeFile(at('gate', 'gate-seed.tmp'), 'cut off');
    await writeServiceFiles(of);
    expect(await readdir(at('gate'))).toEqual(['gate-seed']);
    // While it is not known whether this version is well, the one before may be put back.
    await writeFile(at('gate', 'former'), 'of an earlier version');
    await writeServiceFiles(of);
    expect(await readdir(at('gate'))).toEqual(['former', 'gate-seed']);
    await writeAgentFiles(of);
    await removeFormerFiles(of);
    expect(await readdir(at('gate'))).toEqual(['gate-seed']);
    const [inside, file] = [await stat(at('gate')), await stat(at('gate', 'gate-seed'))];
    expect([inside, file].map(({ uid, gid, mode }) => [uid, gid, mode & 0o777])).toEqual([
      [PORTAL, PORTAL, 0o500],
      [PORTAL, PORTAL, 0o400],
    ]);
    await writeServiceFiles({ ...of, values: new Map(of.values).set('AVIARY_GATE_SEED', 'another') });
    expect(await readFile(at('gate', 'gate-seed'), 'utf8')).toBe('another');
  } finally {
    await rm(folder, { recursive: true });
  }
});

asRoot('the agent’s stay as they are until the keys that are to come were checked', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'aviary-files-'));
  try {
    const of = platform({ AVIARY_DATA_DIR: folder });
    const key = (service: string): Promise<string> =>
      readFile(join(folder, 'secrets', service, 'next-master-key'), 'utf8');
    await writeAgentFiles(of);
    const before = await key('agent');
    const changed = { ...of, values: new Map(of.values).set('AVIARY_NEXT_MASTER_KEY', 'another') };
    await writeServiceFiles(changed);
    // An `up` that ends before the check leaves nothing of it, and so does a check that fails.
    const there = async (): Promise<boolean> => (await readdir(join(folder, 'secrets'))).includes('check-keys');
    expect(await there()).toBe(false);
    const checked = withCheckFiles(changed, async () => {
      expect([await key('agent'), await key('check-keys')]).toEqual([before, 'another']);
      throw new Error('refused');
    });
    await expect(checked).rejects.toThrow('refused');
    expect(await there()).toBe(false);
    await writeAgentFiles(changed);
    expect(await key('agent')).toBe('another');
  } finally {
    await rm(folder, { recursive: true });
  }
});
