import { KINDS } from '../../api/resource.ts'
import type { KeptResource } from '../resources/kept-resource.ts'
import { labelsMatch, parseLabelSelector } from './label-selector.ts'

export interface ListQuery {
  kind: string
  namespace: string
  name: string
  labelSelector: string
}

/** Whether a resource is meant by a query, or what is wrong with the query. */
export function readQuery(
  query: ListQuery,
): { ok: true; matches(kept: KeptResource): boolean } | { ok: false; message: string } {
  const { kind, namespace, name, labelSelector } = query
  if (kind !== '' && !Object.hasOwn(KINDS, kind))
    return {
      ok: false,
      message: `there is no kind ${JSON.stringify(kind)}: the kinds are ${Object.keys(KINDS).join(', ')}`,
    }
  const parsed = parseLabelSelector(labelSelector)
  if (!parsed.ok) return parsed
  return {
    ok: true,
    matches: ({ resource }) =>
      (kind === '' || resource.kind === kind) &&
      (namespace === '' || resource.metadata.namespace === namespace) &&
      (name === '' || resource.metadata.name === name) &&
      labelsMatch(parsed.selector, resource.metadata.labels),
  }
}

/** The resources that a query means, in the order of their keys. */
export function listResources(
  query: ListQuery,
  kept: ReadonlyMap<string, KeptResource>,
): { ok: true; items: KeptResource[] } | { ok: false; message: string } {
  const read = readQuery(query)
  if (!read.ok) return read
  const entries = [...kept].filter(([, one]) => read.matches(one))
  entries.sort(([a], [b]) => (a < b ? -1 : 1))
  return { ok: true, items: entries.map(([, one]) => one) }
}

/** A resource as clients get it: as it was written, with what the server knows of it in its metadata. */
export function toItem({ resource, text, modified, generation }: KeptResource) {
  const written = JSON.parse(text) as Record<string, unknown>
  const metadata = { ...(written.metadata as object), resourceVersion: String(modified), generation }
  return {
    kind: resource.kind,
    namespace: resource.metadata.namespace,
    name: resource.metadata.name,
    resourceVersion: String(modified),
    generation: BigInt(generation),
    manifest: JSON.stringify({ ...written, metadata }),
  }
}
