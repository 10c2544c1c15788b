import type { ToEngine } from '../../dataplane/engine-messages.ts'
import { sliceDigest } from './slice-digest.ts'

type Of<Type extends ToEngine['type']> = Extract<ToEngine, { type: Type }>

/** Messages that say how things are, for all engines alike: one that starts later is to be told them too. */
const LASTING: ReadonlySet<ToEngine['type']> = new Set([
  'mesh',
  'node',
  'key-sets',
  'user-modules',
  'functions',
  'forget-functions',
  'hosted',
] as const)

export function isLasting(message: ToEngine): boolean {
  return LASTING.has(message.type)
}

/** So many functions go into one message to a new engine. */
const BATCH = 128

/** All that a node's engines were told and that still holds, so that the node can start an engine without its control plane. */
export class NodeState {
  #mesh: Of<'mesh'> | null = null
  #node: Of<'node'> | null = null
  readonly #keySets = new Map<string, Of<'key-sets'>['upsert'][number]>()
  #modules = new Map<string, Of<'user-modules'>['modules']['upsert'][number]>()
  #moduleStates: string[] = []
  readonly #functions = new Map<string, Of<'functions'>['upsert'][number]>()
  readonly #hosted = new Map<string, Of<'hosted'>>()
  /** During a sync: what was known before it and was not told again yet. What the node hosts it knows by itself. */
  #stale: { functions: Set<string>; keySets: Set<string> } | null = null

  /** Engines can be started: they know what every one has to know first. */
  get complete(): boolean {
    return this.#mesh !== null
  }

  /** Whether certificates of that epoch count. */
  isTrusted(epoch: number): boolean {
    return this.#node?.node.trust.anchors.some((anchor) => anchor.epoch === epoch) ?? false
  }

  /** The functions that engines know, by their keys. */
  functions(): string[] {
    return [...this.#functions.keys()]
  }

  /** What is known of each of them, in the same order. */
  digests(): string[] {
    return Array.from(this.#functions.values(), sliceDigest)
  }

  /** During a sync: these functions are as they were. */
  keep(keys: readonly string[]): void {
    for (const key of keys) this.#stale?.functions.delete(key)
  }

  /** Instances of these functions on the node: an engine that did not know a function has not kept them. */
  hosted(functions: readonly { key: string }[]): ToEngine[] {
    return functions.flatMap(({ key }) => this.#hosted.get(key) ?? [])
  }

  /** Notes a message, if it is one that lasts. */
  record(message: ToEngine): void {
    switch (message.type) {
      case 'mesh':
        this.#mesh = message
        return
      case 'node':
        this.#node = message
        return
      case 'key-sets':
        for (const one of message.upsert) {
          this.#keySets.set(one.id, one)
          this.#stale?.keySets.delete(one.id)
        }
        for (const id of message.remove) this.#keySets.delete(id)
        return
      case 'user-modules':
        return this.#recordModules(message.modules)
      case 'functions':
        for (const slice of message.upsert) {
          this.#functions.set(slice.key, slice)
          this.#stale?.functions.delete(slice.key)
        }
        for (const key of message.remove) this.#functions.delete(key)
        return
      case 'forget-functions':
        for (const key of message.keys) this.#functions.delete(key)
        return
      case 'hosted':
        if (message.instances.length > 0) this.#hosted.set(message.key, message)
        else this.#hosted.delete(message.key)
    }
  }

  /** All is told anew from here on. */
  beginSync(): void {
    this.#stale = {
      functions: new Set(this.#functions.keys()),
      keySets: new Set(this.#keySets.keys()),
    }
  }

  /** All has been told: gives the messages that take back what was not told again, which it has noted. */
  endSync(): ToEngine[] {
    const stale = this.#stale
    this.#stale = null
    if (!stale) return []
    const messages: ToEngine[] = []
    if (stale.functions.size > 0)
      messages.push({ type: 'functions', upsert: [], remove: [...stale.functions] })
    if (stale.keySets.size > 0) messages.push({ type: 'key-sets', upsert: [], remove: [...stale.keySets] })
    for (const message of messages) this.record(message)
    return messages
  }

  /** What a new engine is told, in an order in which it can use it. */
  messages(): ToEngine[] {
    if (!this.#mesh) return []
    const messages: ToEngine[] = [this.#mesh]
    if (this.#node) messages.push(this.#node)
    if (this.#keySets.size > 0)
      messages.push({ type: 'key-sets', upsert: [...this.#keySets.values()], remove: [] })
    const modules = [...this.#modules.values()]
    if (modules.length > 0) {
      const keep = modules.map(({ hash }) => hash)
      messages.push({ type: 'user-modules', modules: { upsert: modules, keep, states: this.#moduleStates } })
    }
    const functions = [...this.#functions.values()]
    for (let i = 0; i < functions.length; i += BATCH) {
      messages.push({ type: 'functions', upsert: functions.slice(i, i + BATCH), remove: [] })
    }
    return [...messages, ...this.#hosted.values()]
  }

  #recordModules({ upsert, keep, states }: Of<'user-modules'>['modules']): void {
    for (const module of upsert) this.#modules.set(module.hash, module)
    const kept = new Set(keep)
    this.#modules = new Map([...this.#modules].filter(([hash]) => kept.has(hash)))
    this.#moduleStates = states
  }
}
