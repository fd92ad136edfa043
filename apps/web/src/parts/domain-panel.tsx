import { DOMAIN_REFUSALS, DOMAIN_STATUS, type DomainRefusal, type DomainView } from '#libs/contracts';
import { ConfirmDialog, CopyButton, Panel, Since, StatusPill, Time } from '#libs/ui';
import { Button, Table, TextInput } from '@mantine/core';
import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query';
import { useState } from 'react';
import { useApi } from '../api/context.js';
import { isApiError } from '../api/errors.js';
import { domainsQuery, keys } from '../api/queries.js';
import { useT } from '../i18n/use-text.js';
import { Failure } from './failure.js';
import { Loaded } from './loaded.js';
import { Sentence } from './sentence.js';

/** Addresses of the owner's own: what to set, how far each is, and why not further. */
export function DomainPanel({ slug }: { slug: string }) {
  const t = useT();
  const query = useQuery(domainsQuery(useApi(), slug));
  return (
    <Panel title={t('domains.title')}>
      <p className="av-muted">{t('domains.lead')}</p>
      <Loaded query={query} failure={t('domains.loadFailed')}>
        {({ items }) =>
          items.length === 0 ? (
            <p className="aw-domains-none">{t('domains.empty')}</p>
          ) : (
            <ul className="aw-domains">
              {items.map((domain) => (
                <li key={domain.domain}>
                  <Domain slug={slug} domain={domain} />
                </li>
              ))}
            </ul>
          )
        }
      </Loaded>
      <AddDomain slug={slug} />
    </Panel>
  );
}

function useRefresh(slug: string): () => Promise<void> {
  const queries = useQueryClient();
  return () => queries.invalidateQueries({ queryKey: keys.domains(slug) });
}

const refusalOf = (error: unknown): DomainRefusal | null => {
  const reason = isApiError(error, 'VALIDATION_FAILED') ? error.details['reason'] : null;
  return DOMAIN_REFUSALS.find((refusal) => refusal === reason) ?? null;
};

function AddDomain({ slug }: { slug: string }) {
  const t = useT();
  const api = useApi();
  const refresh = useRefresh(slug);
  const [name, setName] = useState('');
  const add = useMutation({
    mutationFn: (domain: string) => api.addDomain(slug, domain),
    onSuccess: async () => {
      setName('');
      await refresh();
    },
  });
  const refusal = refusalOf(add.error);
  return (
    <form
      className="aw-form"
      onSubmit={(event) => {
        event.preventDefault();
        if (name.trim() !== '' && !add.isPending) {
          add.mutate(name);
        }
      }}
    >
      <TextInput
        label={t('domains.field')}
        description={t('domains.hint')}
        value={name}
        maxLength={253}
        autoCapitalize="none"
        spellCheck={false}
        onChange={(event) => {
          setName(event.currentTarget.value);
          add.reset();
        }}
        error={refusal === null ? null : t(`domains.refused.${refusal}`)}
      />
      {add.error === null || refusal !== null ? null : <Failure error={add.error} title={t('domains.addFailed')} />}
      <div>
        <Button type="submit" variant="default" loading={add.isPending}>
          {t('domains.add')}
        </Button>
      </div>
    </form>
  );
}

function Domain({ slug, domain }: { slug: string; domain: DomainView }) {
  const t = useT();
  const api = useApi();
  const refresh = useRefresh(slug);
  const [removing, setRemoving] = useState(false);
  const verify = useMutation({ mutationFn: () => api.verifyDomain(slug, domain.domain), onSuccess: refresh });
  return (
    <article className="aw-domain" aria-label={domain.domain}>
      <header className="aw-domain-head">
        {domain.state === 'live' ? (
          <a className="av-mono aw-url" href={domain.url}>
            {domain.domain}
          </a>
        ) : (
          <strong className="av-mono aw-url">{domain.domain}</strong>
        )}
        <StatusPill status={DOMAIN_STATUS[domain.state]} />
        <span className="av-muted av-small">
          {domain.checkedAt === null ? (
            t('domains.notChecked')
          ) : (
            <Sentence text={(ago) => t('domains.checked', { ago })}>
              <Since value={domain.checkedAt} />
            </Sentence>
          )}
        </span>
        <span className="aw-domain-tools">
          <Button size="xs" variant="default" loading={verify.isPending} onClick={() => verify.mutate()}>
            {t('domains.verify')}
          </Button>
          <Button size="xs" variant="default" onClick={() => setRemoving(true)}>
            {t('domains.remove')}
          </Button>
        </span>
      </header>
      {verify.error === null ? null : <Failure error={verify.error} title={t('domains.failed')} />}
      {domain.problem === null ? null : (
        <p>
          <output>{t(`domains.problems.${domain.problem}`, domain.problemParams ?? {})}</output>
        </p>
      )}
      {domain.certificateUntil === null ? null : (
        <p className="av-muted av-small">
          <Sentence text={(time) => t('domains.until', { time })}>
            <Time value={domain.certificateUntil} style="date" />
          </Sentence>
        </p>
      )}
      {domain.state === 'live' && domain.problem === null ? null : <Records domain={domain} />}
      <ConfirmDialog
        opened={removing}
        onClose={() => setRemoving(false)}
        onConfirm={async () => {
          await api.removeDomain(slug, domain.domain);
          await refresh();
        }}
        verb={t('domains.removeVerb')}
        effects={[t('domains.removeEffect', { domain: domain.domain }), t('domains.removeEffectCertificate')]}
        grade="moderate"
      />
    </article>
  );
}

function Records({ domain }: { domain: DomainView }) {
  const t = useT();
  return (
    <Table className="aw-table" captionSide="top">
      <caption className="av-small">{t('domains.records')}</caption>
      <Table.Thead>
        <Table.Tr>
          <Table.Th>{t('domains.recordType')}</Table.Th>
          <Table.Th>{t('domains.recordName')}</Table.Th>
          <Table.Th>{t('domains.recordValue')}</Table.Th>
        </Table.Tr>
      </Table.Thead>
      <Table.Tbody>
        {domain.records.map(({ purpose, type, name, value }) => (
          <Table.Tr key={`${type} ${value}`}>
            <Table.Td data-label={t('domains.recordType')}>
              <span>
                {type} <span className="av-muted av-small">{t(`domains.purposes.${purpose}`)}</span>
              </span>
            </Table.Td>
            <Table.Td data-label={t('domains.recordName')}>
              <Record type={type} text={name} />
            </Table.Td>
            <Table.Td data-label={t('domains.recordValue')}>
              <Record type={type} text={value} />
            </Table.Td>
          </Table.Tr>
        ))}
      </Table.Tbody>
    </Table>
  );
}

function Record({ type, text }: { type: string; text: string }) {
  const t = useT();
  return (
    <span className="av-copyable">
      <span className="av-mono aw-url">{text}</span>
      <CopyButton value={text} label={t('domains.copy', { what: `${type} ${text}` })} />
    </span>
  );
}
