import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { formatManifestError } from './manifest-error.ts'
import { readManifests } from './read-manifests.ts'
import { ofKind } from './resource.ts'
import { claimPathOf } from './wasm-policy.ts'

function read(spec: Record<string, unknown>) {
  const manifest = { apiVersion: 'mayfly.dev/v1', kind: 'WasmPolicy', metadata: { name: 'p' }, spec }
  return readManifests([{ path: 'p.yaml', text: JSON.stringify(manifest) }])
}

function errorsOf(spec: Record<string, unknown>): string {
  const found = read(spec)
  assert.ok(!found.ok, 'it was accepted')
  return found.errors.map(formatManifestError).join('\n')
}

const MODULE = { file: 'p.wasm' }

test('what is left out has its default', () => {
  const found = read({ module: MODULE })
  assert.ok(found.ok)
  assert.deepEqual(ofKind(found.resources, 'WasmPolicy')[0]?.spec, {
    module: { file: 'p.wasm' },
    phases: ['request'],
    order: { position: 'before', priority: 0 },
    reads: { attributes: [], headers: [], responseHeaders: [], claims: [] },
    writes: { headers: [], responseHeaders: [] },
    state: [],
    limits: { fuel: 200_000 },
    freshness: 'proved',
    onFailure: 'deny',
  })
})

test('everything that a manifest says arrives', () => {
  const spec = {
    selector: { matchLabels: { app: 'cart' } },
    module: { file: 'modules/p.wasm', sha256: 'a'.repeat(64) },
    phases: ['request', 'response'],
    order: { position: 'after', priority: -7 },
    reads: {
      attributes: ['method', 'path', 'query', 'authority', 'principal', 'clientAddress', 'direction', 'time'],
      headers: ['x-a', 'cookie'],
      responseHeaders: ['x-b'],
      claims: ['sub', 'realm_access[roles]'],
    },
    writes: { headers: ['x-c', 'authorization'], responseHeaders: ['set-cookie'] },
    configuration: { any: [1, 'two', null, { three: true }] },
    state: [
      {
        name: 'a',
        type: 'counter',
        key: { from: 'header', name: 'x-k' },
        window: 60_000,
        scope: 'cluster',
        maxKeys: 5,
      },
      {
        name: 'b',
        type: 'set',
        key: { from: 'module' },
        window: 1000,
        scope: 'node',
        maxKeys: 10_000,
        maxMembers: 64,
      },
      {
        name: 'c',
        type: 'lastWriter',
        key: { from: 'claim', name: 'sub' },
        window: 86_400_000,
        scope: 'node',
        maxKeys: 10_000,
        maxValueBytes: 9,
      },
    ],
    limits: { memoryPages: 16, fuel: 5_000_000 },
    freshness: 'newInstance',
    onFailure: 'allow',
  }
  const windows = ['1m', '1s', '24h']
  const found = read({ ...spec, state: spec.state.map((state, i) => ({ ...state, window: windows[i] })) })
  assert.ok(found.ok, found.ok ? '' : found.errors.map(formatManifestError).join('\n'))
  assert.deepEqual(ofKind(found.resources, 'WasmPolicy')[0]?.spec, spec)
})

