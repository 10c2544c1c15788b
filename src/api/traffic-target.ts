import { z } from 'zod'
import {
  type CheckContext,
  ignored,
  integer,
  isMapping,
  mapping,
  report,
  text,
  unsupported,
} from './fields.ts'
import { checkDnsLabel } from './kubernetes-name.ts'

/** What part of a function's requests goes to which of its revisions: an entry of Knative's `spec.traffic`. */
export type TrafficTarget = z.output<typeof trafficTarget>

export const trafficTarget = mapping({
  latestRevision: z.boolean().optional(),
  revisionName: text(checkDnsLabel).optional(),
  percent: integer(0, 100).default(0),
  configurationName: unsupported('a revision is named by revisionName: write that'),
  tag: unsupported('tags of revisions are not available: remove the field'),
  url: ignored(),
})

/** As Knative has it: each entry is for the newest revision or names one, each revision once, and the parts add up to all. */
export function checkTraffic(spec: Readonly<Record<string, unknown>>, context: CheckContext): void {
  const targets: unknown[] = Array.isArray(spec.traffic) ? spec.traffic : []
  const seen = new Set<string>()
  let total = 0
  targets.forEach((target, index) => {
    if (!isMapping(target)) return
    const { revisionName, latestRevision, percent } = target
    if (typeof percent === 'number') total += percent
    if (typeof revisionName === 'string' && latestRevision === true)
      report(context, 'conflict', 'stands beside a revisionName: write one of them', [
        'traffic',
        index,
        'latestRevision',
      ])
    if (typeof revisionName !== 'string' && latestRevision !== true)
      report(context, 'missing-field', 'expected latestRevision: true, or a revisionName', ['traffic', index])
    const named = typeof revisionName === 'string' ? revisionName : ''
    if (seen.has(named))
      report(context, 'conflict', 'is for the same revision as an entry before: write one of them', [
        'traffic',
        index,
      ])
    seen.add(named)
  })
  if (targets.length > 0 && total !== 100)
    report(context, 'out-of-range', `the parts add up to ${total} percent: expected 100`, ['traffic'])
}
