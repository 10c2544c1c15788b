import type { EndpointSlice, EngineQuery, ToEngine } from '../dataplane/engine-messages.ts'
import type { ListenFailure } from './listener-plan.ts'
import type { MeshNode } from './mesh-node.ts'

/** All nodes of a mesh; the first takes requests from outside. Engines' names are unique among them. */
export class MeshNodes {
  readonly all: readonly MeshNode[]
  /** Instances' nodes, by the instances' ids. */
  readonly #hosts = new Map<string, MeshNode>()

  constructor(all: readonly MeshNode[]) {
    this.all = all
  }

  get gateway(): MeshNode {
    return this.all[0]!
  }

  /** Those that run instances. */
  get workers(): MeshNode[] {
    return this.all.filter(({ plan }) => plan.runtime !== null)
  }

  /**
   * Whether requests that come in at this node go to instances by way of nodes' own addresses. The only node with
   * instances serves its functions' calls itself.
   */
  forwards(node: MeshNode): boolean {
    return this.workers.length > 1 || !this.workers.includes(node)
  }

  nodeOf(engine: string): MeshNode | undefined {
    return this.all.find(({ fleet }) => fleet.has(engine))
  }

  /** The node where a function's own address is, and its first instance. */
  homeOf(key: string): MeshNode {
    const { workers } = this
    let hash = 0
    for (let i = 0; i < key.length; i++) hash = (Math.imul(hash, 31) + key.charCodeAt(i)) >>> 0
    return workers[hash % workers.length]!
  }

  place(instance: string, node: MeshNode): void {
    this.#hosts.set(instance, node)
  }

  hostOf(instance: string): MeshNode | undefined {
    return this.#hosts.get(instance)
  }

  remove(instance: string): void {
    this.#hosts.delete(instance)
  }

  /** Resolves once all engines accept messages and all nodes' addresses connections, or with what went wrong. */
  async start(): Promise<
    { kind: 'engines'; message: string } | { kind: 'address'; failure: ListenFailure } | null
  > {
    const problems = await Promise.all(this.all.map(({ fleet, plan }) => fleet.start(plan.engines)))
    const problem = problems.find((one) => one !== null)
    if (problem !== undefined) return { kind: 'engines', message: problem }
    if (this.all.length === 1) return null
    for (const node of this.all) {
      const failure = await node.openAddress()
      if (failure) return { kind: 'address', failure }
    }
    return null
  }

  engines(): string[] {
    return this.all.flatMap(({ fleet }) => fleet.engines())
  }

  pids(): { engine: string; pid: number | undefined }[] {
    return this.all.flatMap(({ fleet }) => fleet.pids())
  }

  send(engine: string, message: ToEngine): void {
    this.nodeOf(engine)?.fleet.send(engine, this.told(engine, message))
  }

  broadcast(message: ToEngine): void {
    for (const engine of this.engines()) this.send(engine, message)
  }

  async query(query: EngineQuery): Promise<{ engine: string; answer: unknown }[]> {
    return (await Promise.all(this.all.map(({ fleet }) => fleet.query(query)))).flat()
  }

  /** A request that came in at one node may need any other, so all take a step together. */
  async drain(timeoutMs: number): Promise<void> {
    const deadline = Date.now() + timeoutMs
    const fleets = this.all.map(({ fleet }) => fleet)
    await Promise.all(fleets.map((fleet) => fleet.drainStep('drain-gateway', deadline)))
    await Promise.all(fleets.map((fleet) => fleet.drainStep('drain', deadline)))
    for (const fleet of fleets) fleet.kill()
  }

  /** A message as this engine is to have it: with the nodes of instances to which it does not connect itself. */
  told(engine: string, message: ToEngine): ToEngine {
    if (message.type !== 'endpoints' || this.all.length === 1) return message
    const node = this.nodeOf(engine)
    if (!node || !this.forwards(node)) return message
    return { ...message, endpoints: message.endpoints.flatMap((endpoint) => this.#located(endpoint)) }
  }

  /** Nothing while the node's address is not open. */
  #located(endpoint: EndpointSlice): EndpointSlice[] {
    const address = this.hostOf(endpoint.id)?.address
    return address ? [{ ...endpoint, node: address }] : []
  }
}
