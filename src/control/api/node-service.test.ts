// A node in wrong hands: what it may see and say, over real connections to a whole control plane.

import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, afterEach, before, describe, test } from 'node:test'
import { create, type MessageInitShape } from '@bufbuild/protobuf'
import { type Client, Code, ConnectError, createClient } from '@connectrpc/connect'
import { createConnectTransport } from '@connectrpc/connect-node'
import { CertificateAuthority } from '../certificate-authority.ts'
import { ControlPlane } from '../control-plane.ts'
import { soleLeadership } from '../leadership.ts'
import type { Mesh } from '../mesh.ts'
import { MessageQueue } from '../nodes/message-queue.ts'
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
import { checkControlPlane, controlPlanePrincipal, nodePrincipal } from './asker.ts'
import { type ControlIdentity, newIdentity, newRequest } from './control-identity.ts'

const folder = mkdtempSync(join(tmpdir(), 'mayfly-nodes-'))
const DOMAIN = 'cluster.local'
let authority: CertificateAuthority
let store: Store
let plane: ControlPlane
let admin: Client<typeof MeshService>
let parts: { mesh: Mesh; registry: NodeRegistry }
const notices: string[] = []
const open: TestNode[] = []

before(async () => {
  authority = await CertificateAuthority.open()
  store = await openSqliteStore(join(folder, 'a.sqlite'))
  plane = await ControlPlane.start({
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
    notice: (text) => notices.push(text),
  })
  admin = createClient(MeshService, transport(await plane.clientIdentity('admin')))
  await admin.status({ what: 'nodes' })
  await admin.apply({
    files: [{ path: '/a.yaml', text: [manifest('pay'), manifest('cart')].join('\n---\n') }],
  })
})

afterEach(() => {
  for (const node of open.splice(0)) node.end()
})

after(async () => {
  await plane.close()
  await store.close()
  rmSync(folder, { recursive: true, force: true })
})

const manifest = (name: string) =>
  JSON.stringify({
    apiVersion: 'serving.knative.dev/v1',
    kind: 'Service',
    metadata: { name, namespace: 'shop' },
    spec: { template: { spec: { containers: [{ image: `file:./${name}.ts` }] } } },
  })

function transport(identity: ControlIdentity | null, check = checkControlPlane) {
  return createConnectTransport({
    baseUrl: `https://127.0.0.1:${plane.port}`,
    httpVersion: '2',
    nodeOptions: {
      ca: authority.root,
      checkServerIdentity: check,
      ...(identity && { cert: identity.certificate, key: identity.key }),
    },
  })
}

async function joinAs(name: string, role = 'node'): Promise<ControlIdentity> {
  const { token } = await admin.createJoinToken({ role })
  const { key, request } = await newRequest()
  const joined = await createClient(NodeService, transport(null)).join({
    token,
    name,
    certificateRequest: request,
  })
  return { certificate: joined.certificates, key }
}

type Said = NonNullable<MessageInitShape<typeof FromNodeSchema>['what']>

/** A node that says whatever the test has it say. */
class TestNode {
  readonly name: string
  readonly orders: ToNode[] = []
  /** What its stream ended with. */
  readonly ended: Promise<ConnectError | null>
  readonly #said = new MessageQueue<FromNode>(10_000)
  readonly #abort = new AbortController()
  readonly #waiting = new Set<() => void>()

  constructor(name: string, identity: ControlIdentity) {
    this.name = name
    const orders = createClient(NodeService, transport(identity)).attach(this.#said, {
      signal: this.#abort.signal,
    })
    this.ended = this.#read(orders)
    open.push(this)
  }

  say(...all: Said[]): void {
    for (const what of all)
      this.#said.push(create(FromNodeSchema, { what } as MessageInitShape<typeof FromNodeSchema>))
  }

  hello(more: MessageInitShape<typeof FromNodeSchema> extends never ? never : Partial<Hello> = {}): void {
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

  /** Resolves when the control plane has taken in all that was said before. */
  async heard(): Promise<void> {
    // It answers no message of a node by itself, but each engine's wish for a function that there is none of.
    const name = `probe-${Math.random()}`
    this.engineSays({ type: 'function-wanted', key: name, host: null })
    await this.order(({ what }) => what.case === 'tellEngine' && what.value.message.includes(name))
  }

  end(): void {
    this.#abort.abort()
  }

  async #read(orders: AsyncIterable<ToNode>): Promise<ConnectError | null> {
    try {
      for await (const order of orders) {
        this.orders.push(order)
        for (const look of this.#waiting) look()
      }
      return null
    } catch (error) {
      return ConnectError.from(error)
    }
  }
}

