import type { Reading } from './fields.ts'
import { quote } from './kubernetes-name.ts'

/** Reads a duration as Go writes it ("1h30m", "250ms", "0") into whole milliseconds. */
export function readDuration(value: string): Reading<number> {
  const problem = `${quote(value)} is not a duration: write for example "30s", "1m30s" or "500ms"`
  if (value === '0') return { ok: true, value: 0 }
  if (!WHOLE.test(value)) return { ok: false, problem }
  let total = 0
  for (const [, amount, unit] of value.matchAll(PART)) total += Number(amount) * MILLISECONDS[unit!]!
  return Number.isSafeInteger(Math.round(total))
    ? { ok: true, value: Math.round(total) }
    : { ok: false, problem }
}

const WHOLE = /^(\d+(\.\d+)?(h|ms|m|s))+$/
const PART = /(\d+(?:\.\d+)?)(h|ms|m|s)/g
const MILLISECONDS: Record<string, number> = { h: 3_600_000, m: 60_000, s: 1_000, ms: 1 }
