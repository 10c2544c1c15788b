import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { ListenerRole } from '../dataplane/engine-messages.ts'
import { EgressAddresses } from './egress-addresses.ts'
import { ListenerPlan } from './listener-plan.ts'

/** One engine that gives the ports `offered`, then any others, and what each port is listened on for. */
function world(offered: number[] = []) {
  const listening = new Map<string, { port: number; role: ListenerRole }>()
  const notices: string[] = []
  let next = 10_000
  const plan: ListenerPlan = new ListenerPlan(
    () => ['engine'],
    (_, message) => {
      if (message.type === 'listen') {
        const port = offered.shift() ?? next++
        listening.set(message.id, { port, role: message.role })
        queueMicrotask(() => plan.receive('engine', { type: 'listening', id: message.id, port }))
      }
      if (message.type === 'assign') listening.get(message.id)!.role = message.role
      if (message.type === 'unlisten') listening.delete(message.id)
    },
    (text) => notices.push(text),
  )
  const egress = new EgressAddresses(plan, '127.0.0.1', (text) => notices.push(text))
  const callers = (port: number) =>
    [...listening.values()].filter((one) => one.port === port).map(({ role }) => role)
  return { egress, listening, callers, notices, offered }
}

const portOf = (url: string | null) => Number(new URL(url!).port)
const roles = (listening: Map<string, { role: ListenerRole }>) =>
  [...listening.values()].map(({ role }) => role.kind)

test('each function and each instance has an address of its own', async () => {
  const { egress, callers } = world()
  await egress.fill()
  await egress.openFunction('ns/a', 'all')
  egress.openInstance('ns/a', 'a-1')
  egress.openInstance('ns/b', 'b-1')
  const ports = [egress.url('ns/a', null), egress.url('ns/a', 'a-1'), egress.url('ns/b', 'b-1')].map(portOf)
  assert.equal(new Set(ports).size, 3)
  assert.deepEqual(
    ports.map((port) => callers(port)),
    [
      [{ kind: 'egress', caller: 'ns/a', instance: null }],
      [{ kind: 'egress', caller: 'ns/a', instance: 'a-1' }],
      [{ kind: 'egress', caller: 'ns/b', instance: 'b-1' }],
    ],
  )
})

test('where no spare is left, an address is opened for the instance', async () => {
  const { egress, callers } = world()
  const instances = Array.from({ length: 20 }, (_, i) => `a-${i}`)
  for (const instance of instances) egress.openInstance('ns/a', instance)
  await Promise.all(instances.map((instance) => egress.instanceReady(instance)))
  const ports = instances.map((instance) => portOf(egress.url('ns/a', instance)))
  assert.equal(new Set(ports).size, 20)
  assert.deepEqual(callers(ports[19]!), [{ kind: 'egress', caller: 'ns/a', instance: 'a-19' }])
})

test('an address whose owner goes while it opens is not opened, and not for the next owner of that name', async () => {
  const { egress, listening, callers, offered } = world([5_000, 5_001, 5_002])
  const first = egress.openFunction('ns/a', 'all')
  egress.closeFunction('ns/a')
  const second = egress.openFunction('ns/a', 'all')
  egress.openInstance('ns/a', 'a-1')
  egress.closeInstance('a-1')
  await Promise.all([first, second, egress.instanceReady('a-1')])
  // What the engine opened for the first one, it says late.
  const port = portOf(egress.url('ns/a', null))
  assert.deepEqual(callers(port), [{ kind: 'egress', caller: 'ns/a', instance: null }])
  assert.deepEqual(
    [...listening.values()].filter(({ role }) => role.kind === 'egress').map((one) => one.port),
    [port],
  )
  assert.deepEqual(offered, [])
})

test('an instance for which none can be opened uses the address of its function, and of no other', async () => {
  const { egress, offered } = world([5_000, 5_001])
  await egress.openFunction('ns/b', 'all')
  egress.closeFunction('ns/b')
  await egress.openFunction('ns/a', 'all')
  offered.push(...Array.from({ length: 500 }, () => 5_000))
  egress.openInstance('ns/a', 'a-1')
  egress.openInstance('ns/b', 'b-1')
  await Promise.all([egress.instanceReady('a-1'), egress.instanceReady('b-1')])
  assert.equal(egress.url('ns/a', 'a-1'), 'http://127.0.0.1:5001')
  assert.equal(egress.url('ns/b', 'b-1'), null)
})

test('the stock of spares is filled again and not beyond', async () => {
  const { egress, listening } = world()
  await Promise.all([egress.fill(), egress.fill()])
  assert.deepEqual(
    roles(listening),
    Array.from({ length: 8 }, () => 'spare'),
  )
  egress.openInstance('ns/a', 'a-1')
  await egress.fill()
  await new Promise(setImmediate)
  assert.equal(roles(listening).filter((kind) => kind === 'spare').length, 8)
  assert.equal(listening.size, 9)
})

test('an address is closed with its owner', async () => {
  const { egress, listening, callers } = world()
  await egress.openFunction('ns/a', 'one')
  await egress.fill()
  egress.openInstance('ns/a', 'a-1')
  await new Promise(setImmediate)
  const ports = [egress.url('ns/a', null), egress.url('ns/a', 'a-1')].map(portOf)
  egress.closeInstance('a-1')
  egress.closeInstance('a-1')
  egress.closeFunction('ns/a')
  assert.deepEqual(ports.map(callers), [[], []])
  assert.equal(egress.url('ns/a', 'a-1'), null)
  assert.deepEqual([...new Set(roles(listening))], ['spare'])
})

test("a former owner's port is given to nobody else, whatever the system offers", async () => {
  const { egress, callers, offered } = world([5_000])
  await egress.openFunction('ns/a', 'all')
  assert.equal(portOf(egress.url('ns/a', null)), 5_000)
  egress.closeFunction('ns/a')
  offered.push(5_000, 5_000, 5_001)
  await egress.openFunction('ns/b', 'all')
  assert.equal(portOf(egress.url('ns/b', null)), 5_001)
  assert.deepEqual(callers(5_000), [])
})

test('where the system offers nothing else, there is no address, and it is said', async () => {
  const { egress, notices, offered, listening } = world([5_000])
  await egress.openFunction('ns/a', 'all')
  egress.closeFunction('ns/a')
  offered.push(...Array.from({ length: 50 }, () => 5_000))
  await egress.openFunction('ns/b', 'all')
  assert.equal(egress.url('ns/b', null), null)
  assert.match(notices.join(), /no egress address for ns\/b: .*in use lately/)
  assert.equal(listening.size, 0)
})
