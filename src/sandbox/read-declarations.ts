import { readConstantExpression } from './constant-expression.ts'
import type { Limits } from './limits.ts'
import type { ExportedFunction, FunctionType, GlobalVariable } from './module-shape.ts'
import { type Findings, noteUnproved, Refused } from './refusal.ts'
import { I32, readValueType } from './value-type.ts'
import type { WasmReader } from './wasm-reader.ts'

// Each function here reads one section's content, from its start; a reader at its end stands for an absent section.

/** Function types; recursive types and those of the GC proposal are refused. */
export function readTypes(reader: WasmReader, limits: Limits, findings: Findings): FunctionType[] {
  const types: FunctionType[] = []
  if (reader.done) return types
  for (let rest = reader.count(limits.types, 'number of types'); rest > 0; rest--) {
    const start = reader.at
    const form = reader.byte('type')
    if (form !== 0x60) {
      throw new Refused('type', start, `type of form 0x${form.toString(16)}: expected a function type, 0x60`)
    }
    const params = reader.count(limits.values, 'number of parameters')
    for (let index = 0; index < params; index++) readValueType(reader, findings, 'parameter')
    const results = reader.count(limits.values, 'number of results')
    let first = 0
    for (let index = 0; index < results; index++) {
      const type = readValueType(reader, findings, 'result')
      if (index === 0) first = type
    }
    types.push({ params, results, entry: params === 0 && results === 1 && first === I32 })
  }
  reader.expectDone('type section')
  return types
}

/** The one import that a module may and must have, a memory; answers its smallest size in pages. */
export function readMemoryImport(reader: WasmReader, limits: Limits, findings: Findings): number {
  const start = reader.at
  const count = reader.done ? 0 : reader.u32('number of imports')
  if (count === 0) {
    throw new Refused(
      'import',
      start,
      'the module imports nothing: expected one import, its memory (in AssemblyScript: --importMemory)',
    )
  }
  const at = reader.at
  const name = `${reader.name(limits.nameBytes, 'import')}.${reader.name(limits.nameBytes, 'import')}`
  const kindAt = reader.at
  const kind = reader.byte('import')
  if (kind !== 2) {
    const kinds = ['a function', 'a table', 'a memory', 'a global', 'a tag']
    throw new Refused(
      'import',
      at,
      `the import ${JSON.stringify(name.slice(0, 80))} is ${kinds[kind] ?? 'of an unknown kind'}: a guest imports nothing but its memory`,
    )
  }
  if (count > 1)
    throw new Refused('import', start, `${count} imports: a guest imports nothing but its memory`)
  const pages = readMemoryType(reader, kindAt + 1, limits, findings)
  reader.expectDone('import section')
  return pages
}

function readMemoryType(reader: WasmReader, at: number, limits: Limits, findings: Findings): number {
  const flags = reader.byte('memory')
  if (flags > 1) {
    throw new Refused('memory', at, 'the memory is shared or 64-bit: expected a 32-bit, unshared memory')
  }
  const min = reader.u32('memory')
  if (min > limits.pages) {
    throw new Refused(
      'memory-size',
      at,
      `the memory has ${min} pages of 64 KiB: at most ${limits.pages} allowed`,
    )
  }
  const max = flags === 1 ? reader.u32('memory') : undefined
  if (max !== min) {
    noteUnproved(
      findings,
      'memory-size',
      at,
      `the memory may grow from ${min} to ${max ?? 'any number of'} pages: expected min = max (in AssemblyScript: --initialMemory ${min} --maximumMemory ${min})`,
    )
  }
  return min
}

/** The type index of each function; validation checks that the type exists. */
export function readFunctions(reader: WasmReader, limits: Limits): number[] {
  const functions: number[] = []
  if (reader.done) return functions
  for (let rest = reader.count(limits.functions, 'number of functions'); rest > 0; rest--) {
    functions.push(reader.u32('type of a function'))
  }
  reader.expectDone('function section')
  return functions
}

/** A memory section may be there, but empty: the imported memory is the only one. */
export function readNoMemories(reader: WasmReader): void {
  if (reader.done) return
  const start = reader.at
  if (reader.u32('number of memories') > 0) {
    throw new Refused('memory', start, 'the module defines a memory: expected only the imported one')
  }
  reader.expectDone('memory section')
}

/** Globals, each of which must begin as one numeric constant for a reset to be able to set it. */
export function readGlobals(reader: WasmReader, limits: Limits, findings: Findings): GlobalVariable[] {
  const globals: GlobalVariable[] = []
  if (reader.done) return globals
  for (let rest = reader.count(limits.globals, 'number of globals'); rest > 0; rest--) {
    readValueType(reader, findings, 'global')
    const at = reader.at
    const mutability = reader.byte('global')
    if (mutability > 1) throw new Refused('malformed', at, 'the mutability of a global is neither 0 nor 1')
    const initialiser = readConstantExpression(reader, findings, 'initialiser of a global')
    if (initialiser.kind === 'other') {
      noteUnproved(
        findings,
        'initialiser',
        initialiser.start,
        'the initialiser of a global is computed: expected one numeric constant',
      )
    }
    globals.push({ mutable: mutability === 1, initialiser })
  }
  reader.expectDone('global section')
  return globals
}

/** Exported functions that may be entries. Exports of memories and globals are dropped; the host never uses them. */
export function readExports(
  reader: WasmReader,
  functions: readonly number[],
  types: readonly FunctionType[],
  limits: Limits,
  findings: Findings,
): ExportedFunction[] {
  const exports: ExportedFunction[] = []
  if (reader.done) return exports
  for (let rest = reader.count(limits.exports, 'number of exports'); rest > 0; rest--) {
    const offset = reader.at
    const name = reader.name(limits.nameBytes, 'name of an export')
    const kindAt = reader.at
    const kind = reader.byte('export')
    const index = reader.u32('export')
    if (kind > 3) {
      throw new Refused(
        'export',
        kindAt,
        `an export of kind ${kind}: expected a function, a memory or a global`,
      )
    }
    if (kind === 1) {
      noteUnproved(
        findings,
        'table',
        offset,
        'an exported table: expected none (in AssemblyScript: no --exportTable)',
      )
    }
    if (kind === 0) {
      const type = types[functions[index] ?? -1]
      exports.push({ name, index, offset, entry: type?.entry ?? false })
    }
  }
  reader.expectDone('export section')
  return exports
}
