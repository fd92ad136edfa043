import type { OutboxMail, StatusWord } from '#libs/contracts';
import { ErrorState, Facts, PageTitle, Panel, StatusPill, Time } from '#libs/ui';
import { Table } from '@mantine/core';
import { useQuery } from '@tanstack/react-query';
import { useApi } from '../api/context.js';
import { splitLinks } from '../domain/links.js';
import { useT } from '../i18n/use-text.js';
import { TextLink } from '../parts/link-button.js';
import { Loaded } from '../parts/loaded.js';
import { PagedList } from '../parts/paged-list.js';
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

export function OutboxPage() {
  const t = useT();
  const api = useApi();
  return (
    <>
      <PageTitle facts={t('outbox.lead')}>{t('outbox.title')}</PageTitle>
      <Panel flush>
        <PagedList
          queryKey={['operator', 'outbox']}
          load={(cursor) => api.operator.outbox({ cursor, limit: 50 })}
          failure={t('outbox.loadFailed')}
          empty={{ title: t('outbox.empty'), body: t('outbox.emptyBody') }}
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
  return (
    <>
      <PageTitle facts={<TextLink to="/console/outbox">{t('outbox.back')}</TextLink>}>{mail.subject}</PageTitle>
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
    refetchInterval: 10_000,
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
