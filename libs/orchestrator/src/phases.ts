import { DomainError, isDomainError } from '#libs/contracts';
import { tx } from '#libs/db';
import type { PhaseName } from '#libs/tenants';
import { allowTrading } from './allow-trading.js';
import { bringSecrets } from './bring-secrets.js';
import { carry, leaveCarried, quiesce, requireQuiet } from './carry.js';
import { apply, askForActivity, away, converge, isBackingOff, layDown, lead, serving, undoing } from './converge.js';
import { crashLoop, withLogTail } from './crash-loop.js';
import type { PhaseContext } from './phase-context.js';
import { adoptRelease, readyToUpgrade } from './release.js';
import { noteRunning, requireResumed } from './resumption.js';
import { carriedBy, letTrade, settle } from './settle.js';
import { limitChanges } from './planner/plan.js';
import { wantStack, type StackWant } from './planner/want.js';

const OBSERVE_MS = 20_000;
/** A Postgres that starts takes a second or two; the runtime, which waits for it too, has the rest of the phase. */
const PASSWORD_MS = 30_000;
const NOTHING_RUNS = 'nothing of it is to run';
/**
 * What a probe leaves of its phase's deadline: with the whole of it, the phase would end first, with "too late" in
 * place of what the probe saw, and the logs could no longer be read.
 */
const TELLING_MS = 7_000;
/** Of a phase that has more to do than to wait until the address leads to the stack. */
const SERVED_MS = 20_000;
/** A repaired stack's own way back: a database's recovery and the runtime's new connections. */
const PATIENCE_MS = 30_000;
const AFTER_RESTART_MS = 60_000;
/** What has not answered all that time seldom ends when it is asked to, and nobody trades while it is waited for. */
const HUNG_GRACE_SECONDS = 20;

