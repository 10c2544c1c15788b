import assert from 'node:assert/strict'
import { beforeEach, mock, test } from 'node:test'
import fc from 'fast-check'
import type { FunctionSpec } from '../api/function-spec.ts'
import { type LiveInstance, newInstance } from '../runtime/instance.ts'
import type { InstanceSet } from '../runtime/instance-set.ts'
import type { MeshNode } from './mesh-node.ts'
import { NodeRooms } from './node-rooms.ts'
import { PlacedSet, placedName } from './placement.ts'

/** Instances on one node: they start when they are asked for, and are ready or gone when the test says so. */
class TestSet implements InstanceSet {
  readonly spec: FunctionSpec
  readonly revision = 'fn-00001'
  readonly live: LiveInstance[] = []
  readonly orders: number[] = []
  readonly #changed: () => void
  #drained: PromiseWithResolvers<void> | null = null

  constructor(spec: FunctionSpec, changed: () => void) {
    this.spec = spec
    this.#changed = changed
  }

  instances() {
    return this.live
  }

  /** As the runtime's sets do: those that are starting go first. */
  setDesired(count: number): void {
    this.orders.push(count)
    const up = this.live.filter(({ state }) => state === 'starting' || state === 'ready')
    for (let i = up.length; i < count; i++) this.bring('starting')
    const rank = ({ state }: LiveInstance) => (state === 'starting' ? 0 : 1)
    const order = up.toReversed().toSorted((a, b) => rank(a) - rank(b))
    for (const instance of order.slice(0, Math.max(0, up.length - count))) {
      if (instance.state === 'starting') this.end(instance)
      else instance.state = 'stopping'
    }
    this.#changed()
  }

  bring(state: 'starting' | 'ready'): void {
    const instance = newInstance(this.spec, this.revision, () => false)
    instance.state = state
    this.live.push(instance)
    this.#changed()
  }

  ready(most = Number.POSITIVE_INFINITY): void {
    for (const instance of this.live.filter(({ state }) => state === 'starting').slice(0, most))
      instance.state = 'ready'
    this.#changed()
  }

  end(instance: LiveInstance): void {
    this.live.splice(this.live.indexOf(instance), 1)
    if (this.live.length === 0) this.#drained?.resolve()
    this.#changed()
  }

  /** As the runtime's sets do, it starts another. */
  crash(instance: LiveInstance): void {
    this.end(instance)
    const up = this.live.filter(({ state }) => state !== 'stopping').length
    if (instance.state !== 'stopping' && up < (this.orders.at(-1) ?? 0)) this.bring('starting')
  }

  /** Those that are stopping end. */
  settle(): void {
    for (const instance of this.live.filter(({ state }) => state === 'stopping')) this.end(instance)
  }

  failure() {
    return null
  }

  drain(): Promise<void> {
    this.#drained ??= Promise.withResolvers()
    if (this.live.length === 0) this.#drained.resolve()
    return this.#drained.promise
  }
}

interface Written {
  zone?: string
  cpus?: number
  found?: number
}

const MI = 2 ** 20

class World {
  readonly rooms = new NodeRooms()
  readonly sets = new Map<string, TestSet>()
  readonly placed: PlacedSet
  readonly failures: string[] = []
  #nodes: MeshNode[] = []

  constructor(nodes: Record<string, Written>, cpuMillis = 0, external = false) {
    const requests = { cpuMillis, memoryBytes: null }
    const spec = { key: 'ns/fn', namespace: 'ns', resources: { requests, limits: requests } } as FunctionSpec
    this.#nodes = Object.entries(nodes).map(([name, written]) => node(name, written))
    this.rooms.update(this.#nodes)
    this.placed = new PlacedSet({
      spec,
      revision: 'fn-00001',
      rooms: this.rooms,
      external,
      first: 0,
      create: ({ name }, changed) => {
        const set = new TestSet(spec, changed)
        this.sets.set(name, set)
        return set
      },
      failed: (reason) => this.failures.push(reason),
    })
  }

  async wants(count: number): Promise<void> {
    this.placed.setDesired(count)
    await settled()
  }

  async come(name: string, written: Written = {}): Promise<void> {
    await this.#update([...this.#nodes, node(name, written)], name, written.found ?? 0)
  }

  async go(name: string): Promise<void> {
    await this.#update(this.#nodes.filter((one) => one.name !== name))
  }

  async close(name: string, draining: boolean, cordoned = true): Promise<void> {
    Object.assign(this.room(name), { cordoned, draining })
    this.placed.placesChanged()
    await settled()
  }

  async ready(): Promise<void> {
    for (const set of this.sets.values()) set.ready()
    await settled()
  }

  room(name: string) {
    return this.rooms.all.find((one) => one.name === name)!
  }

  /** Instances that are starting or ready, by node. */
  up(): Record<string, number> {
    return this.#count(({ state }) => state === 'starting' || state === 'ready')
  }

  all(): Record<string, number> {
    return this.#count(() => true)
  }

  #count(counts: (instance: LiveInstance) => boolean): Record<string, number> {
    const entries = Array.from(this.sets, ([name, { live }]) => [name, live.filter(counts).length] as const)
    return Object.fromEntries(entries.filter(([, count]) => count > 0))
  }

