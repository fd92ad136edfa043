import { DomainError, type OperationView } from '#libs/contracts';
import { EXIT, type ExitCode } from './exit-codes.js';
import type { CommandContext } from './command.js';
import { CommandError } from './output.js';

const OPEN = new Set(['queued', 'running']);
const HEARTBEAT_MS = 15_000;
const BAR = 8;

export const isOver = (operation: OperationView): boolean => !OPEN.has(operation.state);

const seconds = (ms: number): string => `${(ms / 1_000).toFixed(1)} s`;

/** `u4k7mzq  ▇▇▇▇▇▁▁▁  3/4 health  0:02 (usually 0:03)` */
export function progressLine(operation: OperationView, now: number): string {
  const phases = operation.steps.filter(({ action }) => action === null);
  const done = phases.filter(({ state }) => state === 'done').length;
  const current = phases.find(({ state }) => state === 'running') ?? phases[done];
  const filled = phases.length === 0 ? 0 : Math.round((done / phases.length) * BAR);
  const since = operation.startedAt === null ? 0 : now - Date.parse(operation.startedAt);
  const usual = operation.usualMs === null ? '' : ` (usually ${seconds(operation.usualMs)})`;
  const where =
    operation.state === 'queued'
      ? 'queued'
      : `${Math.min(done + 1, phases.length)}/${phases.length} ${current?.phase ?? ''}`;
  return `${operation.slug}  ${'▇'.repeat(filled)}${'▁'.repeat(BAR - filled)}  ${where}  ${seconds(Math.max(0, since))}${usual}`;
}

/** Lines for logs: one per phase as it ends. */
function phaseLines(operation: OperationView, told: Set<number>): string[] {
  const phases = operation.steps.filter(({ action }) => action === null);
  return phases.flatMap((step, index) => {
    if (!['done', 'failed', 'skipped'].includes(step.state) || told.has(step.seq)) {
      return [];
    }
    told.add(step.seq);
    const took =
      step.startedAt !== null && step.finishedAt !== null
        ? ` ${seconds(Date.parse(step.finishedAt) - Date.parse(step.startedAt))}`
        : '';
    return [
      `${step.finishedAt ?? ''} ${index + 1}/${phases.length} ${step.phase} ${step.state}${took}${step.detail === null ? '' : `: ${step.detail}`}`,
    ];
  });
}

/**
 * Follows an operation to its end. Ctrl-C and --timeout leave it running and say how to come back. Resolves with the
 * exit code of its end.
 */
export async function followOperation(
  context: CommandContext,
  id: string,
  each?: (view: OperationView) => void,
): Promise<{ view: OperationView; code: ExitCode }> {
  const { output, options, interrupted } = context;
  const platform = await context.platform();
  const actor = await platform.operator();
  const limit = AbortSignal.timeout(Math.min(options.timeout * 1_000, 2 ** 31 - 1));
  const signal = AbortSignal.any([interrupted, limit]);
  const told = new Set<number>();
  let view = await platform.operations.get(actor, id);
  let lastWord = performance.now();
  const alive = setInterval(() => {
    if (output.live) {
      output.rewrite(progressLine(view, Date.now()));
    } else if (performance.now() - lastWord > HEARTBEAT_MS) {
      lastWord = performance.now();
      output.say(progressLine(view, Date.now()));
    }
  }, 200);
  try {
    const changes = platform.feed.watch({
      channel: 'aviary_operation',
      id,
      read: () => platform.operations.get(actor, id),
      isLast: isOver,
      signal,
    });
    for await (const next of changes) {
      view = next;
      each?.(view);
      if (output.live) {
        output.rewrite(progressLine(view, Date.now()));
      } else {
        for (const line of phaseLines(view, told)) {
          lastWord = performance.now();
          output.say(line);
        }
      }
    }
  } finally {
    clearInterval(alive);
    output.rewrite('');
  }
  if (!isOver(view)) {
    const back = `It goes on. Follow it with: aviary operation watch ${id}`;
    throw interrupted.aborted
      ? new CommandError(EXIT.interrupted, 'Interrupted.', back)
      : new CommandError(EXIT.unfinished, `Not done within ${options.timeout} s.`, back);
  }
  return { view, code: view.state === 'done' ? EXIT.done : EXIT.failed };
}

/** The error an operation ended with, as if it had been thrown here. */
export function operationError(view: OperationView): DomainError {
  const { code, message, details } = view.error ?? {
    code: 'INTERNAL' as const,
    message: `The operation ended ${view.state}.`,
    details: {},
  };
  return new DomainError(code as DomainError['code'], { message, details: { ...details, operationId: view.id } });
}
