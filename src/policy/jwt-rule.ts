import type { JwtRule } from '../api/request-authentication.ts'
import { JWT_FLAG_ANY_ISSUER, JWT_FLAG_FORWARD } from '../sidecar/layout/authentication.ts'
import type { ByteWriter } from './byte-writer.ts'
import { claimPath } from './condition.ts'
import { encodeStringList } from './string-match.ts'

/** Writes a rule of sidecar/layout/authentication.ts and notes at `offset` where it lies. */
export function encodeJwtRule(out: ByteWriter, offset: number, rule: JwtRule): void {
  const issuer = Buffer.from(rule.issuer, 'utf8')
  const payload = Buffer.from(rule.outputPayloadToHeader?.toLowerCase() ?? '', 'latin1')
  out.patch(offset, out.length)
  out.u32((rule.forwardOriginalToken ? JWT_FLAG_FORWARD : 0) | (rule.issuer === '' ? JWT_FLAG_ANY_ISSUER : 0))
  const issuerAt = out.reserve()
  out.u32(issuer.length)
  const audiencesAt = out.reserve()
  const delimitedAt = out.reserve()
  const payloadAt = out.reserve()
  out.u32(payload.length)
  out.u32(rule.outputClaimToHeaders.length)
  const claimsAt = out.reserve()
  out.patch(issuerAt, out.length)
  out.bytes(issuer).align()
  if (rule.audiences.length > 0) {
    out.patch(audiencesAt, out.length)
    writeTexts(out, rule.audiences.map(plainAudience))
  }
  out.patch(delimitedAt, out.length)
  writeTexts(out, [...ALWAYS_DELIMITED, ...rule.spaceDelimitedClaims])
  out.patch(payloadAt, out.length)
  out.bytes(payload)
  out.patch(claimsAt, out.length)
  for (const { header, claim } of rule.outputClaimToHeaders) {
    const name = Buffer.from(header.toLowerCase(), 'latin1')
    // As in Istio, a dot leads into a nested claim.
    const path = claimPath(claim.split('.'))
    out.u16(name.length).bytes(name).u16(path.length).bytes(path)
  }
  out.align()
}

/** Istio splits these wherever they are texts. */
const ALWAYS_DELIMITED = ['scope', 'permission']

/** As Envoy compares audiences: without scheme and without a slash at the end. */
function plainAudience(audience: string): string {
  return audience.replace(/^https?:\/\//, '').replace(/\/$/, '')
}

function writeTexts(out: ByteWriter, texts: readonly string[]): void {
  out.bytes(encodeStringList(texts.map((text) => ({ form: 'exact', text })))).align()
}
