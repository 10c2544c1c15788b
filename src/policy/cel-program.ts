// Expressions as programs for the sidecar (sidecar/layout/observation.ts). What only needs the request's head is evaluated
// in the request phase, what needs the response's head in the response phase, and what is left in the engine, when the
// exchange has ended.

import { type Cel, phaseOf } from '../api/cel.ts'
import {
  MAX_PROGRAM_STEPS,
  MAX_VALUES,
  OBSERVED_CODE,
  OBSERVED_CODE_DETAILS,
  OBSERVED_DESTINATION_ADDRESS,
  OBSERVED_DESTINATION_PORT,
  OBSERVED_HOST,
  OBSERVED_LOCAL_URI,
  OBSERVED_METHOD,
  OBSERVED_MTLS,
  OBSERVED_PATH,
  OBSERVED_PEER_URI,
  OBSERVED_PROTOCOL,
  OBSERVED_QUERY,
  OBSERVED_REQUEST_ID,
  OBSERVED_SCHEME,
  OBSERVED_SOURCE_ADDRESS,
  OBSERVED_SOURCE_PORT,
  OBSERVED_UPSTREAM_ADDRESS,
  OBSERVED_UPSTREAM_PORT,
  OBSERVED_URL_PATH,
  STEP_AND,
  STEP_ATTRIBUTE,
  STEP_CHOICE,
  STEP_CONTAINS,
  STEP_ENDS,
  STEP_EQUAL,
  STEP_FIELD,
  STEP_HAS,
  STEP_INTEGER,
  STEP_JOIN,
  STEP_KEEP,
  STEP_KEPT,
  STEP_LESS,
  STEP_MATCHES,
  STEP_NOT,
  STEP_OR,
  STEP_STARTS,
  STEP_TEXT,
  STEP_TO_TEXT,
  STEP_TRUTH,
} from '../sidecar/layout/observation.ts'
import { ByteWriter } from './byte-writer.ts'
import { fieldNameHash } from './condition.ts'
import { type CompiledExpression, compileContained } from './regular-expression.ts'
import { responseDetails } from './response-details.ts'

/** A step whose text, if it has one, is laid out later. */
interface Step {
  code: number
  a: number
  b: number
  c: number
  text?: Buffer
}

/** Collects what a function's sidecar has to find out in one mode. */
export class CelPrograms {
  readonly #request: Step[] = []
  readonly #response: Step[] = []
  readonly #kept = new Map<string, number>()
  readonly #values = new Map<string, number>()
  readonly #problems: string[] = []

