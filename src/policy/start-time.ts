import {
  LOG_TIME,
  TIME_CENTURY,
  TIME_DAY,
  TIME_DAY_OF_YEAR,
  TIME_DAY_SPACED,
  TIME_EPOCH_SECONDS,
  TIME_FRACTION_1,
  TIME_FRACTION_2,
  TIME_FRACTION_3,
  TIME_HOUR,
  TIME_HOUR_12,
  TIME_ISO,
  TIME_MERIDIEM,
  TIME_MINUTE,
  TIME_MONTH,
  TIME_MONTH_NUMBER,
  TIME_NAME_SIZE,
  TIME_SECOND,
  TIME_WEEKDAY,
  TIME_WEEKDAY_NUMBER,
  TIME_YEAR,
  TIME_YEAR_OF_CENTURY,
} from '../sidecar/layout/access-log.ts'
import type { Parsed } from './log-format.ts'
import { type LogOp, textOp } from './log-op.ts'

/**
 * Ops for %START_TIME(FORMAT)%: strftime's conversions in UTC and the C locale, with Envoy's `%s`, `%f`, `%1f` to `%9f`
 * and its library's `%E3S` and `%E3f`. Time is known to the millisecond; further digits are 0.
 */
export function startTimeOps(format: string | null, inJson: boolean): Parsed<LogOp[]> {
  if (format === null || format === '') return { ok: true, value: [timeOp(TIME_ISO)] }
  const ops: LogOp[] = []
  let at = 0
  while (at < format.length) {
    if (format[at] !== '%') {
      const end = format.indexOf('%', at)
      const literal = format.slice(at, end < 0 ? format.length : end)
      ops.push(literalOp(literal, inJson))
      at += literal.length
      continue
    }
    CONVERSION.lastIndex = at
    const conversion = CONVERSION.exec(format)?.[0]
    const converted = conversion === undefined ? undefined : conversionOps(conversion.slice(1), inJson)
    if (conversion === undefined || converted === undefined) {
      return {
        ok: false,
        problem: `has the unknown conversion ${JSON.stringify(format.slice(at, at + 3))} in START_TIME: known are ${KNOWN}, %f, %1f to %9f, %E1S to %E9S and %%`,
      }
    }
    ops.push(...converted)
    at += conversion.length
  }
  return { ok: true, value: ops }
}

function conversionOps(conversion: string, inJson: boolean): LogOp[] | undefined {
  const fraction = /^(E?)([1-9]?)(f|S)$/.exec(conversion)
  if (fraction !== null && conversion !== 'S') {
    const [, extended, digits, letter] = fraction
    if (letter === 'f') return fractionOps(digits === '' ? 9 : Number(digits))
    if (extended !== 'E' || digits === '') return undefined
    return [timeOp(TIME_SECOND), textOp('.'), ...fractionOps(Number(digits))]
  }
  const composite = COMPOSITES[conversion]
  if (composite !== undefined) {
    const ops = startTimeOps(composite, inJson)
    return ops.ok ? ops.value : undefined
  }
  const literal = LITERALS[conversion]
  if (literal !== undefined) return [literalOp(literal, inJson)]
  const part = PARTS[conversion]
  return part === undefined ? undefined : [part]
}

function fractionOps(digits: number): LogOp[] {
  const known = timeOp([TIME_FRACTION_1, TIME_FRACTION_2, TIME_FRACTION_3][Math.min(digits, 3) - 1]!)
  return digits <= 3 ? [known] : [known, textOp('0'.repeat(digits - 3))]
}

function timeOp(part: number, names: readonly string[] = []): LogOp {
  const table = Buffer.alloc(names.length * TIME_NAME_SIZE)
  for (const [i, name] of names.entries()) table.write(name, i * TIME_NAME_SIZE, 'latin1')
  return { code: LOG_TIME, form: 0, phase: 'request', text: table, number: part }
}

function literalOp(text: string, inJson: boolean): LogOp {
  return textOp(inJson ? JSON.stringify(text).slice(1, -1) : text)
}

const WEEKDAYS = ['Sunday', 'Monday', 'Tuesday', 'Wednesday', 'Thursday', 'Friday', 'Saturday']
const MONTHS = [
  ...['January', 'February', 'March', 'April', 'May', 'June'],
  ...['July', 'August', 'September', 'October', 'November', 'December'],
]
const short = (names: string[]) => names.map((name) => name.slice(0, 3))

const PARTS: Readonly<Record<string, LogOp>> = {
  Y: timeOp(TIME_YEAR),
  y: timeOp(TIME_YEAR_OF_CENTURY),
  C: timeOp(TIME_CENTURY),
  m: timeOp(TIME_MONTH_NUMBER),
  d: timeOp(TIME_DAY),
  e: timeOp(TIME_DAY_SPACED),
  j: timeOp(TIME_DAY_OF_YEAR),
  H: timeOp(TIME_HOUR),
  I: timeOp(TIME_HOUR_12),
  M: timeOp(TIME_MINUTE),
  S: timeOp(TIME_SECOND),
  s: timeOp(TIME_EPOCH_SECONDS),
  p: timeOp(TIME_MERIDIEM, ['AM', 'PM']),
  a: timeOp(TIME_WEEKDAY, short(WEEKDAYS)),
  A: timeOp(TIME_WEEKDAY, WEEKDAYS),
  b: timeOp(TIME_MONTH, short(MONTHS)),
  h: timeOp(TIME_MONTH, short(MONTHS)),
  B: timeOp(TIME_MONTH, MONTHS),
  w: timeOp(TIME_WEEKDAY_NUMBER),
}

const LITERALS: Readonly<Record<string, string>> = { z: '+0000', Z: 'UTC', Ez: '+00:00', t: '\t', '%': '%' }

const COMPOSITES: Readonly<Record<string, string>> = {
  F: '%Y-%m-%d',
  T: '%H:%M:%S',
  R: '%H:%M',
  D: '%m/%d/%y',
  x: '%m/%d/%y',
  X: '%H:%M:%S',
  r: '%I:%M:%S %p',
  c: '%a %b %e %H:%M:%S %Y',
}

const CONVERSION = /%(?:E?[1-9]?f|E[1-9]S|Ez|[A-Za-z%])/y
const KNOWN = [...Object.keys(PARTS), 'z', 'Z', 't', ...Object.keys(COMPOSITES)]
  .map((name) => `%${name}`)
  .join(' ')
