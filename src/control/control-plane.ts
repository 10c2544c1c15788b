import { randomUUID } from 'node:crypto'
import { type ApiServer, startApiServer } from './api/api-server.ts'
import { clientPrincipal, controlPlanePrincipal } from './api/asker.ts'
import { type ControlIdentity, newIdentity } from './api/control-identity.ts'
import { JoinTokens } from './api/join-tokens.ts'
import { clusterLogs } from './api/logs.ts'
import { meshService } from './api/mesh-service.ts'
import { NODES, nodeService } from './api/node-service.ts'
import type { CertificateAuthority } from './certificate-authority.ts'
import type { CompiledMesh } from './compile-mesh.ts'
import { Mesh } from './mesh.ts'
import { NodeRegistry } from './nodes/node-registry.ts'
import { MeshService } from './proto/mayfly/v1/mesh_pb.js'
import { NodeService } from './proto/mayfly/v1/nodes_pb.js'
import type { QuotaSource } from './quota-hub.ts'
import { ResourceStore } from './resources/resource-store.ts'
import type { Store } from './store/store.ts'

export interface ControlPlaneOptions {
  store: Store
  authority: CertificateAuthority
  listen: { host: string; port: number }
  /** DNS names and IP addresses under which clients and nodes reach it. */
  names: readonly string[]
  overrides: Partial<CompiledMesh['config']>
  quota?: QuotaSource
  version: string
  /** What the mesh is doing, for the API (MeshService.Status); undefined: there is no such thing. */
  status(parts: { mesh: Mesh; registry: NodeRegistry }, what: string, name: string): Promise<unknown>
  notice(text: string): void
}

/** How long before its own certificate ends the server has a new one, as a part of its life. */
const RENEW_PART = 0.5

/** A control plane: all resources, durable; the mesh that they make up, over nodes of other processes; the API to both. */
export class ControlPlane {
  readonly mesh: Mesh
  readonly registry: NodeRegistry
  readonly instance = randomUUID()
  readonly #options: ControlPlaneOptions
  readonly #resources: ResourceStore
  readonly #server: ApiServer
  readonly #renewal: NodeJS.Timeout

  /** Starts it. Rejects with a StoreError where the store cannot be read, or with what the system says of the address. */
  static async start(options: ControlPlaneOptions): Promise<ControlPlane> {
    const { store, authority, overrides, notice, quota } = options
    let mesh: Mesh | null = null
    const resources = await ResourceStore.open(store, {
      overrides,
      changed: (compiled) => mesh?.apply(compiled),
    })
    mesh = new Mesh(resources.mesh, {
      gateway: { host: '', port: 0 },
      nodes: [],
      authority,
      notice,
      ...(quota && { quota }),
    })
    await mesh.start()
    const { entries } = await store.list(NODES)
    const registry = new NodeRegistry(
      mesh,
      notice,
      entries.map(({ key }) => key.slice(NODES.length)),
    )
    const tokens = new JoinTokens(store, authority.root)
    const plane: { started: ControlPlane | null } = { started: null }
    const instance = () => plane.started?.instance ?? ''
    const { trustDomain } = resources.mesh.config
    const server = await startApiServer({
      ...options.listen,
      identity: await ownIdentity(options, trustDomain),
      roots: authority.root,
      trustDomain,
      problem: () => null,
      routes: (router) => {
        router.service(
          MeshService,
          meshService({
            store,
            resources,
            tokens,
            status: (what, name) => options.status({ mesh, registry }, what, name),
            logs: (fn, follow, tail, signal) => clusterLogs(registry, fn, follow, tail, signal),
            setSchedulable: async (node, schedulable) => mesh.setSchedulable(node, schedulable),
            version: options.version,
            get instance() {
              return instance()
            },
            isLeader: () => true,
          }),
        )
        router.service(
          NodeService,
          nodeService({ store, tokens, authority, trustDomain, registry, isLeader: () => true }),
        )
      },
    })
    plane.started = new ControlPlane(options, mesh, registry, resources, server, trustDomain)
    return plane.started
  }

  private constructor(
    options: ControlPlaneOptions,
    mesh: Mesh,
    registry: NodeRegistry,
    resources: ResourceStore,
    server: ApiServer,
    trustDomain: string,
  ) {
    this.#options = options
    this.mesh = mesh
    this.registry = registry
    this.#resources = resources
    this.#server = server
    const renew = async () => server.renew(await ownIdentity(options, trustDomain))
    this.#renewal = setInterval(
      () => renew().catch((error) => options.notice(`its own certificate was not renewed: ${error.message}`)),
      options.authority.svidLifetimeMs * RENEW_PART,
    )
    this.#renewal.unref()
  }

  get port(): number {
    return this.#server.port
  }

  get resources(): ResourceStore {
    return this.#resources
  }

  /** What a client by that name proves itself by. */
  clientIdentity(name: string): Promise<ControlIdentity> {
    const { authority } = this.#options
    return newIdentity(authority, clientPrincipal(this.mesh.compiled.config.trustDomain, name))
  }

  /** Ends the control plane alone: nodes, their engines and their instances go on. */
  async close(): Promise<void> {
    clearInterval(this.#renewal)
    this.registry.close()
    await this.#server.close()
    this.mesh.leave()
    await this.#options.store.close()
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
