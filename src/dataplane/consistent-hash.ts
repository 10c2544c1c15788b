/** Members at places of a circle, so that a key finds the same one for as long as it is there. */
export interface HashTable<Member> {
  /** The first member from `hash` (u32) on that is accepted; null where none is. */
  find(hash: number, accepts: (member: Member) => boolean): Member | null
}

/** Places from which members are found, by their numbers. */
interface Places {
  readonly owners: Uint32Array
  /** The place of a hash. */
  place(hash: number): number
}

/**
 * Each member at `minimumSize` points of a ring, so that only keys move that a member takes when it comes or had when it
 * goes; of many members each has fewer, which make up RING_SIZE together, or `minimumSize` where that is more.
 */
export function hashRing<Member>(
  members: readonly Member[],
  keyOf: (member: Member) => string,
  minimumSize: number,
): HashTable<Member> {
  const most = Math.ceil(Math.max(minimumSize, RING_SIZE) / Math.max(1, members.length))
  const each = Math.min(minimumSize, most)
  // Point and owner in one number, since only plain numbers are sorted fast: 32 bits of point, 20 of owner.
  const sorted = new Float64Array(each * members.length)
  let at = 0
  members.forEach((member, owner) => {
    const key = keyOf(member)
    for (let i = 0; i < each; i++) sorted[at++] = hashText(`${key}_${i}`) * OWNERS + owner
  })
  sorted.sort()
  const points = Uint32Array.from(sorted, (both) => Math.floor(both / OWNERS))
  const owners = Uint32Array.from(sorted, (both) => both % OWNERS)
  return table(members, { owners, place: (hash) => firstFrom(points, mix(hash)) })
}

/** Maglev's table (Eisenbud et al., NSDI 2016, 3.4): `size` places, a prime, shared as evenly as can be. */
export function maglevTable<Member>(
  members: readonly Member[],
  keyOf: (member: Member) => string,
  size: number,
): HashTable<Member> {
  const offsets = members.map((member) => hashText(keyOf(member)) % size)
  const skips = members.map((member) => (hashText(`${keyOf(member)}#`) % (size - 1)) + 1)
  const owners = new Uint32Array(size).fill(FREE)
  for (let filled = 0; filled < size && members.length > 0; ) {
    for (let owner = 0; owner < members.length && filled < size; owner++) {
      let place = offsets[owner]!
      while (owners[place] !== FREE) place = (place + skips[owner]!) % size
      owners[place] = owner
      offsets[owner] = (place + skips[owner]!) % size
      filled++
    }
  }
  return table(members, { owners, place: (hash) => mix(hash) % size })
}

function table<Member>(members: readonly Member[], { owners, place }: Places): HashTable<Member> {
  return {
    find(hash, accepts) {
      if (members.length === 0) return null
      const start = place(hash)
      const first = members[owners[start % owners.length]!]!
      if (accepts(first)) return first
      const refused = new Set([first])
      for (let i = 1; i < owners.length && refused.size < members.length; i++) {
        const member = members[owners[(start + i) % owners.length]!]!
        if (refused.has(member)) continue
        if (accepts(member)) return member
        refused.add(member)
      }
      return null
    },
  }
}

/** Index of the first point that is not below `hash`; the number of points where all are: then the ring starts again. */
function firstFrom(points: Uint32Array, hash: number): number {
  let low = 0
  let high = points.length
  while (low < high) {
    const middle = (low + high) >>> 1
    if (points[middle]! < hash) low = middle + 1
    else high = middle
  }
  return low
}

/** FNV-1a, mixed: alone it leaves neighbouring texts close to each other. */
function hashText(text: string): number {
  let hash = 0x811c9dc5
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193)
  return mix(hash)
}

/** The finaliser of MurmurHash3: a u32 in which every bit depends on every bit. */
function mix(hash: number): number {
  let h = hash | 0
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b)
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35)
  return (h ^ (h >>> 16)) >>> 0
}

const OWNERS = 2 ** 20
/** Points up to which every member has as many as it may. */
const RING_SIZE = 65_536
const FREE = 0xffff_ffff
