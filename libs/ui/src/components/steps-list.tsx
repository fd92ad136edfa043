import type { StepState } from '#libs/contracts';
import {
  IconChevronRight,
  IconCircle,
  IconCircleCheck,
  IconCircleX,
  IconLoader2,
  IconMinus,
} from '@tabler/icons-react';
import { useState } from 'react';
import { formatDuration } from '../domain/ago.js';
import { useUiText } from '../i18n/i18n.js';
import { useNow } from '../time/use-now.js';

export interface Rung {
  key: string;
  label: string;
  state: StepState;
  startedAt: string | null;
  finishedAt: string | null;
  detail?: string | null;
  children?: readonly Rung[];
}

const ICONS = {
  pending: IconCircle,
  running: IconLoader2,
  done: IconCircleCheck,
  failed: IconCircleX,
  skipped: IconMinus,
} as const;

function Duration({ rung }: { rung: Rung }) {
  const now = useNow(rung.state === 'running' ? 1000 : 60_000);
  if (rung.startedAt === null) {
    return null;
  }
  const end = rung.finishedAt === null ? now : Date.parse(rung.finishedAt);
  return <span className="av-rung-time">{formatDuration(end - Date.parse(rung.startedAt))}</span>;
}

function RungLine({ rung }: { rung: Rung }) {
  const t = useUiText();
  const Icon = ICONS[rung.state];
  return (
    <>
      <Icon size={16} aria-hidden className={rung.state === 'running' ? 'av-rung-icon av-spin' : 'av-rung-icon'} />
      <span className="av-hidden">{t(`steps.${rung.state}`)}: </span>
      <span className="av-rung-label">{rung.label}</span>
      <Duration rung={rung} />
    </>
  );
}

function SubRungs({ rungs }: { rungs: readonly Rung[] }) {
  return (
    <ol className="av-rungs-sub">
      {rungs.map((rung) => (
        <li key={rung.key} className="av-rung" data-state={rung.state}>
          <div className="av-rung-row">
            <RungLine rung={rung} />
          </div>
          {rung.detail ? <pre className="av-rung-detail">{rung.detail}</pre> : null}
        </li>
      ))}
    </ol>
  );
}

function RungItem({ rung }: { rung: Rung }) {
  const t = useUiText();
  const children = rung.children ?? [];
  // finished rungs fold; the running and the failing one are open, unless the person decided otherwise
  const [chosen, setChosen] = useState<boolean | null>(null);
  const open = chosen ?? (rung.state === 'failed' || rung.state === 'running');
  return (
    <li className="av-rung" data-state={rung.state}>
      <div className="av-rung-row">
        <RungLine rung={rung} />
        {children.length === 0 ? null : (
          <button type="button" className="av-rung-toggle" aria-expanded={open} onClick={() => setChosen(!open)}>
            <IconChevronRight size={14} aria-hidden />
            {t('steps.details', { count: children.length })}
            <span className="av-hidden"> {rung.label}</span>
          </button>
        )}
      </div>
      {rung.detail ? <pre className="av-rung-detail">{rung.detail}</pre> : null}
      {open && children.length > 0 ? <SubRungs rungs={children} /> : null}
    </li>
  );
}

/** The steps of an operation as rungs of a ladder. */
export function StepsList({ rungs }: { rungs: readonly Rung[] }) {
  const t = useUiText();
  return (
    <ol className="av-rungs" aria-label={t('steps.label')}>
      {rungs.map((rung) => (
        <RungItem key={rung.key} rung={rung} />
      ))}
    </ol>
  );
}

/** One thin bar per step, for a row: how far, at a glance; the words beside it say the same. */
export function StepsBar({ states }: { states: readonly StepState[] }) {
  return (
    <span className="av-bar" aria-hidden>
      {states.map((state, index) => (
        // a bar has a fixed number of places
        // oxlint-disable-next-line react/no-array-index-key
        <i key={index} data-state={state} />
      ))}
    </span>
  );
}
