// Whose address a request comes from: the peer's, or what trusted proxies say of it in X-Forwarded-For.

import { COMMA, HTAB, SP } from './bytes.ts'
import { isForwarded } from './hop.ts'
import { readIp } from './ip-address.ts'
import { FIELD_X_FORWARDED_FOR } from './layout/fields.ts'
import { DIRECTION_INGRESS, IN_SOURCE_IP, INPUT } from './layout/record.ts'
import { SCRATCH_REMOTE_IP } from './layout/scratch.ts'
import { direction, fieldCount, fieldId, fieldValueLen, fieldValuePtr } from './message.ts'

/**
 * Sets the client's address (remoteIpPtr): with N trusted proxies before the gateway the Nth address from the right of
 * X-Forwarded-For as it came, as Envoy has it; without one, and inside the mesh where functions are the peers, the peer's.
 */
export function findClientAddress(trustedProxies: i32): void {
  // The gateway's engine has added the peer's address.
  const own = isForwarded() ? 1 : 0
  if (trustedProxies > 0 && direction() == DIRECTION_INGRESS && readNthFromRight(trustedProxies + own)) return
  memory.copy(SCRATCH_REMOTE_IP, INPUT + IN_SOURCE_IP, 16)
}

function readNthFromRight(nth: i32): bool {
  let left = nth
  for (let i = fieldCount() - 1; i >= 0; i--) {
    if (fieldId(i) != FIELD_X_FORWARDED_FOR) continue
    const start = fieldValuePtr(i)
    let end = start + fieldValueLen(i)
    while (true) {
      let p = end
      while (p > start && load<u8>(p - 1) != COMMA) p--
      if (--left == 0) return readElement(p, end)
      if (p == start) break
      end = p - 1
    }
  }
  return false
}

function readElement(start: i32, end: i32): bool {
  while (start < end && isBlank(load<u8>(start))) start++
  while (end > start && isBlank(load<u8>(end - 1))) end--
  return readIp(start, end - start, SCRATCH_REMOTE_IP)
}

function isBlank(byte: u32): bool {
  return byte == SP || byte == HTAB
}
