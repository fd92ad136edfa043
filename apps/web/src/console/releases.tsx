import { RELEASE_STATUS, releaseMoves, waitingReleases, type ReleaseMove, type ReleaseView } from '#libs/contracts';
import { ConfirmDialog, PageTitle, Panel, StatusPill, Time } from '#libs/ui';
import { Button, Table } from '@mantine/core';
import { useMutation, useQueryClient } from '@tanstack/react-query';
import { useState, type ReactNode } from 'react';
import { useApi } from '../api/context.js';
import { keys } from '../api/queries.js';
import { effectsOf, madeOf } from '../domain/releases.js';
import { useT } from '../i18n/use-text.js';
import { LinkButton } from '../parts/link-button.js';
import { PagedList } from '../parts/paged-list.js';
import { Sentence } from '../parts/sentence.js';
import { NotesDialog } from './release-notes.js';
import { RolloutsPanel } from './rollouts.js';

type Act = ReleaseMove | 'fixed';

const actsOn = ({ state, failed }: ReleaseView): Act[] => [
  ...releaseMoves(state),
  ...(failed > 0 ? ['fixed' as const] : []),
];

/** Whether a fleet may be led to it; to a candidate, the canary alone. */
const mayLead = ({ state }: ReleaseView): boolean => state === 'stable' || state === 'candidate';

/** What new stacks are made of once it is stable or withdrawn; nothing where that does not change and is no surprise. */
function useNewStacksText(): (
  releases: readonly ReleaseView[],
  release: ReleaseView,
  move: ReleaseMove,
) => ReactNode[] {
  const t = useT();
  return (releases, release, move) => {
    const { template } = release;
    const { newStacks } = effectsOf(releases, release, move);
    const after = newStacks.release;
    if (after?.id === release.id) {
      return [t('releases.newOfIt', { template })];
    }
    if (!newStacks.changes) {
      return move === 'promote' && after !== null ? [t('releases.newStillOf', { template, release: after.id })] : [];
    }
    return [
      after === null ? (
        <strong key="none">{t('releases.newOfNone', { template })}</strong>
      ) : (
        t('releases.newOf', { template, release: after.id })
      ),
    ];
  };
}

function useEffects(): (releases: readonly ReleaseView[], release: ReleaseView, act: Act) => ReactNode[] {
  const t = useT();
  const newStacks = useNewStacksText();
  return (releases, release, act) => {
    const { id, stacks, failed } = release;
    const becomes = (
      <Sentence key="becomes" text={(slot) => t(`releases.becomes.${act}`, { release: slot })}>
        <span className="av-mono">{id}</span>
      </Sentence>
    );
    if (act === 'fixed') {
      return [becomes, t('releases.again', { count: failed })];
    }
    const { older } = effectsOf(releases, release, act);
    return [
      becomes,
      ...newStacks(releases, release, act),
      ...(act === 'promote' && older > 0 ? [t('releases.offered', { count: older })] : []),
      ...(act !== 'promote' && stacks > 0 ? [t('releases.stay', { count: stacks })] : []),
      ...(act === 'withdraw' ? [t('releases.images')] : []),
      ...(act !== 'withdraw' && failed > 0 ? [t('releases.notTried', { count: failed })] : []),
    ];
  };
}

interface Asked {
  id: string;
  act: Act;
  /** As they were when it was asked: what somebody reads does not change under them. */
  effects: ReactNode[];
}

function ActDialog({ asked, opened, onClose }: { asked: Asked; opened: boolean; onClose: () => void }) {
  const t = useT();
  const api = useApi();
  const queries = useQueryClient();
  const run = useMutation({
    mutationFn: ({ id, act }: Asked) =>
      act === 'fixed' ? api.operator.markReleaseFixed(id) : api.operator.moveRelease(id, act),
    // also after a refusal: somebody else may have moved it meanwhile
    onSettled: () => queries.invalidateQueries({ queryKey: keys.releases }),
  });
  return (
    <ConfirmDialog
      opened={opened}
      onClose={onClose}
      onConfirm={() => run.mutateAsync(asked)}
      verb={t(`releases.verb.${asked.act}`)}
      effects={asked.effects}
      grade="moderate"
      danger={asked.act === 'withdraw'}
    />
  );
}

/** What ships with the platform does not go to customers by itself: that it is there is said until somebody decides. */
function Waiting({ releases }: { releases: readonly ReleaseView[] }) {
  const t = useT();
  return waitingReleases(releases).map(({ release: { id }, move }) => (
    <p key={id} className="aw-pad">
      <Sentence text={(slot) => t(`releases.waits.${move}`, { release: slot })}>
        <span className="av-mono">{id}</span>
      </Sentence>
    </p>
  ));
}

/** What of a release does not stand in its name. */
function Needs({ release: { databaseMajor, requires } }: { release: ReleaseView }) {
  const t = useT();
  return (
    <span className="av-muted av-small">
      {[
        t('releases.database', { major: databaseMajor }),
        ...(requires.length === 0 ? [] : [t('releases.requires', { migrations: requires.join(', ') })]),
      ].join(' · ')}
    </span>
  );
}

