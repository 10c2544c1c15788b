import { z } from 'zod'
import { readDuration } from './duration.ts'
import { integer, mapping, reading, unsupported, word } from './fields.ts'

/** How much may be under way to a function, and how its connections are kept: Istio's ConnectionPoolSettings. 0 means the default. */
export type ConnectionPool = z.output<typeof connectionPool>

const NO_HTTP2 = 'HTTP/2 is not available yet: remove the field'
const MOST = 2 ** 31 - 1
/** Envoy's own bound. */
const MOST_REQUESTS_PER_CONNECTION = 2 ** 29
const DAY_SECONDS = 86_400

/** A duration in milliseconds, at least one. */
export const positiveDuration = reading((value) => {
  const read = readDuration(value)
  if (!read.ok || read.value >= 1) return read
  return { ok: false, problem: `${JSON.stringify(value)} is too short: write at least "1ms"` }
})

/** A duration that the kernel takes, in whole seconds. */
const wholeSeconds = reading((value) => {
  const read = readDuration(value)
  if (!read.ok) return read
  const seconds = read.value / 1_000
  if (Number.isInteger(seconds) && seconds >= 1 && seconds <= 32_767) return { ok: true, value: seconds }
  return { ok: false, problem: `${JSON.stringify(value)}: write whole seconds from "1s" to "32767s"` }
})

const tcp = mapping({
  maxConnections: integer(0, MOST).default(0),
  connectTimeout: positiveDuration.optional(),
  tcpKeepalive: mapping({
    probes: integer(0, 127).default(0),
    time: wholeSeconds.optional(),
    interval: wholeSeconds.optional(),
  }).optional(),
  maxConnectionDuration: positiveDuration.optional(),
  idleTimeout: unsupported('is for opaque TCP: functions speak HTTP, write http.idleTimeout'),
})

const http = mapping({
  http1MaxPendingRequests: integer(0, MOST).default(0),
  http2MaxRequests: integer(0, MOST).default(0),
  maxRequestsPerConnection: integer(0, MOST_REQUESTS_PER_CONNECTION).default(0),
  maxRetries: integer(0, MOST).default(0),
  /** Milliseconds; 0: connections are kept for as long as they last. */
  idleTimeout: reading((value) => {
    const read = readDuration(value)
    if (!read.ok || read.value <= DAY_SECONDS * 1_000) return read
    return { ok: false, problem: `${JSON.stringify(value)} is too long: write at most "24h"` }
  }).optional(),
  h2UpgradePolicy: word(['DEFAULT', 'DO_NOT_UPGRADE'], { UPGRADE: NO_HTTP2 }).optional(),
  useClientProtocol: z.boolean().optional(),
  maxConcurrentStreams: unsupported(NO_HTTP2),
})

export const connectionPool = mapping({ tcp: tcp.optional(), http: http.optional() })