let serial = 0
async function attached(role: 'node' | 'gateway' = 'node'): Promise<TestNode> {
  const name = `n${++serial}`
  const node = new TestNode(name, await joinAs(name, role))
  node.hello(role === 'gateway' ? { gateway: true, runsInstances: false, host: '', port: 0 } : {})
  await node.order(({ what }) => what.case === 'syncEnd')
  return node
}

const refused = (node: TestNode) => parts.registry.node(node.name)!.refused
const ready = (key: string) =>
  parts.mesh
    .controller(key)
    ?.instances()
    .flatMap(({ id, state }) => (state === 'ready' ? [id] : [])) ?? []
/** A function is asked for, so that a node is told to start an instance. */
async function orderedTo(nodes: TestNode[], key: string): Promise<{ node: TestNode; set: string }> {
  const gateway = await attached('gateway')
  gateway.engineSays({ type: 'function-wanted', key, host: null })
  gateway.engineSays({ type: 'demand', reports: [{ key, waiting: 1, inFlight: 0, begun: 1 }] })
  return Promise.race(
    nodes.map(async (node) => {
      const { what } = await node.order(
        (order) =>
          order.what.case === 'setDesired' &&
          order.what.value.count > 0 &&
          order.what.value.set.startsWith(`${key}@`),
      )
      return { node, set: (what.value as { set: string }).set }
    }),
  )
}

describe('who may attach', () => {
  test('is the node that joined, by the key that it joined with', async () => {
    const first = await joinAs('solo')
    const second = await joinAs('solo')
    const displaced = await new TestNode('solo', first).ended
    assert.equal(displaced?.code, Code.PermissionDenied)
    assert.match(displaced!.message, /not one of the mesh: join with a new token/)
    // Certified by the same authority, but for no key that has joined.
    const forged = await newIdentity(authority, nodePrincipal(DOMAIN, 'solo'))
    assert.equal((await new TestNode('solo', forged).ended)?.code, Code.PermissionDenied)
    const stranger = await newIdentity(authority, nodePrincipal(DOMAIN, 'never-joined'))
    assert.equal((await new TestNode('never-joined', stranger).ended)?.code, Code.PermissionDenied)
    const workload = await newIdentity(authority, `${DOMAIN}/ns/shop/sa/pay`)
    assert.equal((await new TestNode('x', workload).ended)?.code, Code.Unauthenticated)
    const node = new TestNode('solo', second)
    node.hello()
    await node.order(({ what }) => what.case === 'syncEnd')
    // Its name is nobody else's while it is at work, and a token that was tried with it is not used up.
    const { token } = await admin.createJoinToken({ role: 'node' })
    const { request } = await newRequest()
    const joining = createClient(NodeService, transport(null))
    await assert.rejects(
      joining.join({ token, name: 'solo', certificateRequest: request }),
      (error: ConnectError) => error.code === Code.AlreadyExists,
    )
    await joining.join({ token, name: 'other', certificateRequest: request })
  })

  test('renews its key: the new one is good, and the one before it until then', async () => {
    const own = await joinAs('renewed')
    const asked = await newRequest()
    const renew = (identity: ControlIdentity, request: Uint8Array) =>
      createClient(NodeService, transport(identity)).renew({ certificateRequest: request })
    const renewed = await renew(own, asked.request)
    // The answer may have been lost: the key before is good for another try.
    await renew(own, asked.request)
    const next = { certificate: renewed.certificates, key: asked.key }
    const again = await newRequest()
    await renew(next, again.request)
    assert.equal((await new TestNode('renewed', own).ended)?.code, Code.PermissionDenied)
  })

  test('ends when the node is deleted, at once', async () => {
    const node = await attached()
    await admin.deleteNode({ node: node.name })
    const ended = await node.ended
    assert.equal(ended?.code, Code.PermissionDenied)
    assert.match(ended!.message, /no part of the mesh any more: it was deleted/)
    await assert.rejects(admin.deleteNode({ node: node.name }), /no node/)
  })

  test('servers are known as the control plane, not by any certificate of its authority', async () => {
    const subject = (principal: string) => ({ subjectaltname: `URI:spiffe://${principal}` }) as never
    assert.equal(checkControlPlane('h', subject(controlPlanePrincipal(DOMAIN))), undefined)
    for (const other of [nodePrincipal(DOMAIN, 'n1'), `${DOMAIN}/mayfly/client/a`, `${DOMAIN}/ns/a/sa/b`, ''])
      assert.match(String(checkControlPlane('h', subject(other))), /no control plane of the mesh/)
  })
})