function Releases({ releases }: { releases: readonly ReleaseView[] }) {
  const t = useT();
  const effects = useEffects();
  // what was asked stays while its dialog closes
  const [asked, setAsked] = useState<Asked | null>(null);
  const [opened, setOpened] = useState(false);
  const [noted, setNoted] = useState<ReleaseView | null>(null);
  const [noting, setNoting] = useState(false);
  return (
    <>
      <Waiting releases={releases} />
      <Table className="aw-table aw-dense">
        <caption className="av-hidden">{t('releases.caption')}</caption>
        <Table.Thead>
          <Table.Tr>
            <Table.Th>{t('releases.column.release')}</Table.Th>
            <Table.Th>{t('releases.column.state')}</Table.Th>
            <Table.Th className="aw-num av-nowrap">{t('releases.column.stacks')}</Table.Th>
            <Table.Th className="aw-num av-nowrap">{t('releases.column.failed')}</Table.Th>
            <Table.Th>{t('releases.column.since')}</Table.Th>
            <Table.Th>{t('releases.column.notes')}</Table.Th>
            <Table.Th>
              <span className="av-hidden">{t('releases.column.actions')}</span>
            </Table.Th>
          </Table.Tr>
        </Table.Thead>
        <Table.Tbody>
          {releases.map((release) => (
            <Table.Tr key={release.id} className="aw-row">
              <Table.Td data-label={t('releases.column.release')}>
                <span className="aw-lines">
                  <span>{t('releases.named', { template: release.template, version: release.version })}</span>
                  <span className="av-mono av-nowrap av-muted av-small">{release.id}</span>
                  <Needs release={release} />
                </span>
              </Table.Td>
              <Table.Td data-label={t('releases.column.state')} className="av-nowrap">
                <span className="aw-lines">
                  <StatusPill status={RELEASE_STATUS[release.state]} size="sm" />
                  {madeOf(releases, release.template)?.id === release.id ? (
                    <span className="av-muted av-small">{t('releases.forNew')}</span>
                  ) : null}
                </span>
              </Table.Td>
              <Table.Td data-label={t('releases.column.stacks')} className="aw-num">
                {release.stacks}
              </Table.Td>
              <Table.Td data-label={t('releases.column.failed')} className="aw-num">
                {release.failed}
              </Table.Td>
              <Table.Td data-label={t('releases.column.since')}>
                <Time value={release.createdAt} />
              </Table.Td>
              <Table.Td data-label={t('releases.column.notes')} className="aw-reason aw-notes">
                {release.notes}
              </Table.Td>
              <Table.Td data-label=" ">
                <span className="aw-row-tools aw-many">
                  {actsOn(release).map((act, index) => (
                    <Button
                      key={act}
                      variant="default"
                      size="xs"
                      aria-label={`${t(`releases.ask.${act}`)} ${release.id}`}
                      {...(index === 0 ? { 'data-row-link': true } : {})}
                      onClick={() => {
                        setAsked({ id: release.id, act, effects: effects(releases, release, act) });
                        setOpened(true);
                      }}
                    >
                      {t(`releases.ask.${act}`)}
                    </Button>
                  ))}
                  {mayLead(release) ? (
                    <LinkButton
                      to="/console/releases/rollouts/new"
                      search={{ release: release.id }}
                      variant="default"
                      size="xs"
                      aria-label={`${t('rollouts.ask.fleet')} ${release.id}`}
                    >
                      {t('rollouts.ask.fleet')}
                    </LinkButton>
                  ) : null}
                  <Button
                    variant="default"
                    size="xs"
                    aria-label={`${t('releases.ask.notes')} ${release.id}`}
                    onClick={() => {
                      setNoted(release);
                      setNoting(true);
                    }}
                  >
                    {t('releases.ask.notes')}
                  </Button>
                </span>
              </Table.Td>
            </Table.Tr>
          ))}
        </Table.Tbody>
      </Table>
      {asked === null ? null : <ActDialog asked={asked} opened={opened} onClose={() => setOpened(false)} />}
      {noted === null ? null : (
        <NotesDialog key={noted.id + noted.notes} release={noted} opened={noting} onClose={() => setNoting(false)} />
      )}
    </>
  );
}

/** Versions of templates: who is on each, and what may be done with it. */
export function ReleasesPage() {
  const t = useT();
  const api = useApi();
  return (
    <>
      <PageTitle
        actions={
          <LinkButton to="/console/releases/new" variant="default">
            {t('releases.ask.make')}
          </LinkButton>
        }
      >
        {t('releases.title')}
      </PageTitle>
      <div className="aw-gap">
        <Panel flush>
          <PagedList
            queryKey={keys.releases}
            load={() => api.operator.releases()}
            failure={t('releases.loadFailed')}
            empty={{ title: t('releases.empty'), body: t('releases.emptyBody') }}
          >
            {(releases) => <Releases releases={releases} />}
          </PagedList>
        </Panel>
        <p className="av-muted av-small aw-foot">{t('releases.lead')}</p>
      </div>
      <RolloutsPanel />
    </>
  );
}
