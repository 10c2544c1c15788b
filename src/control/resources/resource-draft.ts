import type { Kind, Resource } from '../../api/resource.ts'
import type { LayeredMap } from '../layered-map.ts'
import type { MeshInputs, ResourceEdit } from '../mesh-inputs.ts'
import { wholeResource } from './compact-resource.ts'
import { type KeptResource, keyOf } from './kept-resource.ts'
import type { ResourceChange } from './resource-change.ts'
import type { ServiceRevision } from './service-revisions.ts'

/** Kinds of which a namespace has one for all of its functions. */
const SINGLE: readonly Kind[] = ['PeerAuthentication', 'Sidecar', 'Telemetry']

/**
 * How the resources would be after some changes, on trial. `inputs` are of the resources as they are; they take each change over,
 * and give it up again with `undo`: there is one draft at a time.
 */
export class ResourceDraft {
  readonly #kept: LayeredMap<KeptResource>
  readonly #inputs: MeshInputs
  /** Looked up beforehand, by "namespace/name". */
  readonly #revisions: ReadonlyMap<string, readonly ServiceRevision[]>
  readonly #changes: [string, KeptResource | null][] = []
  readonly #last = new Map<string, KeptResource | null>()
  readonly #undo: (() => void)[] = []

  constructor(
    kept: LayeredMap<KeptResource>,
    inputs: MeshInputs,
    revisions: ReadonlyMap<string, readonly ServiceRevision[]>,
  ) {
    this.#kept = kept
    this.#inputs = inputs
    this.#revisions = revisions
  }

  revisions(namespace: string, name: string): readonly ServiceRevision[] {
    return this.#revisions.get(`${namespace}/${name}`) ?? []
  }

  get(key: string): KeptResource | undefined {
    const changed = this.#last.get(key)
    return changed === undefined ? this.#kept.get(key) : (changed ?? undefined)
  }

  take(changes: readonly ResourceChange[]): void {
    for (const { key, action, after } of changes) {
      if (action === 'unchanged') continue
      this.#changes.push([key, after])
      this.#last.set(key, after)
    }
    this.#undo.push(this.#inputs.change(editsOf(changes)))
  }

  /** What of the others those that were read have to be checked together with. */
  beside(read: readonly Resource[]): Resource[] {
    const replaced = new Set(read.map(keyOf))
    const others = read.some(({ kind }) => kind === 'MeshConfig') ? this.resources() : this.#near(read)
    return [...others].filter((one) => !replaced.has(keyOf(one)))
  }

  *resources(): Generator<Resource> {
    for (const { resource } of this.whole().values()) yield wholeResource(resource)
  }

  whole(): LayeredMap<KeptResource> {
    return this.#changes.length === 0 ? this.#kept : this.#kept.with(this.#changes)
  }

  /** It is not to be: `inputs` are as they were before it. */
  undo(): void {
    for (const one of this.#undo.splice(0).reverse()) one()
  }

  /** Without another MeshConfig nothing else that is there already can become wrong. */
  #near(read: readonly Resource[]): Resource[] {
    const namespaces = (kind: Kind) =>
      new Set(read.filter((one) => one.kind === kind).map(({ metadata }) => metadata.namespace))
    const singles = SINGLE.flatMap((kind) =>
      [...namespaces(kind)].flatMap((namespace) => this.#inputs.wide(kind, namespace)),
    )
    return [...this.#inputs.all('MeshConfig'), ...singles]
  }
}

export function editsOf(changes: readonly ResourceChange[]): ResourceEdit[] {
  return changes
    .filter(({ action }) => action !== 'unchanged')
    .map(({ before, after }) => ({ before: before?.resource ?? null, after: after?.resource ?? null }))
}
