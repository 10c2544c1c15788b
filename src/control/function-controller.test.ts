import assert from 'node:assert/strict'
import { beforeEach, mock, test } from 'node:test'
import { toFunctionSpec } from '../api/function-spec.ts'
import { defaultMeshConfig } from '../api/mesh-config.ts'
import { readManifests } from '../api/read-manifests.ts'
import type { Service } from '../api/service.ts'
import type { ToEngine } from '../dataplane/engine-messages.ts'
import type { Instance, InstanceListener, LiveInstance } from '../runtime/instance.ts'
import { FunctionController } from './function-controller.ts'

interface Written {
  concurrency?: number
  annotations?: Record<string, string>
  image?: string
}

function spec({ concurrency = 0, annotations = {}, image = 'file:./fn.ts' }: Written = {}) {
  const named = Object.entries(annotations).map(([name, value]) => [`autoscaling.knative.dev/${name}`, value])
  const text = JSON.stringify({
    apiVersion: 'serving.knative.dev/v1',
    kind: 'Service',
    metadata: { name: 'fn', namespace: 'ns' },
    spec: {
      template: {
        metadata: { annotations: Object.fromEntries(named) },
        spec: { containerConcurrency: concurrency, containers: [{ image }] },
      },
    },
  })
  const read = readManifests([{ path: 'fn.yaml', text }])
  if (!read.ok) assert.fail(JSON.stringify(read.errors))
  return toFunctionSpec(read.resources[0] as Service, defaultMeshConfig)
}

/** The instances of one revision, which start and end when the test says so. */
class TestSet {
  readonly revision: string
  readonly listener: InstanceListener
  readonly live: LiveInstance[] = []
  desired = 0
  drained = false
  failure: { reason: string; retryAt: number } | null = null
  #serial = 0
  #gone: (() => void)[] = []

  constructor(revision: string, listener: InstanceListener) {
    this.revision = revision
    this.listener = listener
  }

  start(): LiveInstance {
    const instance: LiveInstance = {
      id: `${this.revision}-${this.#serial++}`,
      function: 'ns/fn',
      revision: this.revision,
      address: { host: '127.0.0.1', port: 4000 },
      state: 'starting',
      pid: null,
      startedAt: 0,
      readyAfterMs: null,
    }
    this.live.push(instance)
    this.listener.starting?.(instance)
    return instance
  }

  ready(instance = this.start()): LiveInstance {
    instance.state = 'ready'
    this.listener.ready(instance)
    return instance
  }

