// Why a module is refused. A refusal is a value; `Refused` carries it out of the nested readers of this folder and is
// caught where a public function of the folder begins.

/** What rule a module breaks. Codes are stable: they are counted and shown to users. */
export type RefusalCode =
  | 'malformed' // the bytes are no WebAssembly binary
  | 'invalid' // well formed, but it does not validate
  | 'limit' // larger than a limit allows
  | 'section' // unknown, repeated or out of order
  | 'import' // anything but one memory
  | 'memory' // not 32-bit, shared, or more than one
  | 'memory-size' // min and max differ, or do not fit the limit
  | 'type' // a type outside the integer, vector and function types
  | 'instruction' // not on the allow-list
  | 'float' // NaN bits are not deterministic
  | 'reference' // reference values and instructions
  | 'table' // table instructions, exported or typed tables
  | 'memory-growth' // memory.grow
  | 'start' // a start function
  | 'initialiser' // a global that does not begin as one numeric constant
  | 'element-segment' // not active, funcref, at a constant offset within the table
  | 'data-segment' // not active at a constant offset within the memory
  | 'export' // an export of a kind that is not known
  | 'entry' // an entry that the host asks for is missing or has another signature
  | 'instantiation' // the rewritten module does not start

/** A rule that a module breaks, and where: `offset` is a byte offset in the module as it was given. */
export interface Refusal {
  readonly code: RefusalCode
  readonly offset: number
  readonly message: string
}

/** A refusal on its way out of a nested reader. */
export class Refused extends Error {
  readonly refusal: Refusal

  constructor(code: RefusalCode, offset: number, message: string) {
    super(message)
    this.refusal = refusal(code, offset, message)
  }
}

/** A refusal whose message begins with the place. */
export function refusal(code: RefusalCode, offset: number, message: string): Refusal {
  return { code, offset, message: `byte ${offset}: ${message}` }
}

/** What reading a module found that does not stop the reading: the first reason why a reset of it cannot be proved. */
export interface Findings {
  unproved: Refusal | undefined
}

/** Notes that a reset cannot be proved; the module may still run in a new instance each time. */
export function noteUnproved(findings: Findings, code: RefusalCode, offset: number, message: string): void {
  findings.unproved ??= refusal(code, offset, message)
}
