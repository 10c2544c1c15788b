import {
  RESPONSE_FLAG_CHECK_FAILED,
  RESPONSE_FLAG_DC,
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
  RESPONSE_FLAG_UT,
} from '../sidecar/layout/record.ts'
import { ByteWriter } from './byte-writer.ts'

/** The table of LOG_DETAILS at `offset` in its section: why a response is what it is, in Envoy's words. */
export function responseDetails(offset: number): { bytes: Buffer; entries: number } {
  const table = new ByteWriter()
  const texts = new ByteWriter()
  for (const [bit, text] of DETAILS) {
    table
      .u32(bit)
      .u32(offset + DETAILS.length * ENTRY_SIZE + texts.length)
      .u32(text.length)
    texts.bytes(Buffer.from(text, 'latin1'))
  }
  return { bytes: Buffer.concat([table.finish(), texts.finish()]), entries: DETAILS.length }
}

const ENTRY_SIZE = 12

const DETAILS: readonly (readonly [number, string])[] = [
  [0, 'via_upstream'],
  [RESPONSE_FLAG_CHECK_FAILED, 'ext_authz_error'],
  [RESPONSE_FLAG_UAEX, 'ext_authz_denied'],
  [RESPONSE_FLAG_FI, 'fault_filter_abort'],
  [RESPONSE_FLAG_NR, 'route_not_found'],
  [RESPONSE_FLAG_RL, 'request_rate_limited'],
  [RESPONSE_FLAG_DPE, 'http1.codec_error'],
  [RESPONSE_FLAG_UH, 'no_healthy_upstream'],
  [RESPONSE_FLAG_UO, 'upstream_reset_before_response_started{overflow}'],
  [RESPONSE_FLAG_UF, 'upstream_reset_before_response_started{connection_failure}'],
  [RESPONSE_FLAG_UC, 'upstream_reset_before_response_started{connection_termination}'],
  [RESPONSE_FLAG_UPE, 'upstream_reset_before_response_started{protocol_error}'],
  [RESPONSE_FLAG_UT, 'response_timeout'],
  [RESPONSE_FLAG_SI, 'stream_idle_timeout'],
  [RESPONSE_FLAG_DT, 'max_duration_timeout'],
  [RESPONSE_FLAG_DC, 'downstream_remote_disconnect'],
  [0, 'direct_response'],
]