export const PHASE_HANDLERS: Record<PhaseName, (context: PhaseContext) => Promise<string | null>> = {
  prepare: async (context) => {
    const { deps, facts } = context;
    await tx(deps.dataSource, (db) => deps.secrets.ensure(db, facts, deps.now()));
    return allowTrading(context);
  },
  converge: async (context) => {
    await leaveCarried(context);
    return converge(context, wantStack(context.facts), serving(context.facts));
  },
  raise: (context) => converge(context, wantStack(context.facts), away(context.facts)),
  idle: async (context) => {
    const { facts, engine, signal } = context;
    const want = wantStack(facts);
    const { containers } = await engine.observe(want.owner, { deadlineMs: OBSERVE_MS, signal });
    if (containers.every(({ status }) => status !== 'running')) {
      return 'nothing runs';
    }
    await layDown(context, await askForActivity(context));
    return null;
  },
  renew: async ({ deps, facts }) => {
    const renewed = await tx(deps.dataSource, (db) => deps.secrets.renew(db, facts, deps.now()));
    return renewed ? null : 'an earlier rotation is finished instead';
  },
  limits: async (context) => {
    const { deps, engine, facts, signal } = context;
    const want = wantStack(facts);
    const objects = await engine.observe(want.owner, { deadlineMs: OBSERVE_MS, signal });
    try {
      await apply(context, want, limitChanges(want, objects));
    } catch (error) {
      if (!isDomainError(error, 'ENGINE_REFUSED') || !want.run) {
        throw error;
      }
      // Such as less memory than is in use: what is stopped uses none, and starts with the new limits.
      await lead(context, deps.routes.render(facts, away(facts)));
      await converge(context, { ...want, run: false }, away(facts));
      return 'not possible while it runs, so it is restarted';
    }
    return null;
  },
  drain: (context) => converge(context, { ...wantStack(context.facts), run: false }, away(context.facts)),
  unpublish: async (context) => {
    const { deps, facts } = context;
    await lead(context, facts.desired === 'deleted' ? null : deps.routes.render(facts, away(facts)));
    return null;
  },
  health: async (context) => {
    const { deps, facts, signal, deadlineMs } = context;
    if (!wantStack(facts).run) {
      return NOTHING_RUNS;
    }
    const began = performance.now();
    const leadsTo = context.operation.kind === 'wake' ? away(facts) : serving(facts);
    let resumed: string | null = null;
    for (;;) {
      const ended = new AbortController();
      const bounded = AbortSignal.any([signal, ended.signal]);
      try {
        await settlePassword(context);
        const left = (): number => deadlineMs - TELLING_MS - (performance.now() - began);
        // The watch for crashes has the whole deadline: a silence is for the probe to tell, which knows what it saw.
        const undone = await Promise.race([
          deps.probes.ready(facts, { deadlineMs: left(), signal: bounded }).then(async () => {
            if (context.operation.kind === 'upgrade') {
              resumed = await requireResumed(context, { deadlineMs: left(), signal: bounded });
            }
            return false;
          }),
          crashLoop(context, bounded),
          undoing(context, leadsTo, bounded),
        ]);
        if (!undone) {
          break;
        }
      } catch (error) {
        throw await withLogTail(context, error);
      } finally {
        ended.abort();
      }
      // What somebody undid while we waited is not mended by waiting, and nobody else may mend it meanwhile.
      await converge(context, wantStack(facts), leadsTo);
    }
    return resumed;
  },
  publish: async (context) => {
    const { deps, facts, signal, deadlineMs } = context;
    const want = wantStack(facts);
    if (!want.run) {
      return NOTHING_RUNS;
    }
    await lead(context, deps.routes.render(facts, serving(facts)));
    const carried = await carriedBy(context);
    if (carried?.settled === true) {
      // Of an agent that died over it. Before, since what holds its bots for nothing does not count as served.
      await letTrade(context);
    }
    await deps.probes.served(facts, { deadlineMs: Math.min(deadlineMs, SERVED_MS) - TELLING_MS, signal });
    if (facts.provisioningGeneration > 0) {
      await endProvisioning(context);
    }
    // The runtime wrote to and read from both stores with what it was given.
    await deps.secrets.proven(facts);
    if (carried?.settled === false) {
      await settle(context);
      await letTrade(context);
    }
    return null;
  },
  heal: async (context) => {
    const { deps, facts, signal, deadlineMs } = context;
    const want = wantStack(facts);
    if (!want.run) {
      return NOTHING_RUNS;
    }
    // What runs may have been started before a rotation that did not come to its end: its answer would prove nothing.
    // And what its engine starts later and later, it may start next in a minute.
    let stopping = want;
    if ((await deps.secrets.passwordInDoubt(facts)) === null && !(await isBackingOff(context))) {
      try {
        await deps.probes.ready(facts, { deadlineMs: PATIENCE_MS, signal });
        return null;
      } catch (error) {
        // Lost data is not brought back by a restart, nor anything while the work is called off.
        if (!isDomainError(error, 'HEALTH_GATE_FAILED')) {
          throw error;
        }
        stopping = hurried(want);
      }
    }
    // In the order of a restart, which lets bots end what they do.
    await converge(context, { ...stopping, run: false }, away(facts));
    await converge(context, want, serving(facts));
    await PHASE_HANDLERS.health({ ...context, deadlineMs: Math.min(deadlineMs, AFTER_RESTART_MS) });
    return 'restarted';
  },
  erase: async (context) => {
    const detail = await converge(context, wantStack(context.facts), away(context.facts));
    const left = await context.deps.backups.erase(context);
    return [detail, left].filter((one) => one !== null).join('; ') || null;
  },
  verify: async (context) => {
    const { engine, facts, deps, signal } = context;
    const left = await engine.observe(wantStack(facts).owner, { deadlineMs: OBSERVE_MS, signal });
    const names = [...left.containers, ...left.networks, ...left.volumes].map(({ name }) => name);
    const route = await deps.routes.read(facts.slug);
    if (names.length > 0 || route !== null) {
      throw new DomainError('WRONG_STATE', {
        message: `Still there after erasing: ${[...names, ...(route === null ? [] : ['route'])].join(', ')}.`,
        details: { why: 'left_over', left: names },
      });
    }
    return 'nothing left';
  },
  dump: (context) => context.deps.backups.dump(context),
  store: (context) => context.deps.backups.store(context),
  prove: (context) => context.deps.backups.prove(context),
  prune: (context) => context.deps.backups.prune(context),
  safeguard: async (context) => {
    const { backups } = context.deps;
    await backups.dump(context);
    await backups.store(context);
    const proven = await backups.prove(context);
    // At its end, since it may have taken hours; the address still leads to the stack, which is not away for this.
    const noted = context.operation.kind === 'upgrade' ? await noteRunning(context) : null;
    return noted === null ? proven : `${proven}; ${noted}`;
  },
  load: async (context) => {
    await bringSecrets(context);
    return context.deps.backups.load(context);
  },
  kept: (context) => context.deps.backups.kept(context),
  swap: async (context) => {
    const { backups, secrets } = context.deps;
    if (context.operation.kind === 'undo_restore') {
      await context.prove();
      // Before, so that whoever goes on after a crash knows of it too.
      await secrets.doubtPassword(context.facts);
    }
    return backups.swap(context);
  },
  preflight: readyToUpgrade,
  quiesce,
  carry,
  adopt: async (context) => {
    await requireQuiet(context);
    return adoptRelease(context);
  },
};

/** Has the database take the stack's password, where it may have another. */
async function settlePassword(context: PhaseContext): Promise<void> {
  const { deps, facts, signal } = context;
  const doubt = await deps.secrets.passwordInDoubt(facts);
  if (doubt === null) {
    return;
  }
  const { current, previous } = doubt;
  if (previous === null) {
    await deps.backups.setPassword(context, current, PASSWORD_MS);
  } else {
    await deps.databases.changePassword(facts, { current, previous }, { deadlineMs: PASSWORD_MS, signal });
  }
}

/**
 * The stack has its database now. From here on an empty one means that the data is gone, and no runtime may begin anew
 * on it: the permission ends in the files that a restart by the engine itself would read, and then in the row. The
 * other way round, a kill between the two would leave files nobody looks at again.
 */
async function endProvisioning(context: PhaseContext): Promise<void> {
  const { deps, facts } = context;
  const settled = { ...facts, provisioningGeneration: 0 };
  await apply({ ...context, facts: settled }, wantStack(settled), [
    {
      id: 'deliver files secrets',
      kind: 'deliver files',
      target: 'secrets',
      needs: [],
      services: [facts.template.aviary.runtime.service],
    },
  ]);
  await deps.dataSource.query('update tenants set provisioning_generation = 0 where id = $1', [facts.tenantId]);
}

/** The same, each service with less time to end by itself. */
const hurried = (want: StackWant): StackWant => ({
  ...want,
  containers: want.containers.map(({ service, spec }) => ({
    service,
    spec: { ...spec, stopGraceSeconds: Math.min(spec.stopGraceSeconds, HUNG_GRACE_SECONDS) },
  })),
});
