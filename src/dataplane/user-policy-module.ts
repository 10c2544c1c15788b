import { type Loaded, loadModule } from '../sandbox/load-module.ts'
import { AREA_PER_PAGE } from '../sidecar/layout/user-policy.ts'

/** What of a policy's manifest the loading of its module depends on. */
export interface ModuleTerms {
  readonly phases: readonly ('request' | 'response')[]
  /** Whether it computes keys of state. */
  readonly computesKeys: boolean
  /** 0: as many pages as the module asks for. */
  readonly memoryPages: number
  readonly fuel: number
  readonly newInstance: boolean
}

/** Proves, meters and compiles a user's module; a refusal names rule and byte. */
export function loadUserModule(bytes: Uint8Array, terms: ModuleTerms, alwaysNewInstance = false): Loaded {
  return loadModule(bytes, {
    fuel: terms.fuel,
    ...(terms.memoryPages > 0 && { pages: terms.memoryPages }),
    allowNewInstance: terms.newInstance,
    alwaysNewInstance,
    entries: [...terms.phases, ...(terms.computesKeys ? ['keys'] : [])],
    hostBytesPerPage: AREA_PER_PAGE,
  })
}
