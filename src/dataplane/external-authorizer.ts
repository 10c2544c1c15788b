import { Agent, type ClientRequest, type IncomingMessage, request } from 'node:http'
import type { CheckService } from '../policy/external-authorization.ts'
import {
  CHECK_BODY,
  CHECK_FAILURE,
  CHECK_FIELDS,
  CHECK_HEADER,
  CHECK_MALFORMED,
  CHECK_OVERFLOW,
  CHECK_SERVER_ERROR,
  CHECK_STATUS,
  CHECK_TIMED_OUT,
  CHECK_TOO_LARGE,
  CHECK_UNREACHABLE,
} from '../sidecar/layout/external-authorization.ts'
import type { Answerer } from './needs.ts'

/** Bounds of what one engine has under way, and of one answer. Beyond each a check fails, by its own CHECK_*. */
export interface CheckLimits {
  mostInFlight: number
  /** Idle connections that are kept for each service. */
  mostIdle: number
  mostHeadBytes: number
  mostFields: number
  mostBodyBytes: number
}

export interface CheckCounters {
  asked: number
  allowed: number
  refused: number
  failed: number
  timedOut: number
  overflowed: number
  /** Asked again, since the service had closed the kept connection meanwhile. */
  repeated: number
}

/** Asks check services over HTTP/1.1 (Envoy's HTTP ext_authz contract). What they answer is checked, and never trusted. */
export class ExternalAuthorizers {
  readonly counters: CheckCounters = {
    asked: 0,
    allowed: 0,
    refused: 0,
    failed: 0,
    timedOut: 0,
    overflowed: 0,
    repeated: 0,
  }
  readonly #limits: CheckLimits
  readonly #agent: Agent
  #inFlight = 0

  constructor(limits: CheckLimits = LIMITS) {
    this.#limits = limits
    this.#agent = new Agent({ keepAlive: true, maxFreeSockets: limits.mostIdle, timeout: IDLE_MS })
  }

  /**
   * Asks the service what the key says (layout/external-authorization.ts); resolves with the answer in that layout, also
   * where the check fails. A key in another form throws.
   */
  ask(key: Buffer, service: CheckService): Buffer | Promise<Buffer> {
    const check = readKey(key)
    this.counters.asked++
    if (this.#inFlight >= this.#limits.mostInFlight) {
      this.counters.overflowed++
      return this.#counted(failure(CHECK_OVERFLOW))
    }
    this.#inFlight++
    return this.#send(check, service).then((answer) => {
      this.#inFlight--
      return this.#counted(answer)
    })
  }

  /** Ends all connections; checks under way fail. */
  close(): void {
    this.#agent.destroy()
  }

  #send(check: Check, service: CheckService): Promise<Buffer> {
    return new Promise((resolve) => {
      let sent: ClientRequest | null = null
      let ended = false
      const end = (answer: Buffer) => {
        ended = true
        clearTimeout(timer)
        resolve(answer)
      }
      const timer = setTimeout(() => {
        this.counters.timedOut++
        end(failure(CHECK_TIMED_OUT))
        sent?.destroy()
      }, service.timeoutMs)
      const attempt = (agent: Agent | false) => {
        const one = request(optionsOf(check, service, agent, this.#limits.mostHeadBytes))
        sent = one
        one.on('response', (response) => this.#receive(response, one, end))
        // Nobody asked to switch protocols.
        one.on('upgrade', (_response, socket) => {
          socket.destroy()
          end(failure(CHECK_MALFORMED))
        })
        one.on('error', (error: NodeJS.ErrnoException) => {
          if (ended) return
          // The service closed a kept connection just as it was used again: nothing of an answer came, so a new one is tried.
          const isStale = one.reusedSocket && agent !== false && STALE.has(error.code ?? '')
          if (!isStale) return end(failure(failureOf(error)))
          this.counters.repeated++
          attempt(false)
        })
        one.end()
      }
      attempt(this.#agent)
    })
  }

  #receive(response: IncomingMessage, sent: ClientRequest, end: (answer: Buffer) => void): void {
    const { mostFields, mostBodyBytes } = this.#limits
    const status = response.statusCode ?? 0
    const fields = readFields(response.rawHeaders, mostFields)
    const parts: Buffer[] = []
    let length = 0
    const giveUp = (answer: Buffer) => {
      end(answer)
      sent.destroy()
    }
    response.on('error', () => giveUp(failure(CHECK_UNREACHABLE)))
    if (typeof fields === 'number') return giveUp(failure(fields))
    response.on('data', (part: Buffer) => {
      length += part.length
      if (length > mostBodyBytes) giveUp(failure(CHECK_TOO_LARGE))
      else parts.push(part)
    })
    response.on('end', () => {
      if (!response.complete) return giveUp(failure(CHECK_UNREACHABLE))
      if (status >= 500) return end(failure(CHECK_SERVER_ERROR))
      // A permission's body is nobody's.
      end(encodeAnswer(status, fields, status === 200 ? NOTHING : Buffer.concat(parts)))
    })
  }

  #counted(answer: Buffer): Buffer {
    const status = answer.readUInt32LE(CHECK_STATUS)
    if (status === 0) this.counters.failed++
    else if (status === 200) this.counters.allowed++
    else this.counters.refused++
    return answer
  }
}

