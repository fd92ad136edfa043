import type { OperationView, StepState, StepView } from '#libs/contracts';

export interface PhaseRung {
  key: string;
  phase: string;
  state: StepState;
  startedAt: string | null;
  finishedAt: string | null;
  detail: string | null;
  actions: StepView[];
}

/** Phases in their order, each with the actions logged below it. An action of a phase nobody announced is kept. */
export function phasesOf(steps: readonly StepView[]): PhaseRung[] {
  const rungs = new Map<string, PhaseRung>();
  const sorted = steps.toSorted((a, b) => a.seq - b.seq);
  for (const step of sorted.filter((one) => one.action === null)) {
    const { phase, state, startedAt, finishedAt, detail } = step;
    rungs.set(phase, { key: `${step.seq}-${phase}`, phase, state, startedAt, finishedAt, detail, actions: [] });
  }
  for (const step of sorted.filter((one) => one.action !== null)) {
    const rung = rungs.get(step.phase);
    if (rung === undefined) {
      const { phase, state, startedAt, finishedAt } = step;
      rungs.set(phase, { key: `x-${phase}`, phase, state, startedAt, finishedAt, detail: null, actions: [step] });
    } else {
      rung.actions.push(step);
    }
  }
  return [...rungs.values()];
}

export interface Progress {
  /** 1-based number of the phase that runs or failed, or of the last one when all are over. */
  current: number;
  total: number;
  phase: string | null;
  states: StepState[];
}

export function progressOf(operation: Pick<OperationView, 'steps'>): Progress {
  const phases = phasesOf(operation.steps);
  const active = phases.findIndex((phase) => phase.state === 'running' || phase.state === 'failed');
  const waiting = phases.findIndex((phase) => phase.state === 'pending');
  const index = active !== -1 ? active : waiting !== -1 ? waiting : phases.length - 1;
  return {
    current: index + 1,
    total: phases.length,
    phase: phases[index]?.phase ?? null,
    states: phases.map((phase) => phase.state),
  };
}

/** Milliseconds from the beginning to the end, or until now; null before it began. */
export function elapsedMs(operation: Pick<OperationView, 'startedAt' | 'finishedAt'>, now: number): number | null {
  if (operation.startedAt === null) {
    return null;
  }
  const end = operation.finishedAt === null ? now : Date.parse(operation.finishedAt);
  return Math.max(0, end - Date.parse(operation.startedAt));
}

/** What a person can do about it: which button a failure or an end offers. */
export type NextStep = 'retry' | 'wait' | 'contact' | 'none';

const TRANSIENT = new Set([
  'TENANT_BUSY',
  'REPOSITORY_LOCKED',
  'LOST_RACE',
  'FENCED',
  'ENGINE_UNREACHABLE',
  'UNAVAILABLE',
  'NO_CAPACITY',
]);
/** Asking again would fail again, or could do harm: somebody has to look. */
const NEEDS_A_PERSON = new Set([
  'DATA_MISSING',
  'TEMPLATE_INVALID',
  'ROUTE_INVALID',
  'IMAGE_MISSING',
  'PLATFORM_MISMATCH',
  'REPOSITORY_KEY',
  'REPOSITORY_DAMAGED',
  'REPOSITORY_MISSING',
  'KEY_LOST',
]);

/** What may simply be asked for again by whoever may ask for it; the others are asked for on the stack's page. */
export function repeatable(kind: OperationView['kind']): 'start' | 'stop' | 'restart' | 'hibernate' | 'wake' | null {
  switch (kind) {
    case 'start':
    case 'stop':
    case 'restart':
    case 'hibernate':
    case 'wake':
      return kind;
    case 'provision':
    case 'repair':
      // What failed to be created exists already, half: starting it brings it to what is wanted.
      return 'start';
    case 'destroy':
    case 'suspend':
    case 'resume':
    case 'resize':
    case 'rotate_secrets':
    case 'backup':
    case 'restore':
    case 'upgrade':
    case 'rollback':
    case 'prune':
    case 'undo_restore':
    case 'clone':
      return null;
  }
}

