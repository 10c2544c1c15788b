import { readConstantExpression } from './constant-expression.ts'
import type { Limits } from './limits.ts'
import type { DataSegment } from './module-shape.ts'
import { type Findings, noteUnproved, Refused } from './refusal.ts'
import { readReferenceType } from './value-type.ts'
import type { WasmReader } from './wasm-reader.ts'

// Each function here reads one section's content, from its start; a reader at its end stands for an absent section.

const PAGE = 65536

/** Tables, of functions; answers the number of entries of the first. */
export function readTables(reader: WasmReader, limits: Limits, findings: Findings): number {
  let entries = 0
  if (reader.done) return entries
  for (let rest = reader.count(limits.tables, 'number of tables'); rest > 0; rest--) {
    readReferenceType(reader, findings, 'table')
    const at = reader.at
    const flags = reader.byte('table')
    if (flags > 1) throw new Refused('table', at, 'the table is shared or 64-bit: expected a 32-bit table')
    entries = reader.count(limits.tableEntries, 'number of table entries')
    if (flags === 1) reader.u32('table')
  }
  reader.expectDone('table section')
  return entries
}

// Flags of an element segment (core specification 5.5.12).
const PASSIVE_OR_DECLARATIVE = 1
/** The segment names its table or, when not active, is declarative. */
const EXPLICIT = 2
const EXPRESSIONS = 4

/** Element segments, which must be active, of function indexes (flag 0), at a constant offset. */
export function readElementSegments(
  reader: WasmReader,
  tableEntries: number,
  limits: Limits,
  findings: Findings,
): void {
  if (reader.done) return
  for (let rest = reader.count(limits.segments, 'number of element segments'); rest > 0; rest--) {
    const start = reader.at
    const flags = reader.u32('element segment')
    if (flags > 7) throw new Refused('malformed', start, `an element segment has flags ${flags}`)
    if (flags !== 0) {
      noteUnproved(findings, 'element-segment', start, `an element segment has flags ${flags}: expected 0`)
    }
    const active = (flags & PASSIVE_OR_DECLARATIVE) === 0
    if (active && (flags & EXPLICIT) !== 0) reader.u32('table of an element segment')
    const offset = active
      ? readConstantExpression(reader, findings, 'offset of an element segment')
      : undefined
    if (offset !== undefined && offset.kind !== 'i32') {
      noteUnproved(
        findings,
        'element-segment',
        offset.start,
        'the offset of an element segment is computed: expected one i32.const',
      )
    }
    if ((flags & 3) !== 0) readElementKind(reader, (flags & EXPRESSIONS) !== 0, findings)
    const count = reader.count(limits.tableEntries, 'number of elements')
    for (let index = 0; index < count; index++) {
      if ((flags & EXPRESSIONS) !== 0) readConstantExpression(reader, findings, 'element')
      else reader.u32('element')
    }
    if (offset?.kind === 'i32' && offset.address + count > tableEntries) {
      throw new Refused(
        'element-segment',
        start,
        `an element segment ends at ${offset.address + count}: the table has ${tableEntries} entries`,
      )
    }
  }
  reader.expectDone('element section')
}

function readElementKind(reader: WasmReader, isReferenceType: boolean, findings: Findings): void {
  if (isReferenceType) {
    readReferenceType(reader, findings, 'element segment')
    return
  }
  const at = reader.at
  if (reader.byte('element segment') !== 0) {
    throw new Refused('element-segment', at, 'an element segment is not of functions')
  }
}

/** Data segments; only active ones at a constant offset can be applied again, and only those are answered. */
export function readDataSegments(
  reader: WasmReader,
  pages: number,
  limits: Limits,
  findings: Findings,
): DataSegment[] {
  const segments: DataSegment[] = []
  if (reader.done) return segments
  for (let rest = reader.count(limits.segments, 'number of data segments'); rest > 0; rest--) {
    const at = reader.at
    const flags = reader.u32('data segment')
    if (flags > 2) throw new Refused('malformed', at, `a data segment has flags ${flags}`)
    if (flags === 1) {
      noteUnproved(findings, 'data-segment', at, 'a passive data segment: expected active ones')
    }
    if (flags === 2 && reader.u32('memory of a data segment') !== 0) {
      throw new Refused('memory', at, 'a data segment names a second memory: only memory 0 exists')
    }
    const offset =
      flags === 1 ? undefined : readConstantExpression(reader, findings, 'offset of a data segment')
    if (offset !== undefined && offset.kind !== 'i32') {
      noteUnproved(
        findings,
        'data-segment',
        offset.start,
        'the offset of a data segment is computed: expected one i32.const',
      )
    }
    const length = reader.u32('length of a data segment')
    const start = reader.at
    reader.skip(length, 'data segment')
    if (offset?.kind !== 'i32') continue
    if (offset.address + length > pages * PAGE) {
      throw new Refused(
        'data-segment',
        at,
        `a data segment ends at ${offset.address + length}: the memory has ${pages * PAGE} bytes`,
      )
    }
    segments.push({ address: offset.address, start, end: reader.at })
  }
  reader.expectDone('data section')
  return segments
}
