import assert from 'node:assert/strict'
import { mock, test } from 'node:test'
import type { ListenerRole, ToEngine } from '../dataplane/engine-messages.ts'
import { CLOSED, ListenerPlan } from './listener-plan.ts'

const GATEWAY: ListenerRole = { kind: 'gateway' }
const SPARE: ListenerRole = { kind: 'spare' }

function world(...engines: string[]) {
  const sent: string[] = []
  const notices: string[] = []
  const plan = new ListenerPlan(
    () => engines,
    (engine, message) => sent.push(`${engine} ${shown(message)}`),
    (text) => notices.push(text),
  )
  return {
    plan,
    engines,
    notices,
    /** What was sent since the last call. */
    sent: () => sent.splice(0),
    listens: (engine: string, id: string, port: number) =>
      plan.receive(engine, { type: 'listening', id, port }),
    fails: (engine: string, id: string) =>
      plan.receive(engine, { type: 'listen-failed', id, code: 'EADDRINUSE', message: 'in use' }),
    dies(engine: string) {
      engines.splice(engines.indexOf(engine), 1)
      plan.engineDied(engine)
    },
    joins(engine: string) {
      engines.push(engine)
      return plan.forNewEngine(engine).map(shown)
    },
  }
}

function shown(message: ToEngine): string {
  switch (message.type) {
    case 'listen':
      return `listen ${message.id}:${message.port} ${message.role.kind}`
    case 'assign':
      return `assign ${message.id} ${message.role.kind}`
    case 'unlisten':
      return `unlisten ${message.id}`
    default:
      return message.type
  }
}

/** 'open' as long as it is not settled. */
async function state(promise: Promise<unknown>): Promise<unknown> {
  return Promise.race([promise, Promise.resolve('open')])
}

test('a port that is given is open once every engine listens there', async () => {
  const { plan, sent, listens } = world('a', 'b')
  const opened = plan.open('g', '127.0.0.1', 80, GATEWAY)
  assert.deepEqual(sent(), ['a listen g:80 gateway', 'b listen g:80 gateway'])
  listens('b', 'g', 80)
  assert.equal(await state(opened), 'open')
  listens('a', 'g', 80)
  assert.deepEqual(await opened, { ok: true, port: 80 })
})

test('of a port that any will do for, the first engine chooses, the others follow', async () => {
  const { plan, sent, listens } = world('a', 'b')
  const opened = plan.open('s', '127.0.0.1', 0, SPARE)
  assert.deepEqual(sent(), ['a listen s:0 spare'])
  listens('a', 's', 4711)
  assert.deepEqual(sent(), ['b listen s:4711 spare'])
  assert.equal(await state(opened), 'open')
  listens('b', 's', 4711)
  assert.deepEqual(await opened, { ok: true, port: 4711 })
})

test('an address of one engine moves, with its port, to another when that one dies', async () => {
  const { plan, sent, listens, dies, joins } = world('a', 'b')
  const opened = plan.open('e', '127.0.0.1', 0, SPARE, 'one')
  listens('a', 'e', 4711)
  assert.deepEqual(await opened, { ok: true, port: 4711 })
  assert.deepEqual(joins('c'), [])
  sent()
  dies('a')
  assert.deepEqual(sent(), ['b listen e:4711 spare'])
  dies('b')
  dies('c')
  assert.deepEqual(joins('d'), ['listen e:4711 spare'])
})

test('without engines, an address waits for the first one', async () => {
  const { plan, joins, listens, sent } = world()
  const opened = plan.open('s', '127.0.0.1', 0, SPARE)
  assert.deepEqual(joins('a'), ['listen s:0 spare'])
  assert.deepEqual(joins('b'), [], 'it is told once the port is known')
  listens('a', 's', 4711)
  assert.deepEqual(sent(), ['b listen s:4711 spare'])
  listens('b', 's', 4711)
  assert.deepEqual(await opened, { ok: true, port: 4711 })
})

test('when the engine that chooses dies, another one chooses', async () => {
  const { plan, sent, dies, listens } = world('a', 'b')
  const opened = plan.open('s', '127.0.0.1', 0, SPARE)
  sent()
  dies('a')
  assert.deepEqual(sent(), ['b listen s:0 spare'])
  listens('b', 's', 4711)
  assert.deepEqual(await opened, { ok: true, port: 4711 })
})

test('nobody waits for an engine that died', async () => {
  const { plan, dies, listens } = world('a', 'b')
  const opened = plan.open('g', '127.0.0.1', 80, GATEWAY)
  listens('a', 'g', 80)
  dies('b')
  assert.deepEqual(await opened, { ok: true, port: 80 })
})

test('a failure decides, and what the others opened is closed', async () => {
  const { plan, sent, fails, listens } = world('a', 'b')
  const opened = plan.open('g', '127.0.0.1', 80, GATEWAY)
  sent()
  fails('a', 'g')
  assert.deepEqual(await opened, { ok: false, failure: { code: 'EADDRINUSE', message: 'in use' } })
  assert.deepEqual(sent(), ['a unlisten g', 'b unlisten g'])
  listens('b', 'g', 80)
  assert.deepEqual(sent(), [])
})

test('an address that is closed while it opens says so', async () => {
  const { plan } = world('a')
  const opened = plan.open('s', '127.0.0.1', 0, SPARE)
  plan.close('s')
  const outcome = await opened
  assert.equal(!outcome.ok && outcome.failure.code, CLOSED)
})

test('a new engine listens where the others do, for those whom the addresses belong to now', async () => {
  const { plan, listens, joins, sent } = world('a')
  const opened = plan.open('s', '127.0.0.1', 0, SPARE)
  listens('a', 's', 4711)
  await opened
  sent()
  plan.assign('s', { kind: 'egress', caller: 'ns/fn', instance: null })
  assert.deepEqual(sent(), ['a assign s egress'])
  assert.deepEqual(joins('b'), ['listen s:4711 egress'])
  plan.close('s')
  assert.deepEqual(sent(), ['a unlisten s', 'b unlisten s'])
  assert.deepEqual(joins('c'), [])
})

test('an engine that cannot join the others says so and tries again, as long as the address is wanted', async (t) => {
  mock.timers.enable({ apis: ['setTimeout'] })
  t.after(() => mock.timers.reset())
  const { plan, listens, joins, fails, sent, notices } = world('a')
  const opened = plan.open('g', '127.0.0.1', 80, GATEWAY)
  listens('a', 'g', 80)
  await opened
  joins('b')
  sent()
  fails('b', 'g')
  assert.match(notices.join(), /b can't listen on 127\.0\.0\.1:80 .*in use/)
  mock.timers.tick(1_000)
  assert.deepEqual(sent(), ['b listen g:80 gateway'])
  fails('b', 'g')
  plan.close('g')
  sent()
  mock.timers.tick(1_000)
  assert.deepEqual(sent(), [])
})
