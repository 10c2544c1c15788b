// Node's own HTTP parser (llhttp in its strict mode) as a function: what it makes of a request and its body.

import { METHODS } from 'node:http'

export interface LlhttpRequest {
  method: string
  target: string
  /** Names and values in turn. */
  fields: string[]
  /** Bytes of the message, body and trailers included; -1 where it did not end. */
  length: number
}

interface Parser {
  initialize(type: number, resource: object): void
  execute(bytes: Buffer, start: number, length: number): number | Error
  [callback: number]: unknown
}

interface ParserClass {
  new (): Parser
  readonly REQUEST: number
  readonly kOnHeaders: number
  readonly kOnHeadersComplete: number
  readonly kOnMessageComplete: number
}

const common = process.getBuiltinModule('_http_common') as unknown as {
  HTTPParser: ParserClass
  methods: string[]
}
const { HTTPParser, methods } = common

/** Whether llhttp knows the method at all; it refuses all others. */
export function isKnownMethod(method: string): boolean {
  return METHODS.includes(method)
}

/** What llhttp makes of the bytes of one request; an Error where it refuses them. */
export function readByLlhttp(bytes: Buffer): LlhttpRequest | Error {
  const parser = new HTTPParser()
  parser.initialize(HTTPParser.REQUEST, {})
  const request: LlhttpRequest = { method: '', target: '', fields: [], length: -1 }
  let flushedTarget = ''
  let upgrades = false
  parser[HTTPParser.kOnHeaders] = (fields: string[], target: string) => {
    request.fields.push(...fields)
    flushedTarget += target
  }
  parser[HTTPParser.kOnHeadersComplete] = (
    _major: number,
    _minor: number,
    fields: string[] | undefined,
    method: number,
    target: string | undefined,
    _status: unknown,
    _phrase: unknown,
    upgrade: boolean,
  ) => {
    request.fields.push(...(fields ?? []))
    request.method = methods[method] ?? ''
    request.target = flushedTarget || (target ?? '')
    upgrades = upgrade
    return 0
  }
  let ended = false
  parser[HTTPParser.kOnMessageComplete] = () => {
    ended = true
  }
  const outcome = parser.execute(bytes, 0, bytes.length)
  if (typeof outcome !== 'number') return outcome
  if (ended || upgrades) request.length = outcome
  return request
}
