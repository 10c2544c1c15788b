import { checkTogether, type Found } from './check-together.ts'
import { explainIssue } from './explain-issue.ts'
import { isMapping } from './fields.ts'
import type { ManifestError } from './manifest-error.ts'
import { suggestion } from './nearest-name.ts'
import { KINDS, type Kind, type Resource } from './resource.ts'
import { readYaml, type YamlDocument } from './yaml-document.ts'

/** A file of manifests: one or more YAML or JSON documents. */
export type ManifestFile = { path: string; text: string }

export type ManifestsReading =
  | { ok: true; resources: Resource[]; written: WrittenResource[] }
  | { ok: false; errors: ManifestError[] }

/** A resource beside the plain data that it was read from. */
export type WrittenResource = { resource: Resource; value: Record<string, unknown> }

/**
 * Reads and checks manifests, all or nothing: every resource with its defaults, or every error, in the order of the files.
 * `others` tells which were read before and stay beside those.
 */
export function readManifests(
  files: readonly ManifestFile[],
  others: (read: readonly Resource[]) => readonly Resource[] = () => [],
): ManifestsReading {
  const errors: ManifestError[] = []
  const found: Found[] = []
  let size = 0
  for (const { path, text } of files) {
    size += text.length
    if (size > MAX_SIZE) {
      const message = `with this file the manifests have more than ${MAX_SIZE} characters`
      errors.push({ code: 'too-large', file: path, line: 1, column: 1, field: '', message })
      break
    }
    const yaml = readYaml(path, text)
    for (const error of yaml.errors) errors.push(error)
    for (const document of yaml.documents) readDocument(document, found, errors)
  }
  const read = found.flatMap(({ resource }) => resource ?? [])
  for (const error of checkTogether([...others(read).map(foundBefore), ...found])) errors.push(error)
  if (errors.length > 0) return { ok: false, errors: arrange(errors, files) }
  const written = found.flatMap(({ resource, value }) => (resource ? [{ resource, value }] : []))
  return { ok: true, resources: written.map(({ resource }) => resource), written }
}

/** What is wrong with it together with others is told at its start: its text is not at hand any more. */
function foundBefore(resource: Resource): Found {
  const { kind, metadata, source } = resource
  const errorAt: YamlDocument['errorAt'] = (path, code, message) => ({
    code,
    ...source,
    column: 1,
    field: path.join('.'),
    message,
  })
  return {
    kind,
    document: { file: source.file, value: null, errorAt },
    at: [],
    value: { metadata: { name: metadata.name, namespace: metadata.namespace } },
    resource,
  }
}

function readDocument(document: YamlDocument, found: Found[], errors: ManifestError[]): void {
  const { value } = document
  if (value === null) return
  if (!isMapping(value) || value.kind !== 'List') {
    readResource(document, [], value, found, errors)
  } else if (value.apiVersion !== 'v1' || !Array.isArray(value.items)) {
    errors.push(
      document.errorAt(['items'], 'wrong-type', 'a List has apiVersion v1 and a list of items', 'key'),
    )
  } else {
    value.items.forEach((item: unknown, index) => {
      readResource(document, ['items', index], item, found, errors)
    })
  }
}

function readResource(
  document: YamlDocument,
  at: PropertyKey[],
  value: unknown,
  found: Found[],
  errors: ManifestError[],
): void {
  if (!isMapping(value)) {
    errors.push(
      document.errorAt(at, 'wrong-type', 'expected a mapping with apiVersion, kind, metadata and spec'),
    )
    return
  }
  const kind = kindOf(value)
  if (!kind.ok) {
    errors.push(document.errorAt([...at, kind.field], kind.code, kind.problem))
    return
  }
  const checked = KINDS[kind.value].schema.safeParse(value)
  const issues = checked.error?.issues ?? []
  for (const finding of issues.flatMap((issue) => explainIssue(issue, value))) {
    errors.push(document.errorAt([...at, ...finding.path], finding.code, finding.message, finding.at))
  }
  const { file, line } = document.errorAt(at, 'bad-value', '')
  const resource = checked.success
    ? ({ ...(checked.data as object), source: { file, line } } as Resource)
    : null
  found.push({ kind: kind.value, document, at, value, resource })
}

type KindReading =
  | { ok: true; value: Kind }
  | { ok: false; field: string; code: 'missing-field' | 'unknown-kind'; problem: string }

function kindOf(value: Record<string, unknown>): KindReading {
  const { kind, apiVersion } = value
  const kinds = Object.keys(KINDS)
  if (kind === undefined || apiVersion === undefined) {
    const field = kind === undefined ? 'kind' : 'apiVersion'
    return {
      ok: false,
      field,
      code: 'missing-field',
      problem: `is missing: a resource has apiVersion and kind (${kinds.join(', ')})`,
    }
  }
  const group = typeof apiVersion === 'string' && apiVersion.includes('/') ? apiVersion.split('/')[0] : ''
  if (typeof kind !== 'string' || !Object.hasOwn(KINDS, kind)) {
    const near = typeof kind === 'string' ? suggestion(kind, kinds) : ''
    const advice = LATER.has(String(kind))
      ? 'is not available yet'
      : near
        ? `is not known: did you mean ${near}?`
        : 'is not known'
    return {
      ok: false,
      field: 'kind',
      code: 'unknown-kind',
      problem: `${JSON.stringify(kind)?.slice(0, 80)} ${advice}${near && !LATER.has(String(kind)) ? '' : `; the kinds are ${kinds.join(', ')}`}`,
    }
  }
  const known = KINDS[kind as Kind]
  if (group !== known.group) {
    const problem = `a ${kind} of ${JSON.stringify(apiVersion)?.slice(0, 80)} is not known: expected ${known.group}/v1`
    return { ok: false, field: 'apiVersion', code: 'unknown-kind', problem }
  }
  return { ok: true, value: kind as Kind }
}

/** In the order of the files, then of the lines; no more than people can read. */
function arrange(errors: ManifestError[], files: readonly ManifestFile[]): ManifestError[] {
  const order = new Map(files.map((file, index) => [file.path, index]))
  const sorted = errors.sort(
    (a, b) => (order.get(a.file) ?? 0) - (order.get(b.file) ?? 0) || a.line - b.line || a.column - b.column,
  )
  if (sorted.length <= MAX_ERRORS) return sorted
  const last = sorted[MAX_ERRORS]!
  const message = `and ${sorted.length - MAX_ERRORS} more errors from here on`
  return [...sorted.slice(0, MAX_ERRORS), { ...last, code: 'too-large', field: '', message }]
}

/** Kinds of the mesh's plan that cannot be used yet. */
const LATER = new Set(['RequestAuthentication', 'VirtualService', 'DestinationRule', 'RateLimitPolicy'])
const MAX_SIZE = 64 * 1024 * 1024
const MAX_ERRORS = 1_000
