import { randomUUID } from 'node:crypto'
import type { FromEngine, ToEngine } from '../../dataplane/engine-messages.ts'
import type { Runtime } from '../../runtime/runtime.ts'
import type { ListenFailure } from '../listener-plan.ts'
import { LocalNode, type NodePlan } from '../local-node.ts'
import type { FromNode, ToNode } from '../proto/mayfly/v1/nodes_pb.js'
import { AgentSets } from './agent-sets.ts'
import { BlobCache } from './blob-cache.ts'
import { EngineMemory } from './engine-memory.ts'
import { ordersOf } from './node-message.ts'
import type { NodeQuestion } from './node-questions.ts'
import { isLasting, NodeState } from './node-state.ts'
import { usageHere } from './node-usage.ts'
import { fromWire, toWire } from './wire-value.ts'

/** A message to the control plane; defaults are left out. */
export type Report =
  NonNullable<FromNode['what']> extends infer What
    ? What extends { case: string; value: object }
      ? { case: What['case']; value: Partial<Omit<What['value'], '$typeName' | '$unknown'>> }
      : never
    : never

export interface NodeAgentOptions {
  plan: NodePlan
  version: string
  zone: string
  cpus: number
  memoryBytes: number
  /** Where clients outside the mesh reach it; null: it is no gateway. */
  gateway: { host: string; port: number } | null
  notice(text: string): void
  /** The first sync is over and everything is open, or why that is not so. */
  ready(problem: string | null): void
}

/** Contents that are kept for messages that refer to them. */
const MOST_CONTENT_BYTES = 256 * 1024 * 1024

/**
 * A node's own part of a mesh whose control plane is another process. It holds what its engines were told, so that they and its
 * instances go on serving, and dead engines are replaced, while the control plane is out of reach.
 */
export class NodeAgent {
  readonly #options: NodeAgentOptions
  readonly #incarnation = randomUUID()
  readonly #local: LocalNode
  readonly #state = new NodeState()
  readonly #memory = new EngineMemory()
  readonly #blobs = new BlobCache(MOST_CONTENT_BYTES)
  readonly #sets: AgentSets
  readonly #egress = new Set<string>()
  #send: ((report: Report) => void) | null = null
  #started = false
  #gatewayPort = 0

