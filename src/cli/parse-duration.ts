import { fail } from './output.ts'

const UNITS: Readonly<Record<string, number>> = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000 }
const DAY_MS = 86_400_000

/** Reads an option's "30s", "5m", "1h", "500ms", or a number of seconds, as milliseconds; a wrong one ends the command with status 2. */
export function parseDuration(option: string, text: string): number {
  const parts = /^(\d{1,9})(ms|s|m|h)?$/.exec(text)
  const ms = parts ? Number(parts[1]) * UNITS[parts[2] ?? 's']! : Number.NaN
  if (!(ms <= DAY_MS)) fail(`${option} ${text}: expected for example 30s, 5m or 1h, at most 24h`, 2)
  return ms
}
