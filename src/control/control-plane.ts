import { randomUUID } from 'node:crypto'
import { Code, ConnectError } from '@connectrpc/connect'
import { type ApiServer, startApiServer } from './api/api-server.ts'
import { clientPrincipal, controlPlanePrincipal } from './api/asker.ts'
import { ClientBook } from './api/client-book.ts'
import { type ControlIdentity, newIdentity } from './api/control-identity.ts'
import { JoinTokens } from './api/join-tokens.ts'
import { clusterLogs } from './api/logs.ts'
import { type MeshServiceParts, meshService } from './api/mesh-service.ts'
import { type NodeServiceParts, nodeService } from './api/node-service.ts'
import type { CertificateAuthority } from './certificate-authority.ts'
import type { CompiledMesh } from './compile-mesh.ts'
import { LeaderTerm } from './leader-term.ts'
import { type Leadership, standsBy } from './leadership.ts'
import type { Mesh } from './mesh.ts'
import type { MeshDifference } from './mesh-difference.ts'
import { NodeBook } from './nodes/node-book.ts'
import type { NodeRegistry } from './nodes/node-registry.ts'
import { MeshService } from './proto/mayfly/v1/mesh_pb.js'
import { NodeService } from './proto/mayfly/v1/nodes_pb.js'
import type { QuotaSource } from './quota-hub.ts'
import { ResourceStore } from './resources/resource-store.ts'
import type { Store } from './store/store.ts'

export interface ControlPlaneOptions {
  store: Store
  authority: CertificateAuthority
  leadership: Leadership
  listen: { host: string; port: number }
  /** DNS names and IP addresses under which clients and nodes reach it. */
  names: readonly string[]
  /** Where clients and nodes reach it: "https://HOST:PORT". */
  url(port: number): string
  overrides: Partial<CompiledMesh['config']>
  /** Made anew each time that this control plane begins to lead. */
  quota?(): QuotaSource
  /** Nodes forget functions for which they have had no use for so long, in milliseconds; absent: some minutes. */
  sliceIdleMs?: number
  version: string
  /** What the mesh is doing, for the API (MeshService.Status); undefined: there is no such thing. */
  status(
    parts: { mesh: Mesh; registry: NodeRegistry; nodes: NodeBook },
    what: string,
    name: string,
  ): Promise<unknown>
  /** What a request that is described comes to (MeshService.Explain); throws an Error that says what is wrong with the description. */
  explain(mesh: Mesh, request: unknown): Promise<unknown>
  notice(text: string): void
}

/** How long before its own certificate ends the server has a new one, as a part of its life. */
const RENEW_PART = 0.5

/**
 * A control plane: all resources, durable, and the API to them; and while it leads, the mesh that they make up, over nodes of other
 * processes. One that stands by answers what can be read, from what the leader has written.
 */
export class ControlPlane {
  readonly instance = randomUUID()
  readonly #options: ControlPlaneOptions
  readonly #resources: ResourceStore
  readonly #nodes: NodeBook
  readonly #tokens: JoinTokens
  readonly #trustDomain: string
  #server: ApiServer | null = null
  #renewal: NodeJS.Timeout | undefined
  /** null: it stands by. */
  #term: LeaderTerm | null = null

  /** Starts it. Rejects with a StoreError where the store cannot be read, or with what the system says of the address. */
  static async start(options: ControlPlaneOptions): Promise<ControlPlane> {
    const { store, overrides, notice } = options
    const started: { plane: ControlPlane | null } = { plane: null }
    const resources = await ResourceStore.open(store, {
      overrides,
      changed: (compiled, difference) => started.plane?.apply(compiled, difference),
      failed: (error) => notice(`what another control plane writes cannot be followed: ${error.message}`),
    })
    const plane = new ControlPlane(options, resources)
    started.plane = plane
    await plane.#start()
    return plane
  }

  private constructor(options: ControlPlaneOptions, resources: ResourceStore) {
    const { store, authority } = options
    this.#options = options
    this.#resources = resources
    this.#nodes = new NodeBook(store)
    this.#tokens = new JoinTokens(store, authority.root)
    this.#trustDomain = resources.mesh.config.trustDomain
  }

  get port(): number {
    return this.#server!.port
  }

