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

const TRANSIENT = new Set(['TENANT_BUSY', 'LOST_RACE', 'FENCED', 'ENGINE_UNREACHABLE', 'UNAVAILABLE', 'NO_CAPACITY']);
/** Asking again would fail again, or could do harm: somebody has to look. */
const NEEDS_A_PERSON = new Set([
  'DATA_MISSING',
  'TEMPLATE_INVALID',
  'ROUTE_INVALID',
  'IMAGE_MISSING',
  'PLATFORM_MISMATCH',
]);

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
    case 'start':
    case 'stop':
    case 'restart':
      return `aviary tenant ${operation.kind} ${operation.slug}`;
  }
}
