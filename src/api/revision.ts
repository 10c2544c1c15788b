import type { z } from 'zod'
import { container } from './container.ts'
import {
  across,
  type CheckContext,
  filledList,
  ignored,
  integer,
  mapping,
  report,
  text,
  unsupported,
} from './fields.ts'
import { checkDnsLabel, checkDnsSubdomain } from './kubernetes-name.ts'
import { annotations, labels, managedMetadata } from './metadata.ts'
import { readScaling } from './scaling.ts'

/** What runs: the template of a function's revision, as it is written, with defaults. */
export type RevisionTemplate = z.output<typeof revisionTemplate>

const templateMetadata = mapping({
  name: text(checkDnsLabel).optional(),
  namespace: unsupported("a template lives in its Service's namespace: remove the field"),
  labels: labels.default({}),
  annotations: across(annotations, (entries, context) => void readScaling(entries, context)).default({}),
  ...managedMetadata,
})

const seconds = integer(0, 86_400)

const revisionSpec = across(
  mapping({
    containers: filledList(container),
    containerConcurrency: integer(0, 1_000).default(0),
    timeoutSeconds: seconds.default(300),
    responseStartTimeoutSeconds: seconds.default(0),
    idleTimeoutSeconds: seconds.default(0),
    serviceAccountName: text(checkDnsSubdomain).optional(),
    enableServiceLinks: ignored(),
    automountServiceAccountToken: ignored(),
    volumes: unsupported('volumes do not exist here: remove the field'),
    initContainers: unsupported('init containers are not available: remove the field'),
    imagePullSecrets: unsupported('images are not pulled from registries: remove the field'),
  }),
  checkRevision,
)

export const revisionTemplate = mapping({ metadata: templateMetadata.prefault({}), spec: revisionSpec })

function checkRevision(spec: Readonly<Record<string, unknown>>, context: CheckContext): void {
  if (Array.isArray(spec.containers) && spec.containers.length > 1) {
    report(context, 'unsupported', 'a function has one container: remove the others', ['containers', 1])
  }
  if (typeof spec.timeoutSeconds !== 'number' || spec.timeoutSeconds === 0) return
  for (const field of ['responseStartTimeoutSeconds', 'idleTimeoutSeconds']) {
    const value = spec[field]
    if (typeof value === 'number' && value > spec.timeoutSeconds) {
      report(context, 'conflict', `is ${value}, more than timeoutSeconds ${spec.timeoutSeconds}`, [field])
    }
  }
}
