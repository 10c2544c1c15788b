// Earlier revisions that a Service's traffic names are kept with the Service itself, so that it means the same wherever it is read.

import type { ManifestError } from '../../api/manifest-error.ts'
import type { Resource } from '../../api/resource.ts'
import type { Service } from '../../api/service.ts'
import { revisionName } from '../revision-name.ts'
import { revisionMeant, trafficProblems } from '../served-revisions.ts'
import { type KeptResource, resourceKey } from './kept-resource.ts'
import type { Present } from './resource-change.ts'
import { earlierRevisions, type ServiceRevision } from './service-revisions.ts'

/** Gives a Service that was read the revisions that its traffic names; those of them that nobody knows are told as problems. */
export function withEarlierRevisions(
  after: KeptResource,
  before: KeptResource | null,
  present: Present,
): ManifestError[] {
  const { resource, generation } = after
  if (resource.kind !== 'Service') return []
  if (resource.spec.traffic?.some(({ revisionName: named }) => named !== undefined)) {
    const candidates = candidatesOf(resource, generation, before, present)
    const named = { ...resource, revisions: earlierRevisions(candidates) }
    const meant = new Set(resource.spec.traffic.map((target) => revisionMeant(named, target)?.generation))
    after.revisions = candidates.filter((one) => meant.has(one.generation))
    resource.revisions = named.revisions.filter((one) => meant.has(one.generation))
  }
  return [...trafficProblems(resource), ...nameProblems(resource, present)]
}

/**
 * The newest first, each once. The one that was in force until now may be of the same commit, and so not in the store yet; those that
 * serve already may be gone from its history.
 */
function candidatesOf(
  { metadata: { namespace, name } }: Resource,
  generation: number,
  before: KeptResource | null,
  present: Present,
): ServiceRevision[] {
  const last = before && before.generation < generation ? [before] : []
  const all = [...last, ...(before?.revisions ?? []), ...present.revisions(namespace, name)]
  const byNumber = new Map(all.map((one) => [one.generation, { generation: one.generation, text: one.text }]))
  return [...byNumber.values()]
    .filter((one) => one.generation < generation)
    .sort((a, b) => b.generation - a.generation)
}

/** A revision that serves is a function by its name: no Service may have the same. */
function nameProblems({ metadata, revisions = [], source }: Service, present: Present): ManifestError[] {
  const { namespace, name } = metadata
  const problem = (field: string, message: string): ManifestError => {
    return { code: 'conflict', ...source, column: 1, field, message }
  }
  const taken = revisions
    .map(({ generation }) => revisionName(name, generation))
    .filter((one) => present.get(resourceKey('Service', namespace, one)))
  const problems = taken.map((one) =>
    problem(
      'spec.traffic',
      `there is a Service ${namespace}/${one}: delete it before the revision may serve`,
    ),
  )
  const [, base, number] = /^(.+)-(\d{5})$/.exec(name) ?? []
  const other = base === undefined ? undefined : present.get(resourceKey('Service', namespace, base))
  if (other?.revisions?.some(({ generation }) => generation === Number(number)))
    problems.push(
      problem(
        'metadata.name',
        `is the name of a revision of ${namespace}/${base} that serves: choose another`,
      ),
    )
  return problems
}
