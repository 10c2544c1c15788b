/** Prints rows as columns under their names, in capitals, as wide as their widest value. */
export function formatTable(rows: readonly Record<string, unknown>[], columns: readonly string[]): string {
  const cells = rows.map((row) => columns.map((column) => cell(row[column])))
  const heads = columns.map(head)
  const widths = heads.map((head, i) => Math.max(head.length, ...cells.map((row) => row[i]!.length)))
  return [heads, ...cells]
    .map((row) =>
      row
        .map((text, i) => text.padEnd(widths[i]!))
        .join('   ')
        .trimEnd(),
    )
    .join('\n')
}

/** What `-o` may be for a list. */
export const FORMATS = ['table', 'json', 'yaml', 'name'] as const
export type Format = (typeof FORMATS)[number]

/** The widths of a table that grows, in characters. */
export type Widths = number[]

/** A row of a table that is printed as it grows, or (null) its head; columns widen with what comes. */
export function formatRow(
  row: Record<string, unknown> | null,
  columns: readonly string[],
  widths: Widths,
): string {
  const texts = columns.map((column) => (row === null ? head(column) : cell(row[column])))
  texts.forEach((text, i) => {
    widths[i] = Math.max(widths[i] ?? head(columns[i]!).length, text.length)
  })
  return texts
    .map((text, i) => text.padEnd(widths[i]!))
    .join('   ')
    .trimEnd()
}

/** Says what went wrong and ends with status 1 (2: the command line itself is wrong). */
export function fail(message: string, status = 1): never {
  process.stderr.write(`mayfly: ${message}\n`)
  process.exit(status)
}

function head(column: string): string {
  return column.replace(/([A-Z])/g, ' $1').toUpperCase()
}

function cell(value: unknown): string {
  return value === null || value === undefined || value === '' ? '-' : String(value)
}