describe('what a node says of itself', () => {
  const cases: [string, Partial<Hello>, RegExp][] = [
    ['a gateway by the token of a node', { gateway: true }, /joined as a node/],
    ["another node's engine", { engines: [{ engine: 'n0-engine-0', pid: 1 }] as never }, /no engine of node/],
    ['an engine called otherwise', { engines: [{ engine: 'x', pid: 1 }] as never }, /no engine of node/],
    ['no host', { host: 'a b' }, /no host/],
    ['no port', { port: 70_000 }, /no port/],
    ['a zone that is none', { zone: 'a'.repeat(100) }, /zone/],
    ['a version that is none', { version: '\u001b[2J' }, /version/],
    ['more CPUs than there are', { cpus: Number.POSITIVE_INFINITY }, /CPUs/],
    ['memory below zero', { memoryBytes: -1 }, /CPUs or its memory/],
    ['an instance in no state', { instances: [{ id: 'a', state: 'odd' }] as never }, /no state/],
    ['an instance with an odd id', { instances: [{ id: '../a', state: 'ready' }] as never }, /no id/],
  ]
  for (const [what, more, problem] of cases) {
    test(`is refused where it is ${what}`, async () => {
      const name = `n${++serial}`
      const node = new TestNode(name, await joinAs(name))
      node.hello(more)
      const ended = await node.ended
      assert.equal(ended?.code, Code.InvalidArgument)
      assert.match(ended!.message, problem)
      assert.equal(parts.registry.node(name), undefined)
    })
  }

  test('comes first, and does not become something else later', async () => {
    const name = `n${++serial}`
    const early = new TestNode(name, await joinAs(name))
    early.say({ case: 'pong', value: { serial: 1 } } as Said)
    assert.match((await early.ended)!.message, /first message is pong, not hello/)
    const node = await attached()
    node.hello({ gateway: true })
    assert.match((await node.ended)!.message, /joined as a node/)
  })
})

