import {
  OPEN_OPERATION_STATES,
  type BackupList,
  type BackupView,
  type OperationView,
  type StackView,
} from '#libs/contracts';
import { EmptyState, PageTitle, Panel, Skeletons, Time, useErrorText, useNow, useTimeText, useZone } from '#libs/ui';
import { Button, Table } from '@mantine/core';
import { useInfiniteQuery, useQuery } from '@tanstack/react-query';
import { useState } from 'react';
import { useApi, useMe } from '../api/context.js';
import { isApiError } from '../api/errors.js';
import { useOperationStream } from '../api/live.js';
import { keys, operationQuery, POLL_MS, stackQuery, stacksQuery } from '../api/queries.js';
import { daysOf, newestFailure } from '../domain/backups.js';
import { byteParts } from '../domain/usage.js';
import { useT } from '../i18n/use-text.js';
import { BackupPill, BackupStanding, CheckedAt } from '../parts/backup-words.js';
import { CloneDialog } from '../parts/clone-dialog.js';
import { ExportDialog } from '../parts/export-dialog.js';
import { ExportPanel, KeepPanel } from '../parts/export-panel.js';
import { Failure } from '../parts/failure.js';
import { KeptDataPanel } from '../parts/kept-data.js';
import { LinkButton, TextLink } from '../parts/link-button.js';
import { More, Rows } from '../parts/list-tools.js';
import { Loaded } from '../parts/loaded.js';
import { OpenOperation } from '../parts/open-operation.js';
import { RestoreDialog } from '../parts/restore-dialog.js';
import { TakeBackup } from '../parts/take-backup.js';
import { NotFoundPage } from './not-found.js';

/** Of somebody's one stack, or which of several. */
export function BackupsHomePage() {
  const t = useT();
  const query = useQuery(stacksQuery(useApi()));
  const me = useMe();
  return (
    <Loaded query={query} shape="page" failure={t('app.loadFailed')}>
      {({ items }) => {
        const own = items.filter(({ owner }) => owner === me?.username);
        const [first] = own;
        if (first === undefined) {
          return (
            <EmptyState page title={t('backups.noStack')} action={<LinkButton to="/app">{t('app.create')}</LinkButton>}>
              {t('backups.noStackBody')}
            </EmptyState>
          );
        }
        return own.length === 1 ? <BackupsPage slug={first.slug} /> : <Several stacks={own} />;
      }}
    </Loaded>
  );
}

function Several({ stacks }: { stacks: readonly StackView[] }) {
  const t = useT();
  return (
    <>
      <PageTitle>{t('backups.title')}</PageTitle>
      <ul className="aw-cards">
        {stacks.map((stack) => (
          <li key={stack.id} className="av-panel aw-card">
            <TextLink to="/app/stacks/$slug/backups" params={{ slug: stack.slug }} className="av-mono aw-card-name">
              {stack.slug}
            </TextLink>
            <span>{stack.name}</span>
            <span>
              <BackupStanding stack={stack} />
            </span>
          </li>
        ))}
      </ul>
    </>
  );
}

/** The backups of one stack: when data was checked, what is under way, and each with how far it came. */
export function BackupsPage({ slug, keep = false }: { slug: string; keep?: boolean }) {
  const t = useT();
  const api = useApi();
  const stack = useQuery({ ...stackQuery(api, slug), refetchInterval: POLL_MS });
  const query = useInfiniteQuery({
    queryKey: keys.backups(slug),
    queryFn: ({ pageParam }) => api.backups(slug, { cursor: pageParam, limit: 50 }),
    initialPageParam: undefined as string | undefined,
    getNextPageParam: (page: BackupList) => page.next ?? undefined,
    refetchInterval: POLL_MS,
  });
  const [first] = query.data?.pages ?? [];
  const error = query.error ?? stack.error;
  if (error !== null && isApiError(error, 'NOT_FOUND', 'FORBIDDEN')) {
    return <NotFoundPage body={t('stack.notFound')} />;
  }
  if (first === undefined || stack.data === undefined) {
    return error === null ? (
      <Skeletons shape="page" />
    ) : (
      <Failure
        error={error}
        title={t('backups.loadFailed')}
        onRetry={() => void Promise.all([query.refetch(), stack.refetch()])}
      />
    );
  }
  const items = query.data?.pages.flatMap((page) => page.items) ?? [];
  return (
    <Backups
      stack={stack.data}
      list={first}
      items={items}
      keep={keep}
      more={
        <More
          shown={items.length}
          hasMore={query.hasNextPage}
          loading={query.isFetchingNextPage}
          onMore={() => void query.fetchNextPage()}
        />
      }
    />
  );
}

