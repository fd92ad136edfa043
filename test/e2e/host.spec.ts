import { execFile } from 'node:child_process';
import { X509Certificate } from 'node:crypto';
import { access, mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { waitFor } from '#libs/async';
import { docker } from '../support/engine.js';
import { platformOfTests, script, type Ran } from '../support/platform.js';

const execute = promisify(execFile);
const sh = async (...command: string[]): Promise<string> =>
  (await execute(command[0] ?? '', command.slice(1), { timeout: 60_000 })).stdout;

/** What the script refused with: every line that says so. */
const refusals = ({ stderr }: Ran): string[] => stderr.split('\n').filter((line) => line.startsWith('✗ '));

describe('a platform on its host', () => {
  const platform = platformOfTests();

  const inData = (name: string): string => join(platform().facts.dataDir, name);
  const health = (service: 'agent' | 'worker'): Promise<string> =>
    docker('inspect', '-f', '{{.State.Health.Status}}', platform().container(service));

  interface Check {
    name: string;
    state: string;
    says: string;
    todo?: string;
  }
  async function checks(): Promise<Map<string, Check>> {
    const { document } = await platform().cli<{ checks: Check[] }>('doctor');
    return new Map(document.data.checks.map((check) => [check.name, check]));
  }

  it('the engine knows agent and worker to be healthy', async () => {
    await waitFor(
      async () => ((await health('agent')) === 'healthy' && (await health('worker')) === 'healthy' ? true : undefined),
      // Debian's engine looks first after a whole interval.
      { what: 'both being healthy', deadlineMs: 150_000, maxIntervalMs: 1_000 },
    );
  }, 180_000);

  it('up and doctor want a release to make stacks of, and say what is missing', async () => {
    expect((await checks()).get('agent')).toMatchObject({ state: 'ok' });
    await platform().sql(`update releases set state = 'withdrawn'`);
    try {
      expect((await checks()).get('agent')).toMatchObject({
        state: 'bad',
        says: expect.stringMatching(/^releases: None is ready, so no stack can be made/),
        todo: expect.stringContaining('scripts/up'),
      });
      const ran = await platform().run('up');
      expect(ran.code).toBe(1);
      expect(refusals(ran)).toEqual([expect.stringMatching(/agent: releases: None is ready/)]);
    } finally {
      await platform().sql(`update releases set state = 'stable'`);
    }
    expect((await platform().run('up')).code).toBe(0);
  }, 180_000);

  it('shows an authority that everyone on the host can read, beside a folder that nobody else can', async () => {
    const shown = inData('ca.crt');
    expect(platform().facts.firstUp.stdout).toContain(shown);
    const somebody = ['setpriv', '--reuid', '4242', '--regid', '4242', '--clear-groups', 'cat'];
    expect(await sh(...somebody, shown)).toBe(await readFile(inData('ca/ca.crt'), 'utf8'));
    await expect(sh(...somebody, inData('ca/ca.crt'))).rejects.toThrow('Permission denied');
  });

  it('what the portal wrote as the user it was before becomes its own with the next up', async () => {
    const folders = ['routes', 'certs', 'ca', 'gate', 'agent', 'backups', 'restic', 'quarantine'].map(inData);
    const of = async (uid: string): Promise<string> => sh('find', ...folders, '-uid', uid);
    await docker('stop', '-t', '20', platform().container('agent'));
    const own = await of('10011');
    expect(own).toContain(inData('routes/'));
    await sh('chown', '-hR', '10001:10001', ...folders);
    const ran = await platform().run('up');
    expect({ code: ran.code, refusals: refusals(ran) }).toEqual({ code: 0, refusals: [] });
    expect(await of('10001')).toBe('');
    expect((await checks()).get('agent')).toMatchObject({ state: 'ok' });
  }, 180_000);

  it('what the portal’s stores wrote as the user they were before becomes their own with the next up', async () => {
    const stores = { postgres: '10012', redis: '10013' } as const;
    const volume = (store: string): Promise<string> =>
      docker('volume', 'inspect', '-f', '{{.Mountpoint}}', `aviary-${platform().facts.prefix}-portal-${store}`);
    const accounts = await platform().sql('select count(*) from accounts');
    expect((await platform().run('down')).code).toBe(0);
    for (const [store, uid] of Object.entries(stores)) {
      const folder = await volume(store);
      expect(await sh('find', folder, '!', '-uid', uid)).toBe('');
      await sh('chown', '-hR', '999:999', folder);
    }
    const ran = await platform().run('up');
    expect({ code: ran.code, refusals: refusals(ran) }).toEqual({ code: 0, refusals: [] });
    for (const [store, uid] of Object.entries(stores)) {
      expect(await sh('find', await volume(store), '!', '-uid', uid)).toBe('');
    }
    expect(await platform().sql('select count(*) from accounts')).toBe(accounts);
    expect((await checks()).get('agent')).toMatchObject({ state: 'ok' });
  }, 300_000);

  it('other passwords in .env reach who reads them with the next up, and of an earlier version’s files none stays', async () => {
    const services = ['api', 'api2', 'gate', 'gate2', 'worker', 'agent', 'redis'] as const;
    const ids = (): Promise<string[]> =>
      Promise.all(services.map((service) => docker('inspect', '-f', '{{.Id}}', platform().container(service))));
    await writeFile(inData('secrets/redis.conf'), 'requirepass former\n', { mode: 0o400 });
    await writeFile(inData('secrets/owner-password'), 'former', { mode: 0o400 });
    const before = await ids();
    const other = { AVIARY_APP_PASSWORD: 'a'.repeat(32), AVIARY_REDIS_PASSWORD: 'b'.repeat(32) };
    await platform().withSettings(other, async () => {
      const ran = await platform().run('up');
      expect({ code: ran.code, refusals: refusals(ran) }).toEqual({ code: 0, refusals: [] });
      const after = await ids();
      // The gates have neither.
      expect(services.filter((_, at) => after[at] === before[at])).toEqual(['gate', 'gate2']);
      expect(await docker('exec', platform().container('api'), 'cat', '/run/secrets/redis-url')).toContain(
        'b'.repeat(32),
      );
      await platform().operator();
      expect((await platform().run('up')).code).toBe(0);
      expect(await ids()).toEqual(after);
    });
    expect((await readdir(inData('secrets'))).toSorted()).toEqual([
      'agent',
      'api',
      'api2',
      'gate',
      'gate2',
      'migrate',
      'postgres',
      'redis',
      'worker',
    ]);
  }, 300_000);

  it('while it runs, a port that is not its own is still looked at', async () => {
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(18_080, '0.0.0.0', resolve));
    try {
      await platform().withSettings({ AVIARY_HTTP_PORT: '18080' }, async () => {
        const ran = await platform().run('up');
        expect({ code: ran.code, refusals: refusals(ran) }).toEqual({
          code: 8,
          refusals: [
            '✗ Port 18080 is taken by another program. Stop it, or set AVIARY_HTTP_PORT in .env to a free port.',
          ],
        });
      });
    } finally {
      await new Promise((resolve) => server.close(resolve));
    }
  }, 120_000);

  it('by ACME: the client is where the agent runs it, a stand-in serves, and doctor names what keeps the real one away', async () => {
    await writeFile(inData('acme/provider.env'), 'EXEC_PATH=/bin/false\n', { mode: 0o600 });
    const settings = {
      AVIARY_TLS_MODE: 'acme',
      AVIARY_ACME_EMAIL: 'operator@aviary.localhost',
      AVIARY_ACME_DNS_PROVIDER: 'exec',
      AVIARY_ACME_DIRECTORY: 'https://127.0.0.1:9/directory',
    };
    await platform().withSettings(settings, async () => {
      const ran = await platform().run('up');
      expect({ code: ran.code, refusals: refusals(ran) }).toEqual({ code: 0, refusals: [] });
      const agent = platform().container('agent');
      expect(await docker('exec', agent, 'lego', '--version')).toMatch(/^lego version \S+/);
      expect(await docker('exec', agent, 'cat', '/var/lib/aviary/acme/provider.env')).toContain('EXEC_PATH=');
      // Where these names lead depends on the resolver: nowhere, so that nothing is ordered, or here.
      const said = await waitFor(
        async () => {
          const { says = '' } = (await checks()).get('agent') ?? {};
          return says.includes('certificates: ') ? says : undefined;
        },
        { what: 'doctor speaking of certificates', deadlineMs: 60_000, maxIntervalMs: 1_000 },
      );
      expect(said).toMatch(/certificates: .*(has no address in DNS|was not issued).*It is tried again at/s);
      const portal = await readFile(inData('certs/portal.crt'), 'utf8');
      expect(new X509Certificate(portal).checkIssued(new X509Certificate(await readFile(inData('ca/ca.crt'))))).toBe(
        true,
      );
      expect((await checks()).get('portal')).toMatchObject({ state: 'ok' });
    });
  }, 300_000);

  it('an operator that is there already is not made again, and the next up says how to get in', async () => {
    await rm(inData('first-operator'));
    // With the settings of before, its own authority and passwords among them.
    const ran = await platform().run('up');
    expect({ code: ran.code, refusals: refusals(ran) }).toEqual({ code: 0, refusals: [] });
    expect((await checks()).get('agent')).toMatchObject({ state: 'ok' });
    await platform().operator();
    expect(ran.stdout).toContain(`Operator: ${platform().facts.operatorEmail}`);
    expect(ran.stdout).toContain('scripts/aviary user create --operator');
    expect(ran.stdout).not.toMatch(/^Password:/m);
    expect((await platform().run('up')).stdout).not.toContain('Operator:');
  }, 180_000);

  it('a run that ended before it showed the password is completed by the next', async () => {
    // As after a power cut at the first up: the account is made, and its password still lies where it was kept for that.
    await rm(inData('first-operator'));
    await writeFile(inData('secrets/first-operator-password'), `${platform().facts.operatorPassword}\n`, {
      mode: 0o600,
    });
    const ran = await platform().run('up');
    expect(ran.code).toBe(0);
    const password = /^Password: (\S+)/m.exec(ran.stdout)?.[1] ?? '';
    await platform().client().login(platform().facts.operatorEmail, password);
    expect(await readdir(inData('secrets'))).not.toContain('first-operator-password');
  }, 120_000);

  it('behind systemd-resolved stacks may ask those that it asks', async () => {
    const folder = join(platform().facts.root, 'resolvers');
    await mkdir(folder);
    await writeFile(join(folder, 'stub'), 'nameserver 127.0.0.53\noptions edns0 trust-ad\n');
    await mkdir(join(folder, 'systemd/resolve'), { recursive: true });
    await writeFile(join(folder, 'systemd/resolve/resolv.conf'), 'nameserver 10.20.30.40\n');
    await mkdir('/run/systemd', { recursive: true });
    const mounts =
      'mount --bind "$1/stub" "$(readlink -f /etc/resolv.conf)"; mount --bind "$1/systemd" /run/systemd; shift; exec "$@"';
    const behindSystemd = (name: string, ...args: string[]): Promise<Ran> =>
      script(
        platform().facts.root,
        '/usr/bin/unshare',
        [
          '--mount',
          '--propagation=private',
          'sh',
          '-euc',
          mounts,
          'sh',
          folder,
          join(platform().facts.root, 'scripts', name),
          ...args,
        ],
        {},
      );
    expect((await behindSystemd('up')).code).toBe(0);
    const rules = (await sh('iptables', '-S', `AVIARY-FWD-${platform().facts.prefix}`)).split('\n');
    expect(rules.filter((rule) => rule.includes('--dport 53'))).toEqual([
      expect.stringContaining('-d 10.20.30.40/32 -p udp'),
      expect.stringContaining('-d 10.20.30.40/32 -p tcp'),
    ]);
    expect(await readFile(inData('firewall/load.sh'), 'utf8')).toContain('-d 10.20.30.40/32');
    // The agent, in a container, holds the same rules for right.
    expect(await docker('inspect', '-f', '{{.Config.Env}}', platform().container('agent'))).toContain(
      'AVIARY_RESOLVERS=10.20.30.40 ',
    );
    expect((await behindSystemd('aviary', 'doctor')).stdout).toMatch(/✓ firewall/);
  }, 240_000);

  it('FM-17 removes images it built and nothing needs, and no other: none that a stack may be led back to', async () => {
    const make = async (label: string | null, name: string | null): Promise<string> => {
      const tar = join(platform().facts.root, 'image.tar');
      await writeFile(join(platform().facts.root, 'word'), String(name));
      await sh('tar', '-cf', tar, '-C', platform().facts.root, 'word');
      const change = label === null ? [] : ['-c', `LABEL aviary.image=${label}`];
      return docker('import', ...change, tar, ...(name === null ? [] : [`aviary/portal:${name}`]));
    };
    await make('portal', 'superseded');
    await make(null, 'not-ours');
    await make('portal', 'has-a-container');
    await docker('create', '--name', 'somebody-elses', 'aviary/portal:has-a-container', '/nothing');
    const named = await make('runtime', 'named-by-a-release');
    await platform().sql(
      `insert into releases select 'old', template, version, definition, '{"runtime": "${named}"}', 'stable', created_at - interval '1 day' from releases limit 1`,
    );
    const release = (id: string, image: string): Promise<string> =>
      platform().sql(
        `insert into releases select '${id}', template, version, definition, '{"runtime": "${image}"}', 'withdrawn', created_at - interval '1 day' from releases where id <> 'old' limit 1`,
      );
    await release('withdrawn', await make('runtime', 'withdrawn'));
    await release('led-back-to', await make('runtime', 'led-back-to'));
    // On an engine of which no agent is, so that nobody works on it.
    await platform().sql(
      `insert into operations (id, tenant_id, slug, account_id, engine_id, kind, state, exclusive, requested_by, input,
                               created_at, deadline_at, fencing, attempts)
       select gen_random_uuid(), gen_random_uuid(), 'uaaaaaa', gen_random_uuid(), 'of-no-agent', 'upgrade', 'queued', true,
              'system:test', '{"from": "led-back-to", "to": "old"}', now(), now() + interval '1 day', 0, 0`,
    );
    const stage = await make('portal', null);
    try {
      const before = (await docker('image', 'ls', '--format', '{{.Repository}}:{{.Tag}}')).split('\n');
      expect((await platform().run('up')).code).toBe(0);
      const after = (await docker('image', 'ls', '--format', '{{.Repository}}:{{.Tag}}')).split('\n');
      const removed = before.filter((image) => !after.includes(image) && image !== '<none>:<none>');
      expect(removed.toSorted()).toEqual(['aviary/portal:superseded', 'aviary/portal:withdrawn']);
      await expect(docker('image', 'inspect', stage)).rejects.toThrow('No such image');
    } finally {
      await docker('rm', 'somebody-elses');
      await platform().sql(`delete from operations where engine_id = 'of-no-agent'`);
      await platform().sql(`delete from releases where id in ('old', 'withdrawn', 'led-back-to')`);
      await docker('rmi', 'aviary/portal:not-ours');
    }
    expect((await platform().run('up')).code).toBe(0);
    const left = await docker('image', 'ls', '--format', '{{.Tag}}');
    expect(left).not.toMatch(/has-a-container|named-by-a-release|led-back-to/);
  }, 300_000);

  it('moves to another pool and back before the first stack, with all it knows', async () => {
    const subnet = (): Promise<string> =>
      docker(
        'network',
        'inspect',
        '-f',
        '{{(index .IPAM.Config 0).Subnet}}',
        `aviary-${platform().facts.prefix}-portal`,
      );
    const before = await subnet();
    await platform().withSettings({ AVIARY_ADDRESS_POOL: '10.64.0.0/14' }, async () => {
      const ran = await platform().run('up');
      expect({ code: ran.code, refusals: refusals(ran) }).toEqual({ code: 0, refusals: [] });
      expect(await subnet()).toBe('10.67.255.192/26');
      await platform().operator();
      expect((await checks()).get('networks')).toMatchObject({ state: 'ok' });
    });
    expect((await platform().run('up')).code).toBe(0);
    expect(await subnet()).toBe(before);
  }, 240_000);

  it('a stack that does not start stays on the note, and down stops also what dies over and over', async () => {
    const operator = await platform().operator();
    const owner = platform().client();
    await owner.signUp(operator, 'person', 'correct horse battery staple');
    const { stack, operation } = await owner.createStack();
    await owner.operationEnd(operation.id);
    await platform().withSettings({ AVIARY_ADDRESS_POOL: '10.64.0.0/14' }, async () => {
      const moved = await platform().run('up');
      expect(moved.code).toBe(8);
      expect(refusals(moved)).toContainEqual(
        expect.stringMatching(/the stacks of this platform have addresses of 10\.128\.0\.0\/14\. Put it back/),
      );
    });
    const image = await docker('inspect', '-f', '{{.Image}}', platform().container('redis'));
    const labels = [`aviary.platform=${platform().facts.platformId}`, `aviary.tenant=${stack.id}`];
    const dying = ['--name', 'dying', '--restart', 'always', '--entrypoint', 'false'];
    await docker('run', '-d', ...dying, ...labels.flatMap((label) => ['--label', label]), image);
    const state = (): Promise<string> => docker('inspect', '-f', '{{.State.Status}}', 'dying');
    await waitFor(async () => ((await state()) === 'restarting' ? true : undefined), {
      what: 'a container between two lives',
      deadlineMs: 30_000,
    });
    expect((await platform().run('down')).code).toBe(0);
    expect(await state()).toBe('exited');
    await docker('rm', '--volumes', 'dying');

    const { containers, networks } = await platform().objects();
    const mine = containers.filter((name) => name.includes(stack.slug));
    expect((await readFile(inData('stopped-by-down'), 'utf8')).split('\n')).toEqual(expect.arrayContaining(mine));
    // What the platform cannot mend: somebody else's container has the address of one of the stack's.
    const network = networks.find((name) => name.includes(stack.slug)) ?? '';
    const redis = mine.find((name) => name.endsWith('-redis')) ?? '';
    const configured = `{{(index .NetworkSettings.Networks "${network}").IPAMConfig.IPv4Address}}`;
    const address = await docker('inspect', '-f', configured, redis);
    await docker(
      'run',
      '-d',
      '--name',
      'squatter',
      '--network',
      network,
      '--ip',
      address,
      '--entrypoint',
      'sleep',
      image,
      '3600',
    );
    const ran = await platform().run('up');
    expect(ran.code).toBe(1);
    expect(refusals(ran).at(-1)).toMatch(/these containers of stacks did not start/);
    const note = (await readFile(inData('stopped-by-down'), 'utf8')).split('\n').filter(Boolean);
    expect(note.length).toBeGreaterThan(0);
    expect(mine).toEqual(expect.arrayContaining(note));
    expect(note).toContain(redis);
    await docker('rm', '--force', '--volumes', 'squatter');

    expect((await platform().cli('tenant', 'destroy', stack.slug, `--confirm=${stack.slug}`)).code).toBe(0);
    expect((await platform().run('up')).code).toBe(0);
    await expect(access(inData('stopped-by-down'))).rejects.toThrow('ENOENT');
  }, 400_000);
});
