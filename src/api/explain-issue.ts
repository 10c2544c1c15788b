import type { z } from 'zod'
import type { ManifestErrorCode } from './manifest-error.ts'
import { suggestion } from './nearest-name.ts'

/** One thing wrong with a document, told to people. */
export type Finding = { code: ManifestErrorCode; path: PropertyKey[]; message: string; at: 'key' | 'value' }

/** What an issue that a schema found in `root` means. */
export function explainIssue(issue: z.core.$ZodIssue, root: unknown): Finding[] {
  const path = [...issue.path]
  if (issue.code === 'unrecognized_keys') {
    // A mapping's message carries the names of its fields (fields.ts).
    const known = issue.message.split(' ')
    return issue.keys.map((key) => unknownField([...path, key], key, known))
  }
  const value = valueAt(root, path)
  if (issue.code === 'custom') {
    const code = (issue.params as { code?: ManifestErrorCode } | undefined)?.code
    if (code) return [{ code, path, message: issue.message, at: 'value' }]
    return [
      value === undefined
        ? missing(path, issue.message)
        : { code: 'bad-value', path, message: issue.message, at: 'value' },
    ]
  }
  const expected = expectation(issue)
  if (value === undefined) return [missing(path, `expected ${expected}`)]
  if (value === null) {
    const message = `expected ${expected}, got nothing (null): give it a value, or remove the field`
    return [{ code: 'wrong-type', path, message, at: 'value' }]
  }
  const code = issue.code === 'invalid_value' ? 'bad-value' : 'wrong-type'
  return [
    {
      code,
      path,
      message: `expected ${expected}, got ${described(value)}${hint(expected, value)}`,
      at: 'value',
    },
  ]
}

function missing(path: PropertyKey[], expected: string): Finding {
  return { code: 'missing-field', path, message: `is missing: ${expected}`, at: 'key' }
}

function unknownField(path: PropertyKey[], key: string, known: string[]): Finding {
  const near = suggestion(key, known)
  const advice = near ? `did you mean ${near}?` : `the fields here are ${known.slice(0, 30).join(', ')}`
  return { code: 'unknown-field', path, message: `is not a field here: ${advice}`, at: 'key' }
}

function expectation(issue: z.core.$ZodIssue): string {
  if (issue.code === 'invalid_value') return issue.values.map((value) => String(value)).join(' or ')
  if (issue.code === 'invalid_type') return TYPES[issue.expected] ?? issue.expected
  return issue.message
}

const TYPES: Record<string, string> = {
  string: 'text',
  number: 'a number',
  boolean: 'true or false',
  array: 'a list',
  object: 'a mapping',
  record: 'a mapping',
}

function described(value: unknown): string {
  if (typeof value === 'string')
    return `text ${JSON.stringify(value.length > 60 ? `${value.slice(0, 57)}...` : value)}`
  if (typeof value === 'number') return `the number ${value}`
  if (typeof value === 'boolean') return String(value)
  return Array.isArray(value) ? 'a list' : 'a mapping'
}

function hint(expected: string, value: unknown): string {
  const scalar = typeof value === 'number' || typeof value === 'boolean'
  if (expected === TYPES.string && scalar) return ': put it in quotes'
  const quoted = typeof value === 'string' && value.trim() !== '' && Number.isFinite(Number(value))
  if (expected === TYPES.number && quoted) return ': write it without quotes'
  if (expected === TYPES.array && !Array.isArray(value)) return ': begin each element with "- "'
  return ''
}

function valueAt(root: unknown, path: readonly PropertyKey[]): unknown {
  let value = root
  for (const part of path) {
    if (typeof value !== 'object' || value === null || !Object.hasOwn(value, part)) return undefined
    value = (value as Record<PropertyKey, unknown>)[part]
  }
  return value
}
