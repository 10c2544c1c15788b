/** Prints rows as columns under their names, in capitals, as wide as their widest value. */
export function formatTable(rows: readonly Record<string, unknown>[], columns: readonly string[]): string {
  const cells = rows.map((row) => columns.map((column) => cell(row[column])))
  const heads = columns.map((column) => column.replace(/([A-Z])/g, ' $1').toUpperCase())
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

export type OutputFormat = 'table' | 'json' | 'name'

/** Prints a list in the format that `-o` asks for. `name` gives what identifies a row. */
export function printList(
  rows: readonly Record<string, unknown>[],
  columns: readonly string[],
  name: (row: Record<string, unknown>) => string,
  format: OutputFormat,
): void {
  if (format === 'json') console.log(JSON.stringify(rows, null, 2))
  else if (format === 'name') for (const row of rows) console.log(name(row))
  else console.log(formatTable(rows, columns))
}

/** Says what went wrong and ends with status 1 (2: the command line itself is wrong). */
export function fail(message: string, status = 1): never {
  process.stderr.write(`mayfly: ${message}\n`)
  process.exit(status)
}

function cell(value: unknown): string {
  return value === null || value === undefined || value === '' ? '-' : String(value)
}