describe('what a node says of others', () => {
  test('engines of another node are not its engines', async () => {
    const [mine, other] = [await attached(), await attached()]
    mine.say({ case: 'engineUp', value: { engine: `${other.name}-engine-0`, pid: 5 } } as Said)
    assert.match((await mine.ended)!.message, /no engine of node/)
    const third = await attached()
    third.say({ case: 'engineEnded', value: { engine: `${other.name}-engine-0`, how: 'x' } } as Said)
    third.engineSays({ type: 'function-wanted', key: 'shop/pay', host: null }, `${other.name}-engine-0`)
    await third.heard()
    assert.ok(parts.registry.node(other.name)!.has(`${other.name}-engine-0`))
    assert.ok(!third.orders.some(({ what }) => JSON.stringify(what.value).includes('shop/pay')))
  })

  test('instances that nobody asked it for are not served', async () => {
    const nodes = [await attached(), await attached()]
    const { node, set } = await orderedTo(nodes, 'shop/cart')
    const other = nodes.find((one) => one !== node)!
    // Of a set that the other node has, unasked; of one that there is not; of a function that there is not.
    other.instance(set, 'fake-1', 'ready')
    other.instance('shop/cart@cart-00009', 'fake-2', 'ready')
    other.instance('shop/none@none-00001', 'fake-3', 'ready')
    await other.heard()
    assert.deepEqual(ready('shop/cart'), [])
    node.instance(set, 'real-1', 'starting')
    node.instance(set, 'real-1', 'ready')
    node.instance(set, 'more-1', 'ready')
    await node.heard()
    assert.deepEqual(ready('shop/cart'), ['real-1'])
    assert.equal(refused(node), 1)
    // One that is not known may end.
    node.instance(set, 'more-1', 'stopping')
    await node.order(({ what }) => what.case === 'instanceDrained' && what.value.id === 'more-1')
    // An id that is another node's instance is not taken over.
    assert.equal(parts.mesh.hostOf('real-1'), node.name)
    other.instance(set, 'real-1', 'ready')
    await other.heard()
    assert.equal(parts.mesh.hostOf('real-1'), node.name)
  })

  test('instances that it brings along are not taken over, where it had none', async () => {
    const name = `n${++serial}`
    const node = new TestNode(name, await joinAs(name))
    const instance = {
      set: 'shop/pay@pay-00001',
      id: 'brought-1',
      state: 'ready',
      host: '127.0.0.1',
      port: 9,
      startedAt: 1,
      readyAfterMs: 1,
    }
    node.hello({ instances: [instance] as never, functions: ['shop/pay'] })
    await node.order(({ what }) => what.case === 'syncEnd')
    await node.heard()
    assert.ok(!ready('shop/pay').includes('brought-1'))
    assert.equal(refused(node), 1)
  })

  test('identities are given for what runs on it, and for nothing else', async () => {
    await admin.apply({ files: [{ path: '/c.yaml', text: manifest('own') }] })
    const nodes = [await attached(), await attached()]
    const { node, set } = await orderedTo(nodes, 'shop/own')
    const other = nodes.find((one) => one !== node)!
    const { principal } = parts.mesh.compiled.functions.get('shop/own')!.spec
    node.instance(set, 'own-1', 'starting')
    await node.heard()
    const answer = async (asking: TestNode, wanted: string) => {
      asking.engineSays({ type: 'identity-wanted', principal: wanted })
      const { what } = await asking.order(
        (order) => order.what.case === 'tellEngine' && isAbout(order.what.value.message, wanted),
      )
      return JSON.parse((what.value as { message: string }).message).upsert.length
    }
    const isAbout = (text: string, wanted: string) => {
      const { type, upsert, remove } = JSON.parse(text)
      return (
        type === 'identities' &&
        (remove.includes(wanted) || upsert.some((one: { principal: string }) => one.principal === wanted))
      )
    }
    // Where a function has its own address it calls from there.
    const isHome = other.orders.some(
      ({ what }) => what.case === 'openEgress' && what.value.function === 'shop/own',
    )
    assert.equal(await answer(node, principal), 1)
    assert.equal(await answer(other, principal), isHome ? 1 : 0)
    for (const none of [
      `${DOMAIN}/mayfly/node/n1`,
      `${DOMAIN}/mayfly/client/admin`,
      `${DOMAIN}/ns/shop/sa/none`,
    ])
      assert.equal(await answer(node, none), 0, none)
  })

  test('odd messages are refused and counted, and change nothing', async () => {
    const node = await attached()
    const odd = [
      { type: 'demand', reports: [{ key: 'shop/pay', waiting: 1e15, inFlight: 0, begun: 0 }] },
      { type: 'demand', reports: [{ key: 'shop/pay', waiting: -1, inFlight: 0, begun: 0 }] },
      { type: 'demand', reports: [{ key: 'shop/pay', waiting: '1', inFlight: 0, begun: 0 }] },
      { type: 'demand', reports: 'all' },
      { type: 'returned', key: 'shop/pay', endpoint: 'x', slots: 0.5 },
      {
        type: 'quota',
        request: { serial: 1, roundTripMs: 1, settlements: [], asks: [{ limit: 'x', key: 'y' }] },
      },
      { type: 'quota', request: null },
      { type: 'user-state', updates: [{ id: 'x' }] },
      { type: 'identity-wanted', principal: 'x'.repeat(5_000) },
      { type: 'listening', id: 'gateway', port: 1 },
      { type: 'nonsense' },
      ['demand'],
      null,
    ]
    for (const message of odd) node.engineSays(message as object)
    await node.heard()
    assert.equal(refused(node), odd.length)
  })

  test('demand counts for functions that the node knows', async () => {
    const node = await attached()
    node.engineSays({ type: 'demand', reports: [{ key: 'shop/idle', waiting: 5, inFlight: 0, begun: 5 }] })
    await admin.apply({ files: [{ path: '/b.yaml', text: manifest('idle') }] })
    node.engineSays({ type: 'demand', reports: [{ key: 'shop/idle', waiting: 5, inFlight: 0, begun: 5 }] })
    await node.heard()
    assert.equal(parts.mesh.controller('shop/idle')?.requests ?? 0, 0)
    // By their hosts functions are found by gateways alone.
    node.engineSays({ type: 'function-wanted', key: null, host: 'idle.shop.localhost' })
    await node.heard()
    assert.ok(
      !node.orders.some(({ what }) => what.case === 'tell' && what.value.message.includes('shop/idle')),
    )
  })

  test('what is no JSON ends the stream', async () => {
    const node = await attached()
    node.say({ case: 'engineSays', value: { engine: `${node.name}-engine-0`, message: '{' } } as Said)
    assert.notEqual((await node.ended)?.code, undefined)
  })
})
