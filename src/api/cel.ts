// Which CEL expressions Mayfly evaluates, and what they mean: each is checked, with its types, when a manifest is read.

import { CEL_ATTRIBUTES, type CelPhase, type CelType } from './cel-attribute.ts'
import { checkReference, fieldOf, headOf } from './cel-reference.ts'
import { type CelSyntax, readCel } from './cel-syntax.ts'
import { CelProblem, celProblem } from './cel-token.ts'
import type { Reading } from './fields.ts'

/**
 * A checked expression. Durations are whole numbers of nanoseconds. Each value may be absent (CEL's error): then so is what
 * is made of it, but for `and` with false, `or` with true, and `has`.
 */
export type Cel =
  | { readonly op: 'literal'; readonly type: CelType; readonly value: string | number | boolean }
  | { readonly op: 'attribute'; readonly type: CelType; readonly name: string }
  /** A field of a head; `name` in lower case. */
  | {
      readonly op: 'field'
      readonly type: 'text'
      readonly head: 'request' | 'response'
      readonly name: string
    }
  /** What the sidecar has evaluated of an expression that only the engine can finish (policy/cel-program.ts). */
  | { readonly op: 'value'; readonly type: CelType; readonly index: number }
  | { readonly op: 'has' | 'not'; readonly type: 'truth'; readonly args: readonly [Cel] }
  /** `string(x)` of a number or a truth value. */
  | { readonly op: 'text'; readonly type: 'text'; readonly args: readonly [Cel] }
  | {
      readonly op: 'and' | 'or' | 'equal' | 'less' | 'starts' | 'ends' | 'contains' | 'matches'
      readonly type: 'truth'
      readonly args: readonly [Cel, Cel]
    }
  | { readonly op: 'join'; readonly type: 'text'; readonly args: readonly [Cel, Cel] }
  | { readonly op: 'choice'; readonly type: CelType; readonly args: readonly [Cel, Cel, Cel] }

/** Most steps of one expression; the sidecar takes each once. */
const MAX_STEPS = 256
/** Most bytes of a text written in an expression: the sidecar's search takes a table of that size. */
const MAX_TEXT = 1_024

/** Reads and checks an expression; `types` are those that its value may have. */
export function checkCel(text: string, types: readonly CelType[]): Reading<Cel> {
  const read = readCel(text)
  if (!read.ok) return read
  try {
    const cel = check(read.value)
    if (!types.includes(cel.type)) {
      return {
        ok: false,
        problem: `gives ${NAMES[cel.type]}: expected ${types.map((type) => NAMES[type]).join(' or ')}`,
      }
    }
    const steps = stepsOf(cel)
    if (steps > MAX_STEPS)
      return { ok: false, problem: `has ${steps} steps, at most ${MAX_STEPS} are evaluated: shorten it` }
    return { ok: true, value: cel }
  } catch (error) {
    if (error instanceof CelProblem) return { ok: false, problem: error.message }
    throw error
  }
}

/** When the last of an expression's leaves is known. */
export function phaseOf(cel: Cel): CelPhase {
  if (cel.op === 'attribute') return CEL_ATTRIBUTES[cel.name]!.phase
  if (cel.op === 'field') return cel.head
  if (!('args' in cel)) return 'request'
  const phases = cel.args.map(phaseOf)
  return phases.includes('end') ? 'end' : phases.includes('response') ? 'response' : 'request'
}

const NAMES: Readonly<Record<CelType, string>> = {
  truth: 'true or false',
  integer: 'a whole number',
  text: 'text',
  duration: 'a duration',
}

function stepsOf(cel: Cel): number {
  return 'args' in cel ? cel.args.reduce((sum, arg) => sum + stepsOf(arg), 1) : 1
}

