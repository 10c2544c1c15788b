// The conditions of a route's matches. Fields are judged as they go on (field-as-forwarded.ts), query parameters as they
// stand in the target, without decoding, as Envoy does.

import { equalBytes } from './bytes.ts'
import { findForwarded, forwardedLen, forwardedPtr } from './field-as-forwarded.ts'
import { idOfName } from './field-table.ts'
import { cameByTls } from './forwarded.ts'
import { AUTOMATON_FORM, AUTOMATON_TABLE, PROGRAM_STEPS } from './layout/automaton.ts'
import { FIELD_HOST } from './layout/fields.ts'
import { HTTP_TRUSTED_PROXIES } from './layout/http.ts'
import { SECTION_HTTP } from './layout/policy.ts'
import { DIRECTION_INGRESS, IN_MEMORY, IN_PEER_LEN, IN_PEER_PTR } from './layout/record.ts'
import {
  ON_AUTHORITY,
  ON_FIELD,
  ON_METHOD,
  ON_NAMESPACE,
  ON_PATH,
  ON_PORT,
  ON_PRINCIPAL,
  ON_QUERY_PARAMETER,
  ON_SCHEME,
  ROUTE_CONDITION_ABSENT_IS_EMPTY,
  ROUTE_CONDITION_BITS,
  ROUTE_CONDITION_GATEWAY,
  ROUTE_CONDITION_HASH,
  ROUTE_CONDITION_NAME,
  ROUTE_CONDITION_NOT,
  ROUTE_CONDITION_ON,
  ROUTE_CONDITION_OPERAND,
  TEXT_AUTOMATON,
  TEXT_MATCH_FORM,
  TEXT_MATCH_TEXT,
} from './layout/routes.ts'
import {
  authorityLen,
  authorityPtr,
  direction,
  fieldCount,
  inU32,
  methodLen,
  methodPtr,
  outPosition,
  outText,
  pathLen,
  pathPtr,
  queryLen,
  queryPtr,
} from './message.ts'
import { peerNamespaceLen, peerNamespacePtr } from './peer.ts'
import { sectionPtr } from './policy.ts'
import { requestedPort } from './ports.ts'
import { listMatches } from './string-list.ts'
import { textMatches } from './text-match.ts'

/** Fuel that looking for a route may take in either memory; what policies take after it fits beside it. */
const SMALL_BUDGET: i32 = 3000000
const LARGE_BUDGET: i32 = 12000000
const SMALL_MEMORY: u32 = 65536
/** About what it takes, in fuel: to look at a field of the head, for each byte of a query and of a text that an automaton reads. */
const FIELD_COST: i32 = 24
const QUERY_BYTE_COST: i32 = 80
const BYTE_COST: i32 = 20
/** For each byte, place and step of a program. */
const STEP_COST: i32 = 24

let budget: i32 = 0

/** Begins to look for a route. */
export function beginConditions(): void {
  budget = inU32(IN_MEMORY) > SMALL_MEMORY ? LARGE_BUDGET : SMALL_BUDGET
}

/** Whether the request is too long for as many conditions as there are: then none that came after holds or does not. */
export function conditionsExhausted(): bool {
  return budget < 0
}

function spend(cost: i64): bool {
  budget = cost > (budget as i64) ? -1 : budget - (cost as i32)
  return budget >= 0
}

/** What reading `len` bytes costs by the match's form. */
function costOf(match: i32, len: i32): i64 {
  if (load<i32>(match + TEXT_MATCH_FORM) != TEXT_AUTOMATON) return 0
  const automaton = match + TEXT_MATCH_TEXT
  if ((load<u16>(automaton + AUTOMATON_FORM) as i32) == AUTOMATON_TABLE) return (len as i64) * BYTE_COST
  return ((len + 1) as i64) * ((load<u16>(automaton + PROGRAM_STEPS) as i64) * STEP_COST)
}

/** As textMatches, within the budget; beyond it nothing matches, and conditionsExhausted. */
export function matchesText(match: i32, ptr: i32, len: i32): bool {
  return spend(costOf(match, len)) && textMatches(match, ptr, len)
}

