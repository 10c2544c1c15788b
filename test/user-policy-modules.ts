// Modules for tests of users' policies, compiled from AssemblyScript with the SDK.

import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { compileGuest } from '../scripts/compile-guest.ts'

const ROOT = fileURLToPath(new URL('..', import.meta.url))

/** Compiles a policy's source as `mayfly policy build` does. */
export async function compilePolicySource(source: string, pages = 1): Promise<Uint8Array> {
  const folder = mkdtempSync(join(tmpdir(), 'mayfly-policy-'))
  try {
    writeFileSync(join(folder, 'policy.ts'), source)
    const compiled = await compileGuest(folder, 'policy.ts', [
      ...['-O3', '--noAssert', '--runtime', 'stub', '--use', 'abort=', '--importMemory', '--noExportMemory'],
      ...['--initialMemory', String(pages), '--maximumMemory', String(pages), '--path', join(ROOT, 'sdk')],
    ])
    if (!compiled.ok) throw new Error(compiled.message)
    return compiled.wasm
  } finally {
    rmSync(folder, { recursive: true })
  }
}

/** The module of one of the examples, as it is in the repository. */
export function exampleModule(name: string): Uint8Array {
  return readFileSync(join(ROOT, 'examples/policies/user', name, 'policy.wasm'))
}

/** A WasmPolicy manifest for all functions of the namespace `test`; YAML takes JSON. */
export function wasmPolicy(name: string, spec: Record<string, unknown>): string {
  return JSON.stringify({
    apiVersion: 'mayfly.dev/v1',
    kind: 'WasmPolicy',
    metadata: { name, namespace: 'test' },
    spec: { module: { file: `${name}.wasm` }, ...spec },
  })
}
