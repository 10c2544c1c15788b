// The names by which a function calls another: `callee`, `callee.ns`, `callee.ns.svc`, `callee.ns.svc.cluster.local`.

import { DOT, isText } from './bytes.ts'
import { outByte, outBytes, outPosition } from './message.ts'

let key: i32 = 0
let keySize: i32 = 0

/**
 * Reads a host as a callee's name, whether such a function exists or not: false where it has none of the forms, else
 * "namespace/name" is at calleeKeyPtr. `own` is the caller's "namespace/name", whose namespace a bare name means.
 */
export function readCallee(ownPtr: i32, ownLen: i32, hostPtr: i32, hostLen: i32): bool {
  const name = labelLength(hostPtr, hostLen)
  if (name == 0) return false
  let namespacePtr = ownPtr
  let namespace = 0
  if (name == hostLen) {
    while (namespace < ownLen && load<u8>(ownPtr + namespace) != 0x2f) namespace++
  } else {
    namespacePtr = hostPtr + name + 1
    const left = hostLen - name - 1
    namespace = labelLength(namespacePtr, left)
    if (namespace == 0) return false
    const rest = left - namespace
    const restPtr = namespacePtr + namespace
    if (rest > 0 && !isText(restPtr, rest, '.svc') && !isText(restPtr, rest, '.svc.cluster.local'))
      return false
  }
  key = outPosition()
  outBytes(namespacePtr, namespace)
  outByte(0x2f)
  outBytes(hostPtr, name)
  keySize = outPosition() - key
  return true
}

export function calleeKeyPtr(): i32 {
  return key
}

export function calleeKeyLen(): i32 {
  return keySize
}

/** Length of the first label; 0 where it is empty. */
function labelLength(ptr: i32, len: i32): i32 {
  let size = 0
  while (size < len && load<u8>(ptr + size) != DOT) size++
  return size
}
