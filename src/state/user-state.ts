// State of users' policies: counters, sets and last-writer values by key, in fixed windows aligned to the epoch. Each engine has
// a table; what it changes it tells the others a little later, and every merge is commutative, associative and, but for counters,
// idempotent (an update is sent once over an ordered channel). So engines that have got each other's updates hold the same.

export type UserStateType = 'counter' | 'set' | 'lastWriter'

/** What a state is, as its policy declares it. */
export interface UserStateTerms {
  /** "namespace/policy/name" */
  readonly id: string
  readonly type: UserStateType
  readonly windowMs: number
  readonly scope: 'node' | 'cluster'
  readonly maxKeys: number
  readonly maxMembers: number
}

/** What is stored under a key; values are latin1 text. */
export interface Stored {
  /** A counter's value; how many members a set has. */
  number: number
  members: Set<string>
  value: string
}

/** A change of what is stored under one key in one window. */
export interface UserStateUpdate extends UserStateTerms {
  readonly key: string
  /** Number of the window: its start divided by its length. */
  readonly window: number
  readonly amount: number
  readonly members: readonly string[]
  readonly value: string
  /** Of the last write: milliseconds since the epoch, and who wrote. */
  readonly time: number
  readonly writer: string
}

interface Entry extends Stored {
  window: number
  time: number
  writer: string
}

interface Table {
  terms: UserStateTerms
  entries: Map<string, Entry>
  sweptWindow: number
}

export interface UserStateCounters {
  /** Updates that did not fit: a key more than maxKeys, or a member more than maxMembers. */
  full: number
  merged: number
  /** Updates of a window that is over. */
  late: number
}

const MOST = Number.MAX_SAFE_INTEGER

export class UserStates {
  readonly counters: UserStateCounters = { full: 0, merged: 0, late: 0 }
  readonly #writer: string
  readonly #tables = new Map<string, Table>()
  /** What others have not been told yet, by id and key. */
  readonly #untold = new Map<string, UserStateUpdate & { members: string[]; amount: number }>()

  /** `writer` tells this table from the others' where two write at the same millisecond. */
  constructor(writer: string) {
    this.#writer = writer
  }

  /** What is stored under the key in the window of `now`; undefined: nothing. */
  read(terms: UserStateTerms, key: string, now: number): Readonly<Stored> | undefined {
    const entry = this.#tables.get(terms.id)?.entries.get(key)
    return entry !== undefined && entry.window === windowOf(terms, now) ? entry : undefined
  }

  /** Whether `change` will fit; ask before the changes of one run, so that they are made all or not at all. */
  fits(terms: UserStateTerms, key: string, now: number, member: string | null): boolean {
    const window = windowOf(terms, now)
    const table = this.#table(terms)
    const entry = table.entries.get(key)
    if (entry === undefined && !this.#hasRoom(table, window)) {
      this.counters.full++
      return false
    }
    if (member === null || entry === undefined || entry.window !== window) return true
    if (entry.members.has(member) || entry.members.size < terms.maxMembers) return true
    this.counters.full++
    return false
  }

