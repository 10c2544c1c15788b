import type { CsvRow } from './csv-table.ts'
import type { Problem } from './problem.ts'

/** Notes each column that the header must have and lacks. */
export function requireColumns(
  file: string,
  header: readonly string[],
  required: readonly string[],
  problems: Problem[],
): void {
  for (const name of required) {
    if (header.includes(name)) continue
    const hint =
      file.endsWith('memory.csv') && name === 'HashFunction'
        ? "; Azure's own memory file is by app: divide it among the app's functions first"
        : ''
    problems.push({
      code: 'study/column-missing',
      file,
      line: 1,
      field: name,
      message: `the header lacks this column${hint}`,
    })
  }
}

/** The row's HashFunction, or undefined (and a problem) where it is malformed or was seen before. */
export function hashOf(
  file: string,
  names: readonly string[],
  row: CsvRow,
  seen: ReadonlyMap<string, { line: number }>,
  problems: Problem[],
): string | undefined {
  const hash = row.cells[names.indexOf('HashFunction')]!
  const before = seen.get(hash)
  if (before !== undefined) {
    problems.push({
      code: 'study/function-twice',
      file,
      line: row.line,
      field: 'HashFunction',
      message: `${hash} stands on line ${before.line} already; expected one row for each function`,
    })
    return undefined
  }
  if (!/^[\x21-\x7e]{1,128}$/.test(hash)) {
    problems.push({
      code: 'study/cell',
      file,
      line: row.line,
      field: 'HashFunction',
      message: `expected 1 to 128 printable ASCII characters, got ${JSON.stringify(hash.slice(0, 40))}`,
    })
    return undefined
  }
  return hash
}

/** A count; spreadsheets and dataframes write 12 as 12.0. */
export function wholeNumber(
  file: string,
  row: CsvRow,
  field: string,
  cell: string,
  max: number,
  problems: Problem[],
): number {
  const value = /^\d{1,15}(\.0+)?$/.test(cell) ? Number(cell) : Number.NaN
  if (value <= max) return value
  problems.push({
    code: 'study/cell',
    file,
    line: row.line,
    field,
    message: `expected a whole number from 0 to ${max}, got ${JSON.stringify(cell.slice(0, 40))}`,
  })
  return 0
}

/** A measured figure; NaN, which no comparison holds of, where the cell is not one. */
export function decimal(file: string, row: CsvRow, field: string, cell: string, problems: Problem[]): number {
  const value = /^\d+(\.\d+)?([eE][+-]?\d{1,3})?$/.test(cell) ? Number(cell) : Number.NaN
  if (value <= Number.MAX_SAFE_INTEGER) return value
  problems.push({
    code: 'study/cell',
    file,
    line: row.line,
    field,
    message: `expected a number, 0 or more, got ${JSON.stringify(cell.slice(0, 40))}`,
  })
  return Number.NaN
}
