import type { EngineQuery } from '../../dataplane/engine-messages.ts'

/** What a node itself is asked. */
export type NodeQuestion =
  | { kind: 'engines'; query: EngineQuery }
  | { kind: 'usage' }
  /** Tells it that its engine's end was heard of; its answer, that no other engine takes over what that one had. */
  | { kind: 'engine-ended'; engine: string }
  | { kind: 'logs'; function: string; tail: number }
  | { kind: 'drain'; type: 'drain-gateway' | 'drain'; deadline: number }

/** A node answers a question within this time or is taken to have no answer, in milliseconds. */
const ANSWER_MS = 2_500

/** Questions that a node has not answered yet. */
export class NodeQuestions {
  readonly #open = new Map<number, (value: unknown) => void>()
  #next = 1

  /** Resolves with the answer, or with undefined where none comes in time. `send` is given the question's number. */
  ask(send: (id: number) => void): Promise<unknown> {
    const id = this.#next++
    return new Promise((resolve) => {
      const answered = (value: unknown) => {
        clearTimeout(timer)
        this.#open.delete(id)
        resolve(value)
      }
      const timer = setTimeout(answered, ANSWER_MS, undefined)
      this.#open.set(id, answered)
      send(id)
    })
  }

  answered(id: number, value: unknown): void {
    this.#open.get(id)?.(value)
  }

  /** Nobody answers any more. */
  giveUp(): void {
    for (const answered of [...this.#open.values()]) answered(undefined)
  }
}