const AMPERSAND: u32 = 0x26
const EQUALS: u32 = 0x3d

/** Whether the condition block holds; readPeer must have run. */
export function routeConditionHolds(condition: i32): bool {
  const bits: i32 = load<u16>(condition + ROUTE_CONDITION_BITS)
  return matches(condition, bits) != ((bits & ROUTE_CONDITION_NOT) != 0)
}

/** Whether the request came by https, as its client knows it. */
export function isHttps(): bool {
  if (direction() != DIRECTION_INGRESS) return false
  return cameByTls(load<i32>(sectionPtr(SECTION_HTTP) + HTTP_TRUSTED_PROXIES))
}

function matches(condition: i32, bits: i32): bool {
  const operand = condition + load<i32>(condition + ROUTE_CONDITION_OPERAND)
  switch (load<u16>(condition + ROUTE_CONDITION_ON) as i32) {
    case ON_PATH:
      return matchesText(operand, pathPtr(), pathLen())
    case ON_METHOD:
      return matchesText(operand, methodPtr(), methodLen())
    case ON_SCHEME:
      return schemeMatches(operand)
    case ON_AUTHORITY:
      return matchesText(operand, authorityPtr(), authorityLen())
    case ON_FIELD:
      return fieldMatches(condition, operand, bits)
    case ON_QUERY_PARAMETER:
      return parameterMatches(condition, operand)
    case ON_PORT:
      return load<i32>(condition + ROUTE_CONDITION_OPERAND) == requestedPort()
    case ON_PRINCIPAL:
      return inU32(IN_PEER_LEN) != 0 && listMatches(operand, inU32(IN_PEER_PTR), inU32(IN_PEER_LEN))
    case ON_NAMESPACE:
      if (direction() == DIRECTION_INGRESS) return (bits & ROUTE_CONDITION_GATEWAY) != 0
      return peerNamespaceLen() > 0 && matchesText(operand, peerNamespacePtr(), peerNamespaceLen())
    default:
      return false
  }
}

function schemeMatches(operand: i32): bool {
  const start = outPosition()
  outText(isHttps() ? 'https' : 'http')
  return matchesText(operand, start, outPosition() - start)
}

function fieldMatches(condition: i32, operand: i32, bits: i32): bool {
  const name = condition + load<i32>(condition + ROUTE_CONDITION_NAME)
  const nameLen = load<i32>(condition + ROUTE_CONDITION_NAME + 4)
  const hash = load<u32>(condition + ROUTE_CONDITION_HASH)
  if (idOfName(name, nameLen, hash) == FIELD_HOST) return matchesText(operand, authorityPtr(), authorityLen())
  if (!spend(((fieldCount() + 8) * FIELD_COST) as i64)) return false
  if (findForwarded(name, nameLen, hash)) return matchesText(operand, forwardedPtr(), forwardedLen())
  return (bits & ROUTE_CONDITION_ABSENT_IS_EMPTY) != 0 && matchesText(operand, 0, 0)
}

/** The first parameter of that name counts; one without "=" has an empty value. */
function parameterMatches(condition: i32, operand: i32): bool {
  const name = condition + load<i32>(condition + ROUTE_CONDITION_NAME)
  const nameLen = load<i32>(condition + ROUTE_CONDITION_NAME + 4)
  if (queryPtr() == 0 || !spend((queryLen() as i64) * QUERY_BYTE_COST)) return false
  const end = queryPtr() + queryLen()
  let p = queryPtr()
  while (p < end) {
    let stop = p
    let equals = 0
    while (stop < end && load<u8>(stop) != AMPERSAND) {
      if (equals == 0 && load<u8>(stop) == EQUALS) equals = stop
      stop++
    }
    const nameEnd = equals == 0 ? stop : equals
    if (equalBytes(p, nameEnd - p, name, nameLen)) {
      return equals == 0 ? matchesText(operand, stop, 0) : matchesText(operand, equals + 1, stop - equals - 1)
    }
    p = stop + 1
  }
  return false
}
