// Policies that users bring, in a real mesh: what they see and change, in both phases, with state, and how modules are replaced.

import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { startTestMesh, type TestMesh } from '../start-mesh.ts'
import { compilePolicySource, exampleModule, wasmPolicy } from '../user-policy-modules.ts'
import {
  askMesh,
  Client,
  functionManifest,
  meshConfig,
  settled,
  startServer,
  type TestServer,
  until as untilValue,
} from './cluster.ts'

const SEES = `
import { allow, authority, clientAddress, deny, fromOutside, header, method, path, query, setHeader, literal, carry, carried,
  setResponseHeader, status, removeResponseHeader, begin, end, writeNumber } from 'mayfly-policy'
export function request(): i32 {
  if (!method().equals('GET')) return deny(405, 'only GET')
  setHeader('x-path', path())
  setHeader('x-query', query().exists ? query() : literal('none'))
  setHeader('x-host', authority())
  setHeader('x-client', clientAddress())
  setHeader('x-outside', literal(fromOutside() ? 'yes' : 'no'))
  if (header('x-list').exists) setHeader('x-saw', header('x-list'))
  setResponseHeader('x-from-request', literal('1'))
  carry(path())
  return allow()
}
export function response(): i32 {
  if (header('x-reply').equals('secret')) return deny(502, 'the answer is kept back')
  begin()
  writeNumber(status())
  setResponseHeader('x-status', end())
  setResponseHeader('x-carried', carried())
  removeResponseHeader('x-reply')
  return allow()
}
`

interface Engine {
  counters: { userPolicies: { state: { merged: number } } }
}

/** Waits until what is asked comes true. */
async function until(ask: () => boolean | Promise<boolean>): Promise<void> {
  await untilValue(
    async () => await ask(),
    (value) => value,
  )
}

let mesh: TestMesh
let client: Client
let server: TestServer

before(async () => {
  server = await startServer((incoming, answer) => {
    answer.setHeader('x-reply', incoming.url === '/secret' ? 'secret' : 'plain')
    answer.statusCode = incoming.url === '/missing' ? 404 : 200
    answer.end(JSON.stringify(incoming.headers))
  })
  mesh = await startTestMesh({
    'mesh.yaml': meshConfig({ engines: 2, defaultAuthorization: 'allow' }),
    'fn.yaml': functionManifest({ image: `endpoint:${server.address}` }),
    'other.yaml': functionManifest({ name: 'other', image: `endpoint:${server.address}` }),
  })
  client = new Client(mesh)
})

after(async () => {
  await settled(mesh)
  client.close()
  await mesh.stop()
  await server.close()
})

/** Puts a policy and its module into the mesh's folder; resolves when it has been applied. */
async function bring(
  name: string,
  module: Uint8Array,
  spec: Record<string, unknown>,
  to = mesh,
): Promise<void> {
  const applied = to.stderr.filter((line) => line.includes('applied')).length
  writeFileSync(join(to.dir, `${name}.wasm`), module)
  to.write(`${name}.yaml`, wasmPolicy(name, spec))
  await until(() => to.stderr.filter((line) => line.includes('applied')).length > applied)
}

describe('a policy that reads and writes', () => {
  before(async () => {
    await bring('sees', await compilePolicySource(SEES), {
      phases: ['request', 'response'],
      order: { position: 'after' },
      reads: {
        attributes: ['method', 'path', 'query', 'authority', 'clientAddress', 'direction'],
        headers: ['x-list'],
        responseHeaders: ['x-reply'],
      },
      writes: {
        headers: ['x-path', 'x-query', 'x-host', 'x-client', 'x-outside', 'x-saw'],
        responseHeaders: ['x-from-request', 'x-status', 'x-carried', 'x-reply'],
      },
    })
    await until(async () => (await client.get('/')).headers['x-status'] !== undefined)
  })

  test('the function gets the header fields that it sets', async () => {
    const answer = await client.send({
      path: '/a/./b?c=d',
      headers: { host: 'fn.test.localhost', 'x-list': 'one', 'x-path': 'spoofed' },
    })
    const seen = JSON.parse(answer.body)
    assert.equal(seen['x-path'], '/a/b')
    assert.equal(seen['x-query'], 'c=d')
    assert.equal(seen['x-host'], 'fn.test.localhost')
    assert.equal(seen['x-client'], '127.0.0.1')
    assert.equal(seen['x-outside'], 'yes')
    assert.equal(seen['x-saw'], 'one')
  })

  test('the client gets what it does to the response', async () => {
    const answer = await client.get('/missing')
    assert.equal(answer.status, 404)
    assert.equal(answer.headers['x-from-request'], '1')
    assert.equal(answer.headers['x-status'], '404')
    assert.equal(answer.headers['x-carried'], '/missing')
    assert.equal(answer.headers['x-reply'], undefined)
  })

  test('its denial stands in place of a request, and of a response', async () => {
    const post = await client.send({ method: 'POST', path: '/', headers: { host: 'fn.test.localhost' } })
    assert.equal(post.status, 405)
    assert.match(post.body, /only GET/)
    const secret = await client.get('/secret')
    assert.equal(secret.status, 502)
    assert.match(secret.body, /the answer is kept back/)
    assert.ok(!secret.body.includes('x-forwarded-for'))
    assert.equal((await client.get('/after')).status, 200)
  })
})

