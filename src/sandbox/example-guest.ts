// Guests for tests, compiled from AssemblyScript.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { compileGuest } from '../../scripts/compile-guest.ts'

export async function exampleGuest(source: string, flags?: string[]): Promise<Uint8Array> {
  const folder = mkdtempSync(join(tmpdir(), 'mayfly-guest-'))
  try {
    writeFileSync(join(folder, 'guest.ts'), source)
    const compiled = await compileGuest(folder, 'guest.ts', flags)
    if (!compiled.ok) throw new Error(compiled.message)
    return compiled.wasm
  } finally {
    rmSync(folder, { recursive: true })
  }
}

/** Where SCRIBBLER finds its program: a u16 length, then the program. */
export const PROGRAM = 0x4000

/**
 * A guest that does whatever its input says to everything that a guest may change: memory, its static data, globals of each
 * type, fuel; and that traps in each way.
 */
export const SCRIBBLER = `
let a: i32 = 7
let b: i64 = -5
let c: v128 = i32x4(1, 2, 3, 4)
const text = "an ephemeral insect"
const double = (x: i32): i32 => x * 2
const triple = (x: i32): i32 => x * 3

function choose(which: i32): (x: i32) => i32 {
  return which & 1 ? double : triple
}

function recurse(depth: i32): i32 {
  store<i32>(0x9000 + depth * 4, depth ^ a)
  if (depth == 0) return a
  return recurse(depth - 1) + load<i32>(0x9000 + depth * 4)
}

export function run(): i32 {
  const end: i32 = ${PROGRAM + 2} + i32(load<u16>(${PROGRAM}))
  for (let at: i32 = ${PROGRAM + 2}; at + 4 <= end; at += 4) {
    const what = load<u8>(at) % 16
    const small = i32(load<u8>(at, 1))
    const wide = i32(load<u16>(at, 2))
    if (what == 0) store<u8>(wide, a)
    else if (what == 1) a = a * 31 + small
    else if (what == 2) b ^= load<i64>(wide & 0xfff8)
    else if (what == 3) memory.fill(wide, u8(a), small)
    else if (what == 4) memory.copy(wide, changetype<usize>(text), small)
    else if (what == 5) for (let i = 0; i < wide; i++) a += i
    else if (what == 6) a = choose(small)(a)
    else if (what == 7) a += recurse(small)
    else if (what == 8) c = i32x4.add(c, i32x4.splat(wide))
    else if (what == 9) a += i32x4.extract_lane(c, 2) + i32(b >> 3)
    else if (what == 10) store<i64>(changetype<usize>(text) + (small & 31), b)
    else if (what == 11) a += i32(load<u16>(changetype<usize>(text) + (small & 31)))
    else if (what == 12) a += memory.size()
    else if (what == 13 && small < 20) a += load<i32>(0xffff0000 + wide)
    else if (what == 14 && small < 20) unreachable()
    else if (what == 15 && small < 40) a = wide / (a & 1)
  }
  store<i32>(0x200, a)
  store<i64>(0x208, b)
  v128.store(0x210, c)
  return a & 0x7fffffff
}
`
