import { createHash } from 'node:crypto'

// Messages between control and engines as text for another machine: JSON, in which bytes stand as {"$bytes": base64}, or, where
// they are long, as {"$blob": hash} with the bytes beside it, so that a node is sent the same content once.

/** Bytes from this length on are sent by their content's hash. */
const BLOB_BYTES = 256
/** Deeper values are no messages of ours. */
const MOST_DEPTH = 32

/** First 16 bytes of the SHA-256 of a content, hexadecimal. */
export function contentHash(content: Uint8Array): string {
  return createHash('sha256').update(content).digest('hex').slice(0, 32)
}

/** A message as text; `blob` is called with each long content and gives the name under which the other side will have it. */
export function toWire(message: unknown, blob: (content: Uint8Array) => string): string {
  return JSON.stringify(plain(message, blob))
}

/** The message that a text stands for; throws where it is none, or refers to a blob that is not here. */
export function fromWire(text: string, blob: (hash: string) => Uint8Array | undefined): unknown {
  return revived(JSON.parse(text), blob, 0)
}

// JSON.stringify asks a Buffer for its toJSON before a replacer sees it, so what holds bytes is copied by hand, and nothing else.
function plain(value: unknown, blob: (content: Uint8Array) => string): unknown {
  if (value instanceof Uint8Array) {
    if (value.length >= BLOB_BYTES) return { $blob: blob(value) }
    return { $bytes: Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString('base64') }
  }
  if (typeof value !== 'object' || value === null) return value
  let copy: unknown[] | Record<string, unknown> | null = null
  for (const key in value) {
    const item = value[key as keyof typeof value]
    const own = plain(item, blob)
    if (own === item) continue
    copy ??= Array.isArray(value) ? [...value] : { ...value }
    Reflect.set(copy, key, own)
  }
  return copy ?? value
}

function revived(value: unknown, blob: (hash: string) => Uint8Array | undefined, depth: number): unknown {
  if (depth > MOST_DEPTH) throw new Error('the message is nested too deep')
  if (Array.isArray(value)) return value.map((item) => revived(item, blob, depth + 1))
  if (typeof value !== 'object' || value === null) return value
  const fields = Object.entries(value)
  if (fields.length === 1) {
    const [name, content] = fields[0]!
    if (name === '$bytes') return Buffer.from(String(content), 'base64')
    if (name === '$blob') return blobOf(String(content), blob)
  }
  return Object.fromEntries(fields.map(([key, item]) => [key, revived(item, blob, depth + 1)]))
}

function blobOf(hash: string, blob: (hash: string) => Uint8Array | undefined): Buffer {
  const content = blob(hash)
  if (!content) throw new Error(`the message refers to content ${hash}, which is not here`)
  return Buffer.from(content.buffer, content.byteOffset, content.byteLength)
}
