import type { ModuleShape } from './module-shape.ts'

/** Bytes that a new instance holds at an address. */
export interface MemoryPiece {
  readonly address: number
  readonly bytes: Uint8Array
}

/** Zeros between two segments that are cheaper to copy along than to begin another copy. */
const GAP = 512

/** What a module's active data segments leave in a zeroed memory, in few pieces that do not overlap. */
export function memoryImage(shape: ModuleShape): MemoryPiece[] {
  const spans = joinedSpans(shape)
  const pieces = spans.map(({ start, end }) => ({ address: start, bytes: new Uint8Array(end - start) }))
  // In the module's order: where segments overlap, the later one wins.
  for (const segment of shape.data) {
    if (segment.start === segment.end) continue
    const piece = pieces.findLast(({ address }) => address <= segment.address)!
    piece.bytes.set(shape.bytes.subarray(segment.start, segment.end), segment.address - piece.address)
  }
  return pieces
}

function joinedSpans(shape: ModuleShape): { start: number; end: number }[] {
  const spans: { start: number; end: number }[] = []
  const used = shape.data.filter(({ start, end }) => start < end)
  for (const { address, start, end } of used.toSorted((a, b) => a.address - b.address)) {
    const last = spans.at(-1)
    const stop = address + (end - start)
    if (last !== undefined && address <= last.end + GAP) last.end = Math.max(last.end, stop)
    else spans.push({ start: address, end: stop })
  }
  return spans
}
