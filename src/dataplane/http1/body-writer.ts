import { BODY_CHUNKED } from '../../sidecar/layout/record.ts'

const CRLF = Buffer.from('\r\n')
const LAST_CHUNK = Buffer.from('0\r\n')

/** Appends `slices` of a body to `out`, framed as `framing` (BODY_*) says; as one chunk where it is chunked. */
export function writeBody(framing: number, slices: readonly Buffer[], out: Buffer[]): void {
  if (framing !== BODY_CHUNKED) {
    out.push(...slices)
    return
  }
  let length = 0
  for (const slice of slices) length += slice.length
  if (length === 0) return
  out.push(Buffer.from(`${length.toString(16)}\r\n`, 'latin1'), ...slices, CRLF)
}

/** Appends what ends a body: for a chunked one the last chunk and the trailer section with its empty line. */
export function endBody(framing: number, trailers: Buffer | null, out: Buffer[]): void {
  if (framing !== BODY_CHUNKED) return
  out.push(LAST_CHUNK, trailers === null ? CRLF : trailers)
}
