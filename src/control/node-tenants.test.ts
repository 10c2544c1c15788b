import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { MeshNode } from './mesh-node.ts'
import { NodeTenants } from './node-tenants.ts'

test('a function is on the nodes that have instances of it, and for a minute after the last has left', () => {
  let now = 1_000_000
  const tenants = new NodeTenants(() => now)
  const [a, b] = [{ name: 'a' }, { name: 'b' }] as unknown as [MeshNode, MeshNode]
  tenants.came(a, 's/f')
  tenants.came(a, 's/f')
  assert.ok(tenants.has(a, 's/f'))
  assert.ok(!tenants.has(b, 's/f'))
  assert.ok(!tenants.has(a, 's/g'))
  tenants.left(a, 's/f')
  now += 3_600_000
  assert.ok(tenants.has(a, 's/f'))
  tenants.left(a, 's/f')
  now += 60_000
  assert.ok(tenants.has(a, 's/f'))
  now += 1
  assert.ok(!tenants.has(a, 's/f'))
  tenants.left(a, 's/f')
  tenants.left(b, 's/f')
  assert.ok(!tenants.has(b, 's/f'))
})
