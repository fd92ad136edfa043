import type { CapacityItem, CapacityView } from '#libs/contracts';
import { Panel, Since } from '#libs/ui';
import { Table } from '@mantine/core';
import { useQuery } from '@tanstack/react-query';
import { useApi } from '../api/context.js';
import { keys, POLL_MS } from '../api/queries.js';
import { useT } from '../i18n/use-text.js';
import { Loaded } from '../parts/loaded.js';
import { Sentence } from '../parts/sentence.js';

const TONES = { ok: 'ok', warn: 'warn', bad: 'bad', unknown: 'none' } as const;

function Resource({ item }: { item: CapacityItem }) {
  const t = useT();
  const { resource, used, limit, unit, share, level, todo } = item;
  return (
    <Table.Tr className="aw-row" data-tone={TONES[level]}>
      <Table.Td data-label={t('capacity.resource')}>{t(`capacity.resources.${resource}`)}</Table.Td>
      <Table.Td data-label={t('capacity.promised')} className="aw-num">
        {limit === null ? `${used} ${unit}` : t('capacity.of', { used, limit, unit })}
      </Table.Td>
      <Table.Td data-label={t('capacity.share')} className="aw-num">
        {share === null ? t('capacity.notTold') : `${Math.round(share * 100)} %`}
      </Table.Td>
      <Table.Td data-label={t('capacity.state')}>{t(`capacity.levels.${level}`)}</Table.Td>
      <Table.Td data-label={t('capacity.todo')}>{todo === null ? '' : t(`capacity.todos.${resource}`)}</Table.Td>
    </Table.Tr>
  );
}

function Engine({ engine }: { engine: CapacityView['engines'][number] }) {
  const t = useT();
  return (
    <>
      <p className="av-muted av-small aw-pad">
        <Sentence text={(ago) => t('capacity.seen', { name: engine.engine, ago })}>
          <Since value={engine.seenAt} />
        </Sentence>
      </p>
      <Table className="aw-table">
        <caption className="av-hidden">{engine.engine}</caption>
        <Table.Thead>
          <Table.Tr>
            <Table.Th>{t('capacity.resource')}</Table.Th>
            <Table.Th className="aw-num">{t('capacity.promised')}</Table.Th>
            <Table.Th className="aw-num">{t('capacity.share')}</Table.Th>
            <Table.Th>{t('capacity.state')}</Table.Th>
            <Table.Th>{t('capacity.todo')}</Table.Th>
          </Table.Tr>
        </Table.Thead>
        <Table.Tbody>
          {engine.items.map((item) => (
            <Resource key={item.resource} item={item} />
          ))}
        </Table.Tbody>
      </Table>
    </>
  );
}

/** What the hosts have, what of it is taken, and what makes room where it runs out. */
export function CapacityPanel() {
  const t = useT();
  const api = useApi();
  const query = useQuery({ queryKey: keys.capacity, queryFn: api.operator.capacity, refetchInterval: POLL_MS });
  return (
    <Panel title={t('capacity.title')} flush>
      <Loaded query={query} failure={t('capacity.loadFailed')}>
        {({ engines }) => engines.map((engine) => <Engine key={engine.engine} engine={engine} />)}
      </Loaded>
    </Panel>
  );
}
