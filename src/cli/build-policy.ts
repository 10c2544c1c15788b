import { readFileSync, renameSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { compileGuest } from '../../scripts/compile-guest.ts'
import { formatManifestError } from '../api/manifest-error.ts'
import { readManifests } from '../api/read-manifests.ts'
import { ofKind } from '../api/resource.ts'
import type { WasmPolicy } from '../api/wasm-policy.ts'
import { moduleFile, readUserModules } from '../control/user-modules.ts'

/** Where a policy's project has what: its manifest, its source and its tests. */
export const MANIFEST = 'policy.yaml'
export const SOURCE = 'policy.ts'
export const CASES = 'policy.cases'

export type Outcome<T> = { ok: true; value: T } | { ok: false; errors: string[] }

/** The folder whose `mayfly-policy` is the SDK. */
const SDK = fileURLToPath(new URL('../../sdk', import.meta.url))

/** The one WasmPolicy that a project's manifest holds. */
export function readProject(folder: string): Outcome<WasmPolicy> {
  const path = join(folder, MANIFEST)
  let text: string
  try {
    text = readFileSync(path, 'utf8')
  } catch (error) {
    const message = `${path}: ${(error as Error).message}; \`mayfly policy new NAME\` makes a project`
    return { ok: false, errors: [message] }
  }
  const read = readManifests([{ path, text }])
  if (!read.ok) return { ok: false, errors: read.errors.map(formatManifestError) }
  const policies = ofKind(read.resources, 'WasmPolicy')
  if (policies.length === 1) return { ok: true, value: policies[0]! }
  return { ok: false, errors: [`${path}: has ${policies.length} WasmPolicies: expected one`] }
}

/** Compiles a project's source into its module's file and checks it on the terms of its manifest. Gives the module's size in bytes. */
export async function buildPolicy(folder: string): Promise<Outcome<number>> {
  const project = readProject(folder)
  if (!project.ok) return project
  const policy = project.value
  const compiled = await compileGuest(resolve(folder), SOURCE, flagsFor(policy))
  if (!compiled.ok) return { ok: false, errors: [compiled.message.trim()] }
  const file = moduleFile(policy)
  // A mesh that runs from this folder never reads half a module.
  writeFileSync(`${file}.tmp`, compiled.wasm)
  renameSync(`${file}.tmp`, file)
  const checked = readUserModules([policy])
  return checked.ok
    ? { ok: true, value: compiled.wasm.length }
    : { ok: false, errors: checked.errors.map(formatManifestError) }
}

/** No allocator, no start function, a memory of fixed size: so that a reset can be proved to be as good as a new instance. */
function flagsFor({ spec }: WasmPolicy): string[] {
  const pages = String(spec.limits.memoryPages ?? 1)
  return [
    ...['-O3', '--noAssert', '--runtime', 'stub', '--use', 'abort='],
    ...['--importMemory', '--noExportMemory', '--initialMemory', pages, '--maximumMemory', pages],
    ...['--enable', 'simd', '--path', SDK],
  ]
}
