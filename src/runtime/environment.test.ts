import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { expand } from './environment.ts'
import { folder, ON_LINUX, recorded, runtime, spec } from './testing.ts'

const SERVER = `
import { createServer } from 'node:http'
createServer((_, response) => response.end(JSON.stringify({ env: process.env, cwd: process.cwd(), args: process.argv.slice(2) })))
  .listen(process.env.PORT, '127.0.0.1')
`
const MESH = {
  HTTP_PROXY: 'http://127.0.0.1:1',
  http_proxy: 'http://127.0.0.1:1',
  NO_PROXY: '',
  MAYFLY_URL: 'http://127.0.0.1:1',
}

test("a program gets Knative's variables, its own and the mesh's, and nothing of the operator's shell", async (t) => {
  process.env.AWS_SECRET_ACCESS_KEY = 'secret'
  process.env.NODE_OPTIONS = '--no-warnings'
  t.after(() => {
    delete process.env.AWS_SECRET_ACCESS_KEY
    delete process.env.NODE_OPTIONS
  })
  const path = folder(t, { 'server.mjs': SERVER })
  const of = spec(
    {
      kind: 'host',
      command: [process.execPath, 'server.mjs'],
      args: ['--port=$(PORT)', '$(NAME)', '$(NOPE)'],
    },
    {
      env: [
        { name: 'NAME', value: 'value' },
        { name: 'TWICE', value: '$(NAME)$(NAME)' },
        { name: 'HTTP_PROXY', value: 'http://elsewhere' },
      ],
      source: { file: join(path, 'functions.yaml'), line: 1 },
    },
  )
  const { set, seen } = recorded(runtime(t), of, { environment: () => MESH })
  set.setDesired(1)
  const { instance } = await seen.next('ready')
  const response = await fetch(`http://127.0.0.1:${instance.address.port}/`)
  const { env, cwd, args } = (await response.json()) as {
    env: NodeJS.ProcessEnv
    cwd: string
    args: string[]
  }
  const { PATH, HOME, LANG, LC_ALL, TZ, TMPDIR, NODE_COMPILE_CACHE, MAYFLY_RUN, ...rest } = env
  assert.deepEqual(
    [PATH, HOME, LANG, LC_ALL, TZ, TMPDIR],
    ['PATH', 'HOME', 'LANG', 'LC_ALL', 'TZ', 'TMPDIR'].map((name) => process.env[name]),
  )
  assert.match(MAYFLY_RUN!, /^[0-9a-f]{32}$/)
  assert.deepEqual(rest, {
    ...MESH,
    NODE_USE_ENV_PROXY: '1',
    NAME: 'value',
    TWICE: 'valuevalue',
    PORT: String(instance.address.port),
    K_SERVICE: 'cart',
    K_CONFIGURATION: 'cart',
    K_REVISION: 'cart-00001',
    MAYFLY_FUNCTION: 'shop/cart',
    MAYFLY_INSTANCE: instance.id,
  })
  assert.equal(cwd, path)
  assert.deepEqual(args, [`--port=${instance.address.port}`, 'value', '$(NOPE)'])
})

test('an environment that cannot be made fails the start and says why', async (t) => {
  const { set, seen } = recorded(runtime(t), spec({ kind: 'host', command: ['sleep', '9'], args: [] }), {
    environment: () => Promise.reject(new Error('no egress address is free')),
  })
  set.setDesired(1)
  assert.match((await seen.next('failed')).reason, /no egress address is free/)
})

test('references expand as in Kubernetes', () => {
  const environment = { A: '1', B_2: '$(A)' }
  assert.equal(expand('$(A)-$(B_2)-$(C)-$A-$(', environment), '1-$(A)-$(C)-$A-$(')
  assert.equal(expand('$$(A) $$$(A) $$', environment), '$(A) $1 $')
  assert.equal(expand('$(constructor)', environment), '$(constructor)')
})

test(
  'the ports that programs get lie outside the range from which the kernel takes its own',
  ON_LINUX,
  async (t) => {
    const path = folder(t, { 'server.mjs': SERVER })
    const of = spec({ kind: 'host', command: [process.execPath, join(path, 'server.mjs')], args: [] })
    const { set, seen } = recorded(runtime(t), of)
    set.setDesired(1)
    const { port } = (await seen.next('ready')).instance.address
    const [low, high] = readFileSync('/proc/sys/net/ipv4/ip_local_port_range', 'latin1')
      .split(/\s+/)
      .map(Number)
    assert.ok(port < low! || port > high!)
  },
)
