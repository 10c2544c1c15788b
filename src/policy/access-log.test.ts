import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { FunctionSpec } from '../api/function-spec.ts'
import { defaultMeshConfig, type MeshConfigSpec } from '../api/mesh-config.ts'
import type { Telemetry } from '../api/telemetry.ts'
import { LOG_CLIENT, LOG_SERVER, PROGRAM_ID } from '../sidecar/layout/access-log.ts'
import { accessLogFile, compileAccessLog } from './access-log.ts'

const cart = {
  namespace: 'shop',
  name: 'cart',
  key: 'shop/cart',
  principal: 'cluster.local/ns/shop/sa/cart',
  labels: { app: 'cart' },
}

type Logging = Telemetry['spec']['accessLogging']
type Providers = MeshConfigSpec['extensionProviders']

function telemetry(
  namespace: string,
  name: string,
  accessLogging: unknown[],
  matchLabels: Record<string, string> = {},
) {
  return {
    kind: 'Telemetry',
    metadata: { name, namespace, labels: {}, annotations: {} },
    spec: { selector: { matchLabels }, tracing: [], accessLogging: accessLogging as Logging, metrics: [] },
    source: { file: `${name}.yaml`, line: 7 },
  } as unknown as Telemetry
}

const on = { accessLogFile: '/dev/stdout' }

/** Ids of the client's and the server's program, 0 where it logs nothing; or the problems. */
function compile(config: Partial<MeshConfigSpec>, telemetries: Telemetry[] = [], fn: unknown = cart) {
  const section = compileAccessLog(
    { config: { ...defaultMeshConfig, ...config }, telemetries },
    fn as FunctionSpec | null,
  )
  if (!section.ok)
    return section.problems.map(
      ({ resource, source, field, message }) =>
        `${source.file}:${source.line} ${resource} ${field}: ${message}`,
    )
  if (section.bytes.length === 0) return [0, 0]
  return [LOG_CLIENT, LOG_SERVER].map((at) => {
    const program = section.bytes.readUInt32LE(at)
    return program === 0 ? 0 : section.bytes.readUInt32LE(program + PROGRAM_ID)
  })
}

/** Whether it logs as client, and as server. */
function logs(config: Partial<MeshConfigSpec>, telemetries: Telemetry[] = [], fn: unknown = cart): string {
  const [client, server] = compile(config, telemetries, fn)
  assert.ok(typeof client === 'number', String(client))
  return `${client ? 'client' : '-'} ${server ? 'server' : '-'}`
}

describe('who logs', () => {
  const disabled = { disabled: true }
  const enabled = { providers: [{ name: 'envoy' }] }

  test('everybody where an accessLogFile is set, else nobody', () => {
    assert.equal(logs({}), '- -')
    assert.equal(logs(on), 'client server')
    assert.equal(logs({}, [], null), '- -')
    assert.equal(logs(on, [], null), 'client server')
    assert.equal(
      logs({ defaultProviders: { tracing: [], accessLogging: ['envoy'], metrics: [] } }),
      'client server',
    )
  })

  test('a Telemetry turns it on and off, for each mode', () => {
    const as = (mode: string, entry: object) => telemetry('shop', 'a', [{ match: { mode }, ...entry }])
    assert.equal(logs(on, [telemetry('shop', 'a', [disabled])]), '- -')
    assert.equal(logs(on, [as('CLIENT', disabled)]), '- server')
    assert.equal(logs(on, [as('SERVER', disabled)]), 'client -')
    assert.equal(logs(on, [as('CLIENT_AND_SERVER', disabled)]), '- -')
    assert.equal(logs({}, [telemetry('shop', 'a', [enabled])]), 'client server')
    assert.equal(logs({}, [as('SERVER', enabled)]), '- server')
    assert.equal(logs({}, [as('CLIENT', {})]), 'client -')
    assert.equal(logs(on, [telemetry('shop', 'a', [{ ...enabled, disabled: true }])]), '- -')
  })

  test('the nearest Telemetry wins', () => {
    const root = telemetry('mayfly-system', 'mesh', [disabled])
    const space = telemetry('shop', 'space', [enabled])
    const own = telemetry('shop', 'own', [{ match: { mode: 'SERVER' }, ...disabled }], { app: 'cart' })
    const foreign = [
      telemetry('shop', 'pay', [disabled], { app: 'pay' }),
      telemetry('other', 'other', [disabled]),
      telemetry('other', 'cart', [disabled], { app: 'cart' }),
      telemetry('mayfly-system', 'cart', [disabled], { app: 'cart' }),
    ]
    assert.equal(logs(on, [root]), '- -')
    assert.equal(logs(on, [root], null), '- -')
    assert.equal(logs(on, [space, root]), 'client server')
    assert.equal(logs(on, [own, space, root]), 'client -')
    assert.equal(logs(on, [...foreign]), 'client server')
    assert.equal(logs(on, [...foreign, root, space, own]), 'client -')
  })

  test('of two for the same place the first by name', () => {
    const late = telemetry('shop', 'b', [disabled])
    const early = telemetry('shop', 'a', [{ match: { mode: 'CLIENT' }, ...disabled }])
    assert.equal(logs(on, [late, early]), '- server')
  })
})

