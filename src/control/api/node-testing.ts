// Nodes that say whatever a test has them say, over real connections to a whole control plane.

import { join } from 'node:path'
import { create, type MessageInitShape } from '@bufbuild/protobuf'
import { type Client, ConnectError, createClient, type Transport } from '@connectrpc/connect'
import { createConnectTransport } from '@connectrpc/connect-node'
import { CertificateAuthority } from '../certificate-authority.ts'
import { ControlPlane } from '../control-plane.ts'
import { soleLeadership } from '../leadership.ts'
import type { Mesh } from '../mesh.ts'
import { MessageQueue } from '../nodes/message-queue.ts'
import { ordersOf } from '../nodes/node-message.ts'
import type { NodeRegistry } from '../nodes/node-registry.ts'
import { MeshService } from '../proto/mayfly/v1/mesh_pb.js'
import {
  type FromNode,
  FromNodeSchema,
  type Hello,
  NodeService,
  type ToNode,
} from '../proto/mayfly/v1/nodes_pb.js'
import { openSqliteStore } from '../store/sqlite-store.ts'
import type { Store } from '../store/store.ts'
import { checkControlPlane } from './asker.ts'
import { type ControlIdentity, newRequest } from './control-identity.ts'

export const DOMAIN = 'cluster.local'

/** A control plane in this process, with its store in a folder. */
export class TestPlane {
  readonly authority: CertificateAuthority
  readonly admin: Client<typeof MeshService>
  readonly #plane: ControlPlane
  readonly #store: Store
  readonly #parts: { mesh: Mesh; registry: NodeRegistry }
  readonly #open: TestNode[] = []
  #serial = 0

  static async start(folder: string): Promise<TestPlane> {
    const authority = await CertificateAuthority.open()
    const store = await openSqliteStore(join(folder, 'store.sqlite'))
    let parts: { mesh: Mesh; registry: NodeRegistry } | null = null
    const plane = await ControlPlane.start({
      store,
      authority,
      leadership: soleLeadership(),
      listen: { host: '127.0.0.1', port: 0 },
      names: ['127.0.0.1'],
      url: (port) => `https://127.0.0.1:${port}`,
      overrides: {},
      version: '1',
      status: async (those) => {
        parts = those
        return []
      },
      explain: async () => null,
      notice: () => {},
    })
    const identity = await plane.clientIdentity('admin')
    const admin = createClient(MeshService, transportTo(plane.port, authority.root, identity))
    await admin.status({ what: 'nodes' })
    return new TestPlane(authority, admin, plane, store, parts!)
  }

  private constructor(
    authority: CertificateAuthority,
    admin: Client<typeof MeshService>,
    plane: ControlPlane,
    store: Store,
    parts: { mesh: Mesh; registry: NodeRegistry },
  ) {
    this.authority = authority
    this.admin = admin
    this.#plane = plane
    this.#store = store
    this.#parts = parts
  }

  get mesh(): Mesh {
    return this.#parts.mesh
  }

  get registry(): NodeRegistry {
    return this.#parts.registry
  }

