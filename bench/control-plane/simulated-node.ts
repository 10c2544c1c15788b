import { randomUUID } from 'node:crypto'
import { toBinary } from '@bufbuild/protobuf'
import { ordersOf } from '../../src/control/nodes/node-message.ts'
import { fromWire, toWire } from '../../src/control/nodes/wire-value.ts'
import { type ToNode, ToNodeSchema } from '../../src/control/proto/mayfly/v1/nodes_pb.js'
import type { FromEngine, ToEngine } from '../../src/dataplane/engine-messages.ts'
import { ConnectStream, type Credential, type Said } from './connect-stream.ts'
import { SimulatedEngine } from './simulated-engine.ts'
import type { Part, Traffic } from './traffic.ts'

export type NodePlan = {
  readonly name: string
  readonly gateway: boolean
  readonly engines: number
  readonly credential: Credential
}

export type NodeEvents = {
  /** A function's slice came in; `at` in milliseconds of the machine's monotonic clock. */
  learned(node: string, key: string, at: number): void
  /** An instance is ready. */
  ready(): void
  problem(text: string): void
}

type Instance = { id: string; set: string; state: 'starting' | 'ready' | 'stopping' }

/** How long a function's process takes until it listens, here: no time to speak of, so that orders are what is measured. */
const START_MS = 5

/** A node without engines or instances of its own, that says what one with them would say. */
export class SimulatedNode {
  readonly name: string
  readonly engines: SimulatedEngine[]
  readonly synced: Promise<void>
  readonly #plan: NodePlan
  readonly #traffic: Traffic
  readonly #events: NodeEvents
  readonly #stream: ConnectStream
  readonly #known = new Set<string>()
  readonly #sets = new Map<string, Instance[]>()
  readonly #instances = new Map<string, Instance>()
  readonly #contents = new Map<string, Uint8Array>()
  readonly #synced = Promise.withResolvers<void>()
  #serial = 0

