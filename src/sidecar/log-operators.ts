// The values that a log line can show, one function for each kind; false where the value is absent.

import {
  LOG_AUTHORITY,
  LOG_CLUSTER,
  LOG_DETAILS,
  LOG_DIRECT_REMOTE,
  LOG_FIELD,
  LOG_FORWARDED_FOR,
  LOG_FORWARDED_PROTO,
  LOG_LOCAL,
  LOG_LOCAL_URI,
  LOG_METHOD,
  LOG_ORIGINAL_PATH,
  LOG_PATH,
  LOG_PATH_WITHOUT_QUERY,
  LOG_PEER_URI,
  LOG_PROTOCOL,
  LOG_REMOTE,
  LOG_REQUEST_ID,
  LOG_RESPONSE_CODE,
  LOG_ROUTE_NAME,
  LOG_SCHEME,
  LOG_SPAN_ID,
  LOG_TRACE_ID,
  LOG_TRACEPARENT,
  LOG_UPSTREAM_HOST,
  OP_FORM,
  OP_LIMIT,
  OP_NUMBER,
  OP_TEXT,
  OP_TEXT_LEN,
} from './layout/access-log.ts'
import { FIELD_INTERNAL, FIELD_TRACEPARENT, FIELD_X_FORWARDED_CLIENT_CERT } from './layout/fields.ts'
import {
  IN_FLAG_TLS,
  IN_FLAGS,
  IN_LOCAL_IP,
  IN_LOCAL_PORT,
  IN_LOCAL_STATUS,
  IN_PEER_LEN,
  IN_RESPONSE_FLAGS,
  IN_SOURCE_IP,
  IN_SOURCE_PORT,
  IN_UPSTREAM_LEN,
  IN_UPSTREAM_PTR,
  INPUT,
  OUT_STATUS,
  OUTPUT,
} from './layout/record.ts'
import {
  outAddress,
  outCluster,
  outForwardedFor,
  outForwardedProto,
  outPeerUri,
  outScheme,
  remotePort,
} from './log-address.ts'
import { beginValue, endValue, outEscaped, outNumber, outOwn, outValue } from './log-value.ts'
import {
  authorityLen,
  authorityPtr,
  fieldId,
  fieldValueLen,
  fieldValuePtr,
  findField,
  findFieldById,
  httpMinor,
  inU32,
  methodLen,
  methodPtr,
  pathLen,
  pathPtr,
  queryLen,
  queryPtr,
  remoteIpPtr,
  requestIdPtr,
} from './message.ts'
import { findOriginalPath, originalPathLen, originalPathPtr } from './original-path.ts'
import { findReplyField, replyFieldLen, replyFieldPtr } from './reply-field.ts'
import { REQUEST_ID_LEN } from './request-id.ts'
import { findRouteName, routeNameLen, routeNamePtr } from './route-name.ts'
import { spanIdPtr, traceFlags, traceIdPtr, tracing, writesTraceparent } from './trace.ts'
import { writeTraceparentValue } from './traceparent.ts'

