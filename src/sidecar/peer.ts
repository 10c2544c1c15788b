// The peer's identity, a principal of the form <trust domain>/ns/<namespace>/sa/<service account>.

import { SLASH } from './bytes.ts'
import { IN_PEER_LEN, IN_PEER_PTR } from './layout/record.ts'
import { inU32 } from './message.ts'

let namespace: i32 = 0
let namespaceSize: i32 = 0

/** Finds the parts of the peer's principal; to be called before they are asked for. */
export function readPeer(): void {
  namespaceSize = 0
  const ptr: i32 = inU32(IN_PEER_PTR)
  const end = ptr + (inU32(IN_PEER_LEN) as i32)
  let at = ptr
  while (at < end && load<u8>(at) != SLASH) at++
  // "/ns/" in little-endian order.
  if (end - at < 4 || load<u32>(at) != 0x2f736e2f) return
  namespace = at + 4
  at = namespace
  while (at < end && load<u8>(at) != SLASH) at++
  if (at < end) namespaceSize = at - namespace
}

/** The namespace; length 0 where the peer has no identity. */
export function peerNamespacePtr(): i32 {
  return namespace
}

export function peerNamespaceLen(): i32 {
  return namespaceSize
}
