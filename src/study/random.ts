import { createHash } from 'node:crypto'

/** A source of numbers uniform in [0, 1), with 53 random bits each. */
export type Random = () => number

/**
 * A stream of its own for each seed and list of names, so that what one function draws does not depend on which others
 * are replayed. The generator is xoshiro128** 1.1 (Blackman and Vigna), its state the first 16 bytes of a SHA-256.
 */
export function randomStream(seed: number, ...names: readonly string[]): Random {
  const digest = createHash('sha256')
    .update(JSON.stringify([seed, ...names]))
    .digest()
  const next = xoshiro128([0, 4, 8, 12].map((at) => digest.readUInt32LE(at)))
  return () => {
    const high = next() >>> 5
    const low = next() >>> 6
    return (high * 0x4000000 + low) / 0x20000000000000
  }
}

/** The bare generator: 32 bits at a time from four words of state, which must not all be zero. */
export function xoshiro128(state: readonly number[]): () => number {
  let [a, b, c, d] = state as [number, number, number, number]
  return () => {
    const result = Math.imul(rotateLeft(Math.imul(b, 5), 7), 9) >>> 0
    const shifted = b << 9
    c ^= a
    d ^= b
    b ^= c
    a ^= d
    c ^= shifted
    d = rotateLeft(d, 11)
    return result
  }
}

function rotateLeft(word: number, bits: number): number {
  return (word << bits) | (word >>> (32 - bits))
}
