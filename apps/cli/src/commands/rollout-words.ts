import type { RolloutPlan, RolloutRing, RolloutView, RolloutWait } from '#libs/contracts';

const BAR = 8;

export const ringName = (ring: number): string => (ring === 0 ? 'canary' : `wave ${ring}`);

export const counted = (stacks: number): string => (stacks === 1 ? '1 stack' : `${stacks} stacks`);

export const seconds = (ms: number): string => `${(ms / 1_000).toFixed(1)} s`;

const WAITS: Record<RolloutWait['for'], string> = {
  upgrades: 'waits for upgrades under way',
  soak: 'watches the ring before',
  unwell: 'waits for an upgraded stack that is not well, or of which there is no news',
  window: 'waits for its window',
  promotion: 'waits until the release is stable',
  operator: 'waits for an operator',
};

export function waitWords(waits: RolloutWait | null): string {
  return waits === null ? '' : `${WAITS[waits.for]}${waits.until === null ? '' : ` until ${waits.until}`}`;
}

const RESULTS = [
  ['done', 'upgraded'],
  ['unwell', 'of them unwell'],
  ['open', 'under way'],
  ['rolledBack', 'rolled back'],
  ['failed', 'failed'],
  ['skipped', 'left out'],
] as const satisfies readonly (readonly [keyof RolloutView['counts'], string])[];

/** `17 upgraded, 2 rolled back`; nothing that did not happen. */
export function resultWords(counts: RolloutView['counts']): string {
  const said = RESULTS.filter(([of]) => counts[of] > 0).map(([of, word]) => `${counts[of]} ${word}`);
  return said.length === 0 ? 'none begun' : said.join(', ');
}

function ringLine(ring: RolloutRing): string {
  const outage =
    ring.outageMs === null ? '' : `; away for ${seconds(ring.outageMs.median)}, p95 ${seconds(ring.outageMs.p95)}`;
  const when = ring.begunAt === null ? '' : `  ${ring.begunAt}${ring.endedAt === null ? '' : ` – ${ring.endedAt}`}`;
  return `${ringName(ring.ring).padEnd(9)}  ${ring.done}/${ring.total}  ${resultWords(ring)}${outage}${when}`;
}

/** `standard@2  ▇▇▁▁▁▁▁▁  wave 1  3/30  2 under way` */
export function progress({ release, state, counts, rings, waits }: RolloutView): string {
  const of = counts.total - counts.skipped;
  const over = counts.done + counts.rolledBack + counts.failed;
  const filled = of === 0 ? 0 : Math.round((over / of) * BAR);
  const at = rings.find(({ endedAt }) => endedAt === null);
  const where = state === 'running' && at ? ringName(at.ring) : state;
  const waiting = waits === null || waits.for === 'upgrades' ? '' : `  ${waitWords(waits)}`;
  return `${release}  ${'▇'.repeat(filled)}${'▁'.repeat(BAR - filled)}  ${where}  ${over}/${of}  ${resultWords(counts)}${waiting}`;
}

/** The flags by which one that halted is gone on with, knowing of just what failed by then. */
export function resumeFlags({ budget: { failures, newest } }: RolloutView): string {
  return `--acknowledge --failures ${failures}${newest === null ? '' : ` --newest ${newest}`}`;
}

export function viewLines(view: RolloutView): string[] {
  const { settings, selection, budget } = view;
  const chosen = [
    ...(selection.from === undefined ? [] : [`from ${selection.from}`]),
    ...(selection.stacks === undefined ? [] : [counted(selection.stacks.length)]),
  ];
  return [
    `${view.id}  ${view.state} since ${view.since}`,
    `release    ${view.release}${chosen.length === 0 ? '' : `  (${chosen.join(', ')})`}`,
    ...(view.reason === null ? [] : [`reason     ${view.reason}`]),
    ...(view.waits === null ? [] : [`now        ${waitWords(view.waits)}`]),
    `stacks     ${view.counts.total - view.counts.skipped}: ${resultWords(view.counts)}`,
    `budget     ${budget.failures} failed of ${budget.allowed} that may${budget.newest === null ? '' : `, the newest at ${budget.newest}`}; ${settings.inARow} in a row halt it`,
    `settings   ${settings.concurrency} at once on an engine, ${settings.soakSeconds} s between rings${settings.window === null ? '' : `, ${settings.window.from}–${settings.window.to} UTC`}${settings.candidate ? ', candidate for the canary' : ''}`,
    ...view.rings.map(ringLine),
    ...view.moves.map(
      ({ at, to, by, reason }) =>
        `${at}  ${to} by ${by}${reason === null || reason === view.reason ? '' : `: ${reason}`}`,
    ),
  ];
}

export function planLines(plan: RolloutPlan): string[] {
  const { rings, skipped, settings } = plan;
  const of = rings.reduce((sum, { stacks }) => sum + stacks.length, 0);
  return [
    `${plan.release}: ${counted(of)} in ${rings.length === 1 ? '1 ring' : `${rings.length} rings`}, ${skipped.length} left out`,
    ...rings.map(
      ({ ring, stacks }) => `${ringName(ring).padEnd(9)}  ${String(stacks.length).padStart(4)}  ${stacks.join(' ')}`,
    ),
    ...skipped.map(({ slug, why, message }) => `left out   ${slug}  ${why}: ${message}`),
    `${settings.concurrency} at once on an engine, ${settings.soakSeconds} s between rings; more than ${settings.budgetPercent} % failed, or ${settings.inARow} in a row, halt it`,
    ...(plan.usualMs === null ? [] : [`an upgrade usually takes ${seconds(plan.usualMs)}`]),
  ];
}
