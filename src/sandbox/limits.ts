/** The most of everything that a module may hold; what exceeds one is refused with code `limit`. */
export interface Limits {
  readonly moduleBytes: number
  readonly types: number
  /** Parameters, and results, of one function type. */
  readonly values: number
  readonly functions: number
  readonly functionBytes: number
  /** Locals that one function declares. */
  readonly locals: number
  /** Blocks inside each other in one function. */
  readonly nesting: number
  readonly branchTargets: number
  readonly globals: number
  readonly exports: number
  /** Bytes of one export's or import's name. */
  readonly nameBytes: number
  readonly tables: number
  readonly tableEntries: number
  readonly segments: number
  /** Memory in pages of 64 KiB. */
  readonly pages: number
}

/** Enough for a policy compiled from AssemblyScript, Rust or C, and all far below V8's own limits. */
export const LIMITS: Limits = {
  moduleBytes: 2 << 20,
  types: 1000,
  values: 64,
  functions: 10_000,
  functionBytes: 512 << 10,
  locals: 2000,
  nesting: 1000,
  branchTargets: 10_000,
  globals: 1000,
  exports: 1000,
  nameBytes: 1000,
  tables: 1,
  tableEntries: 10_000,
  segments: 10_000,
  pages: 16,
}
