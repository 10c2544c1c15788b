// Bytes in memory: an address and a length, as they lie in the records of the ABI.

import { AREA_PER_PAGE } from './layout'

/** Address of the exchange area: the upper half of the memory. */
@inline
export function area(): i32 {
  return memory.size() * AREA_PER_PAGE
}

/** Some bytes, usually text. One that is not there has the address 0. */
@unmanaged
export class Bytes {
  ptr: i32
  length: i32

  /** Whether there is such a value; it may still be empty. */
  get exists(): bool {
    return this.ptr != 0
  }

  at(index: i32): u8 {
    return index >= 0 && index < this.length ? load<u8>(this.ptr + index) : 0
  }

  /** Whether it is exactly the literal, which is ASCII. */
  equals(literal: string): bool {
    return this.length == literal.length && this.matchesAt(0, literal)
  }

  startsWith(literal: string): bool {
    return this.length >= literal.length && this.matchesAt(0, literal)
  }

  endsWith(literal: string): bool {
    return this.length >= literal.length && this.matchesAt(this.length - literal.length, literal)
  }

  equalsBytes(other: Bytes): bool {
    if (this.length != other.length) return false
    for (let i = 0; i < this.length; i++) {
      if (load<u8>(this.ptr + i) != load<u8>(other.ptr + i)) return false
    }
    return true
  }

  /** The same as `equalsBytes`, in a time that tells nothing of the contents: for secrets. */
  equalsSecret(other: Bytes): bool {
    if (this.length != other.length) return false
    let different: i32 = 0
    for (let i = 0; i < this.length; i++) different |= load<u8>(this.ptr + i) ^ load<u8>(other.ptr + i)
    return different == 0
  }

  private matchesAt(offset: i32, literal: string): bool {
    const start = this.ptr + offset
    const text = changetype<i32>(literal)
    for (let i = 0; i < literal.length; i++) {
      if ((load<u8>(start + i) as u16) != load<u16>(text + (i << 1))) return false
    }
    return true
  }
}

const ABSENT = memory.data(8, 4)

/** Bytes that are not there. */
export function absent(): Bytes {
  return changetype<Bytes>(ABSENT)
}
