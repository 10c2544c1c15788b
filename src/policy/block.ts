import { ByteWriter } from './byte-writer.ts'

/** A part that lies behind a block's words: `offset` is written for it. null or empty: 0. */
export type Part = Buffer | null

/** One u32 of a block: a number, or the offset of a part. */
export type Word = number | Part

/** A block of u32 words that begins with its own length and may refer to parts behind them, each at a multiple of 4. */
export function block(words: readonly Word[]): Buffer {
  const parts = new ByteWriter()
  const header = 4 * (words.length + 1)
  const out = new ByteWriter()
  out.block(() => {
    for (const word of words) {
      if (typeof word === 'number') out.u32(word >>> 0)
      else if (word === null || word.length === 0) out.u32(0)
      else {
        out.u32(header + parts.length)
        parts.bytes(word).align()
      }
    }
    out.bytes(parts.finish())
  })
  return out.finish()
}

/** The two words for a text: its offset and its length in bytes. */
export function textWords(text: string | Buffer): [Buffer, number] {
  const bytes = typeof text === 'string' ? Buffer.from(text, 'utf8') : text
  return [bytes, bytes.length]
}

/** The two words for blocks that follow each other: their number and the offset of the first. */
export function listWords(blocks: readonly Buffer[]): [number, Buffer] {
  return [blocks.length, Buffer.concat(blocks)]
}