  transport(identity: ControlIdentity | null): Transport {
    return transportTo(this.#plane.port, this.authority.root, identity)
  }

  /** Brings a function into force. */
  async apply(...names: string[]): Promise<void> {
    await this.admin.apply({ files: names.map((name) => ({ path: `/${name}.yaml`, text: manifest(name) })) })
  }

  newName(): string {
    return `n${++this.#serial}`
  }

  /** Joins with a new token. */
  async join(name: string, role = 'node'): Promise<ControlIdentity> {
    const { token } = await this.admin.createJoinToken({ role })
    const { key, request } = await newRequest()
    const client = createClient(NodeService, this.transport(null))
    const { certificates } = await client.join({ token, name, certificateRequest: request })
    return { certificate: certificates, key }
  }

  /** Opens a node's stream; it ends with the test (endNodes). */
  attach(name: string, identity: ControlIdentity): TestNode {
    const node = new TestNode(name, this.transport(identity))
    this.#open.push(node)
    return node
  }

  /** A node that has joined and said hello. */
  async attached(role: 'node' | 'gateway' = 'node'): Promise<TestNode> {
    const name = this.newName()
    const node = this.attach(name, await this.join(name, role))
    node.hello(role === 'gateway' ? { gateway: true, runsInstances: false, host: '', port: 0 } : {})
    await node.order(({ what }) => what.case === 'syncEnd')
    return node
  }

  /** So many requests for a function come at once, each of which needs an instance. */
  async demand(key: string, waiting: number): Promise<void> {
    const gateway = await this.attached('gateway')
    gateway.engineSays({ type: 'function-wanted', key, host: null })
    gateway.engineSays({ type: 'demand', reports: [{ key, waiting, inFlight: 0, begun: waiting }] })
  }

  /** A function is asked for: gives the node that is told to start an instance, and the instance's set. */
  async orderedTo(nodes: TestNode[], key: string): Promise<{ node: TestNode; set: string }> {
    await this.demand(key, 1)
    return Promise.race(nodes.map(async (node) => ({ node, set: await node.asked(key) })))
  }

  /** What a node said that was not its to say. */
  refused(node: TestNode): number {
    return this.registry.node(node.name)!.refused
  }

  /** A function's ready instances. */
  ready(key: string): string[] {
    const instances = this.mesh.controller(key)?.instances() ?? []
    return instances.flatMap(({ id, state }) => (state === 'ready' ? [id] : []))
  }

  endNodes(): void {
    for (const node of this.#open.splice(0)) node.end()
  }

  async close(): Promise<void> {
    await this.#plane.close()
    await this.#store.close()
  }
}

export type Said = NonNullable<MessageInitShape<typeof FromNodeSchema>['what']>

/** A node that says whatever the test has it say. */
export class TestNode {
  readonly name: string
  readonly orders: ToNode[] = []
  /** As they came, each with one order or several. */
  readonly messages: ToNode[] = []
  /** What its stream ended with. */
  readonly ended: Promise<ConnectError | null>
  readonly #said = new MessageQueue<FromNode>(10_000)
  readonly #abort = new AbortController()
  readonly #waiting = new Set<() => void>()
  #probes = 0

  constructor(name: string, transport: Transport) {
    this.name = name
    const orders = createClient(NodeService, transport).attach(this.#said, {
      signal: this.#abort.signal,
    })
    this.ended = this.#read(orders)
  }

  say(...all: Said[]): void {
    for (const what of all)
      this.#said.push(create(FromNodeSchema, { what } as MessageInitShape<typeof FromNodeSchema>))
  }

  hello(more: Partial<Hello> = {}): void {
    const value = {
      ...{ version: '1', incarnation: this.name, runsInstances: true, cpus: 4, memoryBytes: 2 ** 33 },
      ...{ host: '127.0.0.1', port: 7_001, engines: [{ engine: `${this.name}-engine-0`, pid: 1 }] },
      ...more,
    }
    this.say({ case: 'hello', value } as Said)
  }

  engineSays(message: object, engine = `${this.name}-engine-0`): void {
    this.say({ case: 'engineSays', value: { engine, message: JSON.stringify(message) } } as Said)
  }

  instance(set: string, id: string, state: string): void {
    const value = {
      set,
      id,
      state,
      host: '127.0.0.1',
      port: state === 'starting' ? 0 : 9_001,
      startedAt: 1,
      readyAfterMs: 1,
    }
    this.say({ case: 'instanceState', value } as Said)
  }

  /** The first order that is so; also one that came already. */
  order(is: (order: ToNode) => boolean): Promise<ToNode> {
    return new Promise((resolve) => {
      const look = () => {
        const found = this.orders.find(is)
        if (!found) return
        this.#waiting.delete(look)
        resolve(found)
      }
      this.#waiting.add(look)
      look()
    })
  }

  /** Resolves with the set of which it is asked for an instance. */
  async asked(key: string): Promise<string> {
    const { what } = await this.order(
      (order) =>
        order.what.case === 'setDesired' &&
        order.what.value.count > 0 &&
        order.what.value.set.startsWith(`${key}@`),
    )
    return (what.value as { set: string }).set
  }

  /** Resolves when the control plane has taken in all that was said before. */
  async heard(): Promise<void> {
    // It answers no message of a node by itself, but each engine's wish for a function that there is none of.
    const name = `probe/${++this.#probes}.`
    this.engineSays({ type: 'function-wanted', key: name, host: null })
    await this.order(({ what }) => what.case === 'tellEngine' && what.value.message.includes(name))
  }

  end(): void {
    this.#abort.abort()
  }

  async #read(orders: AsyncIterable<ToNode>): Promise<ConnectError | null> {
    try {
      for await (const message of orders) {
        this.messages.push(message)
        this.orders.push(...ordersOf(message))
        for (const look of this.#waiting) look()
      }
      return null
    } catch (error) {
      return ConnectError.from(error)
    }
  }
}

function transportTo(port: number, roots: string, identity: ControlIdentity | null): Transport {
  return createConnectTransport({
    baseUrl: `https://127.0.0.1:${port}`,
    httpVersion: '2',
    nodeOptions: {
      ca: roots,
      checkServerIdentity: checkControlPlane,
      ...(identity && { cert: identity.certificate, key: identity.key }),
    },
  })
}

function manifest(name: string): string {
  return JSON.stringify({
    apiVersion: 'serving.knative.dev/v1',
    kind: 'Service',
    metadata: { name, namespace: 'shop' },
    spec: { template: { spec: { containerConcurrency: 1, containers: [{ image: `file:./${name}.ts` }] } } },
  })
}
