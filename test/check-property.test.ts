// What a check is told and what of its answer is taken, against a plain reading of Envoy's and Istio's documentation.

import assert from 'node:assert/strict'
import { before, test } from 'node:test'
import fc from 'fast-check'
import { formatManifestError } from '../src/api/manifest-error.ts'
import { readManifests } from '../src/api/read-manifests.ts'
import { compileMesh } from '../src/control/compile-mesh.ts'
import { BOTH_SIDES, type Sidecars } from '../src/dataplane/sidecar.ts'
import type { Answer, Decision } from '../src/dataplane/sidecar-decision.ts'
import { DIRECTION_INGRESS } from '../src/sidecar/layout/record.ts'
import { factsOf, NOW, RANDOM, REQUEST_ID, realSidecars } from './sidecar-phases.ts'

type Field = [name: string, value: string]

interface Lists {
  asked: string[]
  added: Record<string, string>
  upstream: string[]
  denied: string[]
}

let sidecars: Sidecars
before(async () => {
  sidecars = await realSidecars()
})

function policyOf({ asked, added, upstream, denied }: Lists): Buffer {
  const provider = {
    service: '127.0.0.1',
    port: 9,
    pathPrefix: '/c',
    includeRequestHeadersInCheck: asked,
    includeAdditionalHeadersInCheck: added,
    headersToUpstreamOnAllow: upstream,
    headersToDownstreamOnDeny: denied,
  }
  const resources = [
    {
      apiVersion: 'mayfly.dev/v1',
      kind: 'MeshConfig',
      metadata: { name: 'mesh' },
      spec: {
        enableTracing: false,
        defaultAuthorization: 'allow',
        extensionProviders: [{ name: 'authz', envoyExtAuthzHttp: provider }],
      },
    },
    {
      apiVersion: 'serving.knative.dev/v1',
      kind: 'Service',
      metadata: { name: 'cart', namespace: 'shop' },
      spec: { template: { spec: { containers: [{ image: 'endpoint:127.0.0.1:9001' }] } } },
    },
    {
      apiVersion: 'security.istio.io/v1',
      kind: 'AuthorizationPolicy',
      metadata: { name: 'ask', namespace: 'shop' },
      spec: { action: 'CUSTOM', provider: { name: 'authz' }, rules: [{}] },
    },
  ]
  const text = resources.map((one) => JSON.stringify(one)).join('\n---\n')
  const read = readManifests([{ path: 'm.yaml', text }])
  if (!read.ok) throw new Error(read.errors.map(formatManifestError).join('\n'))
  const compiled = compileMesh(read.resources)
  if (!compiled.ok) throw new Error(compiled.errors.map(formatManifestError).join('\n'))
  return compiled.mesh.functions.get('shop/cart')!.policy.bytes
}

// ---- The reference ----

const matches = (list: readonly string[], name: string) =>
  list.some((raw) => {
    const one = raw.toLowerCase()
    if (one === '*') return true
    if (one.startsWith('*')) return name.endsWith(one.slice(1))
    return one.endsWith('*') ? name.startsWith(one.slice(0, -1)) : name === one
  })

const joined = (fields: readonly Field[]): Map<string, string> => {
  const all = new Map<string, string>()
  for (const [raw, value] of fields) {
    const name = raw.toLowerCase()
    const before = all.get(name)
    all.set(name, before === undefined ? value : `${before}${name === 'cookie' ? '; ' : ','}${value}`)
  }
  return all
}

/** Names that no check service may touch, of those that the generators below make. */
const fixed = (name: string) =>
  ['x-request-id', 'x-forwarded-for', 'x-envoy-a', 'te', 'traceparent'].includes(name)

function expectedCheck(fields: readonly Field[], { asked, added }: Lists): string[] {
  const byMesh = new Map([
    // What came, then the peer's own address.
    ['x-forwarded-for', [joined(fields).get('x-forwarded-for') ?? [], '192.0.2.7'].flat().join(',')],
    ['x-forwarded-proto', 'http'],
    ['x-request-id', REQUEST_ID],
  ])
  const addedNames = Object.keys(added).map((name) => name.toLowerCase())
  const sent = new Map(
    [...joined(fields)].filter(([name]) => !byMesh.has(name) && name !== 'x-envoy-a' && name !== 'te'),
  )
  for (const [name, value] of byMesh) sent.set(name, value)
  return [...sent]
    .filter(([name]) => !addedNames.includes(name) && (name === 'authorization' || matches(asked, name)))
    .concat(Object.entries(added).map(([name, value]): Field => [name.toLowerCase(), value]))
    .map(([name, value]) => `${name}: ${value}`)
    .sort()
}

