import assert from 'node:assert/strict'
import { hash } from 'node:crypto'
import { describe, test } from 'node:test'
import { compilePolicySource } from '../../test/user-policy-modules.ts'
import type { FunctionSpec } from '../api/function-spec.ts'
import { readManifests } from '../api/read-manifests.ts'
import { ofKind } from '../api/resource.ts'
import { compileUserPolicies, userPoliciesSlice } from '../policy/user-policies.ts'
import { STAGE_AFTER, STAGE_BEFORE, STAGE_RESPONSE } from '../sidecar/layout/user-policies.ts'
import { UserStates } from '../state/user-state.ts'
import { termsOf } from './user-policies.ts'
import { newUserPolicyCounters, UserPolicyChain } from './user-policy-chain.ts'
import { loadUserModule } from './user-policy-module.ts'
import { readAnswer, stageKey, type Told, tester } from './user-policy-testing.ts'

/** Several policies of one function, which all bring the same module. */
function chainOf(module: Uint8Array, specs: Record<string, Record<string, unknown>>) {
  const text = Object.entries(specs)
    .map(([name, spec]) =>
      JSON.stringify({
        apiVersion: 'mayfly.dev/v1',
        kind: 'WasmPolicy',
        metadata: { name, namespace: 'shop' },
        spec: { module: { file: 'p.wasm' }, ...spec },
      }),
    )
    .join('\n---\n')
  const read = readManifests([{ path: 'p.yaml', text }])
  if (!read.ok) throw new Error(JSON.stringify(read.errors))
  const mesh = { config: { rootNamespace: 'root' }, wasmPolicies: ofKind(read.resources, 'WasmPolicy') }
  const fn = {
    key: 'shop/cart',
    namespace: 'shop',
    name: 'cart',
    labels: { app: 'cart' },
  } as unknown as FunctionSpec
  const section = compileUserPolicies(mesh, fn)
  assert.ok(section.ok)
  const slice = userPoliciesSlice(mesh, fn, () => hash('sha256', module))
  if (slice === null) return { section, order: [], ask: null }
  const modules = slice.policies.map((policy) => {
    const loaded = loadUserModule(module, termsOf(policy))
    if (!loaded.ok) throw new Error(loaded.refusal.message)
    return { module: loaded.module, sandbox: loaded.module.sandbox() }
  })
  const chain = new UserPolicyChain(slice, modules, new UserStates('a'), newUserPolicyCounters())
  const ask = (stage: number, told: Told = {}) =>
    readAnswer(chain.answer(stageKey(stage, slice.stages[stage]!, { status: 200, ...told })))
  return {
    section,
    order: slice.stages.map(({ run }) => run.map((index) => slice.policies[index]!.name)),
    ask,
  }
}

/** Appends its name to x-trace, and denies where x-deny is its name. */
const TRACER = await compilePolicySource(`
import { addHeader, addResponseHeader, allow, carried, carry, configuration, deny, header, text } from 'mayfly-policy'
export function request(): i32 {
  const name = text(configuration())
  if (header('x-deny').equalsBytes(name)) return deny(403, 'denied')
  addHeader('x-trace', name)
  addResponseHeader('x-seen', header('x-trace'))
  carry(name)
  return allow()
}
export function response(): i32 {
  addResponseHeader('x-seen', carried())
  return allow()
}`)

const traced = (name: string, order: object, more: object = {}) => ({
  phases: ['request', 'response'],
  configuration: name,
  order,
  reads: { headers: ['x-trace', 'x-deny'] },
  writes: { headers: ['x-trace'], responseHeaders: ['x-seen'] },
  ...more,
})

describe('several policies', () => {
  const specs = {
    late: traced('late', { position: 'after' }),
    b: traced('b', { priority: 5 }),
    a: traced('a', { priority: 5 }),
    first: traced('first', { priority: -1 }),
    other: traced('other', {}, { selector: { matchLabels: { app: 'other' } } }),
    answers: {
      ...traced('answers', { priority: -9 }),
      phases: ['response'],
      reads: {},
      writes: { responseHeaders: ['x-seen'] },
    },
  }

  test('run by position, priority and name; responses pass them the other way round', () => {
    assert.deepEqual(chainOf(TRACER, specs).order, [
      ['shop/first', 'shop/a', 'shop/b'],
      ['shop/late'],
      ['shop/late', 'shop/b', 'shop/a', 'shop/first', 'shop/answers'],
    ])
  })

  test('see header fields as those before them left them', () => {
    const { ask } = chainOf(TRACER, specs)
    const { operations } = ask!(STAGE_BEFORE, { headers: { 'x-trace': 'client' } })
    assert.deepEqual(operations, [
      'add x-trace first',
      'response add x-seen client',
      'add x-trace a',
      'response add x-seen client,first',
      'add x-trace b',
      'response add x-seen client,first,a',
    ])
  })

  test('end with the first that denies, which leaves nothing to carry', () => {
    const { ask } = chainOf(TRACER, specs)
    const judged = ask!(STAGE_BEFORE, { headers: { 'x-deny': 'a' } })
    assert.deepEqual([judged.denies, judged.status, judged.text], [true, 403, 'denied'])
    assert.deepEqual(judged.operations, ['add x-trace first', 'response add x-seen'])
    assert.equal(judged.carry.length, 0)
  })

  test('get in the response phase what each of them carried, and only that', () => {
    const { ask } = chainOf(TRACER, specs)
    const carry = Buffer.concat([ask!(STAGE_BEFORE).carry, ask!(STAGE_AFTER).carry])
    assert.deepEqual(ask!(STAGE_RESPONSE, { carry }).operations, [
      'response add x-seen late',
      'response add x-seen b',
      'response add x-seen a',
      'response add x-seen first',
      'response add x-seen',
    ])
  })

  test('that apply to no function of a mesh cost it nothing', () => {
    const { section, ask } = chainOf(TRACER, { other: specs.other })
    assert.equal(section.ok && section.bytes.length, 0)
    assert.equal(ask, null)
  })

  test('of more than sixteen none is silently left out', () => {
    const many = Object.fromEntries(Array.from({ length: 17 }, (_, i) => [`p${i}`, traced('p', {})]))
    assert.throws(() => chainOf(TRACER, many))
  })
})

