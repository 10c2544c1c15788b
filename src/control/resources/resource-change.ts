import { basename, isAbsolute } from 'node:path'
import type { ManifestError } from '../../api/manifest-error.ts'
import { readManifests } from '../../api/read-manifests.ts'
import type { Resource } from '../../api/resource.ts'
import { type KeptResource, keyOf, resourceKey, templateOf, writtenText } from './kept-resource.ts'

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

/**
 * What a request means for the resources that there are. What it leaves is checked together with the resources of `beside`
 * alone, where those are given: the caller then has to check all.
 */
export function planRequest(
  request: Request,
  kept: ReadonlyMap<string, KeptResource>,
  beside?: readonly Resource[],
): Planned {
  return request.kind === 'apply' ? planApply(request.files, kept, beside) : planDelete(request, kept, beside)
}

/** What is wrong with resources because of one another. */
export function checkKept(kept: ReadonlyMap<string, KeptResource>): ManifestError[] {
  const reading = readManifests([], () => Array.from(kept.values(), ({ resource }) => resource))
  return reading.ok ? [] : reading.errors
}

function planApply(
  files: readonly { path: string; text: string }[],
  kept: ReadonlyMap<string, KeptResource>,
  beside?: readonly Resource[],
): Planned {
  const reading = readManifests(files, (read) => {
    const replaced = new Set(read.map(keyOf))
    const others = beside ?? Array.from(kept.values(), ({ resource }) => resource)
    return others.filter((resource) => !replaced.has(keyOf(resource)))
  })
  if (!reading.ok) return invalid(reading.errors)
  const changes: ResourceChange[] = []
  for (const { resource, value } of reading.written) {
    const key = keyOf(resource)
    const before = kept.get(key) ?? null
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
    const after = {
      resource,
      text,
      generation,
      created: 0,
      modified: 0,
    }
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
  kept: ReadonlyMap<string, KeptResource>,
  beside?: readonly Resource[],
): Planned {
  const key = resourceKey(of, namespace, name)
  const before = kept.get(key)
  if (!before)
    return { ok: false, refused: { kind: 'missing', message: `there is no ${of} ${namespace}/${name}` } }
  const conflict = versionConflict(key, before, resourceVersion)
  if (conflict !== null) return { ok: false, refused: { kind: 'conflict', message: conflict } }
  if (!beside) {
    const errors = checkKept(new Map([...kept].filter(([one]) => one !== key)))
    if (errors.length > 0) return invalid(errors)
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
