import assert from 'node:assert/strict'
import { beforeEach, mock, test } from 'node:test'
import type { FromEngine, ToEngine } from '../dataplane/engine-messages.ts'
import { EngineFleet, type EngineLinkEvents } from './engine-fleet.ts'

/** An engine at the other end of its channel. */
interface Far {
  name: string
  events: EngineLinkEvents
  received: ToEngine[]
  killed: boolean
}

const UP: FromEngine = { type: 'up' }

function world() {
  const far: Far[] = []
  const log: string[] = []
  const fleet = new EngineFleet(
    (name, events) => {
      const one: Far = { name, events, received: [], killed: false }
      far.push(one)
      return {
        pid: far.length,
        send: (message) => one.received.push(message),
        kill: () => {
          one.killed = true
        },
      }
    },
    {
      started: (engine) => {
        log.push(`started ${engine}`)
        return [{ type: 'unlisten', id: 'initial' }]
      },
      message: (engine, message) => log.push(`${message.type} from ${engine}`),
      died: (engine, how) => log.push(`died ${engine} ${how}`),
    },
  )
  return { fleet, far, log }
}

beforeEach(() => {
  mock.timers.reset()
  mock.timers.enable({ apis: ['setTimeout', 'Date'], now: 1_000_000 })
})

test('an engine gets messages from the moment when it is up, the present state first', () => {
  const { fleet, far } = world()
  fleet.start(2)
  far[0]!.events.message(UP)
  fleet.broadcast({ type: 'unlisten', id: 'later' })
  assert.deepEqual(fleet.engines(), ['engine-0'])
  assert.deepEqual(
    far.map(({ received }) => received.map((message) => message.type === 'unlisten' && message.id)),
    [['initial', 'later'], []],
  )
  assert.equal(fleet.pids().length, 2)
})

test('an engine that dies is replaced at once under a new name, one that dies at its start after a pause', () => {
  const { fleet, far, log } = world()
  fleet.start(1)
  far[0]!.events.message(UP)
  mock.timers.tick(5_000)
  far[0]!.events.exit('SIGKILL')
  mock.timers.tick(0)
  assert.deepEqual(log, ['started engine-0', 'died engine-0 SIGKILL'])
  assert.deepEqual(
    far.map(({ name }) => name),
    ['engine-0', 'engine-1'],
  )
  far[1]!.events.exit('exit code 1')
  mock.timers.tick(999)
  assert.equal(far.length, 2)
  mock.timers.tick(1)
  assert.equal(far.length, 3)
})

test('the pause doubles while engines die at their start, up to half a minute, and ends with one that lives', () => {
  const { fleet, far } = world()
  fleet.start(1)
  far[0]!.events.message(UP)
  mock.timers.tick(5_000)
  far[0]!.events.exit('SIGKILL')
  for (const pause of [0, 1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000, 0]) {
    const before = far.length
    if (pause > 0) mock.timers.tick(pause - 1)
    assert.equal(far.length, before, `not before ${pause} ms`)
    mock.timers.tick(1)
    assert.equal(far.length, before + 1, `after ${pause} ms`)
    if (before === 8) mock.timers.tick(1_000)
    far.at(-1)!.events.exit('exit code 1')
  }
})

test('a fleet whose engines die before it is complete is given up, with how they died', async () => {
  const { fleet, far } = world()
  const started = fleet.start(2)
  far[0]!.events.message(UP)
  for (let i = 1; i <= 4; i++) {
    far.at(-1)!.events.exit(`exit code ${i}`)
    mock.timers.tick(30_000)
  }
  assert.equal(await started, 'exit code 4')
  const other = world()
  const complete = other.fleet.start(2)
  other.far[0]!.events.exit('SIGKILL')
  mock.timers.tick(1_000)
  for (const one of other.far.slice(1)) one.events.message(UP)
  assert.equal(await complete, null)
})

test('what a dead engine still says is not heard', () => {
  const { fleet, far, log } = world()
  fleet.start(1)
  far[0]!.events.message(UP)
  far[0]!.events.exit('SIGKILL')
  far[0]!.events.message({ type: 'listening', id: 'x', port: 1 })
  assert.deepEqual(log, ['started engine-0', 'died engine-0 SIGKILL'])
})

test('a query waits for every engine, but neither for one that dies nor for one that is silent too long', async () => {
  const { fleet, far } = world()
  fleet.start(3)
  for (const one of far) one.events.message(UP)
  const answers = fleet.query({ kind: 'counters' })
  const asked = far[0]!.received.at(-1)!
  assert.equal(asked.type, 'query')
  far[0]!.events.message({ type: 'answer', id: asked.type === 'query' ? asked.id : -1, answer: 'mine' })
  far[1]!.events.exit('SIGKILL')
  mock.timers.tick(2_000)
  assert.deepEqual(await answers, [{ engine: 'engine-0', answer: 'mine' }])
})

/** What the drain has told the engine so far. */
const told = (one: Far) => one.received.filter(({ type }) => type.startsWith('drain')).map(({ type }) => type)

test('a drain takes each step with all engines, counts none twice, and starts none anew', async () => {
  const { fleet, far } = world()
  fleet.start(3)
  far[0]!.events.message(UP)
  far[1]!.events.message(UP)
  const drained = fleet.drain(10_000)
  far[2]!.events.exit('it never came up')
  far[0]!.events.message({ type: 'gateway-drained' })
  far[0]!.events.message({ type: 'gateway-drained' })
  await new Promise(setImmediate)
  assert.deepEqual(far.map(told), [['drain-gateway'], ['drain-gateway'], []])
  far[1]!.events.message({ type: 'gateway-drained' })
  await new Promise(setImmediate)
  assert.deepEqual(far.map(told), [['drain-gateway', 'drain'], ['drain-gateway', 'drain'], []])
  far[0]!.events.message({ type: 'drained' })
  far[0]!.events.exit('exit code 0')
  assert.equal(
    await Promise.race([drained, new Promise((resolve) => setImmediate(resolve, 'under way'))]),
    'under way',
  )
  far[1]!.events.exit('SIGSEGV')
  await drained
  mock.timers.tick(60_000)
  assert.equal(far.length, 3)
  assert.deepEqual(fleet.pids(), [])
})

test('a drain ends at its deadline, whatever step it is in, and engines that have not ended are killed', async () => {
  const { fleet, far } = world()
  fleet.start(2)
  far[0]!.events.message(UP)
  const drained = fleet.drain(10_000)
  mock.timers.tick(9_000)
  far[0]!.events.message({ type: 'gateway-drained' })
  await new Promise(setImmediate)
  mock.timers.tick(1_000)
  await drained
  assert.deepEqual(
    far.map(({ killed }) => killed),
    [true, true],
  )
})
