import type { Source } from '../api/manifest-error.ts'

/** What stands behind a rule's number in a verdict: `index` counts within the policy. */
export interface RuleName {
  /** "namespace/name" of the policy. */
  readonly policy: string
  readonly index: number
  readonly source: Source
}

/** Why a resource cannot be compiled: nothing of it is in force, and nothing is cut to fit. */
export interface SectionProblem {
  readonly code: 'too-large' | 'bad-value'
  /** "AuthorizationPolicy shop/allow-cart". */
  readonly resource: string
  readonly source: Source
  /** "spec.rules[0].to[0].operation.paths". */
  readonly field: string
  readonly message: string
}

/** One section of a compiled policy, with the names of its rules by number. */
export type CompiledSection =
  | { readonly ok: true; readonly bytes: Buffer; readonly rules: readonly RuleName[] }
  | { readonly ok: false; readonly problems: readonly SectionProblem[] }

/**
 * Most bytes of one section: a sidecar's larger memory (1 MiB) holds two such sections beside a head and the output,
 * and fewer rules fit than a verdict can number (u16).
 */
export const MOST_SECTION_BYTES = 384 * 1024