  constructor(options: NodeAgentOptions) {
    this.#options = options
    const { plan, notice } = options
    this.#local = new LocalNode(
      plan,
      `${plan.name}-engine`,
      {
        state: () => this.#state.messages(),
        started: (engine) => this.#engineStarted(engine),
        message: (engine, message) => this.#engineSays(engine, message),
        died: (engine, how) => this.#engineDied(engine, how),
      },
      notice,
    )
    this.#sets = new AgentSets(
      this.#local,
      (report) => this.#report(report),
      (key, instances) => this.#tell({ type: 'hosted', key, instances }, false),
    )
  }

  // ---- the control plane ----

  /** A stream to the control plane begins, which may come to nothing: says who is there, and what the dead have left. */
  attach(send: (report: Report) => void): void {
    this.#send = send
    const dead = this.#memory.attached()
    this.#hello(dead)
    for (const { engine } of dead) this.#reportDeath(engine, 'it ended while the control plane was away')
    for (const message of this.#memory.takeDemand()) this.#reportEngine(message.engine, message.message)
  }

  /** The stream is gone; everything goes on. */
  detach(): void {
    this.#send = null
    for (const { engine, messages } of this.#memory.cutOff())
      for (const message of messages) this.#local.send(engine, message)
  }

  /** What the control plane says; throws where it refers to content that is not here. */
  receive(message: ToNode): void {
    for (const order of ordersOf(message)) this.#receive(order)
  }

  #receive({ contents, what }: ToNode): void {
    for (const { hash, bytes } of contents) this.#blobs.add(hash, bytes)
    switch (what.case) {
      case 'tell':
        return this.#tell(this.#read(what.value.message) as ToEngine, what.value.once)
      case 'tellEngine':
        return this.#tellEngine(what.value.engine, this.#read(what.value.message) as ToEngine)
      case 'syncBegin':
        return this.#state.beginSync()
      case 'keep':
        return this.#state.keep(what.value.functions)
      case 'syncEnd':
        for (const message of this.#state.endSync()) this.#local.broadcast(message)
        if (!this.#started && this.#state.complete) void this.#start()
        return
      case 'setDesired':
        return this.#sets.setDesired(what.value.set, what.value.count, what.value.spec)
      case 'drainSet':
        return this.#sets.drain(what.value.set)
      case 'instanceDrained':
        return this.#sets.drained(what.value.id)
      case 'openEgress':
        return void this.#openEgress(what.value.function, what.value.all)
      case 'closeEgress':
        this.#egress.delete(what.value.function)
        return this.#local.closeEgress(what.value.function)
      case 'ask':
        return void this.#answer(what.value.id, this.#read(what.value.question) as NodeQuestion)
      case 'ping':
        return this.#report({ case: 'pong', value: { serial: what.value.serial } })
    }
  }

  /** Lets requests under way end, then ends engines and instances. */
  async close(timeoutMs: number): Promise<void> {
    const deadline = Date.now() + timeoutMs
    await this.#local.drainStep('drain-gateway', deadline)
    await this.#local.drainStep('drain', deadline)
    this.#sets.allDrained()
    await this.#local.close()
  }

  #read(text: string): unknown {
    return fromWire(text, (hash) => this.#blobs.get(hash))
  }

  #report(report: Report): void {
    this.#send?.(report)
  }

  #hello(dead: ReturnType<EngineMemory['attached']> = []): void {
    const { plan, version, zone, cpus, memoryBytes, gateway } = this.#options
    const { address } = this.#local
    const engines = this.#local.pids().filter(({ engine }) => this.#local.engines().includes(engine))
    const value = {
      version,
      incarnation: this.#incarnation,
      gateway: gateway !== null,
      runsInstances: plan.runtime !== null,
      host: address?.host ?? '',
      port: address?.port ?? 0,
      cpus,
      memoryBytes,
      zone,
      gatewayHost: gateway?.host ?? '',
      gatewayPort: this.#gatewayPort,
      held: this.#blobs.hashes(),
      functions: this.#state.functions(),
      digests: this.#state.digests(),
      engines: [
        ...engines.map(({ engine, pid }) => ({ engine, pid, endpoints: this.#memory.endpoints(engine) })),
        ...dead.map((one) => ({ ...one, pid: 0 })),
      ].map(({ engine, pid, endpoints }) => ({
        engine,
        pid: pid ?? 0,
        endpoints: endpoints.map((message) => toWire(message, String)),
      })),
      instances: this.#sets.states(),
    }
    this.#report({ case: 'hello', value: value as never })
  }

  // ---- engines ----

  async #start(): Promise<void> {
    this.#started = true
    const problem = await this.#open()
    this.#options.ready(problem)
    // The address is known now.
    if (problem === null) this.#hello()
  }

  async #open(): Promise<string | null> {
    const failed = (await this.#local.start()) ?? (await this.#local.openAddress())
    if (failed) return failed.kind === 'engines' ? failed.message : said(failed.failure)
    const { gateway, plan } = this.#options
    if (gateway !== null) {
      const opened = await this.#local.openGateway(gateway.host, gateway.port)
      if (!opened.ok) return said(opened.failure)
      this.#gatewayPort = opened.port
      this.#options.notice(`gateway http://${gateway.host}:${opened.port}`)
    }
    if (plan.runtime !== null) await this.#local.fillEgress()
    return null
  }

  #tell(message: ToEngine, once: boolean): void {
    if (!once) this.#state.record(message)
    this.#local.broadcast(message)
    if (message.type === 'forget-functions') this.#memory.functionsGone(message.keys)
    if (message.type !== 'functions') return
    this.#memory.functionsGone(message.remove)
    for (const hosted of this.#state.hosted(message.upsert)) this.#local.broadcast(hosted)
  }

  #tellEngine(engine: string, message: ToEngine): void {
    if (isLasting(message)) this.#state.record(message)
    this.#memory.told(engine, message)
    this.#local.send(engine, message)
  }

  #engineStarted(engine: string): ToEngine[] {
    const pid = this.#local.pids().find((one) => one.engine === engine)?.pid ?? 0
    // Without a control plane it is given what a dead one of its node had the use of.
    if (this.#send === null) return this.#memory.inherit(engine)
    this.#memory.reported(engine)
    this.#report({ case: 'engineUp', value: { engine, pid } })
    return []
  }

  #engineSays(engine: string, message: FromEngine): void {
    if (message.type === 'identity-wanted') {
      const known = this.#memory.identity(message.principal, (epoch) => this.#state.isTrusted(epoch))
      if (known) return this.#local.send(engine, known)
    }
    if (message.type === 'returned')
      this.#memory.returned(engine, message.key, message.endpoint, message.slots)
    if (this.#send === null) this.#memory.noteDemand(engine, message)
    else this.#reportEngine(engine, message)
  }

  #reportEngine(engine: string, message: FromEngine): void {
    this.#report({ case: 'engineSays', value: { engine, message: toWire(message, inline) } })
  }

  #engineDied(engine: string, how: string): void {
    this.#memory.died(engine, this.#send !== null)
    this.#reportDeath(engine, how)
  }

  #reportDeath(engine: string, how: string): void {
    this.#report({ case: 'engineEnded', value: { engine, how } })
  }

  async #openEgress(key: string, all: boolean): Promise<void> {
    if (!this.#egress.has(key)) {
      this.#egress.add(key)
      await this.#local.openEgress(key, all ? 'all' : 'one')
    }
    this.#report({
      case: 'egressOpened',
      value: { function: key, url: this.#local.egressUrl(key, null) ?? '' },
    })
  }

  // ---- questions ----

  async #answer(id: number, question: NodeQuestion): Promise<void> {
    const value = await this.#answerTo(question)
    this.#report({ case: 'answer', value: { id, value: toWire(value ?? null, inline) } })
  }

  async #answerTo(question: NodeQuestion): Promise<unknown> {
    const runtime: Runtime | null = this.#options.plan.runtime
    switch (question.kind) {
      case 'engines':
        return this.#local.query(question.query)
      case 'engine-ended':
        this.#memory.heard(question.engine)
        return true
      case 'usage':
        return usageHere(
          this.#local.pids().map(({ pid }) => pid),
          this.#sets.instances(),
        )
      case 'logs':
        return (
          runtime?.logs.recent(
            question.function === '' ? {} : { function: question.function },
            question.tail,
          ) ?? []
        )
      case 'drain':
        return this.#local.drainStep(question.type, question.deadline)
    }
  }
}

function said({ message }: ListenFailure): string {
  return message
}

/** What a node says is small: its bytes stand in the text itself. */
function inline(bytes: Uint8Array): string {
  throw new Error(`a message of a node refers to ${bytes.length} bytes of content`)
}
