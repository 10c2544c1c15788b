import type { Source } from '../../api/manifest-error.ts'
import { readManifests } from '../../api/read-manifests.ts'
import type { Kind, Resource } from '../../api/resource.ts'
import { type Entry, StoreError } from '../store/store.ts'
import { compactResource } from './compact-resource.ts'
import { earlierRevisions, type ServiceRevision } from './service-revisions.ts'

/** A resource as the control plane keeps it. */
export interface KeptResource {
  resource: Resource
  /** What the user wrote, as JSON, without what the server fills in. */
  text: string
  /** How often what its instances run by has changed, from 1: the number of a Service's newest revision. */
  generation: number
  /** Of a Service: those of its earlier revisions that its traffic names. */
  revisions?: readonly ServiceRevision[]
  /** Revisions of the store: resourceVersion is `modified`. */
  created: number
  modified: number
}

/** What is stored of it. */
interface StoredResource {
  text: string
  source: Source
  generation: number
  revisions?: readonly ServiceRevision[]
}

export const RESOURCES = 'resources/'

/** "resources/KIND/NAMESPACE/NAME": a resource's key in the store. */
export function resourceKey(kind: string, namespace: string, name: string): string {
  return `${RESOURCES}${kind}/${namespace}/${name}`
}

export function keyOf({ kind, metadata }: Resource): string {
  return resourceKey(kind, metadata.namespace, metadata.name)
}

export function storedValue({ text, resource, generation, revisions }: KeptResource): string {
  const stored: StoredResource = {
    text,
    source: resource.source,
    generation,
    ...(revisions && { revisions }),
  }
  return JSON.stringify(stored)
}

/** Reads what was stored beside `others`; throws a StoreError where this version cannot read it. */
export function readStored(
  entries: readonly Entry[],
  others: (read: readonly Resource[]) => readonly Resource[] = () => [],
): Map<string, KeptResource> {
  const stored = entries.map((entry) => ({ entry, value: JSON.parse(entry.value) as StoredResource }))
  const files = stored.map(({ entry, value }) => ({ path: entry.key, text: value.text }))
  const reading = readManifests(files, others)
  if (!reading.ok) {
    const [first] = reading.errors
    throw new StoreError(
      'damaged',
      `${first!.file} cannot be read any more: ${first!.field}: ${first!.message}`,
    )
  }
  const kept = new Map<string, KeptResource>()
  reading.resources.forEach((resource, i) => {
    const { entry, value } = stored[i]!
    const { text, source, generation, revisions } = value
    const metadata = { ...resource.metadata, generation }
    const restored = { ...resource, metadata, source } as Resource
    if (revisions && restored.kind === 'Service') restored.revisions = earlierRevisions(revisions)
    const there = { resource: restored, text, generation, ...(revisions && { revisions }) }
    kept.set(entry.key, { ...there, ...revisionsOf(entry) })
  })
  return kept
}

/** In less memory. */
export function compactKept(kept: KeptResource): KeptResource {
  return { ...kept, resource: compactResource(kept.resource, kept.text) }
}

function revisionsOf({ created, modified }: Entry): { created: number; modified: number } {
  return { created, modified }
}

/** Fields of metadata that a server writes: they are no part of what the user wrote. */
const WRITTEN_BY_SERVERS = [
  'creationTimestamp',
  'deletionGracePeriodSeconds',
  'deletionTimestamp',
  'generation',
  'managedFields',
  'resourceVersion',
  'selfLink',
  'uid',
]

/** What the user wrote, and the resourceVersion that it was read with, '' where it names none. */
export function writtenText(value: Readonly<Record<string, unknown>>): {
  text: string
  resourceVersion: string
} {
  const { status: _, ...rest } = value
  const metadata = { ...(rest.metadata as Record<string, unknown>) }
  const resourceVersion = metadata.resourceVersion === undefined ? '' : String(metadata.resourceVersion)
  for (const field of WRITTEN_BY_SERVERS) delete metadata[field]
  return { text: JSON.stringify({ ...rest, metadata }), resourceVersion }
}

/** What a Service's instances run by; another kind has no revisions. */
export function templateOf(kind: Kind, text: string): string {
  if (kind !== 'Service') return ''
  const written = JSON.parse(text) as { spec?: { template?: unknown } }
  return JSON.stringify(written.spec?.template ?? null)
}
