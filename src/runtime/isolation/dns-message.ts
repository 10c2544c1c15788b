// Answers to questions for names (RFC 1035), with one address for every name of the mesh: that of the sidecar, which alone
// knows whom its function may call. It says the same of a function that must not be called and of one that does not exist.

/** Of a UDP message without extensions (RFC 1035 2.3.4). */
const MOST_BYTES = 512
const HEADER_BYTES = 12
/** Seconds for which an answer may be kept. */
const TTL = 30

const TYPE_A = 1
const CLASS_IN = 1
const NO_ERROR = 0
const FORMAT_ERROR = 1
const NAME_ERROR = 3
const NOT_IMPLEMENTED = 4

/** The answer to a message, null where it deserves none. `address` has four bytes. */
export function answerQuery(query: Uint8Array, address: Uint8Array): Buffer | null {
  const message = Buffer.from(query.buffer, query.byteOffset, query.length)
  // A response is not answered: two servers must not talk to each other for ever.
  if (message.length < HEADER_BYTES || (message[2]! & 0x80) !== 0) return null
  if (((message[2]! >> 3) & 15) !== 0) return response(message, HEADER_BYTES, NOT_IMPLEMENTED, null)
  if (message.length > MOST_BYTES || message.readUInt16BE(4) !== 1)
    return response(message, HEADER_BYTES, FORMAT_ERROR, null)
  const question = readQuestion(message)
  if (question === null) return response(message, HEADER_BYTES, FORMAT_ERROR, null)
  const { name, type, end } = question
  if (question.class !== CLASS_IN || !isMeshName(name)) return response(message, end, NAME_ERROR, null)
  return response(message, end, NO_ERROR, type === TYPE_A ? address : null)
}

/** `callee`, `callee.ns`, `callee.ns.svc`, `callee.ns.svc.cluster.local`. */
export function isMeshName(labels: readonly string[]): boolean {
  const suffix = labels.slice(2).join('.')
  if (labels.length === 0 || !(suffix === '' || suffix === 'svc' || suffix === 'svc.cluster.local'))
    return false
  return labels.slice(0, 2).every((label) => LABEL.test(label))
}

function readQuestion(message: Buffer) {
  const name: string[] = []
  let at = HEADER_BYTES
  for (;;) {
    const length = message[at]
    if (length === undefined) return null
    at++
    if (length === 0) break
    // A pointer (from 192) has nothing to point to in the first name.
    if (length > 63 || at + length > message.length || at - HEADER_BYTES + length > 254) return null
    name.push(message.toString('latin1', at, at + length).toLowerCase())
    at += length
  }
  if (at + 4 > message.length) return null
  return { name, type: message.readUInt16BE(at), class: message.readUInt16BE(at + 2), end: at + 4 }
}

/** The question goes back as it came, up to `end`; without it (a message that was not understood) none does. */
function response(query: Buffer, end: number, code: number, address: Uint8Array | null): Buffer {
  const head = Buffer.from(query.subarray(0, end))
  // Response, authoritative; the wish for recursion goes back, and is not met.
  head[2] = 0x84 | (query[2]! & 0x79)
  head[3] = code
  head.writeUInt16BE(end > HEADER_BYTES ? 1 : 0, 4)
  head.writeUInt16BE(address === null ? 0 : 1, 6)
  head.fill(0, 8, 12)
  if (address === null) return head
  const answer = Buffer.alloc(16)
  // The name is that of the question.
  answer.writeUInt16BE(0xc000 | HEADER_BYTES, 0)
  answer.writeUInt16BE(TYPE_A, 2)
  answer.writeUInt16BE(CLASS_IN, 4)
  answer.writeUInt32BE(TTL, 6)
  answer.writeUInt16BE(4, 10)
  answer.set(address, 12)
  return Buffer.concat([head, answer])
}

const LABEL = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?$/