function check(syntax: CelSyntax): Cel {
  switch (syntax.kind) {
    case 'text':
      return textLiteral(syntax.value, syntax.at)
    case 'integer':
      return { op: 'literal', type: 'integer', value: syntax.value }
    case 'truth':
      return { op: 'literal', type: 'truth', value: syntax.value }
    case 'not':
      return { op: 'not', type: 'truth', args: [typed(syntax.of, 'truth', '"!"')] }
    case 'choice':
      return checkChoice(syntax)
    case 'binary':
      return checkBinary(syntax)
    case 'call':
      return checkCall(syntax)
    case 'list':
      return celProblem(syntax.at, 'a list can only stand behind "in"')
    default:
      return checkReference(syntax)
  }
}

function textLiteral(value: string, at: number): Cel {
  if (Buffer.byteLength(value) > MAX_TEXT) celProblem(at, `the text is longer than ${MAX_TEXT} bytes`)
  return { op: 'literal', type: 'text', value }
}

function typed(syntax: CelSyntax, type: CelType, of: string): Cel {
  const cel = check(syntax)
  if (cel.type !== type) celProblem(syntax.at, `${of} needs ${NAMES[type]}, this is ${NAMES[cel.type]}`)
  return cel
}

function checkChoice({ condition, then, otherwise }: Extract<CelSyntax, { kind: 'choice' }>): Cel {
  const first = check(then)
  const second = check(otherwise)
  if (first.type !== second.type) {
    celProblem(
      otherwise.at,
      `both sides of ":" must be of one type; these are ${NAMES[first.type]} and ${NAMES[second.type]}: use string(...)`,
    )
  }
  return { op: 'choice', type: first.type, args: [typed(condition, 'truth', '"?"'), first, second] }
}

function checkBinary({ operator, left, right, at }: Extract<CelSyntax, { kind: 'binary' }>): Cel {
  switch (operator) {
    case '&&':
    case '||': {
      const name = JSON.stringify(operator)
      const args = [typed(left, 'truth', name), typed(right, 'truth', name)] as const
      return { op: operator === '&&' ? 'and' : 'or', type: 'truth', args }
    }
    case 'in':
      return checkIn(left, right)
    case '+':
      return { op: 'join', type: 'text', args: [joined(left), joined(right)] }
    case '-':
    case '*':
    case '/':
    case '%':
      return celProblem(at, `arithmetic ("${operator}") is not available: compare numbers as they are`)
    default:
      return compare(operator, left, right)
  }
}

function joined(syntax: CelSyntax): Cel {
  const cel = check(syntax)
  if (cel.type !== 'text')
    celProblem(syntax.at, `"+" joins texts, this is ${NAMES[cel.type]}: write string(...)`)
  return cel
}

function compare(operator: string, left: CelSyntax, right: CelSyntax): Cel {
  const a = check(left)
  const b = check(right)
  if (a.type !== b.type) {
    celProblem(
      right.at,
      `${operator} compares values of one type; these are ${NAMES[a.type]} and ${NAMES[b.type]}`,
    )
  }
  const less = (x: Cel, y: Cel): Cel => ({ op: 'less', type: 'truth', args: [x, y] })
  switch (operator) {
    case '==':
      return { op: 'equal', type: 'truth', args: [a, b] }
    case '!=':
      return not({ op: 'equal', type: 'truth', args: [a, b] })
    case '<':
      return less(a, b)
    case '>':
      return less(b, a)
    case '>=':
      return not(less(a, b))
    default:
      return not(less(b, a))
  }
}

function not(cel: Cel): Cel {
  return { op: 'not', type: 'truth', args: [cel] }
}

