import type { SpanFacts } from '../dataplane/span-facts.ts'
import { evaluateCel } from '../policy/evaluate-cel.ts'
import type { SpanTag } from '../policy/observation-plan.ts'
import { type AttributeKey, attributeKey, writeUtf8Attribute } from './otlp-writer.ts'

/** A longer value of a tag is cut: so many characters. */
const MOST_TAG = 256
const MOST_BYTES_OF_CHARACTER = 3
/** Tags, lengths and the value's own tag of an attribute, without key and value. */
const FRAME = 12

/** A function's tags, made ready once: what is the same for all spans is encoded already. */
interface ReadyTags {
  readonly fixed: Buffer
  readonly changing: readonly { readonly key: AttributeKey; readonly tag: SpanTag }[]
  /** Above what they take together. */
  readonly most: number
}

const READY = new WeakMap<readonly SpanTag[], ReadyTags>()

/** Above what the tags of such a span take, in bytes. */
export function mostTagBytes({ tags }: SpanFacts): number {
  return readyOf(tags).most
}

/** Writes the tags as attributes; gives the position after them. */
export function writeTags(out: Buffer, at: number, { tags, scope }: SpanFacts): number {
  const { fixed, changing } = readyOf(tags)
  out.set(fixed, at)
  let position = at + fixed.length
  for (const { key, tag } of changing) {
    const found = evaluateCel(tag.value, scope)
    // An empty value is none, as in Envoy.
    const value = found === null || found === '' ? tag.byDefault : textOf(found)
    if (value !== null && value !== '') position = writeUtf8Attribute(out, position, key, cut(value))
  }
  return position
}

function readyOf(tags: readonly SpanTag[]): ReadyTags {
  const known = READY.get(tags)
  if (known !== undefined) return known
  const fixed: Buffer[] = []
  const changing: { key: AttributeKey; tag: SpanTag }[] = []
  for (const tag of tags) {
    const key = attributeKey(tag.name)
    if (tag.value.op !== 'literal') changing.push({ key, tag })
    else fixed.push(encoded(key, textOf(tag.value.value)))
  }
  const bytes = Buffer.concat(fixed)
  const most = changing.reduce(
    (sum, { key }) => sum + key.bytes.length + FRAME + MOST_TAG * MOST_BYTES_OF_CHARACTER,
    bytes.length,
  )
  const ready = { fixed: bytes, changing, most }
  READY.set(tags, ready)
  return ready
}

function encoded(key: AttributeKey, value: string): Buffer {
  const out = Buffer.alloc(key.bytes.length + FRAME + MOST_TAG * MOST_BYTES_OF_CHARACTER)
  return out.subarray(0, writeUtf8Attribute(out, 0, key, cut(value)))
}

/** The sidecar's texts are bytes; what is not UTF-8 among them is replaced, as OTLP takes nothing else. */
function textOf(value: string | number | boolean): string {
  return typeof value === 'string' ? Buffer.from(value, 'latin1').toString('utf8') : String(value)
}

/** Without a half of a character at its end. */
function cut(value: string): string {
  if (value.length <= MOST_TAG) return value
  return value.slice(0, MOST_TAG).replace(/[\ud800-\udbff]$/, '')
}
