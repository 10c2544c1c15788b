import { randomBytes } from 'node:crypto'
import type { TrafficPlan } from '../policy/traffic-plan.ts'
import { NEED_EXTERNAL, NEED_SIGNATURE } from '../sidecar/layout/record.ts'
import { Circuits } from './circuit.ts'
import { DecisionInputs } from './decision-inputs.ts'
import { reviewDecision } from './decision-review.ts'
import { DecisionRing } from './decision-ring.ts'
import { EndpointSet } from './endpoint-set.ts'
import type { EngineContext, Judge } from './engine-context.ts'
import { newCounters } from './engine-counters.ts'
import type {
  DemandReport,
  EngineQuery,
  FromEngine,
  FunctionSlice,
  MeshSlice,
  ToEngine,
} from './engine-messages.ts'
import type { EngineMetrics } from './engine-metrics.ts'
import { EngineNode } from './engine-node.ts'
import { ExchangeMetrics } from './exchange-metrics.ts'
import { answerExternal, ExternalAuthorizers } from './external-authorizer.ts'
import { FunctionLookup } from './function-lookup.ts'
import { FunctionTable } from './function-table.ts'
import type { HostedInstances } from './hosted-instances.ts'
import { KeySets } from './key-sets.ts'
import { Listeners } from './listeners.ts'
import type { Answerer } from './needs.ts'
import type { HostedSlice, NodeSlice } from './node-messages.ts'
import { Quota, quotaAnswerer } from './quota.ts'
import { RandomBytes } from './random-bytes.ts'
import type { SpanFacts } from './span-facts.ts'
import { TokenSignatures } from './token-signatures.ts'
import { closeIdle } from './upstream-connection.ts'
import { UserPolicies, userPolicyAnswerer } from './user-policies.ts'
import { whatIf } from './whatif.ts'

/** How often demand is told and idle upstream connections are looked through, in milliseconds. */
const TICK_MS = 100
/** Changes of user policies' state that are told to other engines at a time; the rest waits for the next. */
const MOST_UPDATES = 4096
/** Requests whose verdicts are kept for `mayfly explain`. */
const DECISIONS_KEPT = 4096
/** Bytes for what they were decided from; its pages are touched only as requests come. */
const INPUT_BYTES = 8 * 1024 * 1024

export interface EngineHooks {
  send(message: FromEngine): void
  /** Writes an access-log line, whose bytes are the line's only during the call. */
  writeLog(line: Buffer): void
  /** Takes a span that has ended. */
  recordSpan(facts: SpanFacts): void
  /** What is counted outside the engine itself, by part. */
  counters?(): EngineMetrics['counters']
  /** The mesh's settings are new, the access log's file among them. */
  meshChanged(mesh: MeshSlice): void
}

/** One data-plane thread: it does what control tells it (`receive`) and forwards requests by what it knows. */
export class Engine {
  readonly #hooks: EngineHooks
  readonly #context: EngineContext
  readonly #listeners: Listeners
  readonly #active = new Set<EndpointSet>()
  readonly #hosted = new Set<HostedInstances>()
  readonly #checks = new ExternalAuthorizers()
  readonly #keySets: KeySets
  readonly #tokens: TokenSignatures
  readonly #quota: Quota
  readonly #urgent = new Set<string>()
  readonly #userPolicies = new UserPolicies(randomBytes(8).toString('hex'))
  /** New versions of functions that come into force once their user policies are warm, by key. */
  readonly #warming = new Map<string, FunctionSlice>()
  #ticker: NodeJS.Timeout
  #flushing = false

