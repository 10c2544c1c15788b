import { createReadStream, statSync } from 'node:fs'
import { CsvError, parse } from 'csv-parse'
import type { Problem } from './problem.ts'

/** One record of a CSV file and the line on which it ends. */
export interface CsvRow {
  readonly line: number
  readonly cells: readonly string[]
}

/** What the reader of a file does with its parts; each may add problems. */
export interface CsvReader {
  header(names: readonly string[]): void
  row(row: CsvRow): void
}

/** Azure's largest file is 130 MB; more than this is not a trace. */
const MAX_FILE_BYTES = 512 * 1024 * 1024
/** A row of 1,440 minutes takes 12 kB at most; a quote that never closes ends here. */
const MAX_RECORD_BYTES = 1024 * 1024
/** A file that is wrong in the same way on each row says so often enough. */
export const MAX_PROBLEMS = 20

/**
 * Reads a CSV file with a header strictly: each record as wide as the header, column names unique. Any line ending,
 * quotes and a byte order mark are allowed; empty lines are skipped. Stops at a broken record or at MAX_PROBLEMS.
 */
export async function readCsv(file: string, problems: Problem[], reader: CsvReader): Promise<void> {
  const size = fileSize(file)
  if (typeof size !== 'number') {
    problems.push({
      code: 'study/file-unreadable',
      file,
      message: `cannot be read: ${size.message}; a trace folder has invocations.csv, durations.csv and memory.csv`,
    })
    return
  }
  if (size > MAX_FILE_BYTES) {
    problems.push({
      code: 'study/file-too-large',
      file,
      message: `has ${size} bytes; at most ${MAX_FILE_BYTES} are read: sample the trace first`,
    })
    return
  }
  let header: readonly string[] | undefined
  let line = 0
  const source = createReadStream(file)
  const parser = parse({
    bom: true,
    info: true,
    relax_column_count: true,
    skip_empty_lines: true,
    max_record_size: MAX_RECORD_BYTES,
  })
  source.on('error', (error) => parser.destroy(error))
  try {
    for await (const { record, info } of source.pipe(parser) as AsyncIterable<{
      record: string[]
      info: { lines: number }
    }>) {
      line = info.lines
      if (header === undefined) {
        header = record
        const twice = header.find((name, at) => header!.indexOf(name) !== at)
        if (twice !== undefined) {
          problems.push({
            code: 'study/column-twice',
            file,
            line,
            field: twice,
            message: 'the column stands twice in the header; expected it once',
          })
          return
        }
        reader.header(header)
        if (problems.length > 0) return
      } else if (record.length !== header.length) {
        problems.push({
          code: 'study/row-width',
          file,
          line,
          message: `has ${record.length} cells, but the header names ${header.length} columns; make them equal`,
        })
      } else {
        reader.row({ line, cells: record })
      }
      if (problems.length >= MAX_PROBLEMS) return
    }
  } catch (error) {
    if (!(error instanceof Error)) throw error
    const at = error instanceof CsvError && typeof error.lines === 'number' ? error.lines : line + 1
    problems.push({ code: 'study/csv-syntax', file, line: at, message: `is not CSV: ${error.message}` })
    return
  } finally {
    source.destroy()
  }
  if (header === undefined)
    problems.push({
      code: 'study/file-empty',
      file,
      message: 'is empty; expected a header and a row for each function',
    })
}

function fileSize(file: string): number | Error {
  try {
    const stat = statSync(file)
    return stat.isFile() ? stat.size : new Error('it is not a file')
  } catch (error) {
    return error as Error
  }
}
