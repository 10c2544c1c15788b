import {
  type FunctionBody,
  type ModuleShape,
  SECTION_CODE,
  SECTION_DATA,
  SECTION_DATA_COUNT,
  SECTION_ELEMENT,
  SECTION_EXPORT,
  SECTION_FUNCTION,
  SECTION_GLOBAL,
  SECTION_IMPORT,
  SECTION_START,
  SECTION_TABLE,
  SECTION_TYPE,
} from './module-shape.ts'
import { WasmWriter } from './wasm-writer.ts'

/** Names under which a metered module imports and exports; entry number i is exported as ENTRY + i. */
export const IMPORT_MODULE = 'mayfly'
export const IMPORT_MEMORY = 'memory'
export const EXPORT_FUEL = 'fuel'
export const EXPORT_RESET = 'reset'
export const EXPORT_ENTRY = 'entry'

/** What a bulk instruction costs besides its length: about what a call into V8's C++ code takes. */
export const BULK_COST = 1024

export interface MeterOptions {
  /** Fuel of one run. */
  readonly fuel: number
  /** Size of the memory in pages; min and max of the import become this. */
  readonly pages: number
  /** Whether the reset sets the globals; they must then begin as numeric constants. */
  readonly resetsGlobals: boolean
  /** Indexes of the functions to export. */
  readonly entries: readonly number[]
}

const I32 = 0x7f
const I64 = 0x7e
const EMPTY = 0x40
const UNREACHABLE = 0x00
const IF = 0x04
const END = 0x0b
const CALL = 0x10
const LOCAL_GET = 0x20
const GLOBAL_GET = 0x23
const GLOBAL_SET = 0x24
const MEMORY_SIZE = 0x3f
const I32_CONST = 0x41
const I64_CONST = 0x42
const I32_EQZ = 0x45
const I64_LT_S = 0x53
const I64_ADD = 0x7c
const I64_SUB = 0x7d
const I64_EXTEND_I32_U = 0xad

/**
 * Rewrites a module so that its steps are bounded and it can be reset. The fuel is a new i64 global, which the guest's own
 * code cannot name; 64 bits hold the largest charge, so it never wraps. Three functions are added after the guest's: the
 * reset, the charge of a bulk instruction, and memory.grow in a memory that cannot grow. Names, custom sections and every
 * export but the entries are dropped.
 */
export function meterModule(shape: ModuleShape, options: MeterOptions): Uint8Array {
  const out = new WasmWriter().byte(0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00)
  const added: Added = {
    resetType: shape.types.length,
    adjustType: shape.types.length + 1,
    reset: shape.functions.length,
    charge: shape.functions.length + 1,
    growth: shape.functions.length + 2,
    fuel: shape.globals.length,
  }
  const copy = (id: number): void => {
    const span = shape.sections.get(id)
    if (span !== undefined) out.section(id, new WasmWriter().raw(shape.bytes.subarray(span.start, span.end)))
  }
  out.section(SECTION_TYPE, extended(shape, SECTION_TYPE, shape.types.length, 2).raw(addedTypes()))
  out.section(SECTION_IMPORT, importSection(options.pages))
  out.section(
    SECTION_FUNCTION,
    extended(shape, SECTION_FUNCTION, shape.functions.length, 3)
      .u32(added.resetType)
      .u32(added.adjustType)
      .u32(added.adjustType),
  )
  copy(SECTION_TABLE)
  out.section(
    SECTION_GLOBAL,
    extended(shape, SECTION_GLOBAL, shape.globals.length, 1)
      .byte(I64, 1, I64_CONST)
      .s64(BigInt(options.fuel))
      .byte(END),
  )
  out.section(SECTION_EXPORT, exportSection(options.entries, added))
  copy(SECTION_START)
  copy(SECTION_ELEMENT)
  copy(SECTION_DATA_COUNT)
  const code = new WasmWriter().u32(shape.bodies.length + 3)
  for (const body of shape.bodies) code.sized(meteredBody(shape.bytes, body, added))
  code
    .sized(resetBody(shape, options, added))
    .sized(bulkChargeBody(added))
    .sized(growthBody())
  out.section(SECTION_CODE, code)
  copy(SECTION_DATA)
  return out.bytes()
}

