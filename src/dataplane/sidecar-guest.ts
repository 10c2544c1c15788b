import { loadModule } from '../sandbox/load-module.ts'
import type { SandboxModule } from '../sandbox/sandbox.ts'

const ENTRIES = ['open', 'decide', 'respond', 'trailers']

/** Loads the sidecar guest with a memory of so many pages; throws where it cannot be proved to be what it should be. */
export function loadGuest(wasm: Buffer, pages: number, fuel: number): SandboxModule {
  const loaded = loadModule(wasm, { pages, fuel, entries: ENTRIES })
  if (loaded.ok) return loaded.module
  const { offset, message } = loaded.refusal
  throw new Error(`the sidecar guest is refused at byte ${offset}: ${message}`)
}