describe('a policy that is replaced', () => {
  const marks = (mark: string) =>
    compilePolicySource(`
import { allow, literal, setHeader } from 'mayfly-policy'
export function request(): i32 {
  setHeader('x-mark', literal('${mark}'))
  return allow()
}`)

  test('a module that changes takes over, and no request fails meanwhile', async () => {
    await bring('marks', await marks('one'), { writes: { headers: ['x-mark'] } })
    const mark = async () => JSON.parse((await client.get('/')).body)['x-mark']
    await until(async () => (await mark()) === 'one')
    let failed = 0
    let running = true
    const load = (async () => {
      while (running) if ((await client.get('/load')).status !== 200) failed++
    })()
    writeFileSync(join(mesh.dir, 'marks.wasm'), await marks('two'))
    await until(async () => (await mark()) === 'two')
    running = false
    await load
    assert.equal(failed, 0)
  })

  test('one that may not run is not applied, and the last one stays', async () => {
    const before = mesh.stderr.length
    writeFileSync(join(mesh.dir, 'marks.wasm'), Buffer.from('no module'))
    await until(() => mesh.stderr.slice(before).some((line) => line.includes('marks.wasm: byte 0')))
    assert.equal(JSON.parse((await client.get('/')).body)['x-mark'], 'two')
    writeFileSync(join(mesh.dir, 'marks.wasm'), await marks('three'))
    await until(async () => JSON.parse((await client.get('/')).body)['x-mark'] === 'three')
  })
})

describe('an API key', () => {
  test('is asked for, checked, and taken away', async () => {
    await bring('api-key', exampleModule('api-key'), {
      reads: { headers: ['x-api-key'] },
      writes: { headers: ['x-api-client', 'x-api-key'], responseHeaders: ['www-authenticate'] },
      configuration: { clients: [{ name: 'mobile', key: 'k1' }] },
    })
    await until(async () => (await client.get('/')).status === 401)
    const none = await client.get('/')
    assert.equal(none.headers['www-authenticate'], 'ApiKey realm="mesh"')
    const send = (key: string) =>
      client.send({
        path: '/',
        headers: { host: 'fn.test.localhost', 'x-api-key': key, 'x-api-client': 'root' },
      })
    assert.equal((await send('wrong')).status, 403)
    const right = await send('k1')
    assert.equal(right.status, 200)
    const seen = JSON.parse(right.body)
    assert.equal(seen['x-api-client'], 'mobile')
    assert.equal(seen['x-api-key'], undefined)
  })
})

describe('state', () => {
  test('engines tell each other what they have counted', async () => {
    const counts = await compilePolicySource(`
import { allow, state, begin, end, writeNumber, setResponseHeader } from 'mayfly-policy'
export function request(): i32 {
  const hits = state('hits')
  hits.add(1)
  begin()
  writeNumber(hits.number)
  setResponseHeader('x-hits', end())
  return allow()
}`)
    await bring('counts', counts, {
      order: { position: 'before', priority: -5 },
      writes: { responseHeaders: ['x-hits'] },
      state: [{ name: 'hits', type: 'counter', key: { from: 'clientAddress' }, window: '24h' }],
    })
    // Every connection goes to one engine; new ones spread over both.
    const hit = async () => {
      const one = new Client(mesh)
      const answer = await one.send({ path: '/', headers: { host: 'fn.test.localhost', 'x-api-key': 'k1' } })
      one.close()
      return answer.headers['x-hits'] === undefined ? null : Number(answer.headers['x-hits'])
    }
    await until(async () => (await hit()) !== null)
    const first = (await hit())!
    for (let i = 0; i < 40; i++) await hit()
    await until(async () => (await hit())! >= first + 41)
    const merged = (await askMesh<Engine[]>(mesh, 'engines')).map(
      ({ counters }) => counters.userPolicies.state.merged,
    )
    assert.ok(
      merged.every((count) => count > 0),
      JSON.stringify(merged),
    )
  })
})

test('over two nodes a policy judges once, where the function is', async () => {
  const module = await compilePolicySource(`
import { addHeader, addResponseHeader, allow, carry, carried, literal } from 'mayfly-policy'
export function request(): i32 {
  addHeader('x-asked', literal('once'))
  carry(literal('over'))
  return allow()
}
export function response(): i32 {
  addResponseHeader('x-answered', literal('once'))
  addResponseHeader('x-carried', carried())
  return allow()
}`)
  const two = await startTestMesh(
    {
      'mesh.yaml': meshConfig({ engines: 1, defaultAuthorization: 'allow' }),
      'fn.yaml': functionManifest({ image: `endpoint:${server.address}` }),
    },
    ['--nodes', '2'],
  )
  const asking = new Client(two)
  try {
    const spec = {
      phases: ['request', 'response'],
      writes: { headers: ['x-asked'], responseHeaders: ['x-answered', 'x-carried'] },
    }
    await bring('once', module, spec, two)
    await until(async () => (await asking.get('/')).headers['x-answered'] !== undefined)
    const answer = await asking.get('/')
    assert.equal(answer.status, 200, answer.body)
    assert.equal(JSON.parse(answer.body)['x-asked'], 'once')
    assert.equal(answer.headers['x-answered'], 'once')
    assert.equal(answer.headers['x-carried'], 'over')
  } finally {
    asking.close()
    await two.stop()
  }
})
