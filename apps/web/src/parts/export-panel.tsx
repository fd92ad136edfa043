import type { BackupList, BackupView, ExportState, ExportView, StackView } from '#libs/contracts';
import { useErrorText, useTimeText } from '#libs/ui';
import { Button } from '@mantine/core';
import { useMutation, useQueryClient } from '@tanstack/react-query';
import { useApi, useMe, usePortalNow } from '../api/context.js';
import { keys } from '../api/queries.js';
import { keptOf, type Kept } from '../domain/exports.js';
import { isStartable } from '../domain/startable.js';
import { exactCount } from '../domain/usage.js';
import { useT } from '../i18n/use-text.js';
import { useAgeText } from './backup-words.js';
import { openCommand } from './export-dialog.js';
import { Failure } from './failure.js';
import { LinkButton } from './link-button.js';
import { TakeBackup } from './take-backup.js';
import { useStackRequests } from './use-stack-requests.js';

const MINUTE_MS = 60_000;

const TONES = { asked: 'work', sending: 'work', sent: 'ok', failed: 'bad' } as const satisfies Record<
  ExportState,
  string
>;

/** What became of the newest download, as the platform saw it. */
export function ExportPanel({ slug, of, onAgain }: { slug: string; of: ExportView; onAgain: (() => void) | null }) {
  const t = useT();
  const time = useTimeText();
  const errorText = useErrorText();
  const { state, file, bytes, error } = of;
  const words = {
    file,
    bytes: exactCount(bytes ?? 0),
    command: openCommand(file),
  };
  return (
    <section className="av-panel aw-reason-panel" data-tone={TONES[state]}>
      <div>
        <strong>{t(`exports.state.${state}`, { time: time(of.takenAt) })}</strong>
        {state === 'failed' ? (
          error === null ? null : (
            <p>{errorText(error)}</p>
          )
        ) : (
          <p className="aw-lines">{t(`exports.body.${state}`, words)}</p>
        )}
        {state === 'asked' || state === 'sending' ? <StopDownload slug={slug} id={of.id} /> : null}
        {state === 'failed' && onAgain !== null ? (
          <Button variant="default" size="xs" onClick={onAgain}>
            {t('exports.again')}
          </Button>
        ) : null}
      </div>
    </section>
  );
}

/** It can be begun anew, so nobody is asked. */
function StopDownload({ slug, id }: { slug: string; id: string }) {
  const t = useT();
  const api = useApi();
  const queries = useQueryClient();
  const stop = useMutation({
    mutationFn: () => api.stopExport(slug, id),
    onSuccess: () => queries.invalidateQueries({ queryKey: keys.backups(slug) }),
  });
  return (
    <>
      <Button variant="default" size="xs" loading={stop.isPending} onClick={() => stop.mutate()}>
        {t('exports.stop')}
      </Button>
      {stop.error === null ? null : (
        <div className="aw-action-error">
          <Failure error={stop.error} title={t('exports.stopFailed')} />
        </div>
      )}
    </>
  );
}

/** The sentence of each case, and what it is given. */
function useKeptText() {
  const t = useT();
  const time = useTimeText();
  const age = useAgeText();
  return {
    keep(kept: Kept, canTake: boolean): string {
      switch (kept.is) {
        case 'none':
          return t(canTake ? 'exports.keepNone' : 'exports.keepNoneIdle');
        case 'writing':
          return t('exports.keepWriting', { time: time(kept.at), age: age(kept.ageMs) });
        case 'rested':
          return t(`exports.keepRested.${kept.how}`, { time: time(kept.at), age: age(kept.missingMs) });
        case 'older':
          return t(canTake ? 'exports.keepOlder' : 'exports.keepOlderIdle', { time: time(kept.at) });
      }
    },
    destroy(kept: Kept): string {
      switch (kept.is) {
        case 'none':
          return t('exports.destroyNone');
        case 'writing':
          return t('exports.destroyWriting', { time: time(kept.at), age: age(kept.ageMs) });
        case 'rested':
          return t(`exports.destroyRested.${kept.how}`, { time: time(kept.at), age: age(kept.missingMs) });
        case 'older':
          return t('exports.destroyOlder', { time: time(kept.at) });
      }
    },
  };
}

/** For who leaves: how much of what there is can be downloaded now, and what to do first to have the rest too. */
export function KeepPanel({
  stack,
  list,
  newest,
  onDownload,
}: {
  stack: StackView;
  list: BackupList;
  /** The newest that counts. */
  newest: BackupView | undefined;
  onDownload: (backup: BackupView) => void;
}) {
  const t = useT();
  const time = useTimeText();
  const text = useKeptText();
  const kept = keptOf(stack, list.verifiedUntil, usePortalNow(MINUTE_MS));
  const canStart = isStartable(stack);
  const taking = list.open?.kind === 'backup';
  return (
    <section className="av-panel aw-reason-panel" data-tone="warn">
      <div>
        <strong>{t('exports.keepTitle')}</strong>
        <p>{taking ? t('exports.keepBusy') : text.keep(kept, list.problem === null)}</p>
        {canStart ? <p>{t('exports.keepStart')}</p> : null}
        {canStart ? <StartFirst stack={stack} /> : null}
        {list.problem === null ? <TakeBackup stack={stack} list={list} variant="default" size="xs" /> : null}
        {newest === undefined ? null : (
          <Button variant="default" size="xs" onClick={() => onDownload(newest)}>
            {t('exports.keepButton', { time: time(newest.takenAt ?? newest.begunAt) })}
          </Button>
        )}
      </div>
    </section>
  );
}

/** A backup is taken of what runs. */
function StartFirst({ stack }: { stack: StackView }) {
  const t = useT();
  const { act } = useStackRequests(stack);
  const asleep = stack.status === 'asleep';
  return (
    <>
      <Button
        variant="default"
        size="xs"
        disabled={stack.openOperation !== null}
        loading={act.isPending}
        onClick={() => act.mutate(asleep ? 'wake' : 'start')}
      >
        {t(asleep ? 'exports.keepWakeButton' : 'exports.keepStartButton')}
      </Button>
      {act.error === null ? null : (
        <div className="aw-action-error">
          <Failure error={act.error} title={t('exports.keepStartFailed')} />
        </div>
      )}
    </>
  );
}

/** Before a stack and its backups are destroyed: what of it can be kept, and the way there. Its owner's alone. */
export function KeepFirst({ stack }: { stack: StackView }) {
  const t = useT();
  const me = useMe();
  const text = useKeptText();
  const kept = keptOf(stack, stack.backup?.takenAt ?? null, usePortalNow(MINUTE_MS));
  if (me?.username !== stack.owner) {
    return null;
  }
  return (
    <div className="aw-keep-first">
      <p>{text.destroy(kept)}</p>
      <LinkButton
        to="/app/stacks/$slug/backups"
        params={{ slug: stack.slug }}
        search={{ keep: true }}
        variant="default"
        size="xs"
      >
        {t('exports.destroyLink')}
      </LinkButton>
    </div>
  );
}
