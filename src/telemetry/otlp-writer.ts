// Protobuf as OTLP needs it, written in place: lengths are varints of a fixed size, filled in when what they count has been
// written. Each function gives the position after what it wrote.

const BYTES = 2

/** A field's number and wire type as the tag byte that they make; all numbers here are below 16. */
export const tag = (field: number, type: number) => (field << 3) | type

const ATTRIBUTES = tag(9, BYTES)
const KEY = tag(1, BYTES)
const VALUE = tag(2, BYTES)
const STRING_VALUE = tag(1, BYTES)
const INT_VALUE = tag(3, 0)

/** The beginning of a span's attribute up to its value, to be copied for each; `value` is where the value's tag stands. */
export interface AttributeKey {
  readonly bytes: Buffer
  readonly value: number
}

export function attributeKey(name: string): AttributeKey {
  const key = Buffer.from(name, 'utf8')
  const bytes = Buffer.alloc(3 + 3 + key.length + 3)
  bytes[0] = ATTRIBUTES
  bytes[3] = KEY
  writeLength(bytes, 4, key.length)
  key.copy(bytes, 6)
  bytes[6 + key.length] = VALUE
  return { bytes, value: 6 + key.length }
}

/** An attribute whose value is ASCII text. */
export function writeTextAttribute(out: Buffer, at: number, key: AttributeKey, value: string): number {
  const value_ = at + key.value
  begin(out, at, key)
  out[value_ + 3] = STRING_VALUE
  const length = out.write(value, value_ + 6, 'latin1')
  writeLength(out, value_ + 4, length)
  return end(out, at, value_ + 6 + length, value_)
}

/** An attribute whose value is text of any kind. */
export function writeUtf8Attribute(out: Buffer, at: number, key: AttributeKey, value: string): number {
  const value_ = at + key.value
  begin(out, at, key)
  out[value_ + 3] = STRING_VALUE
  const length = out.write(value, value_ + 6, 'utf8')
  writeLength(out, value_ + 4, length)
  return end(out, at, value_ + 6 + length, value_)
}

/** An attribute whose value is a part of some bytes, ASCII. */
export function writeBytesAttribute(
  out: Buffer,
  at: number,
  key: AttributeKey,
  from: Buffer,
  start: number,
  stop: number,
): number {
  const value_ = at + key.value
  begin(out, at, key)
  out[value_ + 3] = STRING_VALUE
  const length = from.copy(out, value_ + 6, start, stop)
  writeLength(out, value_ + 4, length)
  return end(out, at, value_ + 6 + length, value_)
}

/** An attribute whose value is some bytes, and two parts of others behind them, all ASCII. */
export function writePartsAttribute(
  out: Buffer,
  at: number,
  key: AttributeKey,
  first: Buffer,
  from: Buffer,
  start: number,
  stop: number,
  start2: number,
  stop2: number,
): number {
  const value_ = at + key.value
  begin(out, at, key)
  out[value_ + 3] = STRING_VALUE
  out.set(first, value_ + 6)
  let end_ = value_ + 6 + first.length
  end_ += from.copy(out, end_, start, stop)
  end_ += from.copy(out, end_, start2, stop2)
  writeLength(out, value_ + 4, end_ - value_ - 6)
  return end(out, at, end_, value_)
}

/** An attribute whose value is a number below 2^14. */
export function writeSmallAttribute(out: Buffer, at: number, key: AttributeKey, value: number): number {
  const value_ = at + key.value
  begin(out, at, key)
  out[value_ + 3] = INT_VALUE
  writeLength(out, value_ + 4, value)
  return end(out, at, value_ + 6, value_)
}

function begin(out: Buffer, at: number, { bytes }: AttributeKey): void {
  out.set(bytes, at)
}

function end(out: Buffer, at: number, stop: number, value: number): number {
  writeLength(out, value + 1, stop - value - 3)
  writeLength(out, at + 1, stop - at - 3)
  return stop
}

export function writeHex(out: Buffer, at: number, field: number, digits: string, length: number): number {
  out[at] = field
  out[at + 1] = length
  out.write(digits, at + 2, length, 'hex')
  return at + 2 + length
}

export function writeText(out: Buffer, at: number, field: number, text: string): number {
  out[at] = field
  const length = out.write(text, at + 3, 'latin1')
  writeLength(out, at + 1, length)
  return at + 3 + length
}

export function writeBytes(
  out: Buffer,
  at: number,
  field: number,
  from: Buffer,
  start: number,
  stop: number,
): number {
  out[at] = field
  const length = from.copy(out, at + 3, start, stop)
  writeLength(out, at + 1, length)
  return at + 3 + length
}

/** fixed64 nanoseconds; as a double they are exact to 256 ns. */
export function writeTime(out: Buffer, at: number, field: number, ms: number): number {
  const nanoseconds = ms * 1e6
  const high = Math.floor(nanoseconds / 4_294_967_296)
  out[at] = field
  out.writeUInt32LE(nanoseconds - high * 4_294_967_296, at + 1)
  out.writeUInt32LE(high, at + 5)
  return at + 9
}

/** A varint below 2^14 in exactly two bytes. */
export function writeLength(out: Buffer, at: number, length: number): void {
  out[at] = (length & 0x7f) | 0x80
  out[at + 1] = length >> 7
}

/** A varint below 2^21 in exactly three bytes. */
export function writeLongLength(out: Buffer, at: number, length: number): void {
  out[at] = (length & 0x7f) | 0x80
  out[at + 1] = ((length >> 7) & 0x7f) | 0x80
  out[at + 2] = length >> 14
}

/** A whole field with its content, as a message of its own. */
export function field(number: number, content: Buffer): Buffer {
  return Buffer.concat([fieldHead(number, content.length), content])
}

/** What stands in front of a field's content: its tag and length. */
export function fieldHead(number: number, contentLength: number): Buffer {
  const head = [tag(number, BYTES)]
  let length = contentLength
  for (; length > 0x7f; length = Math.floor(length / 128)) head.push((length & 0x7f) | 0x80)
  head.push(length)
  return Buffer.from(head)
}
