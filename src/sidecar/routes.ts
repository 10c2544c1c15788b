// Routes (layout/routes.ts): the VirtualService that a request goes by is the first whose callers it comes from, its route
// the first of which a match holds. A request that takes none is answered 404, as in Istio.

import { forgetForwarded } from './field-as-forwarded.ts'
import {
  DIRECTION_INGRESS,
  IN_FLAG_SERVE,
  IN_FLAGS,
  NO_RULE,
  POLICY_ROUTE,
  REASON_NO_ROUTE,
  REASON_ROUTE,
  RESPONSE_FLAG_NR,
  VERDICT_ALLOW,
  VERDICT_DENY,
} from './layout/record.ts'
import {
  FROM_GATEWAY,
  FROM_INSIDE,
  MATCH_CONDITIONS,
  MATCH_FIRST_CONDITION,
  MATCH_FROM,
  MATCH_LENGTH,
  MATCH_NAME,
  MATCH_REPLACED,
  ROUTE_ACTION,
  ROUTE_CONDITION_LENGTH,
  ROUTE_FIRST_MATCH,
  ROUTE_INDEX,
  ROUTE_LENGTH,
  ROUTE_MATCHES,
  SERVICE_FIRST_ROUTE,
  SERVICE_FROM,
  SERVICE_LENGTH,
  SERVICE_NAME,
  SERVICE_NAMESPACES,
  SERVICE_ROUTES,
} from './layout/routes.ts'
import { deny, denyWithFields, direction, inU32, outPosition, outText, recordVerdict } from './message.ts'
import { peerNamespaceLen, peerNamespacePtr, readPeer } from './peer.ts'
import { outPrintable } from './printable.ts'
import { act, forgetAction, leavesFunction } from './route-action.ts'
import { beginConditions, conditionsExhausted, routeConditionHolds } from './route-condition.ts'
import { forgetRewrite } from './route-rewrite.ts'
import { listMatches } from './string-list.ts'

let routed: bool = false
let taken: i32 = 0

/** Judges by the ROUTES section: VERDICT_ALLOW, or VERDICT_DENY with the answer written. */
export function takeRoute(section: i32, sectionLen: i32): i32 {
  forgetRewrite()
  forgetAction()
  taken = 0
  routed = false
  if (sectionLen == 0) return VERDICT_ALLOW
  readPeer()
  beginConditions()
  forgetForwarded()
  const from = direction() == DIRECTION_INGRESS ? FROM_GATEWAY : FROM_INSIDE
  let service = section + 4
  for (let left = load<i32>(section); left > 0; left--) {
    if (isFor(service, from)) return routeBy(service, from)
    service += load<i32>(service + SERVICE_LENGTH)
  }
  return VERDICT_ALLOW
}

/** Whether the request goes on to another function, so that nothing is judged for this one any more. */
export function routeLeaves(): bool {
  return leavesFunction()
}

/** Whether another sidecar judges next: that of another function, or the same function's on another node. */
export function isJudgedAgain(): bool {
  return leavesFunction() || (inU32(IN_FLAGS) & IN_FLAG_SERVE) == 0
}

/** The name of the route that was taken; length 0 where it has none or none was taken. */
export function takenNamePtr(): i32 {
  return taken + load<i32>(taken + MATCH_NAME)
}

export function takenNameLen(): i32 {
  return taken == 0 ? 0 : load<i32>(taken + MATCH_NAME + 4)
}

/** Whether a VirtualService applies to the request. */
export function isRouted(): bool {
  return routed
}

/** The namespace of an inside caller must be among those that the service is exported to; the gateway's was looked at before. */
function isFor(service: i32, from: i32): bool {
  if ((load<i32>(service + SERVICE_FROM) & from) == 0) return false
  const namespaces = load<i32>(service + SERVICE_NAMESPACES)
  if (namespaces == 0 || from == FROM_GATEWAY) return true
  return peerNamespaceLen() > 0 && listMatches(service + namespaces, peerNamespacePtr(), peerNamespaceLen())
}

function routeBy(service: i32, from: i32): i32 {
  routed = true
  let route = service + load<i32>(service + SERVICE_FIRST_ROUTE)
  for (let left = load<i32>(service + SERVICE_ROUTES); left > 0; left--) {
    const match = matchOf(route, from)
    // A negated condition that was not judged would hold.
    if (conditionsExhausted()) return tooDear(service)
    if (match != 0) {
      taken = match
      const verdict = act(
        route + load<i32>(route + ROUTE_ACTION),
        load<i32>(route + ROUTE_INDEX),
        load<i32>(match + MATCH_REPLACED),
      )
      // Fields may have changed since they were judged.
      forgetForwarded()
      return verdict
    }
    route += load<i32>(route + ROUTE_LENGTH)
  }
  return noRoute(service)
}

/** The route's first match that holds, 0 where none does. */
function matchOf(route: i32, from: i32): i32 {
  let match = route + load<i32>(route + ROUTE_FIRST_MATCH)
  for (let left = load<i32>(route + ROUTE_MATCHES); left > 0; left--) {
    if ((load<i32>(match + MATCH_FROM) & from) != 0 && holds(match)) return match
    match += load<i32>(match + MATCH_LENGTH)
  }
  return 0
}

function holds(match: i32): bool {
  let condition = match + load<i32>(match + MATCH_FIRST_CONDITION)
  for (let left = load<i32>(match + MATCH_CONDITIONS); left > 0; left--) {
    if (!routeConditionHolds(condition)) return false
    condition += load<i32>(condition + ROUTE_CONDITION_LENGTH)
  }
  return true
}

function tooDear(service: i32): i32 {
  recordVerdict(POLICY_ROUTE, VERDICT_DENY, NO_RULE)
  const text = outPosition()
  outText('the request is too long for the conditions of VirtualService ')
  outPrintable(service + load<i32>(service + SERVICE_NAME), load<i32>(service + SERVICE_NAME + 4))
  deny(500, REASON_ROUTE, text, outPosition() - text)
  return VERDICT_DENY
}

function noRoute(service: i32): i32 {
  recordVerdict(POLICY_ROUTE, VERDICT_DENY, NO_RULE)
  const text = outPosition()
  outText('no route of VirtualService ')
  outPrintable(service + load<i32>(service + SERVICE_NAME), load<i32>(service + SERVICE_NAME + 4))
  outText(' matches the request')
  deny(404, REASON_NO_ROUTE, text, outPosition() - text)
  denyWithFields(0, 0, RESPONSE_FLAG_NR)
  return VERDICT_DENY
}