/** Answers the NEED_EXTERNAL of a function's sidecar by its check service. */
export function answerExternal(authorizers: ExternalAuthorizers): Answerer {
  return ({ key }, { slice }) => {
    if (!slice.checkService) throw new Error(`${slice.key} has no check service`)
    return authorizers.ask(key, slice.checkService)
  }
}

const LIMITS: CheckLimits = {
  mostInFlight: 1_024,
  mostIdle: 64,
  mostHeadBytes: 16_384,
  mostFields: 64,
  mostBodyBytes: 32_768,
}
/** Below the 5 s after which many servers close an idle connection. */
const IDLE_MS = 4_000
const NOTHING = Buffer.alloc(0)
const STALE = new Set(['ECONNRESET', 'EPIPE'])

interface Check {
  method: string
  target: string
  /** Names and values by turns. */
  fields: string[]
}

/** The key comes out of a sandbox: whatever is not exactly a check is none. */
function readKey(key: Buffer): Check {
  const lines = key.toString('latin1').split('\r\n')
  const first = REQUEST_LINE.exec(lines[0]!)
  if (!first || first[1] === 'CONNECT' || lines.pop() !== '') throw new Error('the check is no request')
  const fields: string[] = []
  for (const line of lines.slice(1)) {
    const field = FIELD_LINE.exec(line)
    if (!field || FRAMING.has(field[1]!)) throw new Error('the check has a field that is none')
    fields.push(field[1]!, field[2]!)
  }
  if (fields[0] !== 'host') throw new Error('the check has no host')
  return { method: first[1]!, target: first[2]!, fields }
}

const REQUEST_LINE = /^([!#$%&'*+.^_`|~0-9A-Z-]{1,64}) (\/[\x21-\x7e\x80-\xff]*|\*)$/
const FIELD_LINE = /^([!#$%&'*+.^_`|~0-9a-z-]+): ([\t\x20-\x7e\x80-\xff]*)$/
const FRAMING = new Set(['content-length', 'transfer-encoding', 'connection', 'upgrade', 'trailer', 'expect'])

function optionsOf(
  { method, target, fields }: Check,
  { host, port }: CheckService,
  agent: Agent | false,
  maxHeaderSize: number,
) {
  const headers = [...fields, 'content-length', '0']
  return { host, port, method, path: target, headers, setHost: false, agent, maxHeaderSize }
}

/** Names in lower case and values by turns, or the CHECK_* by which they are not taken. */
function readFields(raw: readonly string[], most: number): string[] | number {
  if (raw.length > 2 * most) return CHECK_TOO_LARGE
  const fields: string[] = []
  for (let i = 0; i < raw.length; i += 2) {
    const name = raw[i]!.toLowerCase()
    const value = raw[i + 1]!.replace(/^[\t ]+|[\t ]+$/g, '')
    if (!NAME.test(name) || !VALUE.test(value)) return CHECK_MALFORMED
    if (name.length > 255 || value.length > 0xffff) return CHECK_TOO_LARGE
    fields.push(name, value)
  }
  return fields
}

const NAME = /^[!#$%&'*+.^_`|~0-9a-z-]+$/
const VALUE = /^[\t\x20-\x7e\x80-\xff]*$/

function encodeAnswer(status: number, fields: readonly string[], body: Buffer): Buffer {
  const header = Buffer.alloc(CHECK_HEADER)
  header.writeUInt32LE(status, CHECK_STATUS)
  header.writeUInt32LE(fields.length / 2, CHECK_FIELDS)
  header.writeUInt32LE(body.length, CHECK_BODY)
  const parts = [header]
  for (let i = 0; i < fields.length; i += 2) {
    const lengths = Buffer.alloc(4)
    lengths.writeUInt16LE(fields[i]!.length, 0)
    lengths.writeUInt16LE(fields[i + 1]!.length, 2)
    parts.push(lengths, Buffer.from(fields[i]! + fields[i + 1]!, 'latin1'))
  }
  return Buffer.concat([...parts, body])
}

/** The answer of a check that failed. */
export function failure(why: number): Buffer {
  const answer = Buffer.alloc(CHECK_HEADER)
  answer.writeUInt32LE(why, CHECK_FAILURE)
  return answer
}

function failureOf({ code = '' }: NodeJS.ErrnoException): number {
  if (code === 'HPE_HEADER_OVERFLOW') return CHECK_TOO_LARGE
  return code.startsWith('HPE_') ? CHECK_MALFORMED : CHECK_UNREACHABLE
}
