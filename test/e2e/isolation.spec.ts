import { execFile } from 'node:child_process';
import { readFile, readdir, stat } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { promisify } from 'node:util';
import { waitFor } from '#libs/async';
import { docker, killEngine, startEngine } from '../support/engine.js';
import { tried, whileTaken, type Place } from '../support/inside.js';
import { openGrounds, type Ends, type Grounds } from './isolation/grounds.js';
import {
  answerOf,
  columnOf,
  FROM,
  KERNEL,
  LOG,
  matrixTable,
  NETWORK,
  SECRETS,
  type Answer,
  type Row,
} from './isolation/matrix.js';
import { answersInside, answersOutside, type ReadAnswer } from './isolation/answers.js';
import { PlatformWorld } from './platform/world.js';

jest.setTimeout(300_000);

it('docs/security.md has exactly the matrix that is tried here', async () => {
  const text = await readFile(resolve(__dirname, '../../docs/security.md'), 'utf8');
  expect(text).toContain(`\n${matrixTable([...NETWORK, ...KERNEL, LOG, SECRETS])}\n`);
});

describe('from inside a stack', () => {
  let world: PlatformWorld;
  let grounds: Grounds;
  const ends: Ends = [];
  beforeAll(async () => {
    // Two stacks share an edge bridge, and the third is on the next.
    world = await PlatformWorld.open({ AVIARY_EDGE_PORTS: '2' });
    grounds = await openGrounds(world, ends);
  }, 400_000);
  afterAll(async () => {
    for (const end of ends.toReversed()) {
      await end();
    }
    await world?.platform.stop();
  }, 180_000);

  interface Trial {
    place: Place;
    row: Row;
    /** Where from, in words. */
    from: string;
    probes: readonly string[];
    answer: Answer;
  }

  /** Every cell of these rows and, for each refused one, the same from where it gets through. */
  function trials(rows: readonly Row[]): Trial[] {
    return FROM.flatMap((from) =>
      rows.flatMap((row): Trial[] => {
        const probes = row.probes(grounds, from);
        const answer = columnOf(row, from);
        const cell = { place: { container: grounds.own.names[from] }, row, from, probes, answer };
        if (answer === 'open') {
          return [cell];
        }
        if (!row.control) {
          throw new Error(`nothing shows that “${row.target}” could be reached`);
        }
        const { where, place, probes: others } = row.control;
        const control = { place: place(grounds, from), row, from: `${where}, as control for ${from}` };
        return [cell, { ...control, probes: others ?? probes, answer: 'open' }];
      }),
    );
  }

  async function expectCells(rows: readonly Row[]): Promise<void> {
    const all = trials(rows);
    const words = new Map<Trial, string[]>();
    for (const together of Map.groupBy(all, ({ place }) => JSON.stringify(place)).values()) {
      const found = await tried(
        together[0]?.place ?? 'host',
        together.flatMap(({ probes }) => probes),
      );
      together.forEach((trial) => words.set(trial, found.splice(0, trial.probes.length)));
    }
    const lines = (wordOf: (trial: Trial, at: number) => string): string[] =>
      all.flatMap((trial) =>
        trial.probes.map((probe, at) => `${trial.from} → ${trial.row.target} (${probe}): ${wordOf(trial, at)}`),
      );
    const seen = lines((trial, at) => {
      const word = words.get(trial)?.[at] ?? '';
      return answerOf(word) === trial.answer ? trial.answer : word;
    });
    expect(seen).toEqual(lines(({ answer }) => answer));
  }

  /** Since when each container of both stacks runs, and how often the engine had to start it again. */
  async function lives(): Promise<string> {
    return docker(
      'inspect',
      '-f',
      '{{.Name}} {{.State.Status}} {{.State.StartedAt}} {{.RestartCount}}',
      ...[grounds.own, grounds.other, grounds.far].flatMap(({ names }) => Object.values(names)),
    );
  }

  function everyCell(withAgent: boolean): void {
    it('FM-4 FM-7 reaches nothing that is not its own', () =>
      expectCells(NETWORK.filter(({ needsAgent }) => withAgent || !needsAgent)));

    it('gets no power over the kernel, no more than its plan has, and disturbs nobody by trying', async () => {
      const before = await lives();
      await expectCells(KERNEL);
      expect(await lives()).toBe(before);
      await world.served(grounds.own);
      await world.served(grounds.other);
      await world.served(grounds.far);
    });

    it('takes of what the kernel grants its user from other stacks, as docs/security.md says, and nothing from the portal’s processes and stores', async () => {
      const left = async (container: string): Promise<string[]> => tried({ container }, ['inotify']);
      const { own, other, containers } = grounds;
      for (const [from, portals] of [
        ['runtime', containers.worker],
        ['postgres', world.platform.container('postgres')],
      ] as const) {
        await whileTaken(own.names[from], 'inotify', async (taken) => {
          expect(taken).toBeGreaterThan(0);
          // So it is used up, for whoever is the same user.
          expect(await left(other.names[from])).toEqual(['full']);
          expect(await left(portals)).toEqual(['allowed']);
          // Nothing a stack runs needs one.
          await world.served(own);
          await world.served(other);
        });
        expect(await left(other.names[from])).toEqual(['allowed']);
      }
    });

    it('FM-26 fills three files of 10 MB with its log and no more', async () => {
      const root = await docker('info', '-f', '{{.DockerRootDir}}');
      const logged = async (container: string): Promise<number> => {
        const folder = join(root, 'containers', await docker('inspect', '-f', '{{.Id}}', container), 'local-logs');
        const sizes = (await readdir(folder)).map(async (name) => (await stat(join(folder, name))).size);
        return (await Promise.all(sizes)).reduce((sum, size) => sum + size, 0) / 1024 / 1024;
      };
      const written = async (container: string): Promise<number> => {
        expect(await tried({ container }, LOG.probes(grounds, 'runtime'))).toEqual(['allowed']);
        return logged(container);
      };
      for (const from of FROM) {
        await written(grounds.own.names[from]);
        // A file that was just closed lies there twice until the engine has compressed it.
        await waitFor(async () => ((await logged(grounds.own.names[from])) < 34 ? true : undefined), {
          what: `no more than three files of 10 MB of ${from}`,
          deadlineMs: 30_000,
        });
      }
      const before = await logged(grounds.unboundedLog);
      expect((await written(grounds.unboundedLog)) - before).toBeGreaterThan(60);
      await world.served(grounds.own);
    });

    it('FM-7 finds its raw secrets in no answer of any API, asked from inside and outside', async () => {
      const files = await secretFiles();
      const secrets = files.map(({ text }) => text.split('\n').find((line) => !line.startsWith('-----')) ?? '');
      expect(secrets.every((secret) => secret.length >= 20)).toBe(true);
      const telling = (answers: readonly ReadAnswer[]): string[] =>
        answers.filter(({ text }) => secrets.some((secret) => text.includes(secret))).map(nameOf);
      const answers = [...(await answersOutside(world, grounds.own)), ...(await answersInside(world, grounds))];
      expect(telling(answers)).toEqual([]);
      // The same search finds them in the files, where their own container may read them.
      expect(telling(files)).toEqual(files.map(nameOf));
      // And it was answered: nobody was told to come later, and everyone got something of this stack to read.
      expect(answers.filter(({ status }) => status === 429).map(nameOf)).toEqual([]);
      const { slug, id } = grounds.own;
      const named = answers.filter(({ status, text }) => status === 200 && (text.includes(slug) || text.includes(id)));
      expect(new Set(named.map(({ who }) => who))).toEqual(new Set(answers.map(({ who }) => who)));
    });
  }

  const nameOf = ({ who, path }: ReadAnswer): string => `${who}: ${path}`;

  /** As the containers they were made for read them. */
  async function secretFiles(): Promise<ReadAnswer[]> {
    const names = {
      runtime: ['database-password', 'redis-password', 'stack-key.pem'],
      postgres: ['database-password'],
    };
    return Promise.all(
      FROM.flatMap((from) =>
        names[from].map(async (name) => {
          const path = `/run/aviary/${name}`;
          const text = await docker('exec', grounds.own.names[from], 'cat', path);
          return { who: from, path, status: 200, text };
        }),
      ),
    );
  }

  describe('while all runs', () => {
    it('FM-2 a second edge bridge is made when the first has as many ports as it may, and serves like it', async () => {
      const edges = [grounds.own, grounds.other, grounds.far].map(({ edgeNetwork }) => edgeNetwork);
      const { prefix } = world.platform.facts;
      expect(edges).toEqual([0, 0, 1].map((number) => `aviary-${prefix}-edge-${number}`));
      const ports = async (network: string): Promise<number> =>
        Number(await docker('network', 'inspect', '-f', '{{len .Containers}}', network));
      expect([await ports(edges[0] ?? ''), await ports(edges[2] ?? '')]).toEqual([2, 1]);
      await world.served(grounds.far);
    });

    everyCell(true);
  });

  describe('after the engine was killed and started', () => {
    beforeAll(async () => {
      await killEngine();
      await startEngine();
      await world.served(grounds.own);
      await world.served(grounds.other);
      await world.served(grounds.far);
    }, 120_000);
    everyCell(true);
  });

  describe('while the agent is away', () => {
    beforeAll(() => docker('stop', '-t', '20', world.platform.container('agent')), 60_000);
    afterAll(() => docker('start', world.platform.container('agent')), 60_000);
    everyCell(false);

    it('is kept from the host and its networks by the firewall alone: without its rules the same probes get through', async () => {
      const { prefix } = world.platform.facts;
      await promisify(execFile)('iptables', ['-F', `AVIARY-INPUT-${prefix}`]);
      await promisify(execFile)('iptables', ['-F', `AVIARY-FWD-${prefix}`]);
      const walled = NETWORK.filter(({ firewall }) => firewall);
      const probes = walled.flatMap((row) => row.probes(grounds, 'runtime'));
      const words = await tried({ container: grounds.own.names.runtime }, probes);
      expect(probes.map((probe, at) => `${probe} ${words[at]}`)).toEqual(probes.map((probe) => `${probe} open`));
    });
  });
});
