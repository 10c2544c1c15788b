// Requests with rate limits, judged by the real guest. What its limits say is given; whose counters it names is told.

import { readKeySet } from '../src/api/key-set.ts'
import { formatManifestError } from '../src/api/manifest-error.ts'
import { readManifests } from '../src/api/read-manifests.ts'
import { compileMesh } from '../src/control/compile-mesh.ts'
import type { FunctionEntry } from '../src/dataplane/function-table.ts'
import { ipBytes } from '../src/dataplane/ip-bytes.ts'
import { KeySets } from '../src/dataplane/key-sets.ts'
import { readQuotaKey } from '../src/dataplane/quota.ts'
import { BOTH_SIDES, type Sidecars } from '../src/dataplane/sidecar.ts'
import type { Answer, Need } from '../src/dataplane/sidecar-decision.ts'
import { TokenSignatures } from '../src/dataplane/token-signatures.ts'
import type { QuotaLimit } from '../src/policy/quota-limit.ts'
import { QUOTA_ANSWER_SIZE, QUOTA_TAKEN } from '../src/sidecar/layout/rate-limit.ts'
import {
  DIRECTION_INBOUND,
  NEED_QUOTA,
  NO_RULE,
  POLICY_RATE_LIMIT,
  VERDICT_SIZE,
} from '../src/sidecar/layout/record.ts'
import { factsOf, RANDOM } from './sidecar-phases.ts'

export interface LimitedRequest {
  readonly method?: string
  readonly path?: string
  readonly peer?: string
  readonly sourceIp?: string
  readonly headers?: readonly (readonly [name: string, value: string])[]
  readonly direction?: number
}

/** What one limit answers; taken, with 7 left for 30 s, unless given. */
export interface GivenAnswer {
  readonly state?: number
  readonly remaining?: number
  readonly reset?: number
  readonly retry?: number
}

export interface LimitedVerdict {
  readonly status: number
  readonly text: string
  /** Lines of the denial, and what the response to the client has of these fields. */
  readonly fields: string
  readonly response: string
  /** The limits that judged it by their short names, each with its counter's descriptor. */
  readonly counters: readonly (readonly [name: string, descriptor: string])[]
  /** Of the rate limits: "allow", "deny 0", "audit 1" and so on. */
  readonly verdicts: readonly string[]
  readonly responseFlags: number
}

const SERVICE = `apiVersion: serving.knative.dev/v1
kind: Service
metadata: {name: cart, namespace: shop}
spec: {template: {metadata: {labels: {tier: front}}, spec: {containers: [{image: 'endpoint:127.0.0.1:9001'}]}}}`
const CONFIG =
  '{"apiVersion": "mayfly.dev/v1", "kind": "MeshConfig", "metadata": {"name": "mesh"}, "spec": {"enableTracing": false, "defaultAuthorization": "allow"}}'

/** A RateLimitPolicy of these limits, as a document. */
export function limitPolicy(
  limits: readonly object[],
  name = 'limits',
  spec: object = {},
  namespace = 'shop',
): string {
  const metadata = { name, namespace }
  return JSON.stringify({
    apiVersion: 'mayfly.dev/v1',
    kind: 'RateLimitPolicy',
    metadata,
    spec: { ...spec, limits },
  })
}

/** The errors that the documents give, for shop/cart. */
export function errorsOf(...documents: string[]): string[] {
  const reading = readManifests([{ path: 'm.yaml', text: [SERVICE, CONFIG, ...documents].join('\n---\n') }])
  const errors = reading.ok ? compileMesh(reading.resources) : reading
  return errors.ok ? [] : errors.errors.map(formatManifestError)
}

export class RateLimitJudge {
  readonly limits: readonly QuotaLimit[]
  readonly #sidecars: Sidecars
  readonly #policy: Buffer
  readonly #entry: FunctionEntry
  readonly #tokens: TokenSignatures

  constructor(sidecars: Sidecars, documents: readonly string[], jwks?: string) {
    const reading = readManifests([{ path: 'm.yaml', text: [SERVICE, CONFIG, ...documents].join('\n---\n') }])
    if (!reading.ok) throw new Error(reading.errors.map(formatManifestError).join('\n'))
    const compiled = compileMesh(reading.resources)
    if (!compiled.ok) throw new Error(compiled.errors.map(formatManifestError).join('\n'))
    const fn = compiled.mesh.functions.get('shop/cart')!
    this.limits = fn.quotaLimits
    this.#sidecars = sidecars
    this.#policy = fn.policy.bytes
    const tokenRules = fn.tokenKeys.map(({ source, timeoutMs }) => ({ keySet: source.id, timeoutMs }))
    this.#entry = { slice: { tokenRules } } as unknown as FunctionEntry
    const keySets = new KeySets({ wanted: () => {}, now: () => 0 })
    this.#tokens = new TokenSignatures(keySets, () => 0)
    for (const { source } of fn.tokenKeys) {
      const read = readKeySet(jwks!)
      if (!read.ok) throw new Error(read.problem)
      keySets.update([{ id: source.id, keys: read.value.keys, remote: false }], [])
    }
  }

