// Why a reset instance can equal a new one. By the core specification an instance's mutable state is its memories, globals,
// tables, dropped segments and memory size. So the binary must show that
// - it imports one memory, 32-bit, unshared, min = max, and nothing else: no other way in or out;
// - each global begins as one numeric constant, which the reset can set again;
// - data segments are active at constant offsets, so that they can be applied again to a zeroed memory;
// - tables are never written: not exported, filled by active segments at constant offsets, used by call_indirect alone;
// - no instruction drops a segment or changes a size, there is no start function, and each instruction is on a list;
// - no float is computed, since the bits of a NaN may differ from run to run.
// Everything has a limit, and the platform validates the rest.
import { LIMITS, type Limits } from './limits.ts'
import {
  type FunctionBody,
  type ModuleShape,
  SECTION_CODE,
  SECTION_CUSTOM,
  SECTION_DATA,
  SECTION_DATA_COUNT,
  SECTION_ELEMENT,
  SECTION_EXPORT,
  SECTION_FUNCTION,
  SECTION_GLOBAL,
  SECTION_IMPORT,
  SECTION_MEMORY,
  SECTION_START,
  SECTION_TABLE,
  SECTION_TYPE,
  type Span,
} from './module-shape.ts'
import { readBody } from './read-body.ts'
import {
  readExports,
  readFunctions,
  readGlobals,
  readMemoryImport,
  readNoMemories,
  readTypes,
} from './read-declarations.ts'
import { readDataSegments, readElementSegments, readTables } from './read-segments.ts'
import { type Findings, noteUnproved, type Refusal, Refused } from './refusal.ts'
import { WasmReader } from './wasm-reader.ts'

/**
 * Whether "a reset instance equals a new one" follows from the binary. `unproved`: it can be metered and bounded, but only
 * a new instance is fresh. `refused`: it must not run.
 */
export type Proof =
  | { readonly verdict: 'proved'; readonly shape: ModuleShape }
  | { readonly verdict: 'unproved'; readonly why: Refusal; readonly shape: ModuleShape }
  | { readonly verdict: 'refused'; readonly why: Refusal }

/** Reads a module's original bytes and checks every rule of the sandbox contract on them. */
export function proveModule(bytes: Uint8Array, limits: Limits = LIMITS): Proof {
  try {
    const findings: Findings = { unproved: undefined }
    const shape = readModule(bytes, limits, findings)
    validate(bytes)
    return findings.unproved === undefined
      ? { verdict: 'proved', shape }
      : { verdict: 'unproved', why: findings.unproved, shape }
  } catch (error) {
    if (error instanceof Refused) return { verdict: 'refused', why: error.refusal }
    throw error
  }
}

/** Section ids in the order in which sections must come (core specification 5.5.16). */
const ORDER = [
  SECTION_TYPE,
  SECTION_IMPORT,
  SECTION_FUNCTION,
  SECTION_TABLE,
  SECTION_MEMORY,
  SECTION_GLOBAL,
  SECTION_EXPORT,
  SECTION_START,
  SECTION_ELEMENT,
  SECTION_DATA_COUNT,
  SECTION_CODE,
  SECTION_DATA,
]

function readModule(bytes: Uint8Array, limits: Limits, findings: Findings): ModuleShape {
  const sections = readSections(bytes, limits)
  const section = (id: number): WasmReader => {
    const span = sections.get(id)
    return span === undefined ? new WasmReader(bytes, 0, 0) : new WasmReader(bytes, span.start, span.end)
  }
  const types = readTypes(section(SECTION_TYPE), limits, findings)
  const pages = readMemoryImport(section(SECTION_IMPORT), limits, findings)
  const functions = readFunctions(section(SECTION_FUNCTION), limits)
  const tableEntries = readTables(section(SECTION_TABLE), limits, findings)
  readNoMemories(section(SECTION_MEMORY))
  const globals = readGlobals(section(SECTION_GLOBAL), limits, findings)
  const exports = readExports(section(SECTION_EXPORT), functions, types, limits, findings)
  readStart(section(SECTION_START), findings)
  readElementSegments(section(SECTION_ELEMENT), tableEntries, limits, findings)
  readDataCount(section(SECTION_DATA_COUNT))
  const bodies = readCode(section(SECTION_CODE), functions.length, limits, findings)
  const data = readDataSegments(section(SECTION_DATA), pages, limits, findings)
  return { bytes, sections, types, functions, globals, exports, bodies, data, pages }
}

function readSections(bytes: Uint8Array, limits: Limits): Map<number, Span> {
  if (bytes.length > limits.moduleBytes) {
    throw new Refused(
      'limit',
      limits.moduleBytes,
      `the module has ${bytes.length} bytes: at most ${limits.moduleBytes} allowed`,
    )
  }
  const reader = new WasmReader(bytes)
  for (const expected of [0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00]) {
    const at = reader.at
    if (reader.byte('header') !== expected) {
      throw new Refused('malformed', at, 'no WebAssembly module: expected "\\0asm" and version 1')
    }
  }
  const sections = new Map<number, Span>()
  let last = -1
  while (!reader.done) {
    const start = reader.at
    const id = reader.byte('section')
    const content = reader.part(reader.u32('size of a section'), 'section')
    if (id === SECTION_CUSTOM) {
      content.name(limits.nameBytes, 'name of a custom section')
      continue
    }
    const rank = ORDER.indexOf(id)
    if (rank < 0) {
      throw new Refused('section', start, `section ${id} is not allowed: expected sections 0 to 12`)
    }
    if (rank <= last) {
      throw new Refused('section', start, `section ${id} is repeated or out of order`)
    }
    last = rank
    sections.set(id, { start: content.at, end: content.end })
  }
  return sections
}

function readStart(reader: WasmReader, findings: Findings): void {
  if (reader.done) return
  noteUnproved(
    findings,
    'start',
    reader.at,
    'a start function: expected none; let the entries initialise what they need (in AssemblyScript: no top-level statements)',
  )
  reader.u32('start function')
  reader.expectDone('start section')
}

/** How many data segments follow; without passive ones it has no effect. */
function readDataCount(reader: WasmReader): void {
  if (reader.done) return
  reader.u32('number of data segments')
  reader.expectDone('data count section')
}

function readCode(reader: WasmReader, functions: number, limits: Limits, findings: Findings): FunctionBody[] {
  const start = reader.at
  const count = reader.done ? 0 : reader.count(limits.functions, 'number of function bodies')
  if (count !== functions) {
    throw new Refused('malformed', start, `${count} function bodies for ${functions} functions`)
  }
  const bodies: FunctionBody[] = []
  for (let rest = count; rest > 0; rest--) {
    const size = reader.count(limits.functionBytes, 'size of a function body')
    bodies.push(readBody(reader.part(size, 'function body'), limits, findings))
  }
  reader.expectDone('code section')
  return bodies
}

/** Validation by the platform, which is complete; this folder's reader is stricter in form, and sees no types. */
function validate(bytes: Uint8Array): void {
  if (WebAssembly.validate(bytes)) return
  let message = 'the module does not validate'
  try {
    new WebAssembly.Module(bytes)
  } catch (error) {
    if (error instanceof Error) message = error.message.replace(/^WebAssembly\.Module\(\): /, '')
  }
  const offset = Number(/@\+(\d+)$/.exec(message)?.[1] ?? 0)
  const text = message.replace(/ @\+\d+$/, '')
  throw new Refused('invalid', offset, `the module does not validate: ${text}`)
}
