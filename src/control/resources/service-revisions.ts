import type { Change, Store } from '../store/store.ts'
import type { ResourceChange } from './resource-change.ts'

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

function revisionKey(namespace: string, name: string, generation: number): string {
  return `${REVISIONS}${namespace}/${name}/${String(generation).padStart(10, '0')}`
}

function range(from: number, to: number): number[] {
  return Array.from({ length: to - from + 1 }, (_, i) => from + i)
}
