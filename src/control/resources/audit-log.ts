import type { Change, Entry, Store } from '../store/store.ts'
import type { Action } from './resource-change.ts'

/** A resource's change, or one of a node, a credential or a join token. */
export interface AuditedChange {
  kind: string
  namespace: string
  name: string
  action: Action | 'cordoned' | 'uncordoned' | 'drained'
  generation: number
}

/** Who changed what, and when. */
export interface AuditRecord {
  /** RFC 3339, UTC. */
  time: string
  /** The client's name, as its credential says. */
  who: string
  /** From where: an address, or the local socket. */
  from: string
  changes: AuditedChange[]
}

const AUDIT = 'audit/'
/** Records that are kept; the oldest go. */
const MOST_RECORDS = 10_000

/** The records, each a key of its own, written in the commit whose changes it tells of. */
export class AuditLog {
  #keys: string[]
  #serial = 0

  private constructor(keys: string[]) {
    this.#keys = keys
  }

  static async open(store: Store): Promise<AuditLog> {
    const log = new AuditLog([])
    await log.reload(store)
    return log
  }

  /** Others may have written to it. */
  async reload(store: Store): Promise<void> {
    const { entries } = await store.list(AUDIT)
    this.#keys = entries.map(({ key }) => key)
  }

  /** The changes that write a record, and delete what is too old. `now` is ms since the epoch. */
  writing(record: Omit<AuditRecord, 'time'>, now: number): Change[] {
    const time = new Date(now).toISOString()
    this.#serial = (this.#serial + 1) % 1_000_000
    const key = `${AUDIT}${time}-${String(this.#serial).padStart(6, '0')}-${Math.random().toString(36).slice(2, 8)}`
    this.#keys.push(key)
    const changes: Change[] = [{ kind: 'put', key, value: JSON.stringify({ time, ...record }) }]
    while (this.#keys.length > MOST_RECORDS) changes.push({ kind: 'delete', key: this.#keys.shift()! })
    return changes
  }

  /** The changes that record a single change of something that is no resource. */
  of(
    { name: who, from }: { name: string; from: string },
    kind: string,
    name: string,
    action: AuditedChange['action'],
    now: number,
  ): Change[] {
    return this.writing({ who, from, changes: [{ kind, namespace: '', name, action, generation: 0 }] }, now)
  }
}

/** The newest records, the newest last. */
export async function readAudit(store: Store, most: number): Promise<AuditRecord[]> {
  const { entries } = await store.list(AUDIT)
  return entries.slice(-most).map(({ value }: Entry) => JSON.parse(value) as AuditRecord)
}
