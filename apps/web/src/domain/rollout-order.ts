import { planRolloutSchema, type PlanRollout, type ReleaseView } from '#libs/contracts';

/** What is typed on the page that begins a rollout, as it is typed. */
export const ROLLOUT_FIELDS = [
  'canary',
  'waves',
  'concurrency',
  'soak',
  'budget',
  'inARow',
  'windowFrom',
  'windowTo',
  'from',
  'stacks',
] as const;
export type RolloutField = (typeof ROLLOUT_FIELDS)[number];
export type RolloutDraft = Record<RolloutField, string>;

const { settings: usual } = planRolloutSchema.parse({ release: 'none' });

/** As an order is without a word of anybody's; minutes between rings. */
export const USUAL_ROLLOUT: RolloutDraft = {
  canary: String(usual.canaryPercent),
  waves: usual.waves.join(', '),
  concurrency: String(usual.concurrency),
  soak: String(usual.soakSeconds / 60),
  budget: String(usual.budgetPercent),
  inARow: String(usual.inARow),
  windowFrom: '',
  windowTo: '',
  from: '',
  stacks: '',
};

const FIELD_OF: Record<string, RolloutField> = {
  canaryPercent: 'canary',
  waves: 'waves',
  concurrency: 'concurrency',
  soakSeconds: 'soak',
  budgetPercent: 'budget',
  inARow: 'inARow',
  window: 'windowTo',
  from: 'from',
  stacks: 'stacks',
};

/** NaN, which no field takes, for what is no plain number. */
const number = (text: string): number =>
  /^\d{1,9}([.,]\d+)?$/.test(text.trim()) ? Number(text.replace(',', '.')) : NaN;
const words = (text: string): string[] => text.split(/[\s,;]+/).filter(Boolean);

export type ReadOrder = { order: PlanRollout; problems: null } | { order: null; problems: ReadonlySet<RolloutField> };

/** The order a draft stands for; where it stands for none, the fields that keep it from that. */
export function orderOf({ id, state }: Pick<ReleaseView, 'id' | 'state'>, draft: RolloutDraft): ReadOrder {
  const { windowFrom: from, windowTo: to } = draft;
  const stacks = words(draft.stacks);
  const parsed = planRolloutSchema.safeParse({
    release: id,
    selection: { ...(draft.from === '' ? {} : { from: draft.from }), ...(stacks.length === 0 ? {} : { stacks }) },
    settings: {
      canaryPercent: number(draft.canary),
      waves: words(draft.waves.replaceAll('%', '')).map(number),
      concurrency: number(draft.concurrency),
      soakSeconds: Math.round(number(draft.soak) * 60),
      budgetPercent: number(draft.budget),
      inARow: number(draft.inARow),
      candidate: state === 'candidate',
      window: from === '' && to === '' ? null : { from, to },
    },
  });
  if (parsed.success) {
    return { order: parsed.data, problems: null };
  }
  const problems = new Set<RolloutField>();
  for (const { path } of parsed.error.issues) {
    const [, name, part] = path.map(String);
    problems.add(name === 'window' && part === 'from' ? 'windowFrom' : (FIELD_OF[name ?? ''] ?? 'stacks'));
  }
  return { order: null, problems };
}

/** What the command line is told for the same; what is as usual is not said. */
export function rolloutCli({ release, selection, settings }: PlanRollout): string {
  const { window } = settings;
  const flags: [flag: string, value: string, differs: boolean][] = [
    ['canary', String(settings.canaryPercent), settings.canaryPercent !== usual.canaryPercent],
    ['waves', settings.waves.join(','), settings.waves.join() !== usual.waves.join()],
    ['concurrency', String(settings.concurrency), settings.concurrency !== usual.concurrency],
    ['soak', String(settings.soakSeconds), settings.soakSeconds !== usual.soakSeconds],
    ['budget', String(settings.budgetPercent), settings.budgetPercent !== usual.budgetPercent],
    ['in-a-row', String(settings.inARow), settings.inARow !== usual.inARow],
    ['window', window === null ? '' : `${window.from}-${window.to}`, window !== null],
    ['from', selection.from ?? '', selection.from !== undefined],
    ['stacks', (selection.stacks ?? []).join(','), selection.stacks !== undefined],
  ];
  return [
    `aviary rollout start ${release}`,
    ...flags.filter(([, , differs]) => differs).map(([flag, value]) => `--${flag} ${value}`),
    ...(settings.candidate ? ['--candidate'] : []),
  ].join(' ');
}
