import type { ManifestError } from '../../api/manifest-error.ts'
import type { Resource } from '../../api/resource.ts'
import { type CompiledMesh, compileMesh } from '../compile-mesh.ts'
import { recompileMesh } from '../recompile-mesh.ts'
import { type Entry, type Event, type Store, StoreError } from '../store/store.ts'
import { AuditLog } from './audit-log.ts'
import { type Asker, batchChanges, stamp } from './batch-changes.ts'
import { EntryFollower } from './entry-follower.ts'
import { type KeptResource, RESOURCES, readStored } from './kept-resource.ts'
import { checkKept, planRequest, type Refused, type Request, type ResourceChange } from './resource-change.ts'
import { storeDifference } from './store-difference.ts'

export interface ResourceStoreOptions {
  /** Stand above what MeshConfig says. */
  overrides?: Partial<CompiledMesh['config']>
  /** Milliseconds since the epoch. */
  now?(): number
  /** A new state is on disk and is to be in force. */
  changed(mesh: CompiledMesh): void
  /** What another control plane wrote cannot be followed: what is in force stays. */
  failed?(error: Error): void
}

export type Outcome = { ok: true; changes: ResourceChange[] } | { ok: false; refused: Refused }

interface Pending {
  request: Request
  asker: Asker
  dryRun: boolean
  resolve(outcome: Outcome): void
}

/** Requests taken together at most: they share one compilation and one commit. */
const MOST_TOGETHER = 256
/** Requests that may wait; one more is refused. */
const MOST_WAITING = 10_000

/** All resources of a mesh, durable, and what they compile to. A request changes all that it names, or nothing. */
export class ResourceStore {
  readonly #store: Store
  readonly #options: ResourceStoreOptions
  readonly #audit: AuditLog
  #kept: ReadonlyMap<string, KeptResource>
  #mesh: CompiledMesh
  readonly #waiting: Pending[] = []
  readonly #watchers = new Set<(changes: readonly ResourceChange[]) => void>()
  /** While another control plane leads. */
  #follower: EntryFollower | null = null
  /** What the store holds may be something else than what is in force: a commit's outcome is not known. */
  #unsure = false
  #working = false
  /** Batches and what others wrote are brought into force one after the other. */
  #turn: Promise<void> = Promise.resolve()

  private constructor(
    store: Store,
    options: ResourceStoreOptions,
    audit: AuditLog,
    kept: ReadonlyMap<string, KeptResource>,
    mesh: CompiledMesh,
  ) {
    this.#store = store
    this.#options = options
    this.#audit = audit
    this.#kept = kept
    this.#mesh = mesh
  }

  /** Reads what the store holds; throws a StoreError where it cannot be read or does not compile. */
  static async open(store: Store, options: ResourceStoreOptions): Promise<ResourceStore> {
    const { entries } = await store.list(RESOURCES)
    const kept = readStored(entries)
    const compiled = compileMesh(resourcesOf(kept), options.overrides)
    if (!compiled.ok)
      throw new StoreError('damaged', `what is stored does not compile: ${compiled.errors[0]!.message}`)
    return new ResourceStore(store, options, await AuditLog.open(store), kept, compiled.mesh)
  }

  get mesh(): CompiledMesh {
    return this.#mesh
  }

  /** Where it is recorded who changed what. */
  get audit(): AuditLog {
    return this.#audit
  }

  /** By key (resourceKey). */
  get kept(): ReadonlyMap<string, KeptResource> {
    return this.#kept
  }

