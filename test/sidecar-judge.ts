// One request judged by one function's policy in the real guest, as an engine would do it.

import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { buildSidecar, sidecarIsCurrent } from '../scripts/build-sidecar.ts'
import { type FunctionSpec, toFunctionSpec } from '../src/api/function-spec.ts'
import { formatManifestError } from '../src/api/manifest-error.ts'
import { readManifests } from '../src/api/read-manifests.ts'
import { meshConfigOf, ofKind } from '../src/api/resource.ts'
import { ipBytes } from '../src/dataplane/ip-bytes.ts'
import { loadSidecars, type Sidecars } from '../src/dataplane/sidecar.ts'
import { type CompiledPolicy, compilePolicy, type MeshView } from '../src/policy/compile-policy.ts'
import {
  DIRECTION_INBOUND,
  NO_RULE,
  POLICY_AUTHORIZATION,
  VERDICT_AUDIT,
  VERDICT_SIZE,
} from '../src/sidecar/layout/record.ts'

export interface Judged {
  readonly allowed: boolean
  readonly status: number
  readonly reason: number
  readonly text: string
  /** "namespace/name#rule" of the AuthorizationPolicy rule that decided, "" where none did. */
  readonly by: string
  readonly audited: readonly string[]
}

export interface Question {
  /** DIRECTION_*; INBOUND unless given. */
  readonly direction?: number
  readonly peer?: string
  /** The connection came in plaintext from outside the engine. */
  readonly plaintext?: boolean
  readonly method?: string
  readonly path?: string
  readonly authority?: string
  readonly headers?: readonly (readonly [name: string, value: string])[]
  readonly sourceIp?: string
  readonly localIp?: string
  readonly localPort?: number
  /** OUTBOUND: the callee, "" where there is none; else the function itself. */
  readonly target?: string
}

/** The manifests and the function `name` among them; throws with all errors where they are not valid. */
export function readWorld(yaml: string, name: string): { world: MeshView; fn: FunctionSpec } {
  const reading = readManifests([{ path: 'manifests.yaml', text: yaml }])
  if (!reading.ok) throw new Error(reading.errors.map(formatManifestError).join('\n'))
  const { resources } = reading
  const config = meshConfigOf(resources)
  const functions = ofKind(resources, 'Service').map((service) => toFunctionSpec(service, config))
  const fn = functions.find(({ key }) => key === name)
  if (!fn) throw new Error(`no Service ${name}`)
  const world = {
    config,
    authorizationPolicies: ofKind(resources, 'AuthorizationPolicy'),
    peerAuthentications: ofKind(resources, 'PeerAuthentication'),
    requestAuthentications: ofKind(resources, 'RequestAuthentication'),
    sidecars: ofKind(resources, 'Sidecar'),
    destinationRules: ofKind(resources, 'DestinationRule'),
    telemetries: ofKind(resources, 'Telemetry'),
    functions,
  }
  return { world, fn }
}

export function compileWorld(world: MeshView, fn: FunctionSpec): CompiledPolicy {
  const compilation = compilePolicy(world, fn)
  if (!compilation.ok) throw new Error(compilation.errors.map(formatManifestError).join('\n'))
  return compilation.policy
}

export class Judge {
  readonly #sidecars: Sidecars

  constructor(sidecars: Sidecars) {
    this.#sidecars = sidecars
  }

  static async load(): Promise<Judge> {
    if (!sidecarIsCurrent()) {
      const failure = await buildSidecar()
      if (failure !== undefined) throw new Error(failure)
    }
    return new Judge(loadSidecars(readFileSync(join(import.meta.dirname, '../build/sidecar.wasm'))))
  }

  judge({ bytes, rules }: CompiledPolicy, fn: FunctionSpec, question: Question): Judged {
    const head = headOf(question)
    const facts = {
      direction: question.direction ?? DIRECTION_INBOUND,
      peer: question.peer ?? '',
      sourceIp: ipBytes(question.sourceIp ?? '10.0.0.1'),
      sourcePort: 50_000,
      localIp: ipBytes(question.localIp ?? '10.0.0.2'),
      localPort: question.localPort ?? 8000,
      tls: false,
      plaintext: question.plaintext === true,
    }
    const opened = this.#sidecars.open(head, 0, head.length, facts, 1_700_000_000_000, RANDOM)
    if (opened.kind !== 'opened') throw new Error(`the head is not acceptable: ${JSON.stringify(opened)}`)
    const decision = this.#sidecars.decide(bytes, question.target ?? fn.key, fn.port)
    if (decision.kind === 'failed') throw new Error(decision.reason)
    const denial = decision.kind === 'denied' ? decision.denial : null
    const found = authorizationVerdicts(
      denial ? denial.verdicts : (decision as { verdicts: Buffer }).verdicts,
    )
    const nameOf = (rule: number) => {
      const name = rules[POLICY_AUTHORIZATION]?.[rule]
      return name ? `${name.policy}#${name.index}` : ''
    }
    return {
      allowed: denial === null,
      status: denial?.status ?? 0,
      reason: denial?.reason ?? 0,
      text: denial?.text ?? '',
      by: nameOf(found.findLast(({ verdict }) => verdict !== VERDICT_AUDIT)?.rule ?? NO_RULE),
      audited: found.filter(({ verdict }) => verdict === VERDICT_AUDIT).map(({ rule }) => nameOf(rule)),
    }
  }
}

const RANDOM = Buffer.alloc(48, 7)

function headOf({ method, path, authority, headers }: Question): Buffer {
  const lines = [
    `${method ?? 'GET'} ${path ?? '/'} HTTP/1.1`,
    `Host: ${authority ?? 'payment.shop'}`,
    ...(headers ?? []).map(([name, value]) => `${name}: ${value}`),
  ]
  return Buffer.from(`${lines.join('\r\n')}\r\n\r\n`, 'latin1')
}

function authorizationVerdicts(bytes: Buffer): { verdict: number; rule: number }[] {
  return Array.from({ length: bytes.length / VERDICT_SIZE }, (_, index) => index * VERDICT_SIZE)
    .filter((at) => bytes[at] === POLICY_AUTHORIZATION)
    .map((at) => ({ verdict: bytes[at + 1]!, rule: bytes.readUInt16LE(at + 2) }))
}
