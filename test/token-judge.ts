// Requests with tokens, judged by the real guest and verified by the engine's own answerer.

import { readKeySet, type VerificationKey } from '../src/api/key-set.ts'
import type { JwtRule } from '../src/api/request-authentication.ts'
import type { FunctionEntry } from '../src/dataplane/function-table.ts'
import { KeySets } from '../src/dataplane/key-sets.ts'
import { BOTH_SIDES, type Sidecars } from '../src/dataplane/sidecar.ts'
import type { Answer } from '../src/dataplane/sidecar-decision.ts'
import { TokenSignatures } from '../src/dataplane/token-signatures.ts'
import { tokenKeysOf } from '../src/policy/token-keys.ts'
import { DIRECTION_INGRESS } from '../src/sidecar/layout/record.ts'
import { compileWorld, readWorld } from './sidecar-judge.ts'
import { factsOf, RANDOM } from './sidecar-phases.ts'

export interface TokenVerdict {
  /** 200 where the request goes on. */
  readonly status: number
  readonly text: string
  /** Extra fields of the denial. */
  readonly fields: string
  /** The head that goes on. */
  readonly head: string
  /** How often the sidecar ran. */
  readonly runs: number
}

export interface TokenRequest {
  readonly method?: string
  readonly path?: string
  readonly headers?: readonly (readonly [name: string, value: string])[]
  /** Milliseconds since the epoch; now, unless given. */
  readonly now?: number
  readonly direction?: number
}

/** A rule as users write it. */
export type WrittenRule = Partial<Record<keyof JwtRule, unknown>>

export const SERVICE = `apiVersion: serving.knative.dev/v1
kind: Service
metadata: {name: app, namespace: test}
spec: {template: {spec: {containers: [{image: 'endpoint:127.0.0.1:9001'}]}}}
`

/** RequestAuthentication of test/app, as a document. */
export function authentication(rules: readonly WrittenRule[], name = 'tokens', namespace = 'test'): string {
  return JSON.stringify({
    apiVersion: 'security.istio.io/v1',
    kind: 'RequestAuthentication',
    metadata: { name, namespace },
    spec: { jwtRules: rules },
  })
}

/** A MeshConfig that lets everybody call, unless `spec` says otherwise. */
export function meshConfig(spec: object = {}): string {
  const settings = { enableTracing: false, defaultAuthorization: 'allow', ...spec }
  return JSON.stringify({
    apiVersion: 'mayfly.dev/v1',
    kind: 'MeshConfig',
    metadata: { name: 'mesh' },
    spec: settings,
  })
}

export class TokenJudge {
  readonly keySets: KeySets
  readonly signatures: TokenSignatures
  /** Sets that were asked for anew. */
  readonly wanted: string[] = []
  readonly #sidecars: Sidecars
  readonly #policy: Buffer
  readonly #entry: FunctionEntry

  constructor(sidecars: Sidecars, documents: readonly string[], now: () => number = () => performance.now()) {
    const { world, fn } = readWorld([SERVICE, ...documents].join('\n---\n'), 'test/app')
    this.#sidecars = sidecars
    this.#policy = compileWorld(world, fn).bytes
    const keys = tokenKeysOf(world, fn)
    const tokenRules = keys.map(({ source, timeoutMs }) => ({ keySet: source.id, timeoutMs }))
    this.#entry = { slice: { tokenRules } } as unknown as FunctionEntry
    this.keySets = new KeySets({ wanted: (id) => this.wanted.push(id), now })
    this.signatures = new TokenSignatures(this.keySets, now)
    for (const { source } of keys) if (source.kind === 'inline') this.give(source.id, source.jwks, false)
  }

  /** Tells of a key set as control does. */
  give(id: string, jwks: string | null, remote = true): void {
    let keys: readonly VerificationKey[] | null = null
    if (jwks !== null) {
      const reading = readKeySet(jwks)
      if (!reading.ok) throw new Error(reading.problem)
      keys = reading.value.keys
    }
    this.keySets.update([{ id, keys, remote }], [])
  }

  /** Where all answers are there at once. */
  judge(request: TokenRequest): TokenVerdict {
    const answers: Answer[] = []
    this.#open(request)
    for (let runs = 1; runs <= 8; runs++) {
      const verdict = this.#run(answers, runs)
      if (verdict) return verdict
      for (const answer of answers.slice(-this.#asked)) {
        const given = this.signatures.answer(answer.need, this.#entry, null)
        if (given instanceof Promise) throw new Error('the answer is not there at once')
        answer.bytes = given
      }
    }
    throw new Error('it needs ever more')
  }

  async judgeLater(request: TokenRequest): Promise<TokenVerdict> {
    const answers: Answer[] = []
    for (let runs = 1; runs <= 8; runs++) {
      this.#open(request)
      const verdict = this.#run(answers, runs)
      if (verdict) return verdict
      for (const answer of answers.slice(-this.#asked))
        answer.bytes = await this.signatures.answer(answer.need, this.#entry, null)
    }
    throw new Error('it needs ever more')
  }

  #asked = 0

  #open({
    method = 'GET',
    path = '/',
    headers = [],
    now = Date.now(),
    direction = DIRECTION_INGRESS,
  }: TokenRequest): void {
    const lines = [
      `${method} ${path} HTTP/1.1`,
      'host: app.test',
      ...headers.map(([name, value]) => `${name}: ${value}`),
    ]
    const head = Buffer.from(`${lines.join('\r\n')}\r\n\r\n`, 'latin1')
    const opened = this.#sidecars.open(head, 0, head.length, factsOf(direction), now, RANDOM)
    if (opened.kind !== 'opened') throw new Error(`the head is not acceptable: ${JSON.stringify(opened)}`)
  }

  #run(answers: Answer[], runs: number): TokenVerdict | null {
    const decision = this.#sidecars.judge(this.#policy, 'test/app', 8080, BOTH_SIDES, answers)
    switch (decision.kind) {
      case 'failed':
        throw new Error(decision.reason)
      case 'denied': {
        const { status, text, fields } = decision.denial
        return { status, text, fields, head: '', runs }
      }
      case 'forward':
        return { status: 200, text: '', fields: '', head: decision.head.toString('latin1'), runs }
      case 'needs':
        this.#asked = decision.needs.length
        for (const need of decision.needs) answers.push({ need, bytes: Buffer.alloc(0) })
        return null
    }
  }
}