  judge(request: LimitedRequest, ...given: GivenAnswer[]): LimitedVerdict {
    const head = headOf(request)
    const facts = {
      ...factsOf(request.direction ?? DIRECTION_INBOUND),
      peer: request.peer ?? '',
      sourceIp: ipBytes(request.sourceIp ?? '192.0.2.7'),
    }
    const opened = this.#sidecars.open(head, 0, head.length, facts, Date.now(), RANDOM)
    if (opened.kind !== 'opened') throw new Error(`the head is not acceptable: ${JSON.stringify(opened)}`)
    const answers: Answer[] = []
    let counters: LimitedVerdict['counters'] = []
    for (let runs = 0; runs < 8; runs++) {
      const decision = this.#sidecars.judge(this.#policy, 'shop/cart', 8080, BOTH_SIDES, answers)
      if (decision.kind === 'failed') throw new Error(decision.reason)
      if (decision.kind === 'needs') {
        for (const need of decision.needs) {
          if (need.kind === NEED_QUOTA) counters = this.#countersOf(need)
          answers.push({
            need,
            bytes: need.kind === NEED_QUOTA ? answerOf(counters.length, given) : this.#tokenOf(need),
          })
        }
        continue
      }
      const isDenied = decision.kind === 'denied'
      const { context, verdicts } = isDenied ? decision.denial : decision
      return {
        status: isDenied ? decision.denial.status : 200,
        text: isDenied ? decision.denial.text : '',
        fields: isDenied ? decision.denial.fields : '',
        responseFlags: isDenied ? decision.denial.responseFlags : 0,
        response: this.#response(context),
        counters,
        verdicts: readVerdicts(verdicts),
      }
    }
    throw new Error('it needs ever more')
  }

  #countersOf({ key }: Need): LimitedVerdict['counters'] {
    return readQuotaKey(key, this.limits).map(({ limit, descriptor }) => [
      limit.name.split(' ')[1]!,
      descriptor,
    ])
  }

  #tokenOf(need: Need): Buffer {
    const given = this.#tokens.answer(need, this.#entry, null)
    if (given instanceof Promise) throw new Error('the keys are not there')
    return given
  }

  /** The RateLimit fields of the response that the client gets. */
  #response(context: Buffer): string {
    const upstream = Buffer.from('HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n')
    const answer = this.#sidecars.respond(
      this.#policy,
      context,
      upstream,
      0,
      upstream.length,
      0,
      '127.0.0.1:9001',
      0,
    )
    if (answer.kind !== 'head') throw new Error(`the response is ${answer.kind}`)
    const lines = answer.head.toString('latin1').split('\r\n')
    return lines.filter((line) => /^ratelimit/i.test(line)).join('\n')
  }
}

function headOf({ method = 'GET', path = '/', headers = [] }: LimitedRequest): Buffer {
  const lines = [
    `${method} ${path} HTTP/1.1`,
    'host: cart.shop',
    ...headers.map(([name, value]) => `${name}: ${value}`),
  ]
  return Buffer.from(`${lines.join('\r\n')}\r\n\r\n`, 'latin1')
}

function answerOf(count: number, given: readonly GivenAnswer[]): Buffer {
  const bytes = Buffer.alloc(count * QUOTA_ANSWER_SIZE)
  for (let i = 0; i < count; i++) {
    const { state = QUOTA_TAKEN, remaining = 7, reset = 30, retry = 5 } = given[i] ?? {}
    for (const [place, value] of [state, remaining, reset, retry].entries()) {
      bytes.writeUInt32LE(value, i * QUOTA_ANSWER_SIZE + place * 4)
    }
  }
  return bytes
}

const WORDS = ['allow', 'deny', 'audit', 'skip']

function readVerdicts(bytes: Buffer): string[] {
  const verdicts: string[] = []
  for (let at = 0; at < bytes.length; at += VERDICT_SIZE) {
    if (bytes[at] !== POLICY_RATE_LIMIT) continue
    const rule = bytes.readUInt16LE(at + 2)
    verdicts.push(`${WORDS[bytes[at + 1]!]}${rule === NO_RULE ? '' : ` ${rule}`}`)
  }
  return verdicts
}
