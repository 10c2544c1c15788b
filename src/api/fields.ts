import { z } from 'zod'
import type { ManifestErrorCode } from './manifest-error.ts'

// The kinds of field that manifests are made of. A schema built from these says by itself what it expected; the rest of
// a message (the field's path, its place in the file) is added by explain-issue.ts.

/** A mapping whose fields are exactly those of `shape`; the error for an unknown field carries the known ones. */
export function mapping<Shape extends z.ZodRawShape>(shape: Shape) {
  const known = Object.keys(shape).join(' ')
  return z.strictObject(shape, {
    error: (issue) => (issue.code === 'unrecognized_keys' ? known : undefined),
  })
}

/** Text on which `check` finds nothing; `check` answers with what is wrong, or null. */
export function text(check?: (value: string) => string | null, code: ManifestErrorCode = 'bad-value') {
  return z.string().superRefine((value, context) => {
    const wrong = value.length > MAX_TEXT ? `is longer than ${MAX_TEXT} characters` : check?.(value)
    if (wrong) report(context, code, wrong)
  })
}

/** Text that is read into a value: `read` answers with the value, or with what is wrong. */
export function reading<T>(read: (value: string) => Reading<T>) {
  return z.string().transform((value, context): T => {
    const result = read(value)
    if (result.ok) return result.value
    report(context, 'bad-value', result.problem)
    return z.NEVER
  })
}

/** The outcome of reading a text. */
export type Reading<T> = { ok: true; value: T } | { ok: false; problem: string }

/** A whole number in a closed range. */
export function integer(min: number, max: number) {
  return z.number().superRefine((value, context) => {
    if (!Number.isInteger(value)) report(context, 'wrong-type', `expected a whole number, got ${value}`)
    else if (value < min || value > max) {
      report(context, 'out-of-range', `expected a whole number from ${min} to ${max}, got ${value}`)
    }
  })
}

/** One of a few words; `refused` says of other known words why they may not be used. */
export function word<const Word extends string>(
  words: readonly Word[],
  refused: Record<string, string> = {},
) {
  return z.string().transform((value, context): Word => {
    const found = words.find((known) => known === value)
    if (found !== undefined) return found
    if (Object.hasOwn(refused, value)) report(context, 'unsupported', refused[value]!)
    else
      report(
        context,
        'bad-value',
        `expected ${words.join(' or ')}, got ${JSON.stringify(value.slice(0, 80))}`,
      )
    return z.NEVER
  })
}

/** A list with at least one and at most `max` elements. */
export function filledList<Item extends z.ZodType>(item: Item, max = MAX_LIST) {
  return list(item, max).superRefine((value, context) => {
    if (value.length === 0) report(context, 'bad-value', 'is empty: list at least one value')
  })
}

/** A list with at most `max` elements. */
export function list<Item extends z.ZodType>(item: Item, max = MAX_LIST) {
  return z.array(item).superRefine((value, context) => {
    if (value.length > max)
      report(context, 'out-of-range', `has ${value.length} elements, at most ${max} are allowed`)
  })
}

/** A known field that may not be used; `reason` says why and what to do. */
export function unsupported(reason: string) {
  return z
    .any()
    .superRefine((value, context) => {
      if (value !== undefined) report(context, 'unsupported', reason)
    })
    .transform((): undefined => undefined)
    .optional()
}

/** A field that is allowed and means nothing here. */
export function ignored() {
  return z
    .any()
    .transform((): undefined => undefined)
    .optional()
}

/** Where a check reports to. */
export type CheckContext = Pick<z.core.$RefinementCtx<unknown>, 'addIssue'>

/** Reports a problem at `path` below the value that is being checked. */
export function report(
  context: CheckContext,
  code: ManifestErrorCode,
  message: string,
  path: PropertyKey[] = [],
): void {
  context.addIssue({ code: 'custom', message, path, params: { code }, input: undefined })
}

/**
 * Adds a check across the fields of `schema` that runs even where some of them are wrong, so that all errors are
 * found at once: `check` must not rely on the types of the fields it reads.
 */
export function across<Schema extends z.ZodType>(
  schema: Schema,
  check: (value: Readonly<Record<string, unknown>>, context: CheckContext) => void,
): Schema {
  const run = (value: unknown, context: CheckContext) => {
    if (isMapping(value)) check(value, context)
  }
  const checked = schema.check(z.superRefine(run as never, { when: () => true }))
  return checked as Schema
}

export function isMapping(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

const MAX_TEXT = 16_384
const MAX_LIST = 4_096
