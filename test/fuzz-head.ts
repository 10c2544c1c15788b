// Fuzzes the sidecar's reading of heads:
//   node test/fuzz-head.ts [COUNT] [SEED]
// Mutated heads from test/corpus/heads go through the real guest. Whatever it forwards must be one head with one framing, the
// one that the sidecar told the engine, by a second parser (strict-head.ts) and, for requests, by Node's llhttp.

import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Sidecars } from '../src/dataplane/sidecar.ts'
import {
  BODY_CHUNKED,
  BODY_CLOSE,
  BODY_LENGTH,
  BODY_NONE,
  DIRECTION_INBOUND,
  DIRECTION_INGRESS,
  DIRECTION_OUTBOUND,
  OUT_FLAG_UPGRADE,
  REASON_PORT,
} from '../src/sidecar/layout/record.ts'
import { showBytes } from './golden-cases.ts'
import { isKnownMethod, readByLlhttp } from './llhttp.ts'
import { mutate, type Random, randomOf } from './mutate-head.ts'
import { factsOf, NOW, openPolicy, RANDOM, realSidecars } from './sidecar-phases.ts'
import { type Framing, readStrictHead, type StrictHead, valuesOf } from './strict-head.ts'

const CORPUS = join(import.meta.dirname, 'corpus/heads')
const DIRECTIONS = [DIRECTION_INGRESS, DIRECTION_INGRESS, DIRECTION_OUTBOUND, DIRECTION_INBOUND]
const NORMALIZATIONS = ['NONE', 'BASE', 'MERGE_SLASHES', 'DECODE_AND_MERGE_SLASHES']
/** Fields that nobody outside may send to a function through the gateway. */
const NEVER_FROM_OUTSIDE = /^(x-forwarded-client-cert|x-mayfly-.*|x-envoy-.*)$/
const NEVER_WITH_UNDERSCORE = /^(host|content-length|transfer-encoding|x-forwarded-for|x-mayfly-.*)$/
const NEVER_FORWARDED = /^(keep-alive|proxy-(connection|authenticate|authorization)|http2-settings)$/

export interface FuzzReport {
  forwarded: number
  denied: number
  incomplete: number
  responses: number
  bad: number
}

/** Runs `count` mutated heads; throws at the first one that breaks a rule, naming its bytes. */
export async function fuzzHeads(count: number, seed: number): Promise<FuzzReport> {
  const sidecars = await realSidecars()
  const fuzzer = new Fuzzer(sidecars)
  const requests = corpus(/^request-/)
  const responses = corpus(/^response-/)
  const random = randomOf(seed)
  const pick = (seeds: Buffer[]) => seeds[random(seeds.length)]!
  for (let i = 0; i < count; i++) {
    // A few go unmutated, which shows that the seeds themselves are of use.
    const isResponse = random(4) === 0
    const seeds = isResponse ? responses : requests
    const head = random(20) === 0 ? pick(seeds) : mutate(pick(seeds), pick(seeds), random)
    try {
      if (isResponse) fuzzer.response(head, random)
      else fuzzer.request(head, random)
    } catch (error) {
      const message = error instanceof Error ? error.message : String(error)
      throw new Error(`head ${i} of seed ${seed}: ${message}\n${showBytes(head)}`, { cause: error })
    }
  }
  fuzzer.checkCounters()
  return fuzzer.report
}

function corpus(names: RegExp): Buffer[] {
  const files = readdirSync(CORPUS).filter((name) => names.test(name))
  assert.ok(files.length > 0, `no seeds in ${CORPUS}`)
  return files.sort().map((name) => readFileSync(join(CORPUS, name)))
}

