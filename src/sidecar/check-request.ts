// What a check service is told of a request: the key of a NEED_EXTERNAL (layout/external-authorization.ts). By Envoy's contract
// that is method, path, authority and Authorization, and the fields that the provider asks for, as the function would get them.

import { lowerCase, SP } from './bytes.ts'
import { findForwarded, forwardedLen, forwardedPtr } from './field-as-forwarded.ts'
import { FRAMING, HOP_BY_HOP, isIn } from './field-classes.ts'
import { fieldDropped, fieldRemoved } from './fields.ts'
import {
  EXTERNAL_ASKED,
  EXTERNAL_LINE_NAMES,
  EXTERNAL_LINES,
  EXTERNAL_PATH_PREFIX,
} from './layout/external-authorization.ts'
import {
  FIELD_AUTHORIZATION,
  FIELD_EXPECT,
  FIELD_HOST,
  FIELD_INTERNAL,
  FIELD_TRAILER,
  FIELD_X_FORWARDED_CLIENT_CERT,
  FIELD_X_FORWARDED_FOR,
  FIELD_X_FORWARDED_PROTO,
  FIELD_X_REQUEST_ID,
} from './layout/fields.ts'
import {
  authorityLen,
  authorityPtr,
  fieldCount,
  fieldHash,
  fieldId,
  fieldNameLen,
  fieldNamePtr,
  findField,
  hashBytesLower,
  methodLen,
  methodPtr,
  nextField,
  outByte,
  outBytes,
  outOverflowed,
  outPosition,
  outReserve,
  outText,
  pathLen,
  pathPtr,
  queryLen,
  queryPtr,
} from './message.ts'
import { listMatches } from './string-list.ts'

const ONE: u64 = 1

/** Written by the mesh, whether they came or not. */
const BY_MESH: u64 =
  (ONE << FIELD_X_FORWARDED_FOR) |
  (ONE << FIELD_X_FORWARDED_PROTO) |
  (ONE << FIELD_X_FORWARDED_CLIENT_CERT) |
  (ONE << FIELD_X_REQUEST_ID)

const NEVER: u64 =
  HOP_BY_HOP |
  FRAMING |
  (ONE << FIELD_HOST) |
  (ONE << FIELD_EXPECT) |
  (ONE << FIELD_TRAILER) |
  (ONE << FIELD_INTERNAL)

/** Entries of the list of lines to write: u32 address and length of the name, the same of the value. */
const LINE_SIZE: i32 = 16
const MESH_NAMES: i32 = 4

let section: i32 = 0
let lines: i32 = 0
let linesEnd: i32 = 0

/** Writes the check; it is what lies from the address that is returned to the output's end. */
export function outCheck(externalSection: i32): i32 {
  section = externalSection
  // What is looked up may be put together in the output, so all of it is there before the check itself begins.
  listLines()
  const check = outPosition()
  outBytes(methodPtr(), methodLen())
  outByte(SP)
  outReference(EXTERNAL_PATH_PREFIX)
  outBytes(pathPtr(), pathLen())
  if (queryPtr() != 0) {
    outByte(0x3f)
    outBytes(queryPtr(), queryLen())
  }
  outText('\r\nhost: ')
  outBytes(authorityPtr(), authorityLen())
  outText('\r\n')
  for (let line = lines; line < linesEnd; line += LINE_SIZE) {
    outBytes(load<i32>(line), load<i32>(line + 4))
    outText(': ')
    outBytes(load<i32>(line + 8), load<i32>(line + 12))
    outText('\r\n')
  }
  outReference(EXTERNAL_LINES)
  return check
}

function listLines(): void {
  const count = fieldCount()
  lines = outPosition()
  linesEnd = lines
  if (!outReserve((count + MESH_NAMES) * LINE_SIZE)) return
  for (let i = 0; i < count; i++) {
    const id = fieldId(i)
    if (!isFirst(i) || isIn(NEVER | BY_MESH, id)) continue
    const name = outPosition()
    for (let j = 0; j < fieldNameLen(i); j++) outByte(lowerCase(load<u8>(fieldNamePtr(i) + j)))
    if (outOverflowed()) return
    if (isAsked(name, fieldNameLen(i), id)) addLine(name, fieldNameLen(i), fieldHash(i))
  }
  addMeshLine('x-forwarded-for')
  addMeshLine('x-forwarded-proto')
  addMeshLine('x-forwarded-client-cert')
  addMeshLine('x-request-id')
}

/** Whether it is the first of its name that goes on: its line has the values of all. */
function isFirst(i: i32): bool {
  if (fieldDropped(i) || fieldRemoved(i)) return false
  let other = findField(fieldNamePtr(i), fieldNameLen(i), fieldHash(i))
  while (other >= 0 && fieldDropped(other)) other = nextField(other)
  return other == i
}

function addMeshLine(text: string): void {
  const name = outPosition()
  outText(text)
  if (outOverflowed()) return
  if (isAsked(name, text.length, 0)) addLine(name, text.length, hashBytesLower(name, text.length))
}

function addLine(name: i32, len: i32, hash: u32): void {
  if (!findForwarded(name, len, hash)) return
  store<i32>(linesEnd, name)
  store<i32>(linesEnd + 4, len)
  store<i32>(linesEnd + 8, forwardedPtr())
  store<i32>(linesEnd + 12, forwardedLen())
  linesEnd += LINE_SIZE
}

function isAsked(name: i32, len: i32, id: i32): bool {
  if (isListed(EXTERNAL_LINE_NAMES, name, len)) return false
  return id == FIELD_AUTHORIZATION || isListed(EXTERNAL_ASKED, name, len)
}

function isListed(offset: i32, name: i32, len: i32): bool {
  const list = load<i32>(section + offset)
  return list != 0 && listMatches(section + list, name, len)
}

function outReference(offset: i32): void {
  outBytes(section + load<i32>(section + offset), load<i32>(section + offset + 4))
}
