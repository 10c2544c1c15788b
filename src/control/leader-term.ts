import type { CertificateAuthority } from './certificate-authority.ts'
import { Mesh } from './mesh.ts'
import { NodeRegistry } from './nodes/node-registry.ts'
import type { QuotaSource } from './quota-hub.ts'
import type { ResourceStore } from './resources/resource-store.ts'

/** What a control plane is only while it leads: the mesh over the nodes that are attached to it. */
export class LeaderTerm {
  readonly mesh: Mesh
  readonly registry: NodeRegistry
  readonly #ended = new AbortController()

  static async begin(parts: {
    resources: ResourceStore
    authority: CertificateAuthority
    quota?: QuotaSource
    notice(text: string): void
  }): Promise<LeaderTerm> {
    const { resources, authority, quota, notice } = parts
    await resources.lead()
    await authority.refresh()
    const mesh = new Mesh(resources.mesh, {
      gateway: { host: '', port: 0 },
      nodes: [],
      authority,
      notice,
      ...(quota && { quota }),
    })
    await mesh.start()
    return new LeaderTerm(mesh, new NodeRegistry(mesh, notice))
  }

  private constructor(mesh: Mesh, registry: NodeRegistry) {
    this.mesh = mesh
    this.registry = registry
  }

  /** Aborts when the term is over: nodes' streams end with it. */
  get signal(): AbortSignal {
    return this.#ended.signal
  }

  /** Ceases to decide. Nodes, their engines and their instances go on. */
  end(): void {
    this.#ended.abort()
    this.registry.close()
    this.mesh.leave()
  }
}