interface BackupsProps {
  stack: StackView;
  list: BackupList;
  items: readonly BackupView[];
  /** Its owner came to download everything. */
  keep: boolean;
  more: React.ReactNode;
}

/** What is asked about one of them, in its own dialog. */
type Chosen = { what: 'restore' | 'clone' | 'export'; backup: BackupView };

function Backups({ stack, list, items, keep, more }: BackupsProps) {
  const t = useT();
  const own = useMe()?.username === stack.owner;
  const [chosen, setChosen] = useState<Chosen | null>(null);
  const close = (): void => setChosen(null);
  const backupFor = (what: Chosen['what']): BackupView | null => (chosen?.what === what ? chosen.backup : null);
  const newest = items.find(({ state }) => state === 'verified');
  const again = items.find(({ id, state }) => id === list.export?.backup && state === 'verified');
  const { slug } = stack;
  const failure = newestFailure(items, list.open?.id ?? null);
  return (
    <>
      <PageTitle
        tone={failure !== null ? 'bad' : list.verifiedUntil === null ? 'none' : 'ok'}
        facts={<CheckedAt of={list} />}
        actions={<TakeBackup stack={stack} list={list} offersLogs className="aw-primary-action" />}
      >
        {t('backups.title')} <span className="av-mono aw-title-slug">{slug}</span>
      </PageTitle>
      {list.open === null ? null : <UnderWay operation={list.open} />}
      {failure === null ? null : <Failed backup={failure} until={list.verifiedUntil} />}
      {keep && own ? (
        <KeepPanel
          stack={stack}
          list={list}
          newest={newest}
          onDownload={(backup) => setChosen({ what: 'export', backup })}
        />
      ) : null}
      {list.export === null ? null : (
        <ExportPanel
          slug={slug}
          of={list.export}
          onAgain={own && again !== undefined ? () => setChosen({ what: 'export', backup: again }) : null}
        />
      )}
      {list.kept === null ? null : <KeptDataPanel stack={stack} kept={list.kept} busy={stack.openOperation !== null} />}
      {list.problem === null ? null : (
        <section className="av-panel aw-reason-panel" data-tone={list.problem === 'data_missing' ? 'bad' : 'off'}>
          <p>{t(`backups.problem.${list.problem}`)}</p>
        </section>
      )}
      <Panel flush>
        {items.length === 0 ? (
          <EmptyState title={t('backups.emptyTitle')}>{t('backups.emptyBody')}</EmptyState>
        ) : (
          <>
            <Strip items={items} complete={list.next === null} />
            <Rows>
              <BackupTable
                items={items}
                list={list}
                busy={stack.openOperation !== null}
                own={own}
                onChoose={setChosen}
              />
            </Rows>
            {more}
          </>
        )}
      </Panel>
      <p className="av-muted av-small aw-foot">{t('backups.lead')}</p>
      <CloneDialog backup={backupFor('clone')} stack={stack} onClose={close} />
      <ExportDialog backup={backupFor('export')} stack={stack} onClose={close} />
      <RestoreDialog backup={backupFor('restore')} stack={stack} safeguards={list.safeguards} onClose={close} />
    </>
  );
}

/** The operation as its stream tells it, between two looks at the list. */
function UnderWay({ operation }: { operation: OperationView }) {
  const { data } = useQuery({
    ...operationQuery(useApi(), operation.id),
    initialData: operation,
    initialDataUpdatedAt: 0,
  });
  useOperationStream(data);
  return OPEN_OPERATION_STATES.includes(data.state) ? <OpenOperation operation={data} /> : null;
}

function Failed({ backup, until }: { backup: BackupView; until: string | null }) {
  const t = useT();
  const errorText = useErrorText();
  const time = useTimeText();
  return (
    <section className="av-panel aw-reason-panel" data-tone="bad">
      <div>
        <strong>{t('backups.failedTitle')}</strong>
        {backup.error === null ? null : <p>{errorText(backup.error)}</p>}
        <p>{until === null ? t('backups.failedNone') : t('backups.failedKept', { time: time(until) })}</p>
      </div>
    </section>
  );
}

const STRIP_DAYS = 30;
const RUNGS = { good: 'done', failed: 'failed', none: 'pending' } as const;