  constructor(sidecars: Judge, mesh: MeshSlice, hooks: EngineHooks) {
    this.#hooks = hooks
    this.#quota = new Quota((request) => hooks.send({ type: 'quota', request }))
    const now = () => performance.now()
    this.#keySets = new KeySets({ wanted: (id) => hooks.send({ type: 'key-set-wanted', id }), now })
    this.#tokens = new TokenSignatures(this.#keySets, now)
    const functions = new FunctionTable({
      endpoints: (key) => this.#newEndpoints(key),
      circuits: (plan) => this.#newCircuits(plan),
    })
    this.#context = {
      sidecars,
      functions,
      lookup: new FunctionLookup(functions, { send: hooks.send, now }),
      counters: newCounters(),
      answerers: new Map<number, Answerer>([
        [NEED_SIGNATURE, this.#tokens.answer],
        [NEED_EXTERNAL, answerExternal(this.#checks)],
        userPolicyAnswerer(this.#userPolicies),
        quotaAnswerer(this.#quota),
      ]),
      decisions: new DecisionRing(DECISIONS_KEPT),
      metrics: new ExchangeMetrics(),
      inputs: new DecisionInputs(INPUT_BYTES, DECISIONS_KEPT * 2),
      random: new RandomBytes(),
      writeLog: hooks.writeLog,
      recordSpan: hooks.recordSpan,
      mesh: withBuffers(mesh),
      draining: false,
      node: null,
    }
    sidecars.maxHeadBytes = mesh.limits.maxHeadBytes
    sidecars.inputs = this.#context.inputs
    this.#listeners = new Listeners(this.#context)
    this.#ticker = setInterval(() => this.#tick(), TICK_MS)
  }

  receive(message: ToEngine): void {
    const { functions } = this.#context
    switch (message.type) {
      case 'mesh':
        this.#context.mesh = withBuffers(message.mesh)
        this.#context.sidecars.maxHeadBytes = message.mesh.limits.maxHeadBytes
        return this.#hooks.meshChanged(message.mesh)
      case 'functions':
        for (const slice of message.upsert) {
          this.#upsert(slice)
          this.#context.lookup.learned(slice)
        }
        for (const key of message.remove) {
          this.#warming.delete(key)
          functions.remove(key)
        }
        return
      case 'forget-functions':
        for (const key of message.keys) this.#forget(key, performance.now() - message.idleMs)
        return
      case 'function-absent':
        return this.#context.lookup.absent(message)
      case 'key-sets':
        return this.#keySets.update(message.upsert, message.remove)
      case 'node':
        return this.#takeNode(message.node)
      case 'identities':
        return this.#context.node?.updateIdentities(message.upsert, message.remove)
      case 'hosted':
        return this.#takeHosted(message.key, message.instances)
      case 'user-modules':
        return this.#userPolicies.takeModules(message.modules)
      case 'quota':
        return this.#quota.receive(message.reply)
      case 'user-state':
        return this.#userPolicies.states.merge(message.updates)
      case 'endpoints':
        return functions.peek(message.key)?.endpoints.update(message.endpoints, message.external)
      case 'failing':
        return functions.peek(message.key)?.endpoints.fail(message.reason, message.retryAt)
      case 'listen': {
        const { id, host, port, role } = message
        this.#listeners.listen(id, host, port, role).then(
          (bound) => this.#hooks.send({ type: 'listening', id, port: bound }),
          (error: NodeJS.ErrnoException) =>
            this.#hooks.send({ type: 'listen-failed', id, message: error.message, code: error.code ?? '' }),
        )
        return
      }
      case 'assign':
        return this.#listeners.assign(message.id, message.role)
      case 'unlisten':
        return this.#listeners.unlisten(message.id)
      case 'query':
        return void this.#respond(message.id, message.query)
      case 'drain-gateway':
        return void this.#drainGateway()
      case 'drain':
        this.#drain()
    }
  }

  #takeHosted(key: string, instances: HostedSlice[]): void {
    const hosted = this.#context.functions.peek(key)?.hosted
    if (!hosted) return
    hosted.update(instances)
    if (instances.length > 0) this.#hosted.add(hosted)
    else this.#hosted.delete(hosted)
  }

  #takeNode(slice: NodeSlice): void {
    const { node, counters } = this.#context
    if (node) return node.update(slice)
    this.#context.node = new EngineNode(slice, this.#hooks.send, counters)
  }

  /** A function that is there already stays as it is while the modules of its new version are run in. */
  #upsert(slice: FunctionSlice): void {
    const { functions } = this.#context
    const { key, userPolicies } = slice
    this.#warming.delete(key)
    if (!userPolicies || this.#userPolicies.isWarm(userPolicies)) return functions.upsert(slice)
    const warm = this.#userPolicies.warm(userPolicies)
    if (!functions.peek(key)) return functions.upsert(slice)
    this.#warming.set(key, slice)
    void warm.then(() => {
      if (this.#warming.get(key) !== slice) return
      this.#warming.delete(key)
      functions.upsert(slice)
    })
  }

  /** Control has forgotten that it is known here: where it is in use it is asked for anew. */
  #forget(key: string, since: number): void {
    const isForgotten = !this.#warming.has(key) && this.#context.functions.forget(key, since)
    if (!isForgotten) this.#hooks.send({ type: 'function-wanted', key, host: null })
  }

  async #drainGateway(): Promise<void> {
    this.#context.draining = true
    this.#context.sidecars.draining = true
    this.#listeners.cutAfter(this.#context.mesh.limits.drainTimeoutMs)
    await this.#listeners.drain((role) => role.kind === 'gateway')
    this.#hooks.send({ type: 'gateway-drained' })
  }

