import type { FromEngine, FunctionSlice, ToEngine } from './engine-messages.ts'
import type { FunctionTable } from './function-table.ts'

/** What an engine asks control for: a function by its key or by the host under which the gateway serves it. */
export type Wanted = Extract<FromEngine, { type: 'function-wanted' }>

/** `said`: control has answered, whatever it is; `silent`: it has not, or may not be asked now. */
export type LookupOutcome = 'said' | 'silent'

export interface FunctionLookupHooks {
  send(message: Wanted): void
  /** Monotonic milliseconds. */
  now(): number
}

/** Control answers within this time, or the request is refused. */
const ANSWER_MS = 2_000
/** That there is no such function is remembered for so long: one that is made then is found soon. */
const ABSENT_MS = 200
/** Control may start a function before it answers. Where more requests come it is asked once more, after this time. */
const REPEAT_MS = 10
const MOST_ABSENT = 4_096
/** Questions under way at once: whoever invents hosts must not cause more. */
const MOST_ASKED = 256

interface Question {
  settled: Promise<LookupOutcome>
  settle(outcome: LookupOutcome): void
  timer: NodeJS.Timeout
  /** null: nobody else has asked. */
  repeat: NodeJS.Timeout | null
}

/** Finds out about functions that an engine was not told of: it is told of one when it first asks. */
export class FunctionLookup {
  readonly counters = { asked: 0, repeated: 0, absent: 0, unanswered: 0, overLimit: 0 }
  readonly #functions: FunctionTable
  readonly #hooks: FunctionLookupHooks
  /** By "key KEY" or "host HOST". */
  readonly #asked = new Map<string, Question>()
  /** Until when a name is known to be nobody's, in the order in which that was said. */
  readonly #absent = new Map<string, number>()

  constructor(functions: FunctionTable, hooks: FunctionLookupHooks) {
    this.#functions = functions
    this.#hooks = hooks
  }

  /** null: it is known who is served under the host, or that nobody is; `domain` is that of all hosts that the gateway serves. */
  byHost(host: string, domain: string): Promise<LookupOutcome> | null {
    if (this.#functions.byGatewayHost(host) || !host.endsWith(`.${domain}`)) return null
    return this.#ask(`host ${host}`, { type: 'function-wanted', key: null, host })
  }

  /** The same for a function by its key, "namespace/name". */
  byKey(key: string): Promise<LookupOutcome> | null {
    if (this.#functions.get(key)) return null
    return this.#ask(`key ${key}`, { type: 'function-wanted', key, host: null })
  }

  /** A function has become known. */
  learned({ key, gatewayHosts }: FunctionSlice): void {
    this.#settle(`key ${key}`, 'said')
    for (const host of gatewayHosts) this.#settle(`host ${host}`, 'said')
  }

  /** There is none. */
  absent({ key, host }: Extract<ToEngine, { type: 'function-absent' }>): void {
    const name = key === null ? `host ${host}` : `key ${key}`
    if (!this.#asked.has(name)) return
    this.counters.absent++
    this.#absent.delete(name)
    this.#absent.set(name, this.#hooks.now() + ABSENT_MS)
    const [oldest] = this.#absent.keys()
    if (this.#absent.size > MOST_ABSENT) this.#absent.delete(oldest!)
    this.#settle(name, 'said')
  }

  close(): void {
    for (const name of [...this.#asked.keys()]) this.#settle(name, 'silent')
  }

  #ask(name: string, message: Wanted): Promise<LookupOutcome> | null {
    const absentUntil = this.#absent.get(name)
    if (absentUntil !== undefined) {
      if (this.#hooks.now() < absentUntil) return null
      this.#absent.delete(name)
    }
    const before = this.#asked.get(name)
    if (before) {
      if (message.host !== null) before.repeat ??= this.#repeat(message)
      return before.settled
    }
    if (this.#asked.size >= MOST_ASKED) {
      this.counters.overLimit++
      return Promise.resolve('silent')
    }
    const { promise, resolve } = Promise.withResolvers<LookupOutcome>()
    const timer = setTimeout(() => {
      this.counters.unanswered++
      this.#settle(name, 'silent')
    }, ANSWER_MS)
    this.#asked.set(name, { settled: promise, settle: resolve, timer, repeat: null })
    this.counters.asked++
    this.#hooks.send(message)
    return promise
  }

  #repeat(message: Wanted): NodeJS.Timeout {
    return setTimeout(() => {
      this.counters.repeated++
      this.#hooks.send(message)
    }, REPEAT_MS)
  }

  #settle(name: string, outcome: LookupOutcome): void {
    const question = this.#asked.get(name)
    if (!question) return
    this.#asked.delete(name)
    clearTimeout(question.timer)
    if (question.repeat) clearTimeout(question.repeat)
    question.settle(outcome)
  }
}
