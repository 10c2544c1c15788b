import {
  RESPONSE_FLAG_DC,
  RESPONSE_FLAG_DI,
  RESPONSE_FLAG_DPE,
  RESPONSE_FLAG_DT,
  RESPONSE_FLAG_FI,
  RESPONSE_FLAG_NR,
  RESPONSE_FLAG_RL,
  RESPONSE_FLAG_SI,
  RESPONSE_FLAG_UAEX,
  RESPONSE_FLAG_UC,
  RESPONSE_FLAG_UF,
  RESPONSE_FLAG_UH,
  RESPONSE_FLAG_UO,
  RESPONSE_FLAG_UPE,
  RESPONSE_FLAG_URX,
  RESPONSE_FLAG_UT,
} from '../sidecar/layout/record.ts'

/** Envoy's letters for RESPONSE_FLAG_* bits, such as "UF,DC"; "-" for none. */
export function shortResponseFlags(flags: number): string {
  return flags === 0 ? '-' : named(flags, 1)
}

/** Envoy's long names for RESPONSE_FLAG_* bits; "-" for none. */
export function longResponseFlags(flags: number): string {
  return flags === 0 ? '-' : named(flags, 2)
}

/** The number that Envoy has for RESPONSE_FLAG_* bits in `response.flags`. */
export function envoyResponseFlags(flags: number): number {
  return NAMES.reduce((sum, [bit, , , envoy]) => ((flags & bit) !== 0 ? sum + envoy : sum), 0)
}

function named(flags: number, column: 1 | 2): string {
  const names = NAMES.filter(([bit]) => (flags & bit) !== 0).map((row) => row[column])
  return names.length === 0 ? '-' : names.join(',')
}

/** Our bit, Envoy's letters, its long name, and its number (CoreResponseFlag in envoy/stream_info/stream_info.h, as a bit). */
const NAMES: readonly (readonly [number, string, string, number])[] = [
  [RESPONSE_FLAG_UH, 'UH', 'NoHealthyUpstream', 0x2],
  [RESPONSE_FLAG_UF, 'UF', 'UpstreamConnectionFailure', 0x20],
  [RESPONSE_FLAG_UO, 'UO', 'UpstreamOverflow', 0x80],
  [RESPONSE_FLAG_NR, 'NR', 'NoRouteFound', 0x100],
  [RESPONSE_FLAG_UC, 'UC', 'UpstreamConnectionTermination', 0x40],
  [RESPONSE_FLAG_UT, 'UT', 'UpstreamRequestTimeout', 0x4],
  [RESPONSE_FLAG_DC, 'DC', 'DownstreamConnectionTermination', 0x4000],
  [RESPONSE_FLAG_UAEX, 'UAEX', 'UnauthorizedExternalService', 0x1000],
  [RESPONSE_FLAG_DPE, 'DPE', 'DownstreamProtocolError', 0x40000],
  [RESPONSE_FLAG_UPE, 'UPE', 'UpstreamProtocolError', 0x800000],
  [RESPONSE_FLAG_SI, 'SI', 'StreamIdleTimeout', 0x10000],
  [RESPONSE_FLAG_DT, 'DT', 'DurationTimeout', 0x400000],
  [RESPONSE_FLAG_RL, 'RL', 'RateLimited', 0x800],
  [RESPONSE_FLAG_FI, 'FI', 'FaultInjected', 0x400],
  [RESPONSE_FLAG_DI, 'DI', 'DelayInjected', 0x200],
  [RESPONSE_FLAG_URX, 'URX', 'UpstreamRetryLimitExceeded', 0x8000],
]