function expectedForward(fields: readonly Field[], answer: readonly Field[], { upstream }: Lists): string[] {
  let left = fields.map(([name, value]): Field => [name.toLowerCase(), value])
  left = left.filter(([name]) => !['x-request-id', 'x-forwarded-for', 'x-envoy-a', 'te'].includes(name))
  for (const [name, value] of answer) {
    if (name === 'x-envoy-auth-headers-to-remove') {
      const names = value.split(',').map((one) => one.trim().toLowerCase())
      left = left.filter(([one]) => !names.includes(one) || fixed(one))
    }
    if (!matches(upstream, name) || fixed(name) || name.startsWith('x-envoy-')) continue
    left = [...left.filter(([one]) => one !== name), [name, value]]
  }
  return left.map(([name, value]) => `${name}: ${value}`).sort()
}

// ---- What is generated ----

const name = fc.constantFrom(
  'x-a',
  'x-b',
  'x-ab',
  'b-a',
  'Authorization',
  'cookie',
  'X-Envoy-a',
  'x-request-id',
  'X-Forwarded-For',
  'te',
  'accept',
  'traceparent',
)
const value = fc.stringMatching(/^[!-~]([ -~]{0,6}[!-~])?$/)
const pattern = fc.constantFrom(
  '*',
  'x-*',
  '*-a',
  'X-A',
  'x-ab*',
  'cookie',
  'accept',
  '*b',
  'x-request-id',
  'x-forwarded-*',
)
const upstreamPattern = fc.constantFrom('*', 'x-*', '*-a', 'X-A', 'authorization', 'cookie', '*b')
const lists = fc.record({
  asked: fc.uniqueArray(pattern, { maxLength: 4 }),
  added: fc.dictionary(fc.constantFrom('x-a', 'x-new', 'Authorization'), value, {
    maxKeys: 2,
    noNullPrototype: true,
  }),
  upstream: fc.uniqueArray(upstreamPattern, { maxLength: 3 }),
  denied: fc.uniqueArray(fc.constantFrom('x-*', '*-a', 'content-type'), { maxLength: 2 }),
})
const fields = fc.array(fc.tuple(name, value), { maxLength: 8 })
const answered = fc.array(
  fc.tuple(
    fc.constantFrom(
      'x-a',
      'x-b',
      'x-ab',
      'b-a',
      'authorization',
      'cookie',
      'x-request-id',
      'x-forwarded-for',
      'te',
      'x-envoy-a',
      'traceparent',
    ),
    value,
  ),
  { maxLength: 8 },
)
const removal = fc.array(name, { maxLength: 3 })

function encode(status: number, all: readonly Field[]): Buffer {
  const header = Buffer.alloc(16)
  header.writeUInt32LE(status, 0)
  header.writeUInt32LE(all.length, 8)
  const parts = all.map(([one, text]) => {
    const lengths = Buffer.alloc(4)
    lengths.writeUInt16LE(one.length, 0)
    lengths.writeUInt16LE(text.length, 2)
    return Buffer.concat([lengths, Buffer.from(one + text, 'latin1')])
  })
  return Buffer.concat([header, ...parts])
}

test('checks and what is taken of their answers are as documented', () => {
  fc.assert(
    fc.property(lists, fields, answered, removal, (given, received, permission, removed) => {
      // A head that says its trace context twice is another test's.
      const once = received.filter(
        ([one], i) => one !== 'traceparent' || received.findIndex(([other]) => other === one) === i,
      )
      const lines = once.map(([one, text]) => `${one}: ${text}\r\n`).join('')
      const head = Buffer.from(`GET /a?b HTTP/1.1\r\nhost: cart.shop\r\n${lines}\r\n`, 'latin1')
      const opened = sidecars.open(head, 0, head.length, factsOf(DIRECTION_INGRESS), NOW, RANDOM)
      assert.equal(opened.kind, 'opened', JSON.stringify(opened))
      const policy = policyOf(given)
      const first = sidecars.judge(policy, 'shop/cart', 8080, BOTH_SIDES, [])
      assert.ok(first.kind === 'needs', JSON.stringify(first))
      const check = first.needs[0]!.key.toString('latin1').split('\r\n')
      assert.equal(check[0], 'GET /c/a?b')
      assert.equal(check[1], 'host: cart.shop')
      assert.equal(check.at(-1), '')
      assert.deepEqual(check.slice(2, -1).sort(), expectedCheck(once, given))
      const answer: Field[] = [...permission, ['x-envoy-auth-headers-to-remove', removed.join(', ')]]
      const answers: Answer[] = [{ need: first.needs[0]!, bytes: encode(200, answer) }]
      const decision = sidecars.judge(policy, 'shop/cart', 8080, BOTH_SIDES, answers) as Decision
      assert.ok(decision.kind === 'forward', JSON.stringify(decision))
      const forwarded = decision.head.toString('latin1').split('\r\n').slice(1, -2)
      const own = forwarded
        .map(
          (line): Field => [
            line.slice(0, line.indexOf(':')).toLowerCase(),
            line.slice(line.indexOf(':') + 2),
          ],
        )
        .filter(([one]) => !['host', 'x-forwarded-for', 'x-forwarded-proto', 'x-request-id'].includes(one))
        .map(([one, text]) => `${one}: ${text}`)
      assert.deepEqual(own.sort(), expectedForward(once, answer, given))
    }),
    { numRuns: 2_000 },
  )
})
