// Manifests that change while traffic goes on.

import assert from 'node:assert/strict'
import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { startTestMesh, type TestMesh } from '../start-mesh.ts'
import {
  askMesh,
  Client,
  functionManifest,
  type InstanceRow,
  meshConfig,
  settled,
  startServer,
  type TestServer,
  until,
} from './cluster.ts'

let mesh: TestMesh
let client: Client
let server: TestServer
/** Answers that the server has not given yet, by path. */
const held = new Map<string, () => void>()

before(async () => {
  server = await startServer((incoming, answer) => {
    const path = incoming.url ?? ''
    if (path.startsWith('/hold')) held.set(path, () => answer.end('held'))
    else answer.end('old')
  })
  mesh = await startTestMesh({
    'mesh.yaml': meshConfig({ engines: 2, defaultAuthorization: 'deny' }),
    'fn.yaml': functionManifest({ image: `endpoint:${server.address}` }),
    'policy.yaml': allow('/*'),
  })
  client = new Client(mesh)
})

after(async () => {
  await settled(mesh)
  client.close()
  await mesh.stop()
  await server.close()
})

function allow(path: string): string {
  return JSON.stringify({
    apiVersion: 'security.istio.io/v1',
    kind: 'AuthorizationPolicy',
    metadata: { name: 'allow', namespace: 'test' },
    spec: { rules: [{ to: [{ operation: { paths: [path] } }] }] },
  })
}

/** Sends requests over ten connections until `enough`; gives every answer with the time at which it was asked for. */
function underLoad(path: string, name = 'fn') {
  const answers: { askedAt: number; status: number; body: string }[] = []
  let enough = false
  const run = async () => {
    const one = new Client(mesh)
    while (!enough) {
      const askedAt = performance.now()
      const { status, body } = await one.get(path, name)
      answers.push({ askedAt, status, body })
    }
    one.close()
  }
  const runs = Promise.all(Array.from({ length: 10 }, run))
  return {
    answers,
    async stop() {
      enough = true
      await runs
      return answers
    },
  }
}

const applied = () => mesh.stderr.filter((line) => /^mayfly: applied /.test(line)).length

test('policy edits under load are in force within 100 ms and drop no request', async () => {
  const load = underLoad('/private/x')
  const edits: { at: number; wanted: number }[] = []
  for (const [path, wanted] of [
    ['/public/*', 403],
    ['/*', 200],
    ['/public/*', 403],
  ] as const) {
    await until(
      async () => load.answers.at(-1)?.status,
      (status) => status === (wanted === 403 ? 200 : 403),
    )
    const editedAt = performance.now()
    mesh.write('policy.yaml', allow(path))
    await until(
      async () => load.answers.findLast(({ askedAt }) => askedAt > editedAt)?.status,
      (status) => status === wanted,
    )
    edits.push({ at: editedAt, wanted })
  }
  const answers = await load.stop()
  assert.deepEqual([...new Set(answers.map(({ status }) => status))].sort(), [200, 403])
  const took = edits.map(({ at, wanted }, i) => {
    const end = edits[i + 1]?.at ?? Number.POSITIVE_INFINITY
    const stale = answers.filter((one) => one.askedAt > at && one.askedAt < end && one.status !== wanted)
    return Math.max(0, ...stale.map(({ askedAt }) => askedAt - at))
  })
  // The goal is for a machine of one's own: on a shared one, some edit may be late, but not each.
  assert.ok(Math.min(...took) < 100, `${took} ms`)
})

test('a bad edit is named with its file and line, and what was in force stays', async () => {
  const before = applied()
  const bad = allow('/other/*').replace('"operation"', '"operations"')
  mesh.write('policy.yaml', bad)
  const line = await mesh.line('stderr', /policy\.yaml:1.*operations/)
  assert.match(line, /operation/)
  assert.equal((await client.get('/public/x')).status, 200)
  assert.equal((await client.get('/other/x')).status, 403)
  mesh.write('policy.yaml', 'a: [1\n')
  await mesh.line('stderr', /policy\.yaml:[12].*(yaml|YAML|flow)/)
  assert.equal((await client.get('/public/x')).status, 200)
  assert.equal(applied(), before)
  mesh.write('policy.yaml', allow('/*'))
  await until(
    () => client.get('/other/x'),
    ({ status }) => status === 200,
  )
})

