// Text for a denial: bounded, and printable whatever the bytes are.

import { outByte, outText } from './message.ts'

/** Longest piece of text from outside, in bytes, that a denial shows. */
const MOST_SHOWN = 256

/** Writes the bytes, each that is not printable ASCII as "?", cut after MOST_SHOWN. */
export function outPrintable(ptr: i32, len: i32): void {
  const shown = len > MOST_SHOWN ? MOST_SHOWN : len
  for (let i = 0; i < shown; i++) {
    const byte: u32 = load<u8>(ptr + i)
    outByte(byte - 0x20 < 0x5f ? byte : 0x3f)
  }
  if (shown < len) outText('...')
}