class Fuzzer {
  readonly report: FuzzReport = { forwarded: 0, denied: 0, incomplete: 0, responses: 0, bad: 0 }
  readonly #sidecars: Sidecars
  readonly #policies = NORMALIZATIONS.map((normalization) =>
    openPolicy({ pathNormalization: { normalization } }),
  )
  readonly #contexts: Buffer[]

  constructor(sidecars: Sidecars) {
    this.#sidecars = sidecars
    this.#contexts = [
      'GET / HTTP/1.1',
      'HEAD / HTTP/1.1',
      'GET / HTTP/1.0',
      'GET / HTTP/1.1\r\nConnection: upgrade\r\nUpgrade: websocket',
    ].map((start) => this.#contextOf(Buffer.from(`${start}\r\nHost: a.shop\r\n\r\n`)))
  }

  request(head: Buffer, random: Random): void {
    const sidecars = this.#sidecars
    const direction = DIRECTIONS[random(DIRECTIONS.length)]!
    const opened = sidecars.open(head, 0, head.length, factsOf(direction), NOW, RANDOM)
    if (opened.kind === 'incomplete') {
      this.report.incomplete++
      return
    }
    if (opened.kind === 'failed') throw new Error(`open failed: ${opened.reason}`)
    if (opened.kind === 'denied') return this.#denied(opened.denial.status)
    const decision = sidecars.decide(this.#policies[random(4)]!, 'shop/cart', 8080)
    if (decision.kind === 'failed') throw new Error(`decide failed: ${decision.reason}`)
    if (decision.kind === 'denied') return this.#denied(decision.denial.status)
    this.report.forwarded++

    const forwarded = readStrictHead(decision.head, 'request')
    assert.equal(forwarded.length, decision.head.length, 'bytes behind the forwarded head')
    checkFraming(forwarded.framing, decision.sendBody, decision.bodyLength)
    assert.equal(decision.body, decision.sendBody, 'a request is framed as it came')
    checkFields(forwarded, direction)
    this.#checkReceived(head.subarray(0, decision.headLength), forwarded)
    checkByLlhttp(decision.head, forwarded, (decision.flags & OUT_FLAG_UPGRADE) !== 0)

    // The next sidecar on the way reads the same message.
    const next = sidecars.open(
      decision.head,
      0,
      decision.head.length,
      factsOf(DIRECTION_INBOUND),
      NOW,
      RANDOM,
    )
    assert.equal(next.kind, 'opened', 'the next sidecar refuses the forwarded head')
    const second = sidecars.decide(this.#policies[0]!, 'shop/cart', 8080)
    // A caller's sidecar lets pass what the callee's may refuse for its port.
    if (second.kind === 'denied' && second.denial.reason === REASON_PORT)
      return this.#denied(second.denial.status)
    if (second.kind !== 'forward') throw new Error(`the next sidecar: ${JSON.stringify(second)}`)
    assert.equal(second.body, decision.sendBody)
    assert.equal(second.bodyLength, decision.bodyLength)
    assert.equal(readStrictHead(second.head, 'request').start, forwarded.start)
  }

  response(head: Buffer, random: Random): void {
    const which = random(this.#contexts.length)
    const context = this.#contexts[which]!
    const decision = this.#sidecars.respond(
      this.#policies[0]!,
      context,
      head,
      0,
      head.length,
      NOW,
      '127.0.0.1:1',
      0,
    )
    switch (decision.kind) {
      case 'failed':
        throw new Error(`respond failed: ${decision.reason}`)
      case 'incomplete':
        this.report.incomplete++
        return
      case 'bad':
        this.report.bad++
        return
      case 'interim': {
        this.report.responses++
        if (decision.head.length === 0) return
        assert.deepEqual(readStrictHead(decision.head, 'response').framing, { kind: 'none' })
        return
      }
      case 'head': {
        this.report.responses++
        const sent = readStrictHead(decision.head, 'response')
        assert.equal(sent.length, decision.head.length, 'bytes behind the head')
        assert.ok(decision.headLength <= head.length)
        const bare =
          which === 1 || decision.status < 200 || decision.status === 204 || decision.status === 304
        if (bare) assert.equal(decision.sendBody, BODY_NONE)
        else if (decision.sendBody === BODY_CLOSE) assert.deepEqual(sent.framing, { kind: 'none' })
        else checkFraming(sent.framing, decision.sendBody, decision.bodyLength)
        if (decision.status === 204) assert.deepEqual(sent.framing, { kind: 'none' })
        for (const [name] of sent.fields) assert.doesNotMatch(name, NEVER_FORWARDED)
      }
    }
  }

  checkCounters(): void {
    const { counters } = this.#sidecars
    const total = (counts: Record<string, number>) => Object.values(counts).reduce((sum, n) => sum + n, 0)
    assert.equal(total(counters.deniedBy), this.report.denied, 'a refusal was not counted by its reason')
    assert.equal(total(counters.badBy), this.report.bad, 'a bad response was not counted by its reason')
    assert.equal(counters.failed, 0)
  }

  #denied(status: number): void {
    assert.ok(status >= 400 && status <= 505, `denied with ${status}`)
    this.report.denied++
  }

  /** What came in must have had that one framing too: Host, lengths and codings that contradict each other are refused. */
  #checkReceived(received: Buffer, forwarded: StrictHead): void {
    const text = received.toString('latin1').replace(/^\r\n/, '')
    assert.ok(text.endsWith('\r\n\r\n'), 'the head received does not end in an empty line')
    assert.equal(text.indexOf('\r\n\r\n'), text.length - 4, 'the head received holds another empty line')
    const names = text
      .split('\r\n')
      .slice(1, -2)
      .map((line) => line.slice(0, line.indexOf(':')).toLowerCase())
    const framing = names.filter((name) => name === 'content-length' || name === 'transfer-encoding')
    assert.ok(framing.length <= 1, 'several framing fields were received')
    assert.equal(framing[0] === undefined, forwarded.framing.kind === 'none', 'a framing came or went')
    const value = /\r\n(?:content-length|transfer-encoding):[ \t]*([^\r]*?)[ \t]*\r\n/i.exec(text)?.[1] ?? ''
    const said = forwarded.framing
    if (said.kind === 'chunked') assert.equal(value.toLowerCase(), 'chunked')
    if (said.kind === 'length') assert.match(value, new RegExp(`^0*${said.length}$`))
    assert.ok(names.filter((name) => name === 'host').length <= 1, 'several Host fields were received')
    assert.doesNotMatch(text, /[^\r]\n|\r[^\n]|\0/)
  }

  #contextOf(head: Buffer): Buffer {
    this.#sidecars.open(head, 0, head.length, factsOf(DIRECTION_INGRESS), NOW, RANDOM)
    const decision = this.#sidecars.decide(this.#policies[0]!, 'shop/cart', 8080)
    if (decision.kind !== 'forward') throw new Error('no context')
    return decision.context
  }
}

