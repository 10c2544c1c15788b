import { loadModule } from '../src/sandbox/load-module.ts'
import {
  EXPORT_ENTRY,
  EXPORT_FUEL,
  IMPORT_MEMORY,
  IMPORT_MODULE,
  meterModule,
} from '../src/sandbox/meter-module.ts'
import { proveModule } from '../src/sandbox/prove-module.ts'
import type { Sandbox, SandboxModule } from '../src/sandbox/sandbox.ts'

/**
 * The same metered module, but every sandbox is a new memory and a new instance that is used for one run only: the
 * plain way to be fresh, and so the baseline. Nothing is filled or reset, since all of it is new.
 */
export function newInstanceModule(wasm: Uint8Array, pages: number, fuel: number): SandboxModule {
  const proof = proveModule(wasm)
  if (proof.verdict === 'refused') throw new Error(`the guest is refused: ${proof.why.message}`)
  const { shape } = proof
  const entries = shape.exports.filter(({ entry }) => entry)
  const indexes = entries.map(({ index }) => index)
  const compiled = new WebAssembly.Module(
    meterModule(shape, { fuel, pages, resetsGlobals: false, entries: indexes }),
  )
  const names = entries.map(({ name }) => name)
  const loaded = loadModule(wasm, { pages, fuel })
  if (!loaded.ok) throw new Error(`the guest is refused: ${loaded.refusal.message}`)
  const module: SandboxModule = { ...loaded.module, sandbox: () => newSandbox(module, compiled, names) }
  return module
}

/** A module of which one sandbox is handed out again and again. */
export function sharedSandboxModule(module: SandboxModule): SandboxModule {
  const sandbox = module.sandbox()
  return { ...module, sandbox: () => sandbox }
}

function newSandbox(module: SandboxModule, compiled: WebAssembly.Module, names: readonly string[]): Sandbox {
  const memory = new WebAssembly.Memory({ initial: module.pages, maximum: module.pages })
  const { exports } = new WebAssembly.Instance(compiled, { [IMPORT_MODULE]: { [IMPORT_MEMORY]: memory } })
  let isUsed = false
  return {
    module,
    state: 'fresh',
    memory: Buffer.from(memory.buffer),
    fresh() {
      if (isUsed) throw new Error('a new instance is for one run only')
      isUsed = true
    },
    call: (entry) => (exports[EXPORT_ENTRY + names.indexOf(entry)] as () => number)(),
    fuelLeft: () => Number((exports[EXPORT_FUEL] as WebAssembly.Global).value),
    trapText: () => '',
  }
}
