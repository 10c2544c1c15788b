// Numbers of chance for a request's decisions, made of the injected random bytes: the same request is decided the same way
// when it is judged again.

import { IN_RANDOM, INPUT } from './layout/record.ts'

let state: u64 = 0

/** Begins the sequence of this request anew. */
export function beginDraws(): void {
  // All 48 bytes, so that it tells nothing of the ids that are made of some of them.
  state = 0
  for (let i = 0; i < 48; i += 8) {
    state ^= load<u64>(INPUT + IN_RANDOM + i)
    next()
  }
}

/** A number below `bound`, each as likely as the others to 1 in 2^32. */
export function draw(bound: u32): u32 {
  return (((next() >> 32) * (bound as u64)) >> 32) as u32
}

/** SplitMix64 (Steele, Lea, Flood 2014). */
function next(): u64 {
  state += 0x9e3779b97f4a7c15
  let mixed = state
  mixed = (mixed ^ (mixed >> 30)) * 0xbf58476d1ce4e5b9
  mixed = (mixed ^ (mixed >> 27)) * 0x94d049bb133111eb
  return mixed ^ (mixed >> 31)
}
