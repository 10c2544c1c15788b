import type { Random } from './random.ts'

/** The percentiles that a trace gives of a function's execution time, and the columns they stand in. */
export const DURATION_PERCENTILES = [0, 1, 25, 50, 75, 99, 100] as const
/** The same of the memory that a function's instances take. */
export const MEMORY_PERCENTILES = [1, 5, 25, 50, 75, 95, 99, 100] as const

/** InVitro's bounds: 1 ms is the smallest billing unit, 60 s the 96th percentile of the whole Azure trace. */
export const MIN_EXECUTION_MS = 1
export const MAX_EXECUTION_MS = 60_000
export const MIN_MEMORY_MB = 1
export const MAX_MEMORY_MB = 10_240

/** How long an invocation is asked to work, in whole ms, drawn from the function's percentiles. */
export function executionTime(percentiles: readonly number[], random: Random): number {
  const drawn = atQuantile(DURATION_PERCENTILES, percentiles, random())
  return Math.min(MAX_EXECUTION_MS, Math.max(MIN_EXECUTION_MS, drawn))
}

/** How much memory an invocation is asked to take, in whole MB. */
export function memorySize(percentiles: readonly number[], random: Random): number {
  const drawn = atQuantile(MEMORY_PERCENTILES, percentiles, random())
  return Math.min(MAX_MEMORY_MB, Math.max(MIN_MEMORY_MB, drawn))
}

/**
 * The value at a quantile in [0, 1]: a straight line between the two percentiles around it, below the first one that
 * one's value. As in InVitro the percentiles are cut to whole numbers and so is the result, which makes each whole
 * number from the lower percentile up to, not including, the upper one equally likely.
 */
export function atQuantile(percents: readonly number[], values: readonly number[], quantile: number): number {
  const percent = quantile * 100
  const above = percents.findIndex((p) => percent < p)
  if (above === -1) return Math.trunc(values.at(-1)!)
  if (above === 0) return Math.trunc(values[0]!)
  const low = Math.trunc(values[above - 1]!)
  const high = Math.trunc(values[above]!)
  const part = (percent - percents[above - 1]!) / (percents[above]! - percents[above - 1]!)
  return low + Math.floor(part * (high - low))
}
