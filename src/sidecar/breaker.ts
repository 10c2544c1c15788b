// Circuit breaking by DestinationRules (layout/breaker.ts): requests beyond what may be under way to a function, or a subset
// of it, are refused at once. Whoever is let through also learns here by what it is to find its instance.

import { hashRequest } from './hash-key.ts'
import { findInternal } from './hop.ts'
import {
  BREAKER_HEADER,
  BREAKER_ROUTES,
  BREAKER_SLOTS,
  BREAKER_VIEWS,
  CIRCUIT_ACTIVE,
  CIRCUIT_PENDING,
  CIRCUIT_READY,
  CIRCUIT_SIZE,
  CIRCUITS_HEADER,
  CIRCUITS_SLOT,
  CIRCUITS_VIEW,
  OTHER_FUNCTION,
  SLOT_HASH_KEY,
  SLOT_MAX_PENDING,
  SLOT_MAX_REQUESTS,
  SLOT_SIZE,
  UNBOUNDED,
} from './layout/breaker.ts'
import {
  DIRECTION_OUTBOUND,
  IN_CIRCUITS_LEN,
  IN_CIRCUITS_PTR,
  OUT_HASH,
  OUT_ROUTE_LEN,
  OUT_ROUTE_PTR,
  OUTPUT,
  POLICY_BREAKER,
  REASON_BREAKER,
  RESPONSE_FLAG_UO,
  VERDICT_ALLOW,
  VERDICT_DENY,
} from './layout/record.ts'
import { ROUTE_DESTINATION, ROUTE_NUMBER, ROUTE_SIZE } from './layout/route-outcome.ts'
import {
  deny,
  denyWithFields,
  direction,
  inU32,
  outDecimal,
  outPosition,
  outText,
  outU32,
  recordVerdict,
} from './message.ts'

/** As Envoy says it to those who might try again at once. */
const OVERLOADED: string = 'x-envoy-overloaded: true\r\n'

/**
 * Judges by the BREAKER section, where the engine has injected counts: VERDICT_ALLOW, or VERDICT_DENY with the denial
 * written. Call it after the route was taken, since that names the subset.
 */
export function judgeBreaker(section: i32, sectionLen: i32): i32 {
  outU32(OUT_HASH, 0)
  const circuits: i32 = inU32(IN_CIRCUITS_PTR)
  if (sectionLen < BREAKER_HEADER || inU32(IN_CIRCUITS_LEN) < (CIRCUITS_HEADER as u32)) return VERDICT_ALLOW
  const slots = load<u32>(section + BREAKER_SLOTS)
  const view = load<u32>(circuits + CIRCUITS_VIEW)
  const slot = slotOf(section, load<u32>(circuits + CIRCUITS_SLOT))
  // Another function's own DestinationRules judge what goes there.
  if (slot == OTHER_FUNCTION) return VERDICT_ALLOW
  if (view >= load<u32>(section + BREAKER_VIEWS) || slot >= slots) unreachable()
  const bounds = section + BREAKER_HEADER + ((view * slots + slot) as i32) * SLOT_SIZE
  const circuit = circuits + CIRCUITS_HEADER + (slot as i32) * CIRCUIT_SIZE
  const maxRequests = load<u32>(bounds + SLOT_MAX_REQUESTS)
  if (load<u32>(circuit + CIRCUIT_ACTIVE) >= maxRequests) return overflow(view, maxRequests, ' requests are')
  const maxPending = load<u32>(bounds + SLOT_MAX_PENDING)
  const waits = load<u32>(circuit + CIRCUIT_READY) == 0
  if (waits && load<u32>(circuit + CIRCUIT_PENDING) >= maxPending)
    return overflow(view, maxPending, ' requests that wait are')
  // What nothing bounds there is nothing to say of.
  if (maxRequests != UNBOUNDED || maxPending != UNBOUNDED) recordVerdict(POLICY_BREAKER, VERDICT_ALLOW, view)
  const key: i32 = load<u32>(bounds + SLOT_HASH_KEY)
  if (key != 0) outU32(OUT_HASH, hashRequest(section, section + key))
  return VERDICT_ALLOW
}

/**
 * Passes on to a function that calls what another sidecar of the mesh said of an overload; the callee's own word of it
 * was dropped there.
 */
export function outOverloaded(): void {
  if (direction() == DIRECTION_OUTBOUND && findInternal('x-envoy-overloaded') >= 0) outText(OVERLOADED)
}

/** The slot of the destination that the route named in this run, else the one that the engine says. */
function slotOf(section: i32, given: u32): u32 {
  if (load<u32>(OUTPUT + OUT_ROUTE_LEN) != ROUTE_SIZE) return given
  const route: i32 = load<u32>(OUTPUT + OUT_ROUTE_PTR)
  const number = load<u32>(route + ROUTE_NUMBER)
  if (number >= load<u32>(section + BREAKER_ROUTES)) unreachable()
  const views = load<u32>(section + BREAKER_VIEWS) * load<u32>(section + BREAKER_SLOTS)
  const table = section + BREAKER_HEADER + (views as i32) * SLOT_SIZE
  const destinations = section + load<i32>(table + (number as i32) * 4)
  const destination = load<u32>(route + ROUTE_DESTINATION)
  if (destination >= load<u32>(destinations)) return OTHER_FUNCTION
  return load<u32>(destinations + 4 + (destination as i32) * 4)
}

// As Envoy: 503 with its flag and field.
function overflow(view: u32, most: u32, what: string): i32 {
  recordVerdict(POLICY_BREAKER, VERDICT_DENY, view)
  const fields = outPosition()
  outText(OVERLOADED)
  denyWithFields(fields, outPosition() - fields, RESPONSE_FLAG_UO)
  const text = outPosition()
  outText('overflow: ')
  outDecimal(most)
  outText(what)
  outText(' under way to this function already, the most that its DestinationRule allows')
  deny(503, REASON_BREAKER, text, outPosition() - text)
  return VERDICT_DENY
}