  async #update(nodes: MeshNode[], added = '', found = 0): Promise<void> {
    this.#nodes = nodes
    const change = this.rooms.update(nodes)
    const room = this.rooms.all.find(({ name }) => name === added)
    const sets = new Map(
      room && found > 0 ? [[placedName('ns/fn', 'fn-00001'), new Map([[room, found]])]] : [],
    )
    this.placed.nodesChanged(change.removed, sets)
    for (const one of change.removed) this.sets.delete(one.name)
    this.rooms.freed('all')
    // It tells of them before anything else happens.
    for (let i = 0; i < found; i++) this.sets.get(added)!.bring('ready')
    await settled()
  }
}

function node(name: string, { zone = '', cpus }: Written): MeshNode {
  const capacity = cpus === undefined ? null : { cpuMillis: cpus * 1000, memoryBytes: 1000 * MI }
  return { name, zone, capacity } as MeshNode
}

async function settled(): Promise<void> {
  for (let i = 0; i < 10; i++) await Promise.resolve()
}

beforeEach(() => {
  mock.timers.reset()
  mock.timers.enable({ apis: ['setTimeout', 'Date'], now: 1_000_000 })
})

test('instances are spread over nodes and zones, and as many as are too many go from where there are most', async () => {
  const world = new World({ a: { zone: 'x' }, b: { zone: 'x' }, c: { zone: 'y' } })
  await world.wants(1)
  assert.deepEqual(world.up(), { a: 1 })
  await world.wants(4)
  assert.deepEqual(world.up(), { a: 1, b: 1, c: 2 })
  await world.ready()
  await world.wants(3)
  assert.equal(world.up().c! + world.up().b! + world.up().a!, 3)
  assert.ok(world.up().c! >= 1)
})

test('nodes without a part in it hear nothing of it', async () => {
  const world = new World({ a: {}, b: {}, c: {} })
  await world.wants(1)
  await world.wants(0)
  assert.deepEqual([...world.sets.keys()], ['a'])
})

test('what a lost node ran is started on others; what stays is not moved', async () => {
  const world = new World({ a: {}, b: {}, c: {} })
  await world.wants(3)
  await world.ready()
  const kept = [...world.sets.get('a')!.live]
  await world.go('b')
  assert.equal(world.up().a! + world.up().c!, 3)
  for (const instance of kept) assert.ok(world.sets.get('a')!.live.includes(instance))
})

test('a node that is lost and comes back with what it had leaves no doubles: ready ones stay, what is starting in their place goes', async () => {
  const world = new World({ a: {}, b: {} })
  await world.wants(1)
  await world.ready()
  await world.go('a')
  assert.deepEqual(world.up(), { b: 1 })
  await world.come('a', { found: 1 })
  assert.deepEqual(world.up(), { a: 1 })
  assert.deepEqual(world.sets.get('a')!.orders, [1])
})

test('a node that comes back when others are ready in its place ends what it had', async () => {
  const world = new World({ a: {}, b: {} })
  await world.wants(1)
  await world.ready()
  await world.go('a')
  await world.ready()
  await world.come('a', { found: 1 })
  const up = world.up()
  assert.equal((up.a ?? 0) + (up.b ?? 0), 1)
})

test('a cordoned node keeps what it has and gets nothing more, not even in place of what ends there', async () => {
  const world = new World({ a: {}, b: {} })
  await world.wants(2)
  await world.ready()
  await world.close('a', false)
  assert.deepEqual(world.up(), { a: 1, b: 1 })
  await world.wants(4)
  assert.deepEqual(world.up(), { a: 1, b: 3 })
  world.sets.get('a')!.crash(world.sets.get('a')!.live[0]!)
  await settled()
  assert.deepEqual(world.up(), { b: 4 })
  assert.equal(world.sets.get('a')!.orders.at(-1), 0)
})

