// What a mesh of many nodes and functions does for one event: as much as concerns it, however large the mesh is.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { readManifests } from '../api/read-manifests.ts'
import type { Resource } from '../api/resource.ts'
import type { ToEngine } from '../dataplane/engine-messages.ts'
import type { Instance, InstanceListener } from '../runtime/instance.ts'
import { newInstance } from '../runtime/instance.ts'
import type { InstanceSet } from '../runtime/instance-set.ts'
import { CertificateAuthority } from './certificate-authority.ts'
import { compileMesh } from './compile-mesh.ts'
import { Mesh } from './mesh.ts'
import type { MeshNode, NodeEvents } from './mesh-node.ts'

const NODES = 200
const FUNCTIONS = 500
const MI = 2 ** 20

/** A node that does at once what it is asked for, and counts it. */
class CountingNode implements MeshNode {
  readonly name: string
  readonly isGateway: boolean
  readonly runsInstances: boolean
  readonly zone: string
  readonly capacity = { cpuMillis: 16_000, memoryBytes: 65_536 * MI }
  readonly address
  readonly events: NodeEvents
  readonly live = new Map<Instance, InstanceListener>()
  told = 0
  orders = 0

  constructor(index: number, isGateway: boolean, events: NodeEvents) {
    this.name = `${isGateway ? 'g' : 'n'}${index}`
    this.isGateway = isGateway
    this.runsInstances = !isGateway
    this.zone = `z${index % 3}`
    this.address = { name: this.name, host: '127.0.0.1', port: 10_000 + index }
    this.events = events
  }

  engines = () => [`${this.name}-engine-0`]
  has = (engine: string) => engine === `${this.name}-engine-0`
  pids = () => [{ engine: `${this.name}-engine-0`, pid: 1 }]
  send(_engine: string, _message: ToEngine): void {
    this.told++
  }
  broadcast(_message: ToEngine): void {
    this.told++
  }
  query = async () => []
  openEgress = async () => {}
  closeEgress(): void {}
  egressUrl = () => null
  drainStep = async () => {}
  close = async () => {}

  createSet(spec: InstanceSet['spec'], revision: string, listener: InstanceListener): InstanceSet {
    const own = new Set<Instance>()
    return {
      spec,
      revision,
      instances: () => [...own],
      setDesired: (count) => {
        this.orders++
        while (own.size < count) {
          const instance = newInstance(spec, revision, () => false)
          own.add(instance)
          this.live.set(instance, listener)
          listener.starting?.(instance)
          instance.address = { host: '127.0.0.1', port: 20_000 }
          instance.state = 'ready'
          listener.ready(instance)
        }
        for (const instance of [...own].slice(count)) {
          own.delete(instance)
          this.live.delete(instance)
          listener.gone(instance, 'it was stopped')
        }
      },
      failure: () => null,
      drain: async () => {},
    }
  }

  /** All that it runs is gone with it. */
  lose(): void {
    for (const [instance, listener] of this.live) listener.gone(instance, 'its node is lost')
  }
}

function compiled() {
  const manifests = Array.from({ length: FUNCTIONS }, (_, i) =>
    JSON.stringify({
      apiVersion: 'serving.knative.dev/v1',
      kind: 'Service',
      metadata: { name: `fn-${i}`, namespace: 'test' },
      spec: {
        template: {
          spec: { containers: [{ image: 'file:./fn.ts', resources: { requests: { cpu: '100m' } } }] },
        },
      },
    }),
  )
  const read = readManifests([{ path: 'all.yaml', text: manifests.join('\n---\n') }])
  assert.ok(read.ok)
  const compilation = compileMesh(read.resources as Resource[])
  assert.ok(compilation.ok)
  return compilation.mesh
}

/** How long something took, where figures are asked for (MAYFLY_FIGURES=1). */
function figure(what: string, from: number): void {
  if (process.env.MAYFLY_FIGURES) console.error(`${what}: ${(performance.now() - from).toFixed(2)} ms`)
}

test('each event of a large mesh costs what it concerns', async () => {
  const authority = await CertificateAuthority.open({ folder: null })
  const mesh = new Mesh(compiled(), {
    gateway: { host: '127.0.0.1', port: 0 },
    nodes: [],
    authority,
    notice: () => {},
  })
  const join = (index: number, isGateway = false) =>
    mesh.attach([(events) => new CountingNode(index, isGateway, events)])[0] as CountingNode
  let from = performance.now()
  const nodes = Array.from({ length: NODES }, (_, i) => join(i))
  const gateway = join(0, true)
  figure(`${NODES} nodes join`, from)
  const told = () => nodes.reduce((sum, node) => sum + node.told, gateway.told)
  const orders = () => nodes.reduce((sum, node) => sum + node.orders, 0)

  from = performance.now()
  const [engine] = gateway.engines()
  for (let i = 0; i < FUNCTIONS; i++) {
    const key = `test/fn-${i}`
    gateway.events.message(engine!, { type: 'function-wanted', key, host: null })
    gateway.events.message(engine!, {
      type: 'demand',
      reports: [{ key, waiting: 1, inFlight: 0, begun: 1 }],
    })
  }
  await settled()
  figure(`${FUNCTIONS} cold starts over ${NODES} nodes`, from)
  assert.equal(orders(), FUNCTIONS, 'one order for each cold start')
  const counts = nodes.map((node) => node.live.size)
  assert.equal(
    counts.reduce((sum, count) => sum + count, 0),
    FUNCTIONS,
  )
  assert.ok(Math.max(...counts) <= 16_000 / 100)

  // Nobody that runs or calls something already hears of a node that joins.
  const before = [told(), orders()]
  from = performance.now()
  const late = join(NODES)
  await settled()
  figure('one more node joins', from)
  assert.deepEqual([told(), orders()], before)

  // A node is lost: what it ran is started elsewhere, and whoever calls that is told.
  const lost = nodes.find((node) => node.live.size > 1)!
  const moved = lost.live.size
  const started = late.orders + orders() - lost.orders
  const toldBefore = gateway.told
  from = performance.now()
  mesh.detach(lost, 'ended')
  lost.lose()
  await settled()
  figure(`a node with ${moved} instances is lost`, from)
  assert.equal(late.orders + orders() - lost.orders - started, moved)
  assert.ok(gateway.told - toldBefore <= 3 * moved, `${gateway.told - toldBefore} for ${moved}`)
  mesh.leave()
})

async function settled(): Promise<void> {
  for (let i = 0; i < 20; i++) await Promise.resolve()
}
