export interface Column<T> {
  head: string;
  value: (row: T) => string;
}

/** No borders, the id first; cut to `width` (0: not at all). */
export function formatTable<T>(rows: readonly T[], columns: readonly Column<T>[], width: number): string {
  const cells = [
    columns.map(({ head }) => head.toUpperCase()),
    ...rows.map((row) => columns.map(({ value }) => value(row))),
  ];
  const widths = columns.map((_, index) => Math.max(...cells.map((line) => line[index]?.length ?? 0)));
  return cells
    .map((line) => {
      const text = line
        .map((cell, index) => (index === line.length - 1 ? cell : cell.padEnd(widths[index] ?? 0)))
        .join('  ')
        .trimEnd();
      return width > 0 && text.length > width ? `${text.slice(0, width - 1)}…` : text;
    })
    .join('\n');
}

/** For cut and awk: tabs, no head, and no tab or line break inside a cell. */
export function formatPlain<T>(rows: readonly T[], columns: readonly Column<T>[]): string {
  return rows.map((row) => columns.map(({ value }) => value(row).replaceAll(/[\t\r\n]+/g, ' ')).join('\t')).join('\n');
}
