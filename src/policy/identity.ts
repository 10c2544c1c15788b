import type { FunctionSpec } from '../api/function-spec.ts'
import { IDENTITY_HEADER } from '../sidecar/layout/identity.ts'
import { ByteWriter } from './byte-writer.ts'
import type { CompiledSection } from './section.ts'

/** The IDENTITY section: whose sidecar it is. */
export function compileIdentity(fn: FunctionSpec): CompiledSection {
  const texts = [fn.principal, fn.namespace, fn.name].map((text) => Buffer.from(text, 'utf8'))
  const out = new ByteWriter()
  let offset = IDENTITY_HEADER
  for (const text of texts) {
    out.u32(offset).u32(text.length)
    offset += text.length
  }
  for (const text of texts) out.bytes(text)
  return { ok: true, bytes: out.finish(), rules: [] }
}
