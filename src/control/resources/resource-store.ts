import { type CompiledMesh, compileMesh } from '../compile-mesh.ts'
import { LayeredMap } from '../layered-map.ts'
import type { MeshDifference } from '../mesh-difference.ts'
import { MeshInputs } from '../mesh-inputs.ts'
import { type Recompilation, recompileMesh } from '../recompile-mesh.ts'
import { type Entry, type Event, type Store, StoreError } from '../store/store.ts'
import { AuditLog } from './audit-log.ts'
import { type Asker, batchChanges, stamp } from './batch-changes.ts'
import { EntryFollower } from './entry-follower.ts'
import { compactKept, type KeptResource, RESOURCES, readStored } from './kept-resource.ts'
import { type Outcome, type Pending, RequestQueue } from './request-queue.ts'
import { planRequest, type Refused, type Request, type ResourceChange } from './resource-change.ts'
import { editsOf, ResourceDraft } from './resource-draft.ts'
import { revisionsNamed, type ServiceRevision } from './service-revisions.ts'
import { storeDifference } from './store-difference.ts'

export interface ResourceStoreOptions {
  /** Stand above what MeshConfig says. */
  overrides?: Partial<CompiledMesh['config']>
  /** Milliseconds since the epoch. */
  now?(): number
  /** A new state is on disk and is to be in force; `difference` says what of it is new. */
  changed(mesh: CompiledMesh, difference: MeshDifference): void
  /** What another control plane wrote cannot be followed: what is in force stays. */
  failed?(error: Error): void
}

/** All resources of a mesh, durable, and what they compile to. A request changes all that it names, or nothing. */
export class ResourceStore {
  readonly #store: Store
  readonly #options: ResourceStoreOptions
  readonly #audit: AuditLog
  #kept: LayeredMap<KeptResource>
  /** Of all that is kept. */
  readonly #inputs: MeshInputs
  #mesh: CompiledMesh
  readonly #queue = new RequestQueue((batch) => this.#inTurn(() => this.#serve(batch)))
  readonly #watchers = new Set<(changes: readonly ResourceChange[]) => void>()
  /** While another control plane leads. */
  #follower: EntryFollower | null = null
  /** What the store holds may be something else than what is in force: a commit's outcome is not known. */
  #unsure = false
  /** Batches and what others wrote are brought into force one after the other. */
  #turn: Promise<void> = Promise.resolve()

  private constructor(
    store: Store,
    options: ResourceStoreOptions,
    audit: AuditLog,
    kept: LayeredMap<KeptResource>,
    mesh: CompiledMesh,
  ) {
    this.#store = store
    this.#options = options
    this.#audit = audit
    this.#kept = kept
    this.#inputs = new MeshInputs(Array.from(kept.values(), ({ resource }) => resource))
    this.#mesh = mesh
  }

  /** Reads what the store holds; throws a StoreError where it cannot be read or does not compile. */
  static async open(store: Store, options: ResourceStoreOptions): Promise<ResourceStore> {
    const { entries } = await store.list(RESOURCES)
    const read = readStored(entries)
    const resources = Array.from(read.values(), ({ resource }) => resource)
    const compiled = compileMesh(resources, options.overrides)
    if (!compiled.ok)
      throw new StoreError('damaged', `what is stored does not compile: ${compiled.errors[0]!.message}`)
    const kept = new Map(Array.from(read, ([key, one]) => [key, compactKept(one)]))
    const audit = await AuditLog.open(store)
    return new ResourceStore(store, options, audit, LayeredMap.of(kept), compiled.mesh)
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
    return this.#queue.push(request, asker, dryRun)
  }

