import { z } from 'zod'
import { readDuration } from './duration.ts'
import { across, integer, mapping, reading, report, unsupported } from './fields.ts'
import { quote } from './kubernetes-name.ts'

/** Faults that are injected on purpose: Istio's HTTPFaultInjection. */
export type HttpFault = z.output<typeof httpFault>

/** A duration of at least a millisecond, in milliseconds. */
export const duration = reading((value) => {
  const result = readDuration(value)
  if (result.ok && result.value < 1) return { ok: false, problem: `${quote(value)} is shorter than 1ms` }
  if (result.ok && result.value > MOST_MS) return { ok: false, problem: `${quote(value)} is longer than 24h` }
  return result
})

/** The same, or 0 for none at all. */
export const durationOrZero = reading((value) => {
  const result = readDuration(value)
  if (result.ok && result.value > MOST_MS) return { ok: false, problem: `${quote(value)} is longer than 24h` }
  if (result.ok && result.value === 0 && /[1-9]/.test(value))
    return { ok: false, problem: `${quote(value)} is shorter than 1ms` }
  return result
})

/** Istio's Percent. */
export const percent = mapping({
  value: z
    .number()
    .superRefine((value, context) => {
      if (!(value >= 0 && value <= 100))
        report(context, 'out-of-range', `expected a percentage from 0 to 100, got ${value}`)
    })
    .default(0),
})

const delay = across(
  mapping({
    fixedDelay: duration,
    percentage: percent.optional(),
    percent: integer(0, 100).optional(),
    exponentialDelay: unsupported('is not available in Istio either: write fixedDelay'),
  }),
  (value, context) => {
    const given = ['percentage', 'percent'].filter((field) => value[field] !== undefined)
    if (given.length === 0) report(context, 'missing-field', NEVER, ['percentage'])
    if (given.length > 1)
      report(context, 'conflict', 'stands beside percentage: keep one of them', ['percent'])
  },
)

const NOT_GRPC = 'gRPC is not available yet: write httpStatus'
const NEVER = 'expected the percentage of requests: without it Istio injects nothing'

const abort = across(
  mapping({
    httpStatus: integer(200, 599),
    percentage: percent.optional(),
    grpcStatus: unsupported(NOT_GRPC),
    http2Error: unsupported('HTTP/2 is not available yet: write httpStatus'),
  }),
  (value, context) => {
    if (value.percentage === undefined) report(context, 'missing-field', NEVER, ['percentage'])
  },
)

export const httpFault = across(
  mapping({ delay: delay.optional(), abort: abort.optional() }),
  (value, context) => {
    if (value.delay === undefined && value.abort === undefined)
      report(context, 'missing-field', 'says nothing: write delay or abort', ['delay'])
  },
)

const MOST_MS = 86_400_000
