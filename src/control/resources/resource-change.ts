import { basename, isAbsolute } from 'node:path'
import type { ManifestError } from '../../api/manifest-error.ts'
import { readManifests } from '../../api/read-manifests.ts'
import type { Resource } from '../../api/resource.ts'
import { compactResource } from './compact-resource.ts'
import { withEarlierRevisions } from './earlier-revisions.ts'
import { type KeptResource, keyOf, resourceKey, templateOf, writtenText } from './kept-resource.ts'
import type { ServiceRevision } from './service-revisions.ts'

/** What somebody asks to be changed: manifests to be as written, or a resource to be gone. */
export type Request =
  | { kind: 'apply'; files: readonly { path: string; text: string }[] }
  | { kind: 'delete'; of: string; namespace: string; name: string; resourceVersion: string }

export type Action = 'created' | 'configured' | 'unchanged' | 'deleted'

/** One resource of a request: how it was and how it is to be. */
export interface ResourceChange {
  key: string
  action: Action
  before: KeptResource | null
  after: KeptResource | null
}

/** Why a request is refused as a whole. */
export type Refused =
  | { kind: 'invalid'; errors: ManifestError[] }
  | { kind: 'missing'; message: string }
  | { kind: 'conflict'; message: string }
  | { kind: 'unavailable'; message: string }

export type Planned = { ok: true; changes: ResourceChange[] } | { ok: false; refused: Refused }

/** The resources that a request is about to change. */
export interface Present {
  get(key: string): KeptResource | undefined
  /** Those beside which the resources that were read would stand, as far as they have to be checked together. */
  beside(read: readonly Resource[]): readonly Resource[]
  resources(): Iterable<Resource>
  /** Earlier revisions of a Service, as far as they were looked up. */
  revisions(namespace: string, name: string): readonly ServiceRevision[]
}

/** What a request means for the resources that there are. */
export function planRequest(request: Request, present: Present): Planned {
  return request.kind === 'apply' ? planApply(request.files, present) : planDelete(request, present)
}

function planApply(files: readonly { path: string; text: string }[], present: Present): Planned {
  const reading = readManifests(files, (read) => present.beside(read))
  if (!reading.ok) return invalid(reading.errors)
  const changes: ResourceChange[] = []
  for (const { resource, value } of reading.written) {
    const key = keyOf(resource)
    const before = present.get(key) ?? null
    const { text, resourceVersion } = writtenText(value)
    const conflict = versionConflict(key, before, resourceVersion)
    if (conflict !== null) return { ok: false, refused: { kind: 'conflict', message: conflict } }
    if (before && before.text === text) {
      changes.push({ key, action: 'unchanged', before, after: before })
      continue
    }
    if (before && isPlaceless(resource.source.file)) resource.source = before.resource.source
    const generation = generationOf(before, resource.kind, text)
    resource.metadata.generation = generation
    const after: KeptResource = {
      resource,
      text,
      generation,
      created: 0,
      modified: 0,
    }
    const problems = withEarlierRevisions(after, before, present)
    if (problems.length > 0) return invalid(problems)
    after.resource = compactResource(resource, text)
    changes.push({ key, action: before ? 'configured' : 'created', before, after })
  }
  return { ok: true, changes }
}

/**
 * Standard input ("/DIR/-") and what was no file are in no folder: what such a manifest names beside it is where it was when the
 * resource was last written in a file.
 */
function isPlaceless(file: string): boolean {
  return !isAbsolute(file) || basename(file) === '-'
}

function generationOf(
  before: KeptResource | null,
  kind: KeptResource['resource']['kind'],
  text: string,
): number {
  if (!before) return 1
  return templateOf(kind, before.text) === templateOf(kind, text) ? before.generation : before.generation + 1
}

function planDelete(
  { of, namespace, name, resourceVersion }: Extract<Request, { kind: 'delete' }>,
  present: Present,
): Planned {
  const key = resourceKey(of, namespace, name)
  const before = present.get(key)
  if (!before)
    return { ok: false, refused: { kind: 'missing', message: `there is no ${of} ${namespace}/${name}` } }
  const conflict = versionConflict(key, before, resourceVersion)
  if (conflict !== null) return { ok: false, refused: { kind: 'conflict', message: conflict } }
  // Others may need what a MeshConfig says; they need nothing else of one another.
  if (of === 'MeshConfig') {
    const others = [...present.resources()].filter((one) => keyOf(one) !== key)
    const reading = readManifests([], () => others)
    if (!reading.ok) return invalid(reading.errors)
  }
  return { ok: true, changes: [{ key, action: 'deleted', before, after: null }] }
}

/** As Kubernetes has it: who names a version means that one; who names none means whatever there is. */
function versionConflict(key: string, before: KeptResource | null, wanted: string): string | null {
  const there = before === null ? '' : String(before.modified)
  if (wanted === '' || wanted === there) return null
  const name = key.slice('resources/'.length)
  return before === null
    ? `${name} is not there any more (resourceVersion ${wanted} was asked for): remove the resourceVersion to create it`
    : `${name} is at resourceVersion ${there}, not ${wanted}: somebody changed it since; get it again and repeat the change`
}

function invalid(errors: ManifestError[]): Planned {
  return { ok: false, refused: { kind: 'invalid', errors } }
}