  /** Tells of every change once it is in force; gives what ends the watch. */
  watch(changed: (changes: readonly ResourceChange[]) => void): () => void {
    this.#watchers.add(changed)
    return () => this.#watchers.delete(changed)
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
    const taken = this.#drafting((draft) => {
      const changes = storeDifference(draft, events)
      if (changes.length === 0) return null
      const compiled = this.#compile(draft, changes)
      if (!compiled.ok)
        throw new StoreError('damaged', `what is stored does not compile: ${compiled.errors[0]!.message}`)
      return { changes, kept: draft.whole(), ...compiled }
    })
    if (taken) this.#bringIntoForce(taken, taken.changes)
  }

  #bringIntoForce(
    { kept, mesh, difference }: Pick<Attempt, 'kept' | 'mesh' | 'difference'>,
    changes: readonly ResourceChange[],
  ): void {
    this.#kept = kept
    this.#mesh = mesh
    this.#options.changed(mesh, difference)
    for (const watcher of this.#watchers) watcher(changes)
  }

  async #serve(batch: readonly Pending[]): Promise<void> {
    if (this.#unsure) await this.#reread()
    const requests = batch.map(({ request }) => request)
    const revisions = await revisionsNamed(requests, this.#store, () => this.#inputs.all('MeshConfig'))
    const { attempt, left } = this.#drafting((draft) => this.#try(batch, draft), revisions)
    if (attempt) await this.#commit(attempt)
    // What cannot be together with others is judged by itself, after them.
    for (const pending of left) {
      if (this.#unsure) await this.#reread()
      const alone = this.#drafting((draft) => this.#try([pending], draft), revisions)
      if (alone.attempt) await this.#commit(alone.attempt)
    }
  }

  /** What the batch leads to, and which of it has to be tried by itself: a single request that cannot be is answered. */
  #try(batch: readonly Pending[], draft: ResourceDraft): Trial {
    const alone = batch.length === 1
    const plans: Plan[] = []
    const left: Pending[] = []
    for (const pending of batch) {
      // A dry run is seen by nobody; together with others it could be.
      const planned = !alone && pending.dryRun ? null : planRequest(pending.request, draft)
      if (planned?.ok) {
        draft.take(planned.changes)
        plans.push({ pending, changes: planned.changes })
      } else if (planned && alone) return this.#refused(pending, planned.refused)
      else left.push(pending)
    }
    const changes = plans.flatMap((plan) => plan.changes)
    if (changes.every(({ action }) => action === 'unchanged')) {
      const difference = { since: this.#mesh, upsert: [], remove: [] }
      const same = { kept: this.#kept, mesh: this.#mesh, difference }
      return { attempt: { plans, ...same, undo: () => {} }, left }
    }
    const compiled = this.#compile(draft, changes)
    if (compiled.ok)
      return { attempt: { plans, kept: draft.whole(), undo: () => draft.undo(), ...compiled }, left }
    if (alone) return this.#refused(batch[0]!, { kind: 'invalid', errors: compiled.errors })
    return { attempt: null, left: batch }
  }

  /** Where it does not compile the draft is given up. */
  #compile(draft: ResourceDraft, changes: readonly ResourceChange[]): Recompilation {
    const all = () => draft.resources()
    const edits = editsOf(changes)
    const compiled = recompileMesh(this.#mesh, this.#inputs, edits, all, this.#options.overrides)
    if (!compiled.ok) draft.undo()
    return compiled
  }

  /** Whatever goes wrong with a draft, nothing stays of it. */
  #drafting<Result>(
    work: (draft: ResourceDraft) => Result,
    revisions: ReadonlyMap<string, readonly ServiceRevision[]> = new Map(),
  ): Result {
    const draft = new ResourceDraft(this.#kept, this.#inputs, revisions)
    try {
      return work(draft)
    } catch (error) {
      draft.undo()
      throw error
    }
  }

  #refused(pending: Pending, refused: Refused): Trial {
    pending.resolve({ ok: false, refused })
    return { attempt: null, left: [] }
  }

  async #commit(attempt: Attempt): Promise<void> {
    const { plans } = attempt
    const real = plans.filter(({ pending }) => !pending.dryRun)
    const asked = real.map(({ pending, changes }) => ({ asker: pending.asker, changes }))
    const changes = batchChanges(asked, this.#kept, this.#audit, this.#now())
    if (changes.length === 0) attempt.undo()
    else {
      const commit = await this.#store.commit(changes)
      if (!commit.ok) {
        attempt.undo()
        this.#unsure = true
        const message =
          commit.kind === 'conflict' ? 'the store was changed by somebody else: try again' : commit.reason
        const refused: Refused = { kind: 'unavailable', message }
        for (const { pending } of plans) pending.resolve({ ok: false, refused })
        return
      }
      stamp(asked, commit.revision)
      const told = real.flatMap(({ changes: own }) => own)
      this.#bringIntoForce(attempt, told)
    }
    for (const { pending, changes: own } of plans) pending.resolve({ ok: true, changes: own })
  }

  #now(): number {
    return this.#options.now?.() ?? Date.now()
  }
}

/** What can be, and is not yet. */
interface Attempt {
  plans: Plan[]
  kept: LayeredMap<KeptResource>
  mesh: CompiledMesh
  difference: MeshDifference
  /** It is not to be. */
  undo(): void
}

interface Trial {
  attempt: Attempt | null
  /** Requests that are to be tried by themselves. */
  left: readonly Pending[]
}

interface Plan {
  pending: Pending
  changes: ResourceChange[]
}
