import type { ManifestError } from '../../api/manifest-error.ts'
import type { Resource } from '../../api/resource.ts'
import { type CompiledMesh, compileMesh } from '../compile-mesh.ts'
import { recompileMesh } from '../recompile-mesh.ts'
import { type Change, type Store, StoreError } from '../store/store.ts'
import { AuditLog } from './audit-log.ts'
import { type KeptResource, RESOURCES, readStored, storedValue } from './kept-resource.ts'
import { planRequest, type Refused, type Request, type ResourceChange } from './resource-change.ts'
import { revisionChanges } from './service-revisions.ts'

export interface ResourceStoreOptions {
  /** Stand above what MeshConfig says. */
  overrides?: Partial<CompiledMesh['config']>
  /** Milliseconds since the epoch. */
  now?(): number
  /** A new state is on disk and is to be in force. */
  changed(mesh: CompiledMesh): void
}

/** Who asks. */
export interface Asker {
  who: string
  from: string
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
  #working = false

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

  /** By key (resourceKey). */
  get kept(): ReadonlyMap<string, KeptResource> {
    return this.#kept
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
    while (this.#waiting.length > 0) await this.#take(this.#waiting.splice(0, MOST_TOGETHER))
    this.#working = false
  }

  async #take(batch: readonly Pending[]): Promise<void> {
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
    const plans: { pending: Pending; changes: ResourceChange[] }[] = []
    for (const pending of batch) {
      const planned = planRequest(pending.request, kept)
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
    const changes = this.#changes(real)
    if (changes.length > 0) {
      const commit = await this.#store.commit(changes)
      if (!commit.ok) {
        const refused: Refused =
          commit.kind === 'conflict'
            ? { kind: 'unavailable', message: 'another control plane changed the store: ask that one' }
            : { kind: 'unavailable', message: commit.reason }
        for (const { pending } of plans) pending.resolve({ ok: false, refused })
        return
      }
      stamp(real, commit.revision)
      this.#kept = kept
      this.#mesh = mesh
      this.#options.changed(mesh)
      const told = real.flatMap(({ changes: own }) => own)
      for (const watcher of this.#watchers) watcher(told)
    }
    for (const { pending, changes: own } of plans) pending.resolve({ ok: true, changes: own })
  }

  #changes(plans: Attempt['plans']): Change[] {
    // Of several changes of one resource the last one counts, on condition of how it is in the store.
    const last = new Map<string, ResourceChange>()
    const records: Change[] = []
    for (const { pending, changes } of plans) {
      const real = changes.filter(({ action }) => action !== 'unchanged')
      if (real.length === 0) continue
      for (const change of real) last.set(change.key, change)
      records.push(...this.#audit.writing({ ...pending.asker, changes: real.map(told) }, this.#now()))
      records.push(...real.flatMap(revisionChanges))
    }
    const puts = [...last.values()].map(({ key, after }): Change => {
      const ifModified = this.#kept.get(key)?.modified ?? 0
      return after
        ? { kind: 'put', key, value: storedValue(after), ifModified }
        : { kind: 'delete', key, ifModified }
    })
    return [...puts, ...uniqueByKey(records)]
  }

  #now(): number {
    return this.#options.now?.() ?? Date.now()
  }
}

interface Attempt {
  plans: { pending: Pending; changes: ResourceChange[] }[]
  kept: ReadonlyMap<string, KeptResource>
  mesh: CompiledMesh
}

function resourcesOf(kept: ReadonlyMap<string, KeptResource>): Resource[] {
  return Array.from(kept.values(), ({ resource }) => resource)
}

function touchedBy({ action, before, after }: ResourceChange): Resource[] {
  if (action === 'unchanged') return []
  return [before, after].flatMap((one) => (one ? [one.resource] : []))
}

/** The commit's revision is the resourceVersion of all that it wrote. */
function stamp(plans: Attempt['plans'], revision: number): void {
  for (const { changes } of plans) {
    for (const { action, before, after } of changes) {
      if (action === 'unchanged' || !after) continue
      after.created = before?.created || revision
      after.modified = revision
    }
  }
}

function told({ action, before, after }: ResourceChange) {
  const { resource, generation } = (after ?? before)!
  const { kind, metadata } = resource
  return { kind, namespace: metadata.namespace, name: metadata.name, action, generation }
}

function uniqueByKey(changes: readonly Change[]): Change[] {
  return [...new Map(changes.map((change) => [change.key, change])).values()]
}