  gone(instance: LiveInstance): void {
    instance.state = 'gone'
    this.live.splice(this.live.indexOf(instance), 1)
    this.listener.gone(instance, 'it was stopped')
    if (this.live.length === 0) for (const resolve of this.#gone) resolve()
  }

  drain(): Promise<void> {
    this.drained = true
    this.desired = 0
    return new Promise((resolve) => (this.live.length === 0 ? resolve() : this.#gone.push(resolve)))
  }
}

function world(written: Written = {}, engines = ['a'], adopted = 0) {
  const sets: TestSet[] = []
  const sent: { to: string; message: ToEngine }[] = []
  const first = spec(written)
  const controller = new FunctionController(
    first,
    engines,
    {
      createSet: (one, revision, listener) => {
        const set = new TestSet(revision, listener)
        sets.push(set)
        return {
          spec: one,
          revision,
          instances: (): Instance[] => set.live,
          setDesired: (count) => {
            set.desired = count
          },
          failure: () => set.failure,
          drain: () => set.drain(),
        }
      },
      send: (to, message) => sent.push({ to, message }),
      broadcast: (message) => sent.push({ to: 'all', message }),
      instanceStarting: () => {},
      notice: () => {},
    },
    adopted,
  )
  const demand = (engine: string, waiting: number, inFlight = 0) =>
    controller.demand(engine, { key: 'ns/fn', waiting, inFlight, begun: waiting }, Date.now())
  /** What the engine was last told of the function's instances. */
  const told = (engine: string) => {
    const last = sent.findLast(({ to, message }) => to === engine && message.type === 'endpoints')
    if (last?.message.type !== 'endpoints') return null
    return Object.fromEntries(last.message.endpoints.map(({ id, slots }) => [id, slots]))
  }
  return { controller, sets, sent, demand, told }
}

beforeEach(() => {
  mock.timers.reset()
  mock.timers.enable({ apis: ['setTimeout', 'Date'], now: 1_000_000_000 })
})

const desired = (sets: TestSet[]) => sets.map((set) => set.desired)

test('before the first request there are as many instances as the manifest asks for', () => {
  assert.deepEqual(desired(world().sets), [0])
  assert.deepEqual(desired(world({ annotations: { 'min-scale': '2' } }).sets), [2])
  assert.deepEqual(desired(world({ annotations: { 'initial-scale': '3' } }).sets), [3])
  assert.deepEqual(desired(world({ image: 'endpoint:127.0.0.1:9001' }).sets), [1])
})

test('a request that waits starts what it needs at once, within bounds', () => {
  const cases: [Written, number, number][] = [
    [{}, 50, 1],
    [{ concurrency: 10 }, 25, 3],
    [{ concurrency: 1, annotations: { 'max-scale': '4' } }, 25, 4],
    [{ annotations: { 'activation-scale': '2' } }, 1, 2],
  ]
  for (const [written, waiting, wanted] of cases) {
    const { sets, demand } = world(written)
    demand('a', waiting)
    assert.deepEqual(desired(sets), [wanted], JSON.stringify(written))
  }
})

test("a request of which only its engine's question is known starts an instance, and counts until it is reported or gone", () => {
  const { controller, sets, demand, told } = world({ concurrency: 1, annotations: { window: '6s' } }, [
    'a',
    'b',
  ])
  controller.expect('b', Date.now())
  assert.deepEqual(desired(sets), [1])
  const instance = sets[0]!.ready()
  assert.deepEqual(told('b'), { [instance.id]: 1 })
  assert.equal(controller.requests, 0)
  demand('b', 0, 1)
  mock.timers.tick(4_000)
  controller.scale(Date.now())
  demand('a', 1)
  mock.timers.tick(5)
  assert.deepEqual(desired(sets), [2], 'it is under way')

  const other = world({ annotations: { window: '6s' } })
  other.controller.expect('a', Date.now())
  for (let second = 2; second <= 12; second += 2) {
    mock.timers.tick(2_000)
    other.controller.scale(Date.now())
  }
  assert.deepEqual(desired(other.sets), [0], 'nobody waits any more')
})

test('more are started only when a slot has had the time to come over from another engine', () => {
  const { sets, demand } = world({ concurrency: 1 }, ['a', 'b'])
  demand('a', 1)
  sets[0]!.ready()
  demand('a', 0, 1)
  demand('b', 1)
  assert.deepEqual(desired(sets), [1])
  mock.timers.tick(5)
  assert.deepEqual(desired(sets), [2])

  const other = world({ concurrency: 1 }, ['a', 'b'])
  other.demand('a', 1)
  const only = other.sets[0]!.ready()
  other.demand('b', 1)
  other.demand('a', 0, 0)
  other.controller.returned('a', only.id, 0)
  other.demand('b', 0, 1)
  mock.timers.tick(5)
  assert.deepEqual(desired(other.sets), [1], 'the slot came over in time')
})

test('an idle function ends a window after its last request, and is then at rest', () => {
  const { controller, sets, demand } = world({ annotations: { window: '6s' } })
  demand('a', 1)
  const instance = sets[0]!.ready()
  demand('a', 0)
  const wanted: number[] = []
  for (let second = 2; second <= 8; second += 2) {
    mock.timers.tick(2_000)
    assert.equal(controller.scale(Date.now()), true)
    wanted.push(sets[0]!.desired)
  }
  assert.deepEqual(wanted, [1, 1, 1, 0])
  sets[0]!.gone(instance)
  assert.equal(controller.scale(Date.now()), false)
})

test('a new revision takes over when it is ready; until then the earlier one serves', () => {
  const { controller, sets, demand, told } = world()
  demand('a', 1)
  const old = sets[0]!.ready()
  controller.replace(spec({ annotations: { target: '5' } }))
  assert.equal(controller.revision, 'fn-00002')
  assert.deepEqual([desired(sets), sets[0]!.drained], [[1, 1], false])
  const starting = sets[1]!.start()
  assert.deepEqual(told('a'), { [old.id]: null })
  sets[1]!.ready(starting)
  assert.equal(sets[0]!.drained, true)
  void sets[0]!.listener.stopping?.(old)
  assert.deepEqual(told('a'), { [old.id]: 0, [starting.id]: null })
})

test('a change forgets no load: what the window asks for stays', () => {
  const { controller, sets, demand } = world()
  demand('a', 1)
  sets[0]!.ready()
  demand('a', 0)
  mock.timers.tick(2_000)
  controller.replace(spec({ annotations: { target: '5' } }))
  sets[1]!.ready()
  mock.timers.tick(2_000)
  controller.scale(Date.now())
  assert.deepEqual(desired(sets), [0, 1])
})

test('where the new revision is not ready before nobody needs it, the earlier one ends all the same', () => {
  const { controller, sets, demand } = world({ annotations: { window: '6s' } })
  demand('a', 1)
  sets[0]!.ready()
  demand('a', 0)
  controller.replace(spec({ annotations: { window: '6s', target: '5' } }))
  mock.timers.tick(7_000)
  controller.scale(Date.now())
  assert.deepEqual([desired(sets), sets[0]!.drained], [[0, 0], true])
})

test('requests are told of a failing start only where nothing serves', () => {
  const { controller, sets, sent, demand } = world()
  demand('a', 1)
  const failures = () => sent.filter(({ message }) => message.type === 'failing')
  sets[0]!.listener.failed('it exited', Date.now() + 1_000)
  assert.equal(failures().length, 1)
  sets[0]!.ready()
  controller.replace(spec({ annotations: { target: '5' } }))
  sets[1]!.listener.failed('it exited', Date.now() + 1_000)
  assert.equal(failures().length, 1)
})

test('an instance stops when no engine uses it, each by its word or by its death', async () => {
  const { controller, sets, demand } = world({ concurrency: 2 }, ['a', 'b', 'c'])
  for (const engine of ['a', 'b']) demand(engine, 1)
  const instance = sets[0]!.ready()
  let stopped = false
  const stopping = Promise.resolve(sets[0]!.listener.stopping?.(instance)).then(() => {
    stopped = true
  })
  controller.returned('a', instance.id, 0)
  await Promise.resolve()
  assert.equal(stopped, false)
  controller.engineDied('b')
  await stopping
})

test('a new engine is told of the instances, and shares them', () => {
  const { controller, sets, demand, told } = world({ concurrency: 2 })
  demand('a', 1)
  const instance = sets[0]!.ready()
  assert.deepEqual(told('a'), { [instance.id]: 2 })
  assert.equal(controller.addEngine('b'), null, 'all slots are taken')
  demand('b', 1)
  assert.deepEqual(told('a'), { [instance.id]: 1 })
  controller.returned('a', instance.id, 1)
  assert.deepEqual(told('b'), { [instance.id]: 1 })
  const unlimited = world()
  unlimited.demand('a', 1)
  unlimited.sets[0]!.ready()
  assert.equal(unlimited.controller.addEngine('b')?.type, 'endpoints')
})

test('a function that is deleted while it starts leaves nothing, and says nothing more to engines', async () => {
  const { controller, sets, sent, demand } = world({ concurrency: 1 })
  demand('a', 1)
  const starting = sets[0]!.start()
  demand('a', 2)
  const removed = controller.remove()
  const before = sent.length
  mock.timers.tick(1_000)
  sets[0]!.listener.failed('it was stopped', 0)
  sets[0]!.gone(starting)
  await removed
  assert.deepEqual([desired(sets), sent.length], [[0], before])
})

test('a removed function waits for the word of engines, also where that comes before its instances stop', async () => {
  const { controller, sets, demand } = world({ concurrency: 2 })
  demand('a', 1)
  const [used, idle] = [sets[0]!.ready(), sets[0]!.ready()]
  const late = sets[0]!.start()
  void controller.remove()
  controller.returned('a', idle.id, 0)
  // What is ready only now no engine hears of.
  sets[0]!.ready(late)
  assert.deepEqual(
    [idle, late].map((one) => sets[0]!.listener.stopping?.(one)),
    [undefined, undefined],
  )
  const stopped = sets[0]!.listener.stopping?.(used)
  assert.ok(stopped)
  controller.returned('a', used.id, 0)
  await stopped
})

test('instances that a node brings stay where the load is not known yet, and else count for nothing', () => {
  const known = world()
  known.demand('a', 1)
  known.sets[0]!.ready()
  known.controller.keep(3)
  assert.deepEqual(desired(known.sets), [1])
  const adopted = world({}, ['a'], 1)
  assert.deepEqual(desired(adopted.sets), [1])
  adopted.controller.keep(3)
  assert.deepEqual(desired(adopted.sets), [3])
  mock.timers.tick(60_001)
  adopted.controller.keep(5)
  assert.deepEqual(desired(adopted.sets), [3])
})

test('who waits after all engines were told that nothing starts is told as well, until it is tried again', () => {
  const { sets, sent, demand } = world()
  demand('a', 1)
  const failing = () => sent.filter(({ message }) => message.type === 'failing').map(({ to }) => to)
  assert.deepEqual(failing(), [])
  sets[0]!.failure = { reason: 'no room', retryAt: Date.now() + 1_000 }
  demand('b', 1)
  assert.deepEqual(failing(), ['b'])
  mock.timers.tick(1_000)
  demand('b', 1)
  assert.deepEqual(failing(), ['b'])
  sets[0]!.failure = { reason: 'no room', retryAt: Date.now() + 1_000 }
  sets[0]!.ready()
  demand('b', 1)
  assert.deepEqual(failing(), ['b'], 'another instance serves')
})
