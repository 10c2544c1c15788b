// Response heads through the real guest: golden/response-heads.txt. The request before it was a GET of HTTP/1.1 that keeps
// its connection, unless the options say otherwise:
// method=... http=1.0 close=1 upgrade=PROTOCOL expect=1 body=1 direction=inbound draining=1 context=none max=BYTES
// reply=STATUS (the mesh's own reply; the input is its text) fields=NAME:VALUE

import { join } from 'node:path'
import { REASONS } from '../src/sidecar/layout/reasons.ts'
import {
  BODY_CHUNKED,
  BODY_CLOSE,
  BODY_LENGTH,
  BODY_NONE,
  DIRECTION_INBOUND,
  DIRECTION_INGRESS,
  OUT_FLAG_CLOSE_CLIENT,
  OUT_FLAG_KEEP_ALIVE,
  OUT_FLAG_UPGRADE,
} from '../src/sidecar/layout/record.ts'
import { type GoldenCase, goldenTests, showBytes } from './golden-cases.ts'
import { factsOf, NOW, openPolicy, RANDOM, realSidecars } from './sidecar-phases.ts'

const sidecars = await realSidecars()
const policy = openPolicy()

function contextOf(options: Record<string, string>): Buffer {
  if (options.context === 'none') return Buffer.alloc(0)
  const lines = [`${options.method ?? 'GET'} / HTTP/${options.http ?? '1.1'}`, 'Host: a.shop.localhost']
  const connection = []
  if (options.close) connection.push('close')
  if (options.http === '1.0' && !options.close) connection.push('keep-alive')
  if (options.upgrade) connection.push('upgrade')
  if (connection.length > 0) lines.push(`Connection: ${connection.join(', ')}`)
  if (options.upgrade) lines.push(`Upgrade: ${options.upgrade}`)
  if (options.expect || options.body) lines.push('Content-Length: 5')
  if (options.expect) lines.push('Expect: 100-continue')
  const head = Buffer.from(`${lines.join('\r\n')}\r\n\r\n`)
  const direction = options.direction === 'inbound' ? DIRECTION_INBOUND : DIRECTION_INGRESS
  sidecars.maxHeadBytes = 16_384
  sidecars.open(head, 0, head.length, factsOf(direction), NOW, RANDOM)
  const decision = sidecars.decide(policy, 'shop/cart', 8080)
  if (decision.kind !== 'forward')
    throw new Error(`the request is not forwarded: ${JSON.stringify(decision)}`)
  return decision.context
}

function judge({ options, input }: GoldenCase): string {
  const context = contextOf(options)
  sidecars.maxHeadBytes = Number(options.max ?? 16_384)
  sidecars.draining = options.draining === '1'
  const fields = options.fields === undefined ? '' : `${options.fields.replace(':', ': ')}\r\n`
  const text = input.toString('utf8')
  const decision = options.reply
    ? sidecars.reply(policy, context, Number(options.reply), text, fields, NOW, 0)
    : sidecars.respond(policy, context, input, 0, input.length, NOW, '127.0.0.1:9001', 0)
  switch (decision.kind) {
    case 'incomplete':
    case 'retried':
    case 'undelivered':
      return decision.kind
    case 'failed':
      return `failed: ${decision.reason}`
    case 'bad':
      return `bad ${REASONS[decision.reason]!.code}`
    case 'interim':
      return `interim${behind(input, decision.headLength)}\n${showBytes(decision.head)}`.trimEnd()
    case 'head': {
      const framing = options.reply
        ? `reply ${decision.status}, head of ${decision.headLength} bytes`
        : `response ${decision.status}, ${bodyText(decision.body, decision.bodyLength)}` +
          (decision.body === decision.sendBody ? '' : ` sent as ${bodyText(decision.sendBody, 0)}`)
      const rest = options.reply ? '' : behind(input, decision.headLength)
      return `${framing}${flagText(decision.flags)}${rest}\n${showBytes(decision.head)}`
    }
  }
}

function behind(input: Buffer, headLength: number): string {
  return input.length === headLength ? '' : `, ${input.length - headLength} bytes behind`
}

function bodyText(body: number, length: number): string {
  switch (body) {
    case BODY_NONE:
      return 'no body'
    case BODY_LENGTH:
      return `body of ${length} bytes`
    case BODY_CHUNKED:
      return 'chunked body'
    case BODY_CLOSE:
      return 'body until close'
    default:
      return `body ${body}`
  }
}

function flagText(flags: number): string {
  return Object.entries(FLAGS)
    .filter(([, flag]) => (flags & flag) !== 0)
    .map(([name]) => `, ${name}`)
    .join('')
}

const FLAGS = {
  'upstream reusable': OUT_FLAG_KEEP_ALIVE,
  'client closed': OUT_FLAG_CLOSE_CLIENT,
  upgraded: OUT_FLAG_UPGRADE,
}

goldenTests(join(import.meta.dirname, 'golden/response-heads.txt'), judge)
