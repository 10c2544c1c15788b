import type { ToEngine } from '../dataplane/engine-messages.ts'
import type { HostedSlice } from '../dataplane/node-messages.ts'
import type { Instance } from '../runtime/instance.ts'
import type { MeshNode } from './mesh-node.ts'

/** Which ready instances are on which node: its engines are told of all of them, since others may send requests for any. */
export class HostedBook {
  /** By function, then by instance. */
  readonly #instances = new Map<string, Map<string, { node: MeshNode; slice: HostedSlice }>>()

  add(node: MeshNode, { function: key, id, address }: Instance): void {
    const instances = this.#instances.get(key) ?? new Map()
    this.#instances.set(key, instances)
    instances.set(id, { node, slice: { id, host: address.host, port: address.port } })
    this.#tell(node, key)
  }

  remove({ function: key, id }: Instance): void {
    const instances = this.#instances.get(key)
    const hosted = instances?.get(id)
    if (!instances || !hosted) return
    instances.delete(id)
    if (instances.size === 0) this.#instances.delete(key)
    this.#tell(hosted.node, key)
  }

  /** The node is gone, and what it hosted with it. */
  removeNode(node: MeshNode): void {
    for (const [key, instances] of this.#instances) {
      for (const [id, hosted] of instances) if (hosted.node === node) instances.delete(id)
      if (instances.size === 0) this.#instances.delete(key)
    }
  }

  /** What a new engine of the node is told; also one that has forgotten a function. */
  messages(node: MeshNode): ToEngine[] {
    if (node.tellsHosted) return []
    return [...this.#instances.keys()]
      .map((key) => this.#message(node, key))
      .filter(({ instances }) => instances.length > 0)
  }

  #tell(node: MeshNode, key: string): void {
    if (!node.tellsHosted) node.broadcast(this.#message(node, key))
  }

  #message(node: MeshNode, key: string): Extract<ToEngine, { type: 'hosted' }> {
    const all = [...(this.#instances.get(key)?.values() ?? [])]
    const instances = all.filter((one) => one.node === node).map(({ slice }) => slice)
    return { type: 'hosted', key, instances }
  }
}
