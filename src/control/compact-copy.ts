/** Values that are remembered of late; twice as many at most. */
const MOST_VALUES = 4_096

/**
 * A copy of a plain value in which equal parts are one object, which it shares with copies made before: what is compiled of
 * functions is mostly the same for all of them. Nothing of it can be changed. It has texts of its own: as read from a
 * file, each is a part of the whole text and would keep that in memory.
 */
export function compactCopy<T>(plain: T): T {
  return shared(plain).value as T
}

/** A value that copies share, and what stands for it within the name of one that holds it. */
interface Shared {
  readonly value: unknown
  readonly name: string
}

/** Texts after a quotation mark, objects by their fields, in which objects stand by their numbers. Those not met again are forgotten. */
let lately = new Map<string, Shared>()
let before = new Map<string, Shared>()
let next = 0

function shared(value: unknown): Shared {
  if (typeof value === 'string') {
    const name = JSON.stringify(value)
    return remembered(name, () => ({ value: JSON.parse(name) as string, name }))
  }
  if (typeof value !== 'object' || value === null) return { value, name: String(value) }
  if (Array.isArray(value)) {
    const items = value.map(shared)
    return remembered(`[${items.map(({ name }) => name).join()}`, () =>
      numbered(items.map((one) => one.value)),
    )
  }
  // As in JSON, what is undefined is not there.
  const fields = Object.entries(value).filter(([, item]) => item !== undefined)
  const items = fields.map(([key, item]) => [key, shared(item)] as const)
  const name = items.map(([key, item]) => `${JSON.stringify(key)}:${item.name}`).join()
  return remembered(`{${name}`, () =>
    numbered(Object.fromEntries(items.map(([key, item]) => [key, item.value]))),
  )
}

function numbered(value: object): Shared {
  return { value: Object.freeze(value), name: `#${next++}` }
}

function remembered(name: string, make: () => Shared): Shared {
  const known = lately.get(name)
  if (known) return known
  const one = before.get(name) ?? make()
  lately.set(name, one)
  if (lately.size >= MOST_VALUES) {
    before = lately
    lately = new Map()
  }
  return one
}
