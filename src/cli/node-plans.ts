import type { CertificateAuthority } from '../control/certificate-authority.ts'
import type { SpawnEngine } from '../control/engine-fleet.ts'
import type { NodePlan } from '../control/local-node.ts'
import type { Runtime } from '../runtime/runtime.ts'

/** How a mesh on one machine is divided. */
export interface NodeOptions {
  /** 1: the gateway's engines serve the functions themselves; else it is a node of its own beside those of the functions. */
  nodes: number
  /** Where the certificate authority's keys are kept; null: in memory, for as long as the mesh runs. */
  authorityFolder: string | null
  /** How long a workload's certificate is valid; null: a day. */
  certificateLifetimeMs: number | null
}

/** All are processes of one machine. */
export const MOST_NODES = 16

export const ONE_NODE: NodeOptions = { nodes: 1, authorityFolder: null, certificateLifetimeMs: null }

/** Every node has so many engines. */
export function nodePlans(
  { nodes }: NodeOptions,
  engines: number,
  spawn: SpawnEngine,
  runtime: Runtime,
): NodePlan[] {
  const node = (name: string, gateway: boolean, runs: Runtime | null): NodePlan => {
    return { name, gateway, engines, spawn, runtime: runs, host: '127.0.0.1', port: 0 }
  }
  if (nodes === 1) return [node('node', true, runtime)]
  const workers = Array.from({ length: nodes - 1 }, (_, index) => node(`node-${index + 1}`, false, runtime))
  return [node('gateway', true, null), ...workers]
}

/** The authority of a mesh of several nodes; its library is loaded only there (23 MB). Throws where its folder cannot be used. */
export async function openAuthority(options: NodeOptions): Promise<CertificateAuthority | null> {
  if (options.nodes === 1) return null
  const { CertificateAuthority: Authority } = await import('../control/certificate-authority.ts')
  const { authorityFolder, certificateLifetimeMs } = options
  return Authority.open({
    folder: authorityFolder,
    ...(certificateLifetimeMs !== null && { svidLifetimeMs: certificateLifetimeMs }),
  })
}
