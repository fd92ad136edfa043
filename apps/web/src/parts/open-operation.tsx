import type { OperationView } from '#libs/contracts';
import { formatDuration, StepsBar, useNow } from '#libs/ui';
import { elapsedMs, progressOf } from '../domain/operation-rungs.js';
import { useT } from '../i18n/use-text.js';
import { LinkButton } from './link-button.js';
import { OperationPill, usePhaseText } from './operation-words.js';

/** The open operation in one line: what, how far, how long, how long it usually takes. */
export function OpenOperation({ operation }: { operation: OperationView }) {
  const t = useT();
  const phase = usePhaseText();
  const now = useNow(1000);
  const progress = progressOf(operation);
  const elapsed = elapsedMs(operation, now);
  return (
    <section className="av-panel aw-open" data-tone={operation.overdue ? 'warn' : 'work'}>
      <OperationPill operation={operation} />
      <StepsBar states={progress.states} />
      <output>
        {progress.phase === null
          ? null
          : t('operation.step', {
              current: progress.current,
              total: progress.total,
              phase: phase(progress.phase),
            })}
      </output>
      <span className="av-muted av-nowrap">
        {elapsed === null ? null : formatDuration(elapsed)}
        {operation.usualMs === null
          ? null
          : ` · ${t('operation.usually', { duration: formatDuration(operation.usualMs) })}`}
      </span>
      <LinkButton
        to="/app/operations/$id"
        params={{ id: operation.id }}
        variant="subtle"
        size="xs"
        className="aw-follow"
      >
        {t('operation.follow')}
      </LinkButton>
    </section>
  );
}
