import type { OperationView } from '#libs/contracts';
import { formatDuration, Time, useErrorText, useNow } from '#libs/ui';
import { Table } from '@mantine/core';
import { elapsedMs } from '../domain/operation-rungs.js';
import { useT } from '../i18n/use-text.js';
import { TextLink } from './link-button.js';
import { OperationPill } from './operation-words.js';

function Took({ operation }: { operation: OperationView }) {
  const now = useNow(operation.state === 'running' ? 1000 : 60_000);
  const elapsed = elapsedMs(operation, now);
  return elapsed === null ? '–' : formatDuration(elapsed);
}

export interface OperationTableProps {
  operations: readonly OperationView[];
  /** The owner's pages name neither the person nor, on a stack's page, the stack. */
  columns?: readonly ('by' | 'stack')[];
}

/** Operations as rows; on a phone each row is a card. */
export function OperationTable({ operations, columns = ['stack'] }: OperationTableProps) {
  const t = useT();
  const errorText = useErrorText();
  const withStack = columns.includes('stack');
  const withBy = columns.includes('by');
  return (
    <Table className="aw-table">
      <caption className="av-hidden">{t('operations.caption')}</caption>
      <Table.Thead>
        <Table.Tr>
          <Table.Th>{t('operations.when')}</Table.Th>
          <Table.Th>{t('operations.what')}</Table.Th>
          <Table.Th>{t('operations.state')}</Table.Th>
          <Table.Th className="aw-num">{t('operations.took')}</Table.Th>
          {withBy ? <Table.Th>{t('operations.by')}</Table.Th> : null}
          <Table.Th>{t('operations.reason')}</Table.Th>
        </Table.Tr>
      </Table.Thead>
      <Table.Tbody>
        {operations.map((operation) => (
          <Table.Tr key={operation.id} className="aw-row" data-row>
            <Table.Td data-label={t('operations.when')} className="aw-when">
              <Time value={operation.createdAt} />
            </Table.Td>
            <Table.Td data-label={t('operations.what')}>
              <TextLink to="/app/operations/$id" params={{ id: operation.id }} data-row-link>
                {t(`operation.kind.${operation.kind}`)}
                {withStack ? (
                  <>
                    {' '}
                    <span className="av-mono">{operation.slug}</span>
                  </>
                ) : null}
              </TextLink>
            </Table.Td>
            <Table.Td data-label={t('operations.state')}>
              <OperationPill operation={operation} size="sm" />
            </Table.Td>
            <Table.Td data-label={t('operations.took')} className="aw-num">
              <Took operation={operation} />
            </Table.Td>
            {withBy ? <Table.Td data-label={t('operations.by')}>{operation.requestedBy}</Table.Td> : null}
            <Table.Td data-label={t('operations.reason')} className="aw-reason">
              {operation.error === null ? '' : errorText(operation.error)}
            </Table.Td>
          </Table.Tr>
        ))}
      </Table.Tbody>
    </Table>
  );
}
