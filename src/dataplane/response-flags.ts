import {
  RESPONSE_FLAG_DC,
  RESPONSE_FLAG_DPE,
  RESPONSE_FLAG_DT,
  RESPONSE_FLAG_NR,
  RESPONSE_FLAG_RL,
  RESPONSE_FLAG_SI,
  RESPONSE_FLAG_UAEX,
  RESPONSE_FLAG_UC,
  RESPONSE_FLAG_UF,
  RESPONSE_FLAG_UH,
  RESPONSE_FLAG_UO,
  RESPONSE_FLAG_UPE,
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

function named(flags: number, column: 1 | 2): string {
  const names = NAMES.filter(([bit]) => (flags & bit) !== 0).map((row) => row[column])
  return names.length === 0 ? '-' : names.join(',')
}

const NAMES: readonly (readonly [number, string, string])[] = [
  [RESPONSE_FLAG_UH, 'UH', 'NoHealthyUpstream'],
  [RESPONSE_FLAG_UF, 'UF', 'UpstreamConnectionFailure'],
  [RESPONSE_FLAG_UO, 'UO', 'UpstreamOverflow'],
  [RESPONSE_FLAG_NR, 'NR', 'NoRouteFound'],
  [RESPONSE_FLAG_UC, 'UC', 'UpstreamConnectionTermination'],
  [RESPONSE_FLAG_UT, 'UT', 'UpstreamRequestTimeout'],
  [RESPONSE_FLAG_DC, 'DC', 'DownstreamConnectionTermination'],
  [RESPONSE_FLAG_UAEX, 'UAEX', 'UnauthorizedExternalService'],
  [RESPONSE_FLAG_DPE, 'DPE', 'DownstreamProtocolError'],
  [RESPONSE_FLAG_UPE, 'UPE', 'UpstreamProtocolError'],
  [RESPONSE_FLAG_SI, 'SI', 'StreamIdleTimeout'],
  [RESPONSE_FLAG_DT, 'DT', 'DurationTimeout'],
  [RESPONSE_FLAG_RL, 'RL', 'RateLimited'],
]