test('a function that comes is served, one that goes is not, and its last request is answered', async () => {
  mesh.write('late.yaml', functionManifest({ name: 'late', image: `endpoint:${server.address}` }))
  await until(
    () => client.get('/', 'late'),
    ({ status }) => status === 200,
  )
  const last = client.get('/hold-late', 'late')
  await until(
    async () => held.has('/hold-late'),
    (there) => there,
  )
  rmSync(join(mesh.dir, 'late.yaml'))
  await until(
    () => client.get('/', 'late'),
    ({ status }) => status === 404,
  )
  held.get('/hold-late')!()
  const { status, body } = await last
  assert.deepEqual({ status, body }, { status: 200, body: 'held' })
})

test('the instance of a deleted function ends with its last request, also when the name is taken again', async () => {
  // An agent of its own knows no proxy: the mesh lets nobody call the outside world.
  const code = (text: string) => `
    import { once } from 'node:events'
    import { Agent, get } from 'node:http'
    export default {
      async fetch(request) {
        if (new URL(request.url).pathname === '/slow') {
          await once(get('http://${server.address}/hold-slow', { agent: new Agent() }), 'response')
        }
        return new Response('${text} ' + process.pid)
      },
    }`
  mesh.write('first.ts', code('first'))
  mesh.write('second.ts', code('second'))
  mesh.write('mine.yaml', functionManifest({ name: 'mine', image: 'file:./first.ts' }))
  const first = await until(
    () => client.get('/', 'mine'),
    ({ status }) => status === 200,
  )
  const pid = Number(first.body.split(' ')[1])
  const last = client.get('/slow', 'mine')
  await until(
    async () => held.has('/hold-slow'),
    (there) => there,
  )
  rmSync(join(mesh.dir, 'mine.yaml'))
  await until(
    () => client.get('/', 'mine'),
    ({ status }) => status === 404,
  )
  mesh.write('mine.yaml', functionManifest({ name: 'mine', image: 'file:./second.ts' }))
  const second = await until(
    () => client.get('/', 'mine'),
    ({ status }) => status === 200,
  )
  assert.match(second.body, /^second /)
  assert.ok(isAlive(pid))
  held.get('/hold-slow')!()
  assert.equal((await last).body, `first ${pid}`)
  await until(
    async () => isAlive(pid),
    (alive) => !alive,
  )
  const rows = await askMesh<InstanceRow[]>(mesh, 'instances')
  assert.equal(rows.filter((row) => row.function === 'test/mine').length, 1)
})

test('a new revision takes over under load without a dropped request, and the old one ends', async () => {
  const code = (text: string) => `export default { fetch: () => new Response('${text}') }`
  mesh.write('one.ts', code('one'))
  mesh.write('two.ts', code('two'))
  mesh.write('turning.yaml', functionManifest({ name: 'turning', image: 'file:./one.ts', concurrency: 5 }))
  await until(
    () => client.get('/', 'turning'),
    ({ status }) => status === 200,
  )
  const load = underLoad('/', 'turning')
  await until(
    async () => load.answers.length,
    (count) => count > 20,
  )
  mesh.write('turning.yaml', functionManifest({ name: 'turning', image: 'file:./two.ts', concurrency: 5 }))
  await until(
    async () => load.answers.at(-1)!.body,
    (body) => body === 'two',
  )
  const answers = await load.stop()
  assert.deepEqual([...new Set(answers.map(({ status }) => status))], [200])
  await until(
    () => askMesh<InstanceRow[]>(mesh, 'instances'),
    (rows) => {
      const mine = rows.filter((row) => row.function === 'test/turning')
      return mine.length > 0 && mine.every((row) => row.revision === 'turning-00002')
    },
  )
})

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch {
    return false
  }
}
