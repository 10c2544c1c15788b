import assert from 'node:assert/strict'
import { hash } from 'node:crypto'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { exampleModule, wasmPolicy } from '../../test/user-policy-modules.ts'
import { formatManifestError } from '../api/manifest-error.ts'
import { readManifests } from '../api/read-manifests.ts'
import { ofKind } from '../api/resource.ts'
import { readUserModules } from './user-modules.ts'

const folder = mkdtempSync(join(tmpdir(), 'mayfly-modules-'))
after(() => rmSync(folder, { recursive: true }))
const module = exampleModule('api-key')
writeFileSync(join(folder, 'p.wasm'), module)

function read(...specs: Record<string, unknown>[]) {
  const text = specs
    .map((spec, i) => wasmPolicy(`p${i}`, { module: { file: 'p.wasm' }, ...spec }))
    .join('\n---\n')
  const found = readManifests([{ path: join(folder, 'p.yaml'), text }])
  if (!found.ok) throw new Error(found.errors.map(formatManifestError).join('\n'))
  return readUserModules(ofKind(found.resources, 'WasmPolicy'))
}

function errorOf(spec: Record<string, unknown>): string {
  const found = read(spec)
  assert.ok(!found.ok)
  return found.errors.map(formatManifestError).join('\n')
}

test('a module is found beside its manifest, and held once however many policies bring it', () => {
  const sha256 = hash('sha256', module)
  const found = read({}, { module: { file: 'p.wasm', sha256 } })
  assert.ok(found.ok)
  assert.deepEqual([...found.modules.bytes.keys()], [sha256])
  assert.deepEqual([...found.modules.hashOf.values()], [sha256, sha256])
})

test('what is wrong with a module is said with the place of the manifest and of the byte', () => {
  assert.match(
    errorOf({ module: { file: 'none.wasm' } }),
    /p\.yaml:1:1: spec\.module\.file: WasmPolicy test\/p0: .*none\.wasm: there is no such file/,
  )
  assert.match(
    errorOf({ module: { file: 'p.wasm', sha256: '0'.repeat(64) } }),
    /spec\.module\.sha256: .*has the SHA-256 [0-9a-f]{64}/,
  )
  assert.match(errorOf({ phases: ['response'] }), /does not export the entry response/)
  assert.match(
    errorOf({ state: [{ name: 's', type: 'counter', key: { from: 'module' }, window: '1m' }] }),
    /does not export the entry keys/,
  )
  mkdirSync(join(folder, 'folder.wasm'))
  assert.match(errorOf({ module: { file: 'folder.wasm' } }), /is no file/)
  writeFileSync(join(folder, 'large.wasm'), Buffer.alloc((2 << 20) + 1))
  assert.match(errorOf({ module: { file: 'large.wasm' } }), /at most 2097152 are allowed.*too-large/)
  writeFileSync(join(folder, 'text.wasm'), 'text')
  assert.match(errorOf({ module: { file: 'text.wasm' } }), /text\.wasm: byte \d+: /)
})

test('more memory than the module asks for is given, less is refused', () => {
  assert.ok(read({ limits: { memoryPages: 4 } }).ok)
  const two = exampleModuleOfTwoPages()
  writeFileSync(join(folder, 'two.wasm'), two)
  assert.match(errorOf({ module: { file: 'two.wasm' }, limits: { memoryPages: 1 } }), /1 pages asked for/)
})

/** The same with another smallest and largest size of its memory: the import's limits are two bytes, 1 and 1. */
function exampleModuleOfTwoPages(): Buffer {
  const bytes = Buffer.from(module)
  const at = bytes.indexOf(Buffer.from([6, ...Buffer.from('memory'), 2, 1, 1, 1]))
  assert.ok(at > 0)
  bytes[at + 9] = 2
  bytes[at + 10] = 2
  return bytes
}
