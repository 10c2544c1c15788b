import { median, quantile, spread } from './statistics.ts'

/** One figure of a run. `baseline` is the figure it is compared with, measured in the same run. */
export type Row = {
  readonly name: string
  readonly unit: string
  /** null: not measured; `note` says why. */
  readonly median: number | null
  readonly p99: number | null
  readonly baseline: number | null
  /** median / baseline. */
  readonly ratio: number | null
  /** What was promised, as text: "median <= 5, p99 <= 15". */
  readonly goal: string | null
  /** null where there is no goal; false also where a goal's figure could not be measured. */
  readonly met: boolean | null
  /** (largest - smallest) / median over the rounds. */
  readonly spread: number | null
  /** What the baseline is. */
  readonly against: string | null
  readonly note: string | null
}

/** The most that a figure of the row may be, or the least. */
export type Goal =
  | { readonly of: 'median' | 'p99' | 'ratio'; readonly atMost: number }
  | { readonly of: 'median'; readonly atLeast: number }

export type Figures = {
  readonly name: string
  readonly unit: string
  /** One value for each round; the row shows their median and spread. */
  readonly rounds: readonly number[]
  /** One p99 for each round, where the figure is a distribution. */
  readonly p99s?: readonly number[]
  readonly baseline?: { readonly name: string; readonly rounds: readonly number[] }
  readonly goals?: readonly Goal[]
  readonly note?: string
}

/** Makes a row of measured rounds and judges its goals. */
export function measured(figures: Figures): Row {
  const baseline = figures.baseline === undefined ? null : median(figures.baseline.rounds)
  const value = median(figures.rounds)
  const row = {
    name: figures.name,
    unit: figures.unit,
    median: value,
    p99: figures.p99s === undefined ? null : median(figures.p99s),
    baseline,
    ratio: baseline === null ? null : value / baseline,
    spread: figures.rounds.length > 1 ? spread(figures.rounds) : null,
    against: figures.baseline?.name ?? null,
    note: figures.note ?? null,
  }
  const goals = figures.goals ?? []
  const met = goals.every((goal) => {
    const figure = row[goal.of]
    if (figure === null) return false
    return 'atMost' in goal ? figure <= goal.atMost : figure >= goal.atLeast
  })
  return { ...row, goal: goalText(goals), met: goals.length === 0 ? null : met }
}

/** A distribution's rounds as the medians and p99s that a row is made of. */
export function distribution(rounds: readonly ArrayLike<number>[]): { rounds: number[]; p99s: number[] } {
  return { rounds: rounds.map(median), p99s: rounds.map((samples) => quantile(samples, 0.99)) }
}

/** A row for a figure that this run could not measure: its goal counts as missed. */
export function unmeasured(name: string, unit: string, goals: readonly Goal[], why: string): Row {
  return {
    name,
    unit,
    median: null,
    p99: null,
    baseline: null,
    ratio: null,
    goal: goalText(goals),
    met: goals.length === 0 ? null : false,
    spread: null,
    against: null,
    note: `not measured: ${why}`,
  }
}

function goalText(goals: readonly Goal[]): string | null {
  if (goals.length === 0) return null
  return goals
    .map((goal) => ('atMost' in goal ? `${goal.of} <= ${goal.atMost}` : `${goal.of} >= ${goal.atLeast}`))
    .join(', ')
}

const columns = [
  'name',
  'unit',
  'median',
  'p99',
  'spread',
  'baseline',
  'ratio',
  'goal',
  'met',
  'note',
] as const

/** The rows as a table for people. */
export function table(rows: readonly Row[]): string {
  const cells = [[...columns], ...rows.map((row) => columns.map((column) => cell(row, column)))]
  const widths = columns.map((_, index) => Math.max(...cells.map((line) => line[index]!.length)))
  return cells
    .map((line) =>
      line
        .map((text, index) => align(text, index, widths))
        .join('  ')
        .trimEnd(),
    )
    .join('\n')
}

function cell(row: Row, column: (typeof columns)[number]): string {
  if (column === 'met')
    return row.met === null ? '' : row.median === null ? 'NOT MEASURED' : row.met ? 'met' : 'MISSED'
  if (column === 'spread') return row.spread === null ? '' : `±${Math.round(row.spread * 50)}%`
  if (column === 'baseline') return row.baseline === null ? '' : `${number(row.baseline)} ${row.against}`
  const value = row[column]
  // An error's text may have several lines; a row has one.
  return value === null
    ? ''
    : typeof value === 'number'
      ? number(value)
      : value.trim().replaceAll(/\s*\n\s*/g, ' | ')
}

function number(value: number): string {
  if (value === 0) return '0'
  const size = Math.abs(value)
  return value.toFixed(size >= 1000 ? 0 : size >= 100 ? 1 : size >= 1 ? 2 : 3)
}

function align(text: string, column: number, widths: readonly number[]): string {
  const isNumber = column >= 2 && column <= 4
  return isNumber ? text.padStart(widths[column]!) : text.padEnd(widths[column]!)
}