  /** Takes over what the control plane that leads writes; resolves when what it has written so far is in force. */
  async follow(): Promise<void> {
    const failed = (error: Error) => this.#options.failed?.(error)
    this.#follower?.stop()
    this.#follower = new EntryFollower({
      store: this.#store,
      prefix: RESOURCES,
      all: (entries) => void this.#inTurn(() => this.#replaceAll(entries)).catch(failed),
      changed: (events) => void this.#inTurn(() => this.#take(events)).catch(failed),
      failed,
    })
    await this.#follower.begun
    await this.#turn
  }

  unfollow(): void {
    this.#follower?.stop()
    this.#follower = null
  }

  /** Others write no more: brings everything that they have written into force. Rejects where that cannot be. */
  async lead(): Promise<void> {
    this.unfollow()
    await this.#inTurn(() => this.#reread())
    await this.#audit.reload(this.#store)
  }

  /** Resolves when the change is on disk and was given to `changed`; a dry run stops short of both. */
  request(request: Request, asker: Asker, dryRun = false): Promise<Outcome> {
    if (this.#waiting.length >= MOST_WAITING)
      return Promise.resolve({
        ok: false,
        refused: { kind: 'unavailable', message: `${MOST_WAITING} changes wait already` },
      })
    return new Promise((resolve) => {
      this.#waiting.push({ request, asker, dryRun, resolve })
      if (!this.#working) void this.#work()
    })
  }

  /** Tells of every change once it is in force; gives what ends the watch. */
  watch(changed: (changes: readonly ResourceChange[]) => void): () => void {
    this.#watchers.add(changed)
    return () => this.#watchers.delete(changed)
  }

  async #work(): Promise<void> {
    this.#working = true
    while (this.#waiting.length > 0) {
      const batch = this.#waiting.splice(0, MOST_TOGETHER)
      await this.#inTurn(() => this.#serve(batch)).catch((error: Error) => {
        const refused: Refused = { kind: 'unavailable', message: error.message }
        for (const pending of batch) pending.resolve({ ok: false, refused })
      })
    }
    this.#working = false
  }

  #inTurn(work: () => void | Promise<void>): Promise<void> {
    const done = this.#turn.then(work)
    this.#turn = done.catch(() => {})
    return done
  }

  async #reread(): Promise<void> {
    this.#replaceAll((await this.#store.list(RESOURCES)).entries)
    this.#unsure = false
  }

  #replaceAll(entries: readonly Entry[]): void {
    const there = new Set(entries.map(({ key }) => key))
    const gone = [...this.#kept.keys()].filter((key) => !there.has(key))
    this.#take([
      ...entries.map((entry) => ({ key: entry.key, entry })),
      ...gone.map((key) => ({ key, entry: null })),
    ])
  }

  /** Brings into force what is in the store, where it is not yet. */
  #take(events: readonly Event[]): void {
    const { kept, changes } = storeDifference(this.#kept, events)
    if (changes.length === 0) return
    const touched = changes.flatMap(touchedBy)
    const compiled = recompileMesh(this.#mesh, resourcesOf(kept), touched, this.#options.overrides)
    if (!compiled.ok)
      throw new StoreError('damaged', `what is stored does not compile: ${compiled.errors[0]!.message}`)
    this.#bringIntoForce(kept, compiled.mesh, changes)
  }

  #bringIntoForce(
    kept: ReadonlyMap<string, KeptResource>,
    mesh: CompiledMesh,
    changes: readonly ResourceChange[],
  ): void {
    this.#kept = kept
    this.#mesh = mesh
    this.#options.changed(mesh)
    for (const watcher of this.#watchers) watcher(changes)
  }

  async #serve(batch: readonly Pending[]): Promise<void> {
    if (this.#unsure) await this.#reread()
    const together = this.#try(batch)
    if (together) return this.#commit(together)
    // One of them cannot be: each is judged by itself.
    for (const pending of batch) {
      const alone = this.#try([pending])
      if (alone) await this.#commit(alone)
    }
  }

  /** What the batch leads to; null where not all of it can be done: a single request is answered then. */
  #try(batch: readonly Pending[]): Attempt | null {
    const kept = new Map(this.#kept)
    const plans: Plan[] = []
    // Of many requests all that they leave is checked at the end: looking through everything for each would take longest.
    const beside =
      batch.length > 1 ? resourcesOf(kept).filter(({ kind }) => kind === 'MeshConfig') : undefined
    for (const pending of batch) {
      const planned = planRequest(pending.request, kept, beside)
      if (!planned.ok) return this.#refuse(batch, planned.refused)
      plans.push({ pending, changes: planned.changes })
      // A dry run is seen by nobody; together with others it could be, so it is tried by itself.
      if (pending.dryRun && batch.length > 1) return null
      for (const { key, after } of planned.changes) {
        if (after) kept.set(key, after)
        else kept.delete(key)
      }
    }
    const touched = plans.flatMap(({ changes }) => changes.flatMap(touchedBy))
    if (touched.length === 0) return { plans, kept, mesh: this.#mesh }
    if (beside && checkKept(kept).length > 0) return null
    const compiled = recompileMesh(this.#mesh, resourcesOf(kept), touched, this.#options.overrides)
    if (compiled.ok) return { plans, kept, mesh: compiled.mesh }
    return this.#refuse(batch, { kind: 'invalid', errors: compiled.errors as ManifestError[] })
  }

  #refuse(batch: readonly Pending[], refused: Refused): null {
    if (batch.length === 1) batch[0]!.resolve({ ok: false, refused })
    return null
  }

  async #commit({ plans, kept, mesh }: Attempt): Promise<void> {
    const real = plans.filter(({ pending }) => !pending.dryRun)
    const asked = real.map(({ pending, changes }) => ({ asker: pending.asker, changes }))
    const changes = batchChanges(asked, this.#kept, this.#audit, this.#now())
    if (changes.length > 0) {
      const commit = await this.#store.commit(changes)
      if (!commit.ok) {
        this.#unsure = true
        const message =
          commit.kind === 'conflict' ? 'the store was changed by somebody else: try again' : commit.reason
        const refused: Refused = { kind: 'unavailable', message }
        for (const { pending } of plans) pending.resolve({ ok: false, refused })
        return
      }
      stamp(asked, commit.revision)
      const told = real.flatMap(({ changes: own }) => own)
      this.#bringIntoForce(kept, mesh, told)
    }
    for (const { pending, changes: own } of plans) pending.resolve({ ok: true, changes: own })
  }

  #now(): number {
    return this.#options.now?.() ?? Date.now()
  }
}

interface Attempt {
  plans: Plan[]
  kept: ReadonlyMap<string, KeptResource>
  mesh: CompiledMesh
}

interface Plan {
  pending: Pending
  changes: ResourceChange[]
}

function resourcesOf(kept: ReadonlyMap<string, KeptResource>): Resource[] {
  return Array.from(kept.values(), ({ resource }) => resource)
}

function touchedBy({ action, before, after }: ResourceChange): Resource[] {
  if (action === 'unchanged') return []
  return [before, after].flatMap((one) => (one ? [one.resource] : []))
}
