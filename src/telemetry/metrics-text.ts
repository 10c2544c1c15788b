// Prometheus' text format, version 0.0.4.

import { isGauge } from '../dataplane/engine-metrics.ts'
import { BUCKETS } from '../dataplane/metrics-table.ts'
import { METRICS } from '../policy/observation-plan.ts'
import type { Figures, MetricsTotals } from './metrics-totals.ts'

export const METRICS_CONTENT_TYPE = 'text/plain; version=0.0.4; charset=utf-8'

/** A figure of the mesh's own that is not an engine's. `name` is whole, with its `_total` where it only grows. */
export interface MeshMetric {
  readonly name: string
  readonly help: string
  readonly type: 'counter' | 'gauge'
  readonly values: readonly { readonly labels: Readonly<Record<string, string>>; readonly value: number }[]
}

const HELP: readonly string[] = [
  'Requests, by who sent them, whom they were for and what came of them.',
  'Milliseconds from the arrival of a request to the last byte of its response.',
  "Bytes of requests' bodies.",
  "Bytes of responses' bodies.",
]

/** All metrics as Prometheus reads them. */
export function metricsText(totals: MetricsTotals, mesh: readonly MeshMetric[]): string {
  const lines: string[] = []
  for (const [index, { name }] of METRICS.entries()) {
    const figures = totals.exchanges[index]!
    if (figures.size === 0) continue
    header(lines, name, HELP[index]!, index === 0 ? 'counter' : 'histogram')
    for (const [labels, one] of figures) {
      if (index === 0) lines.push(`${name}{${labels}} ${one.cells[0]}`)
      else histogram(lines, name, labels, one)
    }
  }
  for (const [part, names] of totals.counters) {
    for (const [name, reasons] of names) engineMetric(lines, part, name, reasons)
  }
  for (const { name, help, type, values } of mesh) {
    header(lines, name, help, type)
    for (const { labels, value } of values) lines.push(`${name}${labelsOf(labels)} ${value}`)
  }
  return `${lines.join('\n')}\n`
}

function header(lines: string[], name: string, help: string, type: string): void {
  lines.push(`# HELP ${name} ${help}`, `# TYPE ${name} ${type}`)
}

function histogram(lines: string[], name: string, labels: string, { cells, sum }: Figures): void {
  const before = labels === '' ? '' : `${labels},`
  let count = 0
  for (let i = 0; i < cells.length; i++) {
    count += cells[i]!
    lines.push(`${name}_bucket{${before}le="${i < BUCKETS.length ? BUCKETS[i] : '+Inf'}"} ${count}`)
  }
  const own = labels === '' ? '' : `{${labels}}`
  lines.push(`${name}_sum${own} ${sum}`, `${name}_count${own} ${count}`)
}

function engineMetric(lines: string[], part: string, name: string, reasons: Map<string, number>): void {
  const gauge = isGauge(part, name)
  const full = `mayfly_${withPart(snake(part), snake(name))}${gauge ? '' : '_total'}`
  header(lines, full, `All engines: ${words(name)} (${words(part)}).`, gauge ? 'gauge' : 'counter')
  for (const [reason, value] of reasons)
    lines.push(`${full}${labelsOf(reason === '' ? {} : { reason })} ${value}`)
}

function labelsOf(labels: Readonly<Record<string, string>>): string {
  const all = Object.entries(labels).map(([name, value]) => `${name}="${escaped(value)}"`)
  return all.length === 0 ? '' : `{${all.join(',')}}`
}

function escaped(value: string): string {
  return value.replace(/[\\"\n]/g, (character) => (character === '\n' ? '\\n' : `\\${character}`))
}

/** `responses5xx` is `responses_5xx`, `requestsInFlight` is `requests_in_flight`. */
function snake(name: string): string {
  return name
    .replace(/([a-z])(\d)/g, '$1_$2')
    .replace(/[^A-Za-z0-9]+/g, '_')
    .replace(/([a-z0-9])([A-Z])/g, '$1_$2')
    .toLowerCase()
}

/** A name that begins with its part's already does not say it twice. */
function withPart(part: string, name: string): string {
  return name.startsWith(`${part}_`) ? name : `${part}_${name}`
}

function words(name: string): string {
  return snake(name).replaceAll('_', ' ')
}
