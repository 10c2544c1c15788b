import type { CertificateAuthority } from './certificate-authority.ts'
import { Mesh } from './mesh.ts'
import type { NodeBook } from './nodes/node-book.ts'
import { NodeRegistry } from './nodes/node-registry.ts'
import type { QuotaSource } from './quota-hub.ts'
import type { ResourceStore } from './resources/resource-store.ts'

/** What a control plane is only while it leads: the mesh over the nodes that are attached to it. */
export class LeaderTerm {
  readonly mesh: Mesh
  readonly registry: NodeRegistry

  static async begin(parts: {
    resources: ResourceStore
    authority: CertificateAuthority
    nodes: NodeBook
    quota?: QuotaSource
    sliceIdleMs?: number
    notice(text: string): void
  }): Promise<LeaderTerm> {
    const { resources, authority, nodes, quota, sliceIdleMs, notice } = parts
    await resources.lead()
    await authority.refresh()
    const mesh = new Mesh(resources.mesh, {
      gateway: { host: '', port: 0 },
      nodes: [],
      authority,
      notice,
      ...(quota && { quota }),
      ...(sliceIdleMs !== undefined && { sliceIdleMs }),
    })
    await mesh.start()
    const known = await nodes.list()
    for (const { name, schedulable, draining } of known)
      if (!schedulable) mesh.setSchedulable(name, false, draining)
    const names = known.map(({ name }) => name)
    return new LeaderTerm(mesh, new NodeRegistry(mesh, notice, names))
  }

  private constructor(mesh: Mesh, registry: NodeRegistry) {
    this.mesh = mesh
    this.registry = registry
  }

  /** Ceases to decide. Nodes, their engines and their instances go on, and look for the one that leads now. */
  end(): void {
    this.registry.close()
    this.mesh.leave()
  }
}
