import type { Cel } from '../api/cel.ts'

/** A value of an expression; null is CEL's error: something in it is not there. Durations are nanoseconds. */
export type CelValue = string | number | boolean | null

/** Where an expression's leaves get their values. */
export interface CelScope {
  attribute(name: string): CelValue
  field(head: 'request' | 'response', name: string): string | null
  /** What the sidecar has evaluated already. */
  value(index: number): CelValue
}

/** Evaluates a checked expression (api/cel.ts). Texts are latin1, as the sidecar's bytes are. */
export function evaluateCel(cel: Cel, scope: CelScope): CelValue {
  switch (cel.op) {
    case 'literal':
      return cel.value
    case 'attribute':
      return scope.attribute(cel.name)
    case 'field':
      return scope.field(cel.head, cel.name)
    case 'value':
      return scope.value(cel.index)
    case 'choice': {
      const condition = evaluateCel(cel.args[0], scope)
      return condition === null ? null : evaluateCel(condition ? cel.args[1] : cel.args[2], scope)
    }
  }
  const a = evaluateCel(cel.args[0], scope)
  switch (cel.op) {
    case 'has':
      return a !== null
    case 'not':
      return a === null ? null : !a
    case 'text':
      return a === null ? null : String(a)
  }
  const b = evaluateCel(cel.args[1], scope)
  // CEL's logic absorbs an error where the other side decides.
  if (cel.op === 'and') return a === false || b === false ? false : a === null || b === null ? null : true
  if (cel.op === 'or') return a === true || b === true ? true : a === null || b === null ? null : false
  if (a === null || b === null) return null
  switch (cel.op) {
    case 'equal':
      return a === b
    case 'less':
      return a < b
    case 'starts':
      return String(a).startsWith(String(b))
    case 'ends':
      return String(a).endsWith(String(b))
    case 'contains':
      return String(a).includes(String(b))
    case 'matches':
      throw new Error('regular expressions are run in the sidecar alone')
    case 'join':
      return String(a) + String(b)
  }
}