describe('keys and state', () => {
  const COUNTS = compilePolicySource(`
import { allow, begin, deny, end, header, keysAreSet, path, setResponseHeader, state, writeByte, writeBytes, writeNumber } from 'mayfly-policy'
export function keys(): i32 {
  if (header('x-none').exists) return keysAreSet()
  begin()
  writeBytes(header('x-user'))
  writeByte(0x2f)
  writeBytes(path())
  state('by-both').setKey(end())
  return keysAreSet()
}
export function request(): i32 {
  const both = state('by-both')
  if (!both.isKeyed) return deny(400, 'no key')
  if (both.number >= 2) return deny(429, 'enough')
  both.add(1)
  state('last').write(header('x-user'))
  begin()
  writeNumber(both.number)
  setResponseHeader('x-count', end())
  return allow()
}
export function response(): i32 {
  const both = state('by-both')
  both.add(10)
  begin()
  writeNumber(both.number)
  setResponseHeader('x-count', end())
  setResponseHeader('x-last', state('last').value)
  return allow()
}`)
  const spec = (more: object = {}) => ({
    phases: ['request', 'response'],
    reads: { attributes: ['path'], headers: ['x-user', 'x-none'] },
    writes: { responseHeaders: ['x-count', 'x-last'] },
    state: [
      { name: 'by-both', type: 'counter', key: { from: 'module' }, window: '1m', ...more },
      { name: 'last', type: 'lastWriter', key: { from: 'header', name: 'x-user' }, window: '1m' },
    ],
  })

  test('a module computes a key, in the sandbox of its request', async () => {
    const policy = tester(await COUNTS, spec())
    const ask = (user: string, path: string) => policy.judge({ path, headers: { 'x-user': user } })
    assert.deepEqual(ask('ada', '/a').operations, ['response set x-count 0'])
    assert.deepEqual(ask('ada', '/a').operations, ['response set x-count 1'])
    assert.deepEqual([ask('ada', '/a').status, ask('bob', '/a').status, ask('ada', '/b').status], [429, 0, 0])
    assert.equal(policy.judge({ path: '/a', time: 60_000, headers: { 'x-user': 'ada' } }).denies, false)
    assert.equal(policy.judge({ headers: { 'x-none': '1' } }).status, 400)
  })

  test('the response phase finds its states under the keys of its request', async () => {
    const policy = tester(await COUNTS, spec())
    const { carry } = policy.judge({ path: '/a', headers: { 'x-user': 'ada' } })
    assert.deepEqual(policy.respond({ carry }).operations, [
      'response set x-count 1',
      'response set x-last ada',
    ])
    assert.deepEqual(policy.respond({ carry }).operations, [
      'response set x-count 11',
      'response set x-last ada',
    ])
  })

  test('without its request there is no key, and nothing can be stored', async () => {
    const policy = tester(await COUNTS, spec())
    assert.equal(policy.respond().status, 500)
    assert.equal(policy.counters.failed.output, 1)
  })

  test('what does not fit is not stored at all, and fails the policy', async () => {
    const policy = tester(await COUNTS, spec({ maxKeys: 1 }))
    assert.equal(policy.judge({ path: '/a', headers: { 'x-user': 'ada' } }).denies, false)
    assert.equal(policy.judge({ path: '/b', headers: { 'x-user': 'bob' } }).status, 500)
    assert.equal(policy.counters.failed['state-full'], 1)
    const last = policy.slice.policies[0]!.states[1]!
    assert.equal(policy.states.read(last, 'bob', 0), undefined)
    assert.equal(policy.states.read(last, 'ada', 0)?.value, 'ada')
  })

  test('a key that is too long is refused, not cut', async () => {
    const policy = tester(await COUNTS, { ...spec(), onFailure: 'allow' })
    assert.equal(policy.judge({ path: '/a', headers: { 'x-user': 'x'.repeat(257) } }).status, 431)
  })
})

describe('what a sidecar asks is hostile', () => {
  test('a key that is cut, of another stage, or with slots outside it is no question', () => {
    const policy = tester(TRACER, traced('p', {}))
    const key = stageKey(STAGE_BEFORE, policy.slice.stages[STAGE_BEFORE]!, { headers: { 'x-trace': 'abc' } })
    const changed = (at: number, value: number) => {
      const copy = Buffer.from(key)
      copy.writeUInt32LE(value, at)
      return copy
    }
    const bad = [
      key.subarray(0, 10),
      key.subarray(0, 40),
      changed(0, 3),
      changed(0, STAGE_RESPONSE),
      changed(12, 1000),
      changed(24 + 7 * 8, 0),
      changed(24 + 7 * 8, key.length + 1),
      changed(24 + 7 * 8 + 4, 4000),
    ]
    for (const [index, one] of bad.entries())
      assert.throws(() => policy.chain.answer(one), Error, `key ${index}`)
    assert.equal(policy.counters.runs, 0)
  })

  test('what is carried is read as hostile too', () => {
    const policy = tester(TRACER, traced('p', {}))
    for (const carry of [Buffer.alloc(1), Buffer.alloc(4, 0xff), Buffer.from([0, 0, 0, 0, 1])]) {
      assert.throws(() => policy.respond({ carry }), /cut off/)
    }
  })
})
