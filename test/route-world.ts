// Real sidecars that judge requests by the routes of manifests: what goes on, or what is answered.

import { formatManifestError } from '../src/api/manifest-error.ts'
import { readManifests } from '../src/api/read-manifests.ts'
import { type CompiledMesh, compileMesh } from '../src/control/compile-mesh.ts'
import { ipBytes } from '../src/dataplane/ip-bytes.ts'
import { BOTH_SIDES, type Sidecars } from '../src/dataplane/sidecar.ts'
import { readTakenRoute, type TakenRoute } from '../src/dataplane/taken-route.ts'
import { DIRECTION_INBOUND, DIRECTION_INGRESS } from '../src/sidecar/layout/record.ts'
import { realSidecars } from './sidecar-phases.ts'

export interface RouteRequest {
  /** "namespace/name"; default shop/cart. */
  to?: string
  /** The calling function; default: from outside. */
  from?: string
  method?: string
  path?: string
  host?: string
  headers?: [string, string][]
  random?: Buffer
  tls?: boolean
}

/** What a request with a route comes to. */
export type Routed =
  | {
      kind: 'forward'
      method: string
      /** With its query. */
      path: string
      headers: Record<string, string>
      taken: TakenRoute | null
      context: Buffer
    }
  | {
      kind: 'answer'
      status: number
      headers: Record<string, string>
      body: string
      flags: number
      delayMs: number
    }

const CONFIG = `
apiVersion: mayfly.dev/v1
kind: MeshConfig
metadata: {name: mesh}
spec: {defaultAuthorization: allow, enableTracing: false}
`

/** The functions shop/cart, shop/cart-v2, web/front and web/back, which all may call. */
export const FUNCTIONS = [
  ['shop', 'cart', 'v1'],
  ['shop', 'cart-v2', 'v2'],
  ['web', 'front', 'v1'],
  ['web', 'back', 'v2'],
]
  .map(
    ([namespace, name, version]) => `
apiVersion: serving.knative.dev/v1
kind: Service
metadata: {name: ${name}, namespace: ${namespace}}
spec: {template: {metadata: {labels: {version: ${version}}}, spec: {containers: [{image: 'endpoint:127.0.0.1:9001'}]}}}
`,
  )
  .join('---')

/** A VirtualService shop/routes for cart with these http routes, written as JSON or YAML flow. */
export function virtualService(
  http: unknown,
  more: Record<string, unknown> = {},
  namespace = 'shop',
  name = 'routes',
): string {
  return JSON.stringify({
    apiVersion: 'networking.istio.io/v1',
    kind: 'VirtualService',
    metadata: { name, namespace },
    spec: { hosts: ['cart'], http, ...more },
  })
}

/** The errors of manifests beside the functions, one line each without the file's name. */
export function errorsOf(...manifests: string[]): string[] {
  const read = readAll(manifests)
  if (!read.ok) return read.errors.map(lineOf)
  const compiled = compileMesh(read.resources)
  return compiled.ok ? [] : compiled.errors.map(lineOf)
}

function lineOf(error: Parameters<typeof formatManifestError>[0]): string {
  return formatManifestError(error).replace(/^[^ ]* /, '')
}

function readAll(manifests: readonly string[]) {
  return readManifests([CONFIG, FUNCTIONS, ...manifests].map((text, i) => ({ path: `${i}.yaml`, text })))
}

export class RouteWorld {
  readonly mesh: CompiledMesh
  readonly #sidecars: Sidecars

  static async of(...manifests: string[]): Promise<RouteWorld> {
    return new RouteWorld(await realSidecars(), manifests)
  }

  constructor(sidecars: Sidecars, manifests: readonly string[]) {
    this.#sidecars = sidecars
    const read = readAll(manifests)
    if (!read.ok) throw new Error(read.errors.map(formatManifestError).join('\n'))
    const compiled = compileMesh(read.resources)
    if (!compiled.ok) throw new Error(compiled.errors.map(formatManifestError).join('\n'))
    this.mesh = compiled.mesh
  }