  constructor(
    server: string,
    domain: string,
    port: number,
    plan: NodePlan,
    traffic: Traffic,
    events: NodeEvents,
  ) {
    this.name = plan.name
    this.synced = this.#synced.promise
    this.#plan = plan
    this.#traffic = traffic
    this.#events = events
    this.engines = Array.from({ length: plan.engines }, (_, index) => {
      const name = `${plan.name}-engine-${index}`
      return new SimulatedEngine(name, domain, this.#known, (message) => this.#engineSays(name, message))
    })
    this.#stream = new ConnectStream(server, plan.credential, {
      told: (message, bytes) => this.#told(message, bytes),
      ended: (why) => {
        events.problem(`${plan.name}: ${why}`)
        this.#synced.reject(new Error(`${plan.name}: ${why}`))
      },
    })
    this.#hello(port)
  }

  /** How many functions its engines know. */
  get functions(): number {
    return this.#known.size
  }

  close(): void {
    for (const engine of this.engines) engine.close()
    this.#stream.close()
  }

  #hello(port: number): void {
    const { gateway, engines } = this.#plan
    const value = {
      version: 'bench',
      incarnation: randomUUID(),
      gateway,
      runsInstances: !gateway,
      host: '127.0.0.1',
      port,
      cpus: 8,
      memoryBytes: 32e9,
      zone: '',
      engines: Array.from({ length: engines }, (_, index) => ({
        engine: `${this.name}-engine-${index}`,
        pid: 1,
        endpoints: [],
      })),
    }
    this.#say({ case: 'hello', value }, 'hello', null)
  }

  #say(what: Said, kind: string, key: string | null): void {
    const bytes = this.#stream.say(what)
    if (kind !== 'pong') this.#traffic.note('fromNode', kind, bytes, key)
  }

  #engineSays(engine: string, message: FromEngine): void {
    const text = toWire(message, String)
    const first = message.type === 'demand' ? message.reports[0] : null
    // Reports of what goes on come with every tick, whatever they bring with them: they are no part of a start.
    const isTick =
      first && (message as Extract<FromEngine, { type: 'demand' }>).reports.every((one) => one.waiting === 0)
    const kind = isTick ? 'engineSays demand (tick)' : `engineSays ${message.type}`
    const key = isTick ? null : (first?.key ?? keyOf(message))
    this.#say({ case: 'engineSays', value: { engine, message: text } }, kind, key)
  }

  #told(message: ToNode, bytes: number): void {
    const parts: Part[] = []
    for (const order of ordersOf(message)) {
      const size = message === order ? bytes : toBinary(ToNodeSchema, order).length
      const note = (kind: string, key: string | null) => parts.push({ kind, key, size })
      this.#take(order, note)
    }
    if (parts.length > 0) this.#traffic.noteParts('toNode', bytes, parts)
  }

  #take({ contents, what }: ToNode, note: (kind: string, key: string | null) => void): void {
    for (const { hash, bytes: content } of contents) this.#contents.set(hash, content)
    const read = (text: string) => fromWire(text, (hash) => this.#contents.get(hash)) as ToEngine
    switch (what.case) {
      case 'tell': {
        const message = read(what.value.message)
        note(`tell ${message.type}`, keyOf(message))
        this.#learn(message)
        for (const engine of this.engines) engine.told(message)
        return
      }
      case 'tellEngine': {
        const message = read(what.value.message)
        note(`tellEngine ${message.type}`, keyOf(message))
        this.#learn(message)
        const { engine: name } = what.value
        return this.engines.find((engine) => engine.name === name)?.told(message)
      }
      case 'setDesired':
        note('setDesired', keyOfSet(what.value.set))
        return this.#setDesired(what.value.set, what.value.count)
      case 'instanceDrained':
        note('instanceDrained', keyOfSet(this.#instances.get(what.value.id)?.set ?? ''))
        return this.#drained(what.value.id)
      case 'drainSet':
        note('drainSet', keyOfSet(what.value.set))
        this.#sets.delete(what.value.set)
        return this.#say({ case: 'setDrained', value: { set: what.value.set } }, 'setDrained', null)
      case 'openEgress': {
        note('openEgress', what.value.function)
        const value = { function: what.value.function, url: 'http://127.0.0.1:1' }
        return this.#say({ case: 'egressOpened', value }, 'egressOpened', what.value.function)
      }
      case 'ask':
        note('ask', null)
        return this.#say({ case: 'answer', value: { id: what.value.id, value: '[]' } }, 'answer', null)
      case 'ping':
        return this.#say({ case: 'pong', value: { serial: what.value.serial } }, 'pong', null)
      case 'syncEnd':
        note('syncEnd', null)
        return this.#synced.resolve()
      default:
        note(what.case ?? 'nothing', null)
    }
  }

  #learn(message: ToEngine): void {
    if (message.type === 'forget-functions') for (const key of message.keys) this.#known.delete(key)
    if (message.type !== 'functions') return
    const at = Number(process.hrtime.bigint()) / 1e6
    for (const { key } of message.upsert) {
      this.#known.add(key)
      this.#events.learned(this.name, key, at)
    }
    for (const key of message.remove) this.#known.delete(key)
  }

  #setDesired(name: string, count: number): void {
    const instances = this.#sets.get(name) ?? []
    this.#sets.set(name, instances)
    const up = instances.filter(({ state }) => state !== 'stopping')
    for (const instance of up.slice(count)) {
      instance.state = 'stopping'
      this.#tell(instance)
    }
    for (let i = up.length; i < count; i++) this.#start(name, instances)
  }

  #start(set: string, instances: Instance[]): void {
    const [, name] = keyOfSet(set).split('/')
    const instance: Instance = { id: `${name}-${this.name}-${this.#serial++}`, set, state: 'starting' }
    instances.push(instance)
    this.#instances.set(instance.id, instance)
    this.#tell(instance)
    setTimeout(() => {
      if (instance.state !== 'starting') return
      instance.state = 'ready'
      this.#tell(instance)
      this.#events.ready()
    }, START_MS)
  }

  #tell({ id, set, state }: Instance): void {
    const value = {
      set,
      id,
      state,
      host: '127.0.0.1',
      port: 40_000,
      pid: 12_345,
      startedAt: 1_800_000_000_000,
      readyAfterMs: state === 'ready' ? START_MS : -1,
      egressUrl: 'http://127.0.0.1:40001',
    }
    this.#say({ case: 'instanceState', value }, `instanceState ${state}`, keyOfSet(set))
  }

  #drained(id: string): void {
    const instance = this.#instances.get(id)
    if (!instance) return
    const { set } = instance
    const instances = this.#sets.get(set)!
    instances.splice(instances.indexOf(instance), 1)
    this.#instances.delete(id)
    const value = { set, id, why: 'it was not needed' }
    this.#say({ case: 'instanceGone', value }, 'instanceGone', keyOfSet(set))
  }
}

function keyOf(message: ToEngine | FromEngine): string | null {
  if (message.type === 'functions') return message.upsert.length === 1 ? message.upsert[0]!.key : null
  if (message.type === 'function-wanted') {
    const [name, namespace] = (message.host ?? '').split('.')
    return message.key ?? `${namespace}/${name}`
  }
  return 'key' in message ? message.key : null
}

function keyOfSet(set: string): string {
  return set.slice(0, set.lastIndexOf('@'))
}