test('where there are too many, those on cordoned nodes go first', async () => {
  const world = new World({ a: {}, b: {} })
  await world.wants(4)
  await world.ready()
  await world.close('a', false)
  await world.wants(2)
  assert.deepEqual(world.up(), { b: 2 })
})

test('a node is drained once others are ready, one for one', async () => {
  const world = new World({ a: {}, b: {} })
  await world.wants(2)
  await world.wants(4)
  await world.ready()
  await world.close('a', true)
  assert.deepEqual(world.up(), { a: 2, b: 4 })
  world.sets.get('b')!.ready(1)
  await settled()
  assert.deepEqual(world.up(), { a: 1, b: 4 })
  world.sets.get('b')!.ready(1)
  await settled()
  assert.deepEqual(world.up(), { b: 4 })
})

test('a drained node keeps what has no room elsewhere, and says why; it goes when there is room', async () => {
  const world = new World({ a: { cpus: 1 }, b: { cpus: 1 } }, 500)
  await world.wants(3)
  await world.ready()
  await world.close('a', true)
  await world.ready()
  assert.deepEqual(world.up(), { a: 1, b: 2 })
  mock.timers.tick(1_000)
  assert.match(world.placed.failure()!.reason, /no node has room/)
  await world.come('c', { cpus: 1 })
  await world.ready()
  assert.deepEqual(world.up(), { b: 2, c: 1 })
  assert.equal(world.placed.failure(), null)
})

test('a drained node that is opened again may keep what it has', async () => {
  const world = new World({ a: {}, b: {} })
  await world.wants(2)
  await world.ready()
  await world.close('a', true)
  await world.close('a', false, false)
  assert.deepEqual(world.up(), { a: 1, b: 1 })
})

test('what has no room waits, says so after a moment, and starts as soon as there is some', async () => {
  const world = new World({ a: { cpus: 1 } }, 400)
  await world.wants(3)
  assert.deepEqual(world.up(), { a: 2 })
  assert.deepEqual([world.failures, world.placed.failure()], [[], null])
  mock.timers.tick(1_000)
  const reason = 'no node has room for an instance that asks for 400m CPU: of the only node 1 too full'
  assert.deepEqual(world.failures, [reason])
  assert.equal(world.placed.failure()!.reason, reason)
  await world.come('b', { cpus: 1 })
  assert.deepEqual(world.up(), { a: 2, b: 1 })
  assert.equal(world.placed.failure(), null)
})

test('room that another revision gives back is taken; what is stopping still has its own', async () => {
  const world = new World({ a: { cpus: 1 } }, 400)
  const other = new PlacedSet({
    spec: world.placed.spec,
    revision: 'fn-00002',
    rooms: world.rooms,
    external: false,
    first: 0,
    create: (_, changed) => {
      const set = new TestSet(world.placed.spec, changed)
      world.sets.set('other', set)
      return set
    },
    failed: () => {},
  })
  other.setDesired(2)
  await settled()
  await world.ready()
  await world.wants(1)
  assert.deepEqual(world.all(), { other: 2 })
  other.setDesired(1)
  await settled()
  assert.deepEqual(world.all(), { other: 2 })
  world.sets.get('other')!.settle()
  await settled()
  assert.deepEqual(world.all(), { a: 1, other: 1 })
  void other.drain()
  for (const instance of [...world.sets.get('other')!.live]) world.sets.get('other')!.end(instance)
  await world.wants(2)
  assert.deepEqual(world.all(), { a: 2 })
  assert.equal(world.room('a').taken.cpuMillis, 800)
})

test('what was ordered on a node takes its room until the set is drained, also if the node never tells of it', async () => {
  const world = new World({ a: { cpus: 1 } }, 400)
  await world.wants(2)
  const set = world.sets.get('a')!
  set.live.length = 0
  const drained = world.placed.drain()
  assert.equal(world.room('a').taken.cpuMillis, 800)
  await drained
  assert.equal(world.room('a').taken.cpuMillis, 0)
})

