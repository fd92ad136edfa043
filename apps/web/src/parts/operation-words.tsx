import { OPERATION_STATUS, type OperationView, type StepView } from '#libs/contracts';
import { StatusPill, type Rung } from '#libs/ui';
import { phasesOf } from '../domain/operation-rungs.js';
import { en } from '../i18n/en.js';
import { useT } from '../i18n/use-text.js';

type KnownPhase = keyof typeof en.operation.phase;
const isKnown = (phase: string): phase is KnownPhase => Object.hasOwn(en.operation.phase, phase);

/** A phase in words; one that a newer agent added shows by its name. */
export function usePhaseText(): (phase: string) => string {
  const t = useT();
  return (phase) => (isKnown(phase) ? t(`operation.phase.${phase}`) : phase);
}

function actionText({ action, target }: StepView): string {
  return target === null ? (action ?? '') : `${action ?? ''} ${target}`;
}

export function useRungs(): (operation: OperationView) => Rung[] {
  const text = usePhaseText();
  return (operation) =>
    phasesOf(operation.steps).map((phase) => ({
      key: phase.key,
      label: text(phase.phase),
      state: phase.state,
      startedAt: phase.startedAt,
      finishedAt: phase.finishedAt,
      detail: phase.detail,
      children: phase.actions.map((action) => ({
        key: String(action.seq),
        label: actionText(action),
        state: action.state,
        startedAt: action.startedAt,
        finishedAt: action.finishedAt,
        detail: action.detail,
      })),
    }));
}

export function OperationPill({ operation, size }: { operation: OperationView; size?: 'sm' | 'md' | 'lg' }) {
  const t = useT();
  const open = operation.state === 'queued' || operation.state === 'running';
  const status = operation.overdue && open ? OPERATION_STATUS.overdue : OPERATION_STATUS[operation.state];
  const word = operation.state === 'running' && !operation.overdue ? t(`operation.doing.${operation.kind}`) : undefined;
  return (
    <StatusPill status={status} {...(word === undefined ? {} : { word })} {...(size === undefined ? {} : { size })} />
  );
}
