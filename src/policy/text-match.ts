import type { StringMatch } from '../api/string-match.ts'
import {
  TEXT_AUTOMATON,
  TEXT_EXACT,
  TEXT_EXACT_ANY_CASE,
  TEXT_PREFIX,
  TEXT_PREFIX_ANY_CASE,
  TEXT_PRESENT,
} from '../sidecar/layout/routes.ts'
import { ByteWriter } from './byte-writer.ts'
import { type CompiledExpression, compileRegularExpression } from './regular-expression.ts'
import { RouteRefusal } from './route-problem.ts'

/** A text match of layout/routes.ts. `field` is where it is written; throws RouteRefusal for an expression that is none. */
export function encodeTextMatch(match: StringMatch, field: string, anyCase = false): Buffer {
  const { exact, prefix, regex } = match
  // What every text matches, also an empty one, only has to be there: as in Istio.
  if (regex === '.*') return encode(TEXT_PRESENT, EMPTY)
  if (regex !== undefined) {
    const compiled = compiledOnce(regex)
    if (!compiled.ok) throw new RouteRefusal(`${field}.regex`, compiled.error)
    return encode(TEXT_AUTOMATON, compiled.bytes)
  }
  const bytes = (text: string) =>
    Buffer.from(anyCase ? text.replace(/[A-Z]/g, (letter) => letter.toLowerCase()) : text, 'utf8')
  if (exact !== undefined) return encode(anyCase ? TEXT_EXACT_ANY_CASE : TEXT_EXACT, bytes(exact))
  if (prefix !== undefined) return encode(anyCase ? TEXT_PREFIX_ANY_CASE : TEXT_PREFIX, bytes(prefix))
  return encode(TEXT_PRESENT, EMPTY)
}

/** A VirtualService may be for a thousand functions: its expressions are compiled for the first of them. */
function compiledOnce(regex: string): CompiledExpression {
  const known = compiledExpressions.get(regex)
  if (known) return known
  const compiled = compileRegularExpression(regex)
  if (compiledExpressions.size >= MOST_KEPT) compiledExpressions.clear()
  compiledExpressions.set(regex, compiled)
  return compiled
}

const compiledExpressions = new Map<string, CompiledExpression>()
const MOST_KEPT = 1_000

function encode(form: number, text: Buffer): Buffer {
  const out = new ByteWriter()
  return out.block(() => out.u32(form).u32(text.length).bytes(text)).finish()
}

const EMPTY = Buffer.alloc(0)
