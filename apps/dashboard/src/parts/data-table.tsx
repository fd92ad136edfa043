/* Written-out roles, because a phone's `display: grid` takes a table's meaning away in some browsers. */
/* oxlint-disable jsx-a11y/no-redundant-roles, jsx-a11y/no-interactive-element-to-noninteractive-role */
import type { ReactNode } from 'react';

export interface Column<Row> {
  key: string;
  label: string;
  /** Figures stand to the right, so that digits line up. */
  numeric?: boolean;
  /** On a phone the card's first line; other columns follow as label and value. */
  lead?: boolean;
  /** On a phone this value takes the whole width; others stand two in a row. */
  wide?: boolean;
  cell: (row: Row) => ReactNode;
}

export interface DataTableProps<Row> {
  label: string;
  columns: readonly Column<Row>[];
  rows: readonly Row[];
  rowKey: (row: Row) => string;
  /** A last row in bold, such as totals: one cell a column, by key. */
  total?: Record<string, ReactNode>;
}

/** One table: rows on a desk, cards on a phone. */
export function DataTable<Row>({ label, columns, rows, rowKey, total }: DataTableProps<Row>) {
  return (
    <table className="data" role="table" aria-label={label}>
      <thead role="rowgroup">
        <tr role="row">
          {columns.map((column) => (
            <th key={column.key} role="columnheader" scope="col" data-numeric={column.numeric || undefined}>
              {column.label}
            </th>
          ))}
        </tr>
      </thead>
      <tbody role="rowgroup">
        {rows.map((row) => (
          <tr key={rowKey(row)} role="row">
            {columns.map((column) => (
              <td
                key={column.key}
                role="cell"
                data-label={column.label}
                data-numeric={column.numeric || undefined}
                data-lead={column.lead || undefined}
                data-wide={column.wide || undefined}
              >
                {column.cell(row)}
              </td>
            ))}
          </tr>
        ))}
      </tbody>
      {total === undefined ? null : (
        <tfoot role="rowgroup">
          <tr role="row">
            {columns.map((column) => (
              <td
                key={column.key}
                role="cell"
                data-label={column.label}
                data-numeric={column.numeric || undefined}
                data-lead={column.lead || undefined}
                data-wide={column.wide || undefined}
                data-empty={total[column.key] === undefined || undefined}
              >
                {total[column.key]}
              </td>
            ))}
          </tr>
        </tfoot>
      )}
    </table>
  );
}
