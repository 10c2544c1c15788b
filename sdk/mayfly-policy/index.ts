// Write policies for Mayfly in AssemblyScript. A policy exports `request(): i32`, `response(): i32` or both, and `keys(): i32` where it
// computes keys of state. Nothing here allocates: what comes in is read where it lies, what goes out is written behind it.

export * from './bytes'
export * from './input'
export * from './json'
export * from './output'
export * from './state'
