// The part of the WebAssembly JavaScript API that this folder uses: TypeScript declares it only in its browser libraries.
declare namespace WebAssembly {
  class Module {
    constructor(bytes: Uint8Array)
  }
  class Instance {
    constructor(module: Module, imports: Record<string, Record<string, Memory>>)
    readonly exports: Record<string, unknown>
  }
  class Memory {
    constructor(size: { initial: number; maximum: number })
    readonly buffer: ArrayBuffer
  }
  interface Global {
    value: unknown
  }
  function validate(bytes: Uint8Array): boolean
}
