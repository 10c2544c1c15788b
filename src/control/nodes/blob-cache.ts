/** Contents by their hash, the least recently used of them forgotten beyond a bound on their bytes. */
export class BlobCache {
  readonly #mostBytes: number
  /** In the order of last use. */
  readonly #blobs = new Map<string, Uint8Array>()
  #bytes = 0

  constructor(mostBytes: number) {
    this.#mostBytes = mostBytes
  }

  get(hash: string): Uint8Array | undefined {
    const content = this.#blobs.get(hash)
    if (content) {
      this.#blobs.delete(hash)
      this.#blobs.set(hash, content)
    }
    return content
  }

  /** Keeps a content; gives the hashes of those that were forgotten for it. */
  add(hash: string, content: Uint8Array): string[] {
    if (this.#blobs.has(hash)) return []
    this.#blobs.set(hash, content)
    this.#bytes += content.byteLength
    const forgotten: string[] = []
    for (const [oldest, old] of this.#blobs) {
      if (this.#bytes <= this.#mostBytes || oldest === hash) break
      this.#blobs.delete(oldest)
      this.#bytes -= old.byteLength
      forgotten.push(oldest)
    }
    return forgotten
  }

  hashes(): string[] {
    return [...this.#blobs.keys()]
  }
}
