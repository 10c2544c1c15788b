import type { z } from 'zod'
import { mapping } from './fields.ts'
import { checkLabelValue } from './kubernetes-name.ts'
import { qualifiedMap } from './metadata.ts'

/** Which functions a policy is for: those with all of these labels; none: all of its namespace. */
export type Selector = z.output<typeof selector>

export const selector = mapping({ matchLabels: qualifiedMap(checkSelected).default({}) })

/** Labels that must be equal; Istio knows no wildcards here. */
export function checkSelected(value: string): string | null {
  return value.includes('*')
    ? 'labels are compared as they are: wildcards do not work here'
    : checkLabelValue(value)
}