/** Until there the stack is not touched: a backup stays beside it, a restore and an upgrade until the address goes. */
export function isBeside(operation: Pick<OperationView, 'kind' | 'steps'>): boolean {
  if (operation.kind === 'backup' || operation.kind === 'prune') {
    return true;
  }
  const touched = ['unpublish', 'drain', 'swap', 'quiesce', 'carry', 'adopt', 'converge', 'health', 'publish'];
  return (
    (operation.kind === 'restore' || operation.kind === 'undo_restore' || operation.kind === 'upgrade') &&
    !operation.steps.some(
      ({ phase, action, state }) =>
        action === null && touched.includes(phase) && (state === 'running' || state === 'done' || state === 'failed'),
    )
  );
}

/** What ends an operation without harm: one past its beginning, or past the point where ending it would help, is left. */
export function mayCancel(operation: Pick<OperationView, 'kind' | 'state' | 'steps'>): boolean {
  const { kind, state } = operation;
  if (kind === 'backup' || kind === 'prune' || kind === 'restore' || kind === 'undo_restore' || kind === 'upgrade') {
    return isBeside(operation);
  }
  return (
    !['destroy', 'suspend', 'resume', 'resize', 'rollback'].includes(kind) &&
    (state === 'queued' || !['stop', 'hibernate', 'rotate_secrets'].includes(kind))
  );
}

/** Whether a stop takes its place at once: what only brings the stack up, and what has not touched it yet. */
export function givesWayToStop(operation: Pick<OperationView, 'kind' | 'steps'>): boolean {
  return ['provision', 'start', 'restart', 'wake', 'resume', 'repair'].includes(operation.kind) || isBeside(operation);
}

/** A backup by the clock that found that the newest one holds all there is. */
export function wasNotNeeded({ kind, steps }: Pick<OperationView, 'kind' | 'steps'>): boolean {
  return kind === 'backup' && steps.some(({ phase, state }) => phase === 'prove' && state === 'skipped');
}

export function nextStepOf(operation: Pick<OperationView, 'state' | 'error'>): NextStep {
  if (operation.state === 'cancelled') {
    return 'retry';
  }
  if (operation.state !== 'failed') {
    return 'none';
  }
  const code = operation.error?.code ?? 'INTERNAL';
  return NEEDS_A_PERSON.has(code) ? 'contact' : TRANSIENT.has(code) ? 'wait' : 'retry';
}

/** The same operation on the command line. */
export function asCli(operation: Pick<OperationView, 'kind' | 'slug' | 'requestedBy'>): string {
  switch (operation.kind) {
    case 'provision':
      return `aviary tenant create --user ${operation.requestedBy}`;
    case 'destroy':
      return `aviary tenant destroy ${operation.slug} --confirm=${operation.slug}`;
    case 'rotate_secrets':
      return `aviary tenant rotate-secrets ${operation.slug}`;
    case 'resize':
      return `aviary tenant resize ${operation.slug} --plan=…`;
    case 'suspend':
      return `aviary tenant suspend ${operation.slug} --note='…' --confirm=${operation.slug}`;
    case 'backup':
      return `aviary backup take ${operation.slug}`;
    case 'clone':
      return `aviary backup clone …`;
    case 'undo_restore':
      return `aviary backup undo-restore ${operation.slug} --confirm=${operation.slug}`;
    case 'prune':
      return `aviary backup prune ${operation.slug}`;
    case 'upgrade':
      return `aviary tenant upgrade ${operation.slug} …`;
    case 'rollback':
      // The platform's own way back; to the same end leads an upgrade to the release before.
      return `aviary tenant upgrade ${operation.slug} …`;
    case 'restore':
      return `aviary backup restore ${operation.slug} … --confirm=${operation.slug}`;
    case 'repair':
      // The platform orders those by itself; a person's order to the same end is a start.
      return `aviary tenant start ${operation.slug}`;
    case 'start':
    case 'stop':
    case 'restart':
    case 'hibernate':
    case 'wake':
    case 'resume':
      return `aviary tenant ${operation.kind} ${operation.slug}`;
  }
}