  request(request: RouteRequest = {}): Routed {
    const { to = 'shop/cart', from, random = Buffer.alloc(48, 7) } = request
    const fn = this.mesh.functions.get(to)!
    const caller = from === undefined ? null : this.mesh.functions.get(from)!
    const head = headOf(
      request,
      caller ? `${fn.spec.name}.${fn.spec.namespace}` : `${fn.spec.name}.${fn.spec.namespace}.localhost`,
    )
    const facts = {
      direction: caller ? DIRECTION_INBOUND : DIRECTION_INGRESS,
      peer: caller?.spec.principal ?? '',
      sourceIp: ipBytes('192.0.2.7'),
      sourcePort: 40_000,
      localIp: ipBytes('127.0.0.1'),
      localPort: 8080,
      tls: request.tls ?? false,
    }
    const opened = this.#sidecars.open(head, 0, head.length, facts, 1_700_000_000_000, random)
    if (opened.kind !== 'opened') throw new Error(`the head is not acceptable: ${JSON.stringify(opened)}`)
    const decision = this.#sidecars.judge(fn.policy.bytes, to, fn.spec.port, BOTH_SIDES, [], null)
    if (decision.kind === 'failed' || decision.kind === 'needs') throw new Error(JSON.stringify(decision))
    if (decision.kind === 'forward') {
      const lines = decision.head.toString('latin1').split('\r\n')
      const [method, path] = lines[0]!.split(' ')
      const taken = readTakenRoute(decision.route, fn.routes)
      return {
        kind: 'forward',
        method: method!,
        path: path!,
        headers: fieldsOf(lines),
        taken,
        context: decision.context,
      }
    }
    const { status, text, fields, responseFlags, context, route } = decision.denial
    const reply = this.#sidecars.reply(
      fn.policy.bytes,
      context,
      status,
      text,
      fields,
      1_700_000_000_000,
      responseFlags,
    )
    if (reply.kind !== 'head') throw new Error(JSON.stringify(reply))
    const [head0, ...rest] = reply.head.toString('utf8').split('\r\n\r\n')
    return {
      kind: 'answer',
      status: reply.status,
      headers: fieldsOf(head0!.split('\r\n')),
      body: rest.join('\r\n\r\n'),
      flags: responseFlags,
      delayMs: readTakenRoute(route, fn.routes)?.delayMs ?? 0,
    }
  }

  /** The head that the client gets of an upstream's response to a request that went on. */
  respond(routed: Routed, head: string, to = 'shop/cart'): Record<string, string> {
    if (routed.kind !== 'forward') throw new Error(`answered ${routed.status}`)
    const bytes = Buffer.from(head, 'latin1')
    const policy = this.mesh.functions.get(to)!.policy.bytes
    const response = this.#sidecars.respond(
      policy,
      routed.context,
      bytes,
      0,
      bytes.length,
      1_700_000_000_000,
      '',
      0,
    )
    if (response.kind !== 'head') throw new Error(JSON.stringify(response))
    return fieldsOf(response.head.toString('latin1').split('\r\n'))
  }
}

function headOf({ method, path, host, headers }: RouteRequest, named: string): Buffer {
  const lines = [`${method ?? 'GET'} ${path ?? '/'} HTTP/1.1`, `host: ${host ?? named}`]
  for (const [name, value] of headers ?? []) lines.push(`${name}: ${value}`)
  return Buffer.from(`${lines.join('\r\n')}\r\n\r\n`, 'latin1')
}

/** Fields by lower-case name; the values of several are joined by "|". */
function fieldsOf(lines: readonly string[]): Record<string, string> {
  const fields: Record<string, string> = {}
  for (const line of lines.slice(1)) {
    const colon = line.indexOf(': ')
    if (colon < 0) continue
    const name = line.slice(0, colon).toLowerCase()
    const value = line.slice(colon + 2)
    fields[name] = fields[name] === undefined ? value : `${fields[name]}|${value}`
  }
  return fields
}