function checkFraming(said: Framing, body: number, length: number): void {
  switch (body) {
    case BODY_NONE:
      assert.ok(
        said.kind === 'none' || (said.kind === 'length' && said.length === 0),
        `no body, framed ${said.kind}`,
      )
      return
    case BODY_LENGTH:
      assert.deepEqual(said, { kind: 'length', length })
      return
    case BODY_CHUNKED:
      assert.deepEqual(said, { kind: 'chunked' })
      return
    default:
      throw new Error(`body ${body}`)
  }
}

function checkFields(head: StrictHead, direction: number): void {
  assert.equal(valuesOf(head, 'host').length, 1, 'not exactly one Host')
  assert.equal(valuesOf(head, 'x-request-id').length, 1, 'not exactly one X-Request-Id')
  for (const [name] of head.fields) {
    assert.doesNotMatch(name, NEVER_FORWARDED)
    if (direction !== DIRECTION_INBOUND) assert.doesNotMatch(name, NEVER_FROM_OUTSIDE)
    if (name.includes('_')) assert.doesNotMatch(name.replaceAll('_', '-'), NEVER_WITH_UNDERSCORE)
  }
  if (direction === DIRECTION_INGRESS) {
    assert.equal(valuesOf(head, 'x-forwarded-for').length, 1)
    assert.match(valuesOf(head, 'x-forwarded-for')[0]!, /(^|, )192\.0\.2\.7$/)
    assert.deepEqual(valuesOf(head, 'x-forwarded-proto'), ['http'])
  }
  for (const connection of valuesOf(head, 'connection'))
    assert.match(connection, /^(upgrade|te|upgrade, te)$/)
}

/** llhttp must find the same request, of the same length, whatever follows on the connection. */
function checkByLlhttp(head: Buffer, strict: StrictHead, upgrades: boolean): void {
  const [method = '', target = ''] = strict.start.split(' ')
  if (!isKnownMethod(method) || method === 'SOURCE' || method === 'PRI') return
  const { framing } = strict
  if (framing.kind === 'length' && framing.length > 100_000) return
  const body =
    framing.kind === 'length'
      ? Buffer.alloc(framing.length, 'b')
      : Buffer.from(framing.kind === 'chunked' ? '2\r\nbb\r\n0\r\n\r\n' : '')
  const message = Buffer.concat([head, body])
  const read = readByLlhttp(message)
  if (read instanceof Error) throw new Error(`llhttp refuses what was forwarded: ${read.message}`)
  assert.equal(read.method, method)
  assert.equal(read.target, target)
  assert.equal(read.length, upgrades ? head.length : message.length, 'llhttp finds another length')
  assert.equal(read.fields.length / 2, strict.fields.length, 'llhttp finds another number of fields')
}

if (import.meta.main) {
  const count = Number(process.argv[2] ?? 100_000)
  const seed = Number(process.argv[3] ?? Date.now() % 1_000_000)
  console.log(`${count} heads, seed ${seed}`, await fuzzHeads(count, seed))
}