describe('what is refused, and where', () => {
  const counter = { name: 's', type: 'counter', key: { from: 'constant' }, window: '1m' }
  const cases: [string, Record<string, unknown>, RegExp][] = [
    ['no module', {}, /spec\.module: /],
    ['an unknown field', { module: MODULE, modul: 1 }, /spec\.modul: .*unknown-field/],
    [
      'a module above the folder',
      { module: { file: '../p.wasm' } },
      /spec\.module\.file: .*below the manifest's own folder/,
    ],
    ['an absolute module', { module: { file: '/p.wasm' } }, /spec\.module\.file/],
    ['a module of another type', { module: { file: 'p.js' } }, /spec\.module\.file/],
    [
      'a hash that is none',
      { module: { file: 'p.wasm', sha256: 'AB' } },
      /spec\.module\.sha256: expected 64/,
    ],
    ['targetRefs', { module: MODULE, targetRefs: [] }, /spec\.targetRefs: .*use selector/],
    ['no phase', { module: MODULE, phases: [] }, /spec\.phases: is empty/],
    [
      'a phase twice',
      { module: MODULE, phases: ['request', 'request'] },
      /spec\.phases\[1\]: .*listed twice/,
    ],
    [
      'an unknown phase',
      { module: MODULE, phases: ['body'] },
      /spec\.phases\[0\]: expected request or response/,
    ],
    [
      'an unknown attribute',
      { module: MODULE, reads: { attributes: ['body'] } },
      /spec\.reads\.attributes\[0\]/,
    ],
    [
      'a name in capitals',
      { module: MODULE, reads: { headers: ['X-A'] } },
      /spec\.reads\.headers\[0\]: .*lower case/,
    ],
    [
      'a name that is none',
      { module: MODULE, reads: { headers: ['x a'] } },
      /spec\.reads\.headers\[0\]: .*not a header name/,
    ],
    [
      "the mesh's own fields",
      { module: MODULE, reads: { headers: ['x-mayfly-instance'] } },
      /it is not shown/,
    ],
    [
      'Set-Cookie as one value',
      { module: MODULE, phases: ['response'], reads: { responseHeaders: ['set-cookie'] } },
      /one value/,
    ],
    [
      'a claim that is none',
      { module: MODULE, order: { position: 'after' }, reads: { claims: ['a[b'] } },
      /is not a claim/,
    ],
    [
      'claims before they are known',
      { module: MODULE, reads: { claims: ['sub'] } },
      /spec\.reads\.claims: .*position to after/,
    ],
    [
      'a key from a claim before it is known',
      { module: MODULE, state: [{ ...counter, key: { from: 'claim', name: 'sub' } }] },
      /spec\.state\[0\]\.key\.from: .*position to after/,
    ],
    [
      'response fields without that phase',
      { module: MODULE, reads: { responseHeaders: ['x-a'] } },
      /spec\.reads\.responseHeaders: .*add it to phases/,
    ],
    [
      'request fields without that phase',
      { module: MODULE, phases: ['response'], writes: { headers: ['x-a'] } },
      /spec\.writes\.headers: .*add it to phases/,
    ],
    [
      'state without a request phase',
      { module: MODULE, phases: ['response'], state: [counter] },
      /spec\.state: .*add it to phases/,
    ],
    [
      'two states of one name',
      { module: MODULE, state: [counter, counter] },
      /spec\.state\[1\]: "s" is listed twice/,
    ],
    [
      'a key without its name',
      { module: MODULE, state: [{ ...counter, key: { from: 'header' } }] },
      /key\.name: name the header/,
    ],
    [
      'a name that no key needs',
      { module: MODULE, state: [{ ...counter, key: { from: 'principal', name: 'x' } }] },
      /only a header or a claim/,
    ],
    [
      'a window that is too short',
      { module: MODULE, state: [{ ...counter, window: '999ms' }] },
      /between 1s and 24h/,
    ],
    [
      'members of a counter',
      { module: MODULE, state: [{ ...counter, maxMembers: 3 }] },
      /only a set has members/,
    ],
    [
      'bytes of a counter',
      { module: MODULE, state: [{ ...counter, maxValueBytes: 3 }] },
      /a counter has no bytes/,
    ],
    [
      'too much fuel',
      { module: MODULE, limits: { fuel: 5_000_001 } },
      /spec\.limits\.fuel: expected a whole number/,
    ],
    ['too many pages', { module: MODULE, limits: { memoryPages: 17 } }, /spec\.limits\.memoryPages/],
    [
      'a configuration that is too large',
      { module: MODULE, configuration: 'x'.repeat(8191) },
      /spec\.configuration: takes 8193 bytes/,
    ],
  ]
  for (const [what, spec, message] of cases) test(what, () => assert.match(errorsOf(spec), message))

  const unwritable =
    'host content-length transfer-encoding connection keep-alive te trailer upgrade expect proxy-authorization ' +
    'x-forwarded-for x-forwarded-client-cert forwarded x-request-id traceparent b3 x-mayfly-instance x-envoy-original-path'
  for (const name of unwritable.split(' ')) {
    test(`writing ${name}`, () => {
      const refused = /(written by the mesh alone|the mesh's own)/
      assert.match(errorsOf({ module: MODULE, writes: { headers: [name] } }), refused)
      assert.match(errorsOf({ module: MODULE, writes: { responseHeaders: [name] } }), refused)
    })
  }
})

test('a claim inside others is a path', () => {
  assert.deepEqual(claimPathOf('sub'), ['sub'])
  assert.deepEqual(claimPathOf('realm_access[roles][0]'), ['realm_access', 'roles', '0'])
})