/** Writes the value that the op asks for. */
export function outLogValue(code: i32, op: i32, section: i32): bool {
  const form: i32 = load<u8>(op + OP_FORM)
  const limit = load<i32>(op + OP_LIMIT)
  const text = section + load<i32>(op + OP_TEXT)
  const textLen = load<i32>(op + OP_TEXT_LEN)
  const number = load<i32>(op + OP_NUMBER)
  switch (code) {
    case LOG_FIELD:
      if (inU32(IN_LOCAL_STATUS) != 0) return outReplyField(form, limit, text, textLen)
      return outField(form, limit, findField(text, textLen, number as u32))
    case LOG_METHOD:
      return outPresent(form, limit, methodPtr(), methodLen())
    case LOG_PATH:
      return outPath(form, limit)
    case LOG_PATH_WITHOUT_QUERY:
      return outPresent(form, limit, pathPtr(), pathLen())
    case LOG_AUTHORITY:
      return outPresent(form, limit, authorityPtr(), authorityLen())
    case LOG_SCHEME:
      return outScheme(form, limit, (inU32(IN_FLAGS) & IN_FLAG_TLS) != 0)
    case LOG_PROTOCOL:
      return outProtocol(form, limit)
    case LOG_REMOTE:
      return outAddress(form, remoteIpPtr(), remotePort(), number)
    case LOG_DIRECT_REMOTE:
      return outAddress(form, INPUT + IN_SOURCE_IP, inU32(IN_SOURCE_PORT), number)
    case LOG_LOCAL:
      return outAddress(form, INPUT + IN_LOCAL_IP, inU32(IN_LOCAL_PORT), number)
    case LOG_PEER_URI:
      return outPeerUri(form, limit)
    case LOG_LOCAL_URI:
      return inU32(IN_PEER_LEN) != 0 && outPresent(form, limit, text, textLen)
    case LOG_CLUSTER:
      return outCluster(form, limit, text, textLen)
    case LOG_TRACE_ID:
      return tracing() && outPresent(form, limit, traceIdPtr(), 32)
    case LOG_SPAN_ID:
      return tracing() && outPresent(form, limit, spanIdPtr(), 16)
    case LOG_REQUEST_ID:
      return load<u8>(requestIdPtr()) != 0 && outPresent(form, limit, requestIdPtr(), REQUEST_ID_LEN)
    case LOG_FORWARDED_FOR:
      return outForwardedFor(form, limit)
    case LOG_FORWARDED_PROTO:
      return outForwardedProto(form, limit)
    case LOG_TRACEPARENT:
      return outTraceparent(form, limit)
    case LOG_ORIGINAL_PATH:
      return findOriginalPath() && outPresent(form, limit, originalPathPtr(), originalPathLen())
    case LOG_ROUTE_NAME:
      if (findRouteName()) return outPresent(form, limit, routeNamePtr(), routeNameLen())
      return outPresent(form, limit, text, textLen)
    case LOG_RESPONSE_CODE:
      return outStatus()
    case LOG_DETAILS:
      return outDetails(form, limit, section, text, number)
    case LOG_UPSTREAM_HOST:
      return outPresent(form, limit, inU32(IN_UPSTREAM_PTR), inU32(IN_UPSTREAM_LEN))
  }
  return false
}

/** A value of which no bytes are there is absent. */
function outPresent(form: i32, limit: i32, ptr: i32, len: i32): bool {
  if (len == 0) return false
  outValue(form, limit, ptr, len)
  return true
}

/** The first field of its name, as Envoy logs it. What only the mesh may set is not logged as somebody else sent it. */
function outField(form: i32, limit: i32, field: i32): bool {
  if (field < 0) return false
  const id = fieldId(field)
  if (id == FIELD_INTERNAL || id == FIELD_X_FORWARDED_CLIENT_CERT) return false
  outValue(form, limit, fieldValuePtr(field), fieldValueLen(field))
  return true
}

function outReplyField(form: i32, limit: i32, name: i32, nameLen: i32): bool {
  if (!findReplyField(name, nameLen)) return false
  outValue(form, limit, replyFieldPtr(), replyFieldLen())
  return true
}

function outPath(form: i32, limit: i32): bool {
  if (pathLen() == 0) return false
  beginValue(form, limit)
  outEscaped(form, pathPtr(), pathLen())
  if (queryPtr() != 0) {
    outOwn('?')
    outEscaped(form, queryPtr(), queryLen())
  }
  endValue(form)
  return true
}

function outProtocol(form: i32, limit: i32): bool {
  beginValue(form, limit)
  outOwn(httpMinor() == 0 ? 'HTTP/1.0' : 'HTTP/1.1')
  endValue(form)
  return true
}

function outTraceparent(form: i32, limit: i32): bool {
  if (!writesTraceparent()) return outField(form, limit, findFieldById(FIELD_TRACEPARENT))
  beginValue(form, limit)
  writeTraceparentValue(traceFlags())
  endValue(form)
  return true
}

function outStatus(): bool {
  const local = inU32(IN_LOCAL_STATUS)
  outNumber(local != 0 ? local : load<u32>(OUTPUT + OUT_STATUS))
  return true
}

function outDetails(form: i32, limit: i32, section: i32, table: i32, entries: i32): bool {
  const entry = detailsEntry(table, entries)
  return outPresent(form, limit, section + load<i32>(entry + 4), load<i32>(entry + 8))
}

/** The entry of a table of LOG_DETAILS that is for this response. */
export function detailsEntry(table: i32, entries: i32): i32 {
  const entrySize = 12
  let chosen = table
  if (inU32(IN_LOCAL_STATUS) != 0) {
    const flags = inU32(IN_RESPONSE_FLAGS)
    const last = table + (entries - 1) * entrySize
    chosen = table + entrySize
    while (chosen < last && (load<u32>(chosen) & flags) == 0) chosen += entrySize
  }
  return chosen
}