  /** Adds to a counter, inserts a member, or writes a value, by the state's type. */
  change(terms: UserStateTerms, key: string, now: number, amount: number, bytes: string): void {
    const update: UserStateUpdate = {
      ...terms,
      key,
      window: windowOf(terms, now),
      amount,
      members: terms.type === 'set' ? [bytes] : [],
      value: terms.type === 'lastWriter' ? bytes : '',
      time: now,
      writer: this.#writer,
    }
    if (this.#apply(update)) this.#note(update)
  }

  /** What this table changed and the others have not been told yet, at most `most` changes at a time. */
  takeUntold(most: number): UserStateUpdate[] {
    const updates: UserStateUpdate[] = []
    for (const [place, update] of this.#untold) {
      if (updates.length === most) break
      updates.push(update)
      this.#untold.delete(place)
    }
    return updates
  }

  /** Takes what others changed. */
  merge(updates: readonly UserStateUpdate[]): void {
    for (const update of updates) if (this.#apply(update)) this.counters.merged++
  }

  /** All that is stored and not over at `now`, for a table that begins. */
  snapshot(now: number): UserStateUpdate[] {
    const updates: UserStateUpdate[] = []
    for (const { terms, entries } of this.#tables.values()) {
      for (const [key, entry] of entries) {
        if (entry.window !== windowOf(terms, now)) continue
        const { window, number, members, value, time, writer } = entry
        const amount = terms.type === 'counter' ? number : 0
        updates.push({ ...terms, key, window, amount, members: [...members], value, time, writer })
      }
    }
    return updates
  }

  /** Forgets the states that no policy has any more. */
  keepOnly(ids: ReadonlySet<string>): void {
    for (const id of this.#tables.keys()) if (!ids.has(id)) this.#tables.delete(id)
    for (const [place, { id }] of this.#untold) if (!ids.has(id)) this.#untold.delete(place)
  }

  #apply(update: UserStateUpdate): boolean {
    const table = this.#table(update)
    let entry = table.entries.get(update.key)
    if (entry === undefined || entry.window < update.window) {
      if (entry === undefined && !this.#hasRoom(table, update.window)) {
        this.counters.full++
        return false
      }
      entry = { window: update.window, number: 0, members: new Set(), value: '', time: 0, writer: '' }
      table.entries.set(update.key, entry)
    } else if (entry.window > update.window) {
      this.counters.late++
      return false
    }
    switch (update.type) {
      case 'counter':
        entry.number = Math.max(-MOST, Math.min(MOST, entry.number + update.amount))
        return true
      case 'set':
        this.#insert(entry, update)
        return true
      case 'lastWriter':
        if (update.time < entry.time || (update.time === entry.time && update.writer < entry.writer))
          return true
        entry.value = update.value
        entry.time = update.time
        entry.writer = update.writer
        return true
    }
  }

  /** Where more members come together than fit, the first by their bytes stay, whatever the order in which they came. */
  #insert(entry: Entry, update: UserStateUpdate): void {
    for (const member of update.members) entry.members.add(member)
    if (entry.members.size > update.maxMembers) {
      this.counters.full += entry.members.size - update.maxMembers
      entry.members = new Set([...entry.members].sort().slice(0, update.maxMembers))
    }
    entry.number = entry.members.size
  }

  #note(update: UserStateUpdate): void {
    const place = `${update.id}\n${update.key}`
    const untold = this.#untold.get(place)
    if (untold === undefined || untold.window < update.window) {
      this.#untold.set(place, { ...update, members: [...update.members] })
      return
    }
    untold.amount += update.amount
    for (const member of update.members) if (!untold.members.includes(member)) untold.members.push(member)
    Object.assign(untold, { value: update.value, time: update.time })
  }

  #table(terms: UserStateTerms): Table {
    const found = this.#tables.get(terms.id)
    if (found !== undefined && sameKind(found.terms, terms)) {
      found.terms = terms
      return found
    }
    const table = { terms, entries: new Map<string, Entry>(), sweptWindow: -1 }
    this.#tables.set(terms.id, table)
    return table
  }

  /** A full table is swept at most once in a window. */
  #hasRoom(table: Table, window: number): boolean {
    const { entries, terms } = table
    if (entries.size < terms.maxKeys) return true
    if (table.sweptWindow >= window) return false
    table.sweptWindow = window
    for (const [key, entry] of entries) if (entry.window < window) entries.delete(key)
    return entries.size < terms.maxKeys
  }
}

/** A state that means something else now begins anew. */
function sameKind(a: UserStateTerms, b: UserStateTerms): boolean {
  return a.type === b.type && a.windowMs === b.windowMs && a.scope === b.scope
}

function windowOf(terms: UserStateTerms, now: number): number {
  return Math.floor(now / terms.windowMs)
}
