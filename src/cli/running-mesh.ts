import { createServer, type ListenOptions, type Server } from 'node:net'
import { availableParallelism } from 'node:os'
import type { MeshConfigSpec } from '../api/mesh-config.ts'
import type { CertificateAuthority } from '../control/certificate-authority.ts'
import type { CompiledMesh } from '../control/compile-mesh.ts'
import type { SpawnEngine } from '../control/engine-fleet.ts'
import type { ListenFailure } from '../control/listener-plan.ts'
import { ENGINES, Mesh } from '../control/mesh.ts'
import type { QuotaSource } from '../control/quota-hub.ts'
import type { Isolation } from '../runtime/isolation/isolation.ts'
import { createRuntime, type Runtime } from '../runtime/runtime.ts'
import { type NodeOptions, nodePlans, ONE_NODE, openAuthority } from './node-plans.ts'
import { type EngineKind, spawnEngine } from './spawn-engine.ts'

export interface Gateway {
  host: string
  port: number
}

export interface RunningMesh {
  mesh: Mesh
  runtime: Runtime
}

/** Two at least, so that the loss of one never leaves the port without anybody; one where the system cannot share a port. */
export function defaultEngines(): number {
  if (process.platform !== 'linux') return 1
  return Math.min(8, Math.max(2, Math.floor(availableParallelism() / 2)))
}

/** Starts a mesh in this process. A value tells why its gateway can't listen. */
export async function startMesh(
  compiled: CompiledMesh,
  gateway: Gateway,
  kind: EngineKind,
  notice: (text: string) => void,
  division: NodeOptions = ONE_NODE,
  quota?: QuotaSource,
  isolation: Isolation | null = null,
  spawn: SpawnEngine = spawnEngine(kind),
): Promise<{ ok: true; running: RunningMesh } | { ok: false; message: string }> {
  const taken = await addressProblem(gateway)
  if (taken !== null) return { ok: false, message: listenProblem(gateway, taken) }
  const authority = await authorityOf(division)
  if (!authority.ok) return authority
  const runtime = createRuntime({ keeperLost: notice, isolation })
  const engines = compiled.config.engines || defaultEngines()
  const nodes = nodePlans(division, engines, spawn, runtime)
  const mesh = new Mesh(compiled, {
    gateway,
    nodes,
    authority: authority.value,
    ...(quota && { quota }),
    notice,
  })
  const failure = await mesh.start()
  if (failure === null) return { ok: true, running: { mesh, runtime } }
  await mesh.stop()
  return { ok: false, message: listenProblem(gateway, failure) }
}

async function authorityOf(
  division: NodeOptions,
): Promise<{ ok: true; value: CertificateAuthority | null } | { ok: false; message: string }> {
  try {
    return { ok: true, value: await openAuthority(division) }
  } catch (error) {
    return { ok: false, message: `the certificate authority cannot be used: ${(error as Error).message}` }
  }
}

/**
 * Engines share their port, so another mesh of this user would share it with them unnoticed: an exclusive try tells. Of two
 * that try at once, the one with the address's lock goes on.
 */
async function addressProblem(gateway: Gateway): Promise<ListenFailure | null> {
  // Sockets of this kind have no file, and end with their process; only Linux has them, and engines that share ports.
  const lock = `\0mayfly-gateway-${process.getuid?.()}-${gateway.host}:${gateway.port}`
  if (gateway.port !== 0 && process.platform === 'linux') {
    const held = await tryListening(createServer().unref(), { path: lock })
    if (held !== null) return held
  }
  const server = createServer()
  const problem = await tryListening(server, { ...gateway, exclusive: true })
  if (problem === null) await new Promise((resolve) => server.close(resolve))
  return problem
}

function tryListening(server: Server, options: ListenOptions): Promise<ListenFailure | null> {
  return new Promise((resolve) => {
    server.once('error', (error: NodeJS.ErrnoException) =>
      resolve({ code: error.code ?? '', message: error.message }),
    )
    server.listen(options, () => resolve(null))
  })
}

export type ConfigOverrides = Partial<Pick<MeshConfigSpec, 'defaultAuthorization' | 'engines'>>

function listenProblem(gateway: Gateway, failure: ListenFailure): string {
  const address = `${gateway.host}:${gateway.port}`
  switch (failure.code) {
    case 'EADDRINUSE':
      return `${address} is in use by another program: stop it, or choose another address with --gateway (port 0: any free one)`
    case 'EACCES':
      return `${address} needs more rights than yours: choose a port from 1024 on with --gateway`
    case 'EADDRNOTAVAIL':
    case 'ENOTFOUND':
      return `${gateway.host} is no address of this machine: correct --gateway`
    case ENGINES:
      return `the engines do not start (${failure.message}): what they say stands above`
    default:
      return `cannot listen on ${address}: ${failure.message}`
  }
}
