import type { Judge } from '../dataplane/engine-context.ts'
import type { ConnectionFacts, Decision, Opened, ResponseDecision } from '../dataplane/sidecar.ts'
import {
  BODY_CHUNKED,
  BODY_CLOSE,
  BODY_LENGTH,
  BODY_NONE,
  OUT_FLAG_IDEMPOTENT,
  OUT_FLAG_KEEP_ALIVE,
} from '../sidecar/layout/record.ts'

/**
 * The study's baseline: an engine that judges nothing. It looks only for what forwarding needs (where the head ends, the
 * Host, how the body is framed) and passes heads on as they are: no sandbox, no policy, no trace, no log. Not for
 * hostile clients.
 */
export class BareSidecars implements Judge {
  maxHeadBytes = 65_536
  draining = false
  readonly counters = { sandboxes: 0 }
  #head = ''
  #bytes: Buffer = EMPTY

  open(
    received: Buffer,
    start: number,
    end: number,
    _facts: ConnectionFacts,
    _now: number,
    _random: Buffer,
  ): Opened {
    const at = received.indexOf(HEAD_END, start)
    if (at < 0 || at + 4 > end) return { kind: 'incomplete' }
    this.#bytes = Buffer.from(received.subarray(start, at + 4))
    this.#head = this.#bytes.toString('latin1')
    return { kind: 'opened', host: HOST.exec(this.#head)?.[1]?.toLowerCase() ?? '', port: 0, instance: '' }
  }

  /** It looks at no address. */
  relocate(): void {}

  judge(): Decision {
    const head = this.#head
    const { body, bodyLength } = framingOf(head, BODY_NONE)
    const isHead = head.startsWith('HEAD ')
    return {
      kind: 'forward',
      head: this.#bytes,
      headLength: this.#bytes.length,
      flags: (CLOSE.test(head) ? 0 : OUT_FLAG_KEEP_ALIVE) | (body === BODY_NONE ? OUT_FLAG_IDEMPOTENT : 0),
      body,
      sendBody: body,
      bodyLength,
      context: isHead ? HEAD_CONTEXT : EMPTY,
      verdicts: EMPTY,
      requestId: '',
      route: EMPTY,
      hash: 0,
      trace: '',
    }
  }

  abandon() {
    return { context: EMPTY, headLength: this.#bytes.length, flags: 0, body: BODY_NONE, bodyLength: 0 }
  }

  respond(_policy: Buffer, context: Buffer, received: Buffer, start: number, end: number): ResponseDecision {
    const at = received.indexOf(HEAD_END, start)
    if (at < 0 || at + 4 > end) return { kind: 'incomplete' }
    const bytes = Buffer.from(received.subarray(start, at + 4))
    const head = bytes.toString('latin1')
    const status = Number(head.slice(9, 12))
    if (status < 200) return { kind: 'interim', head: bytes, headLength: bytes.length, flags: 0 }
    const bodiless = context === HEAD_CONTEXT || status === 204 || status === 304
    const { body, bodyLength } = bodiless ? { body: BODY_NONE, bodyLength: 0 } : framingOf(head, BODY_CLOSE)
    const flags = CLOSE.test(head) || body === BODY_CLOSE ? 0 : OUT_FLAG_KEEP_ALIVE
    return {
      kind: 'head',
      status,
      head: bytes,
      headLength: bytes.length,
      flags,
      body,
      sendBody: body,
      bodyLength,
      responseFlags: 0,
      log: null,
      values: null,
    }
  }

  reply(_policy: Buffer, _context: Buffer, status: number, text: string, fields: string): ResponseDecision {
    const head = `HTTP/1.1 ${status} Refused\r\ncontent-type: text/plain\r\ncontent-length: ${text.length + 1}\r\n${fields}\r\n`
    const bytes = Buffer.from(`${head}${text}\n`, 'latin1')
    return {
      kind: 'head',
      status,
      head: bytes,
      headLength: head.length,
      flags: 0,
      body: BODY_LENGTH,
      sendBody: BODY_LENGTH,
      bodyLength: text.length + 1,
      responseFlags: 0,
      log: null,
      values: null,
    }
  }

  trailers(section: Buffer): Buffer {
    return section
  }
}

function framingOf(head: string, otherwise: number): { body: number; bodyLength: number } {
  const length = LENGTH.exec(head)
  if (length) return { body: BODY_LENGTH, bodyLength: Number(length[1]) }
  return { body: CHUNKED.test(head) ? BODY_CHUNKED : otherwise, bodyLength: 0 }
}

const EMPTY: Buffer = Buffer.alloc(0)
const HEAD_CONTEXT: Buffer = Buffer.from('HEAD')
const HEAD_END = Buffer.from('\r\n\r\n')
const HOST = /\r\nhost: *([^\r\n:]*)/i
const LENGTH = /\r\ncontent-length: *(\d+)/i
const CHUNKED = /\r\ntransfer-encoding: *chunked/i
const CLOSE = /\r\nconnection: *close/i