  /**
   * What the engine has left to do for an expression: one whose leaves are values of the sidecar's, literals, and
   * attributes that are known at the end.
   */
  add(cel: Cel): Cel {
    if (cel.op === 'literal') return cel.type === 'text' ? { ...cel, value: bytesOf(cel.value) } : cel
    if (phaseOf(cel) !== 'end') return { op: 'value', type: cel.type, index: this.#value(cel) }
    if (!('args' in cel)) return cel
    return { ...cel, args: cel.args.map((arg) => this.add(arg)) } as unknown as Cel
  }

  /** Values that the sidecar gives to the engine. */
  get values(): number {
    return this.#values.size
  }

  /** What is wrong with all that was added; null where nothing is. */
  problem(): { code: 'too-large' | 'bad-value'; text: string } | null {
    if (this.#problems.length > 0) return { code: 'bad-value', text: this.#problems[0]! }
    const steps = this.#request.length + this.#response.length
    if (steps > MAX_PROGRAM_STEPS)
      return tooLarge(`take ${steps} steps, at most ${MAX_PROGRAM_STEPS} are evaluated`)
    const values = Math.max(this.#kept.size, this.#values.size)
    if (values > MAX_VALUES) return tooLarge(`have ${values} values, at most ${MAX_VALUES} are kept`)
    return null
  }

  /** Both programs, behind `offset` bytes of their section; an offset of 0 where there is nothing to do. */
  layOut(offset: number): { bytes: Buffer; request: number; response: number } {
    if (this.#values.size === 0) return { bytes: Buffer.alloc(0), request: 0, response: 0 }
    const request = layOutProgram(this.#request, this.#kept.size, offset)
    const response = layOutProgram(this.#response, this.#values.size, offset + request.length)
    return {
      bytes: Buffer.concat([request, response]),
      request: this.#kept.size === 0 ? 0 : offset,
      response: offset + request.length,
    }
  }

  #value(cel: Cel): number {
    return this.#once(this.#values, this.#response, cel, (one) => this.#responseSteps(one))
  }

  #once(known: Map<string, number>, program: Step[], cel: Cel, stepsOf: (cel: Cel) => Step[]): number {
    const key = JSON.stringify(cel)
    const before = known.get(key)
    if (before !== undefined) return before
    const steps = stepsOf(cel)
    const index = known.size
    known.set(key, index)
    program.push(...steps, step(STEP_KEEP, index))
    return index
  }

  #requestSteps(cel: Cel): Step[] {
    return this.#steps(cel, (arg) => this.#requestSteps(arg))
  }

  #responseSteps(cel: Cel): Step[] {
    if (phaseOf(cel) === 'request' && cel.op !== 'literal') {
      const kept = this.#once(this.#kept, this.#request, cel, (one) => this.#requestSteps(one))
      return [step(STEP_KEPT, kept)]
    }
    return this.#steps(cel, (arg) => this.#responseSteps(arg))
  }

  #steps(cel: Cel, recurse: (arg: Cel) => Step[]): Step[] {
    if (cel.op !== 'matches') return stepsOf(cel, recurse)
    const compiled = automatonOf(patternOf(cel.args[1]))
    if (!compiled.ok) this.#problems.push(compiled.error)
    const text = compiled.ok ? compiled.bytes : Buffer.alloc(0)
    return [...recurse(cel.args[0]), { ...step(STEP_MATCHES, 0), text }]
  }
}

function tooLarge(text: string): { code: 'too-large'; text: string } {
  return { code: 'too-large', text: `its expressions and tags ${text}: shorten them` }
}

/** A mesh-wide Telemetry is compiled for every function: its automata are made once. */
const AUTOMATA = new Map<string, CompiledExpression>()
const MOST_AUTOMATA = 256

function automatonOf(pattern: string): CompiledExpression {
  const known = AUTOMATA.get(pattern)
  if (known !== undefined) return known
  const compiled = compileContained(pattern)
  if (AUTOMATA.size === MOST_AUTOMATA) AUTOMATA.clear()
  AUTOMATA.set(pattern, compiled)
  return compiled
}

function patternOf(cel: Cel): string {
  return cel.op === 'literal' ? String(cel.value) : ''
}

function stepsOf(cel: Cel, recurse: (arg: Cel) => Step[]): Step[] {
  switch (cel.op) {
    case 'literal':
      return [literalStep(cel.value)]
    case 'attribute':
      return [step(STEP_ATTRIBUTE, ATTRIBUTES[cel.name]!)]
    case 'field': {
      const text = Buffer.from(cel.name, 'latin1')
      return [{ code: STEP_FIELD, a: 0, b: text.length, c: fieldNameHash(cel.name), text }]
    }
    case 'value':
      throw new Error('a value of the sidecar cannot be evaluated by it')
  }
  const args = cel.args.flatMap(recurse)
  if (cel.op !== 'contains') return [...args, step(CODES[cel.op], 0)]
  const sought = cel.args[1] as Extract<Cel, { op: 'literal' }>
  return [
    ...args,
    { ...step(STEP_CONTAINS, 0), text: searchTable(Buffer.from(String(sought.value), 'utf8')) },
  ]
}

function step(code: number, a: number): Step {
  return { code, a, b: 0, c: 0 }
}

function literalStep(value: string | number | boolean): Step {
  if (typeof value === 'boolean') return step(STEP_TRUTH, value ? 1 : 0)
  if (typeof value === 'number') {
    const bits = BigInt.asUintN(64, BigInt(value))
    return { code: STEP_INTEGER, a: Number(bits & 0xffff_ffffn), b: Number(bits >> 32n), c: 0 }
  }
  const text = Buffer.from(value, 'utf8')
  return { code: STEP_TEXT, a: 0, b: text.length, c: 0, text }
}

/** For each byte of a sought text: the length of the longest prefix that ends there and is not all of it. */
function searchTable(sought: Buffer): Buffer {
  const table = Buffer.alloc(2 * sought.length)
  for (let i = 1, length = 0; i < sought.length; i++) {
    while (length > 0 && sought[i] !== sought[length]) length = table.readUInt16LE(2 * (length - 1))
    if (sought[i] === sought[length]) length++
    table.writeUInt16LE(length, 2 * i)
  }
  return table
}

function layOutProgram(steps: readonly Step[], values: number, offset: number): Buffer {
  const out = new ByteWriter().u32(steps.length).u32(values)
  const texts = new ByteWriter()
  const start = offset + 8 + steps.length * 16
  for (const { code, a, b, c, text } of steps) {
    texts.align()
    const at = start + texts.length
    if (code === STEP_ATTRIBUTE && a === OBSERVED_CODE_DETAILS) {
      const details = responseDetails(at)
      texts.bytes(details.bytes)
      out.u32(code).u32(a).u32(at).u32(details.entries)
      continue
    }
    if (text !== undefined) texts.bytes(text)
    const [first, last] = code === STEP_CONTAINS ? [a, at] : [text === undefined ? a : at, c]
    out.u32(code).u32(first).u32(b).u32(last)
  }
  return Buffer.concat([out.finish(), texts.align().finish()])
}

function bytesOf(value: string | number | boolean): string {
  return Buffer.from(String(value), 'utf8').toString('latin1')
}

const CODES: Readonly<Record<Extract<Cel, { args: unknown }>['op'], number>> = {
  has: STEP_HAS,
  not: STEP_NOT,
  text: STEP_TO_TEXT,
  and: STEP_AND,
  or: STEP_OR,
  equal: STEP_EQUAL,
  less: STEP_LESS,
  matches: STEP_MATCHES,
  starts: STEP_STARTS,
  ends: STEP_ENDS,
  contains: STEP_CONTAINS,
  join: STEP_JOIN,
  choice: STEP_CHOICE,
}

const ATTRIBUTES: Readonly<Record<string, number>> = {
  'request.path': OBSERVED_PATH,
  'request.url_path': OBSERVED_URL_PATH,
  'request.query': OBSERVED_QUERY,
  'request.host': OBSERVED_HOST,
  'request.scheme': OBSERVED_SCHEME,
  'request.method': OBSERVED_METHOD,
  'request.protocol': OBSERVED_PROTOCOL,
  'request.id': OBSERVED_REQUEST_ID,
  'source.address': OBSERVED_SOURCE_ADDRESS,
  'source.port': OBSERVED_SOURCE_PORT,
  'destination.address': OBSERVED_DESTINATION_ADDRESS,
  'destination.port': OBSERVED_DESTINATION_PORT,
  'connection.mtls': OBSERVED_MTLS,
  'connection.uri_san_peer_certificate': OBSERVED_PEER_URI,
  'connection.uri_san_local_certificate': OBSERVED_LOCAL_URI,
  'response.code': OBSERVED_CODE,
  'response.code_details': OBSERVED_CODE_DETAILS,
  'upstream.address': OBSERVED_UPSTREAM_ADDRESS,
  'upstream.port': OBSERVED_UPSTREAM_PORT,
}