/** A rung for each of the last days; the sentence beside it says the same. */
function Strip({ items, complete }: { items: readonly BackupView[]; complete: boolean }) {
  const t = useT();
  const { name: zone } = useZone();
  const now = useNow(60_000);
  const days = daysOf(items, { now, zone, days: STRIP_DAYS, complete });
  const good = days.filter(({ state }) => state === 'good').length;
  return (
    <div className="aw-strip">
      <span className="av-bar" aria-hidden>
        {days.map(({ day, state }) => (
          <i key={day} data-state={RUNGS[state]} title={`${day}: ${t(`backups.days.${state}`)}`} />
        ))}
      </span>
      <span className="av-small av-muted">{t('backups.strip', { good, count: days.length })}</span>
    </div>
  );
}

interface TableProps {
  items: readonly BackupView[];
  list: BackupList;
  /** Something is under way that a restore would have to wait for. */
  busy: boolean;
  /** What leaves the platform is its owner's alone. */
  own: boolean;
  onChoose: (chosen: Chosen) => void;
}

/** On a phone each row is a card. */
function BackupTable({ items, list, busy, own, onChoose }: TableProps) {
  const t = useT();
  const errorText = useErrorText();
  const time = useTimeText();
  const size = useSize();
  const open = list.open?.id ?? null;
  return (
    <Table className="aw-table">
      <caption className="av-hidden">{t('backups.caption')}</caption>
      <Table.Thead>
        <Table.Tr>
          <Table.Th>{t('backups.column.data')}</Table.Th>
          <Table.Th>{t('backups.column.state')}</Table.Th>
          <Table.Th>{t('backups.column.reason')}</Table.Th>
          <Table.Th>{t('backups.column.size')}</Table.Th>
          <Table.Th>{t('backups.column.holds')}</Table.Th>
          <Table.Th>
            <span className="av-hidden">{t('backups.column.actions')}</span>
          </Table.Th>
        </Table.Tr>
      </Table.Thead>
      <Table.Tbody>
        {items.map((backup) => (
          <Table.Tr key={backup.id} className="aw-row" data-row>
            <Table.Td data-label={t('backups.column.data')} className="aw-when">
              <TextLink to="/app/operations/$id" params={{ id: backup.operationId }} data-row-link>
                <Time value={backup.takenAt ?? backup.begunAt} />
              </TextLink>
            </Table.Td>
            <Table.Td data-label={t('backups.column.state')}>
              <span className="aw-lines">
                <BackupPill backup={backup} openOperation={open} />
                {backup.error === null ? null : <span className="av-small aw-reason">{errorText(backup.error)}</span>}
                {backup.sameUntil === null ? null : (
                  <span className="av-small av-muted">{t('backups.same', { time: time(backup.sameUntil) })}</span>
                )}
              </span>
            </Table.Td>
            <Table.Td data-label={t('backups.column.reason')}>{t(`backups.reasons.${backup.reason}`)}</Table.Td>
            <Table.Td data-label={t('backups.column.size')}>
              {backup.bytes === null ? '' : size(backup.bytes, backup.addedBytes)}
            </Table.Td>
            <Table.Td data-label={t('backups.column.holds')}>
              {backup.rows === null ? '' : t('backups.rows', { count: backup.rows, tables: backup.tables ?? 0 })}
              {backup.logs ? `, ${t('backups.takeLogs')}` : ''}
            </Table.Td>
            <Table.Td className="aw-backup-tools" {...(backup.state === 'verified' ? { 'data-label': ' ' } : {})}>
              {backup.state === 'verified' ? (
                <>
                  <Button
                    variant="default"
                    size="xs"
                    disabled={busy}
                    onClick={() => onChoose({ what: 'restore', backup })}
                  >
                    {t('backups.restore')}
                  </Button>{' '}
                  <Button variant="default" size="xs" onClick={() => onChoose({ what: 'clone', backup })}>
                    {t('backups.clone')}
                  </Button>{' '}
                  {own ? (
                    <Button
                      variant="default"
                      size="xs"
                      disabled={list.export?.state === 'sending'}
                      onClick={() => onChoose({ what: 'export', backup })}
                    >
                      {t('exports.open')}
                    </Button>
                  ) : null}
                </>
              ) : null}
            </Table.Td>
          </Table.Tr>
        ))}
      </Table.Tbody>
    </Table>
  );
}

function useSize(): (bytes: number, added: number | null) => string {
  const t = useT();
  const text = (bytes: number): string => t('backups.bytes', byteParts(bytes));
  return (bytes, added) =>
    added === null ? text(bytes) : t('backups.added', { size: text(bytes), added: text(added) });
}
