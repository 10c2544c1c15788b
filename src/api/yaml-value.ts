import { type Document, isAlias, isMap, isScalar, isSeq, type Node, type Pair } from 'yaml'
import type { ManifestErrorCode } from './manifest-error.ts'

/** What a YAML document says as plain data, and what in it cannot be such. */
export type YamlValue = { value: unknown; problems: YamlProblem[] }
/** `offset` counts UTF-16 units from the beginning of the text. */
export type YamlProblem = { code: ManifestErrorCode; offset: number; path: PropertyKey[]; message: string }

/**
 * Turns a parsed document into mappings, lists, texts, numbers, booleans and null. Aliases are expanded within bounds;
 * a key that is written twice, or is no text, is a problem.
 */
export function yamlValue(document: Document): YamlValue {
  const state: State = { problems: [], anchors: new Map(), nodes: 0, aliases: 0, expanding: 0, full: false }
  const value = convert(document.contents as Node | null, [], state)
  return { value, problems: state.problems }
}

type State = {
  problems: YamlProblem[]
  anchors: Map<string, Node>
  nodes: number
  aliases: number
  /** Aliases that are being expanded around the current node. */
  expanding: number
  full: boolean
}

function convert(node: Node | null, path: PropertyKey[], state: State): unknown {
  if (node === null || state.full) return null
  if (++state.nodes > MAX_NODES) return stop(node, path, state, `has more than ${MAX_NODES} values: split it`)
  if (path.length > MAX_DEPTH) return stop(node, path, state, `is nested more than ${MAX_DEPTH} deep`)
  if (isAlias(node)) return expand(node, path, state)
  const anchor = (node as { anchor?: string }).anchor
  if (anchor !== undefined && state.expanding === 0) state.anchors.set(anchor, node)
  if (isMap(node)) return convertMap(node.items as Pair[], path, state)
  if (isSeq(node)) return node.items.map((item, index) => convert(item as Node, [...path, index], state))
  const value = isScalar(node) ? node.value : undefined
  if (value === null || ['string', 'number', 'boolean'].includes(typeof value)) return value
  problem(node, path, state, 'wrong-type', 'expected text, a number, true, false, a list or a mapping')
  return null
}

function convertMap(items: Pair[], path: PropertyKey[], state: State): Record<string, unknown> {
  const result: Record<string, unknown> = {}
  const seen = new Set<string>()
  for (const { key, value } of items) {
    const name = keyName(isScalar(key) ? key.value : undefined, path)
    const place = (key ?? value) as Node
    // YAML 1.1 reads a merge key as a symbol.
    if (name === '<<' || typeof name === 'symbol') {
      problem(place, path, state, 'unsupported', 'merge keys are not available: write the fields out')
    } else if (typeof name !== 'string') {
      problem(place, path, state, 'wrong-type', 'a key must be text: put it in quotes')
    } else if (name === '__proto__') {
      problem(place, path, state, 'bad-value', 'this key is not allowed')
    } else if (seen.has(name)) {
      problem(
        place,
        [...path, name],
        state,
        'duplicate-key',
        'this key is written twice in one mapping: keep one',
      )
    } else {
      seen.add(name)
      result[name] = convert(value as Node | null, [...path, name], state)
    }
  }
  return result
}

function expand(alias: Node & { source: string }, path: PropertyKey[], state: State): unknown {
  const target = state.anchors.get(alias.source)
  if (!target) {
    problem(alias, path, state, 'yaml-syntax', `no anchor &${alias.source} stands before this alias`)
    return null
  }
  if (++state.aliases > MAX_ALIASES)
    return stop(alias, path, state, `has more than ${MAX_ALIASES} aliases: write the values out`)
  state.expanding++
  const value = convert(target, path, state)
  state.expanding--
  return value
}

function stop(node: Node, path: PropertyKey[], state: State, message: string): null {
  problem(node, path, state, 'too-large', message)
  state.full = true
  return null
}

function problem(
  node: Node | null,
  path: PropertyKey[],
  state: State,
  code: ManifestErrorCode,
  message: string,
): void {
  state.problems.push({ code, offset: node?.range?.[0] ?? 0, path, message })
}

const MAX_NODES = 200_000
const MAX_DEPTH = 64
/** Counted as they are expanded, so that aliases of aliases cannot multiply. */
const MAX_ALIASES = 256

/** Whole numbers (ports) are keys as text, as Kubernetes reads them; no field of a resource itself is one. */
function keyName(key: unknown, path: PropertyKey[]): unknown {
  return Number.isSafeInteger(key) && path.length > 0 ? String(key) : key
}
