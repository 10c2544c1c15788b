import {
  TEMPLATE_END,
  TEMPLATE_LITERAL,
  TEMPLATE_REST,
  TEMPLATE_SEGMENT,
} from '../sidecar/layout/string-list.ts'
import { ByteWriter } from './byte-writer.ts'

/** A path template as a program of steps, or why the text is none. */
export type PathTemplate =
  | { readonly ok: true; readonly program: Uint8Array }
  | { readonly ok: false; readonly problem: string }

/** Whether Istio reads a path as a template rather than as a plain string match. */
export function isPathTemplate(path: string): boolean {
  return path.includes(ONE) || path.includes(REST)
}

/**
 * Compiles a path with `{*}` (one segment) and `{**}` (the rest, as last operator). An operator fills its whole
 * segment. An operator stands for any bytes; Envoy's, by its choice of a character class, excludes "=" and "*", so
 * that a DENY could be passed by adding one to the path.
 */
export function parsePathTemplate(path: string): PathTemplate {
  const bad = (problem: string): PathTemplate => ({
    ok: false,
    problem: `${JSON.stringify(path)} ${problem}`,
  })
  if (!path.startsWith('/')) return bad('must begin with "/"')
  const segments = path.slice(1).split('/')
  const rest = segments.indexOf(REST)
  const out = new ByteWriter()
  let literal = ''
  const flush = () => {
    if (literal.length > 0) sized(out.u8(TEMPLATE_LITERAL), literal)
    literal = ''
  }
  for (const [index, segment] of segments.entries()) {
    literal += '/'
    if (segment === REST) {
      flush()
      const tail = segments.slice(index + 1)
      const wrong = tail.find((text) => text === ONE || text === REST || !isLiteral(text))
      if (wrong !== undefined) return bad(AFTER_REST)
      sized(out.u8(TEMPLATE_REST), tail.map((text) => `/${text}`).join(''))
      return { ok: true, program: out.finish() }
    }
    if (segment === ONE) {
      flush()
      out.u8(TEMPLATE_SEGMENT)
      continue
    }
    if (!isLiteral(segment)) return bad(rest >= 0 && index > rest ? AFTER_REST : IN_SEGMENT)
    if (segment === '' && index < segments.length - 1)
      return bad('has an empty segment: write single slashes')
    literal += segment
  }
  flush()
  out.u8(TEMPLATE_END)
  return { ok: true, program: out.finish() }
}

const ONE = '{*}'
const REST = '{**}'
const IN_SEGMENT = 'has "*", "{" or "}" outside of an operator: {*} and {**} must be whole segments'
const AFTER_REST = 'has an operator after {**}: {**} must be the last one'

function isLiteral(segment: string): boolean {
  return !/[*{}]/.test(segment)
}

function sized(out: ByteWriter, text: string): void {
  const bytes = Buffer.from(text, 'utf8')
  out.u16(Math.min(bytes.length, 0xffff)).bytes(bytes)
}
