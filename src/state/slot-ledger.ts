/** An instance that takes requests. */
export interface LedgerInstance {
  id: string
  host: string
  port: number
  /** Requests at once; null: no limit. */
  limit: number | null
}

/** An instance that an engine may use: for at most `slots` requests at once, null for any number. */
export interface GrantedInstance {
  id: string
  host: string
  port: number
  slots: number | null
}

/** What an engine has under way for the function: requests that it serves and requests that wait. */
export type Need = ReadonlyMap<string, number>

interface Lease {
  /** What the engine was last told that it may use. */
  told: number
  /** What it may still be using: more than `told` until it says that it gave the rest back. */
  held: number
}

interface Entry {
  instance: LedgerInstance
  leases: Map<string, Lease>
  /** Takes no new requests. */
  retiring: boolean
}

/**
 * Shares the concurrency of one function's instances among engines, so that together they never have more requests in
 * flight at an instance than its limit. Taking a slot back needs the engine's word, so the limit holds at every moment.
 */
export class SlotLedger {
  readonly #instances = new Map<string, Entry>()
  readonly #engines: string[] = []
  /** Engines whose slots changed since the last `takeChanged`. */
  readonly #changed = new Set<string>()
  /** Leases on instances that are not known yet, or not any more: they may come back while engines still use them. */
  readonly #found = new Map<string, Map<string, Lease>>()
  #turn = 0

  get engines(): readonly string[] {
    return this.#engines
  }

