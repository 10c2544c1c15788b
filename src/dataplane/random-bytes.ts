import { randomFillSync } from 'node:crypto'

/** Random bytes that one phase is given (IN_RANDOM in layout/record.ts). */
export const RANDOM_BYTES = 48

const COUNT = 256

/** Cuts strong random bytes into pieces of RANDOM_BYTES; asking the system for many at once costs a tenth of asking each time. */
export class RandomBytes {
  readonly #block = Buffer.allocUnsafeSlow(COUNT * RANDOM_BYTES)
  readonly #pieces = Array.from({ length: COUNT }, (_, i) =>
    this.#block.subarray(i * RANDOM_BYTES, (i + 1) * RANDOM_BYTES),
  )
  #next = COUNT

  /** A piece that is valid until COUNT more were taken: copy it at once. */
  take(): Buffer {
    if (this.#next === COUNT) {
      randomFillSync(this.#block)
      this.#next = 0
    }
    return this.#pieces[this.#next++]!
  }
}
