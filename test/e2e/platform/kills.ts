import { readFile } from 'node:fs/promises';
import { waitFor } from '#libs/async';
import type { Accepted } from '#libs/contracts';
import { randomOf } from '#libs/trading';
import { docker, killProcess, pidOf } from '../../support/engine.js';
import { SOON, type PlatformWorld } from './world.js';

const SEED = Number(process.env['AVIARY_TEST_SEED'] ?? 1);
const POINTS = 3;
const CHANGE = /^(POST|PUT|DELETE) /;

/** kill -9 of the agent at named steps: the engine has executed the call, and the agent never hears of it. */
export function kills(world: () => PlatformWorld): void {
  afterEach(() => world().clear(), 120_000);

  const general = (step: string): string => step.replaceAll(/u[a-z2-7]{6}(?=-|\/|$)/g, 'SLUG');
  /** Successful changes of a stack's objects, in order, without its name. */
  const changesOf = (slug: string): string[] =>
    world()
      .platform.door.calls.filter(({ step, status }) => CHANGE.test(step) && status < 300 && step.includes(slug))
      .map(({ step }) => general(step));

  /** One step of each third: early, midway and late. */
  function points(steps: readonly string[], of: string): string[] {
    const distinct = [...new Set(steps)];
    return Array.from({ length: POINTS }, (_, third) => {
      const from = Math.floor((distinct.length * third) / POINTS);
      const to = Math.floor((distinct.length * (third + 1)) / POINTS);
      return distinct[from + Math.floor(randomOf(SEED, `${of} ${third}`) * (to - from))] ?? '';
    });
  }

  /** As `kill -9` on the host does it: the engine sees its container die and starts it again, by its restart policy. */
  async function killAgent(): Promise<void> {
    const agent = world().platform.container('agent');
    const restarts = (): Promise<string> => docker('inspect', '-f', '{{.RestartCount}}', agent);
    const before = await restarts();
    const pid = await killProcess(agent);
    await waitFor(
      async () => {
        const now = await pidOf(agent);
        return now !== 0 && now !== pid && (await restarts()) !== before ? true : undefined;
      },
      { what: 'the agent’s next life', ...SOON },
    );
  }

  /** Asks, waits for the step, kills while the operation runs, and waits for its end in another life. */
  async function killedAt(step: string, ask: () => Promise<Accepted>): Promise<Accepted> {
    const { platform } = world();
    const row = (columns: string, id: string): Promise<string> =>
      platform.sql(`select ${columns} from operations where id = '${id}'`);
    const sprung = platform.door.holdAnswer((candidate) => general(candidate) === step);
    const accepted = await ask();
    const { id } = accepted.operation;
    await sprung;
    expect({ step, row: await row('state, attempts', id) }).toEqual({ step, row: 'running|1' });
    await killAgent();
    // The lease of the dead is not over yet, so this is what the kill left.
    expect({ step, row: await row('state, attempts', id) }).toEqual({ step, row: 'running|1' });
    const ended = await waitFor(
      async () => {
        const state = await row('state, attempts, error', id);
        return /^(queued|running)/.test(state) ? undefined : state;
      },
      { what: `the end of ${accepted.operation.kind} after a kill at ${step}`, deadlineMs: 120_000 },
    );
    expect({ step, ended }).toEqual({ step, ended: 'done|2|' });
    return accepted;
  }

  it('kill -9 at three seeded steps of provisioning and of destroying: it ends, nothing is doubled, nothing left', async () => {
    const { platform } = world();
    const owner = await world().signedUp();
    const calm = await world().runningStack();
    const provisioning = changesOf(calm.slug);
    platform.door.calls.length = 0;
    await calm.owner.destroy(calm.slug);
    const destroying = changesOf(calm.slug);
    expect(provisioning.length).toBeGreaterThan(12);
    expect(destroying.length).toBeGreaterThan(8);
    const [makeAt, destroyAt] = [points(provisioning, 'provisioning'), points(destroying, 'destroying')];

    for (let i = 0; i < POINTS; i += 1) {
      platform.door.calls.length = 0;
      const { stack } = await killedAt(makeAt[i] ?? '', () => owner.createStack());
      const { slug, id } = stack;
      const own = await platform.objects();
      const mine = Object.values(own).map((names: string[]) => names.filter((name) => name.includes(slug)).length);
      expect({ at: makeAt[i], mine }).toEqual({ at: makeAt[i], mine: [3, 1, 5] });
      // The engine answers every create of a volume with success, made or not; their number was looked at above.
      const once = changesOf(slug).filter((step) => !/volumes\/create|-courier/.test(step));
      expect({ at: makeAt[i], doubled: once.filter((step, at) => once.indexOf(step) !== at) }).toEqual({
        at: makeAt[i],
        doubled: [],
      });
      await owner.signOn(slug);
      await world().served({ owner, slug });

      platform.door.calls.length = 0;
      await killedAt(destroyAt[i] ?? '', () => owner.api<Accepted>('DELETE', `/stacks/${slug}`, { confirm: slug }));
      expect({ at: destroyAt[i], left: await platform.traces({ slug, id }) }).toEqual({ at: destroyAt[i], left: [] });
      const removed = changesOf(slug);
      expect({ at: destroyAt[i], doubled: removed.filter((step, at) => removed.indexOf(step) !== at) }).toEqual({
        at: destroyAt[i],
        doubled: [],
      });
    }
  }, 400_000);

  it('kill -9 while a new stack becomes healthy: it keeps its route, and its creation ends well', async () => {
    const { platform } = world();
    const owner = await world().signedUp();
    const sprung = platform.door.holdAnswer((candidate) => candidate.endsWith('-runtime/start'));
    const { stack, operation } = await owner.createStack();
    const { slug } = stack;
    const { release } = await sprung;
    // Stopped in its tracks, it becomes healthy no sooner than this test wants. A pause of the engine would be mended.
    const init = await pidOf(platform.service(slug, 'runtime'));
    const pid = await waitFor(
      async () => Number(await readFile(`/proc/${init}/task/${init}/children`, 'utf8')) || undefined,
      { what: 'the process under the container’s init', ...SOON },
    );
    process.kill(pid, 'SIGSTOP');
    release();
    const phase = (): Promise<string> =>
      platform.sql(
        `select phase from operation_steps where operation_id = '${operation.id}' and action is null and state = 'running'`,
      );
    await waitFor(async () => ((await phase()) === 'health' ? true : undefined), {
      what: 'the phase health',
      ...SOON,
    });
    await killAgent();
    expect(await phase()).toBe('health');
    process.kill(pid, 'SIGCONT');
    await owner.operationEnd(operation.id);
    expect(await platform.sql(`select state, attempts from operations where id = '${operation.id}'`)).toBe('done|2');
    await owner.signOn(slug);
    await world().served({ owner, slug });
  }, 240_000);
}
