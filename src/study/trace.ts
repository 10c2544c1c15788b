import { createHash } from 'node:crypto'
import { join } from 'node:path'
import { MAX_PROBLEMS, readCsv } from './csv-table.ts'
import { DURATION_PERCENTILES, MEMORY_PERCENTILES } from './durations.ts'
import type { Checked, Problem } from './problem.ts'
import { decimal, hashOf, requireColumns, wholeNumber } from './trace-cell.ts'

/** One function of a trace: how often it was invoked in each minute, how long it ran and what memory it took. */
export interface TraceFunction {
  /** HashFunction, on which the three files are joined. */
  readonly hash: string
  /** A DNS label made from the hash: the Service's name. */
  readonly name: string
  readonly trigger: string
  /** One count for each minute of the trace. */
  readonly invocations: Uint32Array
  /** Execution times in ms at DURATION_PERCENTILES, not falling. */
  readonly durations: readonly number[]
  /** Allocated memory in MB at MEMORY_PERCENTILES, not falling. */
  readonly memory: readonly number[]
}

export interface Trace {
  readonly folder: string
  /** The name of the first minute's column: 1 is the day's first in Azure's own files. */
  readonly firstMinute: number
  readonly minutes: number
  /** In the order of invocations.csv. */
  readonly functions: readonly TraceFunction[]
}

/** More than this in one minute is a broken file, not a load that one machine can send. */
const MAX_INVOCATIONS_A_MINUTE = 10_000_000

/**
 * Reads a trace folder in the form of the Azure Functions Trace 2019 as InVitro's sampler writes it. Columns are found by
 * name, so their order is free; unknown ones are ignored, except that a column whose name is a whole number is a minute,
 * and minutes must follow one another. A function that stands twice in a file, or in invocations.csv but not in the
 * others, is refused; functions that only the others know are left out.
 */
export async function readTrace(folder: string): Promise<Checked<Trace>> {
  const problems: Problem[] = []
  const invocations = await readInvocations(join(folder, 'invocations.csv'), problems)
  const durations = await readPercentiles(
    join(folder, 'durations.csv'),
    'Count',
    durationColumn,
    DURATION_PERCENTILES,
    problems,
  )
  const memory = await readPercentiles(
    join(folder, 'memory.csv'),
    'SampleCount',
    memoryColumn,
    MEMORY_PERCENTILES,
    problems,
  )
  if (problems.length > 0) return { ok: false, problems }

  const functions: TraceFunction[] = []
  for (const [hash, { line, trigger, counts }] of invocations.rows) {
    const duration = durations.get(hash)
    const size = memory.get(hash)
    if (duration !== undefined && size !== undefined) {
      functions.push({
        hash,
        name: serviceName(hash),
        trigger,
        invocations: counts,
        durations: duration.values,
        memory: size.values,
      })
      continue
    }
    const missing = duration === undefined ? 'durations.csv' : 'memory.csv'
    problems.push({
      code: 'study/function-unmatched',
      file: join(folder, 'invocations.csv'),
      line,
      field: 'HashFunction',
      message: `${hash} has no row in ${missing}; add it there or take the function out`,
    })
    if (problems.length >= MAX_PROBLEMS) break
  }
  if (problems.length > 0) return { ok: false, problems }
  return {
    ok: true,
    value: { folder, firstMinute: invocations.firstMinute, minutes: invocations.minutes, functions },
  }
}

/** At least 64 bits of a digest, so that no two functions share a name; the hash's own start keeps it recognisable. */
function serviceName(hash: string): string {
  const digest = createHash('sha256').update(hash).digest('hex').slice(0, 16)
  return /^[0-9a-f]{8}/.test(hash) ? `f-${hash.slice(0, 8)}-${digest}` : `f-${digest}`
}

interface InvocationRow {
  readonly line: number
  readonly trigger: string
  readonly counts: Uint32Array
}

