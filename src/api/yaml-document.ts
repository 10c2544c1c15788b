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
import type { ManifestError, ManifestErrorCode } from './manifest-error.ts'
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

/** Reads all documents of a text; a document with an error is left out, its errors are returned. */
export function readYaml(file: string, text: string): { documents: YamlDocument[]; errors: ManifestError[] } {
  const documents: YamlDocument[] = []
  const errors: ManifestError[] = []
  const fail = (code: ManifestErrorCode, line: number, column: number, field: string, message: string) => {
    errors.push({ code, file, line, column, field, message })
  }
  if (text.length > MAX_TEXT) {
    fail(
      'too-large',
      1,
      1,
      '',
      `has ${text.length} characters, at most ${MAX_TEXT} are allowed: split the file`,
    )
    return { documents, errors }
  }
  const lines = new LineCounter()
  const place = (offset: number) => {
    const { line, col } = lines.linePos(offset)
    return { line: Math.max(line, 1), column: Math.max(col, 1) }
  }
  try {
    let count = 0
    const parser = new Parser(lines.addNewLine)
    const composer = new Composer({ uniqueKeys: false, prettyErrors: false, logLevel: 'silent' })
    for (const document of composer.compose(parser.parse(text))) {
      if (++count > MAX_DOCUMENTS) {
        const at = place(document.range[0])
        fail('too-large', at.line, at.column, '', `has more than ${MAX_DOCUMENTS} documents: split the file`)
        break
      }
      const syntax = [...document.errors, ...document.warnings]
      for (const error of syntax) {
        const at = place(error.pos[0])
        fail('yaml-syntax', at.line, at.column, '', syntaxMessage(error.message))
      }
      if (syntax.length > 0) continue
      const { value, problems } = yamlValue(document)
      for (const problem of problems) {
        const at = place(problem.offset)
        fail(problem.code, at.line, at.column, fieldName(problem.path), problem.message)
      }
      if (problems.length === 0) documents.push(locatable(file, document, value, place))
    }
  } catch (error) {
    // The parser recurses: a text nested thousands deep exhausts the stack.
    if (!(error instanceof RangeError)) throw error
    fail('too-large', 1, 1, '', 'is nested too deeply')
  }
  return { documents, errors }
}

/** A path as people write it: `spec.rules[0].values`, `metadata.labels["a/b"]`. */
export function fieldName(path: readonly PropertyKey[]): string {
  let name = ''
  for (const part of path) {
    const key = String(part)
    if (typeof part === 'number') name += `[${part}]`
    else if (!/^[A-Za-z_$][\w$-]*$/.test(key)) name += `[${JSON.stringify(key)}]`
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

function syntaxMessage(message: string): string {
  const [line = ''] = message.split('\n')
  return `is not valid YAML: ${line.slice(0, 200)}`
}

const MAX_TEXT = 4 * 1024 * 1024
const MAX_DOCUMENTS = 10_000
