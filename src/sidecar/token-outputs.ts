// What a rule hands to the function of a valid token: its payload and single claims as fields, which nobody else may write, and the
// token itself only where the rule says so.

import { isDigit, lowerCase, UNDERSCORE } from './bytes.ts'
import { findClaim } from './claims.ts'
import { JSON_FALSE, JSON_NUMBER, JSON_STRING, JSON_TRUE, jsonLen, jsonPtr, jsonType } from './json.ts'
import { payloadLen, payloadPtr } from './jwt.ts'
import {
  AUTHN_FIRST_OUTPUT,
  AUTHN_OUTPUTS,
  JWT_CLAIMS,
  JWT_FIRST_CLAIM,
  JWT_FLAG_FORWARD,
  JWT_FLAGS,
  JWT_PAYLOAD,
  JWT_PAYLOAD_LENGTH,
} from './layout/authentication.ts'
import {
  addField,
  fieldCount,
  fieldNameLen,
  fieldNamePtr,
  outPosition,
  outText,
  removeField,
} from './message.ts'
import { removeToken } from './token-location.ts'

/** Takes away the fields that only a valid token may lead to. */
export function dropOutputs(section: i32): void {
  const outputs = load<i32>(section + AUTHN_OUTPUTS)
  if (outputs == 0) return
  const count = fieldCount()
  for (let i = 0; i < count; i++) {
    let output = section + load<i32>(section + AUTHN_FIRST_OUTPUT)
    for (let left = outputs; left > 0; left--) {
      const len: i32 = load<u16>(output)
      if (len == fieldNameLen(i) && isFolded(fieldNamePtr(i), output + 2, len)) {
        removeField(i)
        break
      }
      output += 2 + len
    }
  }
}

/** Writes what the rule outputs of the token that was read, whose claims are taken; false where it needs more fields than there may be. */
export function writeOutputs(section: i32, rule: i32): bool {
  const headerLen = load<i32>(rule + JWT_PAYLOAD_LENGTH)
  if (headerLen > 0) {
    if (!addField(section + load<i32>(rule + JWT_PAYLOAD), headerLen, payloadPtr(), payloadLen()))
      return false
  }
  let output = section + load<i32>(rule + JWT_FIRST_CLAIM)
  for (let left = load<i32>(rule + JWT_CLAIMS); left > 0; left--) {
    const len: i32 = load<u16>(output)
    const path = output + 2 + len
    const pathLen: i32 = load<u16>(path)
    if (!writeClaim(output + 2, len, findClaim(path + 2, pathLen))) return false
    output = path + 2 + pathLen
  }
  return (load<i32>(rule + JWT_FLAGS) & JWT_FLAG_FORWARD) != 0 || removeToken()
}

/** Whether a name is that of an output to a server that takes "_" for "-". */
function isFolded(name: i32, folded: i32, len: i32): bool {
  for (let i = 0; i < len; i++) {
    const byte: u32 = load<u8>(name + i)
    if ((byte == UNDERSCORE ? 0x2d : lowerCase(byte)) != load<u8>(folded + i)) return false
  }
  return true
}

/** As in Istio: texts, whole numbers and booleans; a claim that is empty, absent or of another kind leads to no field. */
function writeClaim(name: i32, nameLen: i32, claim: i32): bool {
  if (claim == 0) return true
  const type = jsonType(claim)
  const ptr = jsonPtr(claim)
  const len = jsonLen(claim)
  if (type == JSON_TRUE || type == JSON_FALSE) {
    const start = outPosition()
    outText(type == JSON_TRUE ? 'true' : 'false')
    return addField(name, nameLen, start, outPosition() - start)
  }
  if (type == JSON_STRING ? !isFieldValue(ptr, len) : type != JSON_NUMBER || !isWhole(ptr, len)) return true
  return addField(name, nameLen, ptr, len)
}

/** A text that stands in a field as it is: without control bytes, and without white space around it (RFC 9110 5.5). */
function isFieldValue(ptr: i32, len: i32): bool {
  if (len == 0 || load<u8>(ptr) == 0x20 || load<u8>(ptr + len - 1) == 0x20) return false
  for (let i = 0; i < len; i++) {
    const byte: u32 = load<u8>(ptr + i)
    if (byte < 0x20 || byte == 0x7f) return false
  }
  return true
}

function isWhole(ptr: i32, len: i32): bool {
  for (let i = load<u8>(ptr) == 0x2d ? 1 : 0; i < len; i++) if (!isDigit(load<u8>(ptr + i))) return false
  return true
}
