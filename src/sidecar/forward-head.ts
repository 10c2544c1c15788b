// The request head that goes on: the request line that was judged, the fields that may pass, those that the mesh adds.

import { SP } from './bytes.ts'
import { FRAMING, HOP_BY_HOP, setOf, TRACE } from './field-classes.ts'
import { outFieldLines } from './fields.ts'
import { outForwardedFields, replacedFields } from './forwarded.ts'
import { outFraming, statedBody, statesLength } from './framing.ts'
import { FIELD_EXPECT, FIELD_HOST, FIELD_TRAILER } from './layout/fields.ts'
import { BODY_CHUNKED } from './layout/record.ts'
import {
  authorityLen,
  authorityPtr,
  methodLen,
  methodPtr,
  outByte,
  outBytes,
  outText,
  pathLen,
  pathPtr,
  queryLen,
  queryPtr,
} from './message.ts'
import { findOriginalPath, originalPathLen, originalPathPtr } from './original-path.ts'
import { hostIsRewritten } from './request-target.ts'
import { findRouteName, routeNameLen, routeNamePtr } from './route-name.ts'
import { isJudgedAgain } from './routes.ts'
import { tracing, writeTraceFields } from './trace.ts'
import { expectsContinue, takesTrailers, upgradeValueLen, upgradeValuePtr } from './upgrade.ts'

/** Writes the whole head; `identity` is the own IDENTITY section. */
export function outForwardHead(trustedProxies: i32, identity: i32, identityLen: i32): void {
  outRequestLine()
  if (hostIsRewritten()) {
    outText('host: ')
    outBytes(authorityPtr(), authorityLen())
    outText('\r\n')
  }
  outFieldLines(droppedFields(trustedProxies))
  outFraming(statedBody(), statesLength())
  outHopByHop()
  outForwardedFields(trustedProxies, identity, identityLen)
  // Functions are not told.
  if (isJudgedAgain() && findRouteName()) {
    outText('x-mayfly-route: ')
    outBytes(routeNamePtr(), routeNameLen())
    outText('\r\n')
  }
  if (findOriginalPath()) {
    outText('x-envoy-original-path: ')
    outBytes(originalPathPtr(), originalPathLen())
    outText('\r\n')
  }
  if (tracing()) writeTraceFields()
  outText('\r\n')
}

function outRequestLine(): void {
  outBytes(methodPtr(), methodLen())
  outByte(SP)
  outBytes(pathPtr(), pathLen())
  if (queryPtr() != 0) {
    outByte(0x3f)
    outBytes(queryPtr(), queryLen())
  }
  outText(' HTTP/1.1\r\n')
}

function droppedFields(trustedProxies: i32): u64 {
  let set = HOP_BY_HOP | FRAMING | replacedFields(trustedProxies)
  if (!expectsContinue()) set |= setOf(FIELD_EXPECT)
  if (statedBody() != BODY_CHUNKED) set |= setOf(FIELD_TRAILER)
  if (hostIsRewritten()) set |= setOf(FIELD_HOST)
  if (tracing()) set |= TRACE
  return set
}

function outHopByHop(): void {
  const upgrades = upgradeValueLen() > 0
  if (!upgrades && !takesTrailers()) return
  if (upgrades) {
    outText('upgrade: ')
    outBytes(upgradeValuePtr(), upgradeValueLen())
    outText('\r\n')
  }
  if (takesTrailers()) outText('te: trailers\r\n')
  outText('connection: ')
  if (upgrades) outText('upgrade')
  if (upgrades && takesTrailers()) outText(', ')
  if (takesTrailers()) outText('te')
  outText('\r\n')
}
