// External authorization: CUSTOM AuthorizationPolicies let a check service of the user's decide. Their rules only say of which
// requests it is asked; of what it answers the lists of layout/external-authorization.ts are taken.

import { COMMA, DASH, equalBytes, HTAB, isText, SP, UNDERSCORE } from './bytes.ts'
import { outCheck } from './check-request.ts'
import { FRAMING, HOP_BY_HOP, isIn, MESH, TRACE } from './field-classes.ts'
import { idOfName } from './field-table.ts'
import { AUTHZ_POLICY_FIRST_RULE, AUTHZ_POLICY_LENGTH } from './layout/authorization.ts'
import {
  CHECK_BODY,
  CHECK_FAILURE,
  CHECK_FIELDS,
  CHECK_HEADER,
  CHECK_MALFORMED,
  CHECK_OVERFLOW,
  CHECK_SERVER_ERROR,
  CHECK_STATUS,
  CHECK_TIMED_OUT,
  CHECK_TOO_LARGE,
  EXTERNAL_FAIL_OPEN,
  EXTERNAL_FIRST_POLICY,
  EXTERNAL_HEADER,
  EXTERNAL_ON_ALLOW,
  EXTERNAL_ON_DENY,
  EXTERNAL_POLICIES,
  EXTERNAL_PROVIDER,
  EXTERNAL_STATUS,
  EXTERNAL_TO_UPSTREAM,
} from './layout/external-authorization.ts'
import { FIELD_EXPECT, FIELD_HOST, FIELD_SET_COOKIE, FIELD_TRAILER } from './layout/fields.ts'
import {
  NEED_EXTERNAL,
  NO_RULE,
  POLICY_EXTERNAL_AUTHORIZATION,
  REASON_EXTERNAL,
  REASON_TOO_MANY_ADDED,
  RESPONSE_FLAG_CHECK_FAILED,
  RESPONSE_FLAG_UAEX,
  VERDICT_ALLOW,
  VERDICT_DENY,
  VERDICT_SKIP,
  VERDICT_WAIT,
} from './layout/record.ts'
import {
  deny,
  denyWithFields,
  hashBytesLower,
  outByte,
  outOverflowed,
  outPosition,
  outText,
  recordVerdict,
  removeFields,
  setField,
} from './message.ts'
import { need } from './needs.ts'
import { outPrintable } from './printable.ts'
import { respondWithAdd, respondWithSet } from './response-fields.ts'
import { beginMatching, matchingRule } from './rule-match.ts'
import { listMatches } from './string-list.ts'

/** Judges by the EXTERNAL_AUTHORIZATION section: VERDICT_ALLOW, VERDICT_WAIT, or VERDICT_DENY with the denial written. */
export function judgeExternalAuthorization(section: i32, sectionLen: i32): i32 {
  if (sectionLen < EXTERNAL_HEADER) return VERDICT_ALLOW
  beginMatching()
  const rule = askingRule(section)
  if (rule < 0) {
    recordVerdict(POLICY_EXTERNAL_AUTHORIZATION, VERDICT_SKIP, NO_RULE)
    return VERDICT_ALLOW
  }
  const check = outCheck(section)
  const answer = need(NEED_EXTERNAL, check, outPosition() - check)
  if (answer == 0) return VERDICT_WAIT
  const status = load<i32>(answer + CHECK_STATUS)
  if (status == 200) return takePermission(section, answer, rule)
  if (status != 0 && status < 500) return takeRefusal(section, answer, rule)
  return settleFailure(section, answer, rule)
}

/** Number of the first rule that matches, -1 where the check is not asked. */
function askingRule(section: i32): i32 {
  let policy = section + load<i32>(section + EXTERNAL_FIRST_POLICY)
  for (let left = load<i32>(section + EXTERNAL_POLICIES); left > 0; left--) {
    const index = matchingRule(policy)
    if (index >= 0) return load<i32>(policy + AUTHZ_POLICY_FIRST_RULE) + index
    policy += load<i32>(policy + AUTHZ_POLICY_LENGTH)
  }
  return -1
}

function takePermission(section: i32, answer: i32, rule: i32): i32 {
  let field = answer + CHECK_HEADER
  for (let left = load<i32>(answer + CHECK_FIELDS); left > 0; left--) {
    const name = nameOf(field)
    const len = nameLen(field)
    // Envoy's contract; here and below the mesh's own fields stay as they are, whatever a check service says.
    if (isText(name, len, 'x-envoy-auth-headers-to-remove')) removeNamed(valueOf(field), valueLen(field))
    if (isListed(section, EXTERNAL_TO_UPSTREAM, name, len) && isFree(name, len)) {
      if (!setField(name, len, valueOf(field), valueLen(field))) return refuseForFields(rule)
    }
    if (isListed(section, EXTERNAL_ON_ALLOW, name, len)) respondWith(field, false)
    field = nextField(field)
  }
  recordVerdict(POLICY_EXTERNAL_AUTHORIZATION, VERDICT_ALLOW, rule)
  return VERDICT_ALLOW
}

/** The service's own status, body and fields go to the client. */
function takeRefusal(section: i32, answer: i32, rule: i32): i32 {
  let field = answer + CHECK_HEADER
  const body = load<i32>(answer + CHECK_BODY)
  let typed = false
  for (let left = load<i32>(answer + CHECK_FIELDS); left > 0; left--) {
    const name = nameOf(field)
    const len = nameLen(field)
    if (isTakenOnDeny(section, name, len)) {
      if (isText(name, len, 'content-type')) typed = true
      respondWith(field, isRepeated(answer, field))
    }
    field = nextField(field)
  }
  if (!typed) respondWithType()
  recordVerdict(POLICY_EXTERNAL_AUTHORIZATION, VERDICT_DENY, rule)
  deny(load<i32>(answer + CHECK_STATUS), REASON_EXTERNAL, field, body)
  denyWithFields(0, 0, RESPONSE_FLAG_UAEX)
  return VERDICT_DENY
}

