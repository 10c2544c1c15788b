import { readFileSync } from 'node:fs'
import { isIP } from 'node:net'
import { type ExplainedRequest, type Explanation, explainRequest } from '../control/explain.ts'
import type { Mesh } from '../control/mesh.ts'
import { ipBytes } from '../dataplane/ip-bytes.ts'
import { loadSidecars, type Sidecars } from '../dataplane/sidecar.ts'
import { sidecarWasm } from './sidecar-wasm.ts'

let sidecars: Sidecars | null = null

/** What the mesh's policies make of a request that a client describes; throws an Error that says what is wrong with the description. */
export function explainForMesh(mesh: Mesh, request: unknown): Explanation {
  const described = readRequest(request)
  for (const key of [described.to, described.from]) {
    if (key !== null && !mesh.compiled.functions.has(key)) throw new Error(`there is no function ${key}`)
  }
  sidecars ??= loadSidecars(readFileSync(sidecarWasm()))
  return explainRequest(mesh.compiled, sidecars, described)
}

function readRequest(value: unknown): ExplainedRequest {
  const { to, from, method, path, headers, sourceIp } = (value ?? {}) as Record<string, unknown>
  if (typeof to !== 'string') throw new Error('to: expected the function that the request is for')
  if (from !== null && typeof from !== 'string') throw new Error('from: expected a function, or null')
  if (typeof method !== 'string' || typeof path !== 'string')
    throw new Error('method and path: expected the request line')
  if (typeof sourceIp !== 'string' || isIP(sourceIp) === 0)
    throw new Error('sourceIp: expected an IP address')
  if (!Array.isArray(headers) || !headers.every(isField))
    throw new Error('headers: expected a list of [name, value]')
  return { to, from, method, path, headers: headers as [string, string][], sourceIp: ipBytes(sourceIp) }
}

function isField(field: unknown): boolean {
  return Array.isArray(field) && field.length === 2 && field.every((part) => typeof part === 'string')
}