async function readInvocations(file: string, problems: Problem[]) {
  const own: Problem[] = []
  const rows = new Map<string, InvocationRow>()
  let names: readonly string[] = []
  let minuteAt: readonly number[] = []
  let firstMinute = 0
  await readCsv(file, own, {
    header(header) {
      names = header
      requireColumns(file, header, ['HashFunction'], own)
      minuteAt = header.flatMap((name, at) => (/^\d{1,9}$/.test(name) ? [at] : []))
      const minutes = minuteAt.map((at) => Number(header[at]))
      firstMinute = minutes[0] ?? 0
      const gap = minutes.findIndex((minute, i) => minute !== firstMinute + i)
      if (minutes.length === 0) {
        own.push({
          code: 'study/column-missing',
          file,
          line: 1,
          message: 'has no minute; expected a column for each, named by its number (480, 481, ...)',
        })
      } else if (gap !== -1) {
        own.push({
          code: 'study/minute-order',
          file,
          line: 1,
          field: names[minuteAt[gap]!]!,
          message: `expected minute ${firstMinute + gap} here; minutes must follow one another`,
        })
      }
    },
    row(row) {
      const hash = hashOf(file, names, row, rows, own)
      if (hash === undefined) return
      const trigger = row.cells[names.indexOf('Trigger')] ?? ''
      if (!/^[\w. -]{0,64}$/.test(trigger)) {
        own.push({
          code: 'study/cell',
          file,
          line: row.line,
          field: 'Trigger',
          message: `expected up to 64 letters, digits, '.', '-' or '_', got ${JSON.stringify(trigger.slice(0, 40))}`,
        })
        return
      }
      const counts = new Uint32Array(minuteAt.length)
      minuteAt.forEach((at, minute) => {
        counts[minute] = wholeNumber(file, row, names[at]!, row.cells[at]!, MAX_INVOCATIONS_A_MINUTE, own)
      })
      rows.set(hash, { line: row.line, trigger, counts })
    },
  })
  if (own.length === 0 && rows.size === 0) {
    own.push({ code: 'study/no-functions', file, message: 'has no function; expected a row for each' })
  }
  problems.push(...own.slice(0, MAX_PROBLEMS))
  return { rows, firstMinute, minutes: minuteAt.length }
}

interface PercentileRow {
  readonly line: number
  readonly values: readonly number[]
}

function durationColumn(percent: number): string {
  return `percentile_Average_${percent}`
}

function memoryColumn(percent: number): string {
  return `AverageAllocatedMb_pct${percent}`
}

/** Reads one row of rising percentiles for each function; `samples` is the column that says from how many they come. */
async function readPercentiles(
  file: string,
  samples: string,
  columnName: (percent: number) => string,
  percents: readonly number[],
  problems: Problem[],
): Promise<Map<string, PercentileRow>> {
  const own: Problem[] = []
  const rows = new Map<string, PercentileRow>()
  const columns = percents.map(columnName)
  let names: readonly string[] = []
  await readCsv(file, own, {
    header(header) {
      names = header
      requireColumns(file, header, ['HashFunction', samples, ...columns], own)
    },
    row(row) {
      const hash = hashOf(file, names, row, rows, own)
      if (hash === undefined) return
      const count = decimal(file, row, samples, row.cells[names.indexOf(samples)]!, own)
      if (count === 0) {
        own.push({
          code: 'study/no-samples',
          file,
          line: row.line,
          field: samples,
          message: 'is 0, so the percentiles say nothing; take the function out',
        })
      }
      const values = columns.map((column) =>
        decimal(file, row, column, row.cells[names.indexOf(column)]!, own),
      )
      const falls = values.findIndex((value, i) => i > 0 && value < values[i - 1]!)
      if (falls !== -1) {
        own.push({
          code: 'study/percentile-order',
          file,
          line: row.line,
          field: columns[falls]!,
          message: `${values[falls]} is less than ${columns[falls - 1]} (${values[falls - 1]}); percentiles may not fall`,
        })
      }
      rows.set(hash, { line: row.line, values })
    },
  })
  problems.push(...own.slice(0, MAX_PROBLEMS))
  return rows
}