  get resources(): ResourceStore {
    return this.#resources
  }

  get leads(): boolean {
    return this.#term !== null && this.#options.leadership.leads
  }

  /** What a client by that name proves itself by. */
  clientIdentity(name: string): Promise<ControlIdentity> {
    return newIdentity(this.#options.authority, clientPrincipal(this.#trustDomain, name))
  }

  /** Ends the control plane alone: nodes, their engines and their instances go on. The store stays open. */
  async close(): Promise<void> {
    clearInterval(this.#renewal)
    await this.#options.leadership.close()
    this.#endTerm()
    this.#resources.unfollow()
    await this.#server?.close()
  }

  async #start(): Promise<void> {
    const { authority, leadership, listen, notice, url } = this.#options
    if (!leadership.leads) await this.#resources.follow()
    const identity = () => ownIdentity(this.#options, this.#trustDomain)
    const server = await startApiServer({
      ...listen,
      identity: await identity(),
      roots: authority.root,
      trustDomain: this.#trustDomain,
      problem: () => leadership.problem,
      routes: (router) => {
        router.service(MeshService, meshService(this.#meshParts()))
        router.service(NodeService, nodeService(this.#nodeParts()))
      },
    })
    this.#server = server
    const renew = async () => server.renew(await identity())
    this.#renewal = setInterval(
      () => renew().catch((error) => notice(`its own certificate was not renewed: ${error.message}`)),
      authority.svidLifetimeMs * RENEW_PART,
    )
    this.#renewal.unref()
    await leadership.begin(url(server.port), {
      gained: () => this.#beginTerm(),
      lost: () => {
        if (this.#term) notice('this control plane leads no more, and stands by')
        this.#endTerm()
        void this.#resources.follow()
      },
    })
  }

  /** The resources compile to something else now. */
  private apply(compiled: CompiledMesh, difference: MeshDifference): void {
    this.#term?.mesh.apply(compiled, difference)
  }

  async #beginTerm(): Promise<void> {
    const { authority, notice, quota, sliceIdleMs } = this.#options
    this.#term = await LeaderTerm.begin({
      resources: this.#resources,
      authority,
      nodes: this.#nodes,
      notice,
      ...(quota && { quota: quota() }),
      ...(sliceIdleMs !== undefined && { sliceIdleMs }),
    })
  }

  #endTerm(): void {
    this.#term?.end()
    this.#term = null
  }

  /** Throws where it stands by. */
  #leading(): LeaderTerm {
    if (this.#term !== null && this.leads) return this.#term
    throw new ConnectError(standsBy(this.#options.leadership.leader), Code.Unavailable)
  }

  #meshParts(): MeshServiceParts {
    const { authority, explain, leadership, status, store, version } = this.#options
    const nodes = this.#nodes
    return {
      store,
      resources: this.#resources,
      tokens: this.#tokens,
      status: async (what, name) => {
        const { mesh, registry } = this.#leading()
        return status({ mesh, registry, nodes }, what, name)
      },
      explain: async (request) => explain(this.#leading().mesh, request),
      logs: (fn, follow, tail, signal) => clusterLogs(this.#leading().registry, fn, follow, tail, signal),
      clients: new ClientBook(store),
      authority,
      trustDomain: this.#trustDomain,
      nodes,
      scheduled: (node, schedulable, drain) => this.#term?.mesh.setSchedulable(node, schedulable, drain),
      nodeDeleted: (node) => this.#term?.registry.remove(node),
      version,
      instance: this.instance,
      isLeader: () => this.leads,
      leader: () => leadership.leader,
    }
  }

  #nodeParts(): NodeServiceParts {
    const { authority, leadership } = this.#options
    return {
      nodes: this.#nodes,
      tokens: this.#tokens,
      authority,
      trustDomain: this.#trustDomain,
      registry: () => (this.leads ? (this.#term?.registry ?? null) : null),
      leader: () => leadership.leader,
    }
  }
}

async function ownIdentity(
  { authority, names }: ControlPlaneOptions,
  trustDomain: string,
): Promise<ControlIdentity> {
  const { certificate, key } = await newIdentity(authority, controlPlanePrincipal(trustDomain), names)
  // With the root, so that who joins can compare it with what its token names.
  return { certificate: certificate + authority.root, key }
}