function checkIn(left: CelSyntax, right: CelSyntax): Cel {
  const head = headOf(right)
  if (head !== null) {
    if (left.kind !== 'text')
      celProblem(left.at, `write the field's name as text: 'x-name' in ${head}.headers`)
    return { op: 'has', type: 'truth', args: [fieldOf(head, left.value, left.at)] }
  }
  if (right.kind !== 'list')
    celProblem(
      right.at,
      'expected a list such as [200, 204], request.headers or response.headers behind "in"',
    )
  if (right.items.length === 0) return { op: 'literal', type: 'truth', value: false }
  const value = check(left)
  return right.items
    .map((item): Cel => {
      const listed = check(item)
      if (listed.op !== 'literal') celProblem(item.at, 'a list holds written values only')
      if (listed.type !== value.type)
        celProblem(
          item.at,
          `the list holds ${NAMES[listed.type]}, the value before "in" is ${NAMES[value.type]}`,
        )
      return { op: 'equal', type: 'truth', args: [value, listed] }
    })
    .reduce((one, other): Cel => ({ op: 'or', type: 'truth', args: [one, other] }))
}

const TEXT_TESTS: Readonly<Record<string, 'starts' | 'ends' | 'contains' | 'matches'>> = {
  startsWith: 'starts',
  endsWith: 'ends',
  contains: 'contains',
  /** A regular expression in RE2's syntax, of which a part of the text is an instance. */
  matches: 'matches',
}

function checkCall({ target, name, args, at }: Extract<CelSyntax, { kind: 'call' }>): Cel {
  const test = Object.hasOwn(TEXT_TESTS, name) ? TEXT_TESTS[name] : undefined
  if (target !== null && test !== undefined) {
    if (args.length !== 1) celProblem(at, `${name}(...) takes one text`)
    const text = typed(args[0]!, 'text', `${name}(...)`)
    if (text.op !== 'literal')
      celProblem(args[0]!.at, `${name}(...) takes a written text, such as ${name}('x')`)
    const of = typed(target, 'text', `${name}(...)`)
    if (test === 'matches' && phaseOf(of) === 'end')
      celProblem(at, 'matches(...) takes no text that is only known at the end of the exchange')
    return { op: test, type: 'truth', args: [of, text] }
  }
  if (target === null) {
    const [only] = args
    if (['has', 'string', 'duration'].includes(name) && args.length !== 1)
      celProblem(at, `${name}(...) takes one value`)
    if (name === 'has') return checkHas(only!)
    if (name === 'string') return checkString(only!)
    if (name === 'duration') return checkDuration(only!)
  }
  return celProblem(
    at,
    `the function ${name}(...) is not available: there are ${Object.keys(TEXT_TESTS).join(', ')}, has, string and duration`,
  )
}

function checkHas(syntax: CelSyntax): Cel {
  if (syntax.kind !== 'member') {
    celProblem(
      syntax.at,
      "has(...) asks for a member such as request.referer; for a header write 'x-name' in request.headers",
    )
  }
  return { op: 'has', type: 'truth', args: [check(syntax)] }
}

function checkString(syntax: CelSyntax): Cel {
  const cel = check(syntax)
  if (cel.type === 'text') return cel
  if (cel.type === 'duration') celProblem(syntax.at, 'a duration cannot be made text here')
  return { op: 'text', type: 'text', args: [cel] }
}

const DURATION = /^-?(?:\d+(?:\.\d+)?(?:h|ms|us|ns|m|s))+$/
const NANOSECONDS: Readonly<Record<string, number>> = { h: 3.6e12, m: 6e10, s: 1e9, ms: 1e6, us: 1e3, ns: 1 }

function checkDuration(syntax: CelSyntax): Cel {
  if (syntax.kind !== 'text' || !DURATION.test(syntax.value))
    celProblem(syntax.at, "write a duration as text, for example duration('1.5s') or duration('250ms')")
  const parts = [...syntax.value.matchAll(/(\d+(?:\.\d+)?)(h|ms|us|ns|m|s)/g)]
  const sum = parts.reduce((total, [, amount, unit]) => total + Number(amount) * NANOSECONDS[unit!]!, 0)
  const value = Math.round(syntax.value.startsWith('-') ? -sum : sum)
  if (!Number.isSafeInteger(value)) celProblem(syntax.at, 'the duration is too long: at most 100 days')
  return { op: 'literal', type: 'duration', value }
}