function settleFailure(section: i32, answer: i32, rule: i32): i32 {
  if (load<i32>(section + EXTERNAL_FAIL_OPEN) != 0) {
    recordVerdict(POLICY_EXTERNAL_AUTHORIZATION, VERDICT_ALLOW, rule)
    return VERDICT_ALLOW
  }
  recordVerdict(POLICY_EXTERNAL_AUTHORIZATION, VERDICT_DENY, rule)
  const text = outPosition()
  outText('the external authorizer ')
  outPrintable(section + load<i32>(section + EXTERNAL_PROVIDER), load<i32>(section + EXTERNAL_PROVIDER + 4))
  outText(failureText(load<i32>(answer + CHECK_FAILURE)))
  deny(load<i32>(section + EXTERNAL_STATUS), REASON_EXTERNAL, text, outPosition() - text)
  denyWithFields(0, 0, RESPONSE_FLAG_UAEX | RESPONSE_FLAG_CHECK_FAILED)
  return VERDICT_DENY
}

function failureText(failure: i32): string {
  switch (failure) {
    case CHECK_TIMED_OUT:
      return ' did not answer in time'
    case CHECK_MALFORMED:
      return ' did not answer in acceptable HTTP'
    case CHECK_TOO_LARGE:
      return ' answered more than is accepted'
    case CHECK_OVERFLOW:
      return ' is asked as much as it may be'
    case CHECK_SERVER_ERROR:
      return ' answered with a server error'
    default:
      return ' cannot be reached'
  }
}

/** The head holds no more fields: forwarding it without some of them would be another permission than was given. */
function refuseForFields(rule: i32): i32 {
  recordVerdict(POLICY_EXTERNAL_AUTHORIZATION, VERDICT_DENY, rule)
  deny(500, REASON_TOO_MANY_ADDED, 0, 0)
  return VERDICT_DENY
}

const ONE: u64 = 1

/** Fields that no check service may set or remove: what frames the message, what neighbours say, what the mesh says. */
const FIXED: u64 =
  HOP_BY_HOP | FRAMING | MESH | TRACE | (ONE << FIELD_HOST) | (ONE << FIELD_EXPECT) | (ONE << FIELD_TRAILER)

/** Servers that follow CGI read "_" as "-", so a name with one is judged as that too. */
function isFree(name: i32, len: i32): bool {
  if (isIn(FIXED, idOfName(name, len, hashBytesLower(name, len)))) return false
  const dashed = outPosition()
  for (let i = 0; i < len; i++) {
    const byte: u32 = load<u8>(name + i)
    outByte(byte == UNDERSCORE ? DASH : byte)
  }
  return !outOverflowed() && !isIn(FIXED, idOfName(dashed, len, hashBytesLower(dashed, len)))
}

/** Without a list everything is taken, apart from Host; with one, these besides. */
function isTakenOnDeny(section: i32, name: i32, len: i32): bool {
  if (isText(name, len, 'host')) return false
  if (load<i32>(section + EXTERNAL_ON_DENY) == 0) return true
  if (isText(name, len, 'www-authenticate') || isText(name, len, 'location')) return true
  return isListed(section, EXTERNAL_ON_DENY, name, len)
}

function isListed(section: i32, offset: i32, name: i32, len: i32): bool {
  const list = load<i32>(section + offset)
  return list != 0 && listMatches(section + list, name, len)
}

/** Notes a field for the client: in place of what else has its name, or (`further`) beside that. A cookie replaces no other. */
function respondWith(field: i32, further: bool): void {
  const name = nameOf(field)
  const len = nameLen(field)
  if (len > 255) return
  const isCookie = idOfName(name, len, hashBytesLower(name, len)) == FIELD_SET_COOKIE
  if (further || isCookie) respondWithAdd(name, len, valueOf(field), valueLen(field))
  else respondWithSet(name, len, valueOf(field), valueLen(field))
}

/** The body is the service's, so its type is not that of the mesh's own texts. */
function respondWithType(): void {
  const name = outPosition()
  outText('content-type')
  const value = outPosition()
  outText('text/plain')
  respondWithSet(name, value - name, value, outPosition() - value)
}

/** Whether a field before this one has its name. */
function isRepeated(answer: i32, field: i32): bool {
  for (let other = answer + CHECK_HEADER; other < field; other = nextField(other)) {
    if (equalBytes(nameOf(other), nameLen(other), nameOf(field), nameLen(field))) return true
  }
  return false
}

/** Takes the fields of a list "a, b" away. */
function removeNamed(ptr: i32, len: i32): void {
  const end = ptr + len
  while (ptr < end) {
    let next = ptr
    while (next < end && load<u8>(next) != COMMA) next++
    let start = ptr
    let stop = next
    while (start < stop && isBlank(load<u8>(start))) start++
    while (stop > start && isBlank(load<u8>(stop - 1))) stop--
    if (stop > start && isFree(start, stop - start)) removeFields(start, stop - start)
    ptr = next + 1
  }
}

function isBlank(byte: u32): bool {
  return byte == SP || byte == HTAB
}

function nameLen(field: i32): i32 {
  return load<u16>(field)
}

function valueLen(field: i32): i32 {
  return load<u16>(field + 2)
}

function nameOf(field: i32): i32 {
  return field + 4
}

function valueOf(field: i32): i32 {
  return field + 4 + nameLen(field)
}

function nextField(field: i32): i32 {
  return valueOf(field) + valueLen(field)
}
