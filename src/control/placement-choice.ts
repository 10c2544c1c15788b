/** What one instance asks for, or what many do together; 0: nothing. */
export interface Amounts {
  readonly cpuMillis: number
  readonly memoryBytes: number
}

/** A node as one chooses among several. */
export interface Place {
  readonly name: string
  /** '' where it is not said. */
  readonly zone: string
  /** New instances may start there. */
  readonly schedulable: boolean
  /** What instances there may ask for together; null: there is no bound. */
  readonly capacity: Amounts | null
  /** What those that are there ask for. */
  readonly taken: Amounts
  /** How full it is, from 0 to 1. */
  readonly load: number
}

export type Choice<P> = { ok: true; place: P } | { ok: false; reason: string }

/** Instances of one revision at a place. */
export interface Held<P extends Place> {
  readonly place: P
  readonly count: number
  /** Of these, those that take requests. */
  readonly ready: number
}

/**
 * Where the next instance of a revision goes: of the places that have room for what it asks for, one in the zone with the fewest
 * of its instances, with the fewest there, and least full by tenths; among equals the first, counted from the place at `first`.
 */
export function choosePlace<P extends Place>(
  asked: Amounts,
  places: readonly P[],
  held: readonly Held<P>[],
  first: number,
): Choice<P> {
  const { zones, own } = counts(held)
  let best: P | null = null
  let rank = [Number.POSITIVE_INFINITY, 0, 0]
  for (let i = 0; i < places.length; i++) {
    const place = places[(first + i) % places.length]!
    if (!place.schedulable || !fits(asked, place)) continue
    const here = [zones.get(place.zone) ?? 0, own.get(place) ?? 0, tenths(place)]
    if (compare(here, rank) >= 0) continue
    best = place
    rank = here
    if (rank.every((part) => part === 0)) break
  }
  return best ? { ok: true, place: best } : { ok: false, reason: whyNone(asked, places) }
}

/**
 * Which place gives up an instance where there is one too many: first one that has some which are not ready yet, since ready ones
 * serve; then where none may start; then of the zone and the place with the most; of equals the fullest, then the last.
 */
export function chooseSurplus<P extends Place>(held: readonly Held<P>[]): P | null {
  const { zones } = counts(held)
  let best: P | null = null
  let rank: number[] = []
  for (const { place, count, ready } of held) {
    if (count === 0) continue
    const here = [
      count > ready ? 1 : 0,
      place.schedulable ? 0 : 1,
      zones.get(place.zone)!,
      count,
      tenths(place),
    ]
    if (best && compare(here, rank) < 0) continue
    best = place
    rank = here
  }
  return best
}

/** Whether a place has room for an instance that asks for so much; one that asks for nothing fits everywhere. */
export function fits(asked: Amounts, { capacity, taken }: Place): boolean {
  if (capacity === null) return true
  return (
    (asked.cpuMillis === 0 || taken.cpuMillis + asked.cpuMillis <= capacity.cpuMillis) &&
    (asked.memoryBytes === 0 || taken.memoryBytes + asked.memoryBytes <= capacity.memoryBytes)
  )
}

function counts<P extends Place>(held: readonly Held<P>[]) {
  const zones = new Map<string, number>()
  const own = new Map<P, number>()
  for (const { place, count } of held) {
    zones.set(place.zone, (zones.get(place.zone) ?? 0) + count)
    own.set(place, count)
  }
  return { zones, own }
}

function tenths({ load }: Place): number {
  return Math.floor(load * 10)
}

function compare(a: readonly number[], b: readonly number[]): number {
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return a[i]! - b[i]!
  return 0
}

function whyNone({ cpuMillis, memoryBytes }: Amounts, places: readonly Place[]): string {
  if (places.length === 0) return 'there is no node that runs functions'
  const closed = places.filter(({ schedulable }) => !schedulable).length
  const nodes = places.length === 1 ? 'the only node' : `${places.length} nodes`
  if (closed === places.length)
    return `no instance may start on ${places.length === 1 ? nodes : `any of ${nodes}`}: cordoned or out of reach`
  const asked = [
    ...(cpuMillis > 0 ? [`${cpuMillis}m CPU`] : []),
    ...(memoryBytes > 0 ? [`${Math.ceil(memoryBytes / 2 ** 20)}Mi memory`] : []),
  ]
  const full = `${places.length - closed} too full`
  return `no node has room for an instance that asks for ${asked.join(' and ')}: of ${nodes} ${full}${closed > 0 ? `, ${closed} cordoned or out of reach` : ''}`
}
