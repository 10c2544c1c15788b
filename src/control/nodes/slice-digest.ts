import type { FunctionSlice } from '../../dataplane/engine-messages.ts'
import { contentHash, toWire } from './wire-value.ts'

/** What a slice says, as a hash of its text; both sides make it, so a slice that a node has as it is need not be sent again. */
export function sliceDigest(slice: FunctionSlice): string {
  return contentHash(Buffer.from(toWire(slice, contentHash)))
}
