// A second, independent reading of HTTP/1.1 heads by RFC 9110 and 9112, by regular expressions on latin1 text: the oracle
// that the sidecar's forwarded heads are held against. It accepts less than a server may.

export type Framing = { kind: 'none' } | { kind: 'length'; length: number } | { kind: 'chunked' }

export interface StrictHead {
  /** Request line or status line without its CRLF. */
  start: string
  fields: [name: string, value: string][]
  /** What the framing fields say, whatever the method or status makes of it. */
  framing: Framing
  /** Bytes up to and with the empty line. */
  length: number
}

const REQUEST_LINE = /^([!#$%&'*+.^_`|~0-9A-Z-]+) (\*|\/[\x21\x22\x24-\x7e]*) HTTP\/1\.1$/
const STATUS_LINE = /^HTTP\/1\.1 [1-9][0-9]{2} [\t\x20-\x7e\x80-\xff]*$/
const FIELD =
  /^([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*((?:[\x21-\x7e\x80-\xff](?:[\t\x20-\x7e\x80-\xff]*[\x21-\x7e\x80-\xff])?)?)[ \t]*$/

/** Reads the head at the start of the bytes; throws where it is not one. */
export function readStrictHead(bytes: Buffer, kind: 'request' | 'response'): StrictHead {
  const text = bytes.toString('latin1')
  const end = text.indexOf('\r\n\r\n')
  if (end < 0) throw new Error('no empty line')
  const [start = '', ...lines] = text.slice(0, end).split('\r\n')
  if (!(kind === 'request' ? REQUEST_LINE : STATUS_LINE).test(start))
    throw new Error(`first line ${JSON.stringify(start)}`)
  const fields = lines.map((line): [string, string] => {
    const match = FIELD.exec(line)
    if (!match) throw new Error(`field line ${JSON.stringify(line)}`)
    return [match[1]!.toLowerCase(), match[2]!]
  })
  return { start, fields, framing: framingOf(fields), length: end + 4 }
}

export function valuesOf({ fields }: StrictHead, name: string): string[] {
  return fields.filter(([own]) => own === name).map(([, value]) => value)
}

function framingOf(fields: readonly [string, string][]): Framing {
  const lengths = fields.filter(([name]) => name === 'content-length')
  const codings = fields.filter(([name]) => name === 'transfer-encoding')
  if (lengths.length + codings.length > 1) throw new Error('more than one framing field')
  if (codings.length === 1) {
    if (codings[0]![1].toLowerCase() !== 'chunked') throw new Error(`transfer coding ${codings[0]![1]}`)
    return { kind: 'chunked' }
  }
  if (lengths.length === 0) return { kind: 'none' }
  if (!/^(0|[1-9][0-9]{0,15})$/.test(lengths[0]![1])) throw new Error(`content length ${lengths[0]![1]}`)
  return { kind: 'length', length: Number(lengths[0]![1]) }
}
