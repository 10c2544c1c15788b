import assert from 'node:assert/strict'
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { readManifests } from '../api/read-manifests.ts'
import { writeManifests } from './manifests.ts'
import type { TraceFunction } from './trace.ts'

function traceFunction(name: string): TraceFunction {
  return { hash: name, name, trigger: 'http', invocations: new Uint32Array(), durations: [], memory: [] }
}

test('the mesh reads what is written: a Service and an AuthorizationPolicy for each function, telemetry, one MeshConfig', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'manifests-'))
  try {
    const functions = Array.from({ length: 500 }, (_, i) => traceFunction(`f-${i}`))
    const written = await writeManifests(folder, functions, 3, 'out/access.log')
    assert.ok(written.ok)
    const yaml = (await readdir(folder)).filter((name) => name.endsWith('.yaml'))
    const files = await Promise.all(
      yaml.map(async (name) => ({ path: name, text: await readFile(join(folder, name), 'utf8') })),
    )
    const read = readManifests(files)
    assert.ok(read.ok, JSON.stringify(read))
    const kinds = Map.groupBy(read.resources, (resource) => resource.kind)
    assert.deepEqual(Object.fromEntries([...kinds].map(([kind, all]) => [kind, all.length])), {
      Service: 500,
      MeshConfig: 1,
      Telemetry: 1,
      AuthorizationPolicy: 500,
    })
    const service = kinds.get('Service')![0]!
    assert.ok(service.kind === 'Service')
    assert.equal(service.spec.template.spec.containerConcurrency, 3)
    assert.deepEqual(service.spec.template.spec.containers[0]!.image, {
      kind: 'file',
      path: './work-function.mts',
    })
    const module = await import(join(folder, 'work-function.mts'))
    assert.equal(typeof module.default.fetch, 'function')
  } finally {
    await rm(folder, { recursive: true })
  }
})
