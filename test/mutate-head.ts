// Mutations of heads, drawn from a seeded generator: bytes, lines and whole fields that parsers have stumbled over.

export type Random = (below: number) => number

/** Mulberry32: a small generator whose whole state is its seed. */
export function randomOf(seed: number): Random {
  let state = seed | 0
  return (below) => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) % below
  }
}

const PIECES = [
  '\r\n',
  '\r',
  '\n',
  '\n\n',
  '\r\n\r\n',
  '\r\n ',
  '\r\n\t',
  ' ',
  '\t',
  '\0',
  '\x0b',
  '\x0c',
  '\x7f',
  '\x80',
  '\xff',
  ':',
  ' :',
  ',',
  ', ',
  ';',
  '"',
  '_',
  '/',
  '//',
  '/../',
  '/./',
  '\\',
  '%',
  '%00',
  '%2e',
  '%2F',
  '%5c',
  '?',
  '#',
  '*',
  '@',
  '[',
  ']',
  '0',
  '+',
  '-',
  '0x',
  '9007199254740993',
  'chunked',
  ' chunked',
  'chunked,',
  'identity',
  'HTTP/1.0',
  'HTTP/1.1',
  'HTTP/2.0',
  'http://',
  'http://b.shop/',
  'GET',
  'HEAD',
  'POST',
  'CONNECT',
  'OPTIONS',
  'close',
  'keep-alive',
  'upgrade',
  'te',
  'Content-Length: 5\r\n',
  'Content-Length: 6\r\n',
  'content-length : 5\r\n',
  'Content_Length: 5\r\n',
  'Content-Length:\r\n',
  'Transfer-Encoding: chunked\r\n',
  'Transfer-Encoding : chunked\r\n',
  'Transfer-Encoding: xchunked\r\n',
  'Transfer-Encoding:\r\n chunked\r\n',
  'Transfer-Encoding: identity, chunked\r\n',
  'Transfer_Encoding: chunked\r\n',
  'Host: b.shop\r\n',
  'host: a@b\r\n',
  'Connection: close\r\n',
  'Connection: content-length\r\n',
  'Connection: x-a, te\r\n',
  'Connection: upgrade\r\nUpgrade: websocket\r\n',
  'Expect: 100-continue\r\n',
  'TE: trailers\r\n',
  'Trailer: x\r\n',
  'X-Forwarded-For: 1.1.1.1\r\n',
  'X_Forwarded_For: 1.1.1.1\r\n',
  'x-mayfly-peer: root\r\n',
  'x-request-id: 1\r\n',
  'X-A: b\r\n',
  'GET /smuggled HTTP/1.1\r\nHost: c\r\n\r\n',
].map((piece) => Buffer.from(piece, 'latin1'))

const FIELDS = PIECES.filter((piece) => piece.length > 4 && piece.indexOf('\r\n') === piece.length - 2)

/** One to five mutations of a seed, mostly few, which may borrow from another. */
export function mutate(seed: Buffer, other: Buffer, random: Random): Buffer {
  let head = seed
  for (let left = 1 + random(1 + random(5)); left > 0; left--)
    head = MUTATIONS[random(MUTATIONS.length)]!(head, other, random)
  return head
}

type Mutation = (head: Buffer, other: Buffer, random: Random) => Buffer

const insertPiece: Mutation = (head, _other, random) => {
  const at = random(head.length + 1)
  return splice(head, at, at, PIECES[random(PIECES.length)]!)
}

/** Inserts a piece where a line starts, which is where fields are whole. */
const insertLine: Mutation = (head, _other, random) => {
  const starts = lineStarts(head)
  const at = starts[random(starts.length)]!
  return splice(head, at, at, PIECES[random(PIECES.length)]!)
}

/** Inserts a field line among the others. */
const insertField: Mutation = (head, _other, random) => {
  const starts = lineStarts(head)
  const at = starts[Math.min(1 + random(starts.length), starts.length - 1)]!
  return splice(head, at, at, FIELDS[random(FIELDS.length)]!)
}

const replaceByte: Mutation = (head, _other, random) => {
  if (head.length === 0) return head
  const at = random(head.length)
  return splice(head, at, at + 1, Buffer.from([random(256)]))
}

const flipCase: Mutation = (head, _other, random) => {
  if (head.length === 0) return head
  const at = random(head.length)
  return splice(head, at, at + 1, Buffer.from([head[at]! ^ 0x20]))
}

const removeRange: Mutation = (head, _other, random) => {
  const at = random(head.length + 1)
  return splice(head, at, Math.min(head.length, at + 1 + random(8)), Buffer.alloc(0))
}

const repeatLine: Mutation = (head, _other, random) => {
  const starts = lineStarts(head)
  const from = random(starts.length)
  const line = head.subarray(starts[from]!, starts[from + 1] ?? head.length)
  const at = starts[random(starts.length)]!
  return splice(head, at, at, line)
}

const borrowLine: Mutation = (head, other, random) => {
  const theirs = lineStarts(other)
  const from = random(theirs.length)
  const line = other.subarray(theirs[from]!, theirs[from + 1] ?? other.length)
  const starts = lineStarts(head)
  const at = starts[random(starts.length)]!
  return splice(head, at, at, line)
}

const MUTATIONS = [
  insertField,
  insertField,
  insertField,
  insertPiece,
  insertPiece,
  insertLine,
  insertLine,
  replaceByte,
  flipCase,
  removeRange,
  repeatLine,
  borrowLine,
]

function splice(head: Buffer, from: number, to: number, piece: Buffer): Buffer {
  return Buffer.concat([head.subarray(0, from), piece, head.subarray(to)])
}

function lineStarts(head: Buffer): number[] {
  const starts = [0]
  for (let at = head.indexOf(0x0a); at >= 0 && at + 1 < head.length; at = head.indexOf(0x0a, at + 1))
    starts.push(at + 1)
  return starts
}