  /** Whether there is an instance that takes requests. */
  get serves(): boolean {
    for (const { retiring } of this.#instances.values()) if (!retiring) return true
    return false
  }

  /** Its requests are for the function as well, from now on. */
  addEngine(engine: string): void {
    if (!this.#engines.includes(engine)) this.#engines.push(engine)
  }

  /** The engine is out of reach: it goes on using what it holds, and is given nothing more until it is added again. */
  suspendEngine(engine: string): void {
    const index = this.#engines.indexOf(engine)
    if (index >= 0) this.#engines.splice(index, 1)
    this.#changed.delete(engine)
  }

  /** The engine gives back all that it holds, by its word, and is given nothing more until it is added again. */
  withdraw(engine: string): void {
    this.suspendEngine(engine)
    for (const { leases } of this.#instances.values()) {
      const lease = leases.get(engine)
      if (lease) this.#tell(engine, lease, 0)
    }
  }

  /** Whether the engine may use an instance, known or not. */
  holds(engine: string): boolean {
    for (const { leases } of this.#instances.values()) if ((leases.get(engine)?.held ?? 0) > 0) return true
    return [...this.#found.values()].some((leases) => leases.has(engine))
  }

  /** The engine is dead: what it held is free. Gives the retiring instances that are drained by that. */
  removeEngine(engine: string): string[] {
    this.suspendEngine(engine)
    for (const { leases } of this.#instances.values()) leases.delete(engine)
    for (const id of this.#found.keys()) this.#forget(engine, id)
    return [...this.#instances.keys()].filter((id) => this.#drained(id))
  }

  /**
   * An engine has the use of an instance's slots since before this ledger, and may still be using `held`; the instance may become
   * known later.
   */
  found(engine: string, id: string, slots: number, held: number = slots): void {
    const leases = this.#instances.get(id)?.leases ?? this.#found.get(id) ?? new Map<string, Lease>()
    if (!this.#instances.has(id)) this.#found.set(id, leases)
    leases.set(engine, { told: slots, held: Math.max(slots, held, leases.get(engine)?.held ?? 0) })
  }

  addInstance(instance: LedgerInstance): void {
    const leases = this.#found.get(instance.id) ?? new Map<string, Lease>()
    this.#found.delete(instance.id)
    this.#instances.set(instance.id, { instance, leases, retiring: false })
    this.#changedFor(leases)
  }

  /** The instance is dead, or out of reach: what engines may still use of it is remembered until they give it back. */
  removeInstance(id: string): void {
    const entry = this.#instances.get(id)
    if (!entry) return
    this.#instances.delete(id)
    const left = [...entry.leases].filter(([, { held }]) => held > 0 && Number.isFinite(held))
    for (const [, lease] of left) lease.told = 0
    if (left.length > 0) this.#found.set(id, new Map(left))
    for (const engine of this.#engines) this.#changed.add(engine)
  }

  /** Takes the instance out of use; true where no engine uses it now, else `returned` says so later. */
  retire(id: string): boolean {
    const entry = this.#instances.get(id)
    if (!entry) return true
    entry.retiring = true
    for (const [engine, lease] of entry.leases) this.#tell(engine, lease, 0)
    return this.#drained(id)
  }

  /** An engine uses no more than `slots` there; true where this drained a retiring instance. */
  returned(engine: string, id: string, slots: number): boolean {
    if (!this.#instances.has(id)) {
      if (slots === 0) this.#forget(engine, id)
      return false
    }
    const lease = this.#instances.get(id)?.leases.get(engine)
    // An answer to an earlier message may cross with a newer grant: only what was last told counts.
    if (!lease || slots !== lease.told) return false
    lease.held = lease.told
    return this.#drained(id)
  }

  /** Gives another engine the first pick; call it now and then, so that slots which all need go round. */
  nextTurn(): void {
    this.#turn++
  }

  /** Shares the slots by `need`; call it when needs, instances or engines have changed or slots came back. */
  share(need: Need): void {
    this.#shareUnlimited()
    const shares = this.#shares(need)
    for (const engine of this.#engines) this.#takeBack(engine, shares.get(engine)!)
    for (const engine of this.#engines) this.#grant(engine, shares.get(engine)!)
  }

  /** The engines to be told, each with the instances that it may use. */
  takeChanged(): Map<string, GrantedInstance[]> {
    const changed = new Map([...this.#changed].map((engine) => [engine, this.slices(engine)]))
    this.#changed.clear()
    return changed
  }

  /** The instances as `engine` may use them. */
  slices(engine: string): GrantedInstance[] {
    const slices: GrantedInstance[] = []
    for (const { instance, leases, retiring } of this.#instances.values()) {
      const lease = leases.get(engine)
      if (!lease) continue
      const { told, held } = lease
      if (!Number.isFinite(told)) slices.push({ ...instance, slots: null })
      else if (told > 0 || retiring || held > 0) slices.push({ ...instance, slots: told })
    }
    return slices
  }

  #forget(engine: string, id: string): void {
    const leases = this.#found.get(id)
    leases?.delete(engine)
    if (leases?.size === 0) this.#found.delete(id)
  }

  /** Who was told of an instance has a lease on it, if only for no slots. */
  #changedFor(leases: ReadonlyMap<string, Lease>): void {
    for (const engine of leases.keys()) this.#changed.add(engine)
  }

  #drained(id: string): boolean {
    const entry = this.#instances.get(id)
    return entry?.retiring === true && [...entry.leases.values()].every((lease) => lease.held === 0)
  }

  #shareUnlimited(): void {
    for (const { instance, leases, retiring } of this.#instances.values()) {
      if (retiring || instance.limit !== null) continue
      for (const engine of this.#engines)
        this.#tell(engine, leaseOf(leases, engine), Number.POSITIVE_INFINITY)
    }
  }

  /** Each engine's part of all slots: one at a time in turn to those that need more, then what is left likewise. */
  #shares(need: Need): Map<string, number> {
    let left = 0
    for (const { instance, retiring } of this.#instances.values()) if (!retiring) left += instance.limit ?? 0
    const shares = new Map(this.#engines.map((engine) => [engine, 0]))
    if (this.#engines.length === 0) return shares
    const first = this.#turn % this.#engines.length
    const order = [...this.#engines.slice(first), ...this.#engines.slice(0, first)]
    let wanting = order.filter((engine) => (need.get(engine) ?? 0) > 0)
    while (left > 0 && wanting.length > 0) {
      for (const engine of wanting) {
        if (left === 0) break
        shares.set(engine, shares.get(engine)! + 1)
        left--
      }
      wanting = wanting.filter((engine) => shares.get(engine)! < need.get(engine)!)
    }
    this.#spread(left, order, shares)
    return shares
  }

  /** Slots that nobody needs now stay where they are, so that the next request finds one; the rest is spread evenly. */
  #spread(slots: number, order: string[], shares: Map<string, number>): void {
    let left = slots
    for (const engine of order) {
      const stays = Math.min(left, Math.max(0, this.#told(engine) - shares.get(engine)!))
      shares.set(engine, shares.get(engine)! + stays)
      left -= stays
    }
    for (let i = 0; left > 0; i++, left--) {
      const engine = order[i % order.length]!
      shares.set(engine, shares.get(engine)! + 1)
    }
  }

  #takeBack(engine: string, share: number): void {
    let over = this.#told(engine) - share
    for (const { instance, leases } of this.#instances.values()) {
      if (over <= 0) return
      const lease = leases.get(engine)
      if (!lease || lease.told === 0 || instance.limit === null) continue
      const back = Math.min(over, lease.told)
      this.#tell(engine, lease, lease.told - back)
      over -= back
    }
  }

  #grant(engine: string, share: number): void {
    let under = share - this.#told(engine)
    for (const { instance, leases, retiring } of this.#instances.values()) {
      if (under <= 0) return
      if (retiring || instance.limit === null) continue
      let held = 0
      for (const lease of leases.values()) held += lease.held
      const more = Math.min(under, instance.limit - held)
      if (more <= 0) continue
      const lease = leaseOf(leases, engine)
      this.#tell(engine, lease, lease.told + more)
      under -= more
    }
  }

  #told(engine: string): number {
    let told = 0
    for (const { instance, leases, retiring } of this.#instances.values()) {
      if (!retiring && instance.limit !== null) told += leases.get(engine)?.told ?? 0
    }
    return told
  }

  #tell(engine: string, lease: Lease, slots: number): void {
    if (lease.told === slots) return
    lease.told = slots
    lease.held = Math.max(lease.held, slots)
    this.#changed.add(engine)
  }
}

function leaseOf(leases: Map<string, Lease>, engine: string): Lease {
  let lease = leases.get(engine)
  if (!lease) {
    lease = { told: 0, held: 0 }
    leases.set(engine, lease)
  }
  return lease
}
