import { createHash } from 'node:crypto'
import { readFileSync, statSync } from 'node:fs'
import { dirname, join } from 'node:path'
import type { ManifestError, ManifestErrorCode } from '../api/manifest-error.ts'
import type { WasmPolicy } from '../api/wasm-policy.ts'
import { loadUserModule } from '../dataplane/user-policy-module.ts'
import { LIMITS } from '../sandbox/limits.ts'

/** The modules of the mesh's policies: their bytes by SHA-256, and whose each is. */
export interface UserModules {
  readonly bytes: ReadonlyMap<string, Uint8Array>
  readonly hashOf: ReadonlyMap<WasmPolicy, string>
}

export type UserModulesReading =
  | { readonly ok: true; readonly modules: UserModules }
  | { readonly ok: false; readonly errors: ManifestError[] }

/** Each takes a memory and a sandbox of its own in every engine. */
const MOST_MODULES = 64

/** Where a policy's module lies. */
export function moduleFile({ source, spec }: WasmPolicy): string {
  return join(dirname(source.file), spec.module.file)
}

/** Reads the policies' modules and checks that each is one that may run, on the terms of its manifest; all or nothing. */
export function readUserModules(policies: readonly WasmPolicy[]): UserModulesReading {
  const bytes = new Map<string, Uint8Array>()
  const hashOf = new Map<WasmPolicy, string>()
  const errors: ManifestError[] = []
  for (const policy of policies) {
    const read = readModule(policy)
    if ('code' in read) {
      errors.push(read)
      continue
    }
    const hash = createHash('sha256').update(read.bytes).digest('hex')
    const wrong = problemOf(policy, hash) ?? refusalOf(policy, read.bytes)
    if (wrong !== null) errors.push(wrong)
    bytes.set(hash, read.bytes)
    hashOf.set(policy, hash)
    if (bytes.size === MOST_MODULES + 1) {
      const message = `with this one the mesh has more than ${MOST_MODULES} modules`
      errors.push(errorOf(policy, 'too-large', 'spec.module.file', message))
    }
  }
  return errors.length > 0 ? { ok: false, errors } : { ok: true, modules: { bytes, hashOf } }
}

function readModule(policy: WasmPolicy): { bytes: Uint8Array } | ManifestError {
  const file = moduleFile(policy)
  const field = 'spec.module.file'
  try {
    const found = statSync(file)
    if (!found.isFile()) return errorOf(policy, 'bad-value', field, `${file} is no file`)
    if (found.size > LIMITS.moduleBytes) {
      const message = `${file} has ${found.size} bytes: at most ${LIMITS.moduleBytes} are allowed`
      return errorOf(policy, 'too-large', field, message)
    }
    return { bytes: Uint8Array.from(readFileSync(file)) }
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException
    const why = code === 'ENOENT' ? 'there is no such file: `mayfly policy build` makes it' : message
    return errorOf(policy, 'bad-value', field, `${file}: ${why}`)
  }
}

function problemOf(policy: WasmPolicy, hash: string): ManifestError | null {
  const { sha256 } = policy.spec.module
  if (sha256 === undefined || sha256 === hash) return null
  return errorOf(policy, 'bad-value', 'spec.module.sha256', `${moduleFile(policy)} has the SHA-256 ${hash}`)
}

function refusalOf(policy: WasmPolicy, bytes: Uint8Array): ManifestError | null {
  const { phases, state, limits, freshness } = policy.spec
  const loaded = loadUserModule(bytes, {
    phases,
    computesKeys: state.some(({ key }) => key.from === 'module'),
    memoryPages: limits.memoryPages ?? 0,
    fuel: limits.fuel,
    newInstance: freshness === 'newInstance',
  })
  if (loaded.ok) return null
  const advice = isUnproved(policy, bytes)
    ? '; with freshness: newInstance it may run, in a new instance each time'
    : ''
  return errorOf(
    policy,
    'bad-value',
    'spec.module.file',
    `${moduleFile(policy)}: ${loaded.refusal.message}${advice}`,
  )
}

/** Whether it is only the proof of its freshness that a module lacks. */
function isUnproved({ spec }: WasmPolicy, bytes: Uint8Array): boolean {
  const { phases, limits, freshness } = spec
  if (freshness === 'newInstance') return false
  const terms = {
    phases,
    computesKeys: false,
    memoryPages: limits.memoryPages ?? 0,
    fuel: limits.fuel,
    newInstance: true,
  }
  return loadUserModule(bytes, terms).ok
}

function errorOf(policy: WasmPolicy, code: ManifestErrorCode, field: string, problem: string): ManifestError {
  const { metadata, source } = policy
  const message = `WasmPolicy ${metadata.namespace}/${metadata.name}: ${problem}`
  return { code, file: source.file, line: source.line, column: 1, field, message }
}
