import type { YamlDocument } from './yaml-document.ts'

/** A document's value, and where it begins: both from 1. */
export interface JsonDocument {
  value: unknown
  line: number
  column: number
}

/** Values of a document; with more of them, or deeper, what is wrong is said by whoever reads it as YAML. */
const MOST_VALUES = 20_000
const MOST_DEPTH = 48
/** Between documents. No text of JSON has such a line in it. */
const SEPARATOR = /^---$/m
/** Half a character, as an escape: YAML has none. */
const SURROGATE = /\\u[dD][89a-fA-F]/

/**
 * Reads a text of JSON documents, as programs write them, in a tenth of the time that YAML takes. null: it is something else, or
 * something of it is to be complained about.
 */
export function readJsonDocuments(text: string): JsonDocument[] | null {
  if (!/^\s*[{[]/.test(text.slice(0, 100)) || SURROGATE.test(text)) return null
  const documents: JsonDocument[] = []
  let line = 1
  for (const part of text.split(SEPARATOR)) {
    const begin = part.search(/[^ \t\r\n]/)
    if (begin < 0) return null
    const before = part.slice(0, begin)
    const document = { line: line + newlines(before), column: begin - before.lastIndexOf('\n') }
    try {
      const value: unknown = JSON.parse(part)
      if (!isPlain(value, part)) return null
      documents.push({ value, ...document })
    } catch {
      return null
    }
    line += newlines(part)
  }
  return documents
}

/** As readYaml gives it; what an error of it says of a place within is looked up in the text once there is an error. */
export function locatableJson(
  file: string,
  { value, line, column }: JsonDocument,
  yaml: () => YamlDocument | undefined,
): YamlDocument {
  return {
    file,
    value,
    errorAt: (path, code, message, at) =>
      (path.length > 0 && yaml()?.errorAt(path, code, message, at)) || {
        code,
        file,
        line,
        column,
        field: '',
        message,
      },
  }
}

/**
 * Not too large, and every key stands in it once: JSON.parse would take the last one of several. A key with an escape is left to
 * YAML, since V8 14.6 takes one for a key that is a single backslash where it has read such an object before.
 */
function isPlain(value: unknown, text: string): boolean {
  const count = { values: 0, keys: 0 }
  return isWithin(value, 0, count) && count.keys === plainKeys(text)
}

function isWithin(value: unknown, depth: number, count: { values: number; keys: number }): boolean {
  if (++count.values > MOST_VALUES || depth > MOST_DEPTH) return false
  if (typeof value !== 'object' || value === null) return true
  if (Array.isArray(value)) return value.every((item) => isWithin(item, depth + 1, count))
  for (const [key, item] of Object.entries(value)) {
    count.keys++
    if (key === '__proto__' || key === '<<' || !isWithin(item, depth + 1, count)) return false
  }
  return true
}

const QUOTE = 34
const BACKSLASH = 92
const COLON = 58
const SPACE = 32

/** How many keys stand in a JSON text that have no escape. */
function plainKeys(text: string): number {
  let keys = 0
  let end = 0
  for (let quote = text.indexOf('"'); quote >= 0; quote = text.indexOf('"', end)) {
    let hasEscape = false
    end = quote + 1
    for (let code = text.charCodeAt(end); code !== QUOTE; code = text.charCodeAt(end)) {
      if (code === BACKSLASH) hasEscape = true
      end += code === BACKSLASH ? 2 : 1
    }
    end++
    if (!hasEscape && isBeforeColon(text, end)) keys++
  }
  return keys
}

function isBeforeColon(text: string, from: number): boolean {
  let at = from
  while (text.charCodeAt(at) <= SPACE) at++
  return text.charCodeAt(at) === COLON
}

function newlines(text: string): number {
  let count = 0
  for (let at = text.indexOf('\n'); at >= 0; at = text.indexOf('\n', at + 1)) count++
  return count
}
