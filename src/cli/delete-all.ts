import { formatManifestError } from '../api/manifest-error.ts'
import { readManifests } from '../api/read-manifests.ts'
import { type MeshClient, problemOf } from './cluster-client.ts'
import { fail } from './output.ts'
import type { Item } from './selection.ts'

export type Named = Pick<Item, 'kind' | 'namespace' | 'name'>

/** What the manifests in files name, the last first: what was applied after others may need them. Ends the command where they are no manifests. */
export function writtenIn(files: readonly { path: string; text: string }[]): Named[] {
  const reading = readManifests([...files])
  if (!reading.ok) return fail(reading.errors.map(formatManifestError).join('\n'))
  return reading.resources
    .map(({ kind, metadata }) => ({ kind, namespace: metadata.namespace, name: metadata.name }))
    .toReversed()
}

/**
 * Deletes one after the other; gives what is wrong, or null. What others still need is tried again once those are gone.
 * `deleted` is told of each.
 */
export async function deleteAll(
  client: MeshClient,
  items: readonly Named[],
  { dryRun = false, ignoreNotFound = false }: { dryRun?: boolean; ignoreNotFound?: boolean },
  deleted: (item: Named) => void = () => {},
): Promise<string | null> {
  const { Code, ConnectError } = await import('@connectrpc/connect')
  let left = [...items]
  for (;;) {
    const refused: { item: Named; problem: string }[] = []
    for (const item of left) {
      try {
        await client.delete({ kind: item.kind, namespace: item.namespace, name: item.name, dryRun })
        deleted(item)
      } catch (error) {
        const { code } = ConnectError.from(error)
        if (code === Code.NotFound && ignoreNotFound) continue
        if (code !== Code.NotFound && code !== Code.InvalidArgument) return problemOf(error)
        refused.push({ item, problem: await problemOf(error) })
      }
    }
    if (refused.length === 0) return null
    if (refused.length === left.length || dryRun) return refused.map(({ problem }) => problem).join('\n')
    left = refused.map(({ item }) => item)
  }
}
