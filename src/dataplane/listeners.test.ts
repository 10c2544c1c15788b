import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { type TestContext, test } from 'node:test'
import type { EngineContext } from './engine-context.ts'
import { newCounters } from './engine-counters.ts'
import { Listeners } from './listeners.ts'

const HOST = '127.0.0.1'
const limits = {
  maxConnections: 3,
  headTimeoutMs: 60_000,
  keepAliveTimeoutMs: 60_000,
  streamIdleTimeoutMs: 60_000,
}

/** Listeners of an engine to which no head ever arrives whole. */
function world(t: TestContext) {
  const counters = newCounters()
  const heads = { begun: 0 }
  const open = () => {
    heads.begun++
    return { kind: 'incomplete' }
  }
  const context = {
    counters,
    mesh: { limits },
    sidecars: { open },
    random: { take: () => Buffer.alloc(0) },
    draining: false,
  } as unknown as EngineContext
  const listeners = new Listeners(context)
  const ids: string[] = []
  t.after(() => {
    for (const id of ids) listeners.unlisten(id)
  })
  return {
    listeners,
    counters,
    heads,
    listen(id: string, port: number, role: Parameters<Listeners['listen']>[3]): Promise<number> {
      ids.push(id)
      return listeners.listen(id, HOST, port, role)
    },
    async client(port: number): Promise<Socket> {
      const socket = connect({ port, host: HOST })
      t.after(() => socket.destroy())
      socket.on('error', () => {})
      await once(socket, 'connect')
      return socket
    },
  }
}

/** Resolves once the engine has taken note of what happened to its connections. */
async function until(holds: () => boolean): Promise<void> {
  while (!holds()) await new Promise(setImmediate)
}

const refuses = (port: number) =>
  assert.rejects(once(connect({ port, host: HOST }), 'connect'), { code: 'ECONNREFUSED' })

test('who connects to an address that is nobody’s is turned away and counted, until it is assigned', async (t) => {
  const { listeners, counters, listen, client } = world(t)
  const port = await listen('s', 0, { kind: 'spare' })
  await once((await client(port)).resume(), 'close')
  assert.deepEqual([counters.connections, counters.connectionsRefused, counters.connectionsOpen], [1, 1, 0])
  listeners.assign('s', { kind: 'egress', caller: 'ns/fn', instance: null })
  await client(port)
  await until(() => counters.connectionsOpen === 1)
  assert.equal(counters.connectionsRefused, 1)
})

test('connections beyond the bound are refused and counted; a place that is free again is given away', async (t) => {
  const { counters, listen, client } = world(t)
  const port = await listen('g', 0, { kind: 'gateway' })
  const clients = [await client(port), await client(port), await client(port)]
  await until(() => counters.connectionsOpen === 3)
  await once((await client(port)).resume(), 'close')
  assert.deepEqual([counters.connectionsRefused, counters.connectionsOpen], [1, 3])
  clients[0]!.end()
  await until(() => counters.connectionsOpen === 2)
  await client(port)
  await until(() => counters.connectionsOpen === 3)
  assert.equal(counters.connectionsRefused, 1)
})

test('an address that cannot be had is a failure with its code, and its name can be used again', async (t) => {
  const { listen, listeners } = world(t)
  await assert.rejects(listeners.listen('g', '192.0.2.1', 0, { kind: 'gateway' }), { code: 'EADDRNOTAVAIL' })
  const port = await listen('g', 0, { kind: 'gateway' })
  listeners.unlisten('g')
  listeners.unlisten('g')
  await refuses(port)
})

test('two engines listen on one port', { skip: process.platform !== 'linux' }, async (t) => {
  const [one, two] = [world(t), world(t)]
  const port = await one.listen('g', 0, { kind: 'gateway' })
  assert.equal(await two.listen('g', port, { kind: 'gateway' }), port)
  one.listeners.unlisten('g')
  await two.client(port)
  await until(() => two.counters.connectionsOpen === 1)
})

test('a drain refuses new connections, closes idle ones, and waits for the others, where it is meant', async (t) => {
  const { listeners, counters, heads, listen, client } = world(t)
  const gateway = await listen('g', 0, { kind: 'gateway' })
  const egress = await listen('e', 0, { kind: 'egress', caller: 'ns/fn', instance: null })
  const [idle, busy, other] = [await client(gateway), await client(gateway), await client(egress)]
  busy.write('GET / HT')
  other.write('GET / HT')
  await until(() => counters.connectionsOpen === 3 && heads.begun === 2)
  let drained = false
  const done = listeners
    .drain(({ kind }) => kind === 'gateway')
    .then(() => {
      drained = true
    })
  await once(idle.resume(), 'end')
  idle.end()
  await until(() => counters.connectionsOpen === 2)
  await refuses(gateway)
  assert.equal(drained, false)
  busy.destroy()
  await done
  await client(egress)
  assert.equal(other.destroyed, false)
})

test('what does not end in time is cut', async (t) => {
  const { listeners, counters, heads, listen, client } = world(t)
  const port = await listen('g', 0, { kind: 'gateway' })
  const busy = await client(port)
  busy.write('GET / HT')
  await until(() => heads.begun === 1)
  const closed = once(busy.resume(), 'close')
  const drained = listeners.drain(() => true)
  assert.equal(
    await Promise.race([drained, new Promise((resolve) => setTimeout(resolve, 20, 'waits'))]),
    'waits',
  )
  listeners.cutAfter(1)
  await drained
  await closed
  assert.equal(counters.connectionsOpen, 0)
})
