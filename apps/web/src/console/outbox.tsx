import { outboxMailSchema, type OutboxMail, type StatusWord } from '#libs/contracts';
import { ErrorState, Facts, PageTitle, Panel, StatusPill, Time } from '#libs/ui';
import { Button, Table } from '@mantine/core';
import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query';
import { useApi } from '../api/context.js';
import { POLL_MS } from '../api/queries.js';
import { splitLinks } from '../domain/links.js';
import { useT } from '../i18n/use-text.js';
import { Failure } from '../parts/failure.js';
import { LinkButton, TextLink } from '../parts/link-button.js';
import { Loaded } from '../parts/loaded.js';
import { Choice } from '../parts/list-tools.js';
import { PagedList } from '../parts/paged-list.js';
import type { FilterProps } from '../pages/activity.js';
import { NotFoundPage } from '../pages/not-found.js';

const LOOKS: Record<OutboxMail['state'], Pick<StatusWord, 'tone' | 'icon'>> = {
  queued: { tone: 'work', icon: 'Hourglass' },
  sent: { tone: 'ok', icon: 'CircleCheck' },
  failed: { tone: 'bad', icon: 'CircleX' },
  kept: { tone: 'off', icon: 'FlagCheck' },
};

function MailPill({ state }: { state: OutboxMail['state'] }) {
  const t = useT();
  const word = t(`outbox.states.${state}`);
  return <StatusPill status={{ ...LOOKS[state], key: state, word }} word={word} size="sm" />;
}

const STATES = outboxMailSchema.shape.state.options;

export interface MailFilter {
  state?: OutboxMail['state'] | undefined;
}

export function OutboxPage({ filter, onFilter }: FilterProps<MailFilter>) {
  const t = useT();
  const api = useApi();
  return (
    <>
      <PageTitle
        facts={t('outbox.lead')}
        actions={
          <Choice
            label={t('list.state')}
            any={t('list.anyState')}
            value={filter.state}
            options={STATES.map((value) => ({ value, label: t(`outbox.states.${value}`) }))}
            onChange={(state) => onFilter({ state })}
          />
        }
      >
        {t('outbox.title')}
      </PageTitle>
      <Panel flush>
        <PagedList
          queryKey={['operator', 'outbox', filter]}
          load={(cursor) => api.operator.outbox({ ...filter, cursor, limit: 50 })}
          failure={t('outbox.loadFailed')}
          empty={
            filter.state === undefined
              ? { title: t('outbox.empty'), body: t('outbox.emptyBody') }
              : {
                  title: t('list.none'),
                  body: t('list.noneBody'),
                  action: (
                    <LinkButton to="/console/outbox" variant="default" size="xs">
                      {t('list.clear')}
                    </LinkButton>
                  ),
                }
          }
        >
          {(items) => (
            <Table className="aw-table aw-dense">
              <caption className="av-hidden">{t('outbox.caption')}</caption>
              <Table.Thead>
                <Table.Tr>
                  <Table.Th>{t('outbox.when')}</Table.Th>
                  <Table.Th>{t('outbox.subject')}</Table.Th>
                  <Table.Th>{t('outbox.to')}</Table.Th>
                  <Table.Th>{t('outbox.state')}</Table.Th>
                </Table.Tr>
              </Table.Thead>
              <Table.Tbody>
                {items.map((mail) => (
                  <Table.Tr key={mail.id} className="aw-row">
                    <Table.Td data-label={t('outbox.when')}>
                      <Time value={mail.createdAt} />
                    </Table.Td>
                    <Table.Td data-label={t('outbox.subject')}>
                      <TextLink to="/console/outbox/$id" params={{ id: mail.id }} data-row-link>
                        {mail.subject}
                      </TextLink>
                    </Table.Td>
                    <Table.Td data-label={t('outbox.to')}>{mail.to}</Table.Td>
                    <Table.Td data-label={t('outbox.state')}>
                      <MailPill state={mail.state} />
                    </Table.Td>
                  </Table.Tr>
                ))}
              </Table.Tbody>
            </Table>
          )}
        </PagedList>
      </Panel>
    </>
  );
}

function Body({ text }: { text: string }) {
  return (
    <div className="aw-mail">
      {splitLinks(text).map((part, index) =>
        part.kind === 'link' ? (
          // the parts of one text never change their order
          // oxlint-disable-next-line react/no-array-index-key
          <a key={index} href={part.text} rel="noreferrer">
            {part.text}
          </a>
        ) : (
          part.text
        ),
      )}
    </div>
  );
}

function Mail({ mail }: { mail: OutboxMail }) {
  const t = useT();
  const api = useApi();
  const queries = useQueryClient();
  const resend = useMutation({
    mutationFn: () => api.operator.resendMail(mail.id),
    onSuccess: (next) => {
      queries.setQueryData(['operator', 'mail', mail.id], next);
      void queries.invalidateQueries({ queryKey: ['operator', 'outbox'] });
    },
  });
  return (
    <>
      <PageTitle
        facts={<TextLink to="/console/outbox">{t('outbox.back')}</TextLink>}
        actions={
          <Button
            variant="default"
            onClick={() => resend.mutate()}
            loading={resend.isPending}
            disabled={mail.state === 'queued'}
          >
            {t('outbox.resend')}
          </Button>
        }
      >
        {mail.subject}
      </PageTitle>
      {resend.error === null ? null : (
        <div className="aw-gap">
          <Failure error={resend.error} title={t('outbox.resendFailed')} />
        </div>
      )}
      <div className="aw-gap">
        <Panel>
          <Facts
            items={[
              { term: t('outbox.to'), value: mail.to },
              { term: t('outbox.state'), value: <MailPill state={mail.state} /> },
              { term: t('outbox.when'), value: <Time value={mail.createdAt} /> },
              { term: t('outbox.sentAt'), value: mail.sentAt === null ? '–' : <Time value={mail.sentAt} /> },
              { term: t('outbox.attempts'), value: mail.attempts },
            ]}
          />
        </Panel>
      </div>
      {mail.lastError === null ? null : (
        <div className="aw-gap">
          <ErrorState error={{ message: mail.lastError }} title={t('outbox.error')} />
        </div>
      )}
      <Panel>
        <Body text={mail.text} />
      </Panel>
    </>
  );
}

export function MailPage({ id }: { id: string }) {
  const t = useT();
  const api = useApi();
  const query = useQuery({
    queryKey: ['operator', 'mail', id],
    queryFn: () => api.operator.mail(id),
    refetchInterval: POLL_MS,
  });
  return (
    <Loaded
      query={query}
      shape="page"
      failure={t('outbox.loadFailed')}
      missing={<NotFoundPage body={t('outbox.notFound')} />}
    >
      {(mail) => <Mail mail={mail} />}
    </Loaded>
  );
}
