import type { Order } from './node-outbox.ts'

/** The addresses on another machine from which functions call others, as its node tells of them. */
export class RemoteEgress {
  readonly #order: (order: Order) => void
  readonly #addresses = new Map<
    string,
    { all: boolean; url: string | null; opened: PromiseWithResolvers<void> }
  >()

  constructor(order: (order: Order) => void) {
    this.#order = order
  }

  /** Resolves when the function's address is open. */
  open(key: string, engines: 'all' | 'one'): Promise<void> {
    const opened = Promise.withResolvers<void>()
    this.#addresses.set(key, { all: engines === 'all', url: null, opened })
    this.#order({ case: 'openEgress', value: { function: key, all: engines === 'all' } })
    return opened.promise
  }

  close(key: string): void {
    this.#addresses.get(key)?.opened.resolve()
    if (this.#addresses.delete(key)) this.#order({ case: 'closeEgress', value: { function: key } })
  }

  url(key: string): string | null {
    return this.#addresses.get(key)?.url ?? null
  }

  /** The node has opened what it was asked for, or ('') could not. */
  opened(key: string, url: string): void {
    const address = this.#addresses.get(key)
    if (!address) return
    address.url = url || null
    address.opened.resolve()
  }

  /** Says again what the node may not have heard. */
  repeat(): void {
    for (const [key, { all }] of this.#addresses)
      this.#order({ case: 'openEgress', value: { function: key, all } })
  }
}
