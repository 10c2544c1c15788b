import { z } from 'zod'
import { positiveDuration } from './connection-pool.ts'
import { across, integer, mapping, report, unsupported } from './fields.ts'

/** When an instance that fails is left out for a while: Istio's OutlierDetection. */
export type OutlierDetection = z.output<typeof outlierDetection>

const MOST = 2 ** 31 - 1

export const outlierDetection = across(
  mapping({
    consecutiveErrors: unsupported(
      'is deprecated and has no effect in Istio any more: write consecutive5xxErrors',
    ),
    splitExternalLocalOriginErrors: z.boolean().default(false),
    consecutiveLocalOriginFailures: integer(0, MOST).optional(),
    /** 0: not judged by these. */
    consecutiveGatewayErrors: integer(0, MOST).default(0),
    /** 0: not judged by these. */
    consecutive5xxErrors: integer(0, MOST).default(5),
    interval: positiveDuration.default(10_000),
    baseEjectionTime: positiveDuration.default(30_000),
    /** 0 means the default, 10. */
    maxEjectionPercent: integer(0, 100).default(0),
    minHealthPercent: integer(0, 100).default(0),
  }),
  (value, context) => {
    if (value.consecutiveLocalOriginFailures === undefined || value.splitExternalLocalOriginErrors === true)
      return
    report(context, 'conflict', 'has an effect only with splitExternalLocalOriginErrors: true', [
      'consecutiveLocalOriginFailures',
    ])
  },
)
