import { FORM_JSON_VALUE, LOG_TEXT } from '../sidecar/layout/access-log.ts'

/** One op of a log program before it is laid out in bytes; see layout/access-log.ts. */
export interface LogOp {
  readonly code: number
  readonly form: number
  /** When its value is known; literal text fits in anywhere. */
  readonly phase: 'request' | 'response' | 'any'
  /** Where its value is absent, the next op is asked instead. */
  readonly orElse?: boolean
  readonly limit?: number
  readonly text?: Buffer
  readonly number?: number
}

/** An op that writes `text`, which must be in its form already. */
export function textOp(text: string): LogOp {
  return { code: LOG_TEXT, form: 0, phase: 'any', text: Buffer.from(text, 'utf8') }
}

/** What is written for a value that is never known. */
export function absentOp(form: number): LogOp {
  return textOp(form === FORM_JSON_VALUE ? 'null' : '-')
}
