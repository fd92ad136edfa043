import { writeFile } from 'node:fs/promises';
import { waitFor } from '#libs/async';
import type { ErrorBody, Overview, StackView, StackWarning } from '#libs/contracts';
import { LABEL } from '#libs/engine';
import { openOrdersOf, tradingBot } from '../../support/data-plane.js';
import { docker, killProcess, pidOf } from '../../support/engine.js';
import { SOON, type PlatformWorld, type RunningStack } from './world.js';

/** Two passes of a minute each: one writes what was measured, the next acts on it. */
const GUARDED = { deadlineMs: 200_000, intervalMs: 1_000, maxIntervalMs: 2_000 };

/** Bots that the platform holds, and what its owner is told of a stack that goes on. */
export function held(world: () => PlatformWorld): void {
  let stack: RunningStack;
  let bot: string;
  let container: (service: string) => Promise<string>;
  beforeAll(async () => {
    stack = await world().runningStack();
    bot = await tradingBot(world().platform, stack);
    const { id } = await view();
    container = (service) =>
      docker('ps', '-q', '--filter', `label=${LABEL.tenant}=${id}`, '--filter', `label=${LABEL.service}=${service}`);
    await trades('after its start');
  }, 180_000);
  afterAll(() => world().clear(), 120_000);

  const view = (): Promise<StackView> => stack.owner.api<StackView>('GET', `/stacks/${stack.slug}`);
  const inside = <T>(path: string, body?: unknown) =>
    stack.owner.ask<T>(
      stack.owner.dashboardHost(stack.slug),
      `/api/v1${path}`,
      body === undefined ? {} : { method: 'POST', body },
    );
  const openOrders = (): Promise<number> => openOrdersOf({ ...stack, bot });
  const trades = (since: string): Promise<unknown> =>
    waitFor(async () => ((await openOrders()) > 0 ? true : undefined), { what: `open orders ${since}`, ...SOON });
  const warning = (code: StackWarning['code'], fits: (seen: StackWarning) => boolean = () => true) =>
    waitFor(async () => (await view()).warnings.find((seen) => seen.code === code && fits(seen)), {
      what: `the warning ${code}`,
      ...GUARDED,
    });
  /** The size of volumes is measured when the agent starts; until then a quarter of an hour may pass. */
  const measuredAnew = (): Promise<string> => docker('restart', world().platform.container('agent'));

  it('FM-25 a restart has open orders taken back first, and the bot places them again', async () => {
    const { state, steps } = await stack.owner.order(stack.slug, 'restart');
    const drain = steps.filter(({ action }) => action === 'drain bots');
    expect([state, drain.map((step) => [step.state, step.detail])]).toEqual([
      'done',
      [['done', 'open orders are taken back, of bots: 1']],
    ]);
    await world().served(stack);
    await trades('after the restart');
  }, 120_000);

  it('FM-30 a service that dies is told with exit code and last words, to owner and command line', async () => {
    await killProcess(await container('runtime'));
    const { params, message } = await warning('SERVICE_ENDED');
    expect(params).toMatchObject({
      service: 'runtime',
      exitCode: 137,
      times: 1,
      log: expect.stringContaining('"msg"'),
    });
    const { document } = await world().platform.cli<StackView>('tenant', 'show', stack.slug);
    expect(document.data.warnings.map((seen) => seen.message)).toContain(message);
    await world().served(stack);
    await trades('after its runtime died');
  }, 300_000);

  it('FM-30 a service the kernel ends for its memory is told as that', async () => {
    const runtime = await container('runtime');
    // So that it is the runtime that ends, and not what takes the memory beside it.
    await writeFile(`/proc/${await pidOf(runtime)}/oom_score_adj`, '1000');
    const eater = ['perl', '-e', 'my @all; push @all, "x" x 1048576 while 1;'];
    await expect(docker('exec', runtime, ...eater)).rejects.toThrow();
    const { params, message } = await warning('SERVICE_OUT_OF_MEMORY');
    expect(params).toMatchObject({ service: 'runtime', times: 1, log: expect.stringContaining('"msg"') });
    expect(message).toMatch(/memory/);
    await world().served(stack);
    await trades('after its runtime had too little memory');
  }, 300_000);

  it('FM-27 a stack that fills its disk is held before its database meets the end of it, and goes on with room', async () => {
    const { limits } = await view();
    const filler = '/var/lib/postgresql/data/filler';
    // Counted as its size says, at no cost of the host's disk.
    await docker(
      'exec',
      await container('postgres'),
      'truncate',
      '-s',
      `${Math.ceil(limits.diskGb * 0.96 * 1_024)}M`,
      filler,
    );
    await measuredAnew();
    await warning('DISK_FULL', ({ heldSince }) => heldSince !== null);
    expect(await openOrders()).toBe(0);
    const { needs } = (await inside<Overview>('/overview')).body;
    expect(needs.map(({ kind }) => kind)).toContain('disk_full');
    const refused = await inside<ErrorBody>('/tokens', { name: 'late', scope: 'read' });
    expect([refused.status, refused.body.code]).toEqual([507, 'DISK_FULL']);
    expect((await view()).status).toBe('running');
    const alarms = await world().platform.run('aviary', 'alarm', 'list');
    expect(alarms.stdout).toContain(`stack-disk/local/${stack.slug}`);

    await docker('exec', await container('postgres'), 'rm', filler);
    await measuredAnew();
    await waitFor(
      async () => ((await view()).warnings.every(({ code }) => !code.startsWith('DISK')) ? true : undefined),
      {
        what: 'the end of the warning',
        ...GUARDED,
      },
    );
    await trades('with room on the disk');
  }, 600_000);
}
