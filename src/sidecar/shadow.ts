// A copy of a request that a route sends to another destination as well (mirror).

import { COLON } from './bytes.ts'
import { authorityLen, authorityPtr, outBytes, outPosition, outText } from './message.ts'
import { forgetRewrite, rewriteAuthority } from './route-rewrite.ts'

/** Longest host name (RFC 1035). */
const MAX_HOST: i32 = 253
const OPENING_BRACKET: u32 = 0x5b

/** Gives the copy the authority by which its receiver knows it, as Envoy does: "-shadow" behind the host. */
export function shadowAuthority(): void {
  forgetRewrite()
  const authority = authorityPtr()
  const size = authorityLen()
  let host = 0
  while (host < size && load<u8>(authority + host) != COLON) host++
  if (host == 0 || host + 7 > MAX_HOST || load<u8>(authority) == OPENING_BRACKET) return
  const start = outPosition()
  outBytes(authority, host)
  outText('-shadow')
  outBytes(authority + host, size - host)
  rewriteAuthority(start, outPosition() - start)
}
