// Whose counter a request counts for: the limits that judge it, each with a descriptor made of its key parts.

import { claimCount, claimLen, claimPtr } from './claims.ts'
import { findForwarded, forwardedLen, forwardedPtr } from './field-as-forwarded.ts'
import { RULE_LENGTH } from './layout/authorization.ts'
import {
  KEY_CALLER,
  KEY_CLAIM,
  KEY_CLIENT_ADDRESS,
  KEY_HEADER,
  KEY_METHOD,
  KEY_TEMPLATES,
  LIMIT_FIRST_PART,
  LIMIT_FIRST_RULE,
  LIMIT_LENGTH,
  LIMIT_PARTS,
  LIMIT_RULES,
  MOST_VALUE_BYTES,
  PART_HEADER,
  PART_KIND,
  PART_LENGTH,
  RATE_LIMIT_COUNT,
  RATE_LIMIT_HEADER,
} from './layout/rate-limit.ts'
import { IN_PEER_LEN, IN_PEER_PTR } from './layout/record.ts'
import { SCRATCH_RATE_LIMIT } from './layout/scratch.ts'
import {
  hashBytes,
  inU32,
  methodLen,
  methodPtr,
  outBytes,
  outOverflowed,
  outPosition,
  outReserve,
  pathLen,
  pathPtr,
  remoteIpPtr,
} from './message.ts'
import { ruleMatches } from './rule-match.ts'
import { listMatches } from './string-list.ts'

/** For each key part of the limits that judge the request: u32 address and u32 length of its value, ABSENT where it has none. */
const VALUES: i32 = SCRATCH_RATE_LIMIT
const ABSENT: i32 = -1

/** The limits of the section that judge the request, one bit each. */
export function limitsThatJudge(section: i32): i32 {
  let mask = 0
  let limit = section + RATE_LIMIT_HEADER
  const count = load<i32>(section + RATE_LIMIT_COUNT)
  for (let i = 0; i < count; i++) {
    if (judges(limit)) mask |= 1 << i
    limit += load<i32>(limit + LIMIT_LENGTH)
  }
  return mask
}

/** Writes the need's key for these limits, and gives its address: it ends at outPosition. */
export function outQuotaKey(section: i32, mask: i32): i32 {
  // Finding values writes some of them into the output, so all are found before the key, which is of one piece.
  findValues(section, mask)
  const key = outPosition()
  outWord(popcnt(mask))
  let value = VALUES
  let limit = section + RATE_LIMIT_HEADER
  for (let i = 0; mask >>> i != 0; i++) {
    if (((mask >>> i) & 1) != 0) {
      outWord(i)
      const lengthAt = outPosition()
      if (!outReserve(4)) return key
      for (let left = load<i32>(limit + LIMIT_PARTS); left > 0; left--) {
        outValue(load<i32>(value), load<i32>(value + 4))
        value += 8
      }
      if (outOverflowed()) return key
      const end = outPosition()
      store<i32>(lengthAt, end - lengthAt - 4)
      if (!outReserve(-(end - lengthAt) & 3)) return key
    }
    limit += load<i32>(limit + LIMIT_LENGTH)
  }
  return key
}

function judges(limit: i32): bool {
  const rules = load<i32>(limit + LIMIT_RULES)
  let rule = limit + load<i32>(limit + LIMIT_FIRST_RULE)
  for (let i = 0; i < rules; i++) {
    if (ruleMatches(rule)) return true
    rule += load<i32>(rule + RULE_LENGTH)
  }
  return rules == 0
}

function findValues(section: i32, mask: i32): void {
  let value = VALUES
  let limit = section + RATE_LIMIT_HEADER
  for (let i = 0; mask >>> i != 0; i++) {
    if (((mask >>> i) & 1) != 0) {
      let part = limit + load<i32>(limit + LIMIT_FIRST_PART)
      for (let left = load<i32>(limit + LIMIT_PARTS); left > 0; left--) {
        findValue(part, value)
        part += load<i32>(part + PART_LENGTH)
        value += 8
      }
    }
    limit += load<i32>(limit + LIMIT_LENGTH)
  }
}

function findValue(part: i32, at: i32): void {
  const subject = part + PART_HEADER
  switch (load<i32>(part + PART_KIND)) {
    case KEY_CALLER: {
      const size: i32 = inU32(IN_PEER_LEN)
      return note(at, inU32(IN_PEER_PTR), size > 0 ? size : ABSENT)
    }
    case KEY_METHOD:
      return note(at, methodPtr(), methodLen())
    case KEY_HEADER: {
      const found = findForwarded(subject + 8, load<i32>(subject + 4), load<u32>(subject))
      return found ? note(at, forwardedPtr(), forwardedLen()) : note(at, 0, ABSENT)
    }
    case KEY_CLAIM:
      return noteClaim(at, subject + 4, load<i32>(subject))
    case KEY_TEMPLATES:
      return noteTemplate(at, subject)
    case KEY_CLIENT_ADDRESS:
      return noteNetwork(at, load<i32>(subject), load<i32>(subject + 4))
    default:
      // A part that is not known must not let requests share a counter that others pay for, or escape one.
      unreachable()
  }
}

function note(at: i32, ptr: i32, len: i32): void {
  store<i32>(at, ptr)
  store<i32>(at + 4, len)
}

/** All values of a claim, since each may be what tells two clients apart. */
function noteClaim(at: i32, path: i32, pathSize: i32): void {
  const count = claimCount(path, pathSize)
  if (count == 0) return note(at, 0, ABSENT)
  if (count == 1) return note(at, claimPtr(path, pathSize, 0), claimLen(path, pathSize, 0))
  const start = outPosition()
  for (let i = 0; i < count; i++) {
    outWord(claimLen(path, pathSize, i))
    outBytes(claimPtr(path, pathSize, i), claimLen(path, pathSize, i))
  }
  note(at, start, outPosition() - start)
}

function noteTemplate(at: i32, templates: i32): void {
  let list = templates + 4
  const count = load<i32>(templates)
  for (let i = 0; i < count; i++) {
    if (listMatches(list + 4, pathPtr(), pathLen())) {
      const start = outPosition()
      outWord(i)
      return note(at, start, 4)
    }
    list += 4 + load<i32>(list)
  }
  note(at, 0, ABSENT)
}

function noteNetwork(at: i32, ipv4Bits: i32, ipv6Bits: i32): void {
  const start = outPosition()
  outBytes(remoteIpPtr(), 16)
  note(at, start, 16)
  if (outOverflowed()) return
  // ::ffff:a.b.c.d
  const isIpv4 = load<u64>(start) == 0 && load<u32>(start + 8) == 0xffff0000
  const bits = isIpv4 ? 96 + ipv4Bits : ipv6Bits
  for (let i = 0; i < 16; i++) {
    const kept = bits - (i << 3)
    if (kept >= 8) continue
    const byte: i32 = load<u8>(start + i)
    store<u8>(start + i, kept <= 0 ? 0 : byte & (0xff00 >>> kept))
  }
}

function outValue(ptr: i32, len: i32): void {
  const start = outPosition()
  if (!outReserve(1)) return
  store<u8>(start, len == ABSENT ? 0 : 1)
  if (len == ABSENT) return
  outWord(len)
  outBytes(ptr, min(len, MOST_VALUE_BYTES))
  if (len > MOST_VALUE_BYTES) outWord(hashBytes(ptr, len))
}

function outWord(value: i32): void {
  const start = outPosition()
  if (outReserve(4)) store<i32>(start, value)
}
