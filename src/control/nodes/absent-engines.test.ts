import assert from 'node:assert/strict'
import { test } from 'node:test'
import { AbsentEngines } from './absent-engines.ts'

function world() {
  const forgotten: string[] = []
  const absent = new AbsentEngines((engines) => forgotten.push(...engines))
  return { absent, forgotten }
}

test('engines that are back keep what they hold; those that ended meanwhile do not', () => {
  const { absent, forgotten } = world()
  absent.add('n', 'first', ['n-engine-0', 'n-engine-1'])
  absent.back('n', 'first', ['n-engine-1', 'n-engine-2'])
  assert.deepEqual(forgotten, ['n-engine-0'])
})

test('a node that was started anew has none of its engines any more, though names are the same', () => {
  const { absent, forgotten } = world()
  absent.add('n', 'first', ['n-engine-0'])
  absent.back('n', 'second', ['n-engine-0'])
  assert.deepEqual(forgotten, ['n-engine-0'])
})

test('who does not come back is taken for dead after a time', (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] })
  const { absent, forgotten } = world()
  absent.add('n', 'first', ['n-engine-0'])
  t.mock.timers.tick(59_999)
  assert.deepEqual(forgotten, [])
  t.mock.timers.tick(1)
  assert.deepEqual(forgotten, ['n-engine-0'])
})
