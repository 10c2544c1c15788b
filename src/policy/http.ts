import type { MeshConfigSpec } from '../api/mesh-config.ts'
import {
  NORMALIZE_BASE,
  NORMALIZE_DECODE_AND_MERGE_SLASHES,
  NORMALIZE_MERGE_SLASHES,
  NORMALIZE_NONE,
} from '../sidecar/layout/http.ts'
import { ByteWriter } from './byte-writer.ts'
import type { CompiledSection } from './section.ts'

/** The HTTP section: how heads are read, the same for a whole mesh. */
export function compileHttp(config: MeshConfigSpec): CompiledSection {
  const { normalization } = config.pathNormalization
  const out = new ByteWriter()
  out.u32(NORMALIZATIONS[normalization])
  out.u32(config.defaultConfig.gatewayTopology.numTrustedProxies)
  return { ok: true, bytes: out.finish(), rules: [] }
}

/** DEFAULT is BASE, as in Istio. */
const NORMALIZATIONS: Readonly<Record<MeshConfigSpec['pathNormalization']['normalization'], number>> = {
  DEFAULT: NORMALIZE_BASE,
  NONE: NORMALIZE_NONE,
  BASE: NORMALIZE_BASE,
  MERGE_SLASHES: NORMALIZE_MERGE_SLASHES,
  DECODE_AND_MERGE_SLASHES: NORMALIZE_DECODE_AND_MERGE_SLASHES,
}
