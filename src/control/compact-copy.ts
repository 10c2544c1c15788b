/** Values that are remembered of late; twice as many at most. */
const MOST_VALUES = 4_096

/**
 * A copy of a plain value in which equal parts are one object, which it shares with copies made before: what is compiled of
 * functions is mostly the same for all of them. Nothing of it can be changed. It has texts of its own: as read from a
 * file, each is a part of the whole text and would keep that in memory.
 */
export function compactCopy<T>(plain: T): T {
  return shared(plain) as T
}

/** Texts after a quotation mark, objects by their fields, in which objects stand by their numbers. Those not met again are forgotten. */
let lately = new Map<string, unknown>()
let before = new Map<string, unknown>()
const numbers = new WeakMap<object, number>()
let next = 0

function shared(value: unknown): unknown {
  if (typeof value === 'string') return text(value)
  if (typeof value !== 'object' || value === null) return value
  if (Array.isArray(value)) {
    const items = value.map(shared)
    return numbered(`[${items.map(nameOf).join()}`, () => items)
  }
  // As in JSON, what is undefined is not there.
  const fields = Object.entries(value).filter(([, item]) => item !== undefined)
  const copy: Record<string, unknown> = {}
  let name = '{'
  for (const [key, item] of fields) {
    copy[key] = shared(item)
    name += `${JSON.stringify(key)}:${nameOf(copy[key])},`
  }
  return numbered(name, () => copy)
}

function nameOf(value: unknown): string {
  if (typeof value === 'object' && value !== null) return `#${numbers.get(value)}`
  return typeof value === 'string' ? JSON.stringify(value) : String(value)
}

function numbered(name: string, make: () => object): unknown {
  return remembered(name, () => {
    const made = Object.freeze(make())
    numbers.set(made, next++)
    return made
  })
}

/** The first character of a name tells texts from objects. */
function text(value: string): unknown {
  return remembered(`"${value}`, () => JSON.parse(JSON.stringify(value)))
}

function remembered(name: string, make: () => unknown): unknown {
  const known = lately.get(name)
  if (known !== undefined) return known
  const value = before.get(name) ?? make()
  lately.set(name, value)
  if (lately.size >= MOST_VALUES) {
    before = lately
    lately = new Map()
  }
  return value
}
