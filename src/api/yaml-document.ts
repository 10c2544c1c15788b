import {
  Composer,
  type Document,
  isAlias,
  isMap,
  isScalar,
  isSeq,
  LineCounter,
  type Node,
  type Pair,
  Parser,
} from 'yaml'
import { locatableJson, readJsonDocuments } from './json-document.ts'
import type { ManifestError, ManifestErrorCode } from './manifest-error.ts'
import { type Excess, findExcess } from './yaml-nesting.ts'
import { yamlValue } from './yaml-value.ts'

/** One YAML (or JSON) document of a file as plain data that remembers where it was written. */
export type YamlDocument = {
  file: string
  value: unknown
  /** An error at the value, or at the key, that `path` leads to; as near to it as the document goes. */
  errorAt(
    path: readonly PropertyKey[],
    code: ManifestErrorCode,
    message: string,
    at?: 'key' | 'value',
  ): ManifestError
}

export type YamlReading = { documents: YamlDocument[]; errors: ManifestError[] }

/** Reads all documents of a text; a document with an error is left out, its errors are returned. */
export function readYaml(file: string, text: string): YamlReading {
  const json = text.length > MAX_TEXT ? null : readJsonDocuments(text)
  if (!json) return parseYaml(file, text)
  let parsed: YamlReading | null = null
  const locate = () => (parsed ??= parseYaml(file, text))
  const documents = json.map((one, i) => locatableJson(file, one, () => locate().documents[i]))
  return { documents, errors: [] }
}

/** Whatever the text is; it remembers where everything stands. */
export function parseYaml(file: string, text: string): YamlReading {
  const reading: YamlReading = { documents: [], errors: [] }
  const lines = new LineCounter()
  const place: Place = (offset) => {
    const { line, col } = lines.linePos(offset)
    return { line: Math.max(line, 1), column: Math.max(col, 1) }
  }
  const fail = (code: ManifestErrorCode, offset: number, path: PropertyKey[], message: string) => {
    reading.errors.push({ code, file, ...place(offset), field: fieldName(path), message })
  }
  const take = (document: Document.Parsed) => {
    const syntax = [...document.errors, ...document.warnings]
    for (const error of syntax.slice(0, MAX_SYNTAX_ERRORS)) {
      fail('yaml-syntax', error.pos[0], [], `is not valid YAML: ${firstLine(error.message)}`)
    }
    if (syntax.length > 0) return
    const { value, problems } = yamlValue(document)
    for (const { code, offset, path, message } of problems) fail(code, offset, path, message)
    if (problems.length === 0) reading.documents.push(locatable(file, document, value, place))
  }
  if (text.length > MAX_TEXT) {
    fail('too-large', 0, [], `has ${text.length} characters, at most ${MAX_TEXT} are allowed: split the file`)
    return reading
  }
  const composer = new Composer({ uniqueKeys: false, prettyErrors: false, logLevel: 'silent' })
  const allowance = { depth: MAX_NESTING, nodes: MAX_NODES, documents: MAX_DOCUMENTS }
  for (const token of new Parser(lines.addNewLine).parse(text)) {
    const excess = findExcess(token, allowance)
    if (excess) {
      fail('too-large', excess.offset, [], EXCESS[excess.what])
      return reading
    }
    for (const document of composer.next(token)) take(document)
  }
  for (const document of composer.end()) take(document)
  return reading
}

/** A path as people write it: `spec.rules[0].values`, `metadata.labels["a/b"]`. */
export function fieldName(path: readonly PropertyKey[]): string {
  let name = ''
  for (const part of path) {
    const key = String(part)
    if (typeof part === 'number') name += `[${part}]`
    else if (!/^[A-Za-z_$][\w$-]*$/.test(key)) name += `[${JSON.stringify(key.slice(0, 100))}]`
    else name += name === '' ? key : `.${key}`
  }
  return name
}

type Place = (offset: number) => { line: number; column: number }

function locatable(file: string, document: Document, value: unknown, place: Place): YamlDocument {
  return {
    file,
    value,
    errorAt: (path, code, message, at = 'value') => ({
      code,
      file,
      ...place(offsetOf(document, path, at)),
      field: fieldName(path),
      message,
    }),
  }
}

/** Where `path` was written: a scalar's own place; a mapping's or list's key, which says more than its first line. */
function offsetOf(document: Document, path: readonly PropertyKey[], at: 'key' | 'value'): number {
  let node = document.contents as Node | null
  let offset = node?.range?.[0] ?? 0
  for (const [index, part] of path.entries()) {
    if (isAlias(node)) node = node.resolve(document) ?? null
    const last = index === path.length - 1
    if (isMap(node)) {
      const pair = (node.items as Pair[]).find(({ key }) => isScalar(key) && key.value === part)
      if (!pair) return offset
      const key = pair.key as Node
      node = pair.value as Node | null
      const useKey = !isScalar(node) || isEmpty(node) || (last && at === 'key')
      offset = (useKey ? key : node!).range?.[0] ?? offset
    } else if (isSeq(node)) {
      node = (node.items[part as number] as Node | undefined) ?? null
      if (!node) return offset
      offset = node.range?.[0] ?? offset
    } else return offset
  }
  return offset
}

/** Nothing was written after the key. */
function isEmpty(node: Node | null): boolean {
  return isScalar(node) && node.range !== null && node.range !== undefined && node.range[0] === node.range[1]
}

function firstLine(message: string): string {
  return (message.split('\n')[0] ?? '').slice(0, 200)
}

const MAX_TEXT = 4 * 1024 * 1024
const MAX_DOCUMENTS = 10_000
/** Nesting of a text's values; a manifest's is far less. */
const MAX_NESTING = 64
const MAX_NODES = 400_000
/** One slip of indentation makes a parser stumble many times. */
const MAX_SYNTAX_ERRORS = 20

const EXCESS: Record<Excess['what'], string> = {
  depth: `is nested more than ${MAX_NESTING} deep`,
  nodes: `the file has more than ${MAX_NODES} keys and values: split it`,
  documents: `the file has more than ${MAX_DOCUMENTS} documents: split it`,
}