describe('providers', () => {
  const file = (name: string, format: object | undefined, path = '/var/log/a.log') =>
    ({ name, envoyFileAccessLog: { path, ...(format && { logFormat: format }) } }) as Providers[number]
  const uses = (...names: string[]) => [
    telemetry('shop', 'a', [{ providers: names.map((name) => ({ name })) }]),
  ]

  test('have formats of their own', () => {
    const providers = [
      file('text', { text: 'a %PROTOCOL%' }),
      file('json', { labels: { a: '%PROTOCOL%' } }),
      file('plain', undefined),
    ]
    const ids = ['text', 'json', 'plain'].map(
      (name) => compile({ extensionProviders: providers }, uses(name))[0],
    )
    assert.equal(new Set(ids).size, 3)
    const byDefault = compile({ extensionProviders: providers, accessLogFormat: 'mine' }, uses('plain'))
    assert.deepEqual(byDefault, [ids[2], ids[2]])
    assert.deepEqual(compile({}, uses('envoy')), [ids[2], ids[2]])
  })

  test('share one file', () => {
    assert.equal(accessLogFile({ ...defaultMeshConfig }), '/dev/stdout')
    assert.equal(
      accessLogFile({ ...defaultMeshConfig, extensionProviders: [file('a', undefined)] }),
      '/var/log/a.log',
    )
    assert.equal(
      accessLogFile({
        ...defaultMeshConfig,
        accessLogFile: '/b',
        extensionProviders: [file('a', undefined)],
      }),
      '/b',
    )
    assert.deepEqual(
      compile({ accessLogFile: '/b', extensionProviders: [file('a', undefined)] }, uses('a')),
      [
        "MeshConfig:0 MeshConfig spec.extensionProviders[0].envoyFileAccessLog.path: is /var/log/a.log, but the mesh's access log is written to /b: all providers must name the same file",
      ],
    )
  })

  test('must be known, and one', () => {
    assert.deepEqual(compile(on, uses('nobody')), [
      'a.yaml:7 Telemetry shop/a spec.accessLogging[0].providers[0].name: "nobody" is no access-log provider: use "envoy", or list an envoyFileAccessLog of that name under MeshConfig spec.extensionProviders',
    ])
    const problems = compile({ extensionProviders: [file('a', undefined)] }, uses('a', 'envoy'))
    assert.equal(
      problems[0],
      'a.yaml:7 Telemetry shop/a spec.accessLogging: access logs go to a and envoy, but a function has one access log: keep one provider',
    )
  })
})

describe('a format', () => {
  const problem = (accessLogFormat: string, config: Partial<MeshConfigSpec> = {}) =>
    compile({ ...on, ...config, accessLogFormat })[0]

  test('is one line', () => {
    assert.match(String(problem('a\nb')), /control character at position 2/)
    assert.match(String(problem('a\rb')), /control character/)
    assert.match(String(problem('\n')), /is empty/)
    assert.equal(problem('a\n'), problem('a'))
    assert.equal(problem('a\r\n'), problem('a'))
    assert.equal(typeof problem('a\tb'), 'number')
  })

  test('is bounded', () => {
    assert.match(String(problem('%DURATION% '.repeat(65))), /65 figures of the exchange; at most 64/)
    assert.match(String(problem('%REQ(A)% '.repeat(600))), /at most 512/)
    let nested = '"x"'
    for (let i = 0; i < 9; i++) nested = `{"a":${nested}}`
    assert.match(String(problem(nested, { accessLogEncoding: 'JSON' })), /deeper than 8 levels at a\.a/)
  })

  test('has an id of its own', () => {
    const ids = [
      'a',
      'b',
      '%PROTOCOL%',
      '%START_TIME(%Y)%',
      '%START_TIME(%m)%',
      '%REQ(A)%',
      '%REQ(A):3%',
      '%REQ(B)%',
    ].map((format) => problem(format))
    assert.equal(new Set(ids).size, ids.length)
  })
})
