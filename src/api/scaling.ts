import { readDuration } from './duration.ts'
import type { CheckContext, Reading } from './fields.ts'
import { report } from './fields.ts'
import { quote } from './kubernetes-name.ts'
import { suggestion } from './nearest-name.ts'

/** How many instances a function gets, by the rules of Knative's pod autoscaler (KPA). */
export type Scaling = {
  metric: 'concurrency' | 'rps'
  /** How a window's seconds are averaged: all alike, or later ones more. */
  aggregation: 'linear' | 'weighted-exponential'
  /** Most of the metric that one instance should get. */
  target: number
  /** Part of the target that is aimed at, 0..1. */
  targetUtilization: number
  minScale: number
  /** 0: no limit. */
  maxScale: number
  /** Instances that a new revision starts with. */
  initialScale: number
  /** Least instances when the function scales from zero. */
  activationScale: number
  scaleDownDelayMs: number
  scaleToZeroRetentionMs: number
  windowMs: number
  /** Panic window as a part of the window, in percent. */
  panicWindowPercentage: number
  /** Load over capacity, in percent, at which panic begins. */
  panicThresholdPercentage: number
  /** Requests over capacity that the mesh absorbs; -1: it is always in the path. */
  targetBurstCapacity: number
}

export const SCALING_PREFIX = 'autoscaling.knative.dev/'

/** What the annotations say; `target` null where they leave it to the metric and the container's concurrency. */
type WrittenScaling = Omit<Scaling, 'target'> & { target: number | null }

/** The scaling of a revision whose annotations have been checked; `concurrency` is its containerConcurrency. */
export function toScaling(annotations: Readonly<Record<string, string>>, concurrency: number): Scaling {
  const written = readScaling(annotations)
  if (written.metric === 'rps') return { ...written, target: written.target ?? DEFAULT_RPS }
  const target = written.target ?? (concurrency || DEFAULT_CONCURRENCY)
  return { ...written, target: concurrency === 0 ? target : Math.min(target, concurrency) }
}

/** Reads the annotations `autoscaling.knative.dev/*`, with Knative's defaults; wrong ones are reported and left out. */
export function readScaling(
  annotations: Readonly<Record<string, unknown>>,
  context?: CheckContext,
): WrittenScaling {
  const found = new Map<string, { key: string; value: string }>()
  const complain = (key: string, code: Parameters<typeof report>[1], message: string) => {
    if (context) report(context, code, message, [key])
  }
  for (const [key, value] of Object.entries(annotations)) {
    if (!key.startsWith(SCALING_PREFIX) || typeof value !== 'string') continue
    const name = kebab(key.slice(SCALING_PREFIX.length))
    if (!Object.hasOwn(READERS, name)) {
      const near = suggestion(name, Object.keys(READERS))
      complain(
        key,
        'unknown-field',
        `is no annotation of the autoscaler${near && `: did you mean ${SCALING_PREFIX}${near}?`}`,
      )
    } else if (found.has(name))
      complain(key, 'conflict', `says the same as ${found.get(name)!.key}: keep one of them`)
    else found.set(name, { key, value })
  }
  const scaling: WrittenScaling = { ...DEFAULT_SCALING }
  for (const [name, { key, value }] of found) {
    const read = READERS[name]!(value)
    if (read.ok) Object.assign(scaling, read.value)
    else complain(key, 'bad-value', `${read.problem}, got ${quote(value)}`)
  }
  if (scaling.maxScale !== 0 && scaling.maxScale < scaling.minScale) {
    complain(
      found.get('max-scale')!.key,
      'conflict',
      `is ${scaling.maxScale}, less than min-scale ${scaling.minScale}`,
    )
  }
  if (scaling.maxScale !== 0 && found.has('activation-scale') && scaling.activationScale > scaling.maxScale) {
    complain(
      found.get('activation-scale')!.key,
      'conflict',
      `is ${scaling.activationScale}, more than max-scale ${scaling.maxScale}`,
    )
  }
  return scaling
}

const DEFAULT_RPS = 200
const DEFAULT_CONCURRENCY = 100

