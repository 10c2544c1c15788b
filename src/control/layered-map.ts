/** Changes that a layer may hold beside this part of the base; then a new base is made. */
const LAYER_PART = 1 / 16
const LAYER_LEAST = 64

/** What lies above a base: values in the base's places, keys that are gone from it, and what came behind it. */
interface Layer<V> {
  replaced: ReadonlyMap<string, V>
  gone: ReadonlySet<string>
  added: ReadonlyMap<string, V>
}

/**
 * A map that never changes, of which a changed copy costs what is changed and not what there is. Its order is that of a Map: a
 * key that is set anew stays where it was, one that was deleted comes back at the end.
 */
export class LayeredMap<V> implements ReadonlyMap<string, V> {
  readonly #base: ReadonlyMap<string, V>
  readonly #layer: Layer<V>

  /** The map is not to be changed any more by whoever made it. */
  static of<V>(map: ReadonlyMap<string, V>): LayeredMap<V> {
    if (map instanceof LayeredMap) return map
    return new LayeredMap(map, { replaced: new Map(), gone: new Set(), added: new Map() })
  }

  private constructor(base: ReadonlyMap<string, V>, layer: Layer<V>) {
    this.#base = base
    this.#layer = layer
  }

  get size(): number {
    return this.#base.size - this.#layer.gone.size + this.#layer.added.size
  }

  get(key: string): V | undefined {
    const { replaced, gone, added } = this.#layer
    if (added.has(key)) return added.get(key)
    if (gone.has(key)) return undefined
    return replaced.has(key) ? replaced.get(key) : this.#base.get(key)
  }

  has(key: string): boolean {
    const { gone, added } = this.#layer
    return added.has(key) || (this.#base.has(key) && !gone.has(key))
  }

  /** A copy in which these are so, one after the other; null: gone. */
  with(changes: Iterable<readonly [string, V | null]>): LayeredMap<V> {
    const replaced = new Map(this.#layer.replaced)
    const gone = new Set(this.#layer.gone)
    const added = new Map(this.#layer.added)
    for (const [key, value] of changes) {
      const isInBase = this.#base.has(key) && !gone.has(key)
      if (value !== null) (isInBase ? replaced : added).set(key, value)
      else if (isInBase) gone.add(key)
      else added.delete(key)
    }
    const next = new LayeredMap(this.#base, { replaced, gone, added })
    const held = replaced.size + gone.size + added.size
    if (held <= Math.max(LAYER_LEAST, this.#base.size * LAYER_PART)) return next
    return LayeredMap.of(new Map(next))
  }

  *entries(): MapIterator<[string, V]> {
    const { replaced, gone, added } = this.#layer
    for (const [key, value] of this.#base) {
      if (!gone.has(key)) yield [key, replaced.has(key) ? replaced.get(key)! : value]
    }
    yield* added
  }

  *keys(): MapIterator<string> {
    for (const [key] of this.entries()) yield key
  }

  *values(): MapIterator<V> {
    for (const [, value] of this.entries()) yield value
  }

  [Symbol.iterator](): MapIterator<[string, V]> {
    return this.entries()
  }

  forEach(callback: (value: V, key: string, map: ReadonlyMap<string, V>) => void): void {
    for (const [key, value] of this) callback(value, key, this)
  }
}
