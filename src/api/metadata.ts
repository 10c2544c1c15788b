import { z } from 'zod'
import { across, type CheckContext, ignored, isMapping, mapping, report, text } from './fields.ts'
import { checkDnsLabel, checkDnsSubdomain, checkLabelValue, checkQualifiedName } from './kubernetes-name.ts'

/** What every resource carries: who it is, and free text about it. */
export type Metadata = {
  name: string
  namespace: string
  labels: Record<string, string>
  annotations: Record<string, string>
  /** Set by a control plane: how often what a Service's instances run by has changed. */
  generation?: number
}

/** Labels or annotations: keys are qualified names; `checkValue` judges the values. */
export function qualifiedMap(checkValue?: (value: string) => string | null) {
  return across(z.record(z.string(), text(checkValue)), (entries, context) => {
    for (const key of Object.keys(entries)) {
      const wrong = checkQualifiedName(key)
      if (wrong) report(context, 'bad-value', wrong, [key])
    }
    checkSize(entries, context)
  })
}

export const labels = qualifiedMap(checkLabelValue)
export const annotations = qualifiedMap()

/** Metadata fields that Kubernetes writes into a resource; `kubectl get -o yaml` prints them. */
export const managedMetadata = {
  creationTimestamp: ignored(),
  deletionGracePeriodSeconds: ignored(),
  deletionTimestamp: ignored(),
  finalizers: ignored(),
  generation: ignored(),
  managedFields: ignored(),
  ownerReferences: ignored(),
  resourceVersion: ignored(),
  selfLink: ignored(),
  uid: ignored(),
}

/** Metadata of a resource whose name follows `checkName`. */
export function metadata(checkName: (value: string) => string | null = checkDnsSubdomain) {
  return mapping({
    name: text(checkName),
    namespace: text(checkDnsLabel).default('default'),
    labels: labels.default({}),
    annotations: annotations.default({}),
    ...managedMetadata,
  }).transform(
    (value): Metadata => ({
      name: value.name,
      namespace: value.namespace,
      labels: value.labels,
      annotations: value.annotations,
    }),
  )
}

function checkSize(entries: Readonly<Record<string, unknown>>, context: CheckContext): void {
  if (!isMapping(entries)) return
  let size = 0
  for (const [key, value] of Object.entries(entries)) size += key.length + String(value).length
  if (size > MAX_SIZE)
    report(context, 'too-large', `holds ${size} characters, at most ${MAX_SIZE} are allowed`)
}

/** Kubernetes' own bound for all annotations of a resource together. */
const MAX_SIZE = 262_144
