import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { ToEngine } from '../dataplane/engine-messages.ts'
import { UserStates, type UserStateTerms } from '../state/user-state.ts'
import type { CompiledMesh } from './compile-mesh.ts'
import { UserPolicyHub } from './user-policy-hub.ts'

const NODES = [
  { name: 'n1', engines: ['a', 'b'] },
  { name: 'n2', engines: ['c'] },
]
const terms = (scope: 'node' | 'cluster'): UserStateTerms => ({
  id: `t/p/${scope}`,
  type: 'counter',
  windowMs: 1000,
  scope,
  maxKeys: 10,
  maxMembers: 1,
})

test('state of scope node stays in its node, that of scope cluster reaches all', () => {
  const sent: [string, ToEngine][] = []
  const hub = new UserPolicyHub((engine, message) => sent.push([engine, message]))
  const engine = new UserStates('a')
  for (const scope of ['node', 'cluster'] as const) engine.change(terms(scope), 'k', 5, 3, '')
  hub.receive('a', 'n1', engine.takeUntold(10), NODES)
  const scopes = sent.map(([to, message]) => {
    assert.equal(message.type, 'user-state')
    return [to, message.type === 'user-state' ? message.updates.map(({ scope }) => scope) : []]
  })
  assert.deepEqual(scopes, [
    ['b', ['node', 'cluster']],
    ['c', ['cluster']],
  ])

  const compiled = {
    modules: new Map([['h', new Uint8Array(1)]]),
    functions: new Map(),
  } as unknown as CompiledMesh
  for (const [node, expected] of [
    ['n1', ['cluster', 'node']],
    ['n2', ['cluster']],
  ] as const) {
    const [modules, states] = [...hub.modules(compiled), ...hub.states(node, 500)]
    assert.equal(modules?.type, 'user-modules')
    assert.deepEqual(states?.type === 'user-state' && states.updates.map(({ scope }) => scope), expected)
  }
  assert.equal([...hub.modules(compiled), ...hub.states('n1', 1000)].length, 1)
})
