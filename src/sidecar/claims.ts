// The claims of the request's verified token, as conditions look them up. A claim's path is its names one inside the
// other, for each u16 length and bytes: the claim `a` is one name, `a[b]` are two. A claim that is a text has one value; one that
// is a list has those of its elements that are texts; some texts are lists with spaces between. Others have no values: as in Istio,
// numbers and booleans match nothing.

import { SP } from './bytes.ts'
import {
  JSON_ARRAY,
  JSON_OBJECT,
  JSON_STRING,
  jsonFirst,
  jsonLen,
  jsonMember,
  jsonNext,
  jsonPtr,
  jsonType,
} from './json.ts'
import { listMatches } from './string-list.ts'

const TEXT: i32 = 1
const WORDS: i32 = 2
const LIST: i32 = 3

let claims: i32 = 0
let spaceDelimited: i32 = 0

// The claim that was looked up last: what it is, how many values it has, which one `value` is, and where the search for the next
// one goes on.
let lastPath: i32 = 0
let lastPathSize: i32 = -1
let form: i32 = 0
let found: i32 = 0
let count: i32 = 0
let index: i32 = -1
let rest: i32 = 0
let value: i32 = 0
let valueSize: i32 = 0

/** The claims are those of a JSON object; those that the string list names are lists with spaces between. */
export function takeClaims(object: i32, delimited: i32): void {
  claims = object
  spaceDelimited = delimited
  lastPathSize = -1
}

/** The request has no claims, until a token is verified. */
export function forgetClaims(): void {
  claims = 0
  lastPathSize = -1
}

/** The JSON node of a claim, 0 where the request has no such claim. */
export function findClaim(pathPtr: i32, pathLen: i32): i32 {
  let node = claims
  let at = pathPtr
  const end = pathPtr + pathLen
  while (node != 0 && at < end) {
    if (jsonType(node) != JSON_OBJECT) return 0
    const len: i32 = load<u16>(at)
    node = jsonMember(node, at + 2, len)
    at += 2 + len
  }
  return node
}

/** How many values the claim has; 0 where the request has no such claim. The path must stay where it is, as it is. */
export function claimCount(pathPtr: i32, pathLen: i32): i32 {
  select(pathPtr, pathLen)
  return count
}

export function claimPtr(pathPtr: i32, pathLen: i32, at: i32): i32 {
  select(pathPtr, pathLen)
  goTo(at)
  return value
}

export function claimLen(pathPtr: i32, pathLen: i32, at: i32): i32 {
  select(pathPtr, pathLen)
  goTo(at)
  return valueSize
}

function select(path: i32, pathSize: i32): void {
  if (path == lastPath && pathSize == lastPathSize) return
  lastPath = path
  lastPathSize = pathSize
  index = -1
  count = 0
  found = findClaim(path, pathSize)
  if (found == 0) return
  if (jsonType(found) == JSON_STRING) {
    form = isDelimited(path, pathSize) ? WORDS : TEXT
    count = form == WORDS ? countWords() : 1
  } else if (jsonType(found) == JSON_ARRAY) {
    form = LIST
    count = countTexts()
  }
}

/** Only claims of the token itself, not those inside others. */
function isDelimited(path: i32, pathSize: i32): bool {
  const len: i32 = load<u16>(path)
  return len + 2 == pathSize && spaceDelimited != 0 && listMatches(spaceDelimited, path + 2, len)
}

function countWords(): i32 {
  let words = 0
  const end = jsonPtr(found) + jsonLen(found)
  for (let at = jsonPtr(found); at < end; at++) {
    if (load<u8>(at) != SP && (at + 1 == end || load<u8>(at + 1) == SP)) words++
  }
  return words
}

function countTexts(): i32 {
  let texts = 0
  let element = jsonFirst(found)
  for (let left = jsonLen(found); left > 0; left--) {
    if (jsonType(element) == JSON_STRING) texts++
    element = jsonNext(element)
  }
  return texts
}

/** Makes `value` the one of that index. */
function goTo(at: i32): void {
  if (at == index || at >= count) return
  if (at < index) index = -1
  if (index < 0) rest = form == LIST ? jsonFirst(found) : jsonPtr(found)
  for (; index < at; index++) {
    if (form == LIST) nextText()
    else if (form == WORDS) nextWord()
    else {
      value = jsonPtr(found)
      valueSize = jsonLen(found)
    }
  }
}

function nextWord(): void {
  while (load<u8>(rest) == SP) rest++
  value = rest
  const end = jsonPtr(found) + jsonLen(found)
  while (rest < end && load<u8>(rest) != SP) rest++
  valueSize = rest - value
}

function nextText(): void {
  while (jsonType(rest) != JSON_STRING) rest = jsonNext(rest)
  value = jsonPtr(rest)
  valueSize = jsonLen(rest)
  rest = jsonNext(rest)
}
