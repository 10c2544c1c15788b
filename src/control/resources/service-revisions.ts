import { readManifests } from '../../api/read-manifests.ts'
import type { Resource } from '../../api/resource.ts'
import type { EarlierRevision } from '../../api/service.ts'
import type { Change, Store } from '../store/store.ts'
import type { Request, ResourceChange } from './resource-change.ts'

/** A revision of a Service: what its instances ran by from some change on. */
export interface ServiceRevision {
  generation: number
  /** The manifest as it was written, as JSON. */
  text: string
}

/** Earlier revisions of each Service that are kept for a rollback. */
const MOST_REVISIONS = 20

const REVISIONS = 'revisions/'

/** What a change of a resource means for the revisions that are kept; nothing where it is no Service or runs as before. */
export function revisionChanges({ before, after }: ResourceChange): Change[] {
  const { resource } = (after ?? before)!
  if (resource.kind !== 'Service') return []
  const { namespace, name } = resource.metadata
  if (!after) {
    const oldest = Math.max(1, before!.generation - MOST_REVISIONS + 1)
    return range(oldest, before!.generation).map((generation) => ({
      kind: 'delete',
      key: revisionKey(namespace, name, generation),
    }))
  }
  if (before?.generation === after.generation) return []
  const { generation, text } = after
  const changes: Change[] = [{ kind: 'put', key: revisionKey(namespace, name, generation), value: text }]
  const old = generation - MOST_REVISIONS
  if (old > 0) changes.push({ kind: 'delete', key: revisionKey(namespace, name, old) })
  return changes
}

/** The revisions of a Service that are kept, the oldest first. */
export async function readRevisions(
  store: Store,
  namespace: string,
  name: string,
): Promise<ServiceRevision[]> {
  const prefix = `${REVISIONS}${namespace}/${name}/`
  const { entries } = await store.list(prefix)
  return entries.map(({ key, value }) => ({ generation: Number(key.slice(prefix.length)), text: value }))
}

/** What the revisions run, as they were written. */
export function earlierRevisions(kept: readonly ServiceRevision[]): EarlierRevision[] {
  return kept.flatMap(({ generation, text }) => {
    const reading = readManifests([{ path: String(generation), text }])
    const [resource] = reading.ok ? reading.resources : []
    return resource?.kind === 'Service' ? [{ generation, template: resource.spec.template }] : []
  })
}

/** The kept revisions of each Service, by "namespace/name", whose traffic a request wants to name some of. */
export async function revisionsNamed(
  requests: readonly Request[],
  store: Store,
  others: () => readonly Resource[],
): Promise<Map<string, ServiceRevision[]>> {
  const found = new Map<string, ServiceRevision[]>()
  // Few requests do, and they are read once more for it.
  const files = requests.flatMap((one) => (one.kind === 'apply' ? one.files : []))
  for (const file of files.filter(({ text }) => text.includes('revisionName'))) {
    const reading = readManifests([file], others)
    for (const { kind, metadata } of reading.ok ? reading.resources : []) {
      const key = `${metadata.namespace}/${metadata.name}`
      if (kind === 'Service') found.set(key, await readRevisions(store, metadata.namespace, metadata.name))
    }
  }
  return found
}

function revisionKey(namespace: string, name: string, generation: number): string {
  return `${REVISIONS}${namespace}/${name}/${String(generation).padStart(10, '0')}`
}

function range(from: number, to: number): number[] {
  return Array.from({ length: to - from + 1 }, (_, i) => from + i)
}
