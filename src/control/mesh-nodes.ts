import type { EndpointSlice, EngineQuery, ToEngine } from '../dataplane/engine-messages.ts'
import type { MeshNode } from './mesh-node.ts'
import { NodeTenants } from './node-tenants.ts'

/** All nodes of a mesh. */
export class MeshNodes {
  readonly #all: MeshNode[] = []
  #workers: readonly MeshNode[] | null = null
  readonly #several: boolean
  /** Where an engine was found last. */
  readonly #byEngine = new Map<string, MeshNode>()
  /** Instances' nodes, by the instances' ids. */
  readonly #hosts = new Map<string, MeshNode>()
  readonly tenants = new NodeTenants()

  /** `several`: nodes may come that reach each other's instances by the nodes' own addresses. */
  constructor(several: boolean) {
    this.#several = several
  }

  /** Where nodes were when `takeMoved` was last asked. */
  readonly #addresses = new WeakMap<MeshNode, string>()
  #forwarded = false

  get all(): readonly MeshNode[] {
    return this.#all
  }

  add(node: MeshNode): void {
    this.#all.push(node)
    this.#workers = null
  }

  /** What it hosted is on no node any more. */
  remove(node: MeshNode): void {
    this.#all.splice(this.#all.indexOf(node), 1)
    this.#workers = null
    for (const [instance, host] of this.#hosts) if (host === node) this.#hosts.delete(instance)
    for (const [engine, at] of this.#byEngine) if (at === node) this.#byEngine.delete(engine)
  }

  /** Those that run instances. */
  get workers(): readonly MeshNode[] {
    this.#workers ??= this.#all.filter(({ runsInstances }) => runsInstances)
    return this.#workers
  }

  /**
   * Whether requests that come in at this node go to instances by way of nodes' own addresses. The only node with
   * instances serves its functions' calls itself.
   */
  forwards(node: MeshNode): boolean {
    return !node.runsInstances || this.workers.length > 1
  }

  /** Nodes that are reached otherwise than when this was last asked; 'all' where requests take another way altogether. */
  takeMoved(): ReadonlySet<MeshNode> | 'all' {
    const moved = new Set<MeshNode>()
    for (const node of this.#all) {
      const address = node.address ? `${node.address.host} ${node.address.port}` : ''
      if ((this.#addresses.get(node) ?? '') !== address) moved.add(node)
      this.#addresses.set(node, address)
    }
    const forwards = this.workers.length > 1
    if (forwards === this.#forwarded) return moved
    this.#forwarded = forwards
    return 'all'
  }

  nodeOf(engine: string): MeshNode | undefined {
    const known = this.#byEngine.get(engine)
    if (known?.has(engine)) return known
    const node = this.#all.find((one) => one.has(engine))
    if (node) this.#byEngine.set(engine, node)
    else this.#byEngine.delete(engine)
    return node
  }

  /** A number for a function, by which it is first looked for room at another node than most other functions. */
  hashOf(key: string): number {
    let hash = 0
    for (let i = 0; i < key.length; i++) hash = (Math.imul(hash, 31) + key.charCodeAt(i)) >>> 0
    return hash
  }

  /** The node where a function's own address is. */
  homeOf(key: string): MeshNode | undefined {
    const { workers } = this
    return workers[this.hashOf(key) % workers.length]
  }

  place(instance: string, node: MeshNode): void {
    this.#hosts.set(instance, node)
  }

  hostOf(instance: string): MeshNode | undefined {
    return this.#hosts.get(instance)
  }

  forget(instance: string): void {
    this.#hosts.delete(instance)
  }

  engines(): string[] {
    return this.#all.flatMap((node) => node.engines())
  }

  pids(): { engine: string; pid: number | undefined }[] {
    return this.#all.flatMap((node) => node.pids())
  }

  send(engine: string, message: ToEngine): void {
    const node = this.nodeOf(engine)
    node?.send(engine, this.#told(node, message))
  }

  /** To all engines the same; no message that depends on the engine's node. */
  broadcast(message: ToEngine): void {
    for (const node of this.#all) node.broadcast(message)
  }

  async query(query: EngineQuery): Promise<{ engine: string; answer: unknown }[]> {
    return (await Promise.all(this.#all.map((node) => node.query(query)))).flat()
  }

  /** A request that came in at one node may need any other, so all take a step together. */
  async drain(timeoutMs: number): Promise<void> {
    const deadline = Date.now() + timeoutMs
    await Promise.all(this.#all.map((node) => node.drainStep('drain-gateway', deadline)))
    await Promise.all(this.#all.map((node) => node.drainStep('drain', deadline)))
  }

  async close(): Promise<void> {
    await Promise.all(this.#all.map((node) => node.close()))
  }

  /** A message as this engine is to have it: with the nodes of instances to which it does not connect itself. */
  told(engine: string, message: ToEngine): ToEngine {
    const node = this.nodeOf(engine)
    return node ? this.#told(node, message) : message
  }

  #told(node: MeshNode, message: ToEngine): ToEngine {
    if (message.type !== 'endpoints' || !this.#several || !this.forwards(node)) return message
    return { ...message, endpoints: message.endpoints.flatMap((endpoint) => this.#located(endpoint, node)) }
  }

  /** As `from` reaches it; nothing while its node's address is not open. */
  #located(endpoint: EndpointSlice, from: MeshNode): EndpointSlice[] {
    const host = this.hostOf(endpoint.id)
    if (host === from) return [endpoint]
    const address = host?.address
    return address ? [{ ...endpoint, node: address }] : []
  }
}
