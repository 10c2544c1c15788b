import type { FromEngine, ToEngine } from '../../dataplane/engine-messages.ts'

// What engines of another machine say. A node may be in other hands than it seems: nothing of it is taken as it comes.

/** Names: of functions, hosts, principals, instances, counters. In characters. */
const MOST_NAME = 2_048
/** Parts of one message. */
const MOST_PARTS = 20_000
/** Requests of an engine at once, and since its last report. */
const MOST_REQUESTS = 10_000_000

/** Messages that an engine has for control rather than for its own node. */
const KINDS: ReadonlySet<string> = new Set<FromEngine['type']>([
  'function-wanted',
  'identity-wanted',
  'demand',
  'returned',
  'quota',
  'user-state',
  'key-set-wanted',
])

type Fields = Readonly<Record<string, unknown>>

/** A value as the message that it is, or null where it is none that an engine would send. */
export function readEngineReport(value: unknown): FromEngine | null {
  if (!isFields(value) || typeof value.type !== 'string' || !KINDS.has(value.type)) return null
  return isWhole(value.type as FromEngine['type'], value) ? (value as unknown as FromEngine) : null
}

type Endpoints = Extract<ToEngine, { type: 'endpoints' }>

/** What an engine was told of a function's instances by a control plane before, as its node tells it; null where it is none. */
export function readEndpoints(value: unknown): Endpoints | null {
  if (!isFields(value) || value.type !== 'endpoints' || !isName(value.key)) return null
  const isOne = ({ id, slots, held }: Fields) =>
    isName(id) && (slots === null || isCount(slots)) && (held === undefined || isCount(held))
  return isListOf(value.endpoints, isOne) ? (value as unknown as Endpoints) : null
}

function isWhole(type: FromEngine['type'], value: Fields): boolean {
  switch (type) {
    case 'function-wanted':
      return value.key === null ? isName(value.host) : isName(value.key) && value.host === null
    case 'identity-wanted':
      return isName(value.principal)
    case 'key-set-wanted':
      return isName(value.id)
    case 'demand':
      return isListOf(value.reports, isDemand)
    case 'returned':
      return isName(value.key) && isName(value.endpoint) && isCount(value.slots)
    case 'quota':
      return isFields(value.request) && isQuota(value.request)
    case 'user-state':
      return isListOf(value.updates, isUserState)
    default:
      return false
  }
}

function isDemand({ key, waiting, inFlight, begun }: Fields): boolean {
  return isName(key) && [waiting, inFlight, begun].every(isCount)
}

function isQuota({ serial, roundTripMs, settlements, asks }: Fields): boolean {
  return (
    isAmount(serial) &&
    isAmount(roundTripMs) &&
    isListOf(
      settlements,
      (one) => isCounterName(one) && [one.until, one.used, one.returned, one.ageMs].every(isAmount),
    ) &&
    isListOf(asks, (one) => isCounterName(one) && isAmount(one.waiting) && isAmount(one.ahead))
  )
}

function isCounterName({ limit, key }: Fields): boolean {
  return isName(limit) && typeof key === 'string' && /^[0-9a-f]{32}$/.test(key)
}

function isUserState(update: Fields): boolean {
  const { id, type, scope, key, members, value, writer } = update
  return (
    isName(id) &&
    (type === 'counter' || type === 'set' || type === 'lastWriter') &&
    (scope === 'node' || scope === 'cluster') &&
    [update.windowMs, update.maxKeys, update.maxMembers, update.window, update.time].every(isAmount) &&
    // A counter may be counted down.
    typeof update.amount === 'number' &&
    Number.isSafeInteger(update.amount) &&
    isText(key) &&
    isText(value) &&
    isName(writer) &&
    Array.isArray(members) &&
    members.length <= MOST_PARTS &&
    members.every(isText)
  )
}

function isFields(value: unknown): value is Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function isListOf(value: unknown, isOne: (one: Fields) => boolean): boolean {
  return (
    Array.isArray(value) && value.length <= MOST_PARTS && value.every((one) => isFields(one) && isOne(one))
  )
}

function isName(value: unknown): boolean {
  return typeof value === 'string' && value.length > 0 && value.length <= MOST_NAME
}

function isText(value: unknown): boolean {
  return typeof value === 'string' && value.length <= 65_536
}

/** A number of requests. */
function isCount(value: unknown): boolean {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0 && value <= MOST_REQUESTS
}

function isAmount(value: unknown): boolean {
  return typeof value === 'number' && Number.isFinite(value) && value >= 0 && value <= Number.MAX_SAFE_INTEGER
}