/** Indexes of what the rewriting adds. */
interface Added {
  readonly resetType: number
  readonly adjustType: number
  readonly reset: number
  readonly charge: number
  readonly growth: number
  readonly fuel: number
}

/** A section's vector with room announced for `more` items, which the caller appends. */
function extended(shape: ModuleShape, id: number, count: number, more: number): WasmWriter {
  const writer = new WasmWriter().u32(count + more)
  const span = shape.sections.get(id)
  if (span === undefined) return writer
  let start = span.start
  while (shape.bytes[start]! >= 0x80) start++
  return writer.raw(shape.bytes.subarray(start + 1, span.end))
}

/** The reset's type, from nothing to nothing, and that of the other two functions, from i32 to i32. */
function addedTypes(): Uint8Array {
  return Uint8Array.of(0x60, 0, 0, 0x60, 1, I32, 1, I32)
}

function importSection(pages: number): WasmWriter {
  return new WasmWriter().u32(1).name(IMPORT_MODULE).name(IMPORT_MEMORY).byte(2, 1).u32(pages).u32(pages)
}

function exportSection(entries: readonly number[], added: Added): WasmWriter {
  const writer = new WasmWriter()
    .u32(entries.length + 2)
    .name(EXPORT_FUEL)
    .byte(3)
    .u32(added.fuel)
    .name(EXPORT_RESET)
    .byte(0)
    .u32(added.reset)
  for (const [number, index] of entries.entries()) {
    writer.name(`${EXPORT_ENTRY}${number}`).byte(0).u32(index)
  }
  return writer
}

function meteredBody(bytes: Uint8Array, body: FunctionBody, added: Added): WasmWriter {
  const writer = new WasmWriter()
  let copied = body.start
  for (const mark of body.marks) {
    writer.raw(bytes.subarray(copied, mark.at))
    copied = mark.at
    switch (mark.kind) {
      case 'charge':
        chargeFuel(writer, added.fuel, (code) => code.byte(I64_CONST).s64(BigInt(mark.cost)))
        break
      case 'bulk':
        writer.byte(CALL).u32(added.charge)
        break
      case 'growth':
        writer.byte(CALL).u32(added.growth)
        copied = mark.end
        break
    }
  }
  return writer.raw(bytes.subarray(copied, body.end))
}

/** Takes the i64 that `amount` pushes from the fuel and traps when that makes it negative. Needs nothing of the stack. */
function chargeFuel(writer: WasmWriter, fuel: number, amount: (code: WasmWriter) => void): void {
  writer.byte(GLOBAL_GET).u32(fuel)
  amount(writer)
  writer.byte(I64_SUB, GLOBAL_SET).u32(fuel).byte(GLOBAL_GET).u32(fuel)
  writer.byte(I64_CONST, 0, I64_LT_S, IF, EMPTY, UNREACHABLE, END)
}

/** Every mutable global back to its initialiser, and the fuel full. */
function resetBody(shape: ModuleShape, options: MeterOptions, added: Added): WasmWriter {
  const writer = new WasmWriter().u32(0)
  for (const [index, global] of shape.globals.entries()) {
    if (!options.resetsGlobals || !global.mutable) continue
    const { start, end } = global.initialiser
    writer.raw(shape.bytes.subarray(start, end)).byte(GLOBAL_SET).u32(index)
  }
  return writer.byte(I64_CONST).s64(BigInt(options.fuel)).byte(GLOBAL_SET).u32(added.fuel).byte(END)
}

/** Charges for a bulk instruction by its length and passes the length on. */
function bulkChargeBody(added: Added): WasmWriter {
  const writer = new WasmWriter().u32(0)
  chargeFuel(writer, added.fuel, (code) => {
    code.byte(LOCAL_GET, 0, I64_EXTEND_I32_U, I64_CONST).s64(BigInt(BULK_COST)).byte(I64_ADD)
  })
  return writer.byte(LOCAL_GET, 0, END)
}

/** memory.grow where min = max: the size for a growth by 0, else -1. It keeps the host's view of the memory attached. */
function growthBody(): WasmWriter {
  const writer = new WasmWriter().u32(0)
  writer.byte(LOCAL_GET, 0, I32_EQZ, IF, I32, MEMORY_SIZE, 0, 0x05, I32_CONST, 0x7f, END)
  return writer.byte(END)
}