const DEFAULT_SCALING: WrittenScaling = {
  metric: 'concurrency',
  aggregation: 'linear',
  target: null,
  targetUtilization: 0.7,
  minScale: 0,
  maxScale: 0,
  initialScale: 0,
  activationScale: 1,
  scaleDownDelayMs: 0,
  scaleToZeroRetentionMs: 0,
  windowMs: 60_000,
  panicWindowPercentage: 10,
  panicThresholdPercentage: 200,
  targetBurstCapacity: 211,
}

type Reader = (value: string) => Reading<Partial<Scaling>>

const MAX_SCALE = 100_000
const MAX_WINDOW_MS = 3_600_000

/** Ranges are those of Knative's own validation. */
const READERS: Record<string, Reader> = {
  class: (value) =>
    value === 'kpa.autoscaling.knative.dev'
      ? { ok: true, value: {} }
      : { ok: false, problem: 'the only autoscaler is kpa.autoscaling.knative.dev' },
  metric: (value) =>
    value === 'concurrency' || value === 'rps'
      ? { ok: true, value: { metric: value } }
      : { ok: false, problem: 'expected concurrency or rps' },
  'metric-aggregation-algorithm': (value) => {
    const aggregation = AGGREGATIONS.get(value)
    return aggregation
      ? { ok: true, value: { aggregation } }
      : { ok: false, problem: 'expected linear or weighted-exponential' }
  },
  target: decimal(0.01, 1e9, (target) => ({ target })),
  'target-utilization-percentage': decimal(1, 100, (percent) => ({ targetUtilization: percent / 100 })),
  'min-scale': whole(0, MAX_SCALE, (minScale) => ({ minScale })),
  'max-scale': whole(0, MAX_SCALE, (maxScale) => ({ maxScale })),
  'initial-scale': whole(0, MAX_SCALE, (initialScale) => ({ initialScale })),
  'activation-scale': whole(1, MAX_SCALE, (activationScale) => ({ activationScale })),
  'scale-down-delay': span(0, 1_000, (scaleDownDelayMs) => ({ scaleDownDelayMs })),
  'scale-to-zero-pod-retention-period': span(0, 1, (scaleToZeroRetentionMs) => ({ scaleToZeroRetentionMs })),
  window: span(6_000, 1_000, (windowMs) => ({ windowMs })),
  'panic-window-percentage': decimal(1, 100, (panicWindowPercentage) => ({ panicWindowPercentage })),
  'panic-threshold-percentage': decimal(110, 1_000, (panicThresholdPercentage) => ({
    panicThresholdPercentage,
  })),
  'target-burst-capacity': (value) =>
    value === '-1' ? { ok: true, value: { targetBurstCapacity: -1 } } : burstCapacity(value),
}

/** As Knative writes them. */
const AGGREGATIONS = new Map<string, Scaling['aggregation']>([
  ['linear', 'linear'],
  ['weighted-exponential', 'weighted-exponential'],
  ['weightedExponential', 'weighted-exponential'],
])

const burstCapacity = decimal(0, 1e9, (targetBurstCapacity) => ({ targetBurstCapacity }))

function whole(min: number, max: number, set: (value: number) => Partial<Scaling>): Reader {
  return (value) => {
    const number = /^\d{1,9}$/.test(value) ? Number(value) : Number.NaN
    if (number >= min && number <= max) return { ok: true, value: set(number) }
    return { ok: false, problem: `expected a whole number from ${min} to ${max}` }
  }
}

function decimal(min: number, max: number, set: (value: number) => Partial<Scaling>): Reader {
  return (value) => {
    const number = /^\d{1,10}(\.\d{1,10})?$/.test(value) ? Number(value) : Number.NaN
    if (number >= min && number <= max) return { ok: true, value: set(number) }
    return { ok: false, problem: `expected a number from ${min} to ${max}` }
  }
}

function span(minMs: number, stepMs: number, set: (value: number) => Partial<Scaling>): Reader {
  return (value) => {
    const read = readDuration(value)
    const problem = `expected a duration from ${minMs / 1_000}s to ${MAX_WINDOW_MS / 3_600_000}h`
    if (!read.ok || read.value < minMs || read.value > MAX_WINDOW_MS) return { ok: false, problem }
    if (read.value % stepMs !== 0) return { ok: false, problem: 'expected whole seconds' }
    return { ok: true, value: set(read.value) }
  }
}

/** Knative reads `minScale` as `min-scale`. */
function kebab(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)
}
