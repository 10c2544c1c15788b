import type { Change } from '../store/store.ts'
import type { AuditLog } from './audit-log.ts'
import { type KeptResource, storedValue } from './kept-resource.ts'
import type { ResourceChange } from './resource-change.ts'
import { revisionChanges } from './service-revisions.ts'

/** Who asks. */
export interface Asker {
  who: string
  from: string
}

export interface Asked {
  asker: Asker
  changes: readonly ResourceChange[]
}

/**
 * What several requests together write to the store: resources, on condition of how each is there, their revisions, and a record
 * of who asked. `now` is milliseconds since the epoch.
 */
export function batchChanges(
  batch: readonly Asked[],
  kept: ReadonlyMap<string, KeptResource>,
  audit: AuditLog,
  now: number,
): Change[] {
  // Of several changes of one resource the last one counts.
  const last = new Map<string, ResourceChange>()
  const records: Change[] = []
  for (const { asker, changes } of batch) {
    const real = changes.filter(({ action }) => action !== 'unchanged')
    if (real.length === 0) continue
    for (const change of real) last.set(change.key, change)
    records.push(...audit.writing({ ...asker, changes: real.map(told) }, now))
    records.push(...real.flatMap(revisionChanges))
  }
  const puts = [...last.values()].map(({ key, after }): Change => {
    const ifModified = kept.get(key)?.modified ?? 0
    return after
      ? { kind: 'put', key, value: storedValue(after), ifModified }
      : { kind: 'delete', key, ifModified }
  })
  return [...puts, ...uniqueByKey(records)]
}

/** The commit's revision is the resourceVersion of all that it wrote. */
export function stamp(batch: readonly Asked[], revision: number): void {
  for (const { changes } of batch) {
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
