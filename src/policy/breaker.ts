import type { FunctionSpec } from '../api/function-spec.ts'
import type { MeshView } from './compile-policy.ts'
import type { CompiledSection } from './section.ts'

/** The function's section of circuit breaking; without bytes where nothing applies to it. */
export function compileBreaker(_mesh: MeshView, _fn: FunctionSpec): CompiledSection {
  return { ok: true, bytes: Buffer.alloc(0), rules: [] }
}
