import type { DeadRule } from './dead-rules.ts'
import { type CallGraph, type Edge, type GraphRule, OUTSIDE } from './graph.ts'

/** The graph for people: an edge a line, under it the rules by which it is there; then what can never match. */
export function graphText({ edges }: CallGraph, dead: readonly DeadRule[]): string {
  const lines = edges.length === 0 ? ['nobody may call anybody'] : edges.flatMap(edgeLines)
  if (dead.length > 0) lines.push('', 'Rules that can never match:')
  for (const { kind, policy, rule, source, why } of dead) {
    const which = rule === null ? '' : ` rule ${rule}`
    lines.push(`  ${source.file}:${source.line}: ${kind} ${policy}${which}: ${why}`)
  }
  return lines.join('\n')
}

/** The graph in Graphviz' language; dashed: only on conditions. */
export function graphDot({ functions, edges }: CallGraph): string {
  const lines = ['digraph mesh {', '  rankdir=LR;', '  node [shape=box];']
  if (edges.some(({ from }) => from === OUTSIDE)) lines.push(`  ${quoted(OUTSIDE)} [shape=ellipse];`)
  for (const { key } of functions) lines.push(`  ${quoted(key)};`)
  for (const edge of edges) {
    const label = conditionsOf(edge).join('\n')
    const style = isUnconditional(edge) ? '' : ', style=dashed'
    lines.push(`  ${quoted(edge.from)} -> ${quoted(edge.to)} [label=${quoted(label)}${style}];`)
  }
  return [...lines, '}'].join('\n')
}

function edgeLines(edge: Edge): string[] {
  const { from, to, allowedBy, deniedBy, askedBy } = edge
  const rows: [string, GraphRule][] = [
    ...allowedBy.map((rule): [string, GraphRule] => ['if', rule]),
    ...deniedBy.map((rule): [string, GraphRule] => ['not if', rule]),
    ...askedBy.map((rule): [string, GraphRule] => ['asked if', rule]),
  ]
  const lines = rows.map(([word, rule]) => `    ${word} ${textOf(rule)}   ${placeOf(rule)}`)
  if (allowedBy.length === 0)
    lines.unshift('    always   the mesh allows what no policy denies (defaultAuthorization)')
  return [`${from} -> ${to}`, ...lines]
}

function conditionsOf({ allowedBy, deniedBy, askedBy }: Edge): string[] {
  const allowed = allowedBy.some((rule) => rule.if.length === 0) ? [] : allowedBy.map(textOf)
  return [
    ...new Set(allowed),
    ...deniedBy.map((rule) => `not if ${textOf(rule)}`),
    ...askedBy.map((rule) => `asked if ${textOf(rule)}`),
  ]
}

function isUnconditional(edge: Edge): boolean {
  return conditionsOf(edge).length === 0
}

function textOf(rule: GraphRule): string {
  return rule.if.length === 0 ? 'anything' : rule.if.join(', ')
}

function placeOf({ policy, rule, source }: GraphRule): string {
  return `${policy} rule ${rule} (${source.file}:${source.line})`
}

function quoted(text: string): string {
  return `"${text.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n')}"`
}
