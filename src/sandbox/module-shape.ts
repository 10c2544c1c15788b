// What reading a module's binary tells: enough to rewrite it and to make a sandbox of it. Offsets are bytes in the
// original binary.

export interface Span {
  readonly start: number
  readonly end: number
}

export interface FunctionType {
  readonly params: number
  readonly results: number
  /** From nothing to one i32: what an entry must be. */
  readonly entry: boolean
}

export interface GlobalVariable {
  readonly mutable: boolean
  /** The initialiser, without its `end`. */
  readonly initialiser: Span
}

/** A place in a function's body at which the rewriting puts something. */
export type Mark =
  /** Before the instruction at `at`: charge `cost` fuel. */
  | { readonly kind: 'charge'; readonly at: number; cost: number }
  /** Before the bulk instruction at `at`: charge by the length on top of the stack. */
  | { readonly kind: 'bulk'; readonly at: number }
  /** In place of the `memory.grow` from `at` to `end`: what it does in a memory that cannot grow. */
  | { readonly kind: 'growth'; readonly at: number; readonly end: number }

export interface FunctionBody extends Span {
  /** In ascending order of `at`. */
  readonly marks: readonly Mark[]
}

/** An active data segment at a constant offset. */
export interface DataSegment extends Span {
  readonly address: number
}

export interface ExportedFunction {
  readonly name: string
  readonly index: number
  /** Where the export is. */
  readonly offset: number
  /** Whether its type is that of an entry: from nothing to i32. */
  readonly entry: boolean
}

export interface ModuleShape {
  readonly bytes: Uint8Array
  /** Contents of the sections that the rewriting copies or extends, by section id. */
  readonly sections: ReadonlyMap<number, Span>
  readonly types: readonly FunctionType[]
  /** Type index of each function. */
  readonly functions: readonly number[]
  readonly globals: readonly GlobalVariable[]
  readonly exports: readonly ExportedFunction[]
  readonly bodies: readonly FunctionBody[]
  readonly data: readonly DataSegment[]
  /** The imported memory's smallest size in pages. */
  readonly pages: number
}

export const SECTION_CUSTOM = 0
export const SECTION_TYPE = 1
export const SECTION_IMPORT = 2
export const SECTION_FUNCTION = 3
export const SECTION_TABLE = 4
export const SECTION_MEMORY = 5
export const SECTION_GLOBAL = 6
export const SECTION_EXPORT = 7
export const SECTION_START = 8
export const SECTION_ELEMENT = 9
export const SECTION_CODE = 10
export const SECTION_DATA = 11
export const SECTION_DATA_COUNT = 12