  async #drain(): Promise<void> {
    await this.#listeners.drain((role) => role.kind !== 'node')
    await this.#listeners.drain(() => true)
    this.#context.node?.close()
    clearInterval(this.#ticker)
    this.#checks.close()
    this.#quota.close()
    this.#context.lookup.close()
    for (const entry of this.#context.functions.entries()) entry.close('the engine has stopped')
    this.#hooks.send({ type: 'drained' })
  }

  async #respond(id: number, query: EngineQuery): Promise<void> {
    const answer = query.kind === 'whatif' ? await whatIf(this.#context, query.other) : this.#answer(query)
    this.#hooks.send({ type: 'answer', id, answer })
  }

  #answer(query: Exclude<EngineQuery, { kind: 'whatif' }>): unknown {
    if (query.kind === 'metrics') return this.#metrics()
    if (query.kind === 'identities') return this.#context.node?.identities.held() ?? []
    if (query.kind === 'decision') {
      const records = this.#context.decisions.findAll(query.requestId)
      return records.map((record) => reviewDecision(this.#context, record))
    }
    return { ...this.#context.counters, ...this.#parts() }
  }

  /** What the engine's parts have counted. */
  #parts(): object {
    return {
      checks: this.#checks.counters,
      lookup: this.#context.lookup.counters,
      inputs: this.#context.inputs.counters,
      quota: this.#quota.counters,
      tokens: { ...this.#tokens.counters, ...this.#tokens.cache.counters, ...this.#keySets.counters },
      sidecars: this.#context.sidecars.counters,
      userPolicies: { ...this.#userPolicies.counters, state: this.#userPolicies.states.counters },
    }
  }

  #newCircuits(plan: TrafficPlan | null): Circuits {
    const { counters } = this.#context
    return new Circuits(plan, { counters, random: Math.random, now: () => performance.now() })
  }

  #metrics(): EngineMetrics {
    const { metrics, counters } = this.#context
    const parts = { ...this.#parts(), metrics: metrics.counters, ...this.#hooks.counters?.() }
    return {
      exchanges: metrics.snapshot(),
      counters: { engine: counters, ...parts } as EngineMetrics['counters'],
    }
  }

  #newEndpoints(key: string): EndpointSet {
    return new EndpointSet(key, () => this.#context.mesh.limits.maxQueuedRequests, {
      active: (set) => this.#active.add(set),
      urgent: (urgentKey) => this.#reportSoon(urgentKey),
      returned: (function_, endpoint, slots) =>
        this.#hooks.send({ type: 'returned', key: function_, endpoint, slots }),
    })
  }

  /** Control hears of it at the end of this turn of the event loop, once for all that happens in it. */
  #reportSoon(key: string): void {
    this.#urgent.add(key)
    if (this.#flushing) return
    this.#flushing = true
    setImmediate(() => {
      this.#flushing = false
      const sets = [...this.#urgent].flatMap((one) => this.#context.functions.get(one)?.endpoints ?? [])
      this.#urgent.clear()
      this.#report(sets)
    })
  }

  #tick(): void {
    this.#context.functions.now = performance.now()
    this.#report(this.#active)
    const updates = this.#userPolicies.states.takeUntold(MOST_UPDATES)
    if (updates.length > 0) this.#hooks.send({ type: 'user-state', updates })
    const deadline = performance.now() - this.#context.mesh.limits.upstreamIdleMs
    for (const set of this.#active) {
      for (const endpoint of set.endpoints) closeIdle(endpoint, deadline)
      set.retry()
      if (set.settled()) this.#active.delete(set)
    }
    for (const hosted of this.#hosted) for (const endpoint of hosted.endpoints) closeIdle(endpoint, deadline)
    // The other node's engine keeps them for twice as long, so that a request seldom meets a connection that is being closed.
    this.#context.node?.closeIdle(performance.now() - this.#context.mesh.limits.keepAliveTimeoutMs / 2)
  }

  #report(sets: Iterable<EndpointSet>): void {
    const reports: DemandReport[] = []
    for (const set of sets) {
      const report = set.report()
      if (report) reports.push(report)
    }
    if (reports.length > 0) this.#hooks.send({ type: 'demand', reports })
  }
}

/** Bytes arrive as Uint8Array over a process boundary; everything here works on Buffers. */
function withBuffers(mesh: MeshSlice): MeshSlice {
  const { buffer, byteOffset, byteLength } = mesh.gatewayPolicy
  return { ...mesh, gatewayPolicy: Buffer.from(buffer, byteOffset, byteLength) }
}
