// What becomes of a request that takes a route, in the order of Envoy's filters: faults, CORS, then the route itself.

import { answersPreflight } from './cors.ts'
import { beginDraws, draw } from './draw.ts'
import { HTTP_NORMALIZATION } from './layout/http.ts'
import { SECTION_HTTP } from './layout/policy.ts'
import {
  NO_RULE,
  OUT_ROUTE_LEN,
  OUT_ROUTE_PTR,
  POLICY_ROUTE,
  REASON_PATH,
  REASON_ROUTE,
  REASON_TOO_MANY_ADDED,
  VERDICT_ALLOW,
  VERDICT_DENY,
} from './layout/record.ts'
import {
  NO_DESTINATION,
  ROUTE_BITS,
  ROUTE_DELAYED,
  ROUTE_DESTINATION,
  ROUTE_MIRROR,
  ROUTE_NUMBER,
  ROUTE_SIZE,
} from './layout/route-outcome.ts'
import {
  ACTION_ABORT_STATUS,
  ACTION_ABORTED,
  ACTION_ANSWER,
  ACTION_CORS,
  ACTION_DELAYED,
  ACTION_DESTINATIONS,
  ACTION_FIRST_DESTINATION,
  ACTION_FIRST_MIRROR,
  ACTION_KIND,
  ACTION_MIRRORS,
  ACTION_REDIRECT,
  ACTION_REQUEST_FIELDS,
  ACTION_RESPONSE_FIELDS,
  ACTION_REWRITE,
  ACTION_WEIGHTS,
  DESTINATION_LENGTH,
  DESTINATION_OTHER,
  DESTINATION_REQUEST_FIELDS,
  DESTINATION_RESPONSE_FIELDS,
  DESTINATION_WEIGHT,
  FAULT_SCALE,
} from './layout/routes.ts'
import { deny, outPosition, outReserve, outText, outU32, recordVerdict } from './message.ts'
import { normalisePath } from './path.ts'
import { sectionPtr } from './policy.ts'
import { abortByFault, answerDirectly, answerPreflight, redirect } from './route-answer.ts'
import { changeRequestFields, changeResponseFields } from './route-fields.ts'
import { NO_PATH, REWRITTEN, rewriteRequest, rewrittenPathLen } from './route-rewrite.ts'

/**
 * Acts as the route's action block says: VERDICT_ALLOW, or VERDICT_DENY with the answer written. `number` is the route's,
 * `replaced` how much of the path a rewrite replaces.
 */
export function act(action: i32, number: i32, replaced: i32): i32 {
  const outcome = beginOutcome(number)
  if (outcome == 0) return VERDICT_DENY
  beginDraws()
  if (drawn(load<u32>(action + ACTION_DELAYED))) store<u32>(outcome + ROUTE_BITS, ROUTE_DELAYED)
  if (drawn(load<u32>(action + ACTION_ABORTED))) {
    abortByFault(load<i32>(action + ACTION_ABORT_STATUS))
    return answered(number)
  }
  if (answersPreflight(part(action, ACTION_CORS))) {
    answerPreflight()
    return answered(number)
  }
  const kind = load<i32>(action + ACTION_KIND)
  if (kind == ACTION_REDIRECT) redirect(action)
  else if (kind == ACTION_ANSWER) answerDirectly(action)
  else return forward(action, number, replaced, outcome)
  changeResponseFields(part(action, ACTION_RESPONSE_FIELDS))
  return answered(number)
}

function forward(action: i32, number: i32, replaced: i32, outcome: i32): i32 {
  const destination = chooseDestination(action, outcome)
  drawMirrors(action, outcome)
  changeResponseFields(part(destination, DESTINATION_RESPONSE_FIELDS))
  changeResponseFields(part(action, ACTION_RESPONSE_FIELDS))
  if (
    !changeRequestFields(part(destination, DESTINATION_REQUEST_FIELDS)) ||
    !changeRequestFields(part(action, ACTION_REQUEST_FIELDS))
  ) {
    return refuse(500, REASON_TOO_MANY_ADDED, 0, 0)
  }
  const rewritten = rewriteRequest(part(action, ACTION_REWRITE), replaced)
  if (rewritten != REWRITTEN) {
    const text = outPosition()
    if (rewritten == NO_PATH) outText('the route rewrites the path to one that does not begin with "/"')
    else outText('the path is too long for the expression by which the route rewrites it')
    return refuse(500, REASON_ROUTE, text, outPosition() - text)
  }
  // What was put together may lead elsewhere than its parts.
  if (rewrittenPathLen() > 0 && !normalisePath(load<i32>(sectionPtr(SECTION_HTTP) + HTTP_NORMALIZATION)))
    return refuse(400, REASON_PATH, 0, 0)
  recordVerdict(POLICY_ROUTE, VERDICT_ALLOW, number)
  return VERDICT_ALLOW
}

/** Draws by weight; gives the destination's block. */
function chooseDestination(action: i32, outcome: i32): i32 {
  const count = load<i32>(action + ACTION_DESTINATIONS)
  let destination = action + load<i32>(action + ACTION_FIRST_DESTINATION)
  let ticket = count > 1 ? draw(load<u32>(action + ACTION_WEIGHTS)) : 0
  let chosen = 0
  while (chosen < count - 1 && ticket >= load<u32>(destination + DESTINATION_WEIGHT)) {
    ticket -= load<u32>(destination + DESTINATION_WEIGHT)
    destination += load<i32>(destination + DESTINATION_LENGTH)
    chosen++
  }
  store<i32>(outcome + ROUTE_DESTINATION, chosen)
  leaves = load<i32>(destination + DESTINATION_OTHER) != 0
  return destination
}

function drawMirrors(action: i32, outcome: i32): void {
  const count = load<i32>(action + ACTION_MIRRORS)
  const shares = action + load<i32>(action + ACTION_FIRST_MIRROR)
  let bits = load<i32>(outcome + ROUTE_BITS)
  for (let i = 0; i < count; i++) if (drawn(load<u32>(shares + (i << 2)))) bits |= ROUTE_MIRROR << i
  store<i32>(outcome + ROUTE_BITS, bits)
}

let leaves: bool = false

/** Whether the request goes to another function, whose own policies are to judge it. */
export function leavesFunction(): bool {
  return leaves
}

export function forgetAction(): void {
  leaves = false
}

function beginOutcome(number: i32): i32 {
  outReserve(-outPosition() & 3)
  const outcome = outPosition()
  if (!outReserve(ROUTE_SIZE)) return 0
  store<i32>(outcome + ROUTE_NUMBER, number)
  store<i32>(outcome + ROUTE_DESTINATION, NO_DESTINATION)
  store<i32>(outcome + ROUTE_BITS, 0)
  outU32(OUT_ROUTE_PTR, outcome)
  outU32(OUT_ROUTE_LEN, ROUTE_SIZE)
  return outcome
}

function drawn(share: u32): bool {
  return share != 0 && draw(FAULT_SCALE) < share
}

/** Address of the block's part at that offset, 0 where it has none. */
function part(block: i32, offset: i32): i32 {
  const at = load<i32>(block + offset)
  return at == 0 ? 0 : block + at
}

function answered(number: i32): i32 {
  recordVerdict(POLICY_ROUTE, VERDICT_DENY, number)
  return VERDICT_DENY
}

function refuse(status: i32, reason: i32, text: i32, textLen: i32): i32 {
  recordVerdict(POLICY_ROUTE, VERDICT_DENY, NO_RULE)
  deny(status, reason, text, textLen)
  return VERDICT_DENY
}