test('while nodes are drained and opened again, no fewer are ready than are wanted', async () => {
  const step = fc.oneof(
    fc.record({ kind: fc.constant('close' as const), node: fc.nat(3), draining: fc.boolean() }),
    fc.record({ kind: fc.constant('open' as const), node: fc.nat(3) }),
    fc.record({ kind: fc.constant('ready' as const), node: fc.nat(3), most: fc.nat(2) }),
    fc.record({ kind: fc.constant('settle' as const) }),
  )
  await fc.assert(
    fc.asyncProperty(
      fc.integer({ min: 1, max: 8 }),
      fc.array(step, { maxLength: 40 }),
      async (wanted, steps) => {
        const world = new World({ n0: { cpus: 2 }, n1: { cpus: 2 }, n2: { cpus: 1 }, n3: {} }, 500)
        await world.wants(wanted)
        await world.ready()
        for (const one of steps) {
          if (one.kind === 'close') await world.close(`n${one.node}`, one.draining)
          else if (one.kind === 'open') await world.close(`n${one.node}`, false, false)
          else if (one.kind === 'ready') world.sets.get(`n${one.node}`)?.ready(one.most)
          else for (const set of world.sets.values()) set.settle()
          await settled()
          const ready = [...world.sets.values()]
            .flatMap(({ live }) => live)
            .filter(({ state }) => state === 'ready')
          assert.ok(ready.length >= wanted, `${ready.length} of ${wanted}`)
        }
      },
    ),
  )
})

test('servers that others run are spoken for by one node, and by another when that is lost or drained', async () => {
  const world = new World({ a: {}, b: {} }, 400, true)
  await world.wants(3)
  assert.deepEqual(world.sets.get('a')!.orders, [1])
  assert.equal(world.sets.has('b'), false)
  await world.ready()
  await world.close('a', true)
  await world.ready()
  assert.deepEqual(world.sets.get('b')!.orders, [1])
  await world.go('b')
  await world.close('a', false, false)
  assert.equal(world.room('a').taken.cpuMillis, 0)
})

test('whatever happens, nodes are never over what they have, and all that is wanted runs where there is room', async () => {
  const step = fc.oneof(
    fc.record({ kind: fc.constant('wants' as const), count: fc.nat(12) }),
    fc.record({ kind: fc.constant('close' as const), node: fc.nat(3), draining: fc.boolean() }),
    fc.record({ kind: fc.constant('open' as const), node: fc.nat(3) }),
    fc.record({ kind: fc.constant('go' as const), node: fc.nat(3) }),
    fc.record({ kind: fc.constant('come' as const), node: fc.nat(3) }),
    fc.record({ kind: fc.constantFrom('ready' as const, 'settle' as const, 'crash' as const) }),
  )
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 40 }), async (steps) => {
      const cpus = [1, 2, 1, 3]
      const written = (i: number) => ({ cpus: cpus[i]!, zone: i < 2 ? 'x' : 'y' })
      const world = new World(Object.fromEntries(cpus.map((_, i) => [`n${i}`, written(i)])), 500)
      let wanted = 0
      const there = new Set([0, 1, 2, 3])
      const check = () => {
        for (const [name, count] of Object.entries(world.all()))
          assert.ok(count * 500 <= world.room(name).capacity!.cpuMillis, `${name} has ${count}`)
        for (const room of world.rooms.all) assert.ok(room.taken.cpuMillis <= room.capacity!.cpuMillis)
      }
      for (const one of steps) {
        if (one.kind === 'wants') {
          wanted = one.count
          await world.wants(wanted)
        } else if (one.kind === 'come') {
          if (!there.has(one.node)) await world.come(`n${one.node}`, written(one.node))
          there.add(one.node)
        } else if (one.kind === 'go') {
          if (there.delete(one.node)) await world.go(`n${one.node}`)
        } else if (one.kind === 'close' || one.kind === 'open') {
          const draining = one.kind === 'close' && one.draining
          if (there.has(one.node)) await world.close(`n${one.node}`, draining, one.kind === 'close')
        } else if (one.kind === 'ready') await world.ready()
        else if (one.kind === 'settle') for (const set of world.sets.values()) set.settle()
        else {
          const [set] = [...world.sets.values()].filter(({ live }) => live.length > 0)
          if (set) set.crash(set.live[0]!)
        }
        await settled()
        check()
      }
      // Calm: what stops has ended and what starts is ready.
      for (let i = 0; i < 6; i++) {
        for (const set of world.sets.values()) set.settle()
        await world.ready()
      }
      check()
      const running = Object.values(world.up()).reduce((sum, count) => sum + count, 0)
      const usable = world.rooms.all.filter(({ schedulable }) => schedulable)
      const hasRoom = usable.some(({ taken, capacity }) => taken.cpuMillis + 500 <= capacity!.cpuMillis)
      if (hasRoom) assert.ok(running >= wanted, `${running} of ${wanted}`)
      if (running > wanted) assert.fail(`${running} run, ${wanted} are wanted`)
    }),
    { numRuns: 200 },
  )
})
