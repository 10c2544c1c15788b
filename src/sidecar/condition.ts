// One condition of an authorization rule: an attribute of the request against a list of values. An attribute that the
// request does not have matches no value, so a condition on it fails and a negated one holds.

import { claimCount, claimLen, claimPtr } from './claims.ts'
import { findForwarded, forwardedLen, forwardedPtr } from './field-as-forwarded.ts'
import {
  ATTRIBUTE_AUTHORITY,
  ATTRIBUTE_CLAIM,
  ATTRIBUTE_DESTINATION_IP,
  ATTRIBUTE_HEADER,
  ATTRIBUTE_HOST,
  ATTRIBUTE_METHOD,
  ATTRIBUTE_NAMESPACE,
  ATTRIBUTE_PATH,
  ATTRIBUTE_PORT,
  ATTRIBUTE_PRINCIPAL,
  ATTRIBUTE_REMOTE_IP,
  ATTRIBUTE_REQUEST_PRINCIPAL,
  ATTRIBUTE_SOURCE_IP,
  BLOCK_FAMILY,
  BLOCK_MASK,
  BLOCK_NETWORK,
  BLOCK_SIZE,
  CONDITION_ATTRIBUTE,
  CONDITION_BITS,
  CONDITION_HEADER,
  CONDITION_NOT,
  FAMILY_IPV4,
  FAMILY_IPV6,
} from './layout/authorization.ts'
import { IN_LOCAL_IP, IN_PEER_LEN, IN_PEER_PTR, IN_SOURCE_IP, INPUT } from './layout/record.ts'
import { lowerAuthorityPtr } from './lower-authority.ts'
import {
  authorityLen,
  authorityPtr,
  inU32,
  methodLen,
  methodPtr,
  pathLen,
  pathPtr,
  remoteIpPtr,
} from './message.ts'
import { peerNamespaceLen, peerNamespacePtr } from './peer.ts'
import { requestedPort } from './ports.ts'
import { listMatches } from './string-list.ts'

export function conditionHolds(condition: i32): bool {
  const bits: i32 = load<u16>(condition + CONDITION_BITS)
  return valueMatches(condition) != ((bits & CONDITION_NOT) != 0)
}

function valueMatches(condition: i32): bool {
  const values = condition + CONDITION_HEADER
  switch (load<u16>(condition + CONDITION_ATTRIBUTE) as i32) {
    case ATTRIBUTE_METHOD:
      return listMatches(values, methodPtr(), methodLen())
    case ATTRIBUTE_PATH:
      return listMatches(values, pathPtr(), pathLen())
    case ATTRIBUTE_PRINCIPAL:
      return textMatches(values, inU32(IN_PEER_PTR), inU32(IN_PEER_LEN))
    case ATTRIBUTE_NAMESPACE:
      return textMatches(values, peerNamespacePtr(), peerNamespaceLen())
    case ATTRIBUTE_HOST:
      return listMatches(values, lowerAuthorityPtr(), authorityLen())
    case ATTRIBUTE_AUTHORITY:
      return listMatches(values, authorityPtr(), authorityLen())
    case ATTRIBUTE_PORT:
      return portMatches(values)
    case ATTRIBUTE_HEADER:
      return headerMatches(values)
    case ATTRIBUTE_SOURCE_IP:
      return ipMatches(values, INPUT + IN_SOURCE_IP)
    case ATTRIBUTE_REMOTE_IP:
      return ipMatches(values, remoteIpPtr())
    case ATTRIBUTE_DESTINATION_IP:
      return ipMatches(values, INPUT + IN_LOCAL_IP)
    case ATTRIBUTE_CLAIM:
      return claimMatches(values)
    case ATTRIBUTE_REQUEST_PRINCIPAL:
      return requestPrincipalMatches(values)
    default:
      // The server name (SNI): connections carry none yet.
      return false
  }
}

/** Attributes that are absent where their text is empty. */
function textMatches(list: i32, ptr: i32, len: i32): bool {
  return len > 0 && listMatches(list, ptr, len)
}

function portMatches(values: i32): bool {
  const port = requestedPort()
  const end = values + 4 + (load<i32>(values) << 2)
  for (let at = values + 4; at < end; at += 4) if (load<i32>(at) == port) return true
  return false
}

function headerMatches(subject: i32): bool {
  const length = load<i32>(subject + 4)
  if (!findForwarded(subject + 8, length, load<u32>(subject))) return false
  return listMatches(subject + 8 + ((length + 3) & ~3), forwardedPtr(), forwardedLen())
}

function ipMatches(values: i32, address: i32): bool {
  const high = load<u64>(address)
  const low = load<u64>(address + 8)
  const family = high == 0 && (low as u32) == 0xffff0000 ? FAMILY_IPV4 : FAMILY_IPV6
  const end = values + 4 + load<i32>(values) * BLOCK_SIZE
  for (let block = values + 4; block < end; block += BLOCK_SIZE) {
    if (
      load<i32>(block + BLOCK_FAMILY) == family &&
      (high & load<u64>(block + BLOCK_MASK)) == load<u64>(block + BLOCK_NETWORK) &&
      (low & load<u64>(block + BLOCK_MASK + 8)) == load<u64>(block + BLOCK_NETWORK + 8)
    ) {
      return true
    }
  }
  return false
}

function claimMatches(subject: i32): bool {
  const length = load<i32>(subject)
  return anyClaimMatches(subject + 4 + ((length + 3) & ~3), subject + 4, length)
}

function anyClaimMatches(list: i32, path: i32, pathSize: i32): bool {
  const count = claimCount(path, pathSize)
  for (let i = 0; i < count; i++) {
    if (textMatches(list, claimPtr(path, pathSize, i), claimLen(path, pathSize, i))) return true
  }
  return false
}

/** "<issuer>/<subject>": each value is a list for the claim `iss` and one for `sub`, and both must match. */
function requestPrincipalMatches(values: i32): bool {
  let list = values + 4
  for (let i = load<i32>(values); i > 0; i--) {
    const subjects = list + 4 + load<i32>(list)
    if (
      anyClaimMatches(list + 4, ISSUER as i32, CLAIM_NAME_SIZE) &&
      anyClaimMatches(subjects + 4, SUBJECT as i32, CLAIM_NAME_SIZE)
    ) {
      return true
    }
    list = subjects + 4 + load<i32>(subjects)
  }
  return false
}

/** The claims' paths: u16 length, name. */
const ISSUER = memory.data<u8>([3, 0, 0x69, 0x73, 0x73])
const SUBJECT = memory.data<u8>([3, 0, 0x73, 0x75, 0x62])
const CLAIM_NAME_SIZE = 5
