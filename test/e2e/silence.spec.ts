import { readFile } from 'node:fs/promises';
import { waitFor } from '#libs/async';
import type { Alarm, AlarmCode, AlarmList } from '#libs/contracts';
import { hang, killEngine, pidOf, startEngine } from '../support/engine.js';
import { WatchedStack } from './platform/watched-stack.js';
import type { PlatformWorld, RunningStack } from './platform/world.js';

let watched: WatchedStack;
let world: PlatformWorld;
let stack: RunningStack;

beforeAll(async () => {
  watched = await WatchedStack.open();
  ({ world, stack } = watched);
}, 300_000);
afterAll(async () => {
  await world?.platform.stop();
}, 180_000);

describe('FM-25 what runs and does not answer', () => {
  it.each(['runtime', 'postgres'] as const)(
    '%s hangs: the layer is named, and the stack is restarted',
    async (service) => {
      await watched.back();
      await watched.forgetOperations();
      await hang(watched.container(service));
      // No event tells of it; the next of the looks, which are minutes apart, is brought about.
      await world.platform.sql(`update tenants set checked_at = null where id = '${stack.id}'`);
      const seen = await waitFor(
        async () => {
          const view = await stack.owner.stack(stack.slug);
          return view.layers.some(({ state }) => state === 'bad') ? view : undefined;
        },
        { what: 'the look that sees it', deadlineMs: 60_000 },
      );
      expect(seen.status).toBe('attention');
      expect(seen.layers.filter(({ state }) => state === 'bad')).toEqual([{ layer: service, state: 'bad' }]);
      // Three looks, the time a runtime is given to end, and a start.
      await watched.back(210_000);
      expect(await watched.operations()).toMatch(/^repair\|done\|$/);
    },
    300_000,
  );

  it('the proxy hangs: it is restarted, and serves', async () => {
    const proxy = world.platform.container('traefik');
    const pid = await pidOf(proxy);
    await hang(proxy);
    await waitFor(
      async () => {
        const now = await pidOf(proxy);
        return now !== 0 && now !== pid && (await world.answers(stack)) ? true : undefined;
      },
      { what: 'another process of the proxy that serves', deadlineMs: 150_000, intervalMs: 1_000 },
    );
  }, 180_000);
});

/** As the api tells them, which needs no engine to be asked. */
async function told(code: AlarmCode): Promise<Alarm | undefined> {
  const { items } = await world.operator.api<AlarmList>('GET', '/operator/alarms');
  return items.find((alarm) => alarm.code === code);
}

/** As an operator on the host sees them. */
async function listed(code: AlarmCode): Promise<Alarm | undefined> {
  const { document } = await world.platform.cli<AlarmList>('alarm', 'list');
  return document.data.items.find((alarm) => alarm.code === code);
}

/** How many mails say these words: one may tell of other alarms beside it. */
const mailsThatSay = (words: string): Promise<string> =>
  world.platform.sql(`select count(*) from outbox_mails where text like '%${words}%'`);

describe('what nobody is left to repair is told', () => {
  const over = async (code: AlarmCode): Promise<void> => {
    const open = `select count(*) from alarms where code = '${code}' and ended_at is null`;
    await waitFor(async () => ((await world.platform.sql(open)) === '0' ? true : undefined), {
      what: `the end of ${code}`,
      deadlineMs: 120_000,
    });
    expect((await listed(code))?.endedAt).not.toBeNull();
  };

  it('an engine that is away: a critical alarm and a mail, over once it answers', async () => {
    await killEngine();
    try {
      await waitFor(async () => ((await told('ENGINE_AWAY'))?.mailedAt ? true : undefined), {
        what: 'the alarm and its mail',
        deadlineMs: 300_000,
        intervalMs: 2_000,
      });
    } finally {
      await startEngine();
    }
    const alarm = await listed('ENGINE_AWAY');
    expect(alarm).toMatchObject({ key: 'engine/local/away', severity: 'critical', acknowledgedAt: null });
    expect(await mailsThatSay('The container engine of the host local does not answer')).toBe('1');
    await over('ENGINE_AWAY');
    await watched.back();
  }, 600_000);

  it('an agent that is gone: a critical alarm and a mail, over once it is back', async () => {
    await world.withoutAgent(async () => {
      await waitFor(async () => ((await told('AGENT_SILENT'))?.mailedAt ? true : undefined), {
        what: 'the alarm and its mail',
        deadlineMs: 420_000,
        intervalMs: 2_000,
      });
      expect(await listed('AGENT_SILENT')).toMatchObject({
        key: 'agent/local/silent',
        severity: 'critical',
        endedAt: null,
      });
      expect((await world.platform.cli('alarm', 'list')).code).toBe(8);
    });
    expect(await mailsThatSay('The agent of the host local gave its last sign of life')).toBe('1');
    await over('AGENT_SILENT');
    await watched.back();
  }, 600_000);

  it('a gate that hangs while it runs: the other one lets owners in until it is restarted, no stack is touched, and operators are told', async () => {
    const gate = world.platform.container('gate');
    const done = await watched.operations();
    const first = await pidOf(gate);
    // The first process only waits for the one that serves.
    const serving = (await readFile(`/proc/${first}/task/${first}/children`, 'utf8')).trim().split(' ').map(Number);
    const signal = (name: NodeJS.Signals): void => serving.forEach((pid) => process.kill(pid, name));
    signal('SIGSTOP');
    try {
      const { document } = await world.platform.cli<{ checks: { name: string; state: string }[] }>('doctor');
      expect(document.data.checks.filter(({ name }) => name === 'gate')).toMatchObject([{ state: 'bad' }]);
      // By then the proxy has found out which of them takes requests.
      await world.served(stack);
      await waitFor(async () => ((await pidOf(gate)) !== first ? true : undefined), {
        what: 'another life of the gate',
        deadlineMs: 360_000,
        intervalMs: 1_000,
      });
    } finally {
      if ((await pidOf(gate)) === first) {
        signal('SIGCONT');
      }
    }
    await world.served(stack);
    expect(await listed('PORTAL_UNWELL')).toMatchObject({
      key: 'portal/local/gate',
      severity: 'warning',
      message: expect.stringContaining('It was restarted at'),
    });
    await over('PORTAL_UNWELL');
    expect((await listed('STACKS_UNWELL')) ?? null).toBeNull();
    expect([await watched.isAsBefore(), await watched.operations()]).toEqual([true, done]);
  }, 600_000);
});
